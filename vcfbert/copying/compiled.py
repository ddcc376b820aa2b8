"""Compilation of kernels: once for an installation, or in each run if there is no cache.

A kernel that calls another has a copy of it in its own machine code. The two copies are optimised
apart, and with `fastmath` they may differ in the last digit of a sum. A run that compiles calls the
callee's own copy and a run that loads from the cache calls the caller's, unless the callee is
inlined; so all are.

Numba looks for changes only in the file of a kernel, not in those of the kernels that it calls. So
the cache has another name for other sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import event


def _digest_of_sources() -> str:
    """Digest of all modules that have kernels, and of this one."""
    package = Path(__file__).parent.parent
    sources = [*sorted(package.glob("copying/*.py")), *sorted(package.glob("phasing/*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


SOURCES = _digest_of_sources()
"""Digest of the sources of all kernels."""


def kernel(*, fastmath: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Compile the decorated function at its first call; it runs without the interpreter's lock.

    fastmath  allow sums in any order, which vector instructions need
    """

    def decorate(function: Callable[..., Any]) -> Any:
        function.__qualname__ += f"_{SOURCES}"  # the cache file is named after it
        chosen = {"nogil": True, "fastmath": fastmath, "forceinline": True}
        try:
            return njit(cache=True, **chosen)(function)
        except RuntimeError:  # no cache folder is writable
            return njit(**chosen)(function)

    return decorate


class _OnFirst(event.Listener):  # type: ignore[misc]
    """Calls a function at the first event only."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify: Callable[[], None] | None = notify

    def on_start(self, event: event.Event) -> None:
        if self._notify is not None:
            notify, self._notify = self._notify, None
            notify()

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def announcing_compilation(show: Callable[[str], None]) -> Iterator[None]:
    """Show a message, once, if a kernel has to be compiled inside the block."""
    message = "Compiling for this machine, once; it may take a minute ..."
    with event.install_listener("numba:compile", _OnFirst(lambda: show(message))):
        yield


class _Count(event.Listener):  # type: ignore[misc]
    """Counts the events."""

    def __init__(self) -> None:
        self.number = 0

    def on_start(self, event: event.Event) -> None:
        self.number += 1

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def counting_compilations() -> Iterator[Callable[[], int]]:
    """Count the kernels that have to be compiled inside the block."""
    count = _Count()
    with event.install_listener("numba:compile", count):
        yield lambda: count.number
