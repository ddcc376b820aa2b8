"""When masks and encodings are renewed: rules over counters, so that a resumed run keeps them.

A run counts the epochs and the batches it has finished. What is in use remembers both counts of
the moment it was made, and a rule compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vcfbert.config import RefreshOn

Kind = Literal["masks", "embeddings"]


@dataclass(frozen=True)
class InUse:
    """A version of masks or of embeddings, and when it was made.

    version  0 is the first, each new one counts on
    epoch    epochs finished before
    batch    batches finished before, over all epochs
    rate     of masks, that of the curriculum; 0 for embeddings
    """

    version: int
    epoch: int
    batch: int
    rate: float = 0.0

    def next(self, *, epoch: int, batch: int, rate: float = 0.0) -> InUse:
        """The version that takes its place now."""
        return InUse(self.version + 1, epoch, batch, rate)


@dataclass(frozen=True)
class Rule:
    """When something is renewed.

    on     what is counted
    every  how many; 0 never
    """

    on: RefreshOn
    every: int

    def is_due(self, used: InUse, *, epoch: int, batch: int, gain_epoch: int) -> bool:
        """Tell whether what is used has served its time.

        epoch       epochs finished
        batch       batches finished, over all epochs
        gain_epoch  epochs that were finished when the validation last gained

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
        """Batches until it is due; None where no number of batches decides.

        >>> Rule("batches", 10).batches_left(InUse(0, 0, 20), 23)
        7
        """
        if self.on != "batches" or self.every == 0:
            return None
        return max(0, used.batch + self.every - batch)


def log_row(
    kind: Kind, used: InUse, *, cause: RefreshOn | Literal["start"], seed: int, seconds: float
) -> dict[str, Any]:
    """A line of the log: what was made when, why, from which seed, in how long."""
    return {
        "kind": kind,
        "version": used.version,
        "epoch": used.epoch + 1,
        "batch": used.batch,
        "cause": cause,
        "rate": used.rate if kind == "masks" else "",
        "seed": seed,
        "seconds": seconds,
    }
