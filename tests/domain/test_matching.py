from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import targets
from vcfbert.domain import identified, match_report, matching
from vcfbert.domain.match_report import Listing, MatchReport
from vcfbert.domain.matching import ABSENT, Match, SiteFinder
from vcfbert.domain.records import Record

SNV, STRAND, INDEL = "certain", "palindromic", "indel"


def decide(ref: str, alt: str, *panel: str) -> matching.Decision:
    """A record REF, ALT against panel sites `REF>ALT` at its position."""
    sites = targets.sites_of([("20", 5, *text.split(">")) for text in panel])
    record = Record("20", 5, ".", ref, [] if alt == "." else alt.split(","))
    return matching.decide(record, range(len(panel)), sites)


MATCHES = {
    "as_written": (("A", "G", "A>G"), [Match(0, 0, 1, (), SNV)]),
    "lower_case": (("a", "g", "A>G"), [Match(0, 0, 1, (), SNV)]),
    "the_right_one_of_two": (("A", "T", "A>G", "A>T"), [Match(1, 0, 1, (), STRAND)]),
    "swapped": (("G", "A", "A>G"), [Match(0, 1, 0, (), SNV)]),
    "a_t_as_written": (("A", "T", "A>T"), [Match(0, 0, 1, (), STRAND)]),
    "a_t_swapped": (("T", "A", "A>T"), [Match(0, 1, 0, (), STRAND)]),
    "as_written_before_swapped": (("T", "A", "A>T", "T>A"), [Match(1, 0, 1, (), STRAND)]),
    "insertion": (("A", "AT", "A>AT", "AT>A"), [Match(0, 0, 1, (), INDEL)]),
    "deletion_backwards": (("A", "AT", "AT>A"), [Match(0, 1, 0, (), INDEL)]),
    "two_bases_swapped": (("AC", "TG", "TG>AC"), [Match(0, 1, 0, (), SNV)]),
    "two_bases_palindromic": (("AC", "GT", "GT>AC"), [Match(0, 1, 0, (), STRAND)]),
    "second_alt": (("A", "C,G", "A>G"), [Match(0, 0, 2, (), SNV)]),
    "both_alts": (
        ("A", "C,G", "A>C", "A>G"),
        [Match(0, 0, 1, (2,), SNV), Match(1, 0, 2, (1,), SNV)],
    ),
    "multiallelic_swapped": (("G", "A,T", "A>G"), [Match(0, 1, 0, (), SNV)]),
    "multiallelic_swapped_knows_the_third": (
        ("G", "A,T", "A>G", "A>T"),
        [Match(0, 1, 0, (2,), SNV)],
    ),
    "beside_a_symbol": (("A", "<NON_REF>,G", "A>G"), [Match(0, 0, 2, (), SNV)]),
    "beside_a_star": (("A", "G,*", "A>G"), [Match(0, 0, 1, (), SNV)]),
    "no_alt": (("A", ".", "A>G"), [Match(0, 0, ABSENT, (), SNV)]),
    "no_alt_the_one_site_with_its_ref": (
        ("A", ".", "A>G", "AT>A"),
        [Match(0, 0, ABSENT, (), SNV)],
    ),
    "no_alt_all_carry_the_panel_alt": (("G", ".", "A>G"), [Match(0, ABSENT, 0, (), SNV)]),
}


def flipped(site: int, ref_number: int, alt_number: int, *other_refs: int) -> Match:
    return Match(site, ref_number, alt_number, other_refs, SNV, is_flipped=True)


MATCHES |= {
    "other_strand": (("T", "C", "A>G"), [flipped(0, 0, 1)]),
    "other_strand_swapped": (("C", "T", "A>G"), [flipped(0, 1, 0)]),
    "other_strand_multiallelic": (("T", "G,C", "A>G"), [flipped(0, 0, 2)]),
    "other_strand_both_alts": (
        ("T", "G,C", "A>C", "A>G"),
        [flipped(0, 0, 1, 2), flipped(1, 0, 2, 1)],
    ),
    "other_strand_two_bases": (("GT", "CT", "AC>AG"), [flipped(0, 0, 1)]),
    "other_strand_beside_a_symbol": (("T", "<NON_REF>,C", "A>G"), [flipped(0, 0, 2)]),
    "no_alt_other_strand": (("T", ".", "A>G"), [flipped(0, 0, ABSENT)]),
    "no_alt_other_strand_swapped": (("C", ".", "A>G"), [flipped(0, ABSENT, 0)]),
    "a_third_allele_shows_the_strand_of_a_t": (
        ("A", "T,C", "A>C", "A>T"),
        [Match(0, 0, 2, (1,), SNV), Match(1, 0, 1, (2,), SNV)],
    ),
    "a_third_allele_shows_the_other_strand_of_a_t": (
        ("T", "A,G", "A>C", "A>T"),
        [flipped(0, 0, 2, 1), flipped(1, 0, 1, 2)],
    ),
    "a_third_allele_the_panel_lacks_shows_nothing": (
        ("A", "T,C", "A>T"),
        [Match(0, 0, 1, (), STRAND)],
    ),
}


