"""Alleles of haplotypes at any sites of a panel, joined from its windows as bits.

S chosen sites, H haplotypes of the panel. The panel stores eight alleles in a byte, window by
window; each site is in the core of one window.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.storage.zarr.panel import PanelReader

_WORD = 64

_ROWS = 4_096  # copied at once, so that the bits of a window stay in the processor's cache


def read_sites(
    panel: PanelReader,
    sites: NDArray[np.int64],
    haplotypes: NDArray[np.int64] | None = None,
    *,
    threads: int = 1,
) -> NDArray[np.uint64]:
    """Alleles of haplotypes at some sites, few windows of the panel in memory at a time.

    sites       (S,) indexes into the panel's sites, rising
    haplotypes  (R,) of the panel's H, rising; None is all
    returns     (R, ceil(S / 64)) the first of them in the lowest bit; 0 after the last
    """
    words = -(-len(sites) // _WORD)
    count = num_haplotypes = 2 * len(panel.samples)
    if haplotypes is not None:
        count = len(haplotypes)
        haplotypes = None if count == num_haplotypes else haplotypes
    bits = np.zeros((count, 8 * words), np.uint8)
    windows = panel.windows
    starts = np.searchsorted(sites, windows.core_start)
    stops = np.searchsorted(sites, windows.core_stop)
    chosen = np.flatnonzero(starts < stops).tolist()
    blocks = [slice(first, first + _ROWS) for first in range(0, len(bits), _ROWS)]
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(threads) as copying:
        ahead = [reading.submit(panel.packed, window) for window in chosen[:1]]
        for number, window in enumerate(chosen):
            packed = ahead.pop().result()
            ahead += [reading.submit(panel.packed, after) for after in chosen[number + 1 :][:1]]
            start, stop = int(starts[window]), int(stops[window])
            here = sites[start:stop] - windows.start[window]
            copy = partial(_copy_sites, packed, haplotypes, here, bits, start)
            list(copying.map(copy, blocks))
    return bits.view("<u8").astype(np.uint64, copy=False)


def _copy_sites(
    packed: NDArray[np.uint8],
    haplotypes: NDArray[np.int64] | None,
    sites: NDArray[np.int64],
    target: NDArray[np.uint8],
    place: int,
    rows: slice,
) -> None:
    """Copy the alleles of some haplotypes at sites of a window to bit `place` and up.

    packed      (H, n) alleles of the window
    haplotypes  (R,) of the target; None is all
    sites       (k,) within the window, rising
    target      (R, m) changed in place
    rows        of the target to copy
    """
    packed, target = packed[rows if haplotypes is None else haplotypes[rows]], target[rows]
    if sites[-1] - sites[0] == len(sites) - 1:
        copy_bits(packed, int(sites[0]), int(sites[-1]) + 1, target, place)
    else:
        shift = (sites & 7).astype(np.uint8)
        alleles: NDArray[np.uint8] = (packed[:, sites >> 3] >> shift) & np.uint8(1)
        copy_bits(tokens.pack(alleles), 0, len(sites), target, place)


def read_alleles(panel: PanelReader, sites: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(S, H) alleles of all haplotypes at some sites, rising."""
    bits = read_sites(panel, sites)
    return np.ascontiguousarray(tokens.unpack(bits.view(np.uint8), len(sites)).T)


def copy_bits(
    source: NDArray[np.uint8], start: int, stop: int, target: NDArray[np.uint8], place: int
) -> None:
    """Copy the bits [start, stop) of each row to bit `place` and up, where all bits must be 0.

    source  (H, n) packed, the first in the lowest bit
    target  (H, m) packed the same way

    >>> target = np.zeros((1, 2), np.uint8)
    >>> copy_bits(np.array([[0b10110]], np.uint8), 1, 5, target, 6)
    >>> [f"{byte:08b}" for byte in target[0]]
    ['11000000', '00000010']
    """
    low, high = start >> 3, (stop + 7) >> 3
    taken = source[:, low:high].copy()
    taken[:, 0] &= 0xFF << (start & 7) & 0xFF
    taken[:, -1] &= 0xFF >> (-stop & 7)
    move = (place & 7) - (start & 7)
    to, shift = (place >> 3) - (move < 0), move % 8
    _merge(target, to, np.left_shift(taken, shift))
    if shift:
        _merge(target, to + 1, np.right_shift(taken, 8 - shift))


def _merge(target: NDArray[np.uint8], to: int, part: NDArray[np.uint8]) -> None:
    """Set bits from byte `to` on; bytes outside the target are 0 and are skipped."""
    skipped = max(0, -to)
    room = target[:, to + skipped : to + part.shape[1]]
    room |= part[:, skipped : skipped + room.shape[1]]
