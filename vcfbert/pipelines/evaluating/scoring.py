"""Scoring predictions as they come, window by window, beside two baselines.

S sites in the panel, n sites in a window's core, N samples to be imputed, L sites in a window.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import dosage, metrics
from vcfbert.domain import sites as site_tables
from vcfbert.domain.dosage import Imputed
from vcfbert.domain.metrics import Groups, Scores, Tally
from vcfbert.errors import StoreError
from vcfbert.progress import Progress
from vcfbert.storage.vcf.prediction_writer import PredictionWriter
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems.predict import WindowPrediction

Genotypes = Literal["haplotypes", "head"]

MODEL = "model"
NEAREST = "nearest haplotype"
MAJOR = "most frequent allele"
SYSTEMS = (MODEL, NEAREST, MAJOR)


@dataclass(frozen=True)
class Core:
    """What is known of a window's core sites after prediction.

    first      panel index of the first of the n sites
    truth      (n, N, 2) true alleles
    is_hidden  (n,)
    answers    by system, each over (n, N); typed sites are as given in every one of them
    """

    first: int
    truth: NDArray[np.uint8]
    is_hidden: NDArray[np.bool_]
    answers: dict[str, Imputed]


OnCore = Callable[[Core, NDArray[np.bool_]], None]
"""Sees a core, and (G, n) which of its hidden sites each frequency group holds."""


def score(
    panel: PanelReader,
    is_hidden: NDArray[np.bool_],
    predictions: Iterable[WindowPrediction],
    *,
    genotypes: Genotypes,
    groups: Groups,
    writer: PredictionWriter | None,
    progress: Progress,
    on_core: OnCore | None = None,
) -> dict[str, dict[str, Scores]]:
    """Scores of each system in each frequency group that has hidden sites.

    is_hidden    (S,) the sites that count; flanks and padding never do
    predictions  all windows in order, each in one or more parts with different samples
    genotypes    whether dosages come from the haplotypes or from the genotype head
    writer       gets every site, hidden and typed, as the model has it
    on_core      sees each core and which frequency groups its hidden sites are in, (G, n)

    Raises StoreError where a prediction is not finite.
    """

    def cores() -> Iterator[Core]:
        for prediction in whole_windows(predictions):
            yield core_of(panel, is_hidden, prediction, genotypes)
            progress.advance()

    return score_cores(panel, cores(), SYSTEMS, groups=groups, writer=writer, on_core=on_core)


def score_cores(
    panel: PanelReader,
    cores: Iterable[Core],
    systems: Sequence[str],
    *,
    groups: Groups,
    writer: PredictionWriter | None,
    on_core: OnCore | None = None,
) -> dict[str, dict[str, Scores]]:
    """Scores of each system in each frequency group that has hidden sites.

    cores    all sites once, in order, with an answer of each of the systems
    writer   gets every site, hidden and typed, as the model has it
    on_core  as in `score`
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
    return {system: _named(tallied, groups) for system, tallied in tallies.items()}


def whole_windows(predictions: Iterable[WindowPrediction]) -> Iterator[WindowPrediction]:
    """Join the parts of each window, because quality per site needs all samples at once."""
    for window, group in itertools.groupby(predictions, key=lambda part: part.window):
        parts = list(group)
        yield WindowPrediction(
            window=window,
            samples=np.concatenate([part.samples for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            is_hidden=np.concatenate([part.is_hidden for part in parts]),
            alt_probability=np.concatenate([part.alt_probability for part in parts]),
            genotype_probability=np.concatenate([part.genotype_probability for part in parts]),
            nearest=np.concatenate([part.nearest for part in parts]),
        )


def core_of(
    panel: PanelReader,
    is_hidden: NDArray[np.bool_],
    prediction: WindowPrediction,
    genotypes: Genotypes,
) -> Core:
    """Cut a prediction to the sites its window answers for."""
    windows, window = panel.windows, prediction.window
    is_core = windows.is_core(window)
    cut = slice(int(windows.core_start[window]), int(windows.core_stop[window]))
    hidden = is_hidden[cut]
    truth = _by_site(prediction.labels, is_core)
    alt = _by_site(prediction.alt_probability, is_core)
    by_head = prediction.genotype_probability[:, is_core].swapaxes(0, 1)
    if not (np.isfinite(alt).all() and np.isfinite(by_head).all()):
        raise StoreError(
            f"The network's probabilities in window {window} are not finite: its weights have "
            "diverged. Train again with a smaller training.learning_rate."
        )
    given = dosage.from_alleles(truth)
    where = hidden[:, None, None]
    alt = np.where(where, alt, given.alt_probability)
    if genotypes == "head":
        by_head = np.where(where, by_head, given.genotype_probability)
        model = dosage.from_genotypes(by_head, alt)
    else:
        model = dosage.from_haplotypes(alt)
    frequency = site_tables.reference_frequency(panel.sites, panel.samples)[cut]
    major = dosage.from_frequency(frequency, len(prediction.samples))
    nearest = dosage.from_alleles(_by_site(prediction.nearest, is_core))
    answers = {MODEL: model, NEAREST: nearest, MAJOR: major}
    return Core(first=cut.start, truth=truth, is_hidden=hidden, answers=answers)


def _by_site(values: NDArray[Any], is_core: NDArray[np.bool_]) -> NDArray[Any]:
    """(N, 2, L) to (n, N, 2)."""
    return values[:, :, is_core].transpose(2, 0, 1)


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
