"""Machine instructions that numba does not offer."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from vcfbert.copying.compiled import kernel


@intrinsic
def _trailing_zeros(_context: Any, _word: Any) -> Any:
    """Number of zeros below the lowest set bit of a uint64 that is not 0."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@kernel()
def trailing_zeros(word):
    """Number of zeros below the lowest set bit of a uint64 that is not 0."""
    return _trailing_zeros(word)


@intrinsic
def _leading_zeros(_context: Any, _word: Any) -> Any:
    """Number of zeros above the highest set bit of a uint64; 64 of 0."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@kernel()
def leading_zeros(word):
    """Number of zeros above the highest set bit of a uint64; 64 of 0."""
    return _leading_zeros(word)


@intrinsic
def _count_ones(_context: Any, _word: Any) -> Any:
    """Number of set bits of a uint64."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@kernel()
def count_ones(word):
    """Number of set bits of a uint64."""
    return _count_ones(word)
