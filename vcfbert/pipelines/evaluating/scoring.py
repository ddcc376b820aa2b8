"""Scores of imputed genotypes, summed up one stretch of sites at a time.

n sites in a core, N samples to impute, G frequency groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import metrics
from vcfbert.domain import sites as site_tables
from vcfbert.domain.dosage import Imputed
from vcfbert.domain.metrics import Groups, Scores, Tally
from vcfbert.progress import Progress
from vcfbert.storage.vcf.prediction_writer import PredictionWriter
from vcfbert.storage.zarr.panel import PanelReader

MODEL = "model"
MAJOR = "most frequent allele"


@dataclass(frozen=True)
class Core:
    """Truth and predictions at consecutive sites.

    first      panel index of the first of the n sites
    truth      (n, N, 2) true alleles
    is_hidden  (n,)
    answers    by system, each over (n, N); typed sites keep their input genotypes
    """

    first: int
    truth: NDArray[np.uint8]
    is_hidden: NDArray[np.bool_]
    answers: dict[str, Imputed]


OnCore = Callable[[Core, NDArray[np.bool_]], None]
"""Called with a core and (G, n) the frequency groups of its hidden sites."""


@dataclass(frozen=True)
class Imputation:
    """Predictions of a run and of its baselines.

    systems  names of the run and the baselines
    cores    every site of the panel once, in order, with an answer of each system
    facts    facts for the report, of JSON types; complete only after all cores were taken
    """

    systems: Sequence[str]
    cores: Iterator[Core]
    facts: Callable[[], dict[str, Any]]


def score(
    panel: PanelReader,
    cores: Iterable[Core],
    systems: Sequence[str],
    *,
    groups: Groups,
    writer: PredictionWriter | None,
    progress: Progress,
    on_core: OnCore | None = None,
) -> dict[str, dict[str, Scores]]:
    """Scores of each system in each frequency group that has hidden sites.

    cores, systems  as in `Imputation`
    writer          writes every site, hidden and typed, as the model has it
    """
    maf = site_tables.minor(site_tables.panel_frequency(panel.sites, panel.samples))
    tallies = dict.fromkeys(systems, Tally.empty(len(groups.names)))
    for core in cores:
        hidden = np.flatnonzero(core.is_hidden) + core.first
        members = groups.members(maf[hidden])
        for system in systems:
            tallies[system] += _tally(core, core.answers[system], members)
        if on_core is not None:
            on_core(core, members)
        if writer is not None:
            writer.write(core.first, core.answers[MODEL], core.is_hidden)
        progress.advance(len(core.is_hidden))
    return {system: _named(tallied, groups) for system, tallied in tallies.items()}


def _tally(core: Core, answer: Imputed, members: NDArray[np.bool_]) -> Tally:
    hidden = answer.at(core.is_hidden)
    return metrics.tally(
        core.truth[core.is_hidden],
        hidden.calls,
        hidden.dosage,
        hidden.genotype_probability,
        members,
    )


def _named(tallied: Tally, groups: Groups) -> dict[str, Scores]:
    """Scores by the names of the groups, without the empty ones."""
    by_group = zip(groups.names, metrics.scores(tallied), strict=True)
    return {name: scored for name, scored in by_group if scored.sites}
