"""`vcfbert merge`: from batches of samples that were imputed apart to one file of all samples.

The bytes of the sample columns are copied. What INFO says of all samples is computed anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import versions
from vcfbert.copying import compiled
from vcfbert.domain.dosage import FEWEST_FOR_DR2
from vcfbert.errors import ConfigError, InputError
from vcfbert.files import bounded
from vcfbert.pipelines.merging import open_files
from vcfbert.progress import Progress
from vcfbert.storage.vcf import (
    batch_headers,
    batch_info,
    bgzf,
    checks,
    column_kernels,
    joined_columns,
    output_file,
    tabix,
)
from vcfbert.storage.vcf.batch_headers import BEAGLE, MINIMAC, VCFBERT, ImputedFile
from vcfbert.storage.vcf.batch_info import CellFields, JoinedInfo
from vcfbert.storage.vcf.bgzf import BgzfWriter, Workers
from vcfbert.storage.vcf.joined_columns import JoinedLines
from vcfbert.storage.vcf.output_file import Sink

logger = logging.getLogger(__name__)

_MEGABYTE = 1 << 20

MOST_IN_MEMORY = 2_000_000
"""Records whose places are kept in memory for the index; htslib reads a longer file again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeOptions:
    """Options of `merge`."""

    allow_differences: bool = False
    """Also join files that were imputed from another panel, or by another version or options."""

    threads: int | None = None
    """CPU threads; None is all cores. The output is the same for any number."""

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}.")


