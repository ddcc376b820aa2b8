"""One evaluation, checked before the work begins: options, samples, hidden sites, report path."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.config import Config
from vcfbert.domain import metrics
from vcfbert.domain import sites as site_tables
from vcfbert.domain.metrics import Groups
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.pipelines.evaluating import hidden_sites
from vcfbert.pipelines.evaluating.hidden_sites import HiddenSites
from vcfbert.storage.vcf import output_file
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace

Split = Literal["test", "validation"]
Genotypes = Literal["haplotypes", "head"]
_SPLIT_CODES = {"test": site_tables.TEST, "validation": site_tables.VALIDATION}


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalOptions:
    """Options of `eval`."""

    run: str | None = None
    """Name of the run, whose best checkpoint is used; None is the network shipped with vcfbert."""

    split: Split = "test"
    """Samples to impute."""

    rate: float | None = None
    """Hide this share of the sites. Default, with the run's validation rate."""

    seed: int | None = None
    """Seed of the draw by rate; None is the run's own."""

    mask_version: VersionName | None = None
    """Hide the sites of a mask version: its number in the workspace, or its path."""

    typed: Path | None = None
    """Hide all sites except those in this list."""

    panel: Path | None = None
    """Another prepared workspace, whose samples are imputed from its own references."""

    vcf: Path | None = None
    """Also write the predictions here, .vcf.gz or .bcf."""

    output: Path | None = None
    """Folder of the JSON and CSV; None is runs/NAME/eval, or eval for the shipped network."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    genotypes: Genotypes = "haplotypes"
    """Dosages and genotype probabilities from independent haplotypes or the genotype head."""

    edges: tuple[float, ...] = metrics.EDGES
    """Bounds of the bins of minor allele frequency."""

    untrained: bool = True
    """Also score the network before training, if it copies."""

    rare_maf: float | None = None
    """Sites below this minor allele frequency are rare; None is the run's training.rare_maf."""

    @property
    def run_name(self) -> str:
        """The run as reports and messages name it."""
        return "shipped" if self.run is None else self.run


@dataclass(frozen=True)
class Case:
    """An evaluation that can begin.

    home     workspace of the panel, masks and index; the run's own unless --panel names another
    samples  (N,) to impute
    notes    warnings for the report
    stem     path of the report without its extension
    """

    options: EvalOptions
    home: Workspace
    panel: PanelReader
    samples: NDArray[np.int64]
    hidden: HiddenSites
    groups: Groups
    notes: list[str]
    stem: Path

    @property
    def names(self) -> list[str]:
        """Names of the samples."""
        return [self.panel.samples.names[sample] for sample in self.samples]

    @property
    def is_hidden(self) -> NDArray[np.bool_]:
        """(S,) True for sites whose genotypes the model does not see."""
        return self.hidden.is_hidden

    @property
    def report_files(self) -> tuple[Path, Path]:
        """JSON and CSV. Not `with_suffix`: a rate in the name contains a dot."""
        stem = self.stem
        return stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.csv")


def open_case(
    stack: ExitStack,
    workspace: Workspace,
    options: EvalOptions,
    settings: Config,
    trained_on: str | None,
    *,
    overwrite: bool,
    takes_haploid: bool,
) -> Case:
    """Open the panel, choose samples and sites, and refuse what would fail later.

    stack       closes the panel
    settings    of the run
    trained_on  fingerprint of the panel the run was trained on; None if trained on no samples
    takes_haploid  True if the run can impute haploid samples

    Raises ConfigError, InputError or StoreError as `evaluate.evaluate` says.
    """
    if options.seed is not None and (options.typed or options.mask_version is not None):
        raise ConfigError(
            "--seed sets the draw of --rate and has no effect on --typed or --mask-version. "
            "Leave it out."
        )
    home = workspace if options.panel is None else Workspace(options.panel)
    rare_maf = settings.training.rare_maf if options.rare_maf is None else options.rare_maf
    groups = Groups(options.edges, rare_maf)
    panel = stack.enter_context(open_panel(home.panel, takes_haploid=takes_haploid))
    notes = _check_training_samples(workspace, options, trained_on, panel)
    samples = _samples_of(panel, options.split)
    hidden = hidden_sites.choose(
        home,
        panel,
        seed=settings.seed if options.seed is None else options.seed,
        default_rate=settings.masks.validation_rate,
        rate=options.rate,
        mask_version=options.mask_version,
        typed=options.typed,
    )
    stem = _report_stem(workspace, home, options, hidden)
    case = Case(options, home, panel, samples, hidden, groups, notes, stem)
    _refuse_existing(case, overwrite=overwrite)
    return case


def _check_training_samples(
    workspace: Workspace, options: EvalOptions, trained_on: str | None, panel: PanelReader
) -> list[str]:
    """Refuse to test a run on the samples it was trained on; return warnings for the report.

    trained_on  fingerprint of the panel the run was trained on
    """
    if trained_on is None or trained_on == panel.fingerprint:
        return []
    if options.panel is None:
        raise StoreError(
            f"The run {options.run} was trained on another panel than the one in {workspace.root}, "
            "and the test samples may be among its training samples. Train again with: "
            f"vcfbert train --run {options.run} --force"
        )
    unknown = (
        "The panel the run was trained on is not in its workspace, so it cannot be checked whether "
        "the evaluated samples were used in training."
    )
    try:
        with open_panel(workspace.panel, takes_haploid=True) as own:
            if own.fingerprint != trained_on:
                return [unknown]
            trained = {own.samples.names[n] for n in own.samples.in_splits(site_tables.TRAIN)}
    except StoreError:
        return [unknown]
    samples = panel.samples.in_splits(_SPLIT_CODES[options.split])
    shared = trained & {panel.samples.names[sample] for sample in samples}
    if not shared:
        return []
    were = plurals.word(len(shared), "was a training sample", "were training samples")
    return [f"{len(shared)} of the evaluated samples {were} of the run."]


def _samples_of(panel: PanelReader, split: Split) -> NDArray[np.int64]:
    """Samples to impute; InputError if the split is empty."""
    samples = panel.samples.in_splits(_SPLIT_CODES[split])
    if len(samples) == 0:
        raise InputError(
            f"{panel.path} has no {split} samples. Prepare it again with a sample table that names "
            f"some, or with --{split}-fraction above 0."
        )
    return samples


def _report_stem(
    workspace: Workspace, home: Workspace, options: EvalOptions, hidden: HiddenSites
) -> Path:
    """Path of the report without its extension."""
    home_of_run = workspace.root if options.run is None else workspace.run(options.run)
    folder = home_of_run / "eval" if options.output is None else options.output
    where = "" if options.panel is None else f"-on-{home.root.resolve().name}"
    drawn = "" if options.seed is None else f"-seed-{options.seed}"
    return folder / f"{options.split}-{hidden.description}{drawn}{where}"


def _refuse_existing(case: Case, *, overwrite: bool) -> None:
    """Refuse output paths before the work instead of after it."""
    if case.options.vcf is not None:
        output_file.check_path(case.options.vcf, overwrite=overwrite)
    path, _ = case.report_files  # a CSV without its JSON is left over from a stopped command
    if path.exists() and not overwrite:
        raise StoreError.exists(path)
