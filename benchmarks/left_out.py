"""How often a query has ALT if a neighbour has it, by the copies that its frequency counts.

    python benchmarks/left_out.py WORKSPACE [--preset v18-current] [--samples 240]

Training samples left out alone, training samples left out with their fold, and test samples, all
under masks of half of the sites. The closer the shares of training are to those of test samples,
the better fits what the network learns about neighbours that carry a rare allele.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import RetrievalConfig
from vcfbert.domain import masks, tokens
from vcfbert.domain.sites import TEST, TRAIN
from vcfbert.retrieval.index import open_index
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import features
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.folds import NO_FOLD, Folds, HeldOut

CLASSES = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 43), (44, 1 << 30))
"""First and last number of ALT copies among the reference haplotypes that are counted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--neighbours", type=int, default=32)
    parser.add_argument("--samples", type=int, default=240)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    settings = RetrievalConfig(space="token", num_neighbours=arguments.neighbours)
    with open_panel(workspace.panel) as panel:
        index = open_index(workspace.newest("indexes"), panel_fingerprint=panel.fingerprint)
        folds = Folds.drawn(panel.samples.in_splits(TRAIN), arguments.folds, 1, seed=arguments.seed)
        assert folds is not None
        held_out = HeldOut(panel, folds, None)
        maker = BatchMaker(panel, index, None, settings, held_out=held_out)
        each = max(1, arguments.samples // len(folds.parts))
        by_fold = [(part[:each], fold) for fold, part in enumerate(folds.parts)]
        tested = panel.samples.in_splits(TEST)[: arguments.samples]
        found = {
            "training, alone": counts(panel, maker, [(part, NO_FOLD) for part, _ in by_fold]),
            "training, by fold": counts(panel, maker, by_fold),
            "test": counts(panel, maker, [(tested, NO_FOLD)]),
        }
    print(f"{'copies':>12}" + "".join(f"{name:>30}" for name in found))
    for line, (low, high) in enumerate(CLASSES):
        title = f"{low}" if low == high else f"{low} to {high}" if high < 1 << 30 else f"{low} on"
        cells = (f"{_share(*one[line]):>30}" for one in found.values())
        print(f"{title:>12}" + "".join(cells))


def counts(
    panel: PanelReader, maker: BatchMaker, groups: list[tuple[NDArray[np.int64], int]]
) -> NDArray[np.int64]:
    """(classes, 2) masked alleles with ALT among the neighbours, and those that are ALT."""
    total = np.zeros((len(CLASSES), 2), dtype=np.int64)
    is_masked = masks.draw_masks(panel.windows, seed=1, role="train", version=0, rate=0.5)
    for window in range(len(panel.windows)):
        for samples, fold in groups:
            batch = maker.make(window, samples, is_masked[window], fold=fold)
            seen = batch.features or features.of_window(panel, window)
            train = len(panel.samples.in_splits(TRAIN))
            left_out = (
                0
                if fold == NO_FOLD or maker.held_out is None
                else len(maker.held_out.samples(fold))
            )
            copies = np.rint(seen.frequency.numpy().astype(np.float64) * 2 * (train - left_out))
            has_alt = (batch.neighbour_tokens == tokens.ALT).any(axis=1) & batch.is_hidden
            is_alt = has_alt & (batch.labels == tokens.ALT)
            for line, (low, high) in enumerate(CLASSES):
                here = (copies >= low) & (copies <= high)
                total[line] += has_alt[:, here].sum(), is_alt[:, here].sum()
    return total


def _share(number: int, with_alt: int) -> str:
    """Share and its parts."""
    return f"{with_alt / number:.4f} ({with_alt:,} of {number:,})" if number else "-"


if __name__ == "__main__":
    main()
