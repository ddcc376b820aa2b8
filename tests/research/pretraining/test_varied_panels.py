from __future__ import annotations

import json

import numpy as np
import pytest

from research.pretraining import demographies, genotyping_errors, recombination, varied_panels
from research.pretraining.genotyping_errors import ErrorRates
from vcfbert.pipelines.mosaic import designs

SCALE = 0.08
SEEDS = range(12)


@pytest.fixture(scope="module")
def fx_panels():
    return [varied_panels.draw(seed, scale=SCALE) for seed in SEEDS]


def arrays(panel):
    return [
        getattr(panel, name)
        for name in (
            "position",
            "cm",
            "references",
            "queries",
            "truth",
            "population",
        )
    ]


def test_the_same_seed_gives_the_same_panel_and_another_does_not(fx_panels):
    again = varied_panels.draw(3, scale=SCALE)
    for left, right in zip(arrays(fx_panels[3]), arrays(again), strict=True):
        np.testing.assert_array_equal(left, right)
    assert again.description == fx_panels[3].description
    shapes = {panel.references.shape for panel in fx_panels}
    assert len(shapes) == len(fx_panels)


@pytest.mark.parametrize("seed", SEEDS)
def test_shapes_types_and_order(fx_panels, seed):
    panel = fx_panels[seed]
    sites = len(panel.position)
    assert panel.position.dtype == np.int32
    assert panel.position[0] >= 1
    assert (np.diff(panel.position) > 0).all()
    assert panel.cm.dtype == np.float64
    assert (np.diff(panel.cm) >= 0).all()
    for name in ("references", "queries", "truth"):
        haplotypes = getattr(panel, name)
        assert haplotypes.dtype == np.uint8
        assert haplotypes.shape[1] == sites
        assert haplotypes.max() <= 1
    assert panel.queries.shape == panel.truth.shape
    assert len(panel.population) * 2 == len(panel.references)
    assert panel.population.max() < len(panel.description["populations"])
    assert json.loads(json.dumps(panel.description)) == panel.description


@pytest.mark.parametrize("seed", SEEDS)
def test_the_panel_keeps_sites_with_enough_copies(fx_panels, seed):
    panel = fx_panels[seed]
    count = panel.references.sum(axis=0, dtype=int)
    assert (count >= 1).all()
    if panel.description["counts_all"]:
        count = count + panel.queries.sum(axis=0, dtype=int)
    assert (count >= panel.description["min_count"]).all()


def test_even_the_smallest_panel_has_sites():
    for seed in range(40):
        panel = varied_panels.draw(seed, scale=0.01)
        assert len(panel.position) >= 20


def test_an_absent_population_is_not_among_the_references():
    panel = next(
        panel
        for seed in range(100)
        if (panel := varied_panels.draw(seed, scale=0.05)).description["absent"]
    )
    absent = panel.description["populations"].index(panel.description["absent"])
    assert absent not in panel.population


@pytest.mark.parametrize("seed", SEEDS)
def test_errors_are_those_described(fx_panels, seed):
    panel = fx_panels[seed]
    given = panel.description["query_errors"]
    differs = panel.queries != panel.truth
    genotype = panel.queries[::2] + panel.queries[1::2] != panel.truth[::2] + panel.truth[1::2]
    if given["allele_error"] == 0 and given["missed"] == 0:
        assert not genotype.any()
    if given["random_phase"] == 0:
        phase_only = (differs[::2] | differs[1::2]) & ~genotype
        assert phase_only.mean() <= 1e-4  # two errors that undo one another
    everyone = len(panel.queries) + len(panel.references)
    assert differs.mean() < 0.01 + 5 / everyone


def test_supplied_maps():
    rng = np.random.default_rng(1)
    truth = recombination.landscape(1_000_000, 2.0, rng)
    position = np.sort(rng.choice(1_000_000, 2_000, replace=False))
    exact = recombination.supplied_map(truth, position, "true", rng)
    assert truth.cm(np.array([1_000_000]))[0] == pytest.approx(2.0)
    uniform = recombination.supplied_map(truth, position, "uniform", rng)
    np.testing.assert_allclose(uniform, position / 1e6, atol=1e-6)
    scaled = recombination.supplied_map(truth, position, "scaled", rng)
    np.testing.assert_allclose(scaled / scaled[-1], exact / exact[-1])
    estimated = recombination.supplied_map(truth, position, "estimated", rng)
    assert (np.diff(estimated) >= 0).all()
    assert 0.5 < estimated[-1] / exact[-1] < 2


