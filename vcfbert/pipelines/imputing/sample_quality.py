"""Call rate and expected accuracy of each sample: the QC file samples.tsv, and warnings.

S sites in the panel, T typed sites, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import tokens
from vcfbert.domain.row_blocks import blocks
from vcfbert.domain.sites import Sites
from vcfbert.pipelines.chunks.target_samples import TargetSamples

FEW_CALLED = 0.5
"""A sample with a smaller share of the typed sites called, on any contig, is named in a warning."""

_NAMED = 5
_COLUMNS = ("#sample", "typed_sites", "called", "call_rate", "heterozygosity", "r2")


@dataclass(frozen=True)
class CallRates:
    """Called genotypes by sample; a genotype with a missing allele is not called.

    called        (C, N) at the typed sites of each contig
    heterozygous  (N,)
    typed         (C,) typed sites of each contig
    contigs       C names
    """

    called: NDArray[np.int64]
    heterozygous: NDArray[np.int64]
    typed: NDArray[np.int64]
    contigs: list[str]

    @classmethod
    def of(cls, samples: TargetSamples, sites: Sites) -> CallRates:
        """Count them."""
        contig = sites.contig[samples.typed]
        numbers = np.unique(contig)
        called = np.zeros((len(numbers), len(samples.names)), np.int64)
        heterozygous = np.zeros(len(samples.names), np.int64)
        for rows in blocks(samples.alleles.shape):
            alleles = samples.alleles[rows]
            left, right = alleles[:, :, 0], alleles[:, :, 1]
            is_called = samples.is_called(rows)
            is_pair = is_called & tokens.is_observed(right)
            heterozygous += (is_pair & (left != right)).sum(axis=0)
            here = contig[rows]
            for row, number in enumerate(numbers.tolist()):
                called[row] += is_called[here == number].sum(axis=0)
        typed = np.array([(contig == number).sum() for number in numbers], np.int64)
        return cls(called, heterozygous, typed, [sites.contigs[n] for n in numbers.tolist()])

    def warnings(self, names: Sequence[str]) -> list[str]:
        """Warnings that name samples with no genotype or few of them on some contig."""
        rate = self.called / np.maximum(self.typed, 1)[:, None]
        is_empty = (self.called == 0).any(axis=0)
        is_low = (rate < FEW_CALLED).any(axis=0) & ~is_empty
        worst = rate.argmin(axis=0)
        messages = []
        for rows, has_none in ((np.flatnonzero(is_empty), True), (np.flatnonzero(is_low), False)):
            if not len(rows):
                continue
            shown = ", ".join(
                self._named(names[n], int(worst[n]), None if has_none else float(rate[worst[n], n]))
                for n in rows[:_NAMED].tolist()
            )
            more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
            what = (
                f"{plurals.word(len(rows), 'has', 'have')} no called genotype at the typed sites, "
                "so that what is written is little more than the frequencies of the panel"
                if has_none
                else f"{plurals.word(len(rows), 'has', 'have')} called genotypes at less than "
                f"{FEW_CALLED:.0%} of the typed sites and {plurals.word(len(rows), 'is', 'are')} "
                "imputed less accurately"
            )
            messages.append(
                f"{plurals.of(len(rows), 'sample')} {what}: {shown}{more}. samples.tsv in the QC "
                "folder has the call rates; exclude samples with: bcftools view -s ^NAME"
            )
        return messages

    def _named(self, name: str, contig: int, rate: float | None) -> str:
        details = [f"contig {self.contigs[contig]}"] if len(self.contigs) > 1 else []
        details += [f"{rate:.1%}"] if rate is not None else []
        return f"{name} ({', '.join(details)})" if details else name


class ExpectedAccuracy:
    """Sums over imputed sites for the expected r2 of each sample, chunk by chunk."""

    def __init__(self, num_samples: int) -> None:
        """Nothing is imputed yet."""
        self._error = np.zeros(num_samples)
        self._explained = np.zeros(num_samples)

    def add(self, accuracy: NDArray[np.float64]) -> None:
        """Add the imputed sites of a chunk; (2, N) of `JoinedChunk`."""
        self._error += accuracy[0]
        self._explained += accuracy[1]

    def r2(self) -> NDArray[np.float64]:
        """(N,) expected r2 of the imputed alleles; NaN if nothing varies."""
        error, explained = np.maximum(self._error, 0.0), np.maximum(self._explained, 0.0)
        total = error + explained
        r2 = np.full(len(total), np.nan)
        np.divide(explained, total, out=r2, where=total > 0)
        return r2


def table(names: Sequence[str], rates: CallRates, r2: NDArray[np.float64]) -> str:
    """samples.tsv: one line for each sample."""
    typed, called = int(rates.typed.sum()), rates.called.sum(axis=0).tolist()
    lines = ["\t".join(_COLUMNS)]
    for name, count, mixed, expected in zip(
        names, called, rates.heterozygous.tolist(), r2.tolist(), strict=True
    ):
        share = f"{count / typed:.4f}" if typed else "."
        heterozygosity = f"{mixed / count:.4f}" if count else "."
        quality = "." if np.isnan(expected) else f"{expected:.4f}"
        lines.append("\t".join((name, str(typed), str(count), share, heterozygosity, quality)))
    return "".join(f"{line}\n" for line in lines)
