"""Loss of retrieval if references have other masks than queries (masks.align=false).

    python benchmarks/misalignment.py WORKSPACE [--samples 60] [--seed 1] [--run NAME]

Retrieves for test samples of a prepared panel under random masks, with a row for each rate and
space. `agreement` is the share of masked alleles that the nearest haplotype of the window has, too;
`F1` is the score of copying it. There is no network; the weights of the embedding space are those
of the encoder of a run, or initial ones.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from vcfbert.config import MaskConfig, RetrievalConfig, presets
from vcfbert.domain.sites import TEST
from vcfbert.retrieval.index import open_index
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints, encoding, masking, schedule
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.masking import Masks
from vcfbert.training.systems.schedule import Work

RATES = (0.3, 0.5, 0.8)
SPACES = ("embedding", "token")
SAMPLES_AT_ONCE = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run")
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    with open_panel(workspace.panel) as panel:
        index = open_index(workspace.newest("indexes"), panel_fingerprint=panel.fingerprint)
        if arguments.run is None:
            encoder = encoding.new_encoder(presets.get("v18-current").model, seed=1)
        else:
            encoder = checkpoints.load_encoder(workspace.run(arguments.run))
        embeddings = encoding.EncodedOnDemand(encoder, panel)
        plan = plan_of(panel, arguments.samples, arguments.seed)
        print(f"{arguments.samples} test samples, {len(index.reference_haplotypes)} references")
        print(f"{'space':<11}{'rate':>5}{'masks':>12}{'agreement':>11}{'F1':>8}{'rare F1':>9}")
        for space in SPACES:
            settings = RetrievalConfig(space=space, num_neighbours=1, num_segments=1)
            maker = BatchMaker(panel, index, embeddings, settings)
            for rate in RATES:
                for align in (True, False):
                    hidden = masks_of(panel, arguments.seed, rate, align=align)
                    row = score(maker, hidden, plan)
                    name = "aligned" if align else "misaligned"
                    print(
                        f"{space:<11}{rate:>5}{name:>12}{row[0]:>11.4f}{row[1]:>8.4f}"
                        f"{row[2]:>9.4f}",
                        flush=True,
                    )


def plan_of(panel: PanelReader, samples: int, seed: int) -> list[Work]:
    """Test samples window by window."""
    settings = dataclasses.replace(presets.tiny().training, batch_size=SAMPLES_AT_ONCE)
    settings = dataclasses.replace(settings, validation_batches=0)
    some = np.random.default_rng(seed).permutation(panel.samples.in_splits(TEST))[:samples]
    plan = schedule.plan_validation(some, len(panel.windows), settings, seed=seed)
    return sorted(plan, key=lambda work: work.window)


def masks_of(panel: PanelReader, seed: int, rate: float, *, align: bool) -> Masks:
    settings = MaskConfig(validation_rate=rate, align=align)
    return masking.plan(settings, seed, panel).of_samples("test")


def score(maker: BatchMaker, hidden: Masks, plan: list[Work]) -> tuple[float, float, float]:
    """Agreement, F1 and rare F1 (MAF below 5 %) of the nearest haplotype at masked sites."""
    # Rows: all, rare. Columns: masked, true positives, false positives, false negatives.
    counts = np.zeros((2, 4))
    for work in plan:
        batch = hidden.batch(maker, work)
        where = maker.panel.windows.sites(work.window)
        train = maker.panel.sites.alt_count[where, 0] / len(maker.index.reference_haplotypes)
        is_rare = np.zeros(maker.panel.length, dtype=np.bool_)
        is_rare[: len(train)] = np.minimum(train, 1 - train) < 0.05
        true, called = batch.labels == 1, batch.neighbour_tokens[:, 0] == 1
        for line, chosen in enumerate((batch.is_hidden, batch.is_hidden & is_rare)):
            cells = (
                chosen,
                chosen & true & called,
                chosen & ~true & called,
                chosen & true & ~called,
            )
            counts[line] += [cell.sum() for cell in cells]
    hidden_alleles, _, *wrong = counts[0]
    f1 = 2 * counts[:, 1] / (2 * counts[:, 1] + counts[:, 2] + counts[:, 3])
    return 1 - sum(wrong) / hidden_alleles, f1[0], f1[1]


if __name__ == "__main__":
    main()
