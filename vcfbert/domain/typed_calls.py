"""Conversion of a target's genotypes to alleles at the sites they type.

N samples of the target; a block holds n consecutive records.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import records, tokens, unordered
from vcfbert.domain.haploid_calls import ABSENT
from vcfbert.domain.match_report import MatchReport
from vcfbert.domain.matching import Match, TargetPolicy, UnphasedTarget
from vcfbert.domain.records import MISSING_CALL, NO_CALL, RecordBlock
from vcfbert.errors import InputError

MOST_UNPHASED = 0.05
"""Of the heterozygotes of the file or a sample, that `--unphased missing` allows."""

FEW_UNPHASED = 10
"""Fewer unphased heterozygotes are always allowed: their share says little."""


USES: dict[UnphasedTarget, str] = {
    "phase": "their phase is found from the panel",
    "error": "not used",
    "missing": "the order of their alleles is imputed",
    "as-written": "the order of their alleles in the file is used as the phase",
}


class CallReader:
    """Reads the blocks of one file, and counts missing and unphased genotypes in its report."""

    def __init__(
        self, source: str, names: list[str], policy: TargetPolicy, report: MatchReport
    ) -> None:
        """`source` and `names` (one a sample) are named in errors."""
        self._source = source
        self._names = names
        self._policy = policy
        self._report = report
        report.unphased_use = USES[policy.unphased]
        self._first_unphased = ""
        self._unphased = np.zeros(len(names), dtype=np.int64)
        self._heterozygous = np.zeros(len(names), dtype=np.int64)

    def read(
        self, block: RecordBlock, rows: NDArray[np.int64], matches: list[Match]
    ) -> NDArray[np.uint8]:
        """Alleles in the panel's orientation.

        rows     (m,) the record of each match, never falling; a record may have several
        returns  (m, N, 2) REF, ALT or MISSING of `tokens`; UNORDERED of `unordered` is added if the
                 haplotype of an allele is unknown; ABSENT second if a genotype is haploid
        """
        is_whole = np.array_equal(rows, np.arange(len(block.records)))
        calls = block.calls if is_whole else block.calls[rows]
        # Two passes find the few records with other numbers than 0 and 1; phase is 0 or 1.
        flat = calls.reshape(len(calls), -1)
        lowest, highest = flat.min(axis=1), flat.max(axis=1)
        self._refuse_numbers(block, rows, calls, lowest, highest)
        numbers = np.array([(m.ref_number, m.alt_number) for m in matches], dtype=np.int16)
        is_plain = (lowest >= 0) & (highest <= 1) & (numbers == (0, 1)).all(axis=1)
        is_first = np.diff(rows, prepend=-1) > 0  # a record with two sites is counted once
        self._report.genotypes += int(is_first.sum()) * len(self._names)
        alleles = calls[:, :, :2].astype(np.uint8)
        odd = np.flatnonzero(~is_plain)
        if len(odd):
            alleles[odd] = _renumbered(calls[odd], numbers[odd], [matches[row] for row in odd])
            self._count_missing(calls[odd], alleles[odd], is_first[odd])
        self._apply_policy(block, rows, calls, alleles, is_first)
        return alleles

    def refuse_unphased(self) -> None:
        """Raise InputError if the policy does not allow the unphased heterozygotes that were read.

        `error` allows none, `missing` few.
        """
        count = self._report.unphased
        if count and self._policy.unphased == "error":
            raise InputError(
                f"{self._source}: {plurals.of(count, 'heterozygous genotype')} of "
                f"{plurals.of(int((self._unphased > 0).sum()), 'sample')} "
                f"{plurals.word(count, 'is', 'are')} not phased, the first at "
                f"{self._first_unphased}. Pass --unphased phase to phase them, or --unphased "
                "as-written if their order in the file is right."
            )
        if count and self._policy.unphased == "missing":
            self._refuse_many(count)

    def _refuse_many(self, count: int) -> None:
        """Raise InputError if the model would miss a large share of the heterozygotes."""
        total = int(self._heterozygous.sum())
        share = self._unphased / np.maximum(self._heterozygous, 1)
        share[self._unphased < FEW_UNPHASED] = 0.0
        worst = int(np.argmax(share))
        if count > MOST_UNPHASED * total and count >= FEW_UNPHASED:
            found = (
                f"{count:,} of {plurals.of(total, 'heterozygous genotype')} ({count / total:.1%})"
            )
        elif share[worst] > MOST_UNPHASED:
            found = (
                f"{self._unphased[worst]:,} of {self._heterozygous[worst]:,} heterozygous "
                f"genotypes of sample {self._names[worst]} ({share[worst]:.1%})"
            )
        else:
            return
        raise InputError(
            f"{self._source}: {found} are not phased, and --unphased missing allows "
            f"{MOST_UNPHASED:.0%}: without its heterozygotes a sample cannot be imputed well. The "
            f"first is at {self._first_unphased}. Pass --unphased phase to phase them, or "
            "--unphased as-written if their order in the file is right."
        )

    def _count_missing(
        self, calls: NDArray[np.int16], alleles: NDArray[np.uint8], is_counted: NDArray[np.bool_]
    ) -> None:
        is_lost = calls[is_counted, :, :2] == MISSING_CALL
        is_lost[:, :, 1] |= is_lost[:, :, 0] & (calls[is_counted, :, 1] == NO_CALL)
        is_other = (alleles[is_counted] == tokens.MISSING) & ~is_lost
        is_lost_both = is_lost.all(axis=2)
        self._report.missing += int(is_lost_both.sum())
        self._report.half_missing += int((is_lost.any(axis=2) & ~is_lost_both).sum())
        self._report.other_alleles += int(is_other.any(axis=2).sum())

    def _apply_policy(
        self,
        block: RecordBlock,
        rows: NDArray[np.int64],
        calls: NDArray[np.int16],
        alleles: NDArray[np.uint8],
        is_first: NDArray[np.bool_],
    ) -> None:
        """Count unphased heterozygotes, and remove alleles of unknown order."""
        first, second = calls[:, :, 0], calls[:, :, 1]
        is_other = (first != second) & (second != NO_CALL)
        if self._policy.ploidy.sexes:  # heterozygotes of haploid males are missing, not unphased
            found = [block.records[row] for row in rows.tolist()]
            is_other &= ~self._policy.ploidy.are_haploid_males(found, self._names)
        if self._policy.unphased == "missing":
            is_typed = is_other[is_first] & (first[is_first] >= 0) & (second[is_first] >= 0)
            self._heterozygous += is_typed.sum(axis=0)
        is_loose = (calls[:, :, 2] == 0) & is_other
        if not is_loose.any():
            return
        is_unphased = is_loose & (first >= 0) & (second >= 0)
        if is_unphased.any():
            self._report.unphased += int(is_unphased[is_first].sum())
            self._unphased += is_unphased[is_first].sum(axis=0)
            if not self._first_unphased:
                row, sample = np.argwhere(is_unphased)[0].tolist()
                self._first_unphased = self._place(block, rows[row], sample)
        if self._policy.unphased != "as-written":  # also of ./1, whose haplotype is unknown
            is_loose &= alleles[:, :, 0] != alleles[:, :, 1]
            alleles[is_loose] = unordered.without_order(alleles[is_loose])

    def _refuse_numbers(
        self,
        block: RecordBlock,
        rows: NDArray[np.int64],
        calls: NDArray[np.int16],
        lowest: NDArray[np.int16],
        highest: NDArray[np.int16],
    ) -> None:
        num_alts = np.array([len(block.records[row].alts) for row in rows.tolist()])
        is_beyond = (highest > num_alts) | (lowest < NO_CALL)
        for row in np.flatnonzero(
            is_beyond
        ).tolist():  # the phase alone is beyond 0 if there is no ALT
            most = records.highest_alleles(calls[row])
            sample = int(np.argmax(most))
            if most[sample] > num_alts[row]:
                raise InputError(
                    f"{self._source}, {self._place(block, rows[row], sample)}: the genotype has "
                    f"allele {most[sample]}, but the record has {num_alts[row]} ALT. Correct the "
                    "record or leave it out: bcftools view -e."
                )

    def _place(self, block: RecordBlock, row: int, sample: int) -> str:
        return f"{block.records[row].place()}, sample {self._names[sample]}"


def _renumbered(
    calls: NDArray[np.int16], numbers: NDArray[np.int16], matches: list[Match]
) -> NDArray[np.uint8]:
    """(n, N, 2) REF, ALT or MISSING by each record's own numbers.

    numbers  (n, 2) of the panel's REF and ALT
    """
    pairs = calls[:, :, :2]
    alleles = np.full(pairs.shape, tokens.MISSING, dtype=np.uint8)
    alleles[pairs == numbers[:, :1, None]] = tokens.REF
    alleles[pairs == numbers[:, 1:, None]] = tokens.ALT
    alleles[pairs == NO_CALL] = ABSENT
    for row, match in enumerate(matches):
        if match.other_refs:
            alleles[row][np.isin(pairs[row], match.other_refs)] = tokens.REF
    return alleles
