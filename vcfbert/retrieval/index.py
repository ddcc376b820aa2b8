"""Reader and writer of an index folder: one FAISS file per window, mapped at first use.

L sites in a window, R reference haplotypes, D embedding width.

Search in the main process or in a thread of it: FAISS hangs after `fork`. Several threads may
search one reader.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.errors import StoreError
from vcfbert.files import digests
from vcfbert.retrieval import faiss_file, gpu, manifest
from vcfbert.retrieval.dense import DenseIndex
from vcfbert.retrieval.exact import ExactIndex
from vcfbert.retrieval.fast import FastIndex
from vcfbert.retrieval.manifest import FileEntry, Kind, Manifest
from vcfbert.retrieval.query import WindowIndex

FaissIndex = faiss.Index
"""What `build` of the modules `exact`, `fast` and `dense` returns."""

_OPEN_WINDOWS = 4  # mapped at a time, so that memory does not grow with the number of windows


def write_windows(folder: Path, indexes: Iterable[FaissIndex]) -> list[FileEntry]:
    """Write one file per window into an existing folder, one window in memory at a time."""
    return [_write(folder, window, index) for window, index in enumerate(indexes)]


def build_windows(
    folder: Path,
    num_windows: int,
    build: Callable[[int], FaissIndex],
    threads: int,
    advance: Callable[[], None],
) -> list[FileEntry]:
    """Write the files that `write_windows` writes, several windows at a time.

    build    makes the index of a window; called from several threads
    threads  windows that are in memory at a time; the files do not depend on it
    advance  called after each window

    Raises what `build` raises, and StoreError if a file cannot be written.
    """
    entries = []
    pool = ThreadPoolExecutor(threads, thread_name_prefix="index")
    try:
        for entry in pool.map(
            lambda window: _write(folder, window, build(window)), range(num_windows)
        ):
            entries.append(entry)
            advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return entries


def _write(folder: Path, window: int, index: FaissIndex) -> FileEntry:
    path = folder / f"w{window:05d}.faiss"
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise StoreError(
            f"FAISS cannot write {path}. Free disk space or fix the permissions, then run "
            f"again: vcfbert {manifest.MADE_BY}"
        ) from error
    return FileEntry.of(path)


class IndexReader:
    """An open index folder."""

    def __init__(self, path: Path, content: Manifest, *, on_gpu: bool = False) -> None:
        """Take a manifest that was read from `path`; use `open_index` instead."""
        self.on_gpu = on_gpu and content.kind == "exact" and gpu.is_usable()
        self.path = path
        self.manifest = content
        self.kind: Kind = content.kind
        self.parents = dict(content.parents)
        self.reference_haplotypes: NDArray[np.int64] = np.array(
            content.reference_haplotypes, dtype=np.int64
        )
        self.fingerprint = manifest.fingerprint(content)
        self._open: OrderedDict[int, WindowIndex] = OrderedDict()
        self._verified: set[int] = set()
        self._lock = threading.Lock()

    def window(self, window: int) -> WindowIndex:
        """The index of one window.

        Raises StoreError if its file is missing or was changed; this is checked when a window is
        first opened.
        """
        with self._lock:
            if window not in self._open:
                self._open[window] = self._load(window)
                if len(self._open) > _OPEN_WINDOWS:
                    self._open.popitem(last=False)
            self._open.move_to_end(window)
            return self._open[window]

    def rows_of(self, haplotypes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index row of each panel haplotype; -1 if it is not a reference, or is itself -1."""
        return rows_among(self.reference_haplotypes, haplotypes)

    def require_parent(self, kind: str, fingerprint: str) -> None:
        """Raise StoreError if the index was made from another store of this kind.

        An index of bits depends on the panel alone: it fits all masks and embeddings.
        """
        if self.parents.get(kind, fingerprint) != fingerprint:
            made_by = f"{manifest.MADE_BY} --kind {self.kind} --force"
            raise StoreError.stale(self.path, parent=f"{kind} version", made_by=made_by)

    def _load(self, window: int) -> WindowIndex:
        if window >= len(self.manifest.files):
            raise StoreError(
                f"{self.path} has {plurals.of(len(self.manifest.files), 'window')}, so there is no "
                f"window {window}. Rebuild it with: vcfbert {manifest.MADE_BY} --force"
            )
        entry = self.manifest.files[window]
        path = self.path / entry.name
        if window not in self._verified:
            _verify(path, entry)
            self._verified.add(window)
        self._check(path)
        # IO_FLAG_MMAP also works but reads all codes into memory; IO_FLAG_MMAP_IFC maps them.
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise _damaged(path, error) from error
        mask_version = self.manifest.mask_version
        if isinstance(index, faiss.IndexPQ) and self.kind == "exact":
            return ExactIndex(index, self.manifest.length, on_gpu=self.on_gpu)
        if isinstance(index, faiss.IndexPQ) and self.kind == "fast":
            return FastIndex(index, self.manifest.length)
        if isinstance(index, faiss.IndexFlatL2) and mask_version is not None:
            return DenseIndex(index, self.manifest.is_masked(window), mask_version)
        raise StoreError.wrong_kind(
            path, found=type(index).__name__, needed=self.kind, made_by=manifest.MADE_BY
        )

    def _check(self, path: Path) -> None:
        """Check the header of a file before FAISS reads it."""
        rows = len(self.reference_haplotypes)
        try:
            faiss_file.check(path, self.kind, self.manifest.length, rows)
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error


