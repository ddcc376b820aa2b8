"""`vcfbert train --preset mosaic`: from a panel to a run folder.

Samples are left out of the panel, in folds, and imputed from the rest as in `impute`, with several
designs of typed sites. The network learns from the sites that the copying model leaves undecided.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vcfbert import config, plurals, versions
from vcfbert.config import Config, MosaicConfig
from vcfbert.copying import network
from vcfbert.copying.network import Network
from vcfbert.domain import dosage, metrics
from vcfbert.domain import sites as site_tables
from vcfbert.domain.metrics import Groups, Scores, Tally
from vcfbert.domain.ploidy import as_homozygotes
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import locks
from vcfbert.pipelines import text_table
from vcfbert.pipelines.chunks import chunk_plan
from vcfbert.pipelines.mosaic import fold_plan, training_data
from vcfbert.pipelines.mosaic.designs import TypedDesign
from vcfbert.pipelines.mosaic.fold_plan import Fold, FoldSource
from vcfbert.progress import Progress
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import devices, machine, runs
from vcfbert.training.mosaic import fitting, mosaic_runs, weight_files
from vcfbert.training.mosaic.fitting import OpenData, loss

COPYING, SHIPPED, TRAINED = "copying", "shipped", "trained"
"""Systems that are compared: the copying model alone, and two networks."""

Designs = dict[int, list[TypedDesign]]
"""Designs of typed sites by chunk."""

Check = tuple[int, float, float]
"""Step, training loss and validation loss."""


@dataclass(frozen=True)
class MosaicOptions:
    """Options of training that are not settings."""

    name: str
    """Folder of the run in `runs/`."""

    typed: tuple[Path, ...] = ()
    """Lists of typed sites to train for; if empty, designs are drawn."""

    threads: int | None = None
    """CPU threads; None is all cores."""

    device: str = "auto"
    """auto or cpu: mosaic always trains on the CPU."""


@dataclass(frozen=True)
class MosaicSummary:
    """Results of a training.

    designs  number of uses of each
    losses   by system, in nats per undecided site of the validation samples
    scores   by system, then by frequency group, of the same samples
    """

    run: Path
    samples: int
    references: int
    rows: int
    designs: Mapping[str, int]
    losses: Mapping[str, float]
    best_step: int
    scores: Mapping[str, Mapping[str, Scores]]
    seconds: float

    def lines(self) -> list[str]:
        """The summary as text."""
        losses = ", ".join(f"{name} {loss:.5f}" for name, loss in self.losses.items())
        return [
            f"Trained on {plurals.of(self.rows, 'undecided site')} of "
            f"{plurals.of(self.samples, 'sample')}, each imputed from {self.references:,} "
            f"haplotypes; {self.seconds:.0f} s.",
            f"Typed as {', '.join(self.designs)}.",
            f"Validation loss in nats per undecided site: {losses} (step {self.best_step:,}).",
            "",
            "r2 of the validation samples",
            *text_table.lines(*self._table()),
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

    Raises StoreError if the panel or the shipped network is missing, or the run exists; InputError
    if the panel has too few samples or a list of typed sites cannot be used.
    """
    _check_device(options.device)
    run = workspace.new_run(options.name)
    with locks.hold(run):
        if run.exists() and not overwrite:
            raise StoreError.exists(run)
        with open_panel(workspace.panel, takes_haploid=True) as panel:
            trained, history, record, summary = _train(run, panel, settings, options, progress)
        mosaic_runs.write(run, settings, trained, record, history, overwrite=overwrite)
    return summary


def _train(
    run: Path,
    panel: PanelReader,
    settings: Config,
    options: MosaicOptions,
    progress: Progress,
) -> tuple[Network, list[Check], dict[str, Any], MosaicSummary]:
    """The network, its checks, and what `run.json` and the terminal say of it."""
    begun = time.perf_counter()
    cpu = devices.choose_device("cpu")
    shipped = _shipped(settings.mosaic)
    threads = options.threads or versions.num_cores()
    devices.set_threads(threads)
    machine.start_peak(cpu)

    lists = fold_plan.read_designs(options.typed, panel)
    plan = fold_plan.draw(panel.samples, settings.mosaic, settings.seed, len(lists))
    num_haplotypes = 2 * len(panel.samples)
    source = FoldSource(
        panel=panel,
        cores=chunk_plan.whole_panel(panel.sites, num_haplotypes, panel.samples.ploidy.start[1:]),
        typed=lists,
        settings=settings.mosaic,
        seed=settings.seed,
        threads=threads,
    )

    num_folds = len(plan.folds) + len(plan.validation)
    progress.start("imputing left-out samples", source.num_units * num_folds)
    training, used = _collect(source, plan.folds, progress)
    held_out = [
        fold.typed_alike(samples, panel.samples, used[fold.number])
        for fold, samples in zip(plan.folds, plan.validation, strict=False)
        if len(samples)
    ]
    validation, _ = _collect(source, held_out, progress)

    trained, history = _fit(settings.mosaic, settings.seed, shipped, training, validation, progress)
    networks = {COPYING: network.copying_only()}
    if shipped is not None:
        networks[SHIPPED] = shipped
    networks[TRAINED] = trained
    summary = MosaicSummary(
        run=run,
        samples=len(np.unique(np.concatenate([fold.samples for fold in plan.folds]))),
        references=len(plan.folds[0].references),
        rows=len(training.rows),
        designs=_names(used),
        losses={name: loss(one, validation) for name, one in networks.items()},
        best_step=min(history, key=lambda check: check[2])[0],
        scores=_scores(source, held_out, networks, progress),
        seconds=time.perf_counter() - begun,
    )
    record = _record(panel, settings, shipped, summary)
    record |= {"peak_memory_bytes": machine.peak_bytes(cpu), "device": machine.describe(cpu)}
    return trained, history, record, summary


