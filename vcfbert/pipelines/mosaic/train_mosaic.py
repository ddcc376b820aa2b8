"""`vcfbert train --preset mosaic`, or `mosaic-large`: a panel in, a run folder out.

Samples are taken out of the panel, in folds, and imputed from the rest as `impute` does it, under
several designs of typed sites. The small network learns from the sites that the heads leave
undecided, in minutes on a CPU; the large one begins where the small one ends.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vcfbert import config
from vcfbert.config import Config
from vcfbert.copying import network
from vcfbert.copying.network import Answer, Network
from vcfbert.domain import dosage, metrics
from vcfbert.domain import sites as site_tables
from vcfbert.domain.metrics import Groups, Scores, Tally
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import locks
from vcfbert.pipelines.chunks import chunk_plan
from vcfbert.pipelines.chunks.chunk_imputation import SAMPLES_AT_ONCE
from vcfbert.pipelines.chunks.chunk_plan import Cores
from vcfbert.pipelines.evaluating.score_report import aligned
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.mosaic import fold_plan, training_data
from vcfbert.pipelines.mosaic.designs import TypedDesign
from vcfbert.pipelines.mosaic.fold_plan import Fold, Source
from vcfbert.progress import Progress
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, machine, runs
from vcfbert.training.devices import Device
from vcfbert.training.mosaic import fitting, mosaic_large, mosaic_runs, weight_files
from vcfbert.training.mosaic.fitting import Fitted, OpenData
from vcfbert.training.mosaic.mosaic_large import LargeNetwork, OpenSequences

HEADS, SHIPPED, SMALL, TRAINED = "heads", "shipped", "small", "trained"

KEPT_SMALL = (
    "The transformer is no better than the small network on the validation samples, so the run "
    "holds the small network."
)

_SMALLEST = 1e-7

Designs = dict[int, list[TypedDesign]]
"""Designs of typed sites by chunk."""


@dataclass(frozen=True)
class MosaicOptions:
    """What changes with the machine or the run."""

    name: str
    """Folder of the run below `runs/`."""

    typed: tuple[Path, ...] = ()
    """Lists of typed sites to train for; empty draws designs."""

    threads: int | None = None
    """CPU threads; None is all cores."""

    device: str = "auto"
    """Where the large network is trained: cpu, cuda, cuda:N, or auto for a GPU where there is one.
    The small one is always trained on the CPU."""


@dataclass(frozen=True)
class MosaicSummary:
    """How a run ended.

    network  what the run holds: the small network, or the large
    designs  how often each was used
    losses   by system, in nats an undecided site of the validation samples
    scores   by system, then by frequency group, of the same samples
    """

    run: Path
    network: str
    samples: int
    references: int
    rows: int
    designs: Mapping[str, int]
    losses: Mapping[str, float]
    best_step: int
    scores: Mapping[str, Mapping[str, Scores]]
    seconds: float

    def lines(self) -> list[str]:
        """Return sentences for a sample."""
        losses = ", ".join(f"{name} {loss:.5f}" for name, loss in self.losses.items())
        return [
            f"Trained on {self.rows:,} undecided sites of {self.samples:,} samples, each imputed "
            f"from {self.references:,} haplotypes; {self.seconds:.0f} s.",
            f"Typed as {', '.join(self.designs)}.",
            f"Validation loss, nats an undecided site: {losses} (step {self.best_step:,}).",
            *([KEPT_SMALL] if SMALL in self.losses and self.network == "small" else []),
            "",
            "r2 of the validation samples",
            *aligned(*self._table()),
            "",
            f"Run folder: {self.run}",
        ]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        names = next(iter(self.scores.values()))
        rows = [
            [name, f"{names[name].sites:,}", *(f"{of[name].r2:.4f}" for of in self.scores.values())]
            for name in names
        ]
        return ["sites by MAF", "sites", *self.scores], rows


def train(
    workspace: Workspace,
    settings: Config,
    options: MosaicOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> MosaicSummary:
    """Train a run.

    Raises StoreError where the panel or the shipped weights are missing or the run is there,
    InputError where the panel has too few samples or a list of typed sites is of no use.
    """
    run = workspace.new_run(options.name)
    with locks.hold(run):
        if run.exists() and not overwrite:
            raise StoreError.exists(run)
        return _train_run(run, workspace, settings, options, progress, overwrite)


def _train_run(
    run: Path,
    workspace: Workspace,
    settings: Config,
    options: MosaicOptions,
    progress: Progress,
    overwrite: bool,
) -> MosaicSummary:
    begun = time.perf_counter()
    shipped = _shipped(settings)
    threads = options.threads or os.cpu_count() or 1
    devices.set_threads(threads)
    device = _device(settings, options)
    machine.start_peak(device)
    with open_panel(workspace.panel) as panel:
        lists = fold_plan.read_designs(options.typed, panel)
        plan = fold_plan.draw(panel.samples, settings.mosaic, settings.seed, len(lists))
        source = Source(
            panel=panel,
            cores=cut(panel),
            typed=lists,
            settings=settings.mosaic,
            seed=settings.seed,
            threads=threads,
        )
        num_folds = len(plan.folds) + len(plan.validation)
        progress.start("imputing samples taken out", source.num_units * num_folds)
        training, used = _collect(source, plan.folds, progress)
        held_out = [
            fold.typed_alike(samples, panel.samples, used[fold.number])
            for fold, samples in zip(plan.folds, plan.validation, strict=False)
            if len(samples)
        ]
        validation, _ = _collect(source, held_out, progress)
        trained = _train(settings, shipped, training, validation, device, progress)
        summary = MosaicSummary(
            run=run,
            network=trained.kind,
            samples=len(np.unique(np.concatenate([fold.samples for fold in plan.folds]))),
            references=len(plan.folds[0].references),
            rows=len(rows_of(training).rows),
            designs=_names(used),
            losses=trained.losses,
            best_step=min(trained.history[trained.kind], key=lambda check: check[2])[0],
            scores=_scores(source, held_out, trained.networks, device, progress),
            seconds=time.perf_counter() - begun,
        )
        record = _record(panel, settings, shipped, summary)
        record["peak_memory_bytes"] = machine.peak_bytes(device)
        record["device"] = machine.describe(device)
    kept = trained.networks[TRAINED]
    mosaic_runs.write(run, settings, kept, record, trained.history, overwrite=overwrite)
    return summary


def cut(panel: PanelReader) -> Cores:
    """The chunks that `impute` cuts a panel into."""
    usual = ImputeOptions()
    most = chunk_plan.most_core_sites(2 * len(panel.samples), SAMPLES_AT_ONCE)
    everywhere = np.ones(len(panel.sites), dtype=np.bool_)
    return chunk_plan.cut(panel.sites, everywhere, usual.chunk_cm, usual.overlap_cm, most)


def rows_of(data: OpenData | OpenSequences) -> OpenData:
    """The rows, whichever haplotypes they are of."""
    return data.data if isinstance(data, OpenSequences) else data


def loss(answer: Network, data: OpenData) -> float:
    """Mean cross-entropy in nats."""
    values = answer.of_rows(data.rows)[0].astype(np.float64).clip(_SMALLEST, 1 - _SMALLEST)
    return float(-np.log(np.where(data.labels == 1, values, 1 - values)).mean())


def _device(settings: Config, options: MosaicOptions) -> Device:
    """Where the network is trained; ConfigError where a GPU is asked for that is of no use."""
    if settings.mosaic.network == "large":
        return devices.choose_device(options.device)
    if options.device not in ("auto", "cpu"):
        raise ConfigError(
            f"--device {options.device}: the small network trains on the CPU, in minutes. Leave "
            "it out, or train --preset mosaic-large."
        )
    return devices.choose_device("cpu")


def _shipped(settings: Config) -> Network | None:
    """The network to start from; None for one that answers as the heads do."""
    if settings.mosaic.start == "scratch":
        return None
    path = weight_files.shipped_path()
    if not path.exists():
        raise StoreError(
            f"This installation lacks the network that training starts from, {path}. Install "
            "vcfbert again, or start without one: --set mosaic.start=scratch"
        )
    return weight_files.shipped()


def _collect(
    source: Source, folds: list[Fold], progress: Progress
) -> tuple[OpenData | OpenSequences, dict[int, Designs]]:
    """Undecided sites of samples of some folds, and how each fold was typed.

    Of whole haplotypes where the network reads them so.
    """
    rows: list[OpenData] = []
    sequences: list[OpenSequences] = []
    used: dict[int, Designs] = {}
    for fold in folds:
        rng = source.rng(fold.number, 1)
        here = used.setdefault(fold.number, {})
        for unit in source.units(fold):
            given = (unit.ready, unit.taken, source.rows_per_unit, rng, source.threads)
            if source.settings.network == "large":
                sequences.append(training_data.open_sequences(*given))
            else:
                rows.append(training_data.open_data(*given))
            here.setdefault(unit.chunk, []).append(unit.design)
            progress.advance()
    data = mosaic_large.joined(sequences) if sequences else fitting.joined(rows)
    if len(rows_of(data).rows) == 0:
        raise InputError(
            f"No site of {source.panel.path} is left undecided in samples taken out, so there is "
            "nothing to train on. Give other lists with --typed, or use the shipped network: "
            "impute without --run."
        )
    return data, used


def _names(used: Mapping[int, Designs]) -> dict[str, int]:
    """How often each design was used."""
    chunks = (designs for of_fold in used.values() for designs in of_fold.values())
    return dict(Counter(design.name for designs in chunks for design in designs))


@dataclass(frozen=True)
class _Trained:
    """What training came to.

    kind      of the network that is kept
    networks  by system, the last of them kept
    losses    of the same, on the validation samples
    history   checks by the kind of the network
    """

    kind: str
    networks: dict[str, Answer]
    losses: dict[str, float]
    history: dict[str, list[tuple[int, float, float]]]


def _train(
    settings: Config,
    shipped: Network | None,
    training: OpenData | OpenSequences,
    validation: OpenData | OpenSequences,
    device: Device,
    progress: Progress,
) -> _Trained:
    """Train the small network, and the large one where it is asked for."""
    rows, checked = rows_of(training), rows_of(validation)
    fitted, small = _fit(settings, shipped, rows, checked, progress)
    networks: dict[str, Answer] = {HEADS: network.heads_only()}
    losses = {HEADS: loss(network.heads_only(), checked)}
    if shipped is not None:
        networks[SHIPPED], losses[SHIPPED] = shipped, loss(shipped, checked)
    history = {"small": fitted.history}
    if isinstance(training, OpenData) or isinstance(validation, OpenData):
        losses[TRAINED] = loss(small, checked)
        return _Trained("small", networks | {TRAINED: small}, losses, history)
    networks[SMALL], losses[SMALL] = small, loss(small, checked)
    assert small.weights is not None
    begin = mosaic_large.new_network(small.weights, settings.model, settings.seed)
    on_check = _reporter(progress, "training the transformer", settings.mosaic.transformer_steps)
    large = mosaic_large.fit(begin, training, validation, settings, device, on_check=on_check)
    history["large"] = large.history
    if large.best_loss >= large.start_loss:
        progress.note(KEPT_SMALL)
        losses[TRAINED] = losses[SMALL]
        return _Trained("small", networks | {TRAINED: small}, losses, history)
    losses[TRAINED] = large.best_loss
    chosen = settings.mosaic
    kept = LargeNetwork(TRAINED, "", large.network, settings.model, chosen.stretch, chosen.overlap)
    return _Trained("large", networks | {TRAINED: kept}, losses, history)


def _reporter(progress: Progress, stage: str, steps: int) -> Callable[[int, float, float], None]:
    """Begin a stage of training; what is returned is told of each check."""
    progress.start(stage, steps)
    done = 0

    def on_check(step: int, trained: float, validated: float) -> None:
        nonlocal done
        progress.advance(step - done)
        progress.note(f"step {step:,}: loss {trained:.5f}, validation {validated:.5f}")
        done = step

    return on_check


def _fit(
    settings: Config,
    shipped: Network | None,
    training: OpenData,
    validation: OpenData,
    progress: Progress,
) -> tuple[Fitted, Network]:
    """Train, and take the shipped network where that is better on the validation samples."""
    chosen, seed = settings.mosaic, settings.seed
    if shipped is None or shipped.weights is None:
        begin = fitting.new_network(training, chosen, seed)
    else:
        begin = fitting.continued(shipped.weights, training)
    on_check = _reporter(progress, "training", chosen.steps)
    fitted = fitting.fit(begin, training, validation, chosen, seed, on_check=on_check)
    arrays = fitting.weights_of(fitted.network)
    answer = network.from_arrays(arrays, name=TRAINED, fingerprint="", source="the trained network")
    if shipped is not None and loss(shipped, validation) < loss(answer, validation):
        progress.note("The shipped network is better on the validation samples, so it is kept.")
        return fitted, shipped
    return fitted, answer


def _scores(
    source: Source,
    folds: list[Fold],
    networks: Mapping[str, Answer],
    device: Device,
    progress: Progress,
) -> dict[str, dict[str, Scores]]:
    """Scores of the folds' samples by network and frequency group, one design a chunk."""
    panel, groups = source.panel, Groups(metrics.EDGES, metrics.RARE_MAF)
    maf = site_tables.minor(site_tables.panel_frequency(panel.sites, panel.samples))
    tallies = dict.fromkeys(networks, Tally.empty(len(groups.names)))
    shown = [fold.first_designs() for fold in folds]
    gpu = None if device.type == "cpu" else device
    progress.start("scoring", sum(len(fold.designs or ()) for fold in shown))
    for unit in itertools.chain.from_iterable(map(source.units, shown)):
        stretch = unit.taken.stretch
        hidden = np.setdiff1d(np.flatnonzero(stretch.is_core), unit.design.sites)
        members = groups.members(maf[stretch.sites[hidden]])
        rows = np.searchsorted(unit.ready.sites, hidden)
        truth = unit.taken.truth()[:, hidden].T.reshape(len(hidden), -1, 2)
        for name, answer in networks.items():
            alt = unit.ready.impute(answer, threads=source.threads, device=gpu).alt[rows]
            imputed = dosage.from_haplotypes(alt)
            tallies[name] += metrics.tally(
                truth, imputed.calls, imputed.dosage, imputed.genotype_probability, members
            )
        progress.advance()
    return {
        name: {
            group: scored
            for group, scored in zip(groups.names, metrics.scores(tallied), strict=True)
            if scored.sites
        }
        for name, tallied in tallies.items()
    }


def _record(
    panel: PanelReader, settings: Config, shipped: Network | None, summary: MosaicSummary
) -> dict[str, Any]:
    """What the run's files say of how it was made."""
    return {
        "made_by": f"vcfbert train --preset {settings.preset}",
        "versions": runs.versions(),
        "seed": settings.seed,
        "parents": {"panel": panel.fingerprint},
        "start": settings.mosaic.start if shipped is None else shipped.fingerprint,
        "network": summary.network,
        "settings": config.to_dict(settings)["mosaic"],
        "samples": summary.samples,
        "reference_haplotypes": summary.references,
        "undecided_sites": summary.rows,
        "designs": dict(summary.designs),
        "losses": dict(summary.losses),
        "best_step": summary.best_step,
        "validation_r2": {
            name: {
                group: None if math.isnan(scored.r2) else scored.r2
                for group, scored in by_group.items()
            }
            for name, by_group in summary.scores.items()
        },
        "seconds": summary.seconds,
    }
