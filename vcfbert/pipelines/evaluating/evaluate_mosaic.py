"""`vcfbert eval` for a run of `mosaic`: the split's samples imputed from the train samples alone.

S sites in the panel, n sites in a chunk's core, N samples to be imputed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import config
from vcfbert.copying import engine, network
from vcfbert.copying.network import Answer, Network
from vcfbert.domain import dosage
from vcfbert.domain import sites as site_tables
from vcfbert.domain.dosage import Imputed
from vcfbert.domain.sites import TRAIN
from vcfbert.errors import ConfigError, InputError
from vcfbert.pipelines.chunks import chunk_plan
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.evaluating.cases import Case, EvalOptions
from vcfbert.pipelines.evaluating.scoring import MAJOR, MODEL, Core, Imputation
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.imputing.qc_files import MUCH_OUT_OF_RANGE
from vcfbert.pipelines.mosaic import training_data
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.devices import Device
from vcfbert.training.mosaic import torch_engine
from vcfbert.training.mosaic.mosaic_runs import MosaicRun

HEADS = "heads"
SYSTEMS = (MODEL, HEADS, MAJOR)

_SITES_AT_ONCE = 2_048  # that are scored together


@dataclass
class Shares:
    """Sums over chunks of how much was left to the network.

    pairs         haplotypes and sites
    undecided     of them, those that the heads left undecided
    out_of_range  of these, those with inputs beyond what training saw
    """

    pairs: float = 0.0
    undecided: float = 0.0
    out_of_range: float = 0.0
    typed: list[int] = field(default_factory=list)

    @property
    def beyond_training(self) -> float:
        """Share of the undecided whose inputs are out of range."""
        return self.out_of_range / max(self.undecided, 1.0)

    def add(self, found: engine.ImputedChunk, num_typed: int) -> None:
        """Count a chunk in."""
        here = found.open_share * found.alt.size
        self.pairs += found.alt.size
        self.undecided += here
        self.out_of_range += here * found.out_of_range
        self.typed.append(num_typed)


def impute(run: MosaicRun, case: Case) -> Imputation:
    """Impute the samples of a case, chunk by chunk, from the train samples alone.

    Raises ConfigError if an option does not suit mosaic, InputError if the panel has no train
    samples.
    """
    _check_options(case.options)
    device = _device(case.options, run.network)
    references = case.panel.samples.haplotypes(TRAIN)
    if len(references) == 0:
        raise InputError(f"{case.panel.path} has no train samples to impute from.")
    shares = Shares()
    return Imputation(
        systems=SYSTEMS,
        cores=_cores(case, run.network, device, references, shares),
        facts=lambda: _facts(run, case.panel, references, shares),
    )


def _check_options(options: EvalOptions) -> None:
    """Refuse what there is no such thing as."""
    if options.genotypes != "haplotypes":
        raise ConfigError(
            f"--genotypes {options.genotypes} takes dosages from a genotype head, and "
            f"{options.run} is of mosaic, which has none. Leave it out."
        )


def _device(options: EvalOptions, answer: Answer) -> Device | None:
    """The GPU to use; None for the compiled path."""
    if not isinstance(answer, Network):
        return torch_engine.choose(options.device)
    if options.device not in ("auto", "cpu"):
        raise ConfigError(
            f"{options.run} is of mosaic, which is evaluated on the CPU. Leave out --device."
        )
    return None


def _cores(
    case: Case,
    answer: Answer,
    device: Device | None,
    references: NDArray[np.int64],
    shares: Shares,
) -> Iterator[Core]:
    """All sites of the panel, in order, some at a time."""
    panel = case.panel
    frequency = site_tables.reference_frequency(panel.sites, panel.samples)
    next_site = 0
    for chunk in _chunks(panel, ~case.is_hidden, len(case.samples)):
        yield from _unreached(case, frequency, next_site, chunk.core.start)
        stretch_sites = np.union1d(np.arange(chunk.around.start, chunk.around.stop), chunk.typed)
        stretch = training_data.read_stretch(panel, stretch_sites, chunk.core)
        taken = training_data.take_out(stretch, references, case.samples)
        threads = os.cpu_count() or 1
        typed = np.searchsorted(stretch_sites, chunk.typed)
        ready = training_data.make_ready(taken, typed, seed=ImputeOptions().seed, threads=threads)
        core = np.flatnonzero(stretch.is_core[ready.sites])
        found = {
            MODEL: ready.impute(answer, threads=threads, device=device),
            HEADS: ready.impute(network.heads_only(), threads=threads, device=device),
        }
        shares.add(found[MODEL], len(typed))
        truth = taken.truth()[:, ready.sites[core]].T.reshape(len(core), -1, 2)
        for first in range(0, len(core), _SITES_AT_ONCE):
            part = slice(first, first + _SITES_AT_ONCE)
            here = slice(chunk.core.start + first, chunk.core.start + first + len(core[part]))
            answers = {
                name: dosage.from_haplotypes(one.alt[core[part]]) for name, one in found.items()
            }
            yield _core(case, here, truth[part], answers, frequency)
        next_site = chunk.core.stop
    yield from _unreached(case, frequency, next_site, len(panel.sites))
    if shares.beyond_training > MUCH_OUT_OF_RANGE:
        case.notes.append(
            f"{shares.beyond_training:.1%} of the sites that the network decided have inputs "
            "beyond what it saw in training; it falls back towards the heads there."
        )


def _chunks(panel: PanelReader, is_typed: NDArray[np.bool_], samples: int) -> list[ChunkPlan]:
    """The chunks that `impute` would work on with its usual options."""
    usual = ImputeOptions()
    everywhere = np.ones(len(panel.sites), dtype=np.bool_)
    most = chunk_plan.most_core_sites(2 * len(panel.samples), samples)
    cores = chunk_plan.cut(panel.sites, everywhere, usual.chunk_cm, usual.overlap_cm, most)
    typed = np.flatnonzero(is_typed)
    return chunk_plan.plan(panel.sites, cores, everywhere, typed, usual.min_typed)


def _unreached(case: Case, frequency: NDArray[np.float64], start: int, stop: int) -> Iterator[Core]:
    """Sites of contigs with next to no typed sites: everyone gets the frequency."""
    for first in range(start, stop, _SITES_AT_ONCE):
        here = slice(first, min(first + _SITES_AT_ONCE, stop))
        stretch = training_data.read_stretch(case.panel, np.arange(here.start, here.stop), here)
        truth = stretch.alleles(site_tables.haplotypes_of(case.samples))
        truth = truth.T.reshape(here.stop - here.start, -1, 2)
        is_hidden = case.is_hidden[here]
        alt = np.where(is_hidden[:, None, None], frequency[here, None, None], truth)
        same = dosage.from_haplotypes(alt)
        yield _core(case, here, truth, {MODEL: same, HEADS: same}, frequency)


def _core(
    case: Case,
    here: slice,
    truth: NDArray[np.uint8],
    answers: dict[str, Imputed],
    frequency: NDArray[np.float64],
) -> Core:
    major = dosage.from_frequency(frequency[here], len(case.samples))
    return Core(here.start, truth, case.is_hidden[here], answers | {MAJOR: major})


def _facts(
    run: MosaicRun, panel: PanelReader, references: NDArray[np.int64], shares: Shares
) -> dict[str, Any]:
    """What the report says of the run and what it copied from."""
    return {
        "reference_haplotypes": len(references),
        "chunks": len(shares.typed),
        "typed_sites_of_chunks": shares.typed,
        "undecided": shares.undecided / max(shares.pairs, 1.0),
        "out_of_range": shares.beyond_training,
        "seed": run.settings.seed,
        "network": run.network.fingerprint,
        "fingerprints": {
            "panel": panel.fingerprint,
            **{f"run_{name}": value for name, value in run.parents.items()},
        },
        "settings": config.to_dict(run.settings),
    }
