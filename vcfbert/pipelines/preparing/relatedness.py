"""Who is in a panel twice, and who is a close relative of whom across splits.

S sites in the panel, M of them that are looked at, N samples, H = 2 N haplotypes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import kinship, tokens
from vcfbert.domain.kinship import Pairs
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION, Samples, Sites
from vcfbert.errors import InputError
from vcfbert.storage import tables
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.schema import SPLITS

MOST_SAMPLES = 20_000
"""Up to so many samples all pairs are compared; of more, held-out samples with train samples."""

_LISTED = 1_000  # pairs in the QC report
_NAMED = 3  # pairs in a sentence


@dataclass(frozen=True)
class Relatedness:
    """What was found.

    sites      M
    cm         genetic length of what was looked at
    all_pairs  False where only held-out samples were compared, with train samples
    pairs      indexes of samples; with relatives among them where `knows_relatives`
    """

    samples: Samples
    sites: int
    cm: float
    all_pairs: bool
    pairs: Pairs

    @property
    def can_tell(self) -> bool:
        """False where the region is too short even for pairs that are the same."""
        return kinship.can_tell_same(self.sites, self.cm)

    @property
    def knows_relatives(self) -> bool:
        """False where the region is too short to tell relatives from strangers."""
        return self.can_tell and self.cm >= kinship.RELATIVES_CM

    @property
    def is_across(self) -> NDArray[np.bool_]:
        """(n,) True where one of the two is a train sample and the other is not."""
        split = self.samples.split
        across: NDArray[np.bool_] = (split[self.pairs.first] == TRAIN) != (
            split[self.pairs.second] == TRAIN
        )
        return across

    def record(self) -> dict[str, Any]:
        """For the QC report, as JSON types."""
        across, same = self.is_across, self.pairs.is_same
        return {
            "sites": self.sites,
            "cm": round(self.cm, 4),
            "compared": "all pairs" if self.all_pairs else "held-out with train samples",
            "duplicates": int(same.sum()) if self.can_tell else None,
            "duplicates_across_splits": int((same & across).sum()) if self.can_tell else None,
            "relatives": int((~same).sum()) if self.knows_relatives else None,
            "relatives_across_splits": (
                int((~same & across).sum()) if self.knows_relatives else None
            ),
            "note": self._note(),
            "pairs": [self._pair(n) for n in self._order()[:_LISTED]],
            "table_sha256": hashlib.sha256(self.table().encode()).hexdigest(),
        }

    def rows(self) -> list[tuple[str, object]]:
        """For the printed report."""
        if not self.can_tell:
            return [("duplicates", f"not told: {self._short()}")]
        across, same = self.is_across, self.pairs.is_same
        out: list[tuple[str, object]] = [
            ("pairs with the same genotypes", int(same.sum())),
            ("  of train and held-out samples", int((same & across).sum())),
        ]
        if self.knows_relatives:
            out += [
                ("pairs of close relatives", int((~same).sum())),
                ("  of train and held-out samples ", int((~same & across).sum())),
            ]
        return out

    def table(self) -> str:
        """The pairs as `prepare --relatives` reads them."""
        lines = ["#sample1\tsample2\tsplit1\tsplit2\tkinship\tdifferent\tkind"]
        for number in self._order():
            row = self._pair(number)
            lines.append("\t".join(str(value) for value in row.values()))
        return "\n".join([*lines, ""])

    def warnings(self, table: str) -> list[str]:
        """Sentences about pairs that leak.

        table  where the pairs are listed
        """
        found = []
        remedy = f"Prepare again with --relatives {table} --force, or take them out of one split."
        for kind, chosen in (
            ("have the same genotypes", self.pairs.is_same),
            ("are close relatives", ~self.pairs.is_same),
        ):
            leaks = np.flatnonzero(chosen & self.is_across)
            if len(leaks):
                found.append(
                    f"{_pairs(len(leaks))} of a train and a held-out sample who {kind}: "
                    f"{self.named(leaks)}. What is scored on such samples is not what new samples "
                    f"get. {remedy}"
                )
        inside = np.flatnonzero(
            self.pairs.is_same & (self.samples.split[self.pairs.first] == TRAIN) & ~self.is_across
        )
        if len(inside):
            found.append(
                f"{_pairs(len(inside))} of train samples with the same genotypes: "
                f"{self.named(inside)}. In training either finds its answer in the other. {remedy}"
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
        """Pairs across splits first, then those that are the same, then by kinship."""
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
            "kind": "same genotypes" if self.pairs.is_same[number] else "first degree",
        }

    def _short(self) -> str:
        return (
            f"{self.sites:,} common sites over {self.cm:.2f} cM, where {kinship.MIN_SITES} over "
            f"{kinship.MIN_CM:g} are needed"
        )

    def _note(self) -> str:
        if not self.can_tell:
            return f"Strangers may agree everywhere in so short a region: {self._short()}."
        if not self.knows_relatives:
            return (
                "Pairs that agree from end to end only: one sample twice, twins, or siblings who "
                f"inherited the same here. Relatives take {kinship.RELATIVES_CM:g} cM to tell "
                f"from strangers, and this panel has {self.cm:.1f}."
            )
        return f"Close relatives are pairs with a kinship of {kinship.FIRST_DEGREE} or more."


def listed(names: Sequence[str], path: Path | None) -> NDArray[np.int64]:
    """(n, 2) pairs of a file as indexes among `names`; who is not there has no relatives here.

    Raises InputError where nobody of the file is there: it is of another panel.
    """
    if path is None:
        return np.empty((0, 2), np.int64)
    index = {name: number for number, name in enumerate(names)}
    pairs = tables.read_relatives(path)
    if pairs and not any(name in index for pair in pairs for name in pair):
        raise InputError(
            f"{path} names none of the {len(names)} samples who are read ({names[0]}, ...). Give "
            "the list of this panel."
        )
    known = sorted({(index[a], index[b]) for a, b in pairs if a in index and b in index})
    return np.array(known, dtype=np.int64).reshape(-1, 2)


def of_panel(panel: PanelReader, *, held_out_only: bool = False) -> Relatedness:
    """Look into a panel store.

    held_out_only  compare held-out samples with train samples and nobody else
    """

    def read(chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        bits = haplotypes.read_sites(panel, chosen)
        return np.ascontiguousarray(tokens.unpack(bits.view(np.uint8), len(chosen)).T)

    return measure(panel.sites, panel.samples, read, held_out_only=held_out_only)


def measure(
    sites: Sites,
    samples: Samples,
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    *,
    held_out_only: bool = False,
) -> Relatedness:
    """Compare samples at some of the sites.

    read  sites, (M,) rising, to alleles (M, H)
    """
    frequency = sites.alt_count.sum(axis=1) / (2 * len(samples))
    chosen = kinship.thinned(frequency, sites.contig, sites.cm)
    length = kinship.length_cm(sites.contig[chosen], sites.cm[chosen])
    held_out_only = held_out_only or len(samples) > MOST_SAMPLES
    pairs = kinship.no_pairs()
    if kinship.can_tell_same(len(chosen), length):
        alleles = read(chosen)
        genotypes = alleles[:, 0::2] + alleles[:, 1::2]
        least = kinship.FIRST_DEGREE if length >= kinship.RELATIVES_CM else None
        if held_out_only:
            train, others = samples.in_splits(TRAIN), samples.in_splits(VALIDATION, TEST)
            found = kinship.close_pairs(genotypes[:, train], genotypes[:, others], least)
            pairs = found.renamed(train, others)
        else:
            pairs = kinship.close_pairs(genotypes, None, least)
    return Relatedness(samples, len(chosen), length, not held_out_only, pairs)


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count:,} pairs"
