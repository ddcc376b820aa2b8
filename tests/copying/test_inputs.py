"""Every input of the network against its definition in plain Python."""

import math

import numpy as np
import numpy.testing as npt
import pytest

from tests.copying import chunks, kernels, oracle
from vcfbert.copying import inputs, mosaic

COMPLETED = [name for name in inputs.NAMES if name.startswith(("ancestry", "other haplotype"))]
ALONE = [name for name in inputs.NAMES if name not in COMPLETED]


@pytest.fixture(scope="module")
def fx_compared():
    """Rows of the kernel and of the oracle over several layouts, in the same order."""
    found, expected = [], []
    for seed, (num_sites, typed, missing) in enumerate(
        [(500, 90, (0, 5, 64)), (260, 129, ()), (300, 3, (1,)), (200, 1, ()), (130, 2, (0, 1))]
    ):
        case = chunks.make(40 + seed, num_sites=num_sites, typed=typed)
        rows, query = chunks.some_rows(seed, case, 29), case.typed_alleles(0, missing)
        mine = kernels.impute(case, query, rows)
        answer = oracle.impute(case, query, rows, float(mosaic.ACTIVE))
        slow = oracle.network_inputs(case, query, rows, answer.probabilities)
        found.append(mine.rows)
        expected.append(slow[mine.sites])
    return np.concatenate(found), np.concatenate(expected)


@pytest.mark.parametrize("name", ALONE)
def test_an_input_is_what_its_definition_says(name, fx_compared):
    found, expected = (rows[:, inputs.NAMES.index(name)] for rows in fx_compared)
    is_log_odds = name.startswith(("parameter", "vote"))
    if is_log_odds:  # compared as probabilities: at the limits the log odds magnify float32
        found, expected = (1 / (1 + np.exp(-values)) for values in (found, expected))
    npt.assert_allclose(found, expected, atol=2e-4 if not is_log_odds else 1e-4, rtol=1e-4)
    assert np.ptp(expected) > 0


def test_inputs_have_the_places_that_the_kernels_write_to():
    for place, names in {
        inputs.NUM_SETS: ["frequency", "minor frequency", "distance left", "distance right"],
        inputs.CARRIER - 1: ["carriers", "carrier left", "other left"],
        inputs.CARRIER + 8: ["carrier posterior", "other posterior", "carrier sites"],
        inputs.VOTES: ["vote 3", "vote 6", "states 0"],
        inputs.STATES: ["states 0", "states 1", "states 2"],
        inputs.ANCESTRY: ["ancestry here", "ancestry around", "other haplotype 0"],
    }.items():
        assert list(inputs.NAMES[place : place + len(names)]) == names
    assert len(set(inputs.NAMES)) == inputs.NUM_INPUTS


def test_shared_matches_of_a_chunk_worked_out_by_hand():
    """Six typed sites 1 cM apart, an untyped one in the middle of the third and fourth."""
    case = chunks.make(0, num_sites=7, typed=np.array([0, 1, 2, 4, 5, 6]), num_references=2)
    chunk = chunks.laid_out_anew(
        case.chunk,
        cm=np.array([0, 1, 2, 2.5, 3, 4, 5], np.float32),
        rates=np.array([2.0, 1.0, 3.0], np.float32),
    )
    query = np.zeros(6, np.uint8)
    alleles = np.array([[0, 1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0]], np.uint8)
    case = chunks.Case(
        chunk._replace(
            bits=chunks.pack(alleles), typed_bits=chunks.pack(alleles[:, [0, 1, 2, 4, 5, 6]])
        ),
        alleles,
        alleles,
        case.group_frequency,
    )
    found = kernels.impute(case, query, np.array([0, 1]))
    row = dict(zip(inputs.NAMES, found.rows[0], strict=True))
    expected = {  # cM, times the rate 2
        "carrier left": 1, "carrier right": 2, "carrier total": 4, "carrier total but one": 5,
        "other left": 2, "other right": 0, "other total": 3, "other total but one": 4,
        "distance left": 0.5, "distance right": 0.5,
    }  # fmt: skip
    for name, length in expected.items():
        assert row[name] == pytest.approx(math.log(2 * length + 1e-2), abs=1e-5), name
    assert row["carrier sites"] == pytest.approx(math.log(1 + 5))  # sites 1 to 6
    assert row["other sites"] == pytest.approx(math.log(1 + 4))  # sites -1 to 3
    share = 4**3 / (4**3 + 3**3)
    assert row["vote 3"] == pytest.approx(math.log(share / (1 - share)), abs=1e-4)
    assert row["carriers"] == pytest.approx(math.log(2))


@pytest.mark.parametrize("cluster_cm", [chunks.SINGLE, 0.05])
def test_ancestry_and_the_other_haplotype_are_filled_in(cluster_cm):
    case = chunks.make(5, num_sites=300, typed=70, cluster_cm=cluster_cm)
    found = [kernels.impute(case, case.typed_alleles(n), np.arange(40)) for n in range(2)]
    around = np.array([0.5, 0.3, 0.2], np.float32)
    first, second = found
    inputs.complete(
        first.rows, first.sites, first.places, first.shares, around, case.group_frequency,
        second.probabilities,
    )  # fmt: skip
    assert np.isfinite(first.rows).all()
    typed, cm = case.chunk.typed[case.chunk.points], case.chunk.cm.astype(np.float64)
    shares = first.shares.astype(np.float64)
    for row, site in zip(first.rows, first.sites, strict=True):
        right = int(np.searchsorted(typed, site))
        left, right = max(right - 1, 0), min(right, len(typed) - 1)
        gap = cm[typed[right]] - cm[typed[left]]
        part = (cm[site] - cm[typed[left]]) / gap if gap > 0 else 0.0
        share = (1 - part) * shares[left] + part * shares[right]
        frequency = case.group_frequency[site].astype(np.float64)
        values = dict(zip(inputs.NAMES, row, strict=True))
        for name, probability in {
            "ancestry here": share @ frequency / share.sum(),
            "ancestry around": around @ frequency,
            "other haplotype 0": float(second.probabilities[site, 0]),
            "other haplotype 1": float(second.probabilities[site, 1]),
        }.items():
            assert 1 / (1 + math.exp(-values[name])) == pytest.approx(probability, abs=2e-4), name


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.5, 0.0), (0.0, -12.0), (1.0, 12.0), (1e-9, -12.0), (0.75, math.log(3))],
)
def test_log_odds_stay_within_their_limit(probability, expected):
    assert inputs.log_odds(np.float32(probability)) == pytest.approx(expected, abs=1e-5)


def test_the_log_of_a_length_has_a_smallest_value():
    assert inputs.log_length(np.float32(-1.0)) == pytest.approx(math.log(1e-2))
    assert inputs.log_length(np.float32(0.99)) == pytest.approx(0.0, abs=1e-6)
