"""Writer and reader of encoded references in two layouts.

W windows, L sites in a window, R reference haplotypes, D embedding width, V vocabulary,
E weights of the encoder.

The encoder is context-free, so an embedding depends only on (window, token, site). The layout
`codebook` stores one vector for each of these; `dense` also stores the gathered embeddings of every
reference haplotype, as an encoder with context would need, in float32 or rounded to float16.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, StoreError
from vcfbert.storage.zarr import stored, stores
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.stored import StoredGroup

if TYPE_CHECKING:
    import zarr

Layout = Literal["codebook", "dense"]
Weights = Mapping[str, NDArray[np.float32]]
"""The weights of an encoder by name."""

Dtype = Literal["float32", "float16"]
HALF_ERROR = 2.0**-11
"""Largest error of float16, relative to a number."""

TokensOf = Callable[[int, slice], NDArray[np.uint8]]
"""Maps a window and a range of rows to the (n, L) unmasked tokens of these references."""

_CACHED_WINDOWS = 4
_ROWS = ("complete", "masked")  # arrays of haplotypes of the layout `dense`
_BLOCK_BYTES = 64 << 20  # of a dense window in memory


class EmbeddingsReader:
    """An open embeddings store. Several threads may read it."""

    def __init__(self, path: Path, root: StoredGroup) -> None:
        """Read the attributes; use `open_embeddings`."""
        self.path = path
        self.layout: Layout = stored.attribute(root, "layout")
        self.fingerprint = str(stored.attribute(root, "fingerprint"))
        self.parents: dict[str, str] = dict(stored.attribute(root, "parents"))
        self.panel_fingerprint = self.parents["panel"]
        self.encoder_fingerprint = self.parents["encoder"]
        self.mask_version: int | None = stored.attribute(root, "mask_version")
        self.reference_haplotypes: NDArray[np.int64] = stored.read_column(
            root, "reference_haplotypes"
        )
        self.encoder_shapes: dict[str, list[int]] = {
            name: [int(size) for size in shape]
            for name, shape in stored.attribute(root, "encoder_weights")
        }
        self._encoder = stored.read_column(root, "encoder")
        self._codebook = stored.member(root, "codebook")
        self.num_windows, _, self.length, self.width = self._codebook.shape
        self.dtype = _dtype_of(root)
        self._is_masked = stored.read_column(root, "is_masked") if self.layout == "dense" else None
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
        return self._map("complete", window)[rows].astype(np.float32, copy=False)

    def masked(
        self, window: int, rows: NDArray[np.int64], masked_tokens: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Embeddings of masked reference haplotypes; arguments as in `complete`.

        Raises StoreError if the dense layout was encoded under another mask.
        """
        if self.layout == "codebook":
            return self._gather(window, masked_tokens)
        self._check_mask(window, masked_tokens)
        return self._map("masked", window)[rows].astype(np.float32, copy=False)

    def dense_masked(self, window: int) -> NDArray[np.floating]:
        """(R, L, D) all masked embeddings of a window, memory-mapped; dense layout only.

        Their data type is that of the store.
        """
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
                f"from the requested mask at {plurals.of(differing, 'site')} of window {window}. "
                "Encode under that mask: vcfbert encode-refs --layout dense --mask-version N "
                "--force; or use the layout codebook, which serves every mask."
            )

    def _gather(self, window: int, wanted: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.codebook(window)[wanted, np.arange(self.length)]

    def _map(self, name: str, window: int) -> NDArray[np.floating]:
        shape = (len(self.reference_haplotypes), self.length, self.width)
        mapped = stores.map_rows(self.path, name, window, shape, self.dtype)
        self._codebook.group.require_same()
        return mapped

    def _read_codebook(self, window: int) -> NDArray[np.float32]:
        codebook = stored.read_window(self._codebook, window, "embeddings")
        codebook.flags.writeable = False
        return codebook


def _dtype_of(root: StoredGroup) -> Dtype:
    """The data type of the haplotypes of the dense layout; float32 for a codebook."""
    if stored.attribute(root, "layout") == "codebook":
        return "float32"
    return "float16" if stored.member(root, "complete").dtype == np.float16 else "float32"


@contextmanager
def open_embeddings(path: Path) -> Iterator[EmbeddingsReader]:
    """Open a finished embeddings store."""
    with stored.open_store(path, "embeddings") as root:
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
    dtype: Dtype = "float32",
    overwrite: bool = False,
) -> None:
    """Write a store of the layout `dense`, in blocks of rows, for the panel of `mask`.

    dtype  of the haplotypes; the codebook is always float32

    Raises DeviceError before anything is written if the disk is too small, ConfigError if an
    embedding is too large for float16.
    """
    remaining = iter(codebooks)
    first = next(remaining)
    num_windows, num_rows = len(mask.is_masked), len(reference_haplotypes)
    _require_disk(path, mask, num_rows, first.shape[-1], dtype)
    parents = {
        "panel": mask.panel_fingerprint,
        "encoder": encoder_fingerprint(encoder),
        "masks": mask.fingerprint,
    }
    with stores.create_store(path, "embeddings", overwrite=overwrite) as root:
        _declare_rows(root, num_windows, (num_rows, *first.shape[1:]), dtype)
        written = _stored_codebooks(root, itertools.chain([first], remaining))
        for window, codebook in enumerate(written):
            _write_rows(root, window, codebook, tokens_of, mask.is_masked[window])
        stores.write_column(root, "embeddings", "is_masked", mask.is_masked)
        _finish(root, "dense", parents, reference_haplotypes, encoder, mask, dtype)


