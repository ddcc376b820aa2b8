"""`vcfbert compare`: score several runs on the same samples and hidden sites.

N samples, G frequency groups, n sites in a window's core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import bootstrap, metrics
from vcfbert.domain.bootstrap import Quantity
from vcfbert.domain.metrics import Groups
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.evaluating import evaluate, run_costs
from vcfbert.pipelines.evaluating.cases import EvalOptions, Split
from vcfbert.pipelines.evaluating.comparison_report import Comparison, Line
from vcfbert.pipelines.evaluating.run_costs import RunFacts
from vcfbert.pipelines.evaluating.score_report import EvalSummary
from vcfbert.pipelines.evaluating.scoring import MODEL, Core
from vcfbert.progress import Progress
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs as run_folders


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareOptions:
    """Options of `compare`."""

    runs: tuple[str, ...]
    """Names of the runs; the others are compared with the first."""

    split: Split = "test"
    """Samples to impute."""

    rate: float | None = None
    """Hide this share of the sites. Default, with the first run's validation rate."""

    seed: int | None = None
    """Seed for drawing hidden sites and bootstrap samples; None is the first run's."""

    mask_version: VersionName | None = None
    """Hide the sites of a mask version: its number in the workspace, or its path."""

    typed: Path | None = None
    """Hide all sites except those in this list."""

    edges: tuple[float, ...] = metrics.EDGES
    """Bounds of the bins of minor allele frequency."""

    rare_maf: float | None = None
    """Sites below this minor allele frequency are rare; None is the first run's."""

    draws: int = 1000
    """Bootstrap draws of samples for the intervals."""

    out: Path | None = None
    """Folder for table, figure and reports; None is compare/RUN-vs-RUN in the workspace."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        """Check that there are two different runs and enough draws."""
        if len(set(self.runs)) < 2 or len(set(self.runs)) < len(self.runs):
            raise ConfigError(
                f"compare needs at least two different runs, got: {', '.join(self.runs) or 'none'}."
            )
        if self.draws < 20:
            raise ConfigError(f"draws must be at least 20 for an interval, got {self.draws}")


@dataclass
class SampleSums:
    """Sums of each sample, from which the differences between runs are computed.

    sums    by system, (N, G, 12) from `bootstrap.sums_of_samples`; empty before the first core
    hidden  panel indexes of the hidden sites added so far
    """

    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    hidden: list[int] = field(default_factory=list)

    def add(self, core: Core, members: NDArray[np.bool_]) -> None:
        """Add a core."""
        truth = core.truth[core.is_hidden]
        for system, answer in core.answers.items():
            here = bootstrap.sums_of_samples(truth, answer.at(core.is_hidden), members)
            self.sums[system] = self.sums[system] + here if system in self.sums else here
        self.hidden += (np.flatnonzero(core.is_hidden) + core.first).tolist()


def compare(
    workspace: Workspace, options: CompareOptions, *, progress: Progress, overwrite: bool = False
) -> Comparison:
    """Evaluate each run as `eval` does, on the same samples and sites; write table and figure.

    Raises StoreError if the runs were trained on different panels, and what `evaluate.evaluate`
    raises.
    """
    # Imported here because it loads matplotlib, which no other command needs.
    from vcfbert.pipelines.evaluating import comparison_figure

    facts = [run_costs.of_run(workspace, name) for name in options.runs]
    _check_panels(facts)
    folder = options.out or workspace.root / "compare" / "-vs-".join(options.runs)
    csv_path, json_path, png_path = (folder / f"comparison.{end}" for end in ("csv", "json", "png"))
    for path in (csv_path, json_path, png_path):
        if path.exists() and not overwrite:
            raise StoreError.exists(path)
    copying = next((run for run in facts if _copies(run)), None)
    summaries: list[EvalSummary] = []
    collected: list[SampleSums] = []
    for run in facts:
        progress.note(f"evaluating {run.name}")
        collected.append(SampleSums())
        summaries.append(
            evaluate.evaluate(
                workspace,
                _eval_options(options, facts[0], run, folder, is_first=run is copying),
                progress=progress,
                overwrite=overwrite,
                on_core=collected[-1].add,
            )
        )
    found = _comparison(options, facts, summaries, collected, (csv_path, json_path, png_path))
    stores.write_file(csv_path, found.to_csv().encode())
    stores.write_file(json_path, found.to_json().encode())
    stores.write_file(png_path, comparison_figure.png(found))
    return found


def _check_panels(facts: Sequence[RunFacts]) -> None:
    """Refuse runs of different panels: one may have been trained on the other's test samples."""
    first = facts[0]
    for other in facts[1:]:
        if other.panel != first.panel:
            raise StoreError(
                f"The run {first.name} was trained on the panel {first.panel[:12]} and "
                f"{other.name} on {other.panel[:12]}. Their samples, splits or sites differ, so "
                "their scores cannot be compared. Train one of them again on the other's panel: "
                f"vcfbert train --run {other.name} --force"
            )


