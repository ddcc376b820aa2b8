"""Scores of fusion and segments before training, with initial weights.

    python benchmarks/fusion.py WORKSPACE --typed SITES.tsv [--samples 60] [--seed 1]

Imputes test samples of a prepared panel with the listed sites visible, with a row for each way to
fuse and to retrieve. Nothing is trained, so the differences are due to the method only.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from vcfbert import config
from vcfbert.config import Config
from vcfbert.domain.mask_policies import Fixed
from vcfbert.domain.sites import TEST
from vcfbert.pipelines.evaluating import hidden_sites
from vcfbert.retrieval.index import open_index
from vcfbert.storage import site_lists
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices
from vcfbert.training.systems import encoding, loop, schedule
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.masking import Masks

WAYS = [
    ("mean", 1, 1),
    ("mean", 16, 1),
    ("local", 16, 1),
    ("local", 32, 1),
    ("local", 64, 1),
    ("local", 32, 4),
    ("local", 32, 8),
    ("local", 64, 8),
    ("local", 64, 16),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--typed", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    with open_panel(workspace.panel) as panel:
        index = open_index(workspace.newest("indexes"), panel_fingerprint=panel.fingerprint)
        samples = panel.samples.in_splits(TEST)[: arguments.samples]
        is_typed = site_lists.read_typed(arguments.typed, panel.sites).is_typed
        is_masked = hidden_sites.over_windows(~is_typed, panel.windows)
        hidden = Masks(Fixed(is_masked))
        print(f"{len(samples)} test samples, {len(index.reference_haplotypes)} references")
        print(f"{'fusion':<8}{'K':>4}{'segments':>10}{'F1':>9}{'rare F1':>9}{'seconds':>9}")
        for fusion, neighbours, segments in WAYS:
            settings = settings_of(fusion, neighbours, segments, arguments.seed)
            state = loop.new_state(
                settings.model,
                settings.training,
                settings.seed,
                devices.choose_device("cpu"),
                focal_gamma=settings.loss.focal_gamma,
            )
            embeddings = encoding.EncodedOnDemand(state.model.encoder, panel)
            maker = BatchMaker(panel, index, embeddings, settings.retrieval)
            plan = schedule.plan_validation(samples, len(panel.windows), settings.training, seed=1)
            plan.sort(key=lambda work: work.window)
            begun = time.perf_counter()
            found = loop.validate(
                state,
                settings.loss,
                maker,
                hidden,
                plan,
                lambda: None,
                rare_maf=settings.training.rare_maf,
            )
            seconds = time.perf_counter() - begun
            print(
                f"{fusion:<8}{neighbours:>4}{segments:>10}{found.f1:>9.4f}{found.rare_f1:>9.4f}"
                f"{seconds:>9.1f}",
                flush=True,
            )


def settings_of(fusion: str, neighbours: int, segments: int, seed: int) -> Config:
    """Settings without a transformer, whose initial weights do not affect the haplotype logits."""
    return config.merge(
        Config(seed=seed),
        {
            "model": {"width": 32, "num_layers": 0, "num_heads": 2, "fusion": fusion},
            "retrieval": {"num_neighbours": neighbours, "num_segments": segments},
            "training": {"batch_size": 20},
        },
        source="benchmark",
    )


if __name__ == "__main__":
    main()
