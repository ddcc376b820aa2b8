"""Compilation of small kernels outside `copying`, whose kernels need more (`copying.compiled`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def compiled(function: _Kernel) -> _Kernel:
    """Compile at the first call, and cache the result on disk if possible.

    It runs without the interpreter's lock. Kernels that it calls have to be in the same file,
    because numba looks for changes there only.
    """
    try:
        return cast(_Kernel, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # neither this folder nor the home folder is writable
        return cast(_Kernel, numba.njit(nogil=True)(function))
