"""Check of the header of a FAISS file, before FAISS allocates memory for it.

FAISS builds whatever kind of index a file names, in the size it names. We write three kinds, whose
sizes all follow from the window, so the header is known before it is read.

L sites in a window, R reference haplotypes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from vcfbert.files import bounded

_HEAD = struct.Struct("<4siqqq?i")  # kind, numbers per row, rows, two unused, trained, metric
_SIZE = struct.Struct("<Q")
_QUANTIZER = struct.Struct("<QQQ")  # numbers per row, sub-quantizers, bits
_TAIL = struct.Struct("<i?i")  # kind of search, encoded signs, threshold
_UNUSED = 1 << 20
_INNER_PRODUCT, _L2 = 0, 1
_FLOAT_BYTES = 4


def check(path: Path, kind: str, length: int, num_rows: int) -> None:
    """ValueError unless a file is an index of our kinds with exactly these sizes.

    kind      exact, fast or dense
    length    L
    num_rows  R
    """
    bounded.require_regular(path)
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(_HEAD.size + _QUANTIZER.size + _SIZE.size)
        if kind == "dense":
            _check_dense(head, size, length, num_rows)
            return
        shape = _shape(kind, length)
        _check_bits(head, size, shape, num_rows)
        stream.seek(size - _TAIL.size)
        search, signs, _ = _TAIL.unpack(stream.read(_TAIL.size))
        _require("kind of search", (search, signs), (0, False))
        stream.seek(size - _TAIL.size - num_rows * shape.row_bytes - _SIZE.size)
        _require("size", _SIZE.unpack(stream.read(_SIZE.size))[0], num_rows * shape.row_bytes)


@dataclass(frozen=True)
class _Shape:
    """Sizes of an index of bits: bytes of a row, and bits of a sub-quantizer."""

    row_bytes: int
    bits: int

    @property
    def quantizer(self) -> tuple[int, int, int]:
        """Numbers per row, sub-quantizers and bits of each."""
        return 8 * self.row_bytes, 8 * self.row_bytes // self.bits, self.bits


def _shape(kind: str, length: int) -> _Shape:
    """A fast index has sub-quantizers of four sites, and one more byte in each row."""
    width = -(-length // 8)
    return _Shape(width, 8) if kind == "exact" else _Shape(width + 1, 4)


def _check_bits(head: bytes, size: int, shape: _Shape, num_rows: int) -> None:
    """A sub-quantizer has one centroid for each pattern of its bits."""
    _check_head(head, b"IxPq", num_rows, _INNER_PRODUCT, 8 * shape.row_bytes)
    quantizer = _QUANTIZER.unpack_from(head, _HEAD.size)
    _require("quantizer", quantizer, shape.quantizer)
    centroids = 8 * shape.row_bytes << shape.bits
    _require("centroids", _SIZE.unpack_from(head, _HEAD.size + _QUANTIZER.size)[0], centroids)
    fixed = _HEAD.size + _QUANTIZER.size + 2 * _SIZE.size + _TAIL.size
    _require("bytes", size, fixed + _FLOAT_BYTES * centroids + shape.row_bytes * num_rows)


def _check_dense(head: bytes, size: int, length: int, num_rows: int) -> None:
    """L D numbers per row."""
    if len(head) < _HEAD.size + _SIZE.size:
        raise ValueError("it ends within its header")
    width = _HEAD.unpack_from(head)[1]
    if width < 1 or width % length:
        raise ValueError(f"it has {width} numbers per row for {length} sites")
    _check_head(head, b"IxF2", num_rows, _L2, width)
    _require("numbers", _SIZE.unpack_from(head, _HEAD.size)[0], width * num_rows)
    _require("bytes", size, _HEAD.size + _SIZE.size + _FLOAT_BYTES * width * num_rows)


def _check_head(head: bytes, mark: bytes, num_rows: int, metric: int, width: int) -> None:
    if len(head) < _HEAD.size + _QUANTIZER.size:
        raise ValueError("it ends within its header")
    found = _HEAD.unpack_from(head)
    needed = (mark, width, num_rows, _UNUSED, _UNUSED, True, metric)
    for what, one, other in zip(
        ("kind", "numbers per row", "rows", "unused", "unused", "trained", "metric"), found, needed,
        strict=True,
    ):  # fmt: skip
        _require(what, one, other)


def _require(what: str, found: object, needed: object) -> None:
    if found != needed:
        raise ValueError(f"its {what} is {found!r}, expected {needed!r}")
