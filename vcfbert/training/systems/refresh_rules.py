"""Rules for when training refreshes masks and embeddings.

A rule compares the epochs and batches finished now with those finished when the version in use was
made. It needs these counters only, so a resumed run refreshes at the same points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vcfbert.config import RefreshOn
from vcfbert.training.systems.mask_shares import MaskShares

Kind = Literal["masks", "embeddings"]
_NO_SHARES = MaskShares(0.0, (0.0, 0.0, 0.0))


@dataclass(frozen=True)
class InUse:
    """The version of masks or embeddings in use, and when it was made.

    version  0 for the first, then 1, 2, ...
    epoch    epochs finished by then
    batch    batches finished by then, over all epochs
    rate     masking level of the curriculum; 0 for embeddings
    """

    version: int
    epoch: int
    batch: int
    rate: float = 0.0

    def next(self, *, epoch: int, batch: int, rate: float = 0.0) -> InUse:
        """The version that replaces this one now."""
        return InUse(self.version + 1, epoch, batch, rate)


@dataclass(frozen=True)
class Rule:
    """When masks or embeddings are refreshed.

    on     what is counted
    every  how many from one refresh to the next; 0 for never
    """

    on: RefreshOn
    every: int

    def is_due(self, used: InUse, *, epoch: int, batch: int, gain_epoch: int) -> bool:
        """True if the version in use must be replaced now.

        epoch       epochs finished
        batch       batches finished, over all epochs
        gain_epoch  epochs finished when the validation score last improved

        >>> Rule("batches", 10).is_due(InUse(0, 0, 20), epoch=1, batch=30, gain_epoch=1)
        True
        >>> Rule("plateau", 2).is_due(InUse(0, 1, 20), epoch=4, batch=80, gain_epoch=3)
        False
        """
        if self.every == 0:
            return False
        if self.on == "batches":
            return batch - used.batch >= self.every
        since = max(used.epoch, gain_epoch) if self.on == "plateau" else used.epoch
        return epoch - since >= self.every

    def batches_left(self, used: InUse, batch: int) -> int | None:
        """Batches until the next refresh; None if the rule does not count batches.

        >>> Rule("batches", 10).batches_left(InUse(0, 0, 20), 23)
        7
        """
        if self.on != "batches" or self.every == 0:
            return None
        return max(0, used.batch + self.every - batch)


def log_row(
    kind: Kind,
    used: InUse,
    *,
    cause: RefreshOn | Literal["start"],
    seed: int,
    seconds: float,
    store: str,
    masked: MaskShares | None,
) -> dict[str, Any]:
    """A row of the refresh CSV: what was made, when, why, from which seed, in how long, where.

    store   path in the workspace; empty if each sample draws its own masks
    masked  what the new masks hide; None for embeddings
    """
    shares = dict.fromkeys(_NO_SHARES.columns(), "") if masked is None else masked.columns()
    return {
        "kind": kind,
        "version": used.version,
        "epoch": used.epoch + 1,
        "batch": used.batch,
        "cause": cause,
        "mask_level": used.rate if kind == "masks" else "",
        **shares,
        "seed": seed,
        "seconds": seconds,
        "store": store,
    }
