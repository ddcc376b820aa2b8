"""Compiling kernels once for an installation, or once a run where nothing can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(*, fastmath: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function to be compiled at its first call, without the interpreter's lock.

    fastmath  sums may be taken in any order, which vector instructions need
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, nogil=True, fastmath=fastmath)(function)
        except RuntimeError:  # neither the installation nor the user's cache folder can be written
            return njit(nogil=True, fastmath=fastmath)(function)

    return decorate
