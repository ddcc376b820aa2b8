"""Which number format a device gets."""

import pytest
import torch

from vcfbert.errors import DeviceError
from vcfbert.training import devices


@pytest.mark.parametrize(("has_bf16", "chosen"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_that_only_emulates_bf16_gets_fp16(monkeypatch, has_bf16, chosen):
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: has_bf16 or including_emulation,
    )
    assert devices.choose_precision("auto", torch.device("cuda")).dtype == chosen


def test_a_cpu_computes_in_float32_and_refuses_fp16():
    assert devices.choose_precision("auto", torch.device("cpu")).dtype == torch.float32
    with pytest.raises(DeviceError, match="needs a GPU"):
        devices.choose_precision("fp16", torch.device("cpu"))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory: 9 bytes")],
)
def test_memory_that_is_not_there_is_explained(error):
    with (
        pytest.raises(DeviceError, match=r"batch of 7 samples.*training\.batch_size"),
        devices.explaining_memory(7),
    ):
        raise error


def test_other_errors_pass_as_they_are():
    with pytest.raises(RuntimeError, match="shape"), devices.explaining_memory(7):
        raise RuntimeError("shape mismatch")
