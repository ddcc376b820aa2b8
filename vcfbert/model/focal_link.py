"""The logits at which the expected focal loss is smallest: the inverse of `losses.posterior`.

A network that is trained with the focal loss and starts from probabilities, such as the votes of
its neighbours, must start from these logits. Otherwise its first steps undo the difference.

C classes, q their softmax, p their true probabilities. At the smallest expected loss

    p_k phi'(q_k) is the same for all k, with phi(q) = -(1 - q)^gamma log q,

so with s(u) = log(-phi'(q)) of the logit u of q there is one number c with log p_k + s(u_k) = c.
It follows from the sum of the q_k, which is 1 (Charoenphakdee et al. 2021, On focal loss for
class-posterior probability estimation).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_LARGEST = 40.0  # logits of the table
_STEP = 0.02
_NEWTON_STEPS = 8
_SMALLEST = -25.0  # log probabilities, below which doubles do not resolve 1 - q


def minimiser(log_p: Float[Tensor, "*B C"], gamma: float) -> Float[Tensor, "*B C"]:
    """Logits whose `losses.posterior` is a given distribution; with its gradient.

    log_p    log probabilities that sum to 1 over C
    returns  log q, in float64; `log_p` at gamma 0

    >>> log_p = torch.tensor([[0.75, 0.25]], dtype=torch.float64).log()
    >>> minimiser(log_p, 2.0).exp().round(decimals=4)
    tensor([[0.6012, 0.3988]], dtype=torch.float64)
    """
    log_p = log_p.double()
    if gamma == 0:
        return log_p
    log_p = log_p.clamp(min=_SMALLEST)
    with torch.no_grad():
        logit = _solve(log_p, gamma)
        log_q = functional.logsigmoid(logit).log_softmax(dim=-1)
        # d log p_k = d c - s'(u_k) d u_k, and the q_k keep their sum.
        by_logit = _slope(logit, gamma)
        by_log_p = -(1 - log_q.exp()) / by_logit  # of log q_k, if c stays
        share = log_q.exp() * by_log_p
        share = share / share.sum(dim=-1, keepdim=True)
    change = log_p - log_p.detach()  # zeros that carry the gradient
    return log_q + by_log_p * (change - (share * change).sum(dim=-1, keepdim=True))


def _solve(log_p: Tensor, gamma: float) -> Tensor:
    """Logits u_k of the q_k, by Newton's method for c in the log of the sum of the q_k."""
    start = (log_p - torch.log1p(-log_p.exp().clamp(max=1 - 1e-12))) / (1 + gamma)
    level = (log_p + _log_slope_of_loss(start, gamma)).mean(dim=-1, keepdim=True)
    table = _table(gamma, log_p.device)
    for _ in range(_NEWTON_STEPS):  # a fixed number, so that nothing waits for a GPU
        logit, slope = _logit_at(level - log_p, table)
        log_q = functional.logsigmoid(logit)
        total = log_q.logsumexp(dim=-1, keepdim=True)
        q = log_q.exp()
        by_level = (q * (1 - q) / slope).sum(dim=-1, keepdim=True) / total.exp()
        level = level - total / by_level
    logit, _ = _logit_at(level - log_p, table)
    return logit - (_log_slope_of_loss(logit, gamma) - level + log_p) / _slope(logit, gamma)


def _log_slope_of_loss(logit: Tensor, gamma: float) -> Tensor:
    """s(u), which falls in u."""
    rest = functional.logsigmoid(-logit)  # log(1 - q)
    inner = torch.exp(-logit) + gamma * functional.softplus(-logit)
    return (gamma - 1) * rest + inner.log()


def _slope(logit: Tensor, gamma: float) -> Tensor:
    """The derivative of s at u, below 0."""
    odds = torch.exp(-logit)
    inner = odds + gamma * functional.softplus(-logit)
    return -(gamma - 1) * torch.sigmoid(logit) - (odds + gamma * torch.sigmoid(-logit)) / inner


def _table(gamma: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Logits and -s at them, both rising."""
    count = round(2 * _LARGEST / _STEP) + 1
    logit = torch.linspace(-_LARGEST, _LARGEST, count, dtype=torch.float64, device=device)
    return logit, -_log_slope_of_loss(logit, gamma)


def _logit_at(wanted: Tensor, table: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The logit u with s(u) = wanted, by linear interpolation in the table, and the slope there."""
    logits, heights = table
    place = torch.searchsorted(heights, -wanted.contiguous()).clamp(1, len(logits) - 1)
    low = heights[place - 1]
    slope = (low - heights[place]) / _STEP
    return logits[place - 1] + (wanted + low) / slope, slope
