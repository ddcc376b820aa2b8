"""Exact search with candidates from a GPU finds what a search on the CPU finds.

These tests replace FAISS's GPU index by one on the CPU that rounds as a GPU may; the last one needs
a GPU and `faiss-gpu`.
"""

from types import SimpleNamespace

import faiss
import numpy as np
import numpy.testing as npt
import pytest

from tests.retrieval import windows
from vcfbert.domain import tokens
from vcfbert.errors import DeviceError
from vcfbert.retrieval import exact, gpu, manifest
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.index import open_index, write_windows


class Rounding:
    """A flat index whose queries lose all but 11 bits, as in TF32, and that counts searches."""

    searches: tuple[int, ...] = ()

    def __init__(self, resources, width):
        assert resources.bytes == 64 << 20
        self._index = faiss.IndexFlatIP(width)
        self.add = self._index.add

    def search(self, vectors, count):
        assert count <= gpu.MAX_HITS
        Rounding.searches += (count,)
        mantissa, exponent = np.frexp(vectors)
        rounded = np.ldexp(np.rint(mantissa * 2**11) / 2**11, exponent).astype(np.float32)
        return self._index.search(rounded, count)


@pytest.fixture
def fx_gpu(monkeypatch):
    """FAISS as if it were built for a GPU and found one."""

    def resources():
        made = SimpleNamespace(bytes=0)
        made.setTempMemory = lambda size: setattr(made, "bytes", size)
        return made

    monkeypatch.setattr(faiss, "StandardGpuResources", resources, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", Rounding, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(Rounding, "searches", ())
    gpu._resources.cache_clear()
    yield
    gpu._resources.cache_clear()


def both(window):
    bits, length = window.bits(), window.alleles.shape[1]
    return [exact.ExactIndex(exact.build(bits), length, on_gpu=one) for one in (True, False)]


@pytest.mark.parametrize("hidden", [0.0, 0.5, 1.0])
def test_a_gpu_finds_the_very_neighbours_of_the_cpu(fx_gpu, hidden):
    window = windows.random_window(1, references=3_000, length=90)
    rng = np.random.default_rng(1)
    query = window.query(tokens.hide(window.alleles[:7], rng.random((7, 90)) < hidden))
    excluded = np.arange(14).reshape(7, 2)
    found, expected = (nearest(index, query, 9, excluded) for index in both(window))
    npt.assert_array_equal(found.rows, expected.rows)
    npt.assert_array_equal(found.distances, expected.distances)
    assert Rounding.searches  # and where all references tie, the CPU searches the rest


def test_a_stored_index_is_searched_on_the_gpu_only_if_asked_and_if_faiss_can(
    fx_gpu, tmp_path, monkeypatch
):
    window = windows.random_window(2, references=50)
    files = write_windows(tmp_path, [exact.build(window.bits())])
    haplotypes = list(range(50))
    content = manifest.Manifest("exact", 37, {"panel": "p"}, haplotypes, None, 1, files)
    manifest.write(tmp_path, content)
    query = window.query(window.alleles[:3])

    def searches(on_gpu):
        before = len(Rounding.searches)
        reader = open_index(tmp_path, panel_fingerprint="p", on_gpu=on_gpu)
        nearest(reader.window(0), query, 2)
        return len(Rounding.searches) - before

    assert searches(on_gpu=True) == 1
    assert searches(on_gpu=False) == 0
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert searches(on_gpu=True) == 0


def test_too_little_memory_on_the_gpu_is_an_explained_error(fx_gpu, monkeypatch):
    def full(resources, width):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(faiss, "GpuIndexFlatIP", full)
    with pytest.raises(DeviceError, match=r"need 9,600 bytes on the GPU.*--kind fast"):
        both(windows.random_window(3, references=60))


@pytest.mark.gpu
@pytest.mark.skipif(not gpu.is_usable(), reason="needs a GPU and faiss-gpu")
def test_a_real_gpu_finds_the_very_neighbours_of_the_cpu():
    window = windows.random_window(4, references=20_000, length=500)
    query = window.query(tokens.hide(window.alleles[:20], np.arange(500) % 2 == 0))
    found, expected = (nearest(index, query, 20) for index in both(window))
    npt.assert_array_equal(found.rows, expected.rows)
    npt.assert_array_equal(found.distances, expected.distances)
