"""Memory that a run uses and that the machine has left."""

from __future__ import annotations

import resource

import torch

from vcfbert import plurals, versions
from vcfbert.training import host_memory


def describe(device: torch.device) -> str:
    """Name of the device in reports; compare times and bytes only if it is the same."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {plurals.of(torch.get_num_threads(), 'thread')}"


def start_peak(device: torch.device) -> None:
    """Reset the peak that `peak_bytes` returns, if the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        (host_memory.PROC / "self" / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # not Linux, or not permitted; a process usually trains only once


def peak_bytes(device: torch.device) -> int:
    """Peak memory: of tensors on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        return host_memory.kilobytes(host_memory.PROC / "self" / "status", "VmHWM")
    except OSError:
        return versions.bytes_of_peak(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def free_bytes(device: torch.device) -> int:
    """Free memory of the device.

    On a CPU, the smaller of the available memory and of what the control group of the process has
    left; if neither is known, all memory of the machine.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return host_memory.free_bytes()