def _copies(run: RunFacts) -> bool:
    """Whether the output of a run starts from the alleles of its neighbours."""
    return run.settings.system == "retrieval" and run.settings.model.copy_skip


def _eval_options(
    options: CompareOptions, first: RunFacts, run: RunFacts, folder: Path, *, is_first: bool
) -> EvalOptions:
    """The same samples, sites and groups for every run, regardless of its own settings.

    is_first  whether this is the first run that copies, which is also scored before training
    """
    is_drawn = options.typed is None and options.mask_version is None
    settings = first.settings
    rate = settings.masks.validation_rate if options.rate is None else options.rate
    return EvalOptions(
        run=run.name,
        split=options.split,
        rate=rate if is_drawn else options.rate,
        seed=_seed(options, first) if is_drawn else None,
        mask_version=options.mask_version,
        typed=options.typed,
        output=folder / run.name,
        untrained=is_first,
        device=options.device,
        edges=options.edges,
        rare_maf=_rare_maf(options, first),
    )


def _seed(options: CompareOptions, first: RunFacts) -> int:
    return first.settings.seed if options.seed is None else options.seed


def _rare_maf(options: CompareOptions, first: RunFacts) -> float:
    return first.settings.training.rare_maf if options.rare_maf is None else options.rare_maf


def _comparison(
    options: CompareOptions,
    facts: Sequence[RunFacts],
    summaries: Sequence[EvalSummary],
    collected: Sequence[SampleSums],
    paths: tuple[Path, Path, Path],
) -> Comparison:
    """Scores of every run and their differences from the first."""
    shown = summaries[0].facts
    assert all(other.hidden == collected[0].hidden for other in collected)
    groups = Groups(options.edges, _rare_maf(options, facts[0]))
    seed = _seed(options, facts[0])
    times = bootstrap.draw_samples(shown["samples"], options.draws, seed)
    *_, rare, common, everything = groups.names
    baselines = _baselines(collected)
    columns = [*(one.sums[MODEL] for one in collected), *baselines.values()]
    total = (everything, rare, common)
    lines = [
        *_lines("F1", bootstrap.f1, total, groups, columns, times),
        *_lines(
            "r2", bootstrap.r2, (*total, *groups.names[:-3]), groups,
            columns, times,
        ),
        *_lines("IQS", bootstrap.iqs, total, groups, columns, times),
        *_lines("log loss", bootstrap.log_loss, total, groups, columns, times),
    ]  # fmt: skip
    return Comparison(
        runs=list(facts),
        baselines=list(baselines),
        scores=[line for line in lines if line.sites],
        facts={
            "runs": list(options.runs),
            "panel": shown["panel"],
            "panel_fingerprint": facts[0].panel,
            "split": options.split,
            "samples": shown["samples"],
            "sites": shown["sites"],
            "hidden_sites": shown["hidden_sites"],
            "masks": shown["masks"],
            "masks_from": shown["masks_from"],
            "edges": list(groups.edges),
            "rare_maf": groups.rare_maf,
            "draws": options.draws,
            "seed": seed,
            "versions": run_folders.versions(),
        },
        csv_path=paths[0],
        json_path=paths[1],
        png_path=paths[2],
    )


def _baselines(collected: Sequence[SampleSums]) -> dict[str, NDArray[np.float64]]:
    """Each baseline once, of the first run that has it."""
    found: dict[str, NDArray[np.float64]] = {}
    for one in collected:
        for name, sums in one.sums.items():
            if name != MODEL:
                found.setdefault(name, sums)
    return found


def _lines(
    title: str,
    quantity: Quantity,
    names: Sequence[str],
    groups: Groups,
    columns: Sequence[NDArray[np.float64]],
    times: NDArray[np.float64],
) -> list[Line]:
    """One metric in the named groups.

    columns  sums of the samples, of each run and then of each baseline
    """
    totals = [one.sum(axis=0) for one in columns]  # (G, 12) each
    values = [quantity(total) for total in totals]
    first = columns[0]
    others = [bootstrap.difference(first, one, quantity, times) for one in columns[1:]]
    num_samples = max(len(first), 1)
    out = []
    for name in names:
        place = groups.names.index(name)
        differences = [
            (float(one.value[place]), float(one.low[place]), float(one.high[place]))
            for one in others
        ]
        sites = int(totals[0][place, 3]) // num_samples  # the sum of 1 over samples and sites
        out.append(Line(title, name, sites, [float(v[place]) for v in values], differences))
    return out
