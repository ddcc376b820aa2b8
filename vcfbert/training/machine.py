"""Memory that a run uses and that the machine has left."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import torch

from vcfbert import versions

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


def describe(device: torch.device) -> str:
    """Name of the device in reports; compare times and bytes only if it is the same."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def start_peak(device: torch.device) -> None:
    """Reset the peak that `peak_bytes` returns, if the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        (_PROC / "self" / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # not Linux, or not permitted; a process usually trains only once


def peak_bytes(device: torch.device) -> int:
    """Peak memory: of tensors on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        return _kilobytes(_PROC / "self" / "status", "VmHWM")
    except OSError:
        return versions.bytes_of_peak(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def free_bytes(device: torch.device) -> int:
    """Free memory of the device.

    On a CPU, the smaller of the available memory and of what the control group of the process has
    left; if neither is known, all memory of the machine.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        left = _kilobytes(_PROC / "meminfo", "MemAvailable")
    except OSError:
        left = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = _left_of_group()
    return left if group is None else min(left, group)


def _left_of_group() -> int | None:
    """Bytes that the control group has left; None if it has no limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            words = [(_CGROUP / name).read_text(encoding="ascii").strip() for name in (limit, used)]
        except OSError:
            continue
        if words[0] == "max":
            return None
        # Memory of cached files is released when it is needed.
        cached = _cached_bytes((_CGROUP / limit).parent / "memory.stat")
        return max(0, int(words[0]) - int(words[1]) + cached)
    return None


def _cached_bytes(path: Path) -> int:
    lines = path.read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _kilobytes(path: Path, name: str) -> int:
    """Bytes of a line such as `VmHWM:  1024 kB`."""
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{path} has no line {name}")
