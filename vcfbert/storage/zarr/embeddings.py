"""Writer and reader of encoded references in two layouts.

W windows, L sites in a window, R reference haplotypes, D embedding width, V vocabulary,
E weights of the encoder.

The encoder is context-free, so an embedding depends only on (window, token, site). The layout
`codebook` stores one vector for each of these; `dense` also stores the gathered embeddings of every
reference haplotype, as an encoder with context would need.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import StoreError
from vcfbert.storage.zarr import stores
from vcfbert.storage.zarr.masks import MaskVersion

Layout = Literal["codebook", "dense"]
Weights = Mapping[str, NDArray[np.float32]]
"""The weights of an encoder by name."""
TokensOf = Callable[[int, slice], NDArray[np.uint8]]
"""Maps a window and a range of rows to the (n, L) unmasked tokens of these references."""

_CACHED_WINDOWS = 4
_BLOCK_BYTES = 64 << 20  # of a dense window in memory


class EmbeddingsReader:
    """An open embeddings store. Several threads may read it."""

    def __init__(self, path: Path, root: zarr.Group) -> None:
        """Read the attributes; use `open_embeddings`."""
        self.path = path
        self.layout: Layout = stores.attribute(root, "layout")
        self.fingerprint = str(stores.attribute(root, "fingerprint"))
        self.parents: dict[str, str] = dict(stores.attribute(root, "parents"))
        self.panel_fingerprint = self.parents["panel"]
        self.encoder_fingerprint = self.parents["encoder"]
        self.mask_version: int | None = stores.attribute(root, "mask_version")
        self.reference_haplotypes: NDArray[np.int64] = stores.read_column(
            root, "reference_haplotypes"
        )
        self.encoder_shapes: dict[str, list[int]] = {
            name: [int(size) for size in shape]
            for name, shape in stores.attribute(root, "encoder_weights")
        }
        self._encoder = stores.read_column(root, "encoder")
        self._codebook = stores.member(root, "codebook")
        self.num_windows, _, self.length, self.width = self._codebook.shape
        self._is_masked = stores.read_column(root, "is_masked") if self.layout == "dense" else None
        self._cache: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def codebook(self, window: int) -> NDArray[np.float32]:
        """(V, L, D) raw embedding of every token at every site; read-only."""
        with self._lock:
            if window not in self._cache:
                self._cache[window] = self._read_codebook(window)
                if len(self._cache) > _CACHED_WINDOWS:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(window)
            return self._cache[window]

    def encoder_weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights of the encoder that made the embeddings; StoreError if they are damaged."""
        found, first = {}, 0
        for name, shape in self.encoder_shapes.items():
            stop = first + math.prod(shape)
            found[name] = self._encoder[first : min(stop, len(self._encoder))]
            first = stop
        is_whole = first == len(self._encoder)
        if not is_whole or encoder_fingerprint(found) != self.encoder_fingerprint:
            raise StoreError(
                f"{self.path} is damaged: its encoder is not the one that made it. "
                "Rebuild it with: vcfbert encode-refs --force"
            )
        return {name: found[name].reshape(shape) for name, shape in self.encoder_shapes.items()}

    def complete(
        self, window: int, rows: NDArray[np.int64], complete_tokens: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Embeddings of reference haplotypes.

        rows             (n,) into `reference_haplotypes`; the dense layout uses these
        complete_tokens  (n, L) their unmasked tokens; the codebook layout uses these
        returns          (n, L, D)
        """
        if self.layout == "codebook":
            return self._gather(window, complete_tokens)
        return self._map("complete", window)[rows]

    def masked(
        self, window: int, rows: NDArray[np.int64], masked_tokens: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Embeddings of masked reference haplotypes; arguments as in `complete`.

        Raises StoreError if the dense layout was encoded under another mask.
        """
        if self.layout == "codebook":
            return self._gather(window, masked_tokens)
        self._check_mask(window, masked_tokens)
        return self._map("masked", window)[rows]

    def dense_masked(self, window: int) -> NDArray[np.float32]:
        """(R, L, D) all masked embeddings of a window, memory-mapped; dense layout only."""
        self._require_dense()
        return self._map("masked", window)

    def is_masked(self) -> NDArray[np.bool_]:
        """(W, L) the mask under which the dense layout was encoded; dense layout only."""
        return self._require_dense()

    def _require_dense(self) -> NDArray[np.bool_]:
        if self._is_masked is None:
            raise StoreError(
                f"{self.path} has the layout 'codebook', but 'dense' is needed here. "
                "Rebuild it with: vcfbert encode-refs --layout dense --force"
            )
        return self._is_masked

    def _check_mask(self, window: int, masked_tokens: NDArray[np.uint8]) -> None:
        is_other = (masked_tokens == tokens.MASK) != self._require_dense()[window]
        differing = int(is_other.any(axis=0).sum())
        if differing:
            raise StoreError(
                f"{self.path} was encoded under mask version {self.mask_version}, which differs "
                f"from the requested mask at {differing} sites of window {window}. Encode under "
                "that mask: vcfbert encode-refs --layout dense --mask-version N --force; or use "
                "the layout codebook, which serves every mask."
            )

    def _gather(self, window: int, wanted: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.codebook(window)[wanted, np.arange(self.length)]

    def _map(self, name: str, window: int) -> NDArray[np.float32]:
        shape = (len(self.reference_haplotypes), self.length, self.width)
        mapped = stores.map_chunk(self.path, name, window, shape)
        stores.require_same(self._codebook)
        return mapped

    def _read_codebook(self, window: int) -> NDArray[np.float32]:
        codebook = stores.read_window(self._codebook, window, "embeddings")
        codebook.flags.writeable = False
        return codebook


@contextmanager
def open_embeddings(path: Path) -> Iterator[EmbeddingsReader]:
    """Open a finished embeddings store."""
    with stores.open_store(path, "embeddings") as root:
        try:
            reader = EmbeddingsReader(path, root)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{path} is damaged ({error!r}). Rebuild it with: vcfbert encode-refs --force"
            ) from error
        yield reader


def write_codebook(
    path: Path,
    codebooks: Iterable[NDArray[np.float32]],
    *,
    panel_fingerprint: str,
    encoder: Weights,
    reference_haplotypes: NDArray[np.int64],
    overwrite: bool = False,
) -> None:
    """Write a store of the layout `codebook`, which serves every mask.

    codebooks             (V, L, D) of each window, in order; consumed one at a time
    encoder               the weights that made them
    reference_haplotypes  (R,) panel haplotypes of the train samples
    """
    parents = {"panel": panel_fingerprint, "encoder": encoder_fingerprint(encoder)}
    with stores.create_store(path, "embeddings", overwrite=overwrite) as root:
        for _ in _stored_codebooks(root, codebooks):
            pass
        _finish(root, "codebook", parents, reference_haplotypes, encoder, mask=None)


def write_dense(
    path: Path,
    codebooks: Iterable[NDArray[np.float32]],
    tokens_of: TokensOf,
    mask: MaskVersion,
    *,
    encoder: Weights,
    reference_haplotypes: NDArray[np.int64],
    overwrite: bool = False,
) -> None:
    """Write a store of the layout `dense`, in blocks of rows, for the panel of `mask`.

    Raises DeviceError before anything is written if the disk is too small.
    """
    remaining = iter(codebooks)
    first = next(remaining)
    num_windows, length = mask.is_masked.shape
    num_rows, width = len(reference_haplotypes), first.shape[-1]
    stores.require_disk(
        path,
        dense_bytes(num_windows, num_rows, length, width),
        what="Dense embeddings",
        instead="Free disk space, or use --layout codebook, which gives the same batches.",
    )
    parents = {
        "panel": mask.panel_fingerprint,
        "encoder": encoder_fingerprint(encoder),
        "masks": mask.fingerprint,
    }
    shape, chunk = (0, num_rows, length, width), (1, num_rows, length, width)
    with stores.create_store(path, "embeddings", overwrite=overwrite) as root:
        arrays = [
            stores.create_array(root, "embeddings", name, shape, chunk, mapped=True)
            for name in ("complete", "masked")
        ]
        stored = _stored_codebooks(root, itertools.chain([first], remaining))
        for window, codebook in enumerate(stored):
            masks = (np.zeros(length, dtype=np.bool_), mask.is_masked[window])
            for array, is_masked in zip(arrays, masks, strict=True):
                blocks = _gathered_blocks(codebook, tokens_of, window, num_rows, is_masked)
                stores.write_chunk(array, window, blocks)
        for array in arrays:
            array.resize((num_windows, *shape[1:]))
        stores.write_column(root, "embeddings", "is_masked", mask.is_masked)
        _finish(root, "dense", parents, reference_haplotypes, encoder, mask)


def dense_bytes(num_windows: int, num_rows: int, length: int, width: int) -> int:
    """Bytes on disk of the arrays of the layout `dense`."""
    gathered = 2 * num_rows  # complete and masked
    return 4 * num_windows * length * width * (gathered + tokens.VOCABULARY_SIZE)


def codebook_bytes(num_windows: int, length: int, width: int) -> int:
    """Most bytes on disk of the array of the layout `codebook`."""
    return 4 * num_windows * length * width * tokens.VOCABULARY_SIZE


def _stored_codebooks(
    root: zarr.Group, codebooks: Iterable[NDArray[np.float32]]
) -> Iterator[NDArray[np.float32]]:
    """Store the codebook of each window and yield it."""
    array = None
    for codebook in codebooks:
        if array is None:
            shape, chunk = (0, *codebook.shape), (1, *codebook.shape)
            # zstd would save a fifth, but training would wait 8 times as long for each read
            array = stores.create_array(root, "embeddings", "codebook", shape, chunk, level=None)
        array.append(codebook[None])
        yield codebook


def _gathered_blocks(
    codebook: NDArray[np.float32],
    tokens_of: TokensOf,
    window: int,
    num_rows: int,
    is_masked: NDArray[np.bool_],
) -> Iterator[NDArray[np.float32]]:
    """Yield the (n, L, D) embeddings of consecutive ranges of rows."""
    site = np.arange(codebook.shape[1])
    step = max(1, _BLOCK_BYTES // codebook[0].nbytes)
    for first in range(0, num_rows, step):
        rows = slice(first, min(first + step, num_rows))
        yield codebook[tokens.hide(tokens_of(window, rows), is_masked), site]


def encoder_fingerprint(encoder: Weights) -> str:
    """A hash of the weights of an encoder, by which the embeddings it made are recognised."""
    parts: list[str | NDArray[np.float32]] = []
    for name in sorted(encoder):
        parts += [name, np.asarray(encoder[name], dtype=np.float32)]
    return stores.fingerprint(*parts)


def fingerprint_of(layout: Layout, parents: dict[str, str], rows: NDArray[np.int64]) -> str:
    """A hash of the layout, the parents and the (R,) haplotypes of the rows."""
    return stores.fingerprint(layout, repr(sorted(parents.items())), rows)


def _finish(
    root: zarr.Group,
    layout: Layout,
    parents: dict[str, str],
    reference_haplotypes: NDArray[np.int64],
    encoder: Weights,
    mask: MaskVersion | None,
) -> None:
    """Write the rows, the encoder, the parents and the fingerprint."""
    names = sorted(encoder)
    flat = [np.asarray(encoder[name], dtype=np.float32).ravel() for name in names]
    stores.write_column(root, "embeddings", "encoder", np.concatenate(flat))
    rows = np.asarray(reference_haplotypes, dtype=np.int64)
    stores.write_column(root, "embeddings", "reference_haplotypes", rows)
    root.attrs.update(
        {
            "layout": layout,
            "fingerprint": fingerprint_of(layout, parents, rows),
            "parents": parents,
            "mask_version": None if mask is None else mask.version,
            "encoder_weights": [[name, list(encoder[name].shape)] for name in names],
        }
    )
