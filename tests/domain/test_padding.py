from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import targets
from vcfbert.domain import matching, padding
from vcfbert.domain.matching import Decision, Match, SiteFinder
from vcfbert.domain.padding import PaddedSites
from vcfbert.domain.records import Record

SNV, STRAND, INDEL = "certain", "palindromic", "indel"


def decide(record: str, *panel: str) -> Decision | None:
    """A record `position REF ALT,ALT` against panel sites `position REF ALT`; None if unwanted."""
    place, ref, alts = record.split()
    rows = [("20", int(p), r, a) for p, r, a in (site.split() for site in panel)]
    sites = targets.sites_of(rows)
    finder = SiteFinder(sites)
    padded = PaddedSites(sites, finder)
    found = Record("chr20", int(place), ".", ref, alts.split(","))
    here = finder.at("chr20", int(place))
    if not here and not padded.may_type(found):
        return None
    exact = matching.decide(found, here, sites) if here else Decision()
    return padded.extended(found, exact)


MATCHES = {
    "padded on the right": (("5 CAA CA", "5 CA C"), [Match(0, 0, 1, (), INDEL)]),
    "padded on the left": (("4 GCA GC", "5 CA C"), [Match(0, 0, 1, (), INDEL)]),
    "padded on both sides": (("4 GCAA GCA", "5 CA C"), [Match(0, 0, 1, (), INDEL)]),
    "panel padded": (("5 CA C", "5 CAA CA"), [Match(0, 0, 1, (), INDEL)]),
    "panel padded on the left": (("5 CA C", "4 GCA GC"), [Match(0, 0, 1, (), INDEL)]),
    "both padded otherwise": (("4 GCA GC", "5 CAA CA"), [Match(0, 0, 1, (), INDEL)]),
    "insertion": (("5 CAA CAAA", "5 C CA"), [Match(0, 0, 1, (), INDEL)]),
    "SNV": (("5 CAA TAA", "5 C T"), [Match(0, 0, 1, (), SNV)]),
    "SNV, panel padded": (("5 C T", "5 CAA TAA"), [Match(0, 0, 1, (), SNV)]),
    "palindromic SNV": (("4 AC AG", "5 C G"), [Match(0, 0, 1, (), STRAND)]),
    "joined indel and SNV": (
        ("5 CAA CA,TAA", "5 C T", "5 CA C"),
        [Match(0, 0, 2, (1,), SNV), Match(1, 0, 1, (2,), INDEL)],
    ),
    "joined at two positions": (
        ("5 CAG C,CAT", "5 CAG C", "7 G T"),
        [Match(0, 0, 1, (2,), INDEL), Match(1, 0, 2, (1,), SNV)],
    ),
    "one ALT that the panel lacks": (("5 CAA CA,CAAAA", "5 CA C"), [Match(0, 0, 1, (), INDEL)]),
    "as written before padded": (("5 CAA CA", "5 CA C", "5 CAA CA"), [Match(1, 0, 1, (), INDEL)]),
    "beside a symbol": (("5 CAA <DEL>,CA", "5 CA C"), [Match(0, 0, 2, (), INDEL)]),
    "lower case in the panel": (("5 CAA CA", "5 ca c"), [Match(0, 0, 1, (), INDEL)]),
}


@pytest.mark.parametrize("name", MATCHES)
def test_padded_alleles_match(name):
    (record, *panel), expected = MATCHES[name]
    decision = decide(record, *panel)
    assert decision is not None
    assert list(decision.matches) == expected
    assert decision.reason == ""


@pytest.mark.parametrize(
    ("record", "panel"),
    [("5 CAA CA", "6 CA C"), ("5 CA C", "5 CAA C"), ("5 CAG CA", "5 CA C"), ("5 C T", "6 C T")],
)
def test_other_variants_do_not_match(record, panel):
    decision = decide(record, panel)
    assert decision is None or not decision.matches


@given(
    ref=st.text("AC", min_size=1, max_size=6),
    alt=st.text("AC", min_size=1, max_size=6),
    before=st.text("AC", max_size=3),
    after=st.text("AC", max_size=3),
)
def test_trimming_keeps_the_variant_and_undoes_padding(ref, alt, before, after):
    if ref == alt:
        return
    position, short_ref, short_alt = padding.trimmed(100, ref, alt)
    sequence = "G" * 100 + ref
    changed = "G" * 100 + alt
    assert sequence[position : position + len(short_ref)] == short_ref
    tail = sequence[position + len(short_ref) :]
    assert sequence[:position] + short_alt + tail == changed
    assert padding.trimmed(position, short_ref, short_alt) == (position, short_ref, short_alt)
    wide = padding.trimmed(position, short_ref + after, short_alt + after)
    assert wide == (position, short_ref, short_alt)
    if len(short_ref) == len(short_alt):
        left = padding.trimmed(position - len(before), before + short_ref, before + short_alt)
        assert left == (position, short_ref, short_alt)
