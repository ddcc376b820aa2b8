"""Alleles with more bases than needed, such as `CAA>CA` for `CA>C`, matched to a panel.

Joining records at a position (bcftools merge, bcftools norm -m+) pads their alleles to one REF, and
splitting them again keeps the padding. So a variant is compared by its shortest alleles: bases that
REF and ALT share at their ends are cut off, first on the right, then on the left, as far as each
keeps one (Tan et al. 2015, Bioinformatics 31:2202). Moving an indel to the left within a repeat
needs the reference sequence and is not done.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vcfbert.domain.matching import Certainty, Decision, Match, SiteFinder, is_palindromic
from vcfbert.domain.records import Record
from vcfbert.domain.sites import Sites

_SINGLE = 0  # site type of an SNV


def trimmed(position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """A variant with its shortest alleles.

    >>> trimmed(100, "CAA", "CA"), trimmed(100, "GCA", "GC"), trimmed(100, "CAA", "TAA")
    ((100, 'CA', 'C'), (101, 'CA', 'C'), (100, 'C', 'T'))
    """
    right = 0
    most = min(len(ref), len(alt)) - 1
    while right < most and ref[-1 - right] == alt[-1 - right]:
        right += 1
    ref, alt = ref[: len(ref) - right], alt[: len(alt) - right]
    left = 0
    most = min(len(ref), len(alt)) - 1
    while left < most and ref[left] == alt[left]:
        left += 1
    return position + left, ref[left:], alt[left:]


class PaddedSites:
    """Finds the panel site of a variant if the record, the panel or both pad its alleles."""

    def __init__(self, sites: Sites, finder: SiteFinder) -> None:
        """Trim the panel's indels and others, a small share of its sites."""
        self._sites = sites
        self._finder = finder
        self._names: dict[str, str] = {}
        self._padded: dict[tuple[str, int], list[tuple[str, str, int]]] = {}
        for site in np.flatnonzero(sites.site_type != _SINGLE).tolist():
            position, ref, alt = int(sites.position[site]), *self._alleles(site)
            if min(len(ref), len(alt)) > 1 and ref.isalpha() and alt.isalpha():
                short = trimmed(position, ref, alt)
                if short[1] != ref:
                    place = (sites.contigs[sites.contig[site]], short[0])
                    self._padded.setdefault(place, []).append((*short[1:], site))

    def may_type(self, record: Record) -> bool:
        """True if a padded variant of the record or the panel may be a match."""
        if not self._padded and not _may_be_padded(record):
            return False
        return any(self._site_of(record, number) is not None for number in _numbers(record))

    def extended(self, record: Record, decision: Decision) -> Decision:
        """A decision about the alleles as written, with sites of its other ALT added.

        ALT alleles of a record are alternatives, so each is REF at the sites of the others.
        """
        if len(decision.matches) == len(record.alts):
            return decision
        if not self._padded and not _may_be_padded(record):
            return decision
        if any(match.ref_number != 0 for match in decision.matches):
            return decision  # swapped alleles
        done = {match.alt_number for match in decision.matches}
        taken = {match.site for match in decision.matches}
        found = []
        for number in _numbers(record):
            site = None if number in done else self._site_of(record, number)
            if site is not None and site not in taken:
                taken.add(site)
                found.append(Match(site, 0, number, (), self._certainty(site)))
        if not found:
            return decision
        matches = [*decision.matches, *found]
        used = {match.alt_number for match in matches}
        return Decision(
            tuple(
                replace(match, other_refs=tuple(sorted(used - {match.alt_number})))
                for match in sorted(matches, key=lambda match: match.site)
            )
        )

    def _site_of(self, record: Record, number: int) -> int | None:
        """The panel site of an ALT if one of the two is padded."""
        position, ref, alt = trimmed(record.position, record.ref, record.alts[number - 1])
        if ref != record.ref:
            for site in self._finder.at(record.contig, position):
                if self._alleles(site) == (ref, alt):
                    return site
        here = self._padded.get((self._panel_name(record.contig), position), ())
        return next((site for *alleles, site in here if alleles == [ref, alt]), None)

    def _panel_name(self, contig: str) -> str:
        if contig not in self._names:
            self._names[contig] = self._finder.contig(contig) or contig
        return self._names[contig]

    def _alleles(self, site: int) -> tuple[str, str]:
        return self._sites.ref[site].upper(), self._sites.alt[site].upper()

    def _certainty(self, site: int) -> Certainty:
        _, ref, alt = trimmed(0, *self._alleles(site))
        if len(ref) != len(alt):
            return "indel"
        return "palindromic" if is_palindromic(ref, alt) else "certain"


def _numbers(record: Record) -> list[int]:
    """Numbers of the ALT that are bases and differ from REF."""
    if not record.ref.isalpha():
        return []
    return [
        number
        for number, alt in enumerate(record.alts, start=1)
        if alt.isalpha() and alt != record.ref
    ]


def _may_be_padded(record: Record) -> bool:
    return len(record.ref) > 1 and any(len(alt) > 1 for alt in record.alts)
