"""Large arrays with a row for each typed site, worked on a few rows at a time.

T typed sites, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Zeros = Callable[[tuple[int, ...], Any], NDArray[Any]]
"""Makes an array of a shape and a type, as `numpy.zeros`."""

_CELLS_AT_ONCE = 1 << 22


def blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of an array (T, N, ...), a few at a time.

    >>> list(blocks((3, 1 << 21)))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    step = max(1, _CELLS_AT_ONCE // max(1, shape[1]))
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


def rows_of(
    values: NDArray[Any], is_chosen: NDArray[np.bool_], zeros: Zeros = np.zeros
) -> NDArray[Any]:
    """Some rows of an array (T, N, ...) in a new one; the array itself for all rows."""
    if is_chosen.all():
        return values
    rows = np.flatnonzero(is_chosen)
    found = zeros((len(rows), *values.shape[1:]), values.dtype)
    for some in blocks(found.shape):
        found[some] = values[rows[some]]
    return found


def held(values: NDArray[Any], zeros: Zeros) -> NDArray[Any]:
    """An array where `zeros` makes its arrays; the array itself for those of NumPy."""
    if zeros is np.zeros:
        return values
    found = zeros(values.shape, values.dtype)
    found[:] = values
    return found


def joined(
    parts: list[NDArray[np.uint8]], place: NDArray[np.int64], found: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Fill an array with the rows of several; each of them is freed once it is copied.

    parts  is empty afterwards
    place  of each of their rows in `found`; negative for rows to leave out
    """
    stop = len(place)
    while parts:
        block = parts.pop()
        here = place[stop - len(block) : stop]
        stop -= len(block)
        if (here >= 0).all():
            found[here] = block
        else:
            found[here[here >= 0]] = block[here >= 0]
    return found


def joined_sets(
    parts: Sequence[NDArray[np.uint8]],
    sets: Sequence[NDArray[np.int32] | None],
    place: NDArray[np.int64],
    zeros: Zeros,
) -> NDArray[np.int32] | None:
    """(T, N) the phase sets of several blocks of rows; None if no block has any.

    parts  the alleles of each block
    sets   of each block; None is one set
    place  as for `joined`
    """
    if all(one is None for one in sets):
        return None
    found = zeros((int((place >= 0).sum()), parts[0].shape[1]), np.int32)
    start = 0
    for block, one in zip(parts, sets, strict=True):
        here = place[start : start + len(block)]
        start += len(block)
        found[here[here >= 0]] = 1 if one is None else one[here >= 0]
    return found