def _check_device(name: str) -> None:
    """Refuse a GPU, which training would not use."""
    if name not in ("auto", "cpu"):
        raise ConfigError(f"--device {name}: mosaic trains on the CPU, in minutes. Leave it out.")


def _shipped(settings: MosaicConfig) -> Network | None:
    """The network to start from; None to start from scratch."""
    if settings.start == "scratch":
        return None
    path = weight_files.shipped_path()
    if not path.exists():
        raise StoreError(
            f"The network that training starts from is missing: {path}. Install vcfbert again, or "
            "start from scratch: --set mosaic.start=scratch"
        )
    return weight_files.shipped()


def _collect(
    source: FoldSource, folds: list[Fold], progress: Progress
) -> tuple[OpenData, dict[int, Designs]]:
    """Undecided sites of the samples of some folds, and the designs of each fold."""
    parts: list[OpenData] = []
    used: dict[int, Designs] = {}
    for fold in folds:
        rng = source.rng(fold.number, 1)
        here = used.setdefault(fold.number, {})
        for unit in source.units(fold):
            parts.append(
                training_data.open_data(
                    unit.typed, unit.left_out, source.rows_per_unit, rng, source.threads
                )
            )
            here.setdefault(unit.chunk, []).append(unit.design)
            progress.advance()
    data = fitting.joined(parts)
    if len(data.rows) == 0:
        raise InputError(
            f"No site of {source.panel.path} is undecided in the left-out samples, so there is "
            "nothing to train on. Give other lists with --typed, or use the shipped network: "
            "impute without --run."
        )
    return data, used


def _names(used: Mapping[int, Designs]) -> dict[str, int]:
    """Number of uses of each design."""
    chunks = (designs for of_fold in used.values() for designs in of_fold.values())
    return dict(Counter(design.name for designs in chunks for design in designs))


def _fit(
    settings: MosaicConfig,
    seed: int,
    shipped: Network | None,
    training: OpenData,
    validation: OpenData,
    progress: Progress,
) -> tuple[Network, list[Check]]:
    """Train, and keep the shipped network if it is better on the validation samples."""
    if shipped is None or shipped.weights is None:
        begin = fitting.new_network(training, settings, seed)
    else:
        begin = fitting.continued(shipped.weights, training)
    progress.start("training", settings.steps)
    done = 0

    def on_check(step: int, trained: float, validated: float) -> None:
        nonlocal done
        progress.advance(step - done)
        progress.note(f"step {step:,}: loss {trained:.5f}, validation {validated:.5f}")
        done = step

    fitted = fitting.fit(begin, training, validation, settings, seed, on_check=on_check)
    trained = network.from_arrays(
        fitted.network.arrays(), name=TRAINED, fingerprint="", source="the trained network"
    )
    if shipped is not None and loss(shipped, validation) < loss(trained, validation):
        progress.note("The shipped network is better on the validation samples, so it is kept.")
        return shipped, fitted.history
    return trained, fitted.history


def _scores(
    source: FoldSource,
    folds: list[Fold],
    networks: Mapping[str, Network],
    progress: Progress,
) -> dict[str, dict[str, Scores]]:
    """Scores of the folds' samples by network and frequency group, with one design per chunk."""
    panel, groups = source.panel, Groups(metrics.EDGES, metrics.RARE_MAF)
    maf = site_tables.minor(site_tables.panel_frequency(panel.sites, panel.samples))
    tallies = dict.fromkeys(networks, Tally.empty(len(groups.names)))
    shown = [fold.first_designs() for fold in folds]
    progress.start("scoring", sum(len(fold.designs or ()) for fold in shown))
    for unit in itertools.chain.from_iterable(map(source.units, shown)):
        chunk = unit.left_out.chunk
        masked = np.setdiff1d(np.flatnonzero(chunk.is_core), unit.design.sites)
        members = groups.members(maf[chunk.sites[masked]])
        rows = np.searchsorted(unit.typed.sites, masked)
        truth = as_homozygotes(unit.left_out.truth()[:, masked].T, unit.typed.is_haploid)
        truth = truth.reshape(len(masked), -1, 2)
        for name, one in networks.items():
            alt = unit.typed.impute(one, threads=source.threads).alt[rows]
            imputed = dosage.as_pairs(alt, unit.typed.is_haploid)
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
    """Origin and scores of the run, for `run.json`."""
    return {
        "made_by": f"vcfbert train --preset {settings.preset}",
        "versions": runs.versions(),
        "seed": settings.seed,
        "parents": {"panel": panel.fingerprint},
        "start": settings.mosaic.start if shipped is None else shipped.fingerprint,
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
