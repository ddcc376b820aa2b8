"""Compiled rendering of VCF records as text.

n sites, N samples. Nearly all cells are certain, such as `0|0:0:0,0:1,0,0`, and are copied.

Importing this module loads numba and compiles the kernel, which takes a second the first time and
a tenth of a second from the cache afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import float32, float64, int64, types, uint8, uint64
from numpy.typing import NDArray

from vcfbert.compiling import compiled_for
from vcfbert.domain.dosage import Imputed
from vcfbert.storage.vcf.output_header import FIELDS, CellLayout

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

_GT, _DS, _HDS = (FIELDS.index(name) for name in ("GT", "DS", "HDS"))
_CODES = {name: number for number, name in enumerate(FIELDS)} | {"LDS": _HDS}
_COLON, _COMMA, _POINT, _TAB, _NEWLINE, _BAR, _ZERO = b":,.\t\n|0"
_TENS, _ONES = (_ZERO + digits.astype(np.uint8) for digits in np.divmod(np.arange(100), 10))


def render(
    heads: Sequence[bytes],
    imputed: Imputed,
    layout: CellLayout,
    is_haploid: NDArray[np.bool_] | None = None,
) -> bytes:
    r"""Lines of a VCF.

    heads       n beginnings of lines, CHROM to FORMAT, each with a tab at the end
    imputed     arrays over (n, N); numbers below 0 or above 2 are written as these
    is_haploid  (N,) True for samples of which only the first haplotype is written: one allele, one
                number in HDS and two in GP; None for no sample

    >>> from vcfbert.domain import dosage
    >>> imputed = dosage.from_haplotypes(np.array([[[0.25, 1.0], [0.0, 0.0]]], dtype=np.float32))
    >>> render([b"20 ... "], imputed, CellLayout(("GT", "DS", "GP"), 3))
    b'20 ... 0|1:1.25:0,0.75,0.25\t0|0:0:1,0,0\n'
    >>> render([b"X ... "], imputed, CellLayout(("GT", "DS", "GP"), 3), np.array([False, True]))
    b'X ... 0|1:1.25:0,0.75,0.25\t0:0:1,0\n'
    """
    text = np.frombuffer(b"".join(heads), dtype=np.uint8)
    ends = np.cumsum([len(head) for head in heads], dtype=np.int64)
    out = np.empty(len(text) + imputed.dosage.size * layout.width, dtype=np.uint8)
    used = _render_lines(
        text,
        ends,
        np.array([_CODES[field] for field in layout.fields], dtype=np.int64),
        layout.decimals,
        _certain_cells(layout.fields),
        _certain_haploid_cells(layout.fields),
        np.zeros(imputed.calls.shape[1], np.uint8)
        if is_haploid is None
        else np.ascontiguousarray(is_haploid, dtype=np.uint8),
        np.ascontiguousarray(imputed.calls, dtype=np.uint8),
        np.ascontiguousarray(imputed.alt_probability, dtype=np.float32),
        np.ascontiguousarray(imputed.dosage, dtype=np.float32),
        np.ascontiguousarray(imputed.genotype_probability, dtype=np.float32),
        out,
    )
    return out[:used].tobytes()


def _certain_cells(fields: Sequence[str]) -> NDArray[np.uint8]:
    """(4, width) the cells of certain genotypes: 0|0, 0|1, 1|0 and 1|1."""
    cells = []
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
        count = first + second
        texts = {
            "GT": f"{first}|{second}",
            "DS": f"{count}",
            "HDS": f"{first},{second}",
            "LDS": f"{first},{second}",
            "GP": ",".join("1" if copies == count else "0" for copies in range(3)),
        }
        cells.append(":".join(texts[field] for field in fields).encode() + b"\t")
    return np.frombuffer(b"".join(cells), dtype=np.uint8).reshape(4, -1)


def _certain_haploid_cells(fields: Sequence[str]) -> NDArray[np.uint8]:
    """(2, width) the cells of certain haploid genotypes: 0 and 1."""
    cells = []
    for allele in range(2):
        texts = dict.fromkeys(fields, f"{allele}") | {"GP": "0,1" if allele else "1,0"}
        cells.append(":".join(texts[field] for field in fields).encode() + b"\t")
    return np.frombuffer(b"".join(cells), dtype=np.uint8).reshape(2, -1)


def _given(kind: types.Type, dimensions: int) -> types.Array:
    """A type for arrays that the kernel only reads, so that read-only arrays are accepted, too."""
    return types.Array(kind, dimensions, "C", readonly=True)


def _inner(function: _Kernel) -> _Kernel:
    """A decorator for what the kernel calls: it is compiled into it, and not loaded by itself."""
    return cast(_Kernel, numba.njit(nogil=True)(function))


_NUMBERS_IN = _given(float32, 1)
_BYTES_IN = _given(uint8, 1)
_BYTES_OUT = types.Array(uint8, 1, "C")


@_inner
def _put(value: float, scale: int, decimals: int, out: NDArray[np.uint8], at: int) -> int:
    """Write a number at offset `at`; returns the offset after it.

    A float32 times a power of ten is exact in float64, so the digits, also of ties, are those of
    Python's `f"{value:.6f}"`.
    """
    units = min(max(int(np.rint(float64(value) * scale)), 0), 2 * scale)
    whole = (units >= scale) + (units >= 2 * scale)
    out[at] = _ZERO + whole
    rest = uint64(units - whole * scale)
    if rest == 0:
        return at + 1
    out[at + 1] = _POINT
    end = at + 2 + decimals
    if decimals % 2:
        rest *= uint64(10)
        end += 1
    for place in range(end - 2, at, -2):
        pair = rest % uint64(100)
        rest //= uint64(100)
        out[place] = _TENS[pair]
        out[place + 1] = _ONES[pair]
    while out[end - 1] == _ZERO:
        end -= 1
    return end


@_inner
def _put_list(
    values: NDArray[np.float32], scale: int, decimals: int, out: NDArray[np.uint8], at: int
) -> int:
    """Write numbers separated by commas."""
    for value in values:
        at = _put(value, scale, decimals, out, at)
        out[at] = _COMMA
        at += 1
    return at - 1


@_inner
def _put_haploid(
    allele: int,
    haplotypes: NDArray[np.float32],
    dosage: float,
    genotypes: NDArray[np.float32],
    fields: NDArray[np.int64],
    scale: int,
    decimals: int,
    certain: NDArray[np.uint8],
    out: NDArray[np.uint8],
    at: int,
) -> int:
    """Write the cell of a haploid sample, with a tab after it."""
    if haplotypes[0] == allele and dosage == allele and genotypes[allele] == 1:
        for place in range(certain.shape[1]):
            out[at + place] = certain[allele, place]
        return at + len(certain[0])
    for field in fields:
        if field == _GT:
            out[at] = _ZERO + allele
            at += 1
        elif field == _DS:
            at = _put(dosage, scale, decimals, out, at)
        elif field == _HDS:
            at = _put(haplotypes[0], scale, decimals, out, at)
        else:
            at = _put_list(genotypes[:2], scale, decimals, out, at)
        out[at] = _COLON
        at += 1
    out[at - 1] = _TAB
    return at


@compiled_for(
    int64(
        _BYTES_IN,
        _given(int64, 1),
        _given(int64, 1),
        int64,
        _given(uint8, 2),
        _given(uint8, 2),
        _BYTES_IN,
        _given(uint8, 3),
        _given(float32, 3),
        _given(float32, 2),
        _given(float32, 3),
        _BYTES_OUT,
    )
)
def _render_lines(
    heads: NDArray[np.uint8],
    ends: NDArray[np.int64],
    fields: NDArray[np.int64],
    decimals: int,
    certain: NDArray[np.uint8],
    certain_haploid: NDArray[np.uint8],
    is_haploid: NDArray[np.uint8],
    calls: NDArray[np.uint8],
    haplotypes: NDArray[np.float32],
    dosage: NDArray[np.float32],
    genotypes: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> int:
    """Fill `out` with the lines; returns the number of bytes used."""
    scale = 10**decimals
    width = certain.shape[1]
    at = start = 0
    for row in range(len(ends)):
        for place in range(start, ends[row]):
            out[at] = heads[place]
            at += 1
        start = ends[row]
        for n in range(calls.shape[1]):
            first, second = calls[row, n, 0], calls[row, n, 1]
            if is_haploid[n]:
                at = _put_haploid(
                    first, haplotypes[row, n], dosage[row, n], genotypes[row, n], fields,
                    scale, decimals, certain_haploid, out, at,
                )  # fmt: skip
                continue
            copies = int64(first) + int64(second)
            if (
                haplotypes[row, n, 0] == first
                and haplotypes[row, n, 1] == second
                and dosage[row, n] == copies
                and genotypes[row, n, copies] == 1
                and genotypes[row, n, copies - 1] == 0
                and genotypes[row, n, copies - 2] == 0
            ):
                cell = 2 * int64(first) + int64(second)
                for place in range(width):
                    out[at + place] = certain[cell, place]
                at += width
                continue
            for field in fields:
                if field == _GT:
                    out[at], out[at + 1], out[at + 2] = _ZERO + first, _BAR, _ZERO + second
                    at += 3
                elif field == _DS:
                    at = _put(dosage[row, n], scale, decimals, out, at)
                else:
                    values = haplotypes[row, n] if field == _HDS else genotypes[row, n]
                    at = _put_list(values, scale, decimals, out, at)
                out[at] = _COLON
                at += 1
            out[at - 1] = _TAB
        out[at - 1] = _NEWLINE
    return at
