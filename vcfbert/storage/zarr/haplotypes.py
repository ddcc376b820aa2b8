"""Alleles of haplotypes at any sites of a panel, joined from its windows as bits.

S chosen sites, R chosen haplotypes, H of the panel. The panel stores eight alleles in a byte,
window by window; each site is in the core of one window.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vcfbert.compiling import compiled
from vcfbert.domain import tokens
from vcfbert.storage.zarr.panel import PanelReader

_WORD = 64

_MOST_AHEAD = 4  # windows that are decompressed while others are copied

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
    if haplotypes is None:
        haplotypes = np.arange(2 * len(panel.samples))
    bits = np.zeros((len(haplotypes), 8 * -(-len(sites) // _WORD)), np.uint8)
    windows = panel.windows
    starts = np.searchsorted(sites, windows.core_start)
    stops = np.searchsorted(sites, windows.core_stop)
    chosen = deque(np.flatnonzero(starts < stops).tolist())
    blocks = [slice(first, first + _ROWS) for first in range(0, len(bits), _ROWS)]
    ahead: deque[tuple[int, Future[NDArray[np.uint8]]]] = deque()
    with ThreadPoolExecutor(threads) as reading, ThreadPoolExecutor(threads) as copying:
        while chosen or ahead:
            while chosen and len(ahead) < min(threads, _MOST_AHEAD):
                ahead.append((window := chosen.popleft(), reading.submit(panel.packed, window)))
            window, packed = ahead.popleft()
            start, stop = int(starts[window]), int(stops[window])
            here = sites[start:stop] - windows.start[window]
            copy = partial(_copy_sites, packed.result(), haplotypes, here, bits, start)
            list(copying.map(copy, blocks))
    return bits.view("<u8").astype(np.uint64, copy=False)


def _copy_sites(
    packed: NDArray[np.uint8],
    haplotypes: NDArray[np.int64],
    sites: NDArray[np.int64],
    target: NDArray[np.uint8],
    place: int,
    rows: slice,
) -> None:
    """Copy the alleles of some haplotypes at sites of a window to bit `place` and up.

    packed      (H, n) alleles of the window
    haplotypes  (R,) of the target
    sites       (k,) within the window, rising
    target      (R, m) changed in place
    rows        of the target to copy
    """
    task = packed, haplotypes[rows], sites, target[rows], place
    if sites[-1] - sites[0] == len(sites) - 1:
        _copy_run(*task)
    else:
        _copy_each(*task)


@compiled
def _copy_run(
    packed: NDArray[np.uint8],
    haplotypes: NDArray[np.int64],
    sites: NDArray[np.int64],
    target: NDArray[np.uint8],
    place: int,
) -> None:
    """`_copy_sites` of adjacent sites, a byte of the target at a time."""
    stop, move = sites[-1] + 1, sites[0] - place  # from a bit of the target to one of the source
    first, last = place >> 3, (place + len(sites) - 1) >> 3
    shift, base = np.uint32(move & 7), move >> 3
    for row in range(len(haplotypes)):
        source, found = packed[haplotypes[row]], target[row]
        for at in range(first + 1, last):  # whole bytes, in a loop for vector instructions
            low, high = np.uint32(source[base + at]), np.uint32(source[base + at + 1])
            found[at] = np.uint8((low | (high << np.uint32(8))) >> shift)
        for at in (first, last):
            byte, mask = base + at, np.uint32(0xFF)
            low = np.uint32(source[byte]) if byte >= 0 else np.uint32(0)
            high = np.uint32(source[byte + 1]) if 8 * (byte + 1) < stop else np.uint32(0)
            if at == first:
                mask &= np.uint32(0xFF << (place & 7))
            if at == last:
                mask &= np.uint32(0xFF >> (-(place + len(sites)) & 7))
            found[at] |= np.uint8(((low | (high << np.uint32(8))) >> shift) & mask)


@compiled
def _copy_each(
    packed: NDArray[np.uint8],
    haplotypes: NDArray[np.int64],
    sites: NDArray[np.int64],
    target: NDArray[np.uint8],
    place: int,
) -> None:
    """`_copy_sites` of any sites."""
    for row in range(len(haplotypes)):
        source, found = packed[haplotypes[row]], target[row]
        for number in range(len(sites)):
            allele = (source[sites[number] >> 3] >> np.uint8(sites[number] & 7)) & np.uint8(1)
            at = place + number
            found[at >> 3] |= np.uint8(allele << np.uint8(at & 7))


def read_alleles(panel: PanelReader, sites: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(S, H) alleles of all haplotypes at some sites, rising."""
    bits = read_sites(panel, sites)
    return np.ascontiguousarray(tokens.unpack(bits.view(np.uint8), len(sites)).T)
