"""All samples at once in PyTorch: the numbers of the compiled engine."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
import torch

from tests.copying import chunks
from vcfbert.copying import engine, inputs, network
from vcfbert.copying.engine import Prepared
from vcfbert.errors import DeviceError
from vcfbert.model.mosaic import Mosaic
from vcfbert.training.mosaic import torch_engine

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]


def a_network(seed: int = 1) -> network.Network:
    """A network with something to say, and a range that some inputs leave."""
    torch.manual_seed(seed)
    module = Mosaic(inputs.NUM_INPUTS, 8, network.FIRST_GATES)
    torch.nn.init.normal_(module.last, std=0.3)
    arrays = module.arrays()
    arrays |= {"lowest": np.full(inputs.NUM_INPUTS, -5.0, np.float32)}
    arrays |= {"highest": np.full(inputs.NUM_INPUTS, 5.0, np.float32)}
    return network.from_arrays(arrays, name="test", fingerprint="", source="a test")


NETWORKS = [network.copying_only(), a_network()]


@pytest.fixture(scope="module")
def fx_case():
    """A chunk, four samples (T with holes) and their candidates."""
    case = chunks.make(3, num_sites=500, typed=70, num_references=60, num_queries=8)
    queries = np.stack([case.typed_alleles(n, (3, 40) if n % 3 == 0 else ()) for n in range(8)])
    rows = [chunks.some_rows(n, case, 20 + n) for n in range(8)]
    return Prepared(case.chunk, case.group_frequency), queries.reshape(4, 2, -1), rows


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("answer", NETWORKS, ids=["copying", "network"])
def test_the_numbers_are_those_of_the_compiled_engine(fx_case, device, answer):
    prepared, queries, rows = fx_case
    expected = engine.impute_samples(prepared, answer, queries, rows)
    found = torch_engine.impute_samples(
        prepared, answer, queries, rows, device=torch.device(device)
    )
    difference = np.abs(found.alt - expected.alt)
    assert np.quantile(difference, 0.999) < 1e-4  # at the limit one of them may ask the network
    assert difference.max() < 0.05
    npt.assert_allclose(found.left_out, expected.left_out, atol=1e-4)
    assert found.open_share == pytest.approx(expected.open_share, abs=1e-3)
    assert found.out_of_range == pytest.approx(expected.out_of_range, abs=1e-2)
    if answer.weights is not None:
        assert 0.05 < found.out_of_range < 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("answer", NETWORKS, ids=["copying", "network"])
def test_the_numbers_of_haploid_samples_are_those_of_the_compiled_engine(fx_case, device, answer):
    prepared, queries, rows = fx_case
    is_haploid = np.array([False, True, True, False])
    expected = engine.impute_samples(prepared, answer, queries, rows, is_haploid=is_haploid)
    found = torch_engine.impute_samples(
        prepared, answer, queries, rows, device=torch.device(device), is_haploid=is_haploid
    )
    difference = np.abs(found.alt - expected.alt)
    assert np.quantile(difference, 0.999) < 1e-4
    assert not found.alt[:, is_haploid, 1].any()
    assert not expected.alt[:, is_haploid, 1].any()
    npt.assert_allclose(found.left_out, expected.left_out, atol=1e-4)
    assert found.open_share == pytest.approx(expected.open_share, abs=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_typed_genotypes_are_kept_exactly(fx_case, device):
    prepared, queries, rows = fx_case
    found = torch_engine.impute_samples(
        prepared, a_network(), queries, rows, device=torch.device(device)
    )
    typed = found.alt[prepared.chunk.typed].transpose(1, 2, 0)
    npt.assert_array_equal(typed[queries <= 1], queries[queries <= 1])


def test_samples_are_halved_until_they_fit(fx_case, monkeypatch):
    prepared, queries, rows = fx_case
    whole = torch_engine.impute_samples(
        prepared, a_network(), queries, rows, device=torch.device("cpu")
    )
    run = torch_engine._impute

    def small(prepared, answer, queries, *rest):
        if len(queries) > 1:
            raise torch.OutOfMemoryError("full")
        return run(prepared, answer, queries, *rest)

    monkeypatch.setattr(torch_engine, "_impute", small)
    parts = torch_engine.impute_samples(
        prepared, a_network(), queries, rows, device=torch.device("cpu")
    )
    npt.assert_allclose(parts.alt, whole.alt, atol=1e-4)
    npt.assert_allclose(parts.left_out, whole.left_out, atol=1e-4)
    assert parts.open_share == pytest.approx(whole.open_share)
    assert parts.out_of_range == pytest.approx(whole.out_of_range)


def test_one_sample_who_does_not_fit_is_explained(fx_case, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(torch_engine, "_impute", full)
    prepared, queries, rows = fx_case
    with pytest.raises(DeviceError, match="smaller --chunk-cm"):
        torch_engine.impute_samples(
            prepared, a_network(), queries, rows, device=torch.device("cpu")
        )


def test_the_cpu_is_left_to_the_compiled_engine():
    assert torch_engine.choose("cpu") is None
    if not torch.cuda.is_available():
        assert torch_engine.choose("auto") is None
        with pytest.raises(DeviceError, match="no CUDA device"):
            torch_engine.choose("cuda")
