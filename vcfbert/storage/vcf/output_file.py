"""Indexed VCF.gz and BCF files that appear whole: under a temporary name first, then renamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import cyvcf2
import pysam

from vcfbert.errors import InputError, StoreError
from vcfbert.files import locks, temporary
from vcfbert.storage.vcf.bgzf import END_OF_FILE, BgzfWriter, Workers

SUFFIXES = (".vcf.gz", ".vcf.bgz", ".bcf")
"""Of the files that can be written."""

_INDEX_SUFFIXES = (".tbi", ".csi")


class Sink(Protocol):
    """Receives the text of a VCF: the whole header first, then whole lines."""

    def write(self, data: bytes) -> None:
        """Write the next part. Raises OSError if it cannot be written."""


def check_path(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a name without a known suffix, and a file that must not be replaced."""
    is_bcf(path)
    if path.exists() and not overwrite:
        raise StoreError.exists(path)


def is_bcf(path: Path) -> bool:
    """True for BCF, False for VCF. Raises InputError for a name without a known suffix."""
    if not path.name.endswith(SUFFIXES):
        raise InputError(
            f"Genotypes cannot be written to {path}: its name must end in .vcf.gz, .vcf.bgz or "
            ".bcf."
        )
    return path.name.endswith(".bcf")


@contextmanager
def create(
    path: Path,
    write_index: Callable[[Path, Sink], None],
    *,
    threads: int,
    overwrite: bool,
    before_renaming: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Sink, Workers]]:
    """Yield a sink whose file and index appear at `path` only if the block completes.

    path             ends in one of SUFFIXES
    write_index      writes the index of a finished file, with the file's name and .tbi or .csi
    threads          for compression; the file is the same for any number
    before_renaming  called when file and index are complete

    Raises InputError for another suffix, and StoreError if the file exists or cannot be written.
    """
    open_sink = _bcf_sink if is_bcf(path) else _vcf_sink
    with _appearing(path, overwrite=overwrite, before_renaming=before_renaming) as partial:
        with Workers(threads) as workers, open_sink(partial, workers) as sink:
            yield sink, workers
        write_index(partial, sink)


@contextmanager
def create_raw(
    path: Path,
    write_index: Callable[[Path], None],
    *,
    overwrite: bool,
    before_renaming: Callable[[], None] = lambda: None,
) -> Iterator[BinaryIO]:
    """Like `create`, for blocks that are compressed already; yields the file."""
    with _appearing(path, overwrite=overwrite, before_renaming=before_renaming) as partial:
        with partial.open("wb") as file:
            yield file
        write_index(partial)


@contextmanager
def _appearing(
    path: Path, *, overwrite: bool, before_renaming: Callable[[], None]
) -> Iterator[Path]:
    """Yield the temporary name of a file, which is renamed with its index at the end."""
    with locks.hold(path):
        partial = locks.temporary_name(path, "partial")
        check_path(path, overwrite=overwrite)
        _claim(partial, path)
        try:
            yield partial
            before_renaming()
            _put(partial, path)
        except OSError as error:
            raise StoreError.unwritable(path, error) from error
        finally:
            for ending in ("", *_INDEX_SUFFIXES):
                Path(f"{partial}{ending}").unlink(missing_ok=True)


def index_with_htslib(partial: Path, *, csi: bool) -> None:
    """Write the index of a finished file next to it: .csi, or .tbi for a VCF."""
    index = f"{partial}{'.csi' if csi else '.tbi'}"
    pysam.tabix_index(str(partial), preset="vcf", csi=csi, index=index)


def _claim(partial: Path, path: Path) -> None:
    """Create an empty file: htslib would only print why it cannot."""
    try:
        partial.touch()
    except OSError as error:
        raise StoreError.unwritable(path, error) from error


def _put(partial: Path, path: Path) -> None:
    """Rename a finished file and its index, so that no file ever has the index of another."""
    ending = next(ending for ending in _INDEX_SUFFIXES if Path(f"{partial}{ending}").exists())
    index = Path(f"{partial}{ending}")
    for file in (partial, index):
        temporary.sync(file)
    for old in _INDEX_SUFFIXES:
        Path(f"{path}{old}").unlink(missing_ok=True)
    files = [(index, Path(f"{path}{ending}")), (partial, path)]
    if path.exists():  # the new index does not fit the old file
        files.reverse()
    for file, place in files:
        file.replace(place)
    temporary.sync(path.parent)


@contextmanager
def _vcf_sink(path: Path, workers: Workers) -> Iterator[Sink]:
    with path.open("wb") as file:
        writer = BgzfWriter(file, workers)
        yield writer
        writer.close()


class _BcfSink:
    """Lets htslib parse the text, in a single thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: cyvcf2.Writer | None = None

    def write(self, data: bytes) -> None:
        if self._file is None:
            self._file = cyvcf2.Writer.from_string(str(self._path), data.decode(), mode="wb")
            return
        for line in data.decode().split("\n")[:-1]:
            if self._file.write_record(self._file.variant_from_string(line)) != 0:
                raise OSError("htslib could not write the whole file")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def _bcf_sink(path: Path, workers: Workers) -> Iterator[Sink]:
    sink = _BcfSink(path)
    try:
        yield sink
    finally:
        sink.close()
    with path.open("rb") as written:  # closing does not report a full disk
        written.seek(-min(len(END_OF_FILE), path.stat().st_size), os.SEEK_END)
        if written.read() != END_OF_FILE:
            raise OSError("htslib could not write the whole file")
