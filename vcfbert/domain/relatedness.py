"""Duplicates and close relatives among the samples of a panel.

S sites in the panel, M of them that are compared, N samples, H = 2 N haplotypes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import kinship, ploidy
from vcfbert.domain.kinship import Pairs
from vcfbert.domain.sites import SPLITS, TEST, TRAIN, VALIDATION, Samples, Sites, whole_frequency

MOST_SAMPLES = 20_000
"""In larger panels only pairs of a held-out and a train sample are compared."""

_LISTED = 1_000  # pairs in the QC report
_NAMED = 3  # pairs in a sentence


@dataclass(frozen=True)
class Relatedness:
    """Pairs of duplicates and, in a long enough panel, of close relatives.

    sites      M
    cm         genetic length of the compared sites
    all_pairs  False if only held-out samples were compared with train samples
    pairs      indexes of samples; close relatives are included if `can_tell_relatives`
    """

    samples: Samples
    sites: int
    cm: float
    all_pairs: bool
    pairs: Pairs

    @property
    def can_tell_duplicates(self) -> bool:
        """False if the region is too short to tell duplicates from strangers."""
        return kinship.can_tell_same(self.sites, self.cm)

    @property
    def can_tell_relatives(self) -> bool:
        """False if the region is too short to tell close relatives from strangers."""
        return self.can_tell_duplicates and self.cm >= kinship.RELATIVES_CM

    @property
    def is_across(self) -> NDArray[np.bool_]:
        """(n,) True if one of the two is a train sample and the other is not."""
        split = self.samples.split
        across: NDArray[np.bool_] = (split[self.pairs.first] == TRAIN) != (
            split[self.pairs.second] == TRAIN
        )
        return across

    def record(self) -> dict[str, Any]:
        """Part of the QC report, as JSON types."""
        across, same = self.is_across, self.pairs.is_same
        return {
            "sites": self.sites,
            "cm": round(self.cm, 4),
            "compared": "all pairs" if self.all_pairs else "held-out with train samples",
            "duplicates": int(same.sum()) if self.can_tell_duplicates else None,
            "duplicates_across_splits": int((same & across).sum())
            if self.can_tell_duplicates
            else None,
            "close_relatives": int((~same).sum()) if self.can_tell_relatives else None,
            "close_relatives_across_splits": (
                int((~same & across).sum()) if self.can_tell_relatives else None
            ),
            "note": self._note(),
            "pairs": [self._pair(n) for n in self._order()[:_LISTED]],
            "table_sha256": hashlib.sha256(self.table().encode()).hexdigest(),
        }

    def rows(self) -> list[tuple[str, object]]:
        """Lines of the printed report."""
        if not self.can_tell_duplicates:
            return [("duplicates", f"cannot be told: {self._short()}")]
        across, same = self.is_across, self.pairs.is_same
        out: list[tuple[str, object]] = [
            ("pairs of duplicates", int(same.sum())),
            ("  of train and held-out samples", int((same & across).sum())),
        ]
        if self.can_tell_relatives:
            out += [
                ("pairs of close relatives", int((~same).sum())),
                ("  of train and held-out samples ", int((~same & across).sum())),
            ]
        return out

    def table(self) -> str:
        """The pairs in the format that `prepare --relatives` reads."""
        lines = ["#sample1\tsample2\tsplit1\tsplit2\tkinship\tdifferent\tkind"]
        for number in self._order():
            row = self._pair(number)
            lines.append("\t".join(str(value) for value in row.values()))
        return "\n".join([*lines, ""])

    def warnings(self, table: str) -> list[str]:
        """Sentences about pairs whose scores or training would leak.

        table  path of the file that lists the pairs
        """
        found = []
        remedy = f"Prepare again with --relatives {table} --force, or move both into one split."
        is_same = self.pairs.is_same
        for kind, chosen in (("duplicates", is_same), ("close relatives", ~is_same)):
            leaks = np.flatnonzero(chosen & self.is_across)
            if len(leaks):
                found.append(
                    f"{plurals.of(len(leaks), 'pair')} of {kind}, each a train and a held-out "
                    f"sample: {self.named(leaks)}. Scores of these held-out samples are too high "
                    f"for new samples. {remedy}"
                )
        is_train = self.samples.split[self.pairs.first] == TRAIN
        inside = np.flatnonzero(is_same & is_train & ~self.is_across)
        if len(inside):
            found.append(
                f"{plurals.of(len(inside), 'pair')} of duplicates among the train samples: "
                f"{self.named(inside)}. In training, each finds its answer in the other. Prepare "
                f"again with --relatives {table} --force."
            )
        return found

    def named(self, chosen: NDArray[np.int64]) -> str:
        """Some pairs by name and split."""
        names, split = self.samples.names, self.samples.split
        words = [
            f"{names[a]} ({SPLITS[split[a]]}) and {names[b]} ({SPLITS[split[b]]})"
            for a, b in zip(
                self.pairs.first[chosen[:_NAMED]].tolist(),
                self.pairs.second[chosen[:_NAMED]].tolist(),
                strict=True,
            )
        ]
        more = len(chosen) - len(words)
        return ", ".join(words) + (f" and {more:,} more" if more else "")

    def _order(self) -> list[int]:
        """Pairs across splits first, then duplicates, then by kinship."""
        keys = (-np.nan_to_num(self.pairs.kinship), ~self.pairs.is_same, ~self.is_across)
        order: list[int] = np.lexsort(keys).tolist()
        return order

    def _pair(self, number: int) -> dict[str, object]:
        a, b = int(self.pairs.first[number]), int(self.pairs.second[number])
        names, split = self.samples.names, self.samples.split
        related = float(self.pairs.kinship[number])
        return {
            "sample1": names[a],
            "sample2": names[b],
            "split1": SPLITS[split[a]],
            "split2": SPLITS[split[b]],
            "kinship": None if np.isnan(related) else round(related, 4),
            "different": round(float(self.pairs.different[number]), 5),
            "kind": "duplicate" if self.pairs.is_same[number] else "close relative",
        }

    def _short(self) -> str:
        return (
            f"{plurals.of(self.sites, 'common site')} over {self.cm:.2f} cM, where "
            f"{kinship.MIN_SITES} over {kinship.MIN_CM:g} are needed"
        )

    def _note(self) -> str:
        if not self.can_tell_duplicates:
            return f"In a region this short, unrelated samples can be identical: {self._short()}."
        if not self.can_tell_relatives:
            return (
                "Duplicates only: one sample twice, twins, or siblings who inherited the same "
                f"haplotypes here. Telling close relatives from strangers takes "
                f"{kinship.RELATIVES_CM:g} cM, and this panel has {self.cm:.1f}."
            )
        return f"Close relatives have a kinship of {kinship.FIRST_DEGREE} or more."


def measure(
    sites: Sites,
    samples: Samples,
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    *,
    held_out_only: bool = False,
) -> Relatedness:
    """Compare the samples of a panel at some of its sites.

    read           from site indexes (M,), rising, to alleles (M, H)
    held_out_only  compare only pairs of a held-out and a train sample
    """

    def genotypes(chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        return genotypes_of(samples, chosen, read(chosen))

    frequency = whole_frequency(sites, samples)
    return compare(
        samples, frequency, sites.contig, sites.cm, genotypes, held_out_only=held_out_only
    )


def genotypes_of(
    samples: Samples, chosen: NDArray[np.int64], alleles: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(M, N) ALT copies; haploid samples count as homozygotes.

    chosen   (M,) indexes of sites
    alleles  (M, H) at these sites
    """
    if samples.haploid is not None:
        alleles = ploidy.as_homozygotes(alleles, samples.haploid.of_sites(chosen))
    copies: NDArray[np.uint8] = alleles[:, 0::2] + alleles[:, 1::2]
    return copies


