"""TensorBoard events of a run; the home of the writer, so that pipelines do without PyTorch."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

__all__ = ["SummaryWriter", "open_writer"]


def open_writer(run: Path, step: int) -> SummaryWriter:
    """Open the run's events; those after `step` are void, because they will come again."""
    return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)
