"""Running counts of a pass over batches, kept on the device so that no step has to wait.

B query haplotypes, K neighbours, L sites in a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.typing import NDArray
from torch import Tensor

from vcfbert.domain import metrics, tokens
from vcfbert.model import losses
from vcfbert.model.imputer import NUM_GENOTYPES, Logits

_RARE, _COMMON, _CONFUSION, _LOSS, _DISTANCE, _MOMENTS, _RETRIEVED = 0, 3, 6, 15, 17, 19, 25
_LOG_LOSS, _OBSERVED, _MASKED, _GENOTYPES = 29, 30, 31, 34
SIZE = 37


@dataclass(frozen=True)
class PassScores:
    """Scores of an epoch of training or validation, over masked sites.

    log_loss             mean of -log p of the true alleles, with p corrected for the focal loss, so
                         that it is on one scale for every loss
    r2                   of dosages from the haplotype head, pooled over samples and sites; NaN if
                         they do not vary
    retrieval_agreement  share of masked alleles that the nearest neighbour has, too
    retrieval_f1         F1 of ALT if the nearest neighbour's alleles are the calls
    retrieval_distance   mean squared distance of the nearest neighbour
    mask_rate            share of the observed alleles that was masked
    mask_rate_0, _1, _2  share of the observed genotypes with 0, 1 and 2 ALT copies that was masked;
                         NaN if there were none

    Those of the retrieval are NaN if nothing was retrieved.
    """

    loss: float
    log_loss: float
    f1: float
    precision: float
    recall: float
    rare_f1: float
    common_f1: float
    genotype_macro_f1: float
    r2: float
    retrieval_agreement: float
    retrieval_f1: float
    retrieval_distance: float
    mask_rate: float
    mask_rate_0: float
    mask_rate_1: float
    mask_rate_2: float


def count(
    logits: Logits,
    labels: Integer[Tensor, "B L"],
    is_hidden: Bool[Tensor, "B L"],
    is_rare: Bool[Tensor, "L"],
    summed_loss: Float[Tensor, ""],
    distances: Float[Tensor, "B K"],
    neighbours: Integer[Tensor, "B K L"],
    focal_gamma: float,
) -> Float[Tensor, "37"]:
    """Counts of one batch, to be summed over batches for `summarise`.

    In this order: true positives, false positives and false negatives of ALT at rare sites; the
    same at common sites; the genotype confusion (true x called); summed loss and its weight; summed
    distance of the nearest neighbour and its weight; moments of true and imputed dosage as in
    `metrics.Tally`; for the nearest neighbour's alleles as calls, the masked alleles, true
    positives, false positives and false negatives; the summed -log p of the true alleles; the
    observed alleles; and genotypes with 0, 1 and 2 ALT copies, masked ones and all observed ones.

    summed_loss  mean loss of the batch, times its masked alleles
    neighbours   complete tokens, nearest first
    focal_gamma  of the loss; dosages are corrected for it
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
    # bincount and cell[both_hidden] have sizes that depend on values, so they would wait for a GPU.
    confusion = both_hidden.new_zeros(NUM_GENOTYPES**2, dtype=torch.float64)
    confusion.scatter_add_(0, cell.flatten(), both_hidden.flatten().double())
    hidden = is_hidden.sum()
    tail = [summed_loss.detach(), hidden, *_distance(distances)]
    log_p = losses.log_posterior(logits.haplotype, focal_gamma)
    moments = _moments(log_p[..., 1].exp(), truth, both_hidden)
    retrieved = _retrieved(neighbours, is_true, is_hidden)
    log_loss = -(torch.where(is_true, log_p[..., 1], log_p[..., 0]) * is_hidden).sum()
    is_observed = labels <= tokens.ALT
    masked = [log_loss, is_observed.sum(), *_by_copies(truth, both_hidden, is_observed)]
    parts = (counts, confusion, tail, moments, retrieved, masked)
    return torch.cat([torch.stack([x.double() for x in part]) for part in parts])


