"""The processes that train one run together, and what they tell one another.

Each has a number, its rank; rank 0 writes all files. Every rank makes and computes its own part of
each batch. What a loss is divided by is summed over ranks before it is used, and gradients are
summed by DistributedDataParallel, so an optimizer step is that of one process with the whole batch.
Small numbers travel through the CPU (gloo), gradients and counts on the device (nccl on GPUs).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import astuple, dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vcfbert.errors import DeviceError
from vcfbert.training.systems.objective import Counted
from vcfbert.training.systems.schedule import Work

_LONGEST_WAIT = timedelta(days=1)
"""Rank 0 may build an index or encode a panel while the others wait. A process that ends is noticed
at once, because its connection closes."""

_Value = TypeVar("_Value")


class LostRankError(DeviceError):
    """Another process of the run ended, so this one cannot continue."""


@dataclass(frozen=True)
class Ranks:
    """One of `count` processes that train a run together; alone if there is only one."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.rank == 0

    def part(self, work: Work) -> Work:
        """What this process makes of a batch."""
        return work.part_of(self.rank, self.count)

    def total(self, counted: Sequence[Counted]) -> list[Counted]:
        """What each of some batches counts in all processes together."""
        if self.count == 1:
            return list(counted)
        table = torch.tensor([astuple(one) for one in counted], dtype=torch.int64)
        dist.all_reduce(table)
        return [Counted(*row) for row in table.tolist()]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, on its device."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def of_first(self, value: _Value) -> _Value:
        """The value of rank 0."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def number_of_first(self, value: float) -> float:
        """The number of rank 0, faster than `of_first`."""
        if self.count == 1:
            return value
        number = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(number, src=0)
        return float(number)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.all_reduce(torch.zeros(1))

    def sharing_gradients(self, module: nn.Module) -> nn.Module:
        """A module whose backward pass averages the gradients over all processes.

        All trainable weights of the module must get a gradient.
        """
        if self.count == 1:
            return module
        return DistributedDataParallel(module)


ALONE = Ranks()


def accumulating(module: nn.Module) -> AbstractContextManager[None]:
    """Keep the gradients of a backward pass to this process until one outside of this context."""
    if isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return nullcontext()


@contextmanager
def joined(rank: int, count: int, device: torch.device, meet: str) -> Iterator[Ranks]:
    """Be one of several processes while the block runs.

    meet  where the processes find each other: a URL of `torch.distributed`

    Raises LostRankError if another process ends first.
    """
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    with noticing_loss():
        dist.init_process_group(
            backend, init_method=meet, rank=rank, world_size=count, timeout=_LONGEST_WAIT
        )
        yield Ranks(rank, count)
        dist.destroy_process_group()


@contextmanager
def noticing_loss() -> Iterator[None]:
    """Turn the error of a closed connection between processes into a LostRankError."""
    try:
        yield
    except dist.DistError as error:
        raise _lost() from error
    except RuntimeError as error:  # gloo has no class of its own
        if "gloo" in str(error):
            raise _lost() from error
        raise


def _lost() -> LostRankError:
    return LostRankError(
        "Another process of this run ended. The last checkpoint is intact: continue with --resume."
    )
