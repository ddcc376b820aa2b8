"""What every evaluation shares: whom it imputes, whom it must not, and where its report goes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config
from vcfbert.domain import metrics
from vcfbert.domain import sites as site_tables
from vcfbert.domain.metrics import Groups, Scores
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.pipelines.evaluating import hidden_sites
from vcfbert.pipelines.evaluating.hidden_sites import Target
from vcfbert.pipelines.evaluating.score_report import EvalSummary
from vcfbert.pipelines.evaluating.scoring import Genotypes
from vcfbert.storage.vcf import prediction_writer
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs

Split = Literal["test", "validation"]
_SPLIT_CODES = {"test": site_tables.TEST, "validation": site_tables.VALIDATION}


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalOptions:
    """Who is imputed by which run, and what is hidden from it."""

    run: str
    """Name of the run; its best checkpoint is used."""

    split: Split = "test"
    """Samples to impute."""

    rate: float | None = None
    """Hide this share of the sites; the default way, with the run's validation rate."""

    seed: int | None = None
    """Seed of the draw by rate; None is the run's own."""

    mask_version: int | None = None
    """Hide the sites of a mask version."""

    typed: Path | None = None
    """Hide all but the sites of this list."""

    panel: Path | None = None
    """Another prepared workspace, whose samples are imputed from its own references."""

    vcf: Path | None = None
    """Also write the predictions here, .vcf.gz or .bcf."""

    output: Path | None = None
    """Folder of the JSON and CSV; None is runs/NAME/eval."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    genotypes: Genotypes = "haplotypes"
    """Dosages and genotype probabilities from independent haplotypes or the genotype head."""

    edges: tuple[float, ...] = metrics.EDGES
    """Bounds of the bins of minor allele frequency."""

    rare_maf: float | None = None
    """Sites below this minor allele frequency are rare; None is what the run was trained with."""


@dataclass(frozen=True)
class Case:
    """An evaluation that is about to begin.

    samples  (N,) to be imputed
    notes   what is doubtful about it
    stem    path of the report without its ending
    """

    panel: PanelReader
    samples: NDArray[np.int64]
    target: Target
    groups: Groups
    notes: list[str]
    stem: Path

    @property
    def names(self) -> list[str]:
        """Names of the samples."""
        return [self.panel.samples.names[sample] for sample in self.samples]


def begin(
    stack: ExitStack,
    workspace: Workspace,
    options: EvalOptions,
    settings: Config,
    trained_on: str,
    *,
    overwrite: bool,
) -> Case:
    """Open the panel, choose samples and sites, and refuse what cannot end well.

    trained_on  fingerprint of the panel that the run was trained on
    """
    if options.seed is not None and (options.typed or options.mask_version is not None):
        raise ConfigError("--seed draws with --rate, and other sites were chosen. Leave it out.")
    run = workspace.run(options.run)
    home = workspace if options.panel is None else Workspace(options.panel)
    rare_maf = settings.training.rare_maf if options.rare_maf is None else options.rare_maf
    groups = Groups(options.edges, rare_maf)
    panel = stack.enter_context(open_panel(home.panel))
    notes = check_strangers(workspace, options, trained_on, panel)
    samples = samples_of(panel, options.split)
    target = hidden_sites.choose(
        home,
        panel,
        seed=settings.seed if options.seed is None else options.seed,
        default_rate=settings.masks.validation_rate,
        rate=options.rate,
        mask_version=options.mask_version,
        typed=options.typed,
    )
    stem = report_stem(run, home, options, target)
    refuse_existing(stem, options.vcf, overwrite=overwrite)
    return Case(panel, samples, target, groups, notes, stem)


def finish(
    case: Case,
    options: EvalOptions,
    scores: dict[str, dict[str, Scores]],
    facts: dict[str, Any],
) -> EvalSummary:
    """Write the report.

    facts  beside those that every evaluation has
    """
    panel, groups = case.panel, case.groups
    common = {
        "run": options.run,
        "split": options.split,
        "panel": str(panel.path),
        "samples": len(case.samples),
        "sites": len(panel.sites),
        "hidden_sites": int(case.target.is_hidden.sum()),
        "masks": case.target.description,
        "masks_from": case.target.origin,
        "genotypes": options.genotypes,
        "edges": list(groups.edges),
        "rare_maf": groups.rare_maf,
        "versions": runs.versions(),
        "notes": case.notes,
    }
    json_path, csv_path = report_files(case.stem)
    summary = EvalSummary(scores, common | facts, json_path, csv_path, options.vcf)
    stores.write_file(csv_path, summary.to_csv().encode())
    stores.write_file(json_path, summary.to_json().encode())  # last: where it is, all is
    return summary


def run_folder(workspace: Workspace, name: str) -> Path:
    """The folder of a run; StoreError naming those there are."""
    run = workspace.run(name)
    if run.is_dir():
        return run
    folder = run.parent
    known = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    raise StoreError(
        f"No run {name!r} in {workspace.root}; there are: {', '.join(known) or 'none'}. "
        f"Train one with: vcfbert train --run {name}"
    )


def check_strangers(
    workspace: Workspace, options: EvalOptions, trained_on: str, panel: PanelReader
) -> list[str]:
    """Make sure that nobody to be imputed has trained the run; what is doubtful is noted.

    trained_on  fingerprint of the panel that the run was trained on
    """
    if trained_on == panel.fingerprint:
        return []
    if options.panel is None:
        raise StoreError(
            f"The run {options.run} was trained on another panel than the one in {workspace.root}, "
            "maybe on its test samples. Train again with: "
            f"vcfbert train --run {options.run} --force"
        )
    unknown = "It is not known who trained the run: its own panel is gone."
    try:
        with open_panel(workspace.panel) as own:
            if own.fingerprint != trained_on:
                return [unknown]
            seen = {own.samples.names[n] for n in own.samples.in_splits(site_tables.TRAIN)}
    except StoreError:
        return [unknown]
    samples = panel.samples.in_splits(_SPLIT_CODES[options.split])
    shared = seen & {panel.samples.names[sample] for sample in samples}
    return (
        [f"{len(shared)} of the samples have trained the run on its own panel."] if shared else []
    )


def samples_of(panel: PanelReader, split: Split) -> NDArray[np.int64]:
    """Whom to impute; InputError where the panel has nobody of the split."""
    samples = panel.samples.in_splits(_SPLIT_CODES[split])
    if len(samples) == 0:
        raise InputError(
            f"{panel.path} has no {split} samples. Prepare it again with a sample table that names "
            f"some, or with --{split}-fraction above 0."
        )
    return samples


def report_stem(run: Path, home: Workspace, options: EvalOptions, target: Target) -> Path:
    """Path of the report without its ending."""
    folder = run / "eval" if options.output is None else options.output
    where = "" if options.panel is None else f"-on-{home.root.resolve().name}"
    drawn = "" if options.seed is None else f"-seed-{options.seed}"
    return folder / f"{options.split}-{target.description}{drawn}{where}"


def report_files(stem: Path) -> tuple[Path, Path]:
    """JSON and CSV; a rate in the name has a dot of its own, so no `with_suffix`."""
    return stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.csv")


def refuse_existing(stem: Path, vcf: Path | None, *, overwrite: bool) -> None:
    """Find out before the work what would stand in the way after it."""
    if vcf is not None:
        prediction_writer.check_path(vcf, overwrite=overwrite)
    path, _ = report_files(stem)  # a table without its JSON is what a stopped command left
    if path.exists() and not overwrite:
        raise StoreError.exists(path)
