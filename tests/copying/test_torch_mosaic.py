"""The batched path in PyTorch gives the numbers of the compiled one."""

import numpy as np
import numpy.testing as npt
import pytest
import torch

from tests.copying import chunks, kernels
from tests.copying.kernels import copying_weights
from vcfbert.copying import engine, inputs, torch_chunk, torch_mosaic
from vcfbert.copying import torch_forward_backward as steps
from vcfbert.copying.engine import Prepared

LAYOUTS = {
    "one typed site": (150, np.array([70])),
    "first and last typed": (130, np.array([0, 129])),
    "every site typed": (70, np.arange(70)),
    "every other site": (260, np.arange(1, 260, 2)),
    "long gaps": (700, np.array([200, 201, 430, 600])),
    "a whole block": (300, 64),
    "two blocks": (400, 65),
    "four blocks": (1500, 200),
    "one site": (1, np.array([0])),
}
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
TOLERANCE = 1e-4


def torch_weights(typed_bits, batch, rates, stops):
    """Posterior copying weights of every query, (B, C, A, K): the plain form, which keeps all.

    stops  (C,) see `forward_backward.read_block`
    """
    num_typed, counts = batch.queries.shape[1], []
    number = torch.searchsorted(stops, torch.arange(num_typed, device=stops.device), right=True)
    for block in range(typed_bits.shape[1]):
        cluster = number[steps.BLOCK * block : steps.BLOCK * (block + 1)]
        alleles = steps.typed_alleles(typed_bits, batch, block)
        inside = cluster - cluster[0]
        counts.append(steps.mismatches(alleles, batch, block, inside, int(inside[-1]) + 1))
    whole = steps.emission(torch.cat(counts), batch.is_present, rates.errors)
    num_sets = len(rates.errors)
    forward, _ = steps.forward_block(*steps.start(batch, num_sets), whole, rates.rho, batch.share)
    beta, _ = steps.backward_block(torch.ones_like(whole[0]), whole, rates.rho, batch.share)
    return steps.normalised(forward, beta).transpose(0, 1)


def samples(case, seed, *, sizes=(30, 11, 40, 1), missing=()):
    """Queries of two samples and their candidates, of several sizes."""
    queries = np.stack([case.typed_alleles(n, missing if n % 2 else ()) for n in range(4)])
    rows = [chunks.some_rows(seed + n, case, size) for n, size in enumerate(sizes)]
    return queries, rows


