"""`vcfbert build-index`: an index of the reference haplotypes for each window.

R reference haplotypes, W windows.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import sites as site_tables
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.systems import dense_sources, reference_stores
from vcfbert.pipelines.systems.dense_sources import DenseSource
from vcfbert.progress import Progress
from vcfbert.retrieval import dense, exact, fast, manifest
from vcfbert.retrieval.index import FaissIndex, build_windows
from vcfbert.retrieval.manifest import Kind, Manifest
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace

_USUAL_SEED = 1


@dataclass(frozen=True)
class IndexOptions:
    """Options of `build-index`."""

    kind: Kind = "exact"
    """`exact` and `fast` search one bit for each allele; `fast` proposes neighbours by rounded
    distances and ranks them by exact ones. `dense` is flat L2 over masked embeddings."""

    max_references: int | None = None
    """Number of train haplotypes, of whole samples drawn at random; None takes all."""

    seed: int | None = None
    """Seed of the draw of `max_references`; None is 1."""

    embeddings: VersionName | None = None
    """Embeddings of a dense index, a number or a path; None is the newest."""

    mask_version: VersionName | None = None
    """Masks of a dense index, a number or a path; None is those of dense embeddings, or the newest
    for a codebook."""

    threads: int | None = None
    """Windows that are indexed at a time. None is one for each core, and one alone for the dense
    kind, whose windows may take gigabytes. The index does not depend on it."""


@dataclass(frozen=True)
class IndexSummary:
    """What `build_index` wrote.

    left  names of the runs that were trained with the index it replaced, if that was another
    """

    path: Path
    kind: Kind
    num_windows: int
    num_references: int
    bytes_on_disk: int
    seconds: float
    left: list[str]

    def lines(self) -> list[str]:
        """The summary as text."""
        lines = [
            f"Indexed {plurals.of(self.num_references, 'reference haplotype')} in "
            f"{plurals.of(self.num_windows, 'window')}, kind {self.kind}: {self.bytes_on_disk:,} "
            f"bytes, {self.seconds:.2f} s.",
            f"Index: {self.path} (impute and mosaic need no index)",
        ]
        if self.left:
            lines.append(
                f"The index that was replaced is that of the runs {', '.join(self.left)}. eval and "
                "train --resume need it: build it again with its options, or train the runs again."
            )
        return lines


def build_index(
    workspace: Workspace,
    options: IndexOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> IndexSummary:
    """Write index version 0, or replace the newest version if `overwrite` is on.

    Raises StoreError if the panel or, for the dense kind, embeddings or masks are missing or stale,
    or if an index exists and `overwrite` is off; ConfigError if the options contradict each
    other or the panel; DeviceError if the disk cannot hold a dense index or the processor cannot
    search a fast one.
    """
    begun = time.perf_counter()
    if options.seed is not None and options.max_references is None:
        raise ConfigError(
            "--seed is the seed of the draw of --max-references: pass both, or leave --seed out."
        )
    if options.kind != "dense" and (options.embeddings, options.mask_version) != (None, None):
        raise ConfigError(
            f"--embeddings and --mask-version are for --kind dense: an index of the kind "
            f"{options.kind} serves every encoding and every mask. Leave them out."
        )
    with workspace.writing("indexes"), open_panel(workspace.panel) as panel:
        path = reference_stores.version_to_write(workspace, "indexes", overwrite)
        before = _replaced(path)
        haplotypes = _references(panel, options)
        progress.start("index", len(panel.windows))
        with stores.create_folder(path, overwrite=overwrite) as folder:
            if options.kind == "dense":
                with dense_sources.open_source(
                    workspace, panel, options.embeddings, options.mask_version
                ) as source:
                    content = _write_dense(folder, source, haplotypes, options, progress)
            else:
                content = _write_bits(folder, panel, haplotypes, options, progress)
            manifest.write(folder, content)
    return IndexSummary(
        path=path,
        kind=options.kind,
        num_windows=len(content.files),
        num_references=len(haplotypes),
        bytes_on_disk=reference_stores.bytes_below(path),
        seconds=time.perf_counter() - begun,
        left=_left(workspace, before, content),
    )


def _replaced(path: Path) -> Manifest | None:
    """Manifest of an index that is to be replaced; None if there is none or it is damaged."""
    try:
        return manifest.read(path)
    except StoreError:
        return None


def _left(workspace: Workspace, before: Manifest | None, now: Manifest) -> list[str]:
    """Names of the runs that need the index that another one has replaced.

    A run that was trained with an exact index needs only its references.
    """
    if before is None or manifest.fingerprint(before) == manifest.fingerprint(now):
        return []
    if before.kind == "exact" and before.reference_haplotypes == now.reference_haplotypes:
        return []
    return reference_stores.runs_trained_with(workspace, manifest.fingerprint(before))


def _references(panel: PanelReader, options: IndexOptions) -> NDArray[np.int64]:
    """Panel haplotypes of the index rows in increasing order, of train samples only."""
    available, wanted = reference_stores.train_haplotypes(panel), options.max_references
    if wanted is None:
        return available
    if wanted < 2 or wanted % 2 or wanted > len(available):
        raise ConfigError(
            f"--max-references must be an even number from 2 to {len(available)}, because samples "
            f"are indexed with both haplotypes; got {wanted}."
        )
    samples = panel.samples.in_splits(site_tables.TRAIN)
    drawn = np.random.default_rng(_seed(options)).choice(samples, wanted // 2, replace=False)
    return site_tables.haplotypes_of(np.sort(drawn))


def _seed(options: IndexOptions) -> int:
    return _USUAL_SEED if options.seed is None else options.seed


def _write_bits(
    folder: Path,
    panel: PanelReader,
    haplotypes: NDArray[np.int64],
    options: IndexOptions,
    progress: Progress,
) -> Manifest:
    if options.kind == "fast":
        fast.require_usable(panel.length)
    build = fast.build if options.kind == "fast" else exact.build

    def index_of(window: int) -> FaissIndex:
        return build(panel.packed(window)[haplotypes])

    threads = options.threads or os.cpu_count() or 1
    return Manifest(
        kind=options.kind,
        length=panel.length,
        parents={"panel": panel.fingerprint},
        reference_haplotypes=haplotypes.tolist(),
        max_references=options.max_references,
        seed=_seed(options),
        files=build_windows(folder, len(panel.windows), index_of, threads, progress.advance),
    )


def _write_dense(
    folder: Path,
    source: DenseSource,
    haplotypes: NDArray[np.int64],
    options: IndexOptions,
    progress: Progress,
) -> Manifest:
    reader, panel = source.reader, source.panel

    def index_of(window: int) -> FaissIndex:
        return dense.build(source.rows(window, haplotypes))

    row_bytes = 4 * reader.num_windows * reader.length * reader.width
    stores.require_disk(
        folder,
        len(haplotypes) * row_bytes,
        what="Dense indexes",
        instead="Free some, or use --kind exact, which finds the same neighbours.",
    )
    return Manifest(
        kind="dense",
        length=panel.length,
        parents={
            "panel": panel.fingerprint,
            "masks": source.mask_fingerprint,
            "embeddings": reader.fingerprint,
        },
        reference_haplotypes=haplotypes.tolist(),
        max_references=options.max_references,
        seed=_seed(options),
        files=build_windows(
            folder, reader.num_windows, index_of, options.threads or 1, progress.advance
        ),
        mask_version=source.mask_version,
        masks=manifest.masks_as_hex(source.is_masked),
    )
