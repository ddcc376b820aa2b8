"""Cutting of a panel into chunks by genetic length.

S sites in the panel, C chunks. `impute` works on one chunk at a time; it is much longer than a
window, because the copying model needs centimorgans of context.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from vcfbert.errors import InputError


def cut(
    cm: NDArray[np.floating], contig: NDArray[np.integer], chunk_cm: float, max_sites: int
) -> NDArray[np.int64]:
    """First site of each chunk, then S: (C + 1,).

    The chunks of a contig have equal genetic length, so that the last one is not too short. If one
    has more than `max_sites`, it is cut into parts of equal numbers of sites.

    cm         (S,) centimorgans, never falling within a contig
    contig     (S,) contig index of each site; each contig is contiguous
    chunk_cm   longest chunk, greater than 0
    max_sites  most sites of a chunk, at least 1

    Raises InputError if there are no sites, or a genetic position is not finite or falls.

    >>> cut(np.array([0.0, 1.0, 2.0, 3.0]), np.zeros(4, int), 1.5, 100).tolist()
    [0, 2, 4]
    """
    _check(cm, contig)
    starts: list[int] = []
    for first, last in itertools.pairwise([*_starts_of_runs(contig), len(contig)]):
        equal = first + _starts_of_equal_lengths(cm[first:last], chunk_cm)
        for begin, end in itertools.pairwise([*equal.tolist(), last]):
            parts = -(-(end - begin) // max_sites)
            starts += (begin + np.arange(parts) * (end - begin) // parts).tolist()
    return np.array([*starts, len(contig)], dtype=np.int64)


def _check(cm: NDArray[np.floating], contig: NDArray[np.integer]) -> None:
    if len(cm) == 0:
        raise InputError("There are no sites to cut into chunks. Give another panel or region.")
    if not np.isfinite(cm).all():
        site = int(np.argmin(np.isfinite(cm)))
        raise InputError(f"Site {site} has no genetic position ({cm[site]}). Give another map.")
    falls = (np.diff(cm) < 0) & (np.diff(contig) == 0)
    if falls.any():
        site = int(np.argmax(falls))
        raise InputError(
            f"The genetic position falls from {cm[site]:g} to {cm[site + 1]:g} cM after site "
            f"{site}. Sort the map and the panel by position."
        )


def _starts_of_runs(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Indexes at which runs of equal values start."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1]))


def _starts_of_equal_lengths(cm: NDArray[np.floating], chunk_cm: float) -> NDArray[np.int64]:
    """First sites of chunks of equal length in cM; a part without sites has no chunk."""
    span = float(cm[-1] - cm[0])
    count = max(np.ceil(span / chunk_cm), 1.0)
    number = np.floor((cm - cm[0]) * (count / max(span, chunk_cm)))
    return _starts_of_runs(np.minimum(number, count - 1))  # the last site ends the last chunk
