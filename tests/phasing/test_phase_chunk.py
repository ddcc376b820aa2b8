"""Phasing of samples over a chunk: accuracy, calibration, what is known, and odd inputs."""

from dataclasses import replace

import numpy as np
import numpy.testing as npt
import pytest

from tests.phasing import mosaics
from vcfbert.domain import tokens
from vcfbert.errors import ConfigError
from vcfbert.phasing import phase_chunk
from vcfbert.phasing.phase_chunk import PhasingOptions, heterozygotes, phase

NUM_SAMPLES = 40


@pytest.fixture(scope="module")
def fx_truth():
    """A chunk with genotypes in sorted order, and the true haplotypes (N, 2, T)."""
    rng = np.random.default_rng(5)
    references, cm = mosaics.panel(rng, 400, 300)
    truth = mosaics.copies(rng, references, cm, 2 * NUM_SAMPLES).reshape(NUM_SAMPLES, 2, -1)
    return mosaics.chunk(references, cm, np.sort(truth, axis=1)), truth


@pytest.fixture(scope="module")
def fx_phased(fx_truth):
    return phase(fx_truth[0], options(draws=4), threads=1)


def options(**others):
    """The true rate and error of the mosaics."""
    size = mosaics.RATE * 400 / 0.04
    return PhasingOptions(effective_size=size, error=mosaics.ERROR, **others)


def first_samples(chunk, count):
    return replace(
        chunk, alleles=chunk.alleles[:count], turn_log_odds=chunk.turn_log_odds[:count],
        own=chunk.own[:count],
    )  # fmt: skip


def relative_order(alleles, file):
    """(H,) 1 where a heterozygote's order relative to the one before is not that of the file."""
    hets = heterozygotes(file)
    return np.diff((alleles[0, hets] != file[0, hets]).astype(int), prepend=0) % 2


def switches(phased, truth):
    """Wrong orders of all samples, and their probabilities according to the result."""
    wrong, probability = [], []
    for alleles, turn, true in zip(phased.alleles, phased.turn, truth, strict=True):
        wrong.append(relative_order(alleles, true)[1:])
        probability.append(turn[heterozygotes(true)][1:])
    return np.concatenate(wrong), np.concatenate(probability)


def test_genotypes_stay_and_phases_are_nearly_right(fx_truth, fx_phased):
    chunk, truth = fx_truth
    assert (np.sort(fx_phased.alleles, axis=1) == chunk.alleles).all()
    assert (np.sort(fx_phased.draws, axis=2) == chunk.alleles).all()
    wrong, _ = switches(fx_phased, truth)
    assert wrong.mean() < 0.1
    assert switches(replace(fx_phased, alleles=chunk.alleles), truth)[0].mean() > 0.4


def test_probabilities_of_turns_are_calibrated(fx_truth, fx_phased):
    wrong, probability = switches(fx_phased, fx_truth[1])
    assert probability.max() <= 0.5
    spread = np.sqrt((probability * (1 - probability)).sum())
    assert abs(wrong.sum() - probability.sum()) < 4 * spread
    is_sure = probability < 0.01
    assert is_sure.mean() > 0.5
    assert wrong[is_sure].mean() < 0.01


def test_draws_turn_as_often_as_the_probabilities_say(fx_truth, fx_phased):
    chunk = fx_truth[0]
    turned = [
        relative_order(draw[n], fx_phased.alleles[n])
        for n in range(NUM_SAMPLES)
        for draw in fx_phased.draws
    ]
    expected = 4 * fx_phased.turn.sum()
    assert abs(np.concatenate(turned).sum() - expected) < 4 * np.sqrt(expected)
    for n in range(NUM_SAMPLES):
        first = heterozygotes(chunk.alleles[n])[0]
        assert (fx_phased.draws[:, n, :, first] == chunk.alleles[n, :, first]).all()


