"""Processes that a test has started through `multiprocessing`."""

from __future__ import annotations

import subprocess


def spawned_by(ancestor: int) -> list[int]:
    """Spawned processes below an ancestor whose parents are alive, rising."""
    columns = ["-o", "pid=", "-o", "ppid=", "-o", "args="]
    listed = subprocess.run(["ps", "-A", "-ww", *columns], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    parents = {int(row[0]): int(row[1]) for row in rows}
    spawned = [int(row[0]) for row in rows if "spawn_main" in row[-1]]
    return sorted(pid for pid in spawned if _is_below(pid, ancestor, parents))


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        pid = parents.get(pid, 0)
        if pid == ancestor:
            return True
    return False
