"""Compilation of small kernels outside `copying`, whose kernels need more (`copying.compiled`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import numba

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def compiled(function: _Kernel) -> _Kernel:
    """Compile at the first call, and cache the result on disk if possible.

    It runs without the interpreter's lock. Kernels that it calls have to be in the same file,
    because numba looks for changes there only.
    """
    return _cached(function)


def compiled_for(signature: Any) -> Callable[[_Kernel], _Kernel]:
    """A decorator as `compiled` that compiles immediately.

    signature  of numba, with the types of the result and the arguments
    """
    return partial(_cached, signature=signature)


def _cached(function: _Kernel, signature: Any = None) -> _Kernel:
    try:
        return cast(_Kernel, numba.njit(signature, nogil=True, cache=True)(function))
    except RuntimeError:  # neither this folder nor the home folder is writable
        return cast(_Kernel, numba.njit(signature, nogil=True)(function))
