"""What a run takes of the machine, and what the machine has left."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import torch

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


def describe(device: torch.device) -> str:
    """The device as a report names it; times and bytes compare only where this is the same."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def start_peak(device: torch.device) -> None:
    """Forget what was used before, so that `peak_bytes` speaks of what follows.

    Where the system keeps one peak for the life of a process, it stays.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        (_PROC / "self" / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # no Linux, or not allowed here; a command trains once in its life anyway


def peak_bytes(device: torch.device) -> int:
    """Most memory held at once: tensors on a GPU, the resident process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        return _kilobytes(_PROC / "self" / "status", "VmHWM")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def free_bytes(device: torch.device) -> int:
    """Memory that the device has left for this process.

    On a CPU the least of what the system can give and what the limits of the process's group
    leave; where a system tells neither, all of its memory.
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
    """Bytes below the limit of the control group; None where there is no limit."""
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
        # What files fill of it is given back when it is needed.
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
    raise OSError(f"{path} does not tell {name}")
