"""Memory that the machine has left, and that this process uses. No PyTorch is imported."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """The smaller of the available memory and of what the control group has left.

    If neither is known, all memory of the machine.
    """
    try:
        left = kilobytes(PROC / "meminfo", "MemAvailable")
    except OSError:
        left = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = left_of_group()
    return left if group is None else min(left, group)


def used_bytes() -> int:
    """Memory that this process uses now; 0 if it is not known."""
    try:
        return kilobytes(PROC / "self" / "status", "VmRSS")
    except OSError:
        return 0


def left_of_group() -> int | None:
    """Bytes that the control group has left; None if it has no limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            words = [(CGROUP / name).read_text(encoding="ascii").strip() for name in (limit, used)]
        except OSError:
            continue
        if words[0] == "max":
            return None
        # Memory of cached files is released when it is needed.
        cached = _cached_bytes((CGROUP / limit).parent / "memory.stat")
        return max(0, int(words[0]) - int(words[1]) + cached)
    return None


def _cached_bytes(path: Path) -> int:
    lines = path.read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def kilobytes(path: Path, name: str) -> int:
    """Bytes of a line such as `VmHWM:  1024 kB`."""
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{path} has no line {name}")