def rows_among(
    reference_haplotypes: NDArray[np.int64], haplotypes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Row of each haplotype among the references; -1 if it is not one of them.

    reference_haplotypes  (R,) all different, at least one
    haplotypes            any shape, as the result

    >>> rows_among(np.array([8, 2, 6]), np.array([2, 3, 8, -1]))
    array([ 1, -1,  0, -1])
    """
    order = np.argsort(reference_haplotypes)
    rising = reference_haplotypes[order]
    place = np.minimum(np.searchsorted(rising, haplotypes), len(rising) - 1)
    return np.where(rising[place] == haplotypes, order[place], -1)


def search_in_one_thread() -> None:
    """Make FAISS search with one thread when called from the calling thread.

    For searches that run while a network trains, so that training keeps to its number of threads.
    On two cores a training step takes equally long with more search threads.
    """
    faiss.omp_set_num_threads(1)


def build_options() -> str:
    """Compile options of FAISS, with the instruction set it uses."""
    return str(faiss.get_compile_options()).strip()


def open_index(path: Path, *, panel_fingerprint: str, on_gpu: bool = False) -> IndexReader:
    """Open an index folder that was made from this panel.

    on_gpu  search an exact index on the GPU if FAISS was built for one; the neighbours are the same

    Raises StoreError if it is missing or was made from another panel.
    """
    content = manifest.read(path)
    if content.parents.get("panel") != panel_fingerprint:
        raise StoreError.stale(path, parent="panel", made_by=f"{manifest.MADE_BY} --force")
    return IndexReader(path, content, on_gpu=on_gpu)


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} is not an index written by vcfbert ({error}). Rebuild it with: vcfbert "
        f"{manifest.MADE_BY} --force"
    )


def _verify(path: Path, entry: FileEntry) -> None:
    try:
        is_intact = digests.of_file(path) == entry.sha256
    except OSError as error:
        raise StoreError(
            f"Cannot read {path}: {error.strerror}. Rebuild the index with: vcfbert "
            f"{manifest.MADE_BY} --force"
        ) from error
    if not is_intact:
        raise StoreError(
            f"{path} is damaged: its SHA-256 is not the one in {manifest.NAME}. Rebuild the index "
            f"with: vcfbert {manifest.MADE_BY} --force"
        )