def write_by_workers(
    path: Path,
    fill: Callable[[Path], None],
    codebook_shape: tuple[int, int, int, int],
    *,
    panel_fingerprint: str,
    encoder: Weights,
    reference_haplotypes: NDArray[np.int64],
    mask: MaskVersion | None = None,
    dtype: Dtype = "float32",
    overwrite: bool = False,
) -> None:
    """Write the store that `write_codebook` or `write_dense` writes, window by window elsewhere.

    fill            called with the folder of the store; returns when `write_window` has written all
                    of its windows, in whatever order and processes
    codebook_shape  (W, V, L, D)
    encoder         the weights of all windows
    mask            of the layout `dense`; None writes a codebook

    Raises what `write_dense` and `fill` raise; nothing is left of an unfinished store.
    """
    parents = {"panel": panel_fingerprint, "encoder": encoder_fingerprint(encoder)}
    num_windows, _, length, width = codebook_shape
    num_rows = len(reference_haplotypes)
    if mask is not None:
        parents["masks"] = mask.fingerprint
        _require_disk(path, mask, num_rows, width, dtype)
    with stores.create_store(path, "embeddings", overwrite=overwrite) as root:
        _declare_codebook(root, codebook_shape)
        if mask is not None:
            _declare_rows(root, num_windows, (num_rows, length, width), dtype)
        fill(stores.place(root))
        if mask is not None:
            stores.write_column(root, "embeddings", "is_masked", mask.is_masked)
        layout: Layout = "codebook" if mask is None else "dense"
        _finish(root, layout, parents, reference_haplotypes, encoder, mask, dtype)


def write_window(
    root: zarr.Group,
    window: int,
    codebook: NDArray[np.float32],
    tokens_of: TokensOf,
    is_masked: NDArray[np.bool_] | None,
) -> None:
    """Write one window into an unfinished store that `write_by_workers` has declared.

    is_masked  (L,) of the layout `dense`
    """
    stores.member(root, "codebook")[window] = codebook
    if is_masked is not None:
        _write_rows(root, window, codebook, tokens_of, is_masked)


def _require_disk(path: Path, mask: MaskVersion, num_rows: int, width: int, dtype: Dtype) -> None:
    num_windows, length = mask.is_masked.shape
    stores.require_disk(
        path,
        dense_bytes(num_windows, num_rows, length, width, dtype),
        what="Dense embeddings",
        instead="Free disk space, or use --layout codebook, which gives the same batches.",
    )


