"""Writer of the TensorBoard events of a run."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from vcfbert.errors import StoreError

__all__ = ["SummaryWriter", "open_writer"]


def open_writer(run: Path, step: int) -> SummaryWriter:
    """Open the events of a run; those after `step` are discarded, because they will be repeated.

    Raises StoreError if they cannot be written; the writer itself would fail in a thread.
    """
    folder = run / "tensorboard"
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"vcfbert")
        probe.unlink()
    except OSError as error:
        raise StoreError(
            f"Cannot write {folder}: {error.strerror}. Free disk space or correct the permissions "
            f"of the folder, then resume: vcfbert train --run {run.name} --resume"
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1)
