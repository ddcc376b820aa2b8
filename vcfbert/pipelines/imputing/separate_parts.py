"""`vcfbert impute plan`, `part` and `join`: one imputation in steps, on as many machines as wanted.

A plan is plain data, and a part is a function of a plan and a number. All machines see the panel,
the target and the folder of parts under the same paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from vcfbert import plurals
from vcfbert.errors import InputError, StoreError
from vcfbert.files import digests, locks
from vcfbert.pipelines.chunks import chunk_imputation
from vcfbert.pipelines.chunks.chunk_imputation import ImputationSource
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.imputing import impute, output_files, planned_parts
from vcfbert.pipelines.imputing.impute import ImputeOptions, Job
from vcfbert.pipelines.imputing.qc_files import ImputeSummary
from vcfbert.pipelines.parts import batches, part_key
from vcfbert.pipelines.parts.part_runs import PartRuns
from vcfbert.pipelines.parts.parts_folder import PartsFolder
from vcfbert.progress import Progress
from vcfbert.storage import sample_lists
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.versions import __version__

FORMAT = "vcfbert impute plan 1"

_PATHS = frozenset(field.name for field in fields(ImputeOptions) if "Path" in str(field.type))


@dataclass(frozen=True)
class PlannedPart:
    """One part: a chunk and samples [first, stop) of the target.

    chunk   index among the chunks of the plan
    number  of the chunk among those of the whole panel
    region  of the chunk's core, for readers
    """

    chunk: int
    number: int
    first: int
    stop: int
    region: str


@dataclass(frozen=True)
class ImputationPlan:
    """What all steps need, as plain values. Paths are absolute.

    made   see `part_key.made_from`; its digest is the key of the parts
    parts  in the order of the output
    contig_store  the store of the panel to use; None is the whole panel
    """

    workspace: str
    target: str
    out: str
    folder: str
    options: dict[str, Any]
    made: dict[str, Any]
    parts: tuple[PlannedPart, ...]
    contig_store: str | None = None

    def impute_options(self, threads: int | None = None) -> ImputeOptions:
        """The options, with another number of threads."""
        values: dict[str, Any] = {
            name: Path(value) if name in _PATHS and value is not None else value
            for name, value in self.options.items()
        }
        values["fields"] = tuple(values["fields"])
        return replace(ImputeOptions(**values), threads=threads)

    def parts_folder(self) -> PartsFolder:
        """Where the parts are."""
        return PartsFolder(Path(self.folder), self.made, self.made["samples"])


@dataclass(frozen=True)
class PlanSummary:
    """A plan that was written."""

    path: Path
    plan: ImputationPlan

    def lines(self) -> list[str]:
        """The plan as a table, with the next command."""
        rows = [
            ("samples", f"{self.plan.made['samples']:,}"),
            ("chunks", f"{len({part.chunk for part in self.plan.parts}):,}"),
            ("parts", f"{len(self.plan.parts)}"),
            ("folder of the parts", self.plan.folder),
            ("plan", str(self.path)),
            ("next", f"vcfbert impute part --plan {self.path} --part N, N from 1 to "
             f"{len(self.plan.parts)}"),
            ("last", f"vcfbert impute join --plan {self.path}"),
        ]  # fmt: skip
        return [f"{name:<19}  {value}" for name, value in rows]


@dataclass(frozen=True)
class PartSummary:
    """A part that was imputed, or had been before."""

    number: int
    part: PlannedPart
    is_new: bool

    def lines(self) -> list[str]:
        """What was done."""
        done = "imputed" if self.is_new else "was finished before"
        part = self.part
        return [f"part {self.number} {done}: {part.region}, samples {part.first + 1}-{part.stop}"]


def plan(
    workspace: Workspace,
    target: Path,
    out: Path,
    options: ImputeOptions,
    path: Path,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> PlanSummary:
    """Write a plan of the parts of an output to `path`. Raises as `impute.impute` does."""
    impute.check_output(target, out, options, overwrite=overwrite)
    if path.exists() and not overwrite:
        raise StoreError.exists(path)
    made = make(workspace, target, out, options, progress)
    stores.write_file(path, digests.sealed_json({"format": FORMAT, **asdict(made)}))
    return PlanSummary(path, made)


def make(
    workspace: Workspace,
    target: Path,
    out: Path,
    options: ImputeOptions,
    progress: Progress,
    *,
    fewest_parts: int = 1,
    fewest_samples: int = 1,
) -> ImputationPlan:
    """The plan of an output.

    fewest_parts    cut the samples into batches until there are so many parts,
    fewest_samples  but not below so many samples
    """
    memory = None if options.memory is None else batches.parse_size(options.memory)
    with impute.opened(workspace, target, options, out.parent, progress) as job:
        num_samples = len(job.source.samples.names)
        # A part of samples that are references of each other phases all of its chunk.
        wanted = 1 if job.source.is_joint else fewest_parts
        for_all = -(-num_samples * len(job.chunks) // wanted)
        size = min(batches.size(job.source, job.chunks, memory), max(for_all, fewest_samples))
        made = planned_parts.made_from(job.source, target, options)
        parts = tuple(
            PlannedPart(row, chunk.number, samples.start, samples.stop, _region(job.source, chunk))
            for row, chunk in enumerate(job.chunks)
            for samples in batches.cut(slice(0, num_samples), size)
        )
    folder = options.parts or output_files.parts_folder(out)
    store = workspace.contig_store
    return ImputationPlan(
        workspace=str(workspace.root.absolute()),
        contig_store=None if store is None else str(store.absolute()),
        target=str(target.absolute()),
        out=str(out.absolute()),
        folder=str(folder.absolute()),
        options=_plain(options),
        made=made,
        parts=parts,
    )


def run_part(
    plan: ImputationPlan, number: int, progress: Progress, threads: int | None = None
) -> PartSummary:
    """Impute part `number`, counted from 1, unless it is finished.

    It may run twice at the same time: both write the same bytes under one name.

    Raises InputError for another number, StoreError if the plan does not fit the panel or the
    target any more.
    """
    if not 1 <= number <= len(plan.parts):
        raise InputError(
            f"--part must be from 1 to {len(plan.parts)}, the number of parts in the plan, got "
            f"{number}."
        )
    part = plan.parts[number - 1]
    if plan.parts_folder().has(part.number, slice(part.first, part.stop)):
        return PartSummary(number, part, is_new=False)
    with OpenPlan.of(plan, threads, progress) as opened:
        opened.run(number)
    return PartSummary(number, part, is_new=True)


@dataclass(frozen=True)
class OpenPlan:
    """A plan whose panel and target are open, to make several of its parts."""

    plan: ImputationPlan
    job: Job
    runs: PartRuns
    progress: Progress

    @classmethod
    @contextmanager
    def of(
        cls, plan: ImputationPlan, threads: int | None, progress: Progress
    ) -> Iterator[OpenPlan]:
        """Open panel and target. Raises StoreError if they do not fit the plan any more."""
        with _opened(plan, threads, progress) as (job, runs):
            yield cls(plan, job, runs, progress)

    def run(self, number: int) -> None:
        """Make a part, counted from 1, unless it is finished."""
        part = self.plan.parts[number - 1]
        folder, samples = self.plan.parts_folder(), slice(part.first, part.stop)
        if folder.has(part.number, samples):
            return
        folder.open()
        self.progress.start("imputing", part.stop - part.first)
        chunk = self.runs.chunks[part.chunk]
        references = chunk_imputation.read_references(self.runs.source, chunk, [samples])
        joint = chunk_imputation.joint_phases(self.runs.source, chunk)
        made = self.runs.make(part.chunk, samples, references, self.progress.advance, joint)
        folder.write(made, chunk.is_typed)


def join(
    plan: ImputationPlan,
    path: Path,
    out: Path | None,
    *,
    progress: Progress,
    threads: int | None = None,
    overwrite: bool = False,
    keep_parts: bool = False,
) -> ImputeSummary:
    """Write the output from the parts, which must all be finished; then delete them.

    path  of the plan, for messages
    out   None is the output of the plan
    """
    options = plan.impute_options(threads)
    target, out = Path(plan.target), out or Path(plan.out)
    impute.check_output(target, out, options, overwrite=overwrite)
    _require_all(plan, path)
    with locks.hold(out), _opened(plan, threads, progress) as (job, runs):
        summary = impute.written(job, runs, out, options, progress, overwrite=overwrite)
    if not (keep_parts or options.keep_parts):
        plan.parts_folder().remove()
    return summary


def read(path: Path) -> ImputationPlan:
    """Read a plan. Raises StoreError if it is missing, damaged or of another version."""
    try:
        record = digests.read_json(path)
        if record.pop("format") != FORMAT:
            raise ValueError("it is not a plan of this format")
        parts = tuple(PlannedPart(**part) for part in record.pop("parts"))
        found = ImputationPlan(**record, parts=parts)
        version = found.made["version"]
    except FileNotFoundError as error:
        raise StoreError(
            f"There is no plan {path}. Make one with: vcfbert impute plan TARGET --out FILE "
            f"--plan {path}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is not a whole plan of vcfbert impute ({error}). Make it again with: vcfbert "
            "impute plan"
        ) from error
    if version != __version__:
        raise StoreError(
            f"{path} was made by vcfbert {version}, and this is {__version__}. Use one version for "
            "all steps, or make the plan again with: vcfbert impute plan"
        )
    return found


@contextmanager
def _opened(
    plan: ImputationPlan, threads: int | None, progress: Progress
) -> Iterator[tuple[Job, PartRuns]]:
    """The imputation of a plan, if panel, target and options are still the same."""
    options, target = plan.impute_options(threads), Path(plan.target)
    store = None if plan.contig_store is None else Path(plan.contig_store)
    home, scratch = Workspace(Path(plan.workspace), store), Path(plan.folder).parent
    with impute.opened(home, target, options, scratch, progress) as job:
        made = planned_parts.made_from(job.source, target, options)
        if made != plan.made:
            differ = ", ".join(part_key.differences(plan.made, made)) or "something"
            raise StoreError(
                f"The plan was made from something else: {differ} changed since. Make it again "
                "with: vcfbert impute plan"
            )
        size = max(part.stop - part.first for part in plan.parts)
        wanted = planned_parts.wanted(job.source, options)
        yield job, PartRuns(job.source, job.chunks, wanted, size, plan.parts_folder())


def _require_all(plan: ImputationPlan, path: Path) -> None:
    folder = plan.parts_folder()
    missing = [
        number
        for number, part in enumerate(plan.parts, 1)
        if not folder.has(part.number, slice(part.first, part.stop))
    ]
    if missing:
        raise StoreError(
            f"{len(missing):,} of {plurals.of(len(plan.parts), 'part')} "
            f"{plurals.word(len(missing), 'is', 'are')} not finished in {plan.folder}. The first "
            f"is made with: vcfbert impute part --plan {path} --part {missing[0]}"
        )


def _region(source: ImputationSource, chunk: ChunkPlan) -> str:
    sites = source.sites
    first, last = chunk.core.start, chunk.core.stop - 1
    name = sites.contigs[sites.contig[first]]
    return f"{name}:{sites.position[first]}-{sites.position[last]}"


def _plain(options: ImputeOptions) -> dict[str, Any]:
    """The options as JSON types; paths are absolute."""
    values = asdict(options) | {"threads": None}
    if options.exclude_samples is not None:
        values["exclude_samples"] = sample_lists.absolute(options.exclude_samples)
    return {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in values.items()
    }
