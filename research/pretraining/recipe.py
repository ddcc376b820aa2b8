"""The recipe of the shipped network: simulated panels, samples who are not in them, one network.

S sites, R references, Q query haplotypes of a simulated panel, n samples among them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from research.pretraining import varied_panels
from research.pretraining.varied_panels import VariedPanel
from vcfbert.config import MosaicConfig
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.pipelines.mosaic import designs, training_data
from vcfbert.pipelines.mosaic.training_data import Stretch
from vcfbert.progress import Progress
from vcfbert.training.mosaic import fitting, weight_files
from vcfbert.training.mosaic.fitting import OpenData

VALIDATE_EVERY, VALIDATE_FROM = 12, 5
"""Of every twelve panels the sixth is not trained on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainOptions:
    """What the shipped network was made with."""

    first_seed: int = 1_000
    panels: int = 125
    designs: int = 4
    samples: int = 11
    rows_per_design: int = 30_000
    scale: float = 1.0
    """Shrinks samples and lengths of the panels, for tests."""

    processes: int = 2
    """Panels at a time; the data are the same for any number."""

    seed: int = 1
    network: MosaicConfig = field(
        default_factory=lambda: MosaicConfig(units=64, steps=8_000, weight_decay=0.01)
    )


@dataclass(frozen=True)
class PretrainSummary:
    """Losses in nats an undecided site of the panels that were not trained on."""

    path: Path
    fingerprint: str
    rows: int
    heads_loss: float
    loss: float
    seconds: float

    def lines(self) -> list[str]:
        """Return sentences for a sample."""
        return [
            f"Trained on {self.rows:,} undecided sites in {self.seconds:.0f} s.",
            f"Loss on other panels: heads {self.heads_loss:.5f}, network {self.loss:.5f}.",
            f"Network: {self.path} (SHA-256 {self.fingerprint[:16]}...)",
        ]


def pretrain(path: Path, options: PretrainOptions, *, progress: Progress) -> PretrainSummary:
    """Simulate, impute, train and write a network that knows no real panel.

    path  of the .safetensors file; replaced if it is there
    """
    begun = time.perf_counter()
    train: list[OpenData] = []
    validation: list[OpenData] = []
    progress.start("simulating and imputing", options.panels)
    for number, collected in enumerate(_all_panels(options)):
        parts = validation if number % VALIDATE_EVERY == VALIDATE_FROM else train
        parts.extend(collected)
        progress.advance()
    data, checked = fitting.joined(train), fitting.joined(validation or train[-1:])
    network = fitting.new_network(data, options.network, options.seed)
    progress.start("training", options.network.steps)
    fitted = fitting.fit(
        network,
        data,
        checked,
        options.network,
        options.seed,
        keep="last",  # the few validating panels differ more than the checks do
        on_check=lambda *_: progress.advance(options.network.check_every),
    )
    loss = fitting.loss_of(fitted.network, checked)
    arrays = {name: values.numpy() for name, values in fitted.network.state_dict().items()}
    facts = {
        "made_by": "just pretrain",
        "panels": [options.first_seed, options.panels],
        "designs": options.designs,
        "samples": options.samples,
        "rows_per_design": options.rows_per_design,
        "units": options.network.units,
        "steps": options.network.steps,
        "seed": options.seed,
    }
    fingerprint = weight_files.save(path, arrays, facts)
    seconds = time.perf_counter() - begun
    return PretrainSummary(path, fingerprint, len(data.rows), fitted.heads_loss, loss, seconds)


def _all_panels(options: PretrainOptions) -> Iterator[list[OpenData]]:
    """What `collect` gives for each panel, in the order of their seeds."""
    seeds = range(options.first_seed, options.first_seed + options.panels)
    one = partial(collect, options=options)
    if options.processes == 1:
        yield from map(one, seeds)
        return
    # Spawned, because FAISS cannot search after a fork.
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, seeds)


def collect(seed: int, options: PretrainOptions) -> list[OpenData]:
    """Undecided sites of one simulated panel, one part for each design of typed sites."""
    drawn = varied_panels.draw(seed, scale=options.scale)
    rng = np.random.default_rng(seed)
    num_references = len(drawn.references)
    chosen = rng.permutation(len(drawn.queries) // 2)[: options.samples].astype(np.int64)
    taken = training_data.take_out(
        _stretch(drawn), np.arange(num_references), chosen + num_references // 2
    )
    truth = drawn.truth[site_tables.haplotypes_of(chosen)]
    parts = []
    for design in designs.designs(drawn, rng, options.designs):
        ready = training_data.make_ready(taken, design.sites, seed=seed, threads=1)
        most = options.rows_per_design
        parts.append(
            training_data.open_data(ready, taken, most=most, rng=rng, threads=1, truth=truth)
        )
    return parts


def _stretch(drawn: VariedPanel) -> Stretch:
    """References, then queries, as one stretch; queries are read as they were called."""
    packed = tokens.pack(np.concatenate([drawn.references, drawn.queries]))
    spare = -packed.shape[1] % 8
    bits = np.ascontiguousarray(np.pad(packed, ((0, 0), (0, spare)))).view(np.uint64)
    num_sites = len(drawn.position)
    return Stretch(
        sites=np.arange(num_sites, dtype=np.int64),
        is_core=np.ones(num_sites, np.bool_),
        bits=bits,
        position=drawn.position,
        cm=drawn.cm,
    )