@dataclass(frozen=True)
class MergeSummary:
    """Path of the output, and counts."""

    out: Path
    report: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The summary as a table."""
        report = self.report
        rows: list[tuple[str, object]] = [
            ("files", report["files"]),
            ("samples", report["samples"]),
            ("sites", report["sites"]),
            ("  imputed in some files, typed in others", report["partly_imputed"]),
        ]
        shown = [(name, f"{value:,}") for name, value in rows if value]
        shown += [("seconds", f"{report['seconds']:.1f}"), ("merged file", str(self.out))]
        width = max(len(name) for name, _ in shown)
        return [f"{name:<{width}}  {value}" for name, value in shown]


def merge(
    paths: Sequence[Path],
    out: Path,
    options: MergeOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> MergeSummary:
    """Join the samples of files with the same sites; the output appears when it is complete.

    paths  outputs of `impute`, in the order of the samples: .vcf, .vcf.gz or .bcf
    out    .vcf.gz, .vcf.bgz or .bcf

    Raises InputError if a file is damaged or the files do not fit together, StoreError if the
    output exists or cannot be written.
    """
    begun = time.perf_counter()
    output_file.check_path(out, overwrite=overwrite)
    _check_paths(paths, out)
    progress.start("checking the files", len(paths))
    batches = []
    for path in paths:
        header = checks.read_header(path)
        checks.check_whole(path, header)
        batches.append(batch_headers.read(path, header))
        progress.advance()
    warnings = batch_headers.check(batches, may_differ=options.allow_differences)
    open_files.make_room(sum(batch.header.is_bcf for batch in batches), paths)
    keys = _keys(batches)
    has_quality = batches[0].tool.quality in keys
    header_text, dropped = batch_headers.joined(batches, keys=keys, has_quality=has_quality)
    for message in warnings + _about_keys(batches, keys, dropped):
        logger.warning("%s", message)
    writer = _Writer(out, header_text.encode(), JoinedInfo(batches, keys))
    progress.start("merging (MB read)", -(-sum(path.stat().st_size for path in paths) // _MEGABYTE))
    with (
        compiled.announcing_compilation(progress.note),
        output_file.create(
            out,
            writer.write_index,
            threads=options.threads or versions.num_cores(),
            overwrite=overwrite,
        ) as (sink, workers),
    ):
        writer.write(sink, workers, batches, progress)
    report = {
        "files": len(batches),
        "samples": sum(len(batch.header.samples) for batch in batches),
        "sites": writer.num_sites,
        "partly_imputed": writer.info.partly_imputed,
        "seconds": round(time.perf_counter() - begun, 3),
    }
    return MergeSummary(out, report)


def read_list(path: Path) -> list[Path]:
    """Paths of files, one a line. Raises InputError if there are none or it cannot be read."""
    try:
        paths = [Path(line.strip()) for _, line in bounded.lines(path) if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a list of files ({error}). Write one path a line."
        ) from error
    if not paths:
        raise InputError(f"{path} lists no files. Write one path a line.")
    return paths


def _check_paths(paths: Sequence[Path], out: Path) -> None:
    """Refuse an output that is an input, and a file that is given twice."""
    if not paths:
        raise InputError("There are no files to merge. Give two or more, or --list FILE.")
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        with suppress(OSError):  # a missing file is reported when it is opened
            status = path.stat()
            place = status.st_dev, status.st_ino
            if place in seen:
                raise InputError(f"{path} is given twice. Give each file once.")
            seen[place] = path
            if out.exists() and out.samefile(path):
                raise InputError(f"{out} is one of the files. Give the output another name.")


def _keys(batches: Sequence[ImputedFile]) -> frozenset[str]:
    """INFO keys to write."""
    tool, first = batches[0].tool, batches[0]
    keys = set(tool.info) & first.info
    if tool is VCFBERT and "LDS" not in first.format:
        keys.discard("ER2")
    if tool is MINIMAC:
        return frozenset(keys)
    keys.discard("DR2")
    known = all(
        CellFields.of(batch.format).gives_r2 or (tool is VCFBERT and "DR2" in batch.info)
        for batch in batches
    )
    num_samples = sum(len(batch.header.samples) for batch in batches)
    if "AF" in keys and known and (tool is BEAGLE or num_samples >= FEWEST_FOR_DR2):
        keys.add("DR2")
    return frozenset(keys)


def _about_keys(
    batches: Sequence[ImputedFile], keys: frozenset[str], dropped: Sequence[str]
) -> list[str]:
    """Warnings about INFO keys that are left out."""
    tool, messages = batches[0].tool, []
    num_samples = sum(len(batch.header.samples) for batch in batches)
    if "ER2" in dropped:
        messages.append(
            "INFO/ER2 is left out: it cannot be computed from these files. vcfbert merge of the "
            "files of --empirical writes it."
            if tool is VCFBERT
            else "INFO/ER2 is left out: it cannot be computed from these files."
        )
    is_wanted = tool is BEAGLE or (tool is VCFBERT and num_samples >= FEWEST_FOR_DR2)
    if is_wanted and "AF" in keys and "DR2" not in keys:
        messages.append(
            "INFO/DR2 is left out: it needs FORMAT fields "
            + ("AP1 and AP2 (ap=true)" if tool is BEAGLE else "HDS, or DS and GP")
            + " in each file."
        )
    others = [key for key in dropped if key not in ("ER2", tool.quality)]
    if others:
        messages.append(
            f"INFO keys are left out, because they may not hold for all samples: "
            f"{', '.join(others)}."
        )
    return messages


class _Writer:
    """Writes the records and their index."""

    def __init__(self, path: Path, header: bytes, info: JoinedInfo) -> None:
        self.info = info
        self.num_sites = 0
        self._is_bcf = output_file.is_bcf(path)
        self._header = header
        self._contigs: list[str] = []
        self._columns: list[NDArray[np.int64]] = []  # of the index: contig, begin, end, stop
        self._length = len(header)
        self._last = 0

    def write(
        self, sink: Sink, workers: Workers, batches: Sequence[ImputedFile], progress: Progress
    ) -> None:
        """Write the header and all records."""
        sink.write(self._header)
        rest = 0

        def advance(num_bytes: int) -> None:
            nonlocal rest
            steps, rest = divmod(rest + num_bytes, _MEGABYTE)
            progress.advance(steps)

        for joined in joined_columns.read(batches, workers, advance):
            text, ends = joined.written(self.info.heads(joined), workers)
            sink.write(text)
            self._add(joined, ends)

    def write_index(self, partial_path: Path, sink: Sink) -> None:
        """Write the index of the finished file."""
        needs_csi = self._is_bcf or self._last >= tabix.LAST_POSITION
        if needs_csi or not isinstance(sink, BgzfWriter) or not self._columns:
            output_file.index_with_htslib(partial_path, csi=needs_csi)
            return
        contig, begin, end, stop = np.concatenate(self._columns, axis=1)
        places = np.append(len(self._header), stop)
        offsets = tabix.virtual_offsets(places, np.array(sink.block_starts), bgzf.BLOCK_BYTES)
        lines = tabix.IndexedLines(
            contig=contig, begin=begin, end=end, start=offsets[:-1], stop=offsets[1:]
        )
        index = bgzf.compress(tabix.index(self._contigs, lines)) + bgzf.END_OF_FILE
        Path(f"{partial_path}.tbi").write_bytes(index)

    def _add(self, joined: JoinedLines, ends: NDArray[np.int64]) -> None:
        file = joined.files[0]
        contig = np.empty(len(joined), np.int64)
        for start, stop, name in joined_columns.contig_runs(file):
            if not self._contigs or self._contigs[-1] != name:
                self._contigs.append(name)
            contig[start:stop] = len(self._contigs) - 1
        position = joined.positions
        width = file.columns[:, column_kernels.REF] - file.columns[:, column_kernels.ID] - 1
        last = batch_info.ends(file, position)
        end = np.where(last > 0, last, position + width - 1).astype(np.int64)
        self._last = max(self._last, int(end.max()))
        self.num_sites += len(joined)
        if self.num_sites <= MOST_IN_MEMORY:
            self._columns.append(np.stack([contig, position - 1, end, self._length + ends]))
        else:
            self._columns.clear()
        self._length += int(ends[-1])
