"""The network that corrects the copying model, as plain arrays run by a compiled kernel.

It computes the same function as `model.mosaic.Mosaic`, on the CPU and without PyTorch; a test
compares them. n undecided sites, F inputs, U hidden units, A parameter sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying import inputs
from vcfbert.copying.compiled import kernel
from vcfbert.copying.inputs import NUM_SETS, log_odds
from vcfbert.errors import StoreError

FIRST_GATES = (0.0, 0.0, -4.0)
"""Log weights of the parameter sets before training: the mean of the first two."""

_F = np.float32
_BLOCK = 64


class Weights(NamedTuple):
    """Arrays of a network; `model.mosaic.Mosaic` has tensors of the same names.

    mean, spread  (F,) of the inputs in training
    lowest        (F,) and highest (F,): range of the standardised inputs, which are clipped to it
    first         (U, F) and first_bias (U,)
    second        (U, U) and second_bias (U,)
    last          (A + 1, U) and last_bias (A + 1,): log weights of the parameter sets, then the
                  correction
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


@dataclass(frozen=True)
class Network:
    """A network that can be run.

    name         shown in the output's header
    weights      None for the copying model alone
    fingerprint  SHA-256 of the file of the weights; empty without one
    """

    name: str
    weights: Weights | None
    fingerprint: str

    def probabilities(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """ALT probabilities of undecided sites, and how many have an input out of range.

        rows     (n, F)
        returns  (n,) and a count
        """
        out = np.empty(len(rows), np.float32)
        if self.weights is None:
            _mix(rows, out)
            return out, 0
        return out, int(_run(self.weights, rows, out))


def copying_only() -> Network:
    """No network: the mean of the first two parameter sets."""
    return Network("none", None, "")


def from_arrays(
    arrays: Mapping[str, NDArray[Any]], *, name: str, fingerprint: str, source: str
) -> Network:
    """Build a network from arrays by their names.

    Raises StoreError, naming `source`, if one is missing, of another shape or not finite.
    """
    missing = [field for field in Weights._fields if field not in arrays]
    if missing:
        raise StoreError(
            f"{source} is not a network of mosaic: the tensor {missing[0]!r} is missing."
        )
    weights = Weights(*(np.ascontiguousarray(arrays[f], np.float32) for f in Weights._fields))
    units = len(weights.first_bias)
    shapes: list[tuple[int, ...]] = [(inputs.NUM_INPUTS,)] * 4
    shapes += [(units, inputs.NUM_INPUTS), (units,), (units, units), (units,)]
    shapes += [(NUM_SETS + 1, units), (NUM_SETS + 1,)]
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
    """Average the parameter sets with their weights before training."""
    for row in range(rows.shape[0]):
        total, mass = _F(0), _F(0)
        for a in range(NUM_SETS):
            weight = _F(np.exp(FIRST_GATES[a]))
            total += weight / (_F(1) + np.exp(-rows[row, a]))
            mass += weight
        out[row] = total / mass


@kernel()
def _run(weights, rows, out):
    """Fill `out`; returns the number of rows with an input out of range."""
    units, width = weights.first.shape
    scaled = np.empty((width, _BLOCK), np.float32)
    hidden = np.empty((units, _BLOCK), np.float32)
    deeper = np.empty((units, _BLOCK), np.float32)
    last = np.empty((NUM_SETS + 1, _BLOCK), np.float32)
    excess = np.empty(_BLOCK, np.float32)
    num_outside = 0
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
            num_outside += excess[row] > 0
            out[start + row] = _answer(rows[start + row], last[:, row], np.exp(-excess[row]))
    return num_outside


@kernel()
def _layer(matrix, bias, before, after, is_rectified):
    """A linear layer over a block of columns, optionally rectified."""
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
    """Probability from the parameter sets' log odds and the network's output, trusted 0 to 1."""
    total, mass = _F(0), _F(0)
    for a in range(NUM_SETS):
        weight = np.exp(_F(FIRST_GATES[a]) + trust * last[a])
        total += weight / (_F(1) + np.exp(-row[a]))
        mass += weight
    return _F(1) / (_F(1) + np.exp(-(_F(log_odds(total / mass)) + trust * last[NUM_SETS])))
