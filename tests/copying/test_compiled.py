"""Compilation is announced once, and only if it happens."""

import numpy as np
from numba import njit

from vcfbert.copying.compiled import announcing_compilation


def test_compilation_is_announced_once_and_only_if_it_happens():
    notes = []

    @njit  # without a cache, so that it is compiled in every session
    def double(x):
        return x + x

    with announcing_compilation(lambda: notes.append("compiling")):
        assert double(np.float32(1)) == 2
        assert double(np.int64(1)) == 2
    assert notes == ["compiling"]
    with announcing_compilation(lambda: notes.append("again")):
        double(np.float32(3))
    assert notes == ["compiling"]
