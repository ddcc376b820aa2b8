"""Time left and memory, for what commands show while they run."""

from __future__ import annotations

import resource

from vcfbert.versions import bytes_of_peak


def seconds_left(done: int, total: int | None, seconds: float) -> float | None:
    """Seconds left at the pace so far; None if that is not known.

    >>> seconds_left(25, 100, 5.0), seconds_left(0, 100, 5.0), seconds_left(25, None, 5.0)
    (15.0, None, None)
    """
    if total is None or done <= 0:
        return None
    return max(total - done, 0) * seconds / done


def peak_memory() -> int:
    """Most bytes that this process has used."""
    return bytes_of_peak(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
