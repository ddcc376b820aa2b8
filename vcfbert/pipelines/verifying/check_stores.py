"""Checks of masks, embeddings and indexes against the panel and each other.

W windows, L sites in a window, R reference haplotypes, D embedding width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import tokens
from vcfbert.domain.sites import TRAIN
from vcfbert.errors import StoreError
from vcfbert.pipelines.systems import dense_sources, store_checks
from vcfbert.pipelines.systems.store_checks import ARRAYS_OF
from vcfbert.pipelines.verifying.store_report import StoreReport
from vcfbert.retrieval import manifest
from vcfbert.retrieval.dense import DenseIndex
from vcfbert.retrieval.exact import ExactIndex
from vcfbert.retrieval.fast import FastIndex
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import embeddings, schema, stored_versions
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion, read_masks
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.workspace import Workspace

INDEX = "build-index --force"
DRAW = schema.AGAIN["masks"]
_ROWS = 256  # reference haplotypes whose dense embeddings are compared at a time


@dataclass
class Known:
    """Stores of the workspace that others may have been made from, as far as they can be read.

    panel       None if it is damaged
    masks       mask versions by number
    embeddings  paths by fingerprint
    indexes     fingerprints
    unread      kinds with a damaged store, which may be the parent that is missing
    home        the workspace, for versions that runs wrote; None if there are no runs
    """

    panel: PanelReader | None = None
    masks: dict[int, MaskVersion] = field(default_factory=dict)
    embeddings: dict[str, Path] = field(default_factory=dict)
    indexes: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    home: Workspace | None = None

    def forget(self, kind: str, path: Path) -> None:
        """Take out a damaged store, so that nothing is compared with it."""
        self.unread.add(kind)
        self.embeddings = {own: place for own, place in self.embeddings.items() if place != path}

    def miss(self, path: Path, kind: str, report: StoreReport, again: str) -> None:
        """Report a missing parent: a fault, or a note if it may be a damaged store."""
        if kind in self.unread:
            report.notes.append(
                f"{path} was not compared with the {kind} it was made from: some are damaged."
            )
            return
        report.faults.append(
            f"{path} was made from {kind} that are no longer in this workspace. {again}"
        )


def check_masks(path: Path, number: int, known: Known, report: StoreReport) -> None:
    """Check a mask version: number, shape and padding. StoreError if it cannot be read."""
    mask = read_masks(path)
    known.masks[number] = mask
    report.content = (
        f"{mask.role} masks, {mask.policy}, rate {mask.rate:g}, seed {mask.seed}, "
        f"{plurals.of(int(mask.is_masked.sum()), 'masked site')}"
    )
    if mask.version != number:
        report.faults.append(
            f"{path} contains mask version {mask.version}: it was renamed. Restore its name, or "
            f"draw new masks with: vcfbert {DRAW}"
        )
    if known.panel is None:
        return
    check_parent(path, mask.panel_fingerprint, known.panel, DRAW, report)
    windows, found = known.panel.windows, mask.is_masked.shape
    if found != (len(windows), windows.length):
        report.faults.append(
            f"{path} has {plurals.of(found[0], 'window')} of {plurals.of(found[1], 'site')}, but "
            f"the panel has {len(windows)} of {windows.length}. Draw new masks with: vcfbert {DRAW}"
        )
    elif mask.is_masked[_is_padding(known.panel)].any():
        report.faults.append(
            f"{path} masks sites in the padding of a window. Draw new masks with: vcfbert {DRAW}"
        )


def check_embeddings(path: Path, known: Known, report: StoreReport, *, made_by: str) -> None:
    """Check embeddings of either layout. StoreError if they cannot be read."""
    with embeddings.open_embeddings(path) as reader:
        report.content = (
            f"{reader.layout}, {plurals.of(len(reader.reference_haplotypes), 'reference')}, width "
            f"{reader.width}, encoder {reader.encoder_fingerprint[:12]}"
        )
        known.embeddings[reader.fingerprint] = path
        again = f"Encode again with: vcfbert {made_by}"
        rows = reader.reference_haplotypes
        own = embeddings.fingerprint_of(reader.layout, reader.parents, rows, reader.dtype)
        if own != reader.fingerprint:
            report.faults.append(f"{path}: its fingerprint does not match its content. {again}")
        reader.encoder_weights()
        if reader.layout == "dense":
            _check_mask_of(path, reader, known, report, again)
        if known.panel is not None:
            letters = store_checks.letters_of(known.panel, reader.width)
            letters |= store_checks.letters_of_embeddings(reader)
            names = ARRAYS_OF[reader.layout]
            shapes = store_checks.arrays(
                "embeddings", path, letters, f"panel {known.panel.path}", made_by, names
            )
            wrong = [check.sentence() for check in shapes if not check.holds]
            report.faults += wrong
            check_parent(path, reader.panel_fingerprint, known.panel, made_by, report)
            _check_rows(path, rows, known.panel, report, again)
            if wrong or reader.panel_fingerprint != known.panel.fingerprint:
                return
        for window in range(reader.num_windows):
            _check_vectors(reader, window, known.panel, again)


def _check_vectors(
    reader: EmbeddingsReader, window: int, panel: PanelReader | None, again: str
) -> None:
    """Check that vectors are finite, and that dense ones equal those of the codebook exactly."""
    codebook = reader.codebook(window)
    if not np.isfinite(codebook).all():
        raise StoreError(
            f"{reader.path}: the codebook of window {window} contains NaN or infinity. {again}"
        )
    if reader.layout == "codebook" or panel is None:
        return
    site = np.arange(reader.length)
    for first in range(0, len(reader.reference_haplotypes), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(reader.reference_haplotypes)))
        carried = panel.tokens(window, reader.reference_haplotypes[rows])
        masked = tokens.hide(carried, reader.is_masked()[window])
        sides = {
            "complete": (reader.complete(window, rows, carried), carried),
            "masked": (reader.masked(window, rows, masked), masked),
        }
        for name, (stored, tokens_of) in sides.items():
            if not np.array_equal(stored, codebook[tokens_of, site].astype(reader.dtype)):
                raise StoreError(
                    f"{reader.path}: {name} of window {window}, rows {rows[0]} to {rows[-1]}, "
                    f"differs from the codebook's vectors of the panel's haplotypes. {again}"
                )


def _check_mask_of(
    path: Path, reader: EmbeddingsReader, known: Known, report: StoreReport, again: str
) -> None:
    """Check the masks of the dense layout against their mask version, if it still exists."""
    mask = known.masks.get(-1 if reader.mask_version is None else reader.mask_version)
    if mask is None:
        report.notes.append(
            f"mask version {reader.mask_version}, which it was made from, is no longer there"
        )
    elif mask.fingerprint != reader.parents.get("masks"):
        report.faults.append(
            f"{path} was made from another mask version {reader.mask_version} than the one in this "
            f"workspace. {again}"
        )
    elif not np.array_equal(mask.is_masked, reader.is_masked()):
        report.faults.append(
            f"{path} has other masks than mask version {reader.mask_version}. {again}"
        )


def check_index(path: Path, known: Known, report: StoreReport) -> None:
    """Check an index folder and its manifest. StoreError if the manifest cannot be read."""
    content = manifest.read(path)
    rows = np.array(content.reference_haplotypes, dtype=np.int64)
    report.content = (
        f"{content.kind}, {plurals.of(len(rows), 'reference')}, "
        f"{plurals.of(len(content.files), 'window')}"
    )
    known.indexes.add(manifest.fingerprint(content))
    again = f"Rebuild it with: vcfbert {INDEX}"
    for entry in content.files:
        file = path / Path(entry.name).name
        if file.is_file() and file.stat().st_size != entry.bytes:
            report.faults.append(f"{file} does not have the size in its manifest. {again}")
    reader = IndexReader(path, content)
    source = _source_of(path, content, known, report)
    panel = known.panel
    if panel is not None:
        check_parent(path, content.parents.get("panel", "none"), panel, INDEX, report)
        _check_rows(path, rows, panel, report, again)
        if (len(content.files), content.length) != (len(panel.windows), panel.length):
            report.faults.append(
                f"{path} has {plurals.of(len(content.files), 'window')} of "
                f"{plurals.of(content.length, 'site')}, but the panel has {len(panel.windows)} of "
                f"{panel.length}. {again}"
            )
        if report.faults:
            return
    for window in range(len(content.files)):
        with report.catching():
            _check_window(reader, window, rows, panel, source, again)


def _source_of(
    path: Path, content: manifest.Manifest, known: Known, report: StoreReport
) -> Path | None:
    """The embeddings a dense index was made from; adds a fault if they or the masks are missing."""
    if content.kind != "dense":
        return None
    wanted = content.parents.get("masks", "")
    has_masks = wanted in {mask.fingerprint for mask in known.masks.values()}
    own = content.parents.get("embeddings", "")
    source = known.embeddings.get(own)
    if known.home is not None:
        of_runs = stored_versions.of_all_runs(known.home, "masks")
        has_masks = has_masks or stored_versions.mask_with(of_runs, wanted) is not None
        of_runs = stored_versions.of_all_runs(known.home, "embeddings")
        source = source or stored_versions.embeddings_with(of_runs, own)
    again = "Rebuild it with: vcfbert build-index --kind dense --force"
    if not has_masks:
        known.miss(path, "masks", report, again)
    if source is None:
        known.miss(path, "embeddings", report, again)
    return source


def _check_window(
    reader: IndexReader,
    window: int,
    rows: NDArray[np.int64],
    panel: PanelReader | None,
    source: Path | None,
    again: str,
) -> None:
    """Check one file: SHA-256, number of rows and content."""
    found = reader.window(window)
    if found.num_references != len(rows):
        raise StoreError(
            f"{reader.path}: window {window} has {plurals.of(found.num_references, 'row')}, but "
            f"the manifest lists {len(rows)}. {again}"
        )
    if isinstance(found, ExactIndex) and panel is not None:
        is_right = np.array_equal(found.reference_bits, panel.packed(window)[rows])
        is_right &= not (isinstance(found, FastIndex) and found.padding.any())
    elif isinstance(found, DenseIndex) and source is not None:
        is_right = _is_of_embeddings(found, source, window, rows, panel)
    else:
        return
    if not is_right:
        raise StoreError(
            f"{reader.path}: window {window} does not contain the haplotypes of its rows. {again}"
        )


def _is_of_embeddings(
    found: DenseIndex,
    source: Path,
    window: int,
    rows: NDArray[np.int64],
    panel: PanelReader | None,
) -> bool:
    """True if a dense window contains the masked embeddings of its rows.

    Those of a codebook are not compared without a panel.
    """
    with embeddings.open_embeddings(source) as encoded:
        if encoded.layout == "codebook":
            if panel is None:
                return True
            masked = dense_sources.gathered(encoded, panel, window, rows, found.is_masked)
            return np.array_equal(found.embeddings, masked.reshape(len(rows), -1))
        places = np.searchsorted(encoded.reference_haplotypes, rows)
        masked = encoded.dense_masked(window)[places]
        has_mask = np.array_equal(encoded.is_masked()[window], found.is_masked)
        return has_mask and np.array_equal(found.embeddings, masked.reshape(len(rows), -1))


def check_parent(
    path: Path, fingerprint: str, panel: PanelReader, made_by: str, report: StoreReport
) -> None:
    """Add a fault if a store was made from another panel than this one."""
    if fingerprint != panel.fingerprint:
        report.faults.append(str(StoreError.stale(path, parent="panel", made_by=made_by)))


def _check_rows(
    path: Path, rows: NDArray[np.int64], panel: PanelReader, report: StoreReport, again: str
) -> None:
    """Check that rows are train haplotypes, each once and in rising order."""
    held_out = np.setdiff1d(rows, panel.samples.haplotypes(TRAIN))
    if len(held_out):
        report.faults.append(
            f"{path} contains {plurals.of(len(held_out), 'haplotype')} not of train samples. "
            f"{again}"
        )
    elif len(rows) == 0 or (np.diff(rows) <= 0).any():
        report.faults.append(f"{path} has no rows, or rows out of order. {again}")


def _is_padding(panel: PanelReader) -> NDArray[np.bool_]:
    """(W, L) True after the last site of a window."""
    num_sites = panel.windows.stop - panel.windows.start
    is_padding: NDArray[np.bool_] = np.arange(panel.length) >= num_sites[:, None]
    return is_padding
