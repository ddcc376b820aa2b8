"""A prepared chunk and its queries on a device, for the modules that run on a GPU.

B query haplotypes, K candidates, S sites of the chunk, T typed sites in C clusters, A parameter
sets, G groups of references. *Interval* c holds the untyped sites between the points of clusters
c - 1 and c; interval 0 is before the first point, interval C after the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcfbert.copying.engine import Prepared
from vcfbert.copying.torch_forward_backward import BLOCK, QueryBatch, Rates, rates_of

_SHORTEST_CM = 1e-9


@dataclass(frozen=True)
class DeviceChunk:
    """What all queries of a chunk share.

    bits             (R, ceil(S / 64)) int64
    typed_bits       (R, ceil(T / 64)) int64
    typed            (T,) typed sites and `untyped` (S - T,) the others, on the host
    untyped_sites    the same as `untyped`, on the device
    frequency        (S,) log odds; `minor` (S,) log of the minor allele frequency; `panel` (2, S)
    group            (R,)
    group_frequency  (S, G)
    rates            of the parameter sets; `unit` is the switch rate of the first, per cM
    width            (C,) weight of each cluster in the chunk
    firsts           first cluster of each block of 64 typed sites, and C
    cluster          (T,) of each typed site; `points` (C,) site of each cluster; on the host
    interval         (S,) of each site; for a point, the one before it
    distance         (2, S) cM to the typed sites on the left and on the right
    part             (S,) of the way from the left end of the interval to the right one
    left_ends        (C + 1,) cM of the left end of each interval; `right_ends` of the right one
    left_marks       (C + 1,) index of the typed site at the left end; `right_marks` at the right
    """

    bits: Tensor
    typed_bits: Tensor
    typed: NDArray[np.int64]
    untyped: NDArray[np.int64]
    untyped_sites: Tensor
    frequency: Tensor
    minor: Tensor
    panel: Tensor
    group: Tensor
    group_frequency: Tensor
    rates: Rates
    unit: float
    width: Tensor
    firsts: list[int]
    cluster: NDArray[np.int64]
    points: NDArray[np.int64]
    interval: Tensor
    distance: Tensor
    part: Tensor
    left_ends: Tensor
    right_ends: Tensor
    left_marks: Tensor
    right_marks: Tensor

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.part.device


def to_device(prepared: Prepared, device: torch.device) -> DeviceChunk:
    """Copy a chunk to a device and lay out its intervals."""
    chunk = prepared.chunk
    cm, typed = chunk.cm, chunk.typed
    untyped = np.setdiff1d(np.arange(len(cm)), typed)
    points = typed[chunk.points]
    place = cm[points]
    width = np.gradient(place.astype(np.float64)) if len(place) > 1 else np.ones(1)
    width = np.maximum(width, 0.0) + _SHORTEST_CM
    interval = np.searchsorted(points, np.arange(len(cm)))
    left_ends, right_ends = np.append(cm[0], place), np.append(place, cm[-1])
    left = cm - left_ends[interval]
    length = np.maximum(right_ends - left_ends, np.float32(_SHORTEST_CM))

    def copy(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(device)

    step = np.diff(place, prepend=place[0])
    starts = np.arange(chunk.typed_bits.shape[1] + 1) * BLOCK
    return DeviceChunk(
        bits=copy(chunk.bits.view(np.int64)),
        typed_bits=copy(chunk.typed_bits.view(np.int64)),
        typed=typed,
        untyped=untyped,
        untyped_sites=copy(untyped),
        frequency=copy(chunk.frequency),
        minor=copy(chunk.minor),
        panel=copy(chunk.panel),
        group=copy(chunk.group),
        group_frequency=copy(prepared.group_frequency),
        rates=rates_of(copy(step), copy(chunk.rates), copy(chunk.errors)),
        unit=float(chunk.rates[0]),
        width=copy((width / width.sum()).astype(np.float32)),
        firsts=np.searchsorted(chunk.stops, starts, side="right").tolist(),
        cluster=np.searchsorted(chunk.stops, np.arange(len(typed)), side="right"),
        points=points,
        interval=copy(interval),
        distance=copy(chunk.around),
        part=copy(left / length[interval]),
        left_ends=copy(left_ends),
        right_ends=copy(right_ends),
        left_marks=copy(np.append(-1, chunk.points).astype(np.float32)),
        right_marks=copy(np.append(chunk.points, len(typed)).astype(np.float32)),
    )


def to_batch(
    queries: NDArray[np.uint8], candidates: Sequence[NDArray[np.int64]], device: torch.device
) -> QueryBatch:
    """Queries (B, T) and their candidates, padded to the longest list."""
    counts = np.array([len(rows) for rows in candidates])
    is_present = np.arange(counts.max()) < counts[:, None]
    padded = np.zeros(is_present.shape, np.int64)
    padded[is_present] = np.concatenate(candidates)
    arrays = (queries, padded, is_present)
    return QueryBatch(*(torch.from_numpy(np.array(array)).to(device) for array in arrays))
