"""Running counts of a pass over batches, kept on the device so that no step waits for them.

B query haplotypes, L sites in a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.typing import NDArray
from torch import Tensor

from vcfbert.domain import metrics
from vcfbert.model.imputer import NUM_GENOTYPES, Logits

_RARE, _COMMON, _CONFUSION, _LOSS, _DISTANCE = 0, 3, 6, 15, 17
SIZE = 19


@dataclass(frozen=True)
class Scores:
    """What an epoch of training or validation came to, over hidden sites."""

    loss: float
    f1: float
    precision: float
    recall: float
    rare_f1: float
    common_f1: float
    genotype_macro_f1: float
    retrieval_distance: float


def count(
    logits: Logits,
    labels: Integer[Tensor, "B L"],
    is_hidden: Bool[Tensor, "B L"],
    is_rare: Bool[Tensor, "L"],
    loss: Float[Tensor, ""],
    distances: Float[Tensor, "B K"],
) -> Float[Tensor, "19"]:
    """Counts of one batch; sums of these are what `summarise` takes.

    The order: true positives, false positives and false negatives of ALT at rare sites, the same
    at common sites, the genotype confusion (true x called), summed loss and its weight, summed
    distance of the nearest neighbour and its weight.
    """
    is_true = labels == 1
    is_called = logits.haplotype[..., 1] > logits.haplotype[..., 0]
    counts = []
    for where in (is_hidden & is_rare, is_hidden & ~is_rare):
        counts += [
            (is_true & is_called & where).sum(),
            (~is_true & is_called & where).sum(),
            (is_true & ~is_called & where).sum(),
        ]
    both_hidden = is_hidden[0::2] & is_hidden[1::2]
    truth = is_true[0::2].long() + is_true[1::2].long()
    cell = truth * NUM_GENOTYPES + logits.genotype.argmax(dim=-1)
    # Not bincount and not cell[both_hidden]: their sizes depend on values, so a GPU is waited for.
    confusion = both_hidden.new_zeros(NUM_GENOTYPES**2, dtype=torch.float64)
    confusion.scatter_add_(0, cell.flatten(), both_hidden.flatten().double())
    hidden = is_hidden.sum()
    rows = torch.full((), float(len(distances)), device=labels.device)
    tail = [loss.detach() * hidden, hidden, distances[:, 0].sum(), rows]
    return torch.cat(
        [torch.stack([x.double() for x in part]) for part in (counts, confusion, tail)]
    )


def summarise(counts: Float[Tensor, "19"]) -> Scores:
    """Metrics from summed counts."""
    values = counts.cpu().numpy()
    rare, common = values[_RARE:_COMMON], values[_COMMON:_CONFUSION]
    confusion = values[_CONFUSION:_LOSS].reshape(1, NUM_GENOTYPES, NUM_GENOTYPES)
    true_positive, false_positive, false_negative = (rare + common).tolist()
    return Scores(
        loss=float(values[_LOSS] / max(values[_LOSS + 1], 1)),
        f1=_f1(rare + common),
        precision=true_positive / max(true_positive + false_positive, 1),
        recall=true_positive / max(true_positive + false_negative, 1),
        rare_f1=_f1(rare),
        common_f1=_f1(common),
        genotype_macro_f1=float(metrics.genotype_f1(confusion)[0]),
        retrieval_distance=float(values[_DISTANCE] / max(values[_DISTANCE + 1], 1)),
    )


def _f1(counts: NDArray[np.float64]) -> float:
    """F1 from true positives, false positives and false negatives; 0 where there is no ALT."""
    true_positive, false_positive, false_negative = counts.tolist()
    return 2 * true_positive / max(2 * true_positive + false_positive + false_negative, 1)
