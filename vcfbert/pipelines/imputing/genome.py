"""`vcfbert impute` of a whole genome: one contig after another, from one target file or several.

A contig needs its own part of the panel and of the target alone, so memory is that of the largest
contig. A finished contig is kept, and the same command continues after it.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from vcfbert import plurals, versions
from vcfbert.domain import pseudoautosomal
from vcfbert.errors import InputError, StoreError, VcfbertError
from vcfbert.files import digests, locks, replacing, temporary
from vcfbert.pipelines.chunks.chunk_plan import TooFewTypedError
from vcfbert.pipelines.imputing import (
    contig_messages,
    engines,
    genome_targets,
    impute,
    output_files,
    qc_files,
)
from vcfbert.pipelines.imputing.genome_progress import GenomeProgress
from vcfbert.pipelines.imputing.genome_report import GenomeSummary
from vcfbert.pipelines.imputing.genome_targets import ContigTarget, GenomePlan
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.imputing.qc_files import ImputeSummary
from vcfbert.pipelines.parts import part_key
from vcfbert.progress import Progress
from vcfbert.storage import map_files
from vcfbert.storage.vcf import joined_output, output_file
from vcfbert.storage.zarr import panel, stores
from vcfbert.storage.zarr.workspace import Workspace

logger = logging.getLogger(__name__)

PLACEHOLDER = map_files.PLACEHOLDER
"""What the name of an output has if each contig gets a file."""

_FREE = frozenset({
    "threads", "qc", "memory", "parts", "keep_parts", "region", "par", "genetic_map",
})  # fmt: skip
"""Options that change no output, or that differ between contigs."""


class ImputeOne(Protocol):
    """Imputes a target, as `impute.impute` does."""

    def __call__(
        self,
        workspace: Workspace,
        target: Path,
        out: Path,
        options: ImputeOptions,
        *,
        progress: Progress,
        overwrite: bool = False,
    ) -> ImputeSummary:
        """Write `out` and its QC files."""


def impute_files(
    workspace: Workspace,
    targets: Sequence[Path],
    out: Path,
    options: ImputeOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
    impute_one: ImputeOne | None = None,
) -> ImputeSummary | GenomeSummary:
    """Impute the samples of one target file, or of several with other contigs.

    out         .vcf.gz, .vcf.bgz or .bcf; with PLACEHOLDER in its name, each contig gets a file
    impute_one  imputes one contig, or a target as a whole; None is `impute.impute`

    Raises as `impute.impute` does. If a contig fails, those that were finished are kept, and the
    same command continues with the others.
    """
    impute_one = impute_one or impute.impute
    found = panel.contig_stores(workspace.panel)
    is_each = PLACEHOLDER in out.name
    if PLACEHOLDER in str(out.parent):
        raise InputError(f"{out}: {PLACEHOLDER} can be in the name of the file only.")
    if len(targets) == 1 and not is_each and len(found) <= 1:
        return impute_one(
            workspace, targets[0], out, options, progress=progress, overwrite=overwrite
        )
    if not found:
        _refuse_one_store(workspace.panel)
    planned = genome_targets.plan(
        targets, found, region=options.region, sites=options.sites, par=options.par
    )
    if len(planned.contigs) == 1 and not is_each:
        one = planned.contigs[0]
        for message in planned.warnings:
            logger.warning("%s", message)
        return impute_one(
            workspace.with_panel(one.store), one.target, out, _options(options, one),
            progress=progress, overwrite=overwrite,
        )  # fmt: skip
    run = _GenomeRun(workspace, planned, _places(out, options), options, overwrite, impute_one)
    run.check(targets)
    with locks.hold(run.places.root):
        return run.impute(progress)


def _refuse_one_store(path: Path) -> None:
    """Raise StoreError for a panel that is missing or has no store for each contig."""
    if not path.exists():
        raise StoreError.missing(path, made_by="prepare PANEL")
    raise StoreError(
        f"{path} was prepared by an earlier version as one store, so contigs cannot be imputed one "
        "by one. Prepare it again with: vcfbert prepare PANEL --force"
    )


def _options(options: ImputeOptions, one: ContigTarget, qc: Path | None = None) -> ImputeOptions:
    """The options for one contig."""
    par = options.par if pseudoautosomal.is_x(one.contig) else None
    return replace(options, region=one.region, par=par, qc=qc or options.qc)


@dataclass(frozen=True)
class _Places:
    """Where the files of a run are.

    out    the whole file; None if each contig has one
    each   name of the file of a contig, with PLACEHOLDER
    qc     folder of the QC files
    notes  folder of what is known of finished contigs, which are in it, too, if `out` is given
    """

    out: Path | None
    each: Path
    qc: Path
    notes: Path

    @property
    def root(self) -> Path:
        """What only one command may write at a time."""
        return self.out or self.qc

    def file(self, contig: str) -> Path:
        """The file of a contig."""
        return self.each.with_name(self.each.name.replace(PLACEHOLDER, quote(contig, safe="")))

    def qc_of(self, contig: str) -> Path:
        """The QC files of a contig."""
        return (self.qc if self.out is None else self.notes) / quote(contig, safe="")

    def note(self, contig: str) -> Path:
        """What the file of a contig was made from."""
        return self.notes / f"{quote(contig, safe='')}.json"


def _places(out: Path, options: ImputeOptions) -> _Places:
    if PLACEHOLDER in out.name:
        name = output_files.stem(out).replace(PLACEHOLDER, "").strip(".-_ ")
        qc = options.qc or out.with_name(f"{name}.qc" if name else "qc")
        return _Places(None, out, qc, qc)
    work = out.with_name(f"{output_files.stem(out)}.contigs")
    qc = options.qc or qc_files.qc_folder(out)
    return _Places(out, work / f"{PLACEHOLDER}.vcf.gz", qc, work)


@dataclass(frozen=True)
class _GenomeRun:
    """One command."""

    workspace: Workspace
    planned: GenomePlan
    places: _Places
    options: ImputeOptions
    overwrite: bool
    impute_one: ImputeOne

    def check(self, targets: Sequence[Path]) -> None:
        """Refuse outputs that cannot be written, before any work is done."""
        places = self.places
        output_file.is_bcf(places.each)
        if places.out is not None:
            output_file.check_path(places.out, overwrite=self.overwrite)
            if self.options.empirical:
                path = output_files.empirical_path(places.out)
                output_file.check_path(path, overwrite=self.overwrite)
        outputs = [places.out] if places.out else [places.file(n) for n in self._names()]
        for path in outputs:
            if path.exists() and any(one.exists() and path.samefile(one) for one in targets):
                raise InputError(f"{path} is a target itself. Give the output another name.")
        known = {quote(name, safe="") for name in panel.contig_stores(self.workspace.panel)}
        _check_qc(places.qc, known, overwrite=self._may_replace_qc())
        if places.out is not None:
            _check_work(places.notes, known)

    def _may_replace_qc(self) -> bool:
        out = self.places.out
        return self.overwrite or out is None or not out.exists()

    def _names(self) -> list[str]:
        return [one.contig for one in self.planned.contigs]

    def impute(self, progress: Progress) -> GenomeSummary:
        """Impute the contigs that are not finished, and write what concerns all."""
        begun = time.perf_counter()
        for message in self.planned.warnings:
            logger.warning("%s", message)
        keys = dict(zip(self._names(), self._keys(), strict=True))
        reports = self._before(keys, progress)
        left = [name for name in keys if name not in reports]
        sizes = {name: panel.num_sites(self.workspace.panel, name) for name in left}
        shown = GenomeProgress(progress, sizes, len(self.planned.names))
        skipped: list[str] = []
        with contig_messages.each_warning_once():
            for one in self.planned.contigs:
                if one.contig in reports:
                    continue
                try:
                    reports[one.contig] = self._one(one, keys[one.contig], shown)
                except TooFewTypedError:
                    skipped.append(one.contig)
                    shown.skip(one.contig)
                except VcfbertError as error:
                    raise type(error)(f"{error}{_kept(reports)}") from error
        if not reports:
            raise InputError(
                "No contig of the target has enough typed sites. Give a target with more sites of "
                "the panel, or lower --min-typed."
            )
        few_typed = _few_typed(skipped)
        for message in few_typed:
            logger.warning("%s", message)
        facts = {
            "panel": str(self.workspace.panel),
            "panel_fingerprint": panel.fingerprint_of(self.workspace.panel),
            "out": str(self.places.out or self.places.each),
            "skipped": skipped,
            "warnings": [*self.planned.warnings, *few_typed],
        }
        summary = GenomeSummary.of(reports, facts, self.places.qc, time.perf_counter() - begun)
        if self.places.out is None:
            stores.write_file(self.places.qc / qc_files.SUMMARY, summary.as_json())
        else:
            self._join(list(reports), summary, self.places.out)
        return summary

    def _before(self, keys: Mapping[str, str], progress: Progress) -> dict[str, Any]:
        """The reports of finished contigs.

        Raises StoreError if the file of another contig exists and must not be replaced.
        """
        reports, is_other = {}, []
        for name, key in keys.items():
            path, note = self.places.file(name), self.places.note(name)
            found = _finished(path, self.places.qc_of(name), note, key)
            if found is not None:
                reports[name] = found
                continue
            output_file.check_path(path, overwrite=self.places.out is not None or self.overwrite)
            is_other += [name] if note.exists() and path.exists() else []
        if reports:
            progress.note(f"Finished before: {', '.join(reports)}.")
        if is_other:
            logger.warning(
                "Imputed again, because another target, panel, network, option or version made "
                "them: %s.", ", ".join(is_other),
            )  # fmt: skip
        return reports

    def _one(self, one: ContigTarget, key: str, progress: GenomeProgress) -> Any:
        """Impute a contig; returns its report."""
        path, qc = self.places.file(one.contig), self.places.qc_of(one.contig)
        before = replacing.identity(path)
        note = {"key": key, "before": None if before is None else list(before)}
        stores.write_file(self.places.note(one.contig), json.dumps(note).encode())
        with progress.of(one.contig) as shown:
            summary = self.impute_one(
                self.workspace.with_panel(one.store), one.target, path,
                self._options(one, qc), progress=shown, overwrite=True,
            )  # fmt: skip
        return json.loads(json.dumps(summary.report))

    def _options(self, one: ContigTarget, qc: Path) -> ImputeOptions:
        """The options for one contig, with the folder of its parts if these are kept."""
        chosen = _options(self.options, one, qc)
        if self.places.out is None or chosen.parts is not None or not chosen.keep_parts:
            return chosen
        return replace(chosen, parts=output_files.parts_folder(self.places.out))

    def _keys(self) -> list[str]:
        """For each contig, a digest of everything that determines its file."""
        network = engines.network(
            self.workspace, self.options.run, no_network=self.options.no_network
        )
        paths = {one.target for one in self.planned.contigs}
        targets = {path: part_key.digest_of(path) for path in paths}
        shared = {
            "version": versions.__version__,
            "network": network.fingerprint or network.name,
            "options": _plain(self.options),
        }
        maps = _digests_of_maps(self.options.genetic_map, self._names())
        keys = []
        for one in self.planned.contigs:
            chosen = _options(self.options, one)
            facts = shared | {
                "panel": panel.fingerprint_of(self.workspace.panel, one.contig),
                "target": targets[one.target],
                "region": chosen.region,
                "par": chosen.par,
                "map": maps[one.contig],
            }
            keys.append(digests.of_bytes(json.dumps(facts, sort_keys=True).encode()))
        return keys

    def _join(self, contigs: list[str], summary: GenomeSummary, out: Path) -> None:
        """Join the files of the contigs, and put the QC files in place before the output."""
        facts = {"vcfbert_panel": summary.report["panel_fingerprint"]}
        files = [self.places.file(contig) for contig in contigs]
        threads = self.options.threads or versions.num_cores()
        if self.options.empirical:
            joined_output.join(
                [output_files.empirical_path(path) for path in files],
                output_files.empirical_path(out),
                facts=facts, threads=threads, overwrite=self.overwrite,
            )  # fmt: skip

        def put_qc() -> None:
            with stores.create_folder(
                self.places.qc, overwrite=self._may_replace_qc(), sealed=False
            ) as folder:
                for contig in contigs:
                    place = self.places.qc_of(contig)
                    shutil.copytree(place, folder / place.name)
                    _name_output(folder / place.name / qc_files.SUMMARY, out)
                (folder / qc_files.SUMMARY).write_bytes(summary.as_json())

        joined_output.join(
            files, out, facts=facts, threads=threads, overwrite=self.overwrite,
            before_renaming=put_qc,
        )  # fmt: skip
        shutil.rmtree(self.places.notes)


def _digests_of_maps(path: Path | None, contigs: Sequence[str]) -> dict[str, str | None]:
    """Of the genetic map of each contig. Raises InputError if one cannot be read."""
    if path is None:
        return dict.fromkeys(contigs)
    places = {contig: map_files.of_contig(path, contig) for contig in contigs}
    found = {place: part_key.digest_of(place) for place in set(places.values())}
    return {contig: found[place] for contig, place in places.items()}


def _finished(path: Path, qc: Path, note: Path, key: str) -> Any:
    """The report of a contig that an earlier run of the same command finished; None if none did."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        identity = replacing.identity(path)
        if known["key"] != key or identity is None or list(identity) == known["before"]:
            return None
        return json.loads((qc / qc_files.SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plain(options: ImputeOptions) -> dict[str, Any]:
    """The options that determine the output of all contigs; of files, their content."""
    values = {one.name: getattr(options, one.name) for one in fields(options)}
    excluded = options.exclude_samples
    if excluded is not None and Path(excluded).is_file():
        values["exclude_samples"] = Path(excluded)
    return {
        name: part_key.digest_of(value)
        if isinstance(value, Path) and value.is_file()
        else str(value)
        for name, value in values.items()
        if name not in _FREE
    }


def _check_qc(folder: Path, contigs: set[str], *, overwrite: bool) -> None:
    """Raise StoreError if the folder must not be replaced, or has files that are not ours."""
    if not folder.exists():
        return
    known = qc_files.FILES | contigs | {f"{name}.json" for name in contigs}
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in known)
    if others:
        raise StoreError(
            f"{folder} contains {others[0]}, which is not a QC file of impute, so it is not "
            "replaced. Choose another folder with --qc."
        )
    if not overwrite:
        raise StoreError.exists(folder)


def _check_work(folder: Path, contigs: set[str]) -> None:
    """Raise StoreError if the folder of finished contigs, which is deleted, has other files."""
    for entry in sorted(folder.iterdir()) if folder.exists() else []:
        is_ours = any(entry.name == name or entry.name.startswith(f"{name}.") for name in contigs)
        if not is_ours and not temporary.is_temporary(entry.name):
            raise StoreError(
                f"{folder} is for the contigs that are finished, but it contains {entry.name}. "
                "Move it away, or choose another --out."
            )


def _name_output(summary: Path, out: Path) -> None:
    """Name the whole file in the summary of a contig, whose own file is deleted."""
    report = json.loads(summary.read_text(encoding="utf-8"))
    report["out"] = str(out)
    if report["empirical"] is not None:
        report["empirical"] = str(output_files.empirical_path(out))
    stores.write_file(summary, qc_files.summary_text(report).encode())


def _few_typed(skipped: Sequence[str]) -> list[str]:
    if not skipped:
        return []
    return [
        plurals.of(
            len(skipped),
            "contig has too few typed sites and is not written: ",
            "contigs have too few typed sites and are not written: ",
        )
        + f"{', '.join(skipped)}."
    ]


def _kept(reports: dict[str, Any]) -> str:
    if not reports:
        return ""
    return (
        f" (Contigs that are finished and kept: {', '.join(reports)}. The same command continues "
        "with the others.)"
    )
