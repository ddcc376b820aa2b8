"""Fitting of the network of `mosaic` to undecided sites of samples that are not references.

n undecided sites, F inputs, U hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vcfbert.config import MosaicConfig
from vcfbert.copying.inputs import NUM_INPUTS
from vcfbert.copying.network import FIRST_GATES, Network, Weights
from vcfbert.model.mosaic import Mosaic

RANGE = 0.0005
"""Share of the training inputs outside the range at either end."""

_MARGIN = 0.1  # of the range, added at either end
_SAMPLE = 1_000_000  # rows that the range is estimated from
_SMALLEST = 1e-7  # probability that a loss is computed with


@dataclass(frozen=True)
class OpenData:
    """Undecided sites: rows (n, F) float32 inputs and labels (n,) 0 REF, 1 ALT."""

    rows: NDArray[np.float32]
    labels: NDArray[np.uint8]


def joined(parts: Sequence[OpenData]) -> OpenData:
    """All rows of several parts."""
    return OpenData(
        np.concatenate([np.empty((0, NUM_INPUTS), np.float32), *(part.rows for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.labels for part in parts)]),
    )


@dataclass(frozen=True)
class Fitted:
    """A trained network, and (step, training loss, validation loss) of each check."""

    network: Mosaic
    history: list[tuple[int, float, float]]


def new_network(data: OpenData, settings: MosaicConfig, seed: int) -> Mosaic:
    """A network with the range of the inputs that returns the mean of the parameter sets."""
    torch.manual_seed(seed)
    network = Mosaic(data.rows.shape[1], settings.units, FIRST_GATES)
    sample = _sample(data)
    mean, spread = sample.mean(axis=0), sample.std(axis=0) + 1e-3
    lowest, highest = _with_margin((sample - mean) / spread)
    network.set_range(*map(_tensor, (mean, spread, lowest, highest)))
    return network


def continued(weights: Weights, data: OpenData) -> Mosaic:
    """The network with these weights, and its range extended to that of the data.

    For inputs inside its old range the results stay the same.
    """
    network = Mosaic.of(weights._asdict(), FIRST_GATES)
    standard = (_sample(data) - weights.mean) / weights.spread
    lowest, highest = _with_margin(standard)
    network.set_range(
        network.mean.clone(),
        network.spread.clone(),
        torch.minimum(network.lowest, _tensor(lowest)),
        torch.maximum(network.highest, _tensor(highest)),
    )
    return network


def fit(
    network: Mosaic,
    train: OpenData,
    validation: OpenData,
    settings: MosaicConfig,
    seed: int,
    *,
    keep: Literal["best", "last"] = "best",
    on_check: Callable[[int, float, float], None] = lambda step, loss, validated: None,
) -> Fitted:
    """Minimise cross-entropy with AdamW and one cycle of the learning rate.

    keep  the check with the `best` validation loss, or the `last`

    The given network counts as a check, so the best is never worse on the validation data.
    """
    rows, labels = torch.from_numpy(train.rows), torch.from_numpy(train.labels)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    best_loss = loss_of(network, validation)
    best = _copy(network)
    history = [(0, float("nan"), best_loss)]
    running, seen = 0.0, 0
    for step in range(1, settings.steps + 1):
        chosen = torch.randint(len(rows), (settings.batch_rows,), generator=generator)
        loss = nn.functional.binary_cross_entropy_with_logits(
            network(rows[chosen]), labels[chosen].float()
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running, seen = running + loss.item(), seen + 1
        if step % settings.check_every == 0 or step == settings.steps:
            validated = loss_of(network, validation)
            history.append((step, running / seen, validated))
            on_check(step, running / seen, validated)
            running, seen = 0.0, 0
            if keep == "last" or validated < best_loss:
                best_loss, best = validated, _copy(network)
    network.load_state_dict(best)
    return Fitted(network.eval(), history)


@torch.no_grad()
def loss_of(network: Mosaic, data: OpenData, batch: int = 65_536) -> float:
    """Mean cross-entropy in nats a site."""
    total = 0.0
    for first in range(0, len(data.rows), batch):
        rows = torch.from_numpy(data.rows[first : first + batch])
        labels = torch.from_numpy(data.labels[first : first + batch]).float()
        logits = network(rows)
        total += nn.functional.binary_cross_entropy_with_logits(
            logits, labels, reduction="sum"
        ).item()
    return total / max(len(data.rows), 1)


def loss(network: Network, data: OpenData) -> float:
    """Mean cross-entropy of the compiled network, in nats a site."""
    values = network.probabilities(data.rows)[0].astype(np.float64).clip(_SMALLEST, 1 - _SMALLEST)
    return float(-np.log(np.where(data.labels == 1, values, 1 - values)).mean())


def _sample(data: OpenData) -> NDArray[np.float64]:
    stride = max(1, len(data.rows) // _SAMPLE)
    return data.rows[::stride].astype(np.float64)


def _with_margin(
    standard: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Range of standardised inputs with a margin."""
    lowest, highest = np.quantile(standard, [RANGE, 1 - RANGE], axis=0)
    room = _MARGIN * (highest - lowest) + 0.1
    return lowest - room, highest + room


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _copy(network: Mosaic) -> dict[str, Tensor]:
    return {name: values.detach().clone() for name, values in network.state_dict().items()}