def both(case, queries, rows, device, low=engine.LOW):
    """What either path finds, as dense arrays with NaN where no site is open."""
    prepared = Prepared(case.chunk, case.group_frequency)
    chunk = torch_chunk.to_device(prepared, torch.device(device))
    batch = torch_chunk.to_batch(queries, rows, chunk.device)
    imputed = torch_mosaic.impute(chunk, batch, low=low)
    shape = (len(queries), len(case.chunk.cm))
    found = np.full((*shape, inputs.NUM_INPUTS), np.nan, np.float32)
    found[imputed.query.cpu(), imputed.site.cpu()] = imputed.rows.cpu()
    expected = np.full_like(found, np.nan)
    probabilities, left_out = np.empty((*shape, inputs.NUM_SETS)), np.empty(queries.shape)
    for sample in range(len(queries) // 2):
        pair = slice(2 * sample, 2 * sample + 2)
        haplotypes = engine.open_sites(prepared, queries[pair], rows[pair], low=low)
        for side, haplotype in enumerate(haplotypes):
            number = 2 * sample + side
            probabilities[number], left_out[number] = haplotype.probabilities, haplotype.left_out
            expected[number, haplotype.open.sites] = haplotype.open.rows
    return imputed, found, (probabilities, left_out, expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cluster_cm", [chunks.SINGLE, 0.02, 5.0])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_numbers_are_those_of_the_compiled_path(layout, cluster_cm, device):
    num_sites, typed = LAYOUTS[layout]
    case = chunks.make(30, num_sites=num_sites, typed=typed, cluster_cm=cluster_cm)
    missing = (0,) if len(case.chunk.typed) < 10 else (0, 3, 5, len(case.chunk.typed) - 1)
    queries, rows = samples(case, 5, missing=missing)
    imputed, found, (probabilities, left_out, expected) = both(case, queries, rows, device, low=-1)
    npt.assert_allclose(imputed.probabilities.cpu(), probabilities, atol=TOLERANCE)
    npt.assert_allclose(imputed.left_out.cpu(), left_out, atol=TOLERANCE)
    npt.assert_array_equal(np.isnan(found), np.isnan(expected))
    for place, name in enumerate(inputs.NAMES):
        mine, theirs = found[..., place], expected[..., place]
        if name.startswith(("parameter", "vote", "ancestry", "other haplotype")):
            mine, theirs = 1 / (1 + np.exp(-mine)), 1 / (1 + np.exp(-theirs))
        npt.assert_allclose(mine, theirs, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("low", [1e-3, 0.1])
def test_the_same_sites_are_open(low, device):
    case = chunks.make(31, num_sites=600, typed=90)
    imputed, found, (_, _, expected) = both(case, *samples(case, 6), device, low=low)
    is_open, should_be = ~np.isnan(found[..., 0]), ~np.isnan(expected[..., 0])
    assert 0 < should_be.mean() < 0.9
    margin = np.abs(
        np.stack([imputed.probabilities.cpu() - low, imputed.probabilities.cpu() - 1 + low])
    )
    clear = (margin > 1e-5).all(axis=(0, 3))
    npt.assert_array_equal(is_open[clear], should_be[clear])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cluster_cm", [chunks.SINGLE, 0.05])
def test_weights_are_those_of_the_compiled_path(cluster_cm, device):
    case = chunks.make(32, num_sites=300, typed=140, cluster_cm=cluster_cm)
    queries, rows = samples(case, 7, missing=(2, 70))
    chunk = torch_chunk.to_device(Prepared(case.chunk, case.group_frequency), torch.device(device))
    batch = torch_chunk.to_batch(queries, rows, chunk.device)
    stops = torch.from_numpy(case.chunk.stops).to(chunk.device)
    found = torch_weights(chunk.typed_bits, batch, chunk.rates, stops).cpu()
    place = case.chunk.cm[case.chunk.typed[case.chunk.points]].astype(np.float64)
    step = np.diff(place, prepend=place[0])
    for number, query in enumerate(queries):
        expected = copying_weights(
            case.chunk.typed_bits, rows[number], query, case.chunk.stops, step,
            case.chunk.rates, case.chunk.errors,
        )  # fmt: skip
        npt.assert_allclose(found[number, :, :, : len(rows[number])], expected, atol=1e-5)
        assert not found[number, :, :, len(rows[number]) :].any()


def test_queries_of_a_batch_do_not_meet_except_for_the_other_haplotype():
    case = chunks.make(33, num_sites=300, typed=70)
    queries, rows = samples(case, 8)
    chunk = torch_chunk.to_device(Prepared(case.chunk, case.group_frequency), torch.device("cpu"))
    together = torch_mosaic.impute(chunk, torch_chunk.to_batch(queries, rows, chunk.device))
    alone = torch_mosaic.impute(chunk, torch_chunk.to_batch(queries[2:], rows[2:], chunk.device))
    npt.assert_allclose(together.probabilities[2:], alone.probabilities, atol=1e-6)
    mine = together.query >= 2
    order = torch.argsort(together.query[mine] * 1000 + together.site[mine])
    other = torch.argsort(alone.query * 1000 + alone.site)
    npt.assert_array_equal(together.site[mine][order], alone.site[other])
    npt.assert_allclose(together.rows[mine][order], alone.rows[other], atol=1e-3)


def test_no_open_site_gives_no_rows():
    case = chunks.make(35, num_sites=50, typed=np.arange(50))
    queries, rows = samples(case, 10)
    imputed, _, _ = both(case, queries, rows, "cpu")
    assert imputed.rows.shape == (0, inputs.NUM_INPUTS)
    assert imputed.query.shape == imputed.site.shape == (0,)


@pytest.mark.parametrize("first", [0, 64])
def test_the_last_two_mismatches_are_found(first):
    generator = torch.Generator().manual_seed(1)
    mismatched = torch.randint(-6, 3, (20, 2, 5), generator=generator).clamp(min=0)
    carry = torch.tensor([first - 1, first - 3 if first else -1], dtype=torch.int32)
    carry = carry[:, None, None].expand(2, 2, 5)
    found = steps.last_mismatches(mismatched, first, carry)
    for b in range(2):
        for k in range(5):
            seen = [int(carry[1, b, k]), int(carry[0, b, k])]
            for t in range(20):
                seen += [first + t] * int(mismatched[t, b, k])
                assert found[t, :, b, k].tolist() == [seen[-1], seen[-2]]


def test_kernels_and_batches_agree_where_nothing_was_observed():
    case = chunks.make(36, num_sites=100, typed=5, num_references=1200)
    queries = np.full((2, 5), chunks.MISSING, np.uint8)
    every = np.arange(1200)
    chunk = torch_chunk.to_device(Prepared(case.chunk, case.group_frequency), torch.device("cpu"))
    found = torch_mosaic.impute(chunk, torch_chunk.to_batch(queries, [every] * 2, chunk.device))
    expected = kernels.impute(case, queries[0], every)
    npt.assert_allclose(found.probabilities[0], expected.probabilities, atol=TOLERANCE)
