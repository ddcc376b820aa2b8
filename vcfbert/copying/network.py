"""What the engine asks of a network, and the small one, as plain arrays run by a compiled kernel.

The small one is the same function as `model.mosaic.Mosaic`, for the CPU and without PyTorch; a test
compares them. n open sites, F inputs, U hidden units, A heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import inputs
from vcfbert.copying.compiled import kernel
from vcfbert.copying.inputs import HEADS, log_odds
from vcfbert.errors import StoreError

FIRST_GATES = (0.0, 0.0, -4.0)
"""Log weights of the heads before anything is learned: the mean of the first two."""

_F = np.float32
_BLOCK = 64


class Weights(NamedTuple):
    """Arrays of a network; `model.mosaic.Mosaic` has tensors of the same names.

    mean, spread  (F,) of the inputs in training
    lowest        (F,) standardised inputs are clipped to the range seen in training
    highest       (F,)
    first         (U, F) and first_bias (U,)
    second        (U, U) and second_bias (U,)
    last          (A + 1, U) and last_bias (A + 1,): log weights of the heads, then the correction
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    first: NDArray[np.float32]
    first_bias: NDArray[np.float32]
    second: NDArray[np.float32]
    second_bias: NDArray[np.float32]
    last: NDArray[np.float32]
    last_bias: NDArray[np.float32]


class Answer(Protocol):
    """What answers for the sites that the heads leave open.

    name              what the output's header calls it
    fingerprint       SHA-256 of the weights; empty for the heads alone
    is_heads          True where there is no network, so that no site needs a closer look
    reads_neighbours  True where a site's answer depends on the other open sites
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def is_heads(self) -> bool: ...  # noqa: D102

    @property
    def reads_neighbours(self) -> bool: ...  # noqa: D102

    def probabilities(
        self,
        rows: NDArray[np.float32],
        sites: NDArray[np.int64],
        place: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], int]:
        """ALT probabilities of one haplotype's open sites, and how many had an input out of range.

        rows     (n, F)
        sites    (n,) what orders them along the genome; all different
        place    (n,) cM times the first head's switch rate
        returns  (n,) and a count
        """


@dataclass(frozen=True)
class Network:
    """The small network, see `Answer`; `weights` None is the heads alone."""

    name: str
    weights: Weights | None
    fingerprint: str

    @property
    def is_heads(self) -> bool:
        """True without weights."""
        return self.weights is None

    @property
    def reads_neighbours(self) -> bool:
        """Each site is answered for by itself."""
        return False

    def probabilities(
        self,
        rows: NDArray[np.float32],
        sites: NDArray[np.int64],
        place: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], int]:
        """See `Answer`."""
        return self.of_rows(rows)

    def of_rows(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The same from the rows alone, whichever sites they are of."""
        out = np.empty(len(rows), np.float32)
        if self.weights is None:
            _mix(rows, out)
            return out, 0
        return out, int(_run(self.weights, rows, out))


def heads_only() -> Network:
    """The mean of the first two heads, without a network."""
    return Network("heads", None, "")


def from_arrays(
    arrays: Mapping[str, NDArray[Any]], *, name: str, fingerprint: str, source: str
) -> Network:
    """A network of arrays by their names.

    Raises StoreError where one is missing, of another shape or not finite; `source` is named.
    """
    missing = [field for field in Weights._fields if field not in arrays]
    if missing:
        raise StoreError(f"{source} has no tensor {missing[0]!r}, so it is no mosaic checkpoint.")
    weights = Weights(*(np.ascontiguousarray(arrays[f], np.float32) for f in Weights._fields))
    units = len(weights.first_bias)
    shapes: list[tuple[int, ...]] = [(inputs.NUM_INPUTS,)] * 4
    shapes += [(units, inputs.NUM_INPUTS), (units,), (units, units), (units,)]
    shapes += [(HEADS + 1, units), (HEADS + 1,)]
    for field, array, shape in zip(Weights._fields, weights, shapes, strict=True):
        if array.shape != shape:
            raise StoreError(
                f"{source}: the tensor {field} has the shape {array.shape}, but this version reads "
                f"{shape}. Train again with: vcfbert train --preset mosaic"
            )
        if not np.isfinite(array).all():
            raise StoreError(
                f"{source}: the tensor {field} holds NaN or infinity. Train again with: "
                "vcfbert train --preset mosaic"
            )
    return Network(name, weights, fingerprint)


@kernel()
def _mix(rows, out):
    """Weigh the heads as before training."""
    for row in range(rows.shape[0]):
        total, mass = _F(0), _F(0)
        for head in range(HEADS):
            weight = _F(np.exp(FIRST_GATES[head]))
            total += weight / (_F(1) + np.exp(-rows[row, head]))
            mass += weight
        out[row] = total / mass


@kernel()
def _run(weights, rows, out):
    """Fill `out`; returns the number of rows with an input out of range."""
    units, width = weights.first.shape
    scaled = np.empty((width, _BLOCK), np.float32)
    hidden = np.empty((units, _BLOCK), np.float32)
    deeper = np.empty((units, _BLOCK), np.float32)
    last = np.empty((HEADS + 1, _BLOCK), np.float32)
    excess = np.empty(_BLOCK, np.float32)
    strangers = 0
    for start in range(0, rows.shape[0], _BLOCK):
        size = min(_BLOCK, rows.shape[0] - start)
        excess[:] = 0
        scaled[:, size:] = 0
        for row in range(size):
            for column in range(width):
                value = (rows[start + row, column] - weights.mean[column]) / weights.spread[column]
                inside = min(max(value, weights.lowest[column]), weights.highest[column])
                scaled[column, row] = inside
                excess[row] += abs(value - inside)
        _layer(weights.first, weights.first_bias, scaled, hidden, True)
        _layer(weights.second, weights.second_bias, hidden, deeper, True)
        _layer(weights.last, weights.last_bias, deeper, last, False)
        for row in range(size):
            strangers += excess[row] > 0
            out[start + row] = _answer(rows[start + row], last[:, row], np.exp(-excess[row]))
    return strangers


@kernel()
def _layer(matrix, bias, before, after, is_rectified):
    """A linear layer over a block of columns, rectified or not."""
    units, width = matrix.shape
    whole = width - width % 4
    for unit in range(units):
        for row in range(_BLOCK):
            after[unit, row] = bias[unit]
        for column in range(0, whole, 4):  # four at a time, so that sums are stored less often
            one, two = matrix[unit, column], matrix[unit, column + 1]
            three, four = matrix[unit, column + 2], matrix[unit, column + 3]
            for row in range(_BLOCK):
                after[unit, row] += (
                    one * before[column, row]
                    + two * before[column + 1, row]
                    + three * before[column + 2, row]
                    + four * before[column + 3, row]
                )
        for column in range(whole, width):
            weight = matrix[unit, column]
            for row in range(_BLOCK):
                after[unit, row] += weight * before[column, row]
        if is_rectified:
            for row in range(_BLOCK):
                after[unit, row] = max(after[unit, row], _F(0))


@kernel()
def _answer(row, last, trust):
    """Probability from the heads' log odds and the network's output, trusted 0 to 1."""
    total, mass = _F(0), _F(0)
    for head in range(HEADS):
        weight = np.exp(_F(FIRST_GATES[head]) + trust * last[head])
        total += weight / (_F(1) + np.exp(-row[head]))
        mass += weight
    return _F(1) / (_F(1) + np.exp(-(_F(log_odds(total / mass)) + trust * last[HEADS])))
