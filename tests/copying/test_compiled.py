"""Compilation is announced once, only if it happens, and does not change what is computed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from numba.core.dispatcher import Dispatcher

from vcfbert.copying import (
    engine,
    forward_backward,
    inputs,
    intrinsics,
    leave_one_out,
    mosaic,
    network,
)
from vcfbert.copying.compiled import announcing_compilation, kernel
from vcfbert.phasing import (
    genotype_search,
    lattice,
    neighbours,
    prefix_order,
    sampling,
    site_errors,
    steps,
)

MODULES = (
    *(engine, forward_backward, inputs, intrinsics, leave_one_out, mosaic, network),
    *(genotype_search, lattice, neighbours, prefix_order, sampling, site_errors, steps),
)

WEIGHTS = """
import hashlib, sys
import numpy as np
from vcfbert.copying import compiled

if "no-cache" in sys.argv:
    njit = compiled.njit

    def without_a_cache(*, cache=False, **options):
        if cache:
            raise RuntimeError("no locator available")  # as numba if no folder is writable
        return njit(**options)

    compiled.njit = without_a_cache

if "other-sources" in sys.argv:
    compiled.SOURCES = "other"

from tests.copying import chunks, kernels

case = chunks.make(3, num_sites=400, typed=60, num_references=300)
chunk, query = case.chunk, case.typed_alleles(0)
if "callee-first" in sys.argv:
    ones = np.ones((3, 200), np.float32)
    kernels.posterior(ones, ones, ones.copy(), np.ones(3, np.float32))
steps = np.diff(chunk.cm[chunk.typed], prepend=0).astype(np.float32)
weights = kernels.copying_weights(
    chunk.typed_bits, np.arange(200), query, chunk.stops, steps, chunk.rates, chunk.errors
)
print(hashlib.sha256(weights.tobytes()).hexdigest())
"""


def test_compilation_is_announced_once_and_only_if_it_happens():
    notes = []

    @njit  # without a cache, so that it is compiled in every session
    def double(x):
        return x + x

    with announcing_compilation(lambda text: notes.append("compiling")):
        assert double(np.float32(1)) == 2
        assert double(np.int64(1)) == 2
    assert notes == ["compiling"]
    with announcing_compilation(lambda text: notes.append("again")):
        double(np.float32(3))
    assert notes == ["compiling"]


def test_every_kernel_is_inlined_into_its_callers(monkeypatch):
    """Else a run that compiles and a run that loads from the cache call different copies of it."""
    monkeypatch.setattr("vcfbert.copying.compiled.njit", _without_a_cache)
    kernels = [
        kernel()(lambda x: x),  # as if no cache folder is writable
        *(one for module in MODULES for one in vars(module).values() if _is_kernel(one)),
    ]
    assert len(kernels) > 20
    assert [one.__name__ for one in kernels if not one.targetoptions.get("forceinline")] == []


def _is_kernel(value):
    return isinstance(value, Dispatcher)


def _without_a_cache(*, cache=False, **options):
    if cache:
        raise RuntimeError("no locator available")
    return njit(**options)


@pytest.mark.parametrize("more", ["", "callee-first"])
@pytest.mark.slow
def test_the_run_that_compiles_computes_the_same_bytes_as_later_ones(tmp_path, more):
    first, second = (_weights(tmp_path, more), _weights(tmp_path, ""))
    assert first == second == _weights(tmp_path, "no-cache")
    assert any(tmp_path.rglob("*.nbc"))


@pytest.mark.slow
def test_a_change_of_any_source_compiles_all_kernels_again(tmp_path):
    _weights(tmp_path, "")
    before = set(tmp_path.rglob("*.nbc"))
    _weights(tmp_path, "")
    assert set(tmp_path.rglob("*.nbc")) == before
    _weights(tmp_path, "other-sources")
    assert len(set(tmp_path.rglob("*.nbc"))) == 2 * len(before)


def _weights(folder, word):
    """Digest of the copying weights that a new process computes with its cache in a folder."""
    found = subprocess.run(
        [sys.executable, "-c", WEIGHTS, word],
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return found.stdout
