"""Choice of the device and the number format of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from vcfbert import plurals
from vcfbert.errors import DeviceError


@dataclass(frozen=True)
class Precision:
    """Number format of the forward pass; weights and optimizer are always in float32."""

    dtype: torch.dtype

    @property
    def is_mixed(self) -> bool:
        """True if autocast is on."""
        return self.dtype != torch.float32

    @property
    def needs_scaler(self) -> bool:
        """True for float16, in which small gradients vanish unless they are scaled."""
        return self.dtype == torch.float16


Device = torch.device


def set_threads(count: int) -> None:
    """Set the number of CPU threads that PyTorch uses."""
    torch.set_num_threads(count)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one CPU thread: the sums of several may be rounded in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(name: str) -> torch.device:
    """The device of this name; `auto` is CUDA if there is any. DeviceError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"Unknown device {name!r}. Use auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            f"--device {name}: PyTorch finds no CUDA device on this machine. "
            "Use --device cpu or auto."
        )
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name} is not supported. Use auto, cpu or cuda.")
    return device


@contextmanager
def explaining_memory(batch_size: int) -> Iterator[None]:
    """Turn an out-of-memory error into a DeviceError with the remedy.

    batch_size  samples in the batch
    """
    try:
        yield
    except RuntimeError as error:  # on a CPU, PyTorch does not raise the subclass OutOfMemoryError
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise DeviceError(
                f"A batch of {plurals.of(batch_size, 'sample')} does not fit into memory. Use a "
                "smaller training.batch_size (and a larger training.accumulation); vcfbert "
                "audit-dims shows how much memory a system needs."
            ) from error
        raise


def choose_precision(name: str, device: torch.device) -> Precision:
    """`auto` is bf16 on a GPU that supports it, fp16 on other GPUs, fp32 on a CPU."""
    if name == "auto":
        if device.type != "cuda":
            return Precision(torch.float32)
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)  # emulation is slow
        return Precision(torch.bfloat16 if has_bf16 else torch.float16)
    if name == "fp16" and device.type != "cuda":
        raise DeviceError("training.precision = fp16 needs a GPU. Use bf16, fp32 or auto.")
    return Precision({"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name])
