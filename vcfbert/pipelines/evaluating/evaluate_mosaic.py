"""`vcfbert eval` for a run of `mosaic`: samples of a split, imputed from the train samples only.

S sites in the panel, n sites in a chunk's core, N samples to impute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import config, versions
from vcfbert.copying import engine, network
from vcfbert.copying.network import Network
from vcfbert.domain import dosage
from vcfbert.domain import sites as site_tables
from vcfbert.domain.dosage import Imputed
from vcfbert.domain.ploidy import as_homozygotes
from vcfbert.domain.sites import TRAIN
from vcfbert.errors import ConfigError, InputError
from vcfbert.pipelines.chunks import chunk_imputation, chunk_plan, panel_samples, switch_rates
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.evaluating.cases import Case
from vcfbert.pipelines.evaluating.scoring import MAJOR, MODEL, Core, Imputation
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.mosaic.mosaic_runs import MosaicRun

COPYING = "copying"
SYSTEMS = (MODEL, COPYING, MAJOR)

_SITES_AT_ONCE = 2_048  # scored at a time


@dataclass
class Shares:
    """Sums over chunks.

    pairs         pairs of a haplotype and a site
    undecided     of them, those that the copying model leaves undecided
    out_of_range  of these, those with inputs outside the range seen in training
    typed         number of typed sites of each chunk
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
        """Add a chunk."""
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
    _check_options(case)
    references = case.panel.samples.haplotypes(TRAIN)
    if len(references) == 0:
        raise InputError(f"{case.panel.path} has no train samples to impute from.")
    shares = Shares()
    return Imputation(
        systems=SYSTEMS,
        cores=_cores(case, run.network, references, shares),
        facts=lambda: _facts(run, case.panel, references, shares),
    )


def _check_options(case: Case) -> None:
    """Refuse options that do not apply to mosaic."""
    options = case.options
    if options.vcf is not None and case.panel.samples.haploid is not None:
        raise ConfigError(
            f"--vcf: {case.panel.path} has haploid samples, which are scored as homozygotes. Leave "
            "it out; impute writes haploid samples."
        )
    if options.genotypes != "haplotypes":
        raise ConfigError(
            f"--genotypes {options.genotypes} needs a genotype head, but {options.run_name} is of "
            "mosaic, which has none. Leave it out."
        )
    if options.device not in ("auto", "cpu"):
        raise ConfigError(
            f"{options.run_name} is of mosaic, which is evaluated on the CPU. Leave out --device."
        )


def _cores(
    case: Case,
    answer: Network,
    references: NDArray[np.int64],
    shares: Shares,
) -> Iterator[Core]:
    """All sites of the panel in order, some at a time."""
    panel, is_hidden = case.panel, case.is_hidden
    frequency = site_tables.reference_frequency(panel.sites, panel.samples)
    threads, next_site = versions.num_cores(), 0
    for chunk in _chunks(panel, ~is_hidden):
        if len(chunk.typed) == 0:
            continue
        yield from _unreached(case, frequency, next_site, chunk.core.start)
        sites = np.union1d(np.arange(chunk.around.start, chunk.around.stop), chunk.typed)
        here = panel_samples.read(panel, sites, chunk.core)
        left_out = panel_samples.leave_out(here, references, case.samples)
        typed = panel_samples.typed_at(
            left_out,
            np.searchsorted(sites, chunk.typed),
            seed=switch_rates.FIT_SEED,
            threads=threads,
        )
        core = np.flatnonzero(here.is_core[typed.sites])
        found = {
            name: typed.impute(one, threads=threads)
            for name, one in ((MODEL, answer), (COPYING, network.copying_only()))
        }
        shares.add(found[MODEL], len(chunk.typed))
        truth = as_homozygotes(left_out.truth()[:, typed.sites[core]].T, typed.is_haploid)
        truth = truth.reshape(len(core), -1, 2)
        for first in range(0, len(core), _SITES_AT_ONCE):
            part = slice(first, first + _SITES_AT_ONCE)
            done = slice(chunk.core.start + first, chunk.core.start + first + len(core[part]))
            answers = {
                name: dosage.as_pairs(one.alt[core[part]], typed.is_haploid)
                for name, one in found.items()
            }
            yield _core(case, done, truth[part], answers, frequency)
        next_site = chunk.core.stop
    yield from _unreached(case, frequency, next_site, len(panel.sites))
    case.notes.extend(chunk_imputation.out_of_range_warnings(shares.beyond_training))


def _chunks(panel: PanelReader, is_typed: NDArray[np.bool_]) -> list[ChunkPlan]:
    """The chunks of `impute` with default options."""
    everywhere = np.ones(len(panel.sites), dtype=np.bool_)
    borders = panel.samples.ploidy.start[1:]
    cores = chunk_plan.whole_panel(panel.sites, 2 * len(panel.samples), borders)
    typed = np.flatnonzero(is_typed)
    return chunk_plan.plan(panel.sites, cores, everywhere, typed, chunk_plan.MIN_TYPED, borders)


def _unreached(case: Case, frequency: NDArray[np.float64], start: int, stop: int) -> Iterator[Core]:
    """Sites of contigs with too few typed sites: all samples get the frequency."""
    first = start
    while first < stop:
        here = slice(*case.panel.samples.ploidy.within(first, min(first + _SITES_AT_ONCE, stop)))
        first = here.stop
        chunk = panel_samples.read(case.panel, np.arange(here.start, here.stop), here)
        truth = chunk.alleles(site_tables.haplotypes_of(case.samples))
        truth = as_homozygotes(truth.T, chunk.is_haploid[case.samples])
        truth = truth.reshape(here.stop - here.start, -1, 2)
        is_hidden = case.is_hidden[here]
        alt = np.where(is_hidden[:, None, None], frequency[here, None, None], truth)
        same = dosage.from_haplotypes(alt)
        yield _core(case, here, truth, {MODEL: same, COPYING: same}, frequency)


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
    """The run and its references, for the report."""
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