def summarise(counts: Float[Tensor, "37"]) -> PassScores:
    """Scores from summed counts."""
    values = counts.cpu().numpy()
    rare, common = values[_RARE:_COMMON], values[_COMMON:_CONFUSION]
    confusion = values[_CONFUSION:_LOSS].reshape(1, NUM_GENOTYPES, NUM_GENOTYPES)
    true_positive, false_positive, false_negative = (rare + common).tolist()
    alleles, retrieved = values[_RETRIEVED], values[_RETRIEVED + 1 : _LOG_LOSS]
    wrong = retrieved[1] + retrieved[2]
    distance, queries = values[_DISTANCE:_MOMENTS]
    hidden, observed = values[_LOSS + 1], values[_OBSERVED]
    masked = _shares(values[_MASKED:_GENOTYPES], values[_GENOTYPES:])
    return PassScores(
        loss=float(values[_LOSS] / max(hidden, 1)),
        log_loss=float(values[_LOG_LOSS] / max(hidden, 1)),
        f1=_f1(rare + common),
        precision=true_positive / max(true_positive + false_positive, 1),
        recall=true_positive / max(true_positive + false_negative, 1),
        rare_f1=_f1(rare),
        common_f1=_f1(common),
        genotype_macro_f1=float(metrics.genotype_f1(confusion)[0]),
        r2=float(metrics.pooled_r2(values[_MOMENTS:_RETRIEVED][None])[0]),
        retrieval_agreement=float(1 - wrong / alleles) if alleles else math.nan,
        retrieval_f1=_f1(retrieved) if alleles else math.nan,
        retrieval_distance=float(distance / queries) if queries else math.nan,
        mask_rate=float(hidden / max(observed, 1)),
        mask_rate_0=masked[0],
        mask_rate_1=masked[1],
        mask_rate_2=masked[2],
    )


def _shares(part: NDArray[np.float64], whole: NDArray[np.float64]) -> list[float]:
    """Element by element; NaN if there is nothing to share."""
    return [float(one / all_) if all_ else math.nan for one, all_ in zip(part, whole, strict=True)]


def _distance(distances: Float[Tensor, "B K"]) -> list[Tensor]:
    """Summed distance of the nearest neighbours, and their number."""
    nearest = distances[:, :1]  # empty if nothing is retrieved
    return [nearest.sum(), nearest.new_full((), float(nearest.numel()))]


def _by_copies(
    truth: Integer[Tensor, "N L"], is_masked: Bool[Tensor, "N L"], is_observed: Bool[Tensor, "B L"]
) -> list[Tensor]:
    """Masked genotypes with 0, 1 and 2 ALT copies, then all observed ones.

    truth      ALT copies
    is_masked  True where both alleles are masked
    """
    is_whole = is_observed[0::2] & is_observed[1::2]
    kinds = [truth == copies for copies in range(NUM_GENOTYPES)]
    return [(kind & where).sum() for where in (is_masked, is_whole) for kind in kinds]


def _moments(
    alt: Float[Tensor, "B L"], truth: Integer[Tensor, "N L"], counted: Bool[Tensor, "N L"]
) -> list[Tensor]:
    """Count, sums, sums of squares and of products of true and imputed dosage where counted.

    alt    probability of ALT
    truth  ALT copies, any value where not counted
    """
    imputed = (alt[0::2] + alt[1::2]) * counted
    true = truth.double() * counted
    terms = (counted.double(), true, imputed, true * true, imputed * imputed, true * imputed)
    return [term.sum() for term in terms]


def _retrieved(
    neighbours: Integer[Tensor, "B K L"],
    is_true: Bool[Tensor, "B L"],
    is_hidden: Bool[Tensor, "B L"],
) -> list[Tensor]:
    """Masked alleles, and the errors of the nearest neighbour's alleles as calls; 0 if none."""
    if neighbours.shape[1] == 0:
        return list(is_hidden.new_zeros(4, dtype=torch.float64))
    is_called = neighbours[:, 0] == 1
    return [
        is_hidden.sum(),
        (is_true & is_called & is_hidden).sum(),
        (~is_true & is_called & is_hidden).sum(),
        (is_true & ~is_called & is_hidden).sum(),
    ]


def _f1(counts: NDArray[np.float64]) -> float:
    """F1 from true positives, false positives and false negatives; 0 if there is no ALT."""
    true_positive, false_positive, false_negative = counts.tolist()
    return 2 * true_positive / max(2 * true_positive + false_positive + false_negative, 1)