def compare(
    samples: Samples,
    frequency: NDArray[np.float64],
    contig: NDArray[np.integer],
    cm: NDArray[np.float64],
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    *,
    held_out_only: bool = False,
) -> Relatedness:
    """Compare the samples of a panel at some of n sites.

    frequency, contig, cm  (n,) of ALT, number of the contig, and centimorgans
    read                   from indexes (M,) of these sites, rising, to ALT copies (M, N)
    held_out_only          compare only pairs of a held-out and a train sample
    """
    chosen = kinship.thinned(frequency, contig, cm)
    length = kinship.length_cm(contig[chosen], cm[chosen])
    held_out_only = held_out_only or len(samples) > MOST_SAMPLES
    pairs = kinship.no_pairs()
    if kinship.can_tell_same(len(chosen), length):
        genotypes = read(chosen)
        least = kinship.FIRST_DEGREE if length >= kinship.RELATIVES_CM else None
        if held_out_only:
            train, others = samples.in_splits(TRAIN), samples.in_splits(VALIDATION, TEST)
            found = kinship.close_pairs(genotypes[:, train], genotypes[:, others], least)
            pairs = found.renamed(train, others)
        else:
            pairs = kinship.close_pairs(genotypes, None, least)
    return Relatedness(samples, len(chosen), length, not held_out_only, pairs)
