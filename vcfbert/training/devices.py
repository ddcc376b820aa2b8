"""Which device and which number format a run uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from vcfbert.errors import DeviceError


@dataclass(frozen=True)
class Precision:
    """Number format of the forward pass; weights and optimizer stay in float32."""

    dtype: torch.dtype

    @property
    def is_mixed(self) -> bool:
        """True where autocast is on."""
        return self.dtype != torch.float32

    @property
    def needs_scaler(self) -> bool:
        """True for float16, whose small gradients would vanish unscaled."""
        return self.dtype == torch.float16


Device = torch.device


def set_threads(count: int) -> None:
    """Use that many CPU threads for tensors from now on."""
    torch.set_num_threads(count)


def choose_device(name: str) -> torch.device:
    """`auto` takes a CUDA device where there is one. DeviceError where the asked one is absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"Unknown device {name!r}. Use auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            f"--device {name} was asked for, but PyTorch sees no CUDA device here. "
            "Use --device cpu or auto."
        )
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name} is not supported. Use auto, cpu or cuda.")
    return device


@contextmanager
def explaining_memory(batch_size: int) -> Iterator[None]:
    """Turn a device that is out of memory into a DeviceError with the remedy.

    batch_size  samples in the batch that did not fit
    """
    try:
        yield
    except RuntimeError as error:  # the base of torch.OutOfMemoryError; on a CPU it is all there is
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise DeviceError(
                f"A batch of {batch_size} samples does not fit into memory. Take a smaller "
                "training.batch_size (and more training.accumulation); vcfbert audit-dims shows "
                "what a system needs."
            ) from error
        raise


def choose_precision(name: str, device: torch.device) -> Precision:
    """`auto`: bf16 on a GPU that has it, else fp16 on a GPU, fp32 on a CPU."""
    if name == "auto":
        if device.type != "cuda":
            return Precision(torch.float32)
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)  # emulated, it is slow
        return Precision(torch.bfloat16 if has_bf16 else torch.float16)
    if name == "fp16" and device.type != "cuda":
        raise DeviceError("training.precision = fp16 needs a GPU. Use bf16, fp32 or auto.")
    return Precision({"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name])
