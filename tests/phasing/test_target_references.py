"""Phasing with the other samples of the target: no sample copies itself."""

from dataclasses import replace

import numpy as np
import numpy.testing as npt
import pytest

from tests.phasing import mosaics
from vcfbert.domain import tokens
from vcfbert.phasing import genotype_search, phase_chunk, target_references
from vcfbert.phasing.panel_model import PanelModel
from vcfbert.phasing.phase_chunk import PhasingOptions, heterozygotes

NUM_SAMPLES = 24
NUM_PANEL = 10
ALL = np.arange(NUM_SAMPLES)


@pytest.fixture(scope="module")
def fx_task():
    """(N, 2, T) true haplotypes, sorted genotypes with some missing, and the chunk of a panel."""
    rng = np.random.default_rng(2)
    references, cm = mosaics.panel(rng, 400, 200)
    truth = mosaics.copies(rng, references[NUM_PANEL:], cm, 2 * NUM_SAMPLES)
    truth = truth.reshape(NUM_SAMPLES, 2, -1)
    asked = np.sort(truth, axis=1)
    asked.transpose(0, 2, 1)[rng.random((NUM_SAMPLES, len(cm))) < 0.03] = tokens.MISSING
    asked[3] = asked[5]  # a duplicate
    asked[7, 1] = tokens.MISSING  # a haploid sample
    panel = mosaics.chunk(references[:NUM_PANEL], cm, asked)
    return truth, replace(panel, group=np.arange(NUM_PANEL) // 5)


@pytest.fixture(scope="module")
def fx_model(fx_task):
    return PanelModel(8.0, np.full(len(fx_task[1].cm), 0.002))


@pytest.fixture(scope="module")
def fx_alone(fx_task, fx_model):
    return phase_chunk.phase(fx_task[1], PhasingOptions(), threads=1, model=fx_model).alleles


def options(**others):
    return PhasingOptions(effective_size=8.0 * 60 / 0.04, error=0.002, **others)


def part(chunk, samples):
    return replace(
        chunk, alleles=chunk.alleles[samples], turn_log_odds=chunk.turn_log_odds[samples],
        own=[chunk.own[sample] for sample in samples.tolist()],
    )  # fmt: skip


def phase(chunk, alone, model, *, wanted=ALL, threads=1, passes=2, draws=0):
    return target_references.phase(
        lambda samples: part(chunk, samples), alone, wanted, options(draws=draws), model,
        threads=threads, passes=passes,
    )  # fmt: skip


def test_a_sample_is_phased_as_if_its_haplotypes_and_those_of_its_duplicates_were_not_there(
    fx_task, fx_model, fx_alone
):
    chunk = replace(fx_task[1], group=np.zeros(NUM_PANEL, np.int64))
    found = phase(chunk, fx_alone, fx_model, passes=1)
    pool = target_references.pooled(chunk, fx_alone, threads=1)
    model = target_references.refitted(chunk, pool, fx_model, options(), threads=1)
    for sample in ALL.tolist():
        kept = np.delete(np.arange(len(pool.bits)), pool.twins[sample])
        alone = phase_chunk.phase(
            replace(part(chunk, np.array([sample])), bits=pool.bits[kept], group=pool.group[kept]),
            options(passes=1), threads=1, model=model, start=fx_alone[[sample]],
        )  # fmt: skip
        if sample in (3, 5):
            assert len(pool.twins[sample]) == 4
        npt.assert_array_equal(found.alleles[sample], alone.alleles[0])
        npt.assert_array_equal(found.turn[sample], alone.turn[0])


def test_own_rows_are_those_of_the_own_haplotypes(fx_task, fx_alone):
    chunk = fx_task[1]
    pool = target_references.pooled(chunk, fx_alone, threads=1)
    assert len(pool.bits) == NUM_PANEL + 2 * NUM_SAMPLES - 1
    for sample, rows in enumerate(pool.rows):
        for row, alleles in zip(rows.tolist(), fx_alone[sample], strict=True):
            is_known = (fx_alone[sample] <= tokens.ALT).all(axis=0) | (sample == 7)
            is_known &= alleles <= tokens.ALT
            if is_known.any():
                assert row in pool.twins[sample]
                shared = tokens.unpack(pool.bits[row].view(np.uint8), len(chunk.cm))
                npt.assert_array_equal(shared[is_known], alleles[is_known])
    npt.assert_array_equal(pool.bits[:NUM_PANEL], chunk.bits)
    assert pool.rows[7, 1] == -1


def test_a_sample_that_no_other_resembles_stays_uncertain(fx_task, fx_model):
    """If it copied itself, the phase it starts with would be certain."""
    rng = np.random.default_rng(7)
    chunk = fx_task[1]
    alone = np.sort(rng.integers(0, 2, (1, 2, len(chunk.cm)), dtype=np.uint8), axis=1)
    alone = np.concatenate([fx_task[0], alone])
    last = np.array([NUM_SAMPLES])
    target = replace(
        chunk, alleles=np.sort(alone, axis=1), own=[mosaics.NO_ROWS] * len(alone),
        turn_log_odds=np.zeros(alone[:, 0].shape, np.float32),
    )  # fmt: skip
    found = phase(target, alone, fx_model, wanted=last, passes=1)
    turn = found.turn[NUM_SAMPLES, heterozygotes(alone[NUM_SAMPLES])]
    assert turn[1:].mean() > 0.2
    npt.assert_array_equal(found.alleles[:NUM_SAMPLES], alone[:NUM_SAMPLES])


def test_other_samples_help_if_the_panel_is_small(fx_model):
    rng = np.random.default_rng(4)
    references, cm = mosaics.panel(rng, 24, 200)
    truth = mosaics.copies(rng, references[NUM_PANEL:], cm, 120, rate=2.0).reshape(60, 2, -1)
    chunk = mosaics.chunk(references[:NUM_PANEL], cm, np.sort(truth, axis=1))
    alone = phase_chunk.phase(chunk, PhasingOptions(), threads=1, model=fx_model).alleles
    before, total = mosaics.switch_errors(alone, truth)
    found = phase(chunk, alone, fx_model, wanted=np.arange(60))
    after, _ = mosaics.switch_errors(found.alleles, truth)
    assert total > 2500
    assert after < 0.6 * before


@pytest.mark.parametrize("draws", [0, 3])
def test_the_result_does_not_depend_on_order_blocks_or_threads(
    fx_task, fx_model, fx_alone, monkeypatch, draws
):
    chunk = fx_task[1]
    first = phase(chunk, fx_alone, fx_model, draws=draws)
    order = np.random.default_rng(1).permutation(NUM_SAMPLES)
    monkeypatch.setattr(target_references, "SAMPLES_AT_ONCE", 5)
    second = phase(part(chunk, order), fx_alone[order], fx_model, draws=draws, threads=3)
    npt.assert_array_equal(first.alleles[order], second.alleles)
    npt.assert_array_equal(first.turn[order], second.turn)
    npt.assert_array_equal(first.draws(order), second.draws(ALL))
    assert first.draws(ALL).shape == (draws, *chunk.alleles.shape)
    npt.assert_array_equal(np.sort(first.alleles, axis=1), np.sort(chunk.alleles, axis=1))


def test_draws_are_those_of_the_last_pass(fx_task, fx_model, fx_alone):
    chunk = fx_task[1]
    found = phase(chunk, fx_alone, fx_model, draws=2, passes=1)
    pool = target_references.pooled(chunk, fx_alone, threads=1)
    model = target_references.refitted(chunk, pool, fx_model, options(), threads=1)
    direct = phase_chunk.phase(
        replace(chunk, bits=pool.bits, group=pool.group, own=pool.twins),
        options(passes=1, draws=2), threads=1, model=model, start=fx_alone,
    )  # fmt: skip
    npt.assert_array_equal(found.draws(ALL), direct.draws)


def test_a_haplotype_is_in_the_group_of_its_neighbours(fx_task):
    chunk = fx_task[1]
    flat = tokens.unpack(chunk.bits.view(np.uint8), len(chunk.cm))
    copied = flat[[1, 8]][None]
    pool = target_references.pooled(replace(chunk, group=np.repeat([0, 1], 5)), copied, threads=1)
    rows = pool.rows[0]
    npt.assert_array_equal(pool.group[rows], [0, 1])
    npt.assert_array_equal(pool.bits[rows], genotype_search.words(flat[[1, 8]]))
