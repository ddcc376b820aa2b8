"""Predictions of windows, cut to the cores that are scored, with the baselines.

S sites in the panel, L sites in a window, n sites in a window's core, N samples to impute.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import dosage
from vcfbert.domain import sites as site_tables
from vcfbert.domain.dosage import Imputed
from vcfbert.errors import StoreError
from vcfbert.pipelines.evaluating.cases import Genotypes
from vcfbert.pipelines.evaluating.scoring import MAJOR, MODEL, Core
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems.predict import WindowPrediction

NEAREST = "nearest haplotype"
COPYING_ONLY = "copying only"
SYSTEMS = (MODEL, NEAREST, MAJOR)
SYSTEMS_WITH_COPYING = (MODEL, COPYING_ONLY, NEAREST, MAJOR)


def cores(
    panel: PanelReader,
    is_hidden: NDArray[np.bool_],
    predictions: Iterable[WindowPrediction],
    genotypes: Genotypes,
    untrained: Iterable[WindowPrediction] | None = None,
) -> Iterator[Core]:
    """The core of each window.

    is_hidden    (S,) sites to score; flanks and padding are never scored
    predictions  all windows in order, each in one or more parts with different samples
    genotypes    whether dosages come from the haplotypes or from the genotype head
    untrained    predictions of the network before training; None if it does not copy

    Raises StoreError if a prediction is not finite.
    """
    if untrained is None:
        for prediction in whole_windows(predictions):
            yield _core_of(panel, is_hidden, prediction, genotypes)
        return
    both = zip(whole_windows(predictions), whole_windows(untrained), strict=True)
    for prediction, before in both:
        core = _core_of(panel, is_hidden, prediction, genotypes)
        copied = _model_answer(panel, is_hidden, before, genotypes)
        answers = core.answers | {COPYING_ONLY: copied}
        yield replace(core, answers={name: answers[name] for name in SYSTEMS_WITH_COPYING})


def whole_windows(predictions: Iterable[WindowPrediction]) -> Iterator[WindowPrediction]:
    """Join the parts of each window, because metrics per site need all samples at once."""
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


def _core_of(
    panel: PanelReader,
    is_hidden: NDArray[np.bool_],
    prediction: WindowPrediction,
    genotypes: Genotypes,
) -> Core:
    """Cut a prediction to the core of its window."""
    is_core, cut = _core(panel, prediction)
    truth = _by_site(prediction.labels, is_core)
    frequency = site_tables.reference_frequency(panel.sites, panel.samples)[cut]
    answers = {
        MODEL: _model_answer(panel, is_hidden, prediction, genotypes),
        NEAREST: dosage.from_alleles(_by_site(prediction.nearest, is_core)),
        MAJOR: dosage.from_frequency(frequency, len(prediction.samples)),
    }
    return Core(first=cut.start, truth=truth, is_hidden=is_hidden[cut], answers=answers)


def _core(panel: PanelReader, prediction: WindowPrediction) -> tuple[NDArray[np.bool_], slice]:
    """(L,) True in the core of the window of a prediction, and the sites of the core."""
    windows, window = panel.windows, prediction.window
    return windows.is_core(window), slice(
        int(windows.core_start[window]), int(windows.core_stop[window])
    )


def _model_answer(
    panel: PanelReader,
    is_hidden: NDArray[np.bool_],
    prediction: WindowPrediction,
    genotypes: Genotypes,
) -> Imputed:
    """What a network says about the core of a window; visible sites keep their alleles."""
    is_core, cut = _core(panel, prediction)
    hidden = is_hidden[cut]
    truth = _by_site(prediction.labels, is_core)
    alt = _by_site(prediction.alt_probability, is_core)
    by_head = prediction.genotype_probability[:, is_core].swapaxes(0, 1)
    if not (np.isfinite(alt).all() and np.isfinite(by_head).all()):
        raise StoreError(
            f"The network's probabilities in window {prediction.window} are not finite: its "
            "weights have diverged. Train again with a smaller training.learning_rate."
        )
    given = dosage.from_alleles(truth)
    where = hidden[:, None, None]
    alt = np.where(where, alt, given.alt_probability)
    if genotypes == "head":
        by_head = np.where(where, by_head, given.genotype_probability)
        return dosage.from_genotypes(by_head, alt)
    return dosage.from_haplotypes(alt)


def _by_site(values: NDArray[Any], is_core: NDArray[np.bool_]) -> NDArray[Any]:
    """(N, 2, L) to (n, N, 2)."""
    return values[:, :, is_core].transpose(2, 0, 1)