REASONS = {
    "other_strand_indel": (("TA", "T", "AT>A"), matching.OTHER_ALLELES),
    "no_alt_other_strand_two_sites": (("T", ".", "A>C", "A>G"), matching.SEVERAL),
    "other_alt": (("A", "C", "A>G"), matching.OTHER_ALLELES),
    "other_alts_of_both_strands": (("A", "T", "A>G"), matching.OTHER_ALLELES),
    "other_indel": (("AT", "A", "A>AC"), matching.OTHER_ALLELES),
    "no_base": (("N", "G", "A>G"), matching.OTHER_ALLELES),
    "symbolic": (("A", "<DEL>", "A>G"), matching.OTHER_ALLELES),
    "no_alt_two_sites": (("A", ".", "A>G", "A>T"), matching.SEVERAL),
    "no_alt_two_sites_swapped": (("G", ".", "A>G", "C>G"), matching.SEVERAL),
    "no_alt_no_indel_backwards": (("A", ".", "AT>A"), matching.OTHER_ALLELES),
    "no_alt_other_base": (("G", ".", "A>T"), matching.OTHER_ALLELES),
}


@pytest.mark.parametrize("name", MATCHES)
def test_a_record_types_the_sites_with_its_alleles(name):
    arguments, expected = MATCHES[name]
    decision = decide(*arguments)
    assert list(decision.matches) == expected
    assert decision.reason == ""


@pytest.mark.parametrize("name", REASONS)
def test_a_record_that_types_nothing_says_why(name):
    arguments, expected = REASONS[name]
    assert decide(*arguments) == matching.Decision(reason=expected)


@pytest.mark.parametrize(
    ("alts", "expected"),
    [([], True), (["G"], True), (["*", "G"], True), (["*"], False), (["A[3:10["], False)],
)
def test_a_record_is_spelled_out_where_one_alt_is(alts, expected):
    assert matching.is_spelled_out(Record("20", 5, ".", "A", alts)) is expected


def decide_named(name: str, alt: str, *panel: str, infos: tuple[str, ...] = ()):
    """A record A>ALT against panel sites `ID:A>ALT` or `ID:A>ALT:INFO` at its position."""
    fields = [text.split(":") for text in panel]
    sites = targets.sites_of([("6", 5, *field[1].split(">", 1)) for field in fields])
    sites.identifier[:] = [field[0] for field in fields]
    sites.info[:] = [field[2] if len(field) > 2 else "." for field in fields]
    record = Record("6", 5, name, "A", [] if alt == "." else alt.split(","), infos)
    return matching.decide(record, range(len(panel)), sites)


HLA = ("HLA_A01:A>T", "HLA_A02:A>T", "AA_9_L:A>P")


@pytest.mark.parametrize(
    ("name", "alt", "site"),
    [("HLA_A02", "T", 1), ("x;HLA_A01", "T", 0), (".", "P", 2), ("HLA_A02", ".", 1)],
)
def test_an_id_decides_between_markers_with_the_same_alleles(name, alt, site):
    decision = decide_named(name, alt, *(HLA if alt != "." else HLA[:2]))
    assert [match.site for match in decision.matches] == [site]


@pytest.mark.parametrize("name", [".", "HLA_A03", "HLA_A01;HLA_A02"])
def test_a_record_whose_id_does_not_decide_is_not_used(name):
    assert decide_named(name, "T", *HLA) == matching.Decision(reason=matching.AMBIGUOUS)


@pytest.mark.parametrize(
    ("infos", "sites"),
    [((), [0]), (("END=9",), [0]), (("SVTYPE=DEL;END=9",), [0]), (("END=12",), [])],
)
def test_a_symbolic_allele_types_the_site_with_the_same_end(infos, sites):
    decision = decide_named("x", "<DEL>", "y:A><DEL>:END=9", "z:A>G", infos=infos)
    assert [match.site for match in decision.matches] == sites


