"""The recipe of the shipped network: simulate panels, impute left-out samples, train one network.

S sites, R references, Q query haplotypes of a simulated panel.
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
from vcfbert.copying import network as copying_network
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.pipelines.chunks import panel_samples
from vcfbert.pipelines.chunks.panel_samples import PanelChunk
from vcfbert.pipelines.mosaic import designs, training_data
from vcfbert.pipelines.mosaic.designs import DesignPanel
from vcfbert.progress import Progress
from vcfbert.training.mosaic import fitting, weight_files
from vcfbert.training.mosaic.fitting import OpenData

VALIDATE_EVERY, VALIDATE_FROM = 12, 5
"""The sixth of every twelve panels is used for validation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainOptions:
    """Options of the recipe; the defaults made the shipped network."""

    first_seed: int = 1_000
    panels: int = 125
    designs: int = 4
    samples: int = 11
    rows_per_design: int = 30_000
    scale: float = 1.0
    """Below 1, smaller panels, for tests."""

    processes: int = 2
    """Panels at a time; the data are the same for any number."""

    seed: int = 1
    network: MosaicConfig = field(
        default_factory=lambda: MosaicConfig(units=64, steps=8_000, weight_decay=0.01)
    )


@dataclass(frozen=True)
class PretrainSummary:
    """Losses in nats per undecided site of the validation panels."""

    path: Path
    fingerprint: str
    rows: int
    copying_loss: float
    loss: float
    seconds: float

    def lines(self) -> list[str]:
        """The summary as text."""
        return [
            f"Trained on {self.rows:,} undecided sites in {self.seconds:.0f} s.",
            f"Loss on other panels: copying model {self.copying_loss:.5f}, "
            f"network {self.loss:.5f}.",
            f"Network: {self.path} (SHA-256 {self.fingerprint[:16]}...)",
        ]


def pretrain(path: Path, options: PretrainOptions, *, progress: Progress) -> PretrainSummary:
    """Make the network and write it.

    path  .safetensors file; replaced if it exists
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
        keep="last",  # the few validation panels differ more than the checks
        on_check=lambda *_: progress.advance(options.network.check_every),
    )
    loss = fitting.loss_of(fitted.network, checked)
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
    fingerprint = weight_files.save(path, fitted.network.arrays(), facts)
    seconds = time.perf_counter() - begun
    copying_loss = fitting.loss(copying_network.copying_only(), checked)
    return PretrainSummary(path, fingerprint, len(data.rows), copying_loss, loss, seconds)


def _all_panels(options: PretrainOptions) -> Iterator[list[OpenData]]:
    """The data of each panel, in the order of seeds."""
    seeds = range(options.first_seed, options.first_seed + options.panels)
    one = partial(collect, options=options)
    if options.processes == 1:
        yield from map(one, seeds)
        return
    # Spawned, because FAISS cannot search after a fork.
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, seeds)


def collect(seed: int, options: PretrainOptions) -> list[OpenData]:
    """Undecided sites of one simulated panel, a part for each design of typed sites."""
    drawn = varied_panels.draw(seed, scale=options.scale)
    rng = np.random.default_rng(seed)
    num_references = len(drawn.references)
    chosen = rng.permutation(len(drawn.queries) // 2)[: options.samples].astype(np.int64)
    left_out = panel_samples.leave_out(
        _chunk(drawn), np.arange(num_references), chosen + num_references // 2
    )
    truth = drawn.truth[site_tables.haplotypes_of(chosen)]
    parts = []
    shown = DesignPanel(drawn.position, drawn.references, np.repeat(drawn.population, 2))
    for design in designs.designs(shown, rng, options.designs):
        typed = panel_samples.typed_at(left_out, design.sites, seed=seed, threads=1)
        most = options.rows_per_design
        parts.append(
            training_data.open_data(typed, left_out, most=most, rng=rng, threads=1, truth=truth)
        )
    return parts


def _chunk(drawn: VariedPanel) -> PanelChunk:
    """References, then queries with their genotyping errors, as one chunk."""
    packed = tokens.pack(np.concatenate([drawn.references, drawn.queries]))
    spare = -packed.shape[1] % 8
    bits = np.ascontiguousarray(np.pad(packed, ((0, 0), (0, spare)))).view(np.uint64)
    num_sites = len(drawn.position)
    return PanelChunk(
        sites=np.arange(num_sites, dtype=np.int64),
        is_core=np.ones(num_sites, np.bool_),
        bits=bits,
        position=drawn.position,
        cm=drawn.cm,
        is_haploid=np.zeros(len(bits) // 2, np.bool_),
    )