def dense_bytes(
    num_windows: int, num_rows: int, length: int, width: int, dtype: Dtype = "float32"
) -> int:
    """Bytes on disk of the arrays of the layout `dense`."""
    row = np.dtype(dtype).itemsize * length * width + stores.ROW_INDEX_BYTES
    rows = 2 * num_windows * num_rows * row  # complete and masked
    return rows + codebook_bytes(num_windows, length, width)


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
            array = _declare_codebook(root, (0, *codebook.shape))
        array.append(codebook[None])
        yield codebook


def _declare_codebook(root: zarr.Group, shape: tuple[int, ...]) -> zarr.Array[Any]:
    # zstd would save a fifth, but training would wait 8 times as long for each read
    chunk = (1, *shape[1:])
    return stores.create_array(root, "embeddings", "codebook", shape, chunk, level=None)


def _declare_rows(root: zarr.Group, num_windows: int, shape: tuple[int, ...], dtype: Dtype) -> None:
    """Declare both arrays of the haplotypes; `shape` is (R, L, D)."""
    for name in _ROWS:
        stores.create_array(
            root, "embeddings", name, (num_windows, *shape), (1, *shape), mapped=True, dtype=dtype
        )


def _write_rows(
    root: zarr.Group,
    window: int,
    codebook: NDArray[np.float32],
    tokens_of: TokensOf,
    is_masked: NDArray[np.bool_],
) -> None:
    """Write the complete and the masked haplotypes of a window."""
    rows = stores.member(root, _ROWS[0])
    dtype: Dtype = "float16" if rows.dtype == np.float16 else "float32"
    vectors = _rounded(codebook, dtype, window)
    for name, hidden in zip(_ROWS, (np.zeros_like(is_masked), is_masked), strict=True):
        blocks = _gathered_blocks(vectors, tokens_of, window, rows.shape[1], hidden)
        stores.write_rows(stores.place(root) / name, window, blocks, dtype)


def _rounded(codebook: NDArray[np.float32], dtype: Dtype, window: int) -> NDArray[np.floating]:
    """A codebook in the data type of the haplotypes; ConfigError if a number does not fit."""
    with np.errstate(over="ignore"):
        rounded = codebook.astype(dtype)
    if (np.isinf(rounded) & np.isfinite(codebook)).any():
        raise ConfigError(
            f"The embeddings of window {window} have numbers up to {np.abs(codebook).max():.3g}, "
            f"but float16 ends at {np.finfo(np.float16).max:,.0f}. Use --dtype float32, or train "
            "the encoder with a lower training.learning_rate."
        )
    return rounded


def _gathered_blocks(
    codebook: NDArray[np.floating],
    tokens_of: TokensOf,
    window: int,
    num_rows: int,
    is_masked: NDArray[np.bool_],
) -> Iterator[NDArray[np.floating]]:
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


def fingerprint_of(
    layout: Layout, parents: dict[str, str], rows: NDArray[np.int64], dtype: Dtype = "float32"
) -> str:
    """A hash of the layout, its data type, the parents and the (R,) haplotypes of the rows."""
    return stores.fingerprint(f"{layout} {dtype}", repr(sorted(parents.items())), rows)


def _finish(
    root: zarr.Group,
    layout: Layout,
    parents: dict[str, str],
    reference_haplotypes: NDArray[np.int64],
    encoder: Weights,
    mask: MaskVersion | None,
    dtype: Dtype = "float32",
) -> None:
    """Write the rows, the encoder, the parents and the fingerprint."""
    names = sorted(encoder)
    flat = [np.asarray(encoder[name], dtype=np.float32).ravel() for name in names]
    stores.write_column(root, "embeddings", "encoder", np.concatenate(flat))
    rows = np.asarray(reference_haplotypes, dtype=np.int64)
    root.attrs["layout"] = layout
    stores.write_column(root, "embeddings", "reference_haplotypes", rows)
    root.attrs.update(
        {
            "fingerprint": fingerprint_of(layout, parents, rows, dtype),
            "parents": parents,
            "mask_version": None if mask is None else mask.version,
            "encoder_weights": [[name, list(encoder[name].shape)] for name in names],
        }
    )