def test_the_result_depends_on_neither_threads_nor_company_nor_order(fx_truth, fx_phased):
    chunk = fx_truth[0]
    again = phase(chunk, options(draws=4), threads=3)
    assert again.draws.tobytes() == fx_phased.draws.tobytes()
    assert again.turn.tobytes() == fx_phased.turn.tobytes()
    some = [17, 3, 30]
    part = replace(
        chunk, alleles=chunk.alleles[some], turn_log_odds=chunk.turn_log_odds[some],
        own=[chunk.own[n] for n in some],
    )  # fmt: skip
    alone = phase(part, options(draws=4), threads=1)
    assert (alone.alleles == fx_phased.alleles[some]).all()
    assert (alone.turn == fx_phased.turn[some]).all()
    assert (alone.draws == fx_phased.draws[:, some]).all()


def test_the_seed_changes_the_draws_and_nothing_else(fx_truth, fx_phased):
    other = phase(fx_truth[0], options(draws=4, seed=2), threads=1)
    assert (other.alleles == fx_phased.alleles).all()
    assert (other.draws != fx_phased.draws).any()


def test_missing_genotypes_stay_missing_and_cost_little(fx_truth):
    chunk, truth = fx_truth
    rng = np.random.default_rng(2)
    alleles = chunk.alleles.copy()
    is_missing = rng.random((NUM_SAMPLES, alleles.shape[2])) < 0.05
    alleles[:, 0][is_missing] = tokens.MISSING
    both = is_missing & (rng.random(is_missing.shape) < 0.5)
    alleles[:, 1][both] = tokens.MISSING
    phased = phase(replace(chunk, alleles=alleles), options(), threads=1)
    missing = np.broadcast_to(is_missing[:, None], alleles.shape)
    assert (phased.alleles[missing] == alleles[missing]).all()
    known = np.where(missing, 0, truth)
    wrong, _ = switches(replace(phased, alleles=np.where(missing, 0, phased.alleles)), known)
    assert wrong.mean() < 0.1
    assert (phased.turn[is_missing] == 0).all()


def test_known_orders_are_kept_and_the_others_are_found(fx_truth):
    """Every third heterozygote is known to be as in the file, which is the truth there."""
    chunk, truth = fx_truth
    chunk, log_odds = first_samples(chunk, 10), np.zeros((10, truth.shape[2]), np.float32)
    known = [heterozygotes(truth[n])[1::3] for n in range(10)]
    for n, sites in enumerate(known):
        log_odds[n, sites] = -np.inf
    phased = phase(replace(chunk, alleles=truth[:10], turn_log_odds=log_odds), options(), threads=1)
    for n, sites in enumerate(known):
        orders = dict(
            zip(
                heterozygotes(truth[n]),
                relative_order(phased.alleles[n], truth[n]),
                strict=True,
            )
        )
        assert all(orders[site] == 0 for site in sites)
        assert (phased.turn[n, sites] == 0).all()
    assert phased.turn.max() > 0.01


@pytest.mark.parametrize(("odds", "turn"), [(-np.inf, 0), (np.inf, 1), (-30.0, 0), (30.0, 1)])
def test_a_strong_prior_is_obeyed_against_the_panel(fx_truth, odds, turn):
    chunk = first_samples(fx_truth[0], 2)
    log_odds = np.full(chunk.turn_log_odds.shape, odds, np.float32)
    phased = phase(replace(chunk, turn_log_odds=log_odds), options(draws=2), threads=1)
    for n in range(2):
        for alleles in (phased.alleles[n], *phased.draws[:, n]):
            assert (relative_order(alleles, chunk.alleles[n])[1:] == turn).all()
    assert phased.turn.max() < 1e-3


