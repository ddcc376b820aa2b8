"""Losses over chosen sites, from logits.

B query haplotypes, L sites in a window, C classes.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def focal(
    logits: Float[Tensor, "B L C"],
    labels: Int[Tensor, "B L"],
    counted: Bool[Tensor, "B L"],
    gamma: float,
) -> Float[Tensor, ""]:
    """Mean focal loss (Lin et al. 2017) where `counted`; cross-entropy at gamma 0.

    labels   any value where not counted
    returns  0 where nothing is counted
    """
    safe = labels.long().clamp(0, logits.shape[-1] - 1)
    log_probability = functional.log_softmax(logits.float(), dim=-1)
    log_true = log_probability.gather(-1, safe[..., None])[..., 0]
    modulation = (1 - log_true.exp()).clamp(min=0) ** gamma if gamma > 0 else 1.0
    loss = -modulation * log_true * counted
    return loss.sum() / counted.sum().clamp(min=1)