def test_most_recombination_is_in_little_of_the_sequence():
    shares = []
    for seed in range(30):
        truth = recombination.landscape(2_000_000, 1.0, np.random.default_rng(seed))
        amount = np.sort(truth.rate * np.diff(truth.position))[::-1]
        shares.append(amount[: len(amount) // 10].sum() / amount.sum())
    assert 0.4 < np.median(shares) < 0.8


@pytest.mark.parametrize("family", demographies.FAMILIES)
def test_every_history_can_be_simulated(family):
    for seed in range(5):
        history = family(np.random.default_rng(seed))
        history.demography.debug()
        names = {population.name for population in history.demography.populations}
        assert set(history.groups) <= names
        assert sum(history.shares.values()) == pytest.approx(1.0)


def some_haplotypes(samples=200, sites=500, frequency=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((2 * samples, sites)) < frequency).astype(np.uint8)


def test_switches_keep_genotypes_and_come_at_the_rate():
    haplotypes = some_haplotypes(frequency=0.5)
    before = haplotypes.copy()
    position = np.arange(1, 501) * 4_000  # 2 Mb
    genotyping_errors.switch_phase(haplotypes, position, 1.5, np.random.default_rng(2))
    np.testing.assert_array_equal(haplotypes[::2] + haplotypes[1::2], before[::2] + before[1::2])
    is_heterozygous = before[::2] != before[1::2]
    switches = 0
    for sample in range(200):
        swapped = (haplotypes[2 * sample] != before[2 * sample])[is_heterozygous[sample]]
        switches += int((np.diff(swapped.astype(int)) != 0).sum())
    assert switches / 200 == pytest.approx(3.0, rel=0.2)


def test_rare_phase_is_forgotten_and_common_phase_is_not():
    haplotypes = np.zeros((1_000, 400), dtype=np.uint8)
    haplotypes[np.arange(400), np.arange(400)] = 1  # singletons
    common = some_haplotypes(samples=500, sites=10, seed=3)
    everything = np.hstack([haplotypes, common])
    before = everything.copy()
    count = everything.sum(axis=0, dtype=np.int64)
    genotyping_errors.forget_phase(everything, count, 1.0, np.random.default_rng(4))
    np.testing.assert_array_equal(everything[:, 400:], common)
    np.testing.assert_array_equal(everything[::2] + everything[1::2], before[::2] + before[1::2])
    moved = (everything[:, :400] != before[:, :400]).any(axis=0).mean()
    assert moved == pytest.approx(0.5, abs=0.1)


def test_wrong_alleles_come_at_the_rate_and_rare_heterozygotes_are_missed():
    haplotypes = some_haplotypes(samples=1_000, frequency=0.5)
    before = haplotypes.copy()
    frequency = np.full(500, 0.5)
    none = np.zeros(500, dtype=bool)
    genotyping_errors.wrong_alleles(
        haplotypes, frequency, ErrorRates(allele_error=0.01), np.random.default_rng(5), is_bad=none
    )
    assert (haplotypes != before).mean() == pytest.approx(0.01, rel=0.1)
    rare = np.zeros((2_000, 1_000), dtype=np.uint8)
    rare[np.arange(1_000), np.arange(1_000)] = 1
    genotyping_errors.wrong_alleles(
        rare,
        np.full(1_000, 1 / 2_000),
        ErrorRates(missed=0.3),
        np.random.default_rng(6),
        is_bad=np.zeros(1_000, dtype=bool),
    )
    assert int(rare.sum()) == pytest.approx(700, abs=50)


def shown(panel):
    """What designs are made from."""
    return designs.DesignPanel(panel.position, panel.references, np.repeat(panel.population, 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_designs_rise_and_vary_among_the_references(fx_panels, seed):
    panel = fx_panels[seed]
    drawn = designs.designs(shown(panel), np.random.default_rng(seed), 20)
    again = designs.designs(shown(panel), np.random.default_rng(seed), 20)
    count = panel.references.sum(axis=0, dtype=int)
    assert len(drawn) == 20
    for design, other in zip(drawn, again, strict=True):
        assert design.name == other.name
        np.testing.assert_array_equal(design.sites, other.sites)
        assert design.sites.dtype == np.int64
        assert len(design.sites) >= min(designs.FEWEST, len(panel.position))
        assert (np.diff(design.sites) > 0).all()
        assert ((count > 0) & (count < len(panel.references)))[design.sites].all()


def test_designs_read_frequencies_of_the_references_only(fx_panels):
    panel = fx_panels[0]
    other = varied_panels.VariedPanel(
        **{**vars(panel), "queries": 1 - panel.queries, "truth": 1 - panel.truth}
    )
    left = designs.designs(shown(panel), np.random.default_rng(1), 10)
    right = designs.designs(shown(other), np.random.default_rng(1), 10)
    for one, two in zip(left, right, strict=True):
        np.testing.assert_array_equal(one.sites, two.sites)