def test_own_haplotypes_are_no_candidates(fx_truth):
    """A sample of the panel is phased without error if it finds itself, and not otherwise."""
    chunk, _ = fx_truth
    rng = np.random.default_rng(3)
    references = np.unpackbits(chunk.bits.view(np.uint8), axis=1, bitorder="little")[:, :300]
    rows = 2 * rng.permutation(200)[:20]
    truth = np.stack([references[rows], references[rows + 1]], axis=1)
    own = [np.array([row, row + 1]) for row in rows]
    panel = replace(
        chunk, alleles=np.sort(truth, axis=1), turn_log_odds=chunk.turn_log_odds[:20], own=own
    )
    with_themselves = phase(replace(panel, own=chunk.own[:20]), options(), threads=1)
    without = phase(panel, options(), threads=1)
    assert switches(with_themselves, truth)[0].mean() < 0.002
    assert switches(without, truth)[0].mean() > 0.01
    kept = np.setdiff1d(np.arange(400), own[0])
    absent = replace(
        first_samples(panel, 1), bits=chunk.bits[kept], group=chunk.group[kept], own=chunk.own[:1]
    )
    size = options().effective_size * len(kept) / 400  # the rate depends on the panel's size
    apart = phase(absent, replace(options(), effective_size=size), threads=1)
    npt.assert_allclose(apart.turn, without.turn[:1], atol=0.01)


def test_samples_without_two_heterozygotes_are_as_in_the_file(fx_truth):
    chunk = first_samples(fx_truth[0], 3)
    alleles = np.zeros_like(chunk.alleles)
    alleles[1, 1, 40] = 1
    alleles[2] = tokens.MISSING
    phased = phase(replace(chunk, alleles=alleles), options(draws=2), threads=1)
    assert (phased.alleles == alleles).all()
    assert (phased.draws == alleles).all()
    assert (phased.turn == 0).all()


def odd_chunk(num_references, num_typed, cm=None):
    rng = np.random.default_rng(1)
    references, made = mosaics.panel(rng, num_references, num_typed)
    alleles = np.zeros((2, 2, num_typed), np.uint8)
    alleles[:, 1] = 1  # heterozygous everywhere
    return mosaics.chunk(references, made if cm is None else cm, alleles)


@pytest.mark.parametrize(
    "chunk",
    [
        odd_chunk(2, 60),
        odd_chunk(1, 60),
        odd_chunk(30, 2),
        odd_chunk(30, 130, np.zeros(130)),
        replace(odd_chunk(4, 60), own=[np.arange(4)] * 2),
    ],
    ids=["two haplotypes", "one haplotype", "two sites", "flat map", "no candidates"],
)
def test_odd_inputs_are_phased(chunk):
    phased = phase(chunk, PhasingOptions(draws=3), threads=2)
    assert (phased.alleles.sum(axis=1) == 1).all()
    assert (phased.draws.sum(axis=2) == 1).all()
    assert np.isfinite(phased.turn).all()
    assert (phased.turn <= 0.5).all()
    assert (phased.alleles[:, :, 0] == chunk.alleles[:, :, 0]).all()


def test_no_samples_and_no_sites():
    chunk = odd_chunk(4, 3)
    none = phase(first_samples(chunk, 0), PhasingOptions(), threads=1)
    assert none.alleles.shape == (0, 2, 3)
    bare = replace(
        chunk, bits=chunk.bits[:, :0], cm=chunk.cm[:0], alleles=chunk.alleles[:, :, :0],
        turn_log_odds=chunk.turn_log_odds[:, :0],
    )  # fmt: skip
    assert phase(bare, PhasingOptions(), threads=1).turn.shape == (2, 0)


def test_candidates_are_searched_at_all_sites_if_there_are_few():
    assert phase_chunk.places_along(np.linspace(0, 1, 5)).tolist() == [0, 1, 2, 3, 4]
    places = phase_chunk.places_along(np.linspace(0, 8, 5_000))
    assert len(places) == 67
    assert 0 < places[0] < places[-1] < 4_999


@pytest.mark.parametrize(
    "wrong", [{"passes": 0}, {"draws": -1}, {"beam": 0}, {"lag": 0}, {"lag": 64}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} of phasing must be"):
        PhasingOptions(**wrong)
