"""Panel sites that a record of a target may be, if alleles alone do not tell.

HLA panels have dozens of markers at one position with the same REF and ALT, such as A and T; only
the ID distinguishes them. Two deletions `<DEL>` at a position differ in their end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from vcfbert.domain.records import Record, capitals
from vcfbert.domain.sites import Sites

Pair = tuple[int, str, str]
"""A panel site with its REF and ALT, letters in capitals."""

_END = re.compile(r"(?:^|;)(END=\d+)")


def pairs_at(found: range, sites: Sites) -> list[Pair]:
    """The sites at one position."""
    return [(site, capitals(sites.ref[site]), capitals(sites.alt[site])) for site in found]


def narrowed(record: Record, pairs: Sequence[Pair], sites: Sites) -> list[Pair]:
    """The sites that the record may be by its ID and by the end of a structural variant.

    Of sites with the same alleles, the one with the record's ID remains, or none. An ID may be a
    list separated by semicolons; one name in common is enough.
    """
    if len(pairs) == 1 and not record.infos:
        return list(pairs)
    possible = [pair for pair in pairs if not _ends_elsewhere(record, pair, sites)]
    counts = Counter(pair[1:] for pair in possible)
    if len(counts) == len(possible):
        return possible
    names = set(record.identifier.split(";")) - {"."}
    kept = [
        pair
        for pair in possible
        if counts[pair[1:]] == 1 or names.intersection(sites.identifier[pair[0]].split(";"))
    ]
    counts = Counter(pair[1:] for pair in kept)
    return [pair for pair in kept if counts[pair[1:]] == 1]


def is_ambiguous(record: Record, pairs: Sequence[Pair]) -> bool:
    """True if several of the sites have the alleles of the record."""
    alleles = {capitals(allele) for allele in (record.ref, *record.alts)}
    same = Counter(pair[1:] for pair in pairs if alleles.issuperset(pair[1:]))
    return max(same.values(), default=0) > 1


def has_symbol(record: Record, found: range, sites: Sites) -> bool:
    """True if an ALT of the record is a symbolic allele, `*` or breakend of one of the sites."""
    return any(
        not alt.isalpha() and alt in (sites.ref[site], sites.alt[site])
        for alt in record.alts
        for site in found
    )


def spelled_out(pairs: Sequence[Pair]) -> list[Pair]:
    """The sites whose ALT is bases; all if there are none.

    A record without ALT says nothing of a deletion `<DEL>` at its position.
    """
    return [pair for pair in pairs if pair[2].isalpha()] or list(pairs)


def _ends_elsewhere(record: Record, pair: Pair, sites: Sites) -> bool:
    """True for the same symbolic allele with another INFO/END."""
    site, _, alt = pair
    if not record.infos or alt.isalpha() or alt not in record.alts:
        return False
    ends = {_END.findall(text)[0] for text in (record.info(record.alts.index(alt) + 1),
            sites.info[site]) if _END.search(text)}  # fmt: skip
    return len(ends) > 1