def test_the_end_decides_between_two_deletions():
    panel = ("x:A><DEL>:END=9", "y:A><DEL>:END=12")
    decision = decide_named(".", "<DEL>", *panel, infos=("END=12",))
    assert [match.site for match in decision.matches] == [1]


def test_a_record_without_alt_does_not_type_a_deletion():
    decision = decide_named(".", ".", "x:A><DEL>", "y:A>G")
    assert [match.site for match in decision.matches] == [1]


@pytest.mark.parametrize(
    ("alt", "expected"), [("<DEL>", True), ("<DUP>", False), ("*", False), ("<NON_REF>", False)]
)
def test_a_symbolic_allele_matters_if_the_panel_has_it(alt, expected):
    sites = targets.sites_of([("6", 5, "A", "G"), ("6", 5, "A", "<DEL>")])
    record = Record("6", 5, ".", "A", [alt])
    assert identified.has_symbol(record, range(2), sites) is expected


BASES = st.sampled_from("ACGT")


@settings(max_examples=300)
@given(ref=BASES, alt=BASES, panel_ref=BASES, panel_alt=BASES)
def test_snvs_are_told_apart_as_by_turning_them_in_every_way(ref, alt, panel_ref, panel_alt):
    if ref == alt or panel_ref == panel_alt:
        return
    other = str.maketrans("ACGT", "TGCA")
    decision = decide(ref, alt, f"{panel_ref}>{panel_alt}")
    panel = (panel_ref, panel_alt)
    ways = [(ref, alt), (alt, ref), (ref.translate(other), alt.translate(other)),
            (alt.translate(other), ref.translate(other))]  # fmt: skip
    way = next((n for n, alleles in enumerate(ways) if alleles == panel), None)
    if not decision.matches:
        assert way is None
        return
    match = decision.matches[0]
    assert 2 * match.is_flipped + match.is_swapped == way
    assert (match.certainty == "palindromic") == matching.is_palindromic(panel_ref, panel_alt)


def test_a_palindromic_match_turned_twice_has_its_numbers_again():
    match = Match(7, 0, 1, (), STRAND)
    assert matching.turned(match) == Match(7, 1, 0, (), STRAND, is_flipped=True)
    assert matching.turned(match).flip_reason == matching.FLIPPED_PALINDROMIC
    assert matching.turned(matching.turned(match)).ref_number == 0


@settings(max_examples=100, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12)), min_size=1, max_size=20),
    contig=st.integers(0, 2),
    position=st.integers(0, 13),
)
def test_sites_at_a_position_are_those_a_loop_finds(places, contig, position):
    names = ["chr1", "chr2", "chrX"]
    rows = [(names[c], p, "A", "G") for c, p in sorted(places)]
    finder = SiteFinder(targets.sites_of(rows))
    expected = [n for n, row in enumerate(rows) if row[:2] == (names[contig], position)]
    assert list(finder.at(names[contig], position)) == expected
    assert list(finder.at(names[contig].removeprefix("chr"), position)) == expected


def test_a_contig_the_panel_lacks_has_no_sites():
    finder = SiteFinder(targets.sites_of([("20", 5, "A", "G")]))
    assert len(finder.at("21", 5)) == 0
    assert (finder.contig("21"), finder.contig("chr20")) == (None, "20")


def test_samples_of_both_files_are_found_by_their_names():
    shared = matching.shared_samples(["cem", "dan", "ann"], ["ann", "bob", "cem"])
    npt.assert_array_equal(shared, [2, -1, 0])
    assert shared.dtype == np.int64
    assert len(matching.shared_samples([], ["ann"])) == 0


def test_a_list_is_cut_and_the_count_goes_on(monkeypatch):
    monkeypatch.setattr(match_report, "LIST_LIMIT", 2)
    listing = Listing()
    for position in (5, 6, 7, 8):
        listing.add(Record("20", position, "rs1", "A", ["C", "G"]), "why")
    assert listing.table("reason") == (
        "#contig\tposition\tid\tref\talt\treason\n"
        "20\t5\trs1\tA\tC,G\twhy\n"
        "20\t6\trs1\tA\tC,G\twhy\n"
        "# 2 more are counted and not listed\n"
    )
    assert listing.table().splitlines()[1] == "20\t5\trs1\tA\tC,G"


def test_an_empty_report_has_headers_and_nothing_to_say():
    report = MatchReport()
    assert [text.count("\n") for text in report.tables().values()] == [1, 1, 1]
    assert report.notes() == []
    assert report.counts()["dropped"] == {}
