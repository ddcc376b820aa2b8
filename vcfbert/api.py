"""The public functions of vcfbert; `import vcfbert` makes them available as `vcfbert.NAME`.

Each runs one stage, as the command of the same name does: the same defaults, the same files. Paths
are strings or `Path`s. A function returns a summary, whose `lines()` are what the command prints,
and raises `VcfbertError` with the message that the command would print. Nothing is shown while it
runs unless `progress` is given. Heavy libraries are imported by the call, not by `import vcfbert`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vcfbert.progress import Progress, Silent

if TYPE_CHECKING:
    from vcfbert.pipelines.evaluating.score_report import EvalSummary
    from vcfbert.pipelines.imputing.genome_report import GenomeSummary
    from vcfbert.pipelines.imputing.qc_files import ImputeSummary
    from vcfbert.pipelines.merging.merge import MergeSummary
    from vcfbert.pipelines.mosaic.train_mosaic import MosaicSummary
    from vcfbert.pipelines.phasing.phase import PhaseSummary
    from vcfbert.pipelines.preparing.prepare import PrepareSummary
    from vcfbert.pipelines.preparing.simulate import SimulateSummary
    from vcfbert.pipelines.systems.train_systems import TrainSummary
    from vcfbert.storage.zarr.workspace import Workspace

StrPath = str | Path
_SILENT = Silent()


def simulate(
    folder: StrPath,
    *,
    num_samples: int = 500,
    length: int = 2_000_000,
    seed: int = 1,
    chromosome: Literal["1", "X"] = "1",
    overwrite: bool = False,
    progress: Progress = _SILENT,
) -> SimulateSummary:
    """Simulate a phased panel of `length` bases and a target into a folder."""
    from vcfbert.pipelines.preparing import simulate as stage

    options = stage.SimulateOptions(
        num_samples=num_samples, length=length, seed=seed, chromosome=chromosome
    )
    return stage.simulate(Path(folder), options, progress=progress, overwrite=overwrite)


def prepare(
    panel: StrPath | Sequence[StrPath],
    *,
    workspace: StrPath = "work",
    samples: StrPath | None = None,
    relatives: StrPath | None = None,
    genetic_map: StrPath | None = None,
    region: str | None = None,
    min_maf: float = 0.0,
    min_mac: int = 0,
    window_size: int = 1030,
    flank: int = 32,
    windows: StrPath | None = None,
    validation_fraction: float = 0.04,
    test_fraction: float = 0.1,
    missing: Literal["fill", "drop", "error", "major"] = "fill",
    unphased: Literal["error", "drop"] = "error",
    phase_panel: bool = False,
    sex: StrPath | None = None,
    par: str | None = None,
    max_dropped: float = 0.2,
    seed: int = 1,
    threads: int | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    progress: Progress = _SILENT,
) -> PrepareSummary:
    """Convert a phased panel (.vcf, .vcf.gz, .bcf), one file or several, for a workspace."""
    from vcfbert.pipelines.preparing import prepare as stage

    options = stage.PrepareOptions(
        samples=_path(samples),
        relatives=_path(relatives),
        genetic_map=_path(genetic_map),
        region=region,
        min_maf=min_maf,
        min_mac=min_mac,
        window_size=window_size,
        flank=flank,
        windows=_path(windows),
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        missing=missing,
        unphased=unphased,
        phase_panel=phase_panel,
        sex=_path(sex),
        par=par,
        max_dropped=max_dropped,
        seed=seed,
    )
    return stage.prepare(
        _paths(panel),
        _workspace(workspace),
        options,
        progress=progress,
        overwrite=overwrite,
        skip_existing=skip_existing,
        threads=threads,
    )


def impute(
    target: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    workspace: StrPath = "work",
    run: str | None = None,
    no_network: bool = False,
    genetic_map: StrPath | None = None,
    region: str | None = None,
    sites: StrPath | None = None,
    fields: Sequence[str] = ("GT", "DS", "HDS", "GP"),
    er2: bool = False,
    all_typed_sites: bool = False,
    empirical: bool = False,
    unphased: Literal["phase", "error", "missing", "as-written"] = "phase",
    phase: Literal["keep", "refine", "redo"] = "keep",
    phase_draws: int = 32,
    target_references: Literal["auto", "on", "off"] = "auto",
    phasing_passes: int = 2,
    trios: StrPath | None = None,
    mendel: bool = False,
    strand: Literal["fix", "drop", "error"] = "fix",
    sex: StrPath | None = None,
    par: str | None = None,
    exclude_samples: StrPath | Sequence[str] | None = None,
    force_samples: bool = False,
    min_typed: int = 5,
    chunk_cm: float = 10.0,
    overlap_cm: float = 2.0,
    qc: StrPath | None = None,
    memory: str | None = None,
    parts: StrPath | None = None,
    keep_parts: bool = False,
    seed: int = 1,
    device: str = "cpu",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = _SILENT,
) -> ImputeSummary | GenomeSummary:
    """Impute the samples of a VCF or BCF from the panel of a workspace; writes `out` and QC files.

    target             one file, or several with other contigs of the same samples
    out                with {contig} in its name, each contig gets a file
    no_network         use the copying model alone
    exclude_samples    samples of the panel to leave out: names, or a file of names
    target_references  phase with the other samples of the target, too
    memory             such as "4G"; None uses half of what is free; the output does not depend on
                       it
    threads            None uses all cores; the output does not depend on it
    """
    from vcfbert.pipelines.imputing import genome
    from vcfbert.pipelines.imputing import impute as stage

    options = stage.ImputeOptions(
        run=run,
        no_network=no_network,
        genetic_map=_path(genetic_map),
        region=region,
        threads=threads,
        seed=seed,
        chunk_cm=chunk_cm,
        overlap_cm=overlap_cm,
        min_typed=min_typed,
        fields=tuple(fields),
        sites=_path(sites),
        unphased=unphased,
        phase=phase,
        phase_draws=phase_draws,
        target_references=target_references,
        phasing_passes=phasing_passes,
        trios=_path(trios),
        mendel=mendel,
        strand=strand,
        sex=_path(sex),
        par=par,
        er2=er2,
        all_typed_sites=all_typed_sites,
        empirical=empirical,
        exclude_samples=_names(exclude_samples),
        force_samples=force_samples,
        qc=_path(qc),
        memory=memory,
        parts=_path(parts),
        keep_parts=keep_parts,
        device=device,
    )
    return genome.impute_files(
        _workspace(workspace),
        _paths(target),
        Path(out),
        options,
        progress=progress,
        overwrite=overwrite,
    )


def phase(
    target: StrPath,
    out: StrPath,
    *,
    workspace: StrPath = "work",
    genetic_map: StrPath | None = None,
    region: str | None = None,
    phase: Literal["keep", "refine", "redo"] = "keep",
    target_references: Literal["auto", "on", "off"] = "auto",
    phasing_passes: int = 2,
    fill_missing: bool = False,
    seed: int | None = None,
    trios: StrPath | None = None,
    mendel: bool = False,
    strand: Literal["fix", "drop", "error"] = "fix",
    exclude_samples: StrPath | Sequence[str] | None = None,
    force_samples: bool = False,
    sex: StrPath | None = None,
    par: str | None = None,
    min_typed: int = 5,
    chunk_cm: float = 10.0,
    overlap_cm: float = 2.0,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = _SILENT,
) -> PhaseSummary:
    """Phase the samples of a VCF or BCF with the panel of a workspace; writes `out`.

    phase              what to do with the phase of the file
    target_references  phase with the other samples of the target, too
    fill_missing       fill missing genotypes with their most probable alleles
    seed               of the fit of the switch rates for filling; the rest is not random
    threads            None uses all cores; the output does not depend on it
    """
    from vcfbert.pipelines.phasing import phase as stage

    options = stage.PhaseOptions(
        genetic_map=_path(genetic_map),
        region=region,
        threads=threads,
        chunk_cm=chunk_cm,
        overlap_cm=overlap_cm,
        min_typed=min_typed,
        phase=phase,
        target_references=target_references,
        phasing_passes=phasing_passes,
        fill_missing=fill_missing,
        seed=seed,
        trios=_path(trios),
        mendel=mendel,
        strand=strand,
        exclude_samples=_names(exclude_samples),
        force_samples=force_samples,
        sex=_path(sex),
        par=par,
    )
    return stage.phase(
        _workspace(workspace),
        Path(target),
        Path(out),
        options,
        progress=progress,
        overwrite=overwrite,
    )


def merge(
    files: Sequence[StrPath],
    out: StrPath,
    *,
    allow_differences: bool = False,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = _SILENT,
) -> MergeSummary:
    """Join the samples of batches that were imputed apart; writes `out`.

    allow_differences  also join files that were imputed from another panel or with other options
    threads            None uses all cores; the output does not depend on it
    """
    from vcfbert.pipelines.merging import merge as stage

    options = stage.MergeOptions(allow_differences=allow_differences, threads=threads)
    return stage.merge(
        [Path(file) for file in files], Path(out), options, progress=progress, overwrite=overwrite
    )


def train(
    preset: str | None = None,
    *,
    workspace: StrPath = "work",
    run: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    typed: Sequence[StrPath] = (),
    init_from: str | None = None,
    mask_version: int | StrPath | None = None,
    embeddings: int | StrPath | None = None,
    device: str = "auto",
    num_devices: int | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = _SILENT,
) -> TrainSummary | MosaicSummary:
    """Train a model on the training samples of a workspace's panel.

    preset        None is v18-large, or the run's own settings if it is resumed or replaced
    run           name of the run; the preset's if None
    settings      nested settings that override the preset: {"training": {"max_epochs": 2}}
    typed         lists of typed sites to train `mosaic` for
    init_from     run whose best weights are taken over as far as they fit
    mask_version  of the first epoch, a number or a path; None is the newest that fits
    embeddings    whose encoder training starts with, likewise
    num_devices   processes that share each batch, each with a GPU or on the CPU; with more than one
                  call this below `if __name__ == "__main__":`, because each imports the script
    """
    from vcfbert import config
    from vcfbert.config import presets
    from vcfbert.pipelines import train as stage

    base = None
    if preset is None and resume:
        base = stage.saved_settings(_workspace(workspace), run)
    elif preset is None and overwrite and run is not None:
        base = stage.replaced_settings(_workspace(workspace), run)
    base = base or presets.get(preset or "v18-large")
    chosen = config.merge(base, settings or {}, source="settings")
    start = stage.StartOptions(_version(mask_version), _version(embeddings), init_from)
    options = stage.TrainOptions(
        run or chosen.preset,
        resume,
        device,
        threads,
        start,
        num_devices,
        tuple(Path(path) for path in typed),
    )
    return stage.train(
        _workspace(workspace), chosen, options, progress=progress, overwrite=overwrite
    )


def evaluate(
    run: str | None = None,
    *,
    workspace: StrPath = "work",
    split: Literal["test", "validation"] = "test",
    rate: float | None = None,
    typed: StrPath | None = None,
    mask_version: int | StrPath | None = None,
    seed: int | None = None,
    panel: StrPath | None = None,
    vcf: StrPath | None = None,
    output: StrPath | None = None,
    untrained: bool = True,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = _SILENT,
) -> EvalSummary:
    """Score a run, or the shipped network if `run` is None, on held-out samples of the panel.

    Hides sites by one of `rate`, `typed` (all but a list of sites) and `mask_version`. `untrained`
    also scores the network before training, if it copies.
    """
    from vcfbert.pipelines.evaluating import evaluate as stage

    options = stage.EvalOptions(
        run=run,
        split=split,
        rate=rate,
        seed=seed,
        mask_version=_version(mask_version),
        typed=_path(typed),
        panel=_path(panel),
        vcf=_path(vcf),
        output=_path(output),
        untrained=untrained,
        device=device,
    )
    return stage.evaluate(_workspace(workspace), options, progress=progress, overwrite=overwrite)


def _paths(given: StrPath | Sequence[StrPath]) -> list[Path]:
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]


def _path(path: StrPath | None) -> Path | None:
    return None if path is None else Path(path)


def _names(samples: StrPath | Sequence[str] | None) -> str | None:
    if samples is None or isinstance(samples, (str, Path)):
        return None if samples is None else str(samples)
    return ",".join(samples)


def _version(name: int | StrPath | None) -> int | str | None:
    return str(name) if isinstance(name, Path) else name


def _workspace(folder: StrPath) -> Workspace:
    from vcfbert.storage.zarr.workspace import Workspace

    return Workspace(Path(folder))
