"""Losses over chosen sites, from logits.

B query haplotypes, L sites in a window, C classes.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

_MIN_DOUBT = 1e-7  # smaller 1 - p is noise, and at 0 a power below 1 has an infinite gradient


def focal(
    logits: Float[Tensor, "B L C"],
    labels: Integer[Tensor, "B L"],
    counted: Bool[Tensor, "B L"],
    gamma: float,
) -> Float[Tensor, ""]:
    """Sum of the focal loss (Lin et al. 2017) over `counted`; cross-entropy at gamma 0.

    labels  any value where not counted
    """
    safe = labels.long().clamp(0, logits.shape[-1] - 1)
    log_probability = functional.log_softmax(logits.float(), dim=-1)
    log_true = log_probability.gather(-1, safe[..., None])[..., 0]
    modulation = (1 - log_true.exp()).clamp(min=_MIN_DOUBT) ** gamma if gamma > 0 else 1.0
    return (-modulation * log_true * counted).sum()


def posterior(logits: Float[Tensor, "*B L C"], gamma: float) -> Float[Tensor, "*B L C"]:
    """Class probabilities of a network trained with the focal loss; the softmax at gamma 0.

    The softmax of such a network is biased towards 1/2, because its expected loss is not smallest
    at the true probabilities. The inverse map (Charoenphakdee et al. 2021, On focal loss for
    class-posterior probability estimation, theorem 10) keeps the order of the classes, so it
    corrects dosages and does not change calls.

    returns  float64, summing to 1 over C
    """
    return log_posterior(logits, gamma).exp()


def log_posterior(logits: Float[Tensor, "*B L C"], gamma: float) -> Float[Tensor, "*B L C"]:
    """The logarithm of `posterior`, with its gradient."""
    log_p = functional.log_softmax(logits.double(), dim=-1)
    if gamma == 0:
        return log_p
    classes = logits.shape[-1]
    others = log_p[..., None, :].masked_fill(
        torch.eye(classes, dtype=torch.bool, device=logits.device), -torch.inf
    )
    log_rest = others.logsumexp(dim=-1)  # log(1 - p), exact where p is almost 1
    slope = (log_rest.exp() - gamma * log_p.exp() * log_p).clamp(min=1e-300).log()
    return (log_p - (gamma - 1) * log_rest - slope).log_softmax(dim=-1)
