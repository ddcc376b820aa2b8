"""What is in mask versions, embeddings and indexes, against the panel and one another.

W windows, L sites in a window, R reference haplotypes, D embedding width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.domain.sites import TRAIN
from vcfbert.errors import StoreError
from vcfbert.pipelines.systems import store_checks
from vcfbert.pipelines.systems.store_checks import ARRAYS_OF
from vcfbert.pipelines.verifying.verification import Findings
from vcfbert.retrieval import manifest
from vcfbert.retrieval.dense import DenseIndex
from vcfbert.retrieval.exact import ExactIndex
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import embeddings, schema
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion, read_masks
from vcfbert.storage.zarr.panel import PanelReader

INDEX = "build-index --force"
DRAW = schema.AGAIN["masks"]
_ROWS = 256  # reference haplotypes whose dense embeddings are compared at a time


@dataclass
class Known:
    """What stands in the workspace and can be a parent, as far as it could be read.

    panel       None where it cannot be compared with
    masks       mask versions by number
    embeddings  paths by fingerprint
    indexes     fingerprints
    unread      kinds of which one is damaged, so that a missing parent may be that one
    """

    panel: PanelReader | None = None
    masks: dict[int, MaskVersion] = field(default_factory=dict)
    embeddings: dict[str, Path] = field(default_factory=dict)
    indexes: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

    def forget(self, kind: str, path: Path) -> None:
        """A store is damaged, so nothing is compared with it."""
        self.unread.add(kind)
        self.embeddings = {own: place for own, place in self.embeddings.items() if place != path}

    def miss(self, path: Path, kind: str, findings: Findings, again: str) -> None:
        """A parent is not there: a fault, but a note where it may be there and is damaged."""
        if kind in self.unread:
            findings.notes.append(f"{path} was not compared with its {kind}, which are damaged.")
            return
        findings.faults.append(
            f"{path} was made from {kind} that are not in this workspace any more. {again}"
        )


def check_masks(path: Path, number: int, known: Known, findings: Findings) -> None:
    """A mask version: its settings, shape and padding. StoreError where it cannot be read."""
    mask = read_masks(path)
    known.masks[number] = mask
    findings.content = (
        f"{mask.role} masks, {mask.policy}, rate {mask.rate:g}, seed {mask.seed}, "
        f"{int(mask.is_masked.sum()):,} hidden sites"
    )
    if mask.version != number:
        findings.faults.append(
            f"{path} holds mask version {mask.version}: it was renamed. Give it its name back, or "
            f"draw new ones with: vcfbert {DRAW}"
        )
    if known.panel is None:
        return
    check_parent(path, mask.panel_fingerprint, known.panel, DRAW, findings)
    windows, found = known.panel.windows, mask.is_masked.shape
    if found != (len(windows), windows.length):
        findings.faults.append(
            f"{path} holds masks of {found[0]} windows of {found[1]} sites, but the panel has "
            f"{len(windows)} of {windows.length}. Draw new ones with: vcfbert {DRAW}"
        )
    elif mask.is_masked[_is_padding(known.panel)].any():
        findings.faults.append(
            f"{path} hides sites in the padding of a window. Draw new ones with: vcfbert {DRAW}"
        )


def check_embeddings(path: Path, known: Known, findings: Findings, *, made_by: str) -> None:
    """Embeddings of either layout. StoreError where they cannot be read."""
    with embeddings.open_embeddings(path) as reader:
        findings.content = (
            f"{reader.layout}, {len(reader.reference_haplotypes):,} references, width "
            f"{reader.width}, encoder {reader.encoder_fingerprint[:12]}"
        )
        known.embeddings[reader.fingerprint] = path
        again = f"Encode again with: vcfbert {made_by}"
        rows = reader.reference_haplotypes
        own = embeddings.fingerprint_of(reader.layout, reader.parents, rows)
        if own != reader.fingerprint:
            findings.faults.append(f"{path}: its fingerprint is not that of its content. {again}")
        if reader.layout == "dense":
            _check_mask_of(path, reader, known, findings, again)
        if known.panel is not None:
            letters = store_checks.letters_of(known.panel, reader.width) | {"R": len(rows)}
            names = ARRAYS_OF[reader.layout]
            shapes = store_checks.arrays(
                "embeddings", path, letters, f"panel {known.panel.path}", made_by, names
            )
            wrong = [check.sentence() for check in shapes if not check.holds]
            findings.faults += wrong
            check_parent(path, reader.panel_fingerprint, known.panel, made_by, findings)
            _check_rows(path, rows, known.panel, findings, again)
            if wrong or reader.panel_fingerprint != known.panel.fingerprint:
                return
        for window in range(reader.num_windows):
            _check_vectors(reader, window, known.panel, again)


def _check_vectors(
    reader: EmbeddingsReader, window: int, panel: PanelReader | None, again: str
) -> None:
    """Finite vectors; dense ones are gathers from the codebook, to the last bit."""
    codebook = reader.codebook(window)
    if not np.isfinite(codebook).all():
        raise StoreError(
            f"{reader.path}: the codebook of window {window} holds NaN or infinity. {again}"
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
            if not np.array_equal(stored, codebook[tokens_of, site]):
                raise StoreError(
                    f"{reader.path}: {name} of window {window}, rows {rows[0]} to {rows[-1]}, is "
                    f"not what the codebook holds for the panel's haplotypes. {again}"
                )


def _check_mask_of(
    path: Path, reader: EmbeddingsReader, known: Known, findings: Findings, again: str
) -> None:
    """The masks of the dense layout are those of the version it names, where that still stands."""
    mask = known.masks.get(-1 if reader.mask_version is None else reader.mask_version)
    if mask is None:
        findings.notes.append(f"mask version {reader.mask_version}, of this encoding, is gone")
    elif mask.fingerprint != reader.parents.get("masks"):
        findings.faults.append(
            f"{path} was made from another mask version {reader.mask_version} than the one in this "
            f"workspace. {again}"
        )
    elif not np.array_equal(mask.is_masked, reader.is_masked()):
        findings.faults.append(f"{path} holds other masks than the version it names. {again}")


def check_index(path: Path, known: Known, findings: Findings) -> None:
    """An index folder, its manifest and its content. StoreError where it cannot be read."""
    content = manifest.read(path)
    rows = np.array(content.reference_haplotypes, dtype=np.int64)
    findings.content = f"{content.kind}, {len(rows):,} references, {len(content.files):,} windows"
    known.indexes.add(manifest.fingerprint(content))
    again = f"Make it again with: vcfbert {INDEX}"
    for entry in content.files:
        file = path / Path(entry.name).name
        if file.is_file() and file.stat().st_size != entry.bytes:
            findings.faults.append(f"{file} has another size than its manifest says. {again}")
    reader = IndexReader(path, content)
    source = _source_of(path, content, known, findings)
    panel = known.panel
    if panel is not None:
        check_parent(path, content.parents.get("panel", "none"), panel, INDEX, findings)
        _check_rows(path, rows, panel, findings, again)
        if (len(content.files), content.length) != (len(panel.windows), panel.length):
            findings.faults.append(
                f"{path} holds {len(content.files)} windows of {content.length} sites, but the "
                f"panel has {len(panel.windows)} of {panel.length}. {again}"
            )
        if findings.faults:
            return
    for window in range(len(content.files)):
        with findings.explained():
            _check_window(reader, window, rows, panel, source, again)


def _source_of(
    path: Path, content: manifest.Manifest, known: Known, findings: Findings
) -> Path | None:
    """The embeddings of a dense index; a fault where they or its masks are gone."""
    if content.kind == "exact":
        return None
    wanted = {mask.fingerprint for mask in known.masks.values()}
    source = known.embeddings.get(content.parents.get("embeddings", ""))
    again = "Make it again with: vcfbert build-index --kind dense --force"
    if content.parents.get("masks") not in wanted:
        known.miss(path, "masks", findings, again)
    if source is None:
        known.miss(path, "embeddings", findings, again)
    return source


def _check_window(
    reader: IndexReader,
    window: int,
    rows: NDArray[np.int64],
    panel: PanelReader | None,
    source: Path | None,
    again: str,
) -> None:
    """One file: SHA-256 first, then what it holds."""
    found = reader.window(window)
    if found.num_references != len(rows):
        raise StoreError(
            f"{reader.path}: window {window} has {found.num_references} rows, but the manifest "
            f"{len(rows)}. {again}"
        )
    if isinstance(found, ExactIndex) and panel is not None:
        is_right = np.array_equal(found.reference_bits, panel.packed(window)[rows])
    elif isinstance(found, DenseIndex) and source is not None:
        is_right = _is_of_embeddings(found, source, window, rows)
    else:
        return
    if not is_right:
        raise StoreError(
            f"{reader.path}: window {window} does not hold the haplotypes of its rows. {again}"
        )


def _is_of_embeddings(
    found: DenseIndex, source: Path, window: int, rows: NDArray[np.int64]
) -> bool:
    """True where a dense window is the masked embeddings of its rows."""
    with embeddings.open_embeddings(source) as encoded:
        places = np.searchsorted(encoded.reference_haplotypes, rows)
        masked = encoded.dense_masked(window)[places]
        has_mask = np.array_equal(encoded.is_masked()[window], found.is_masked)
        return has_mask and np.array_equal(found.embeddings, masked.reshape(len(rows), -1))


def check_parent(
    path: Path, fingerprint: str, panel: PanelReader, made_by: str, findings: Findings
) -> None:
    """A fault where something was made from another panel than the one that stands here."""
    if fingerprint != panel.fingerprint:
        findings.faults.append(str(StoreError.stale(path, parent="panel", made_by=made_by)))


def _check_rows(
    path: Path, rows: NDArray[np.int64], panel: PanelReader, findings: Findings, again: str
) -> None:
    """Rows are train haplotypes, each once, rising."""
    held_out = np.setdiff1d(rows, panel.samples.haplotypes(TRAIN))
    if len(held_out):
        findings.faults.append(
            f"{path} holds {len(held_out)} haplotypes of samples who are held out, or of nobody. "
            f"{again}"
        )
    elif len(rows) == 0 or (np.diff(rows) <= 0).any():
        findings.faults.append(f"{path} holds no rows, or rows out of order. {again}")


def _is_padding(panel: PanelReader) -> NDArray[np.bool_]:
    """(W, L) True behind a window's last site."""
    num_sites = panel.windows.stop - panel.windows.start
    is_padding: NDArray[np.bool_] = np.arange(panel.length) >= num_sites[:, None]
    return is_padding
