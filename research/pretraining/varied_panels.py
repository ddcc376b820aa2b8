"""Simulated panels that vary as real panels do, to train a general network on.

`draw(seed)` draws the demography (see `demographies`), the number of samples, the length, the
recombination landscape and the genetic map supplied with it (see `recombination`), mutation, gene
conversion, relatives, genotyping and phasing errors (see `genotyping_errors`), the sites of the
panel, and the held-out samples. Ranges:

    haplotypes      1,000 to 5,000 (85 %), else 300 to 1,000: users have the 1000 Genomes' 5,008 or
                    more, and some have national panels of a few hundred samples
    length          1 to 3 Mb, cut after MAX_SITES sites; at least 2 Mb where little recombines
    recombination   0.1 to 5 cM per Mb (log-uniform, 70 %), 2 to 6 (22 %), 0.005 to 0.1 (8 %): the
                    human mean is 1.2, the ends of chromosomes have 3 and more (the first 2.2 Mb of
                    chr20 3.4), regions near centromeres almost none
    mutation        1.3e-8 to 3.5e-8 a base and generation, so that with these demographies African
                    heterozygosity is 0.4 to 1.3 a kb: chr20 has 1.28 in its first 2.2 Mb;
                    doubled until there are MIN_SITES sites
    gene conversion one draw in five, 1 to 3 a crossover at 1 cM per Mb, tracts of 300 bases
    relatives       one draw in ten, 1 to 5 % of samples are children of two others
    discovery       three draws in five miss rare sites: one of k copies is found with the chance
                    1 - (1 - d)^k, d from 0.15 to 0.5, as by low coverage
    minimum count   1, 2, 3 or 5 copies of ALT, in the references or in all samples
    thinning        a third of the draws keep 40 to 95 % of sites
    held out        100 to 200 samples, of all populations; one draw in seven mostly of a population
                    that the panel lacks
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msprime
import numpy as np
import tskit
from numpy.typing import NDArray

from research.pretraining import demographies, genotyping_errors, recombination
from research.pretraining.demographies import History
from research.pretraining.genotyping_errors import ErrorRates
from research.pretraining.recombination import Landscape
from vcfbert.domain import sites

MAX_SITES = 32_000
MIN_SITES = 1_500
MAX_DOUBLINGS = 12
MIN_COUNTS = {1: 0.3, 2: 0.25, 3: 0.25, 5: 0.2}


@dataclass(frozen=True)
class VariedPanel:
    """A panel and held-out samples; rows 2n and 2n + 1 of haplotypes belong to sample n.

    position     (S,) 1-based, rising
    cm           (S,) genetic positions of the supplied map, never falling
    references   (R, S) 0 REF, 1 ALT, with errors of calls and phase
    queries      (Q, S) the same for held-out samples
    truth        (Q, S) without genotyping errors, in the phase of the queries except at very rare
                 sites, which are phased at random
    population   (R // 2,) index into description["populations"]
    description  all drawn values, of JSON types
    """

    position: NDArray[np.int32]
    cm: NDArray[np.float64]
    references: NDArray[np.uint8]
    queries: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    population: NDArray[np.int16]
    description: dict[str, Any]


@dataclass(frozen=True)
class _PanelPlan:
    """Values that are drawn before the simulation."""

    history: History
    landscape: Landscape
    length: int
    num_references: int
    num_queries: int
    mutation: float
    gene_conversion: float
    min_count: int
    counts_all: bool
    kept: float
    discovery: float
    absent: str
    relatives: float
    map_kind: str
    reference_errors: ErrorRates
    query_errors: ErrorRates
    min_sites: int
    max_sites: int
    seeds: tuple[int, int]


def draw(seed: int, *, scale: float = 1.0) -> VariedPanel:
    """Draw a panel; the same seed and scale give the same arrays.

    scale  below 1, fewer samples and a shorter sequence, for tests
    """
    rng = np.random.default_rng(seed)
    plan = _plan(rng, scale)
    samples = _samples(plan, rng)
    ancestry = _ancestry(plan, np.bincount(samples, minlength=len(plan.history.groups)))
    trees, mutation = _mutated(ancestry, plan, rng)
    plan = replace(plan, mutation=mutation)
    position, haplotypes = _alleles(trees)
    order = np.argsort(samples, kind="stable")  # trees hold the samples population by population
    row = np.empty(len(samples), dtype=np.int64)
    row[order] = np.arange(len(samples))
    if plan.relatives > 0:
        _make_children(haplotypes, plan.landscape.cm(position), plan.relatives, rng)
    references = haplotypes[sites.haplotypes_of(row[: plan.num_references])]
    truth = haplotypes[sites.haplotypes_of(row[plan.num_references :])]
    del haplotypes
    queries = _spoil(references, truth, position, plan, rng)
    kept = _kept(references, queries, plan, rng)
    position = position[kept]
    return VariedPanel(
        position=position,
        cm=recombination.supplied_map(plan.landscape, position, plan.map_kind, rng),
        references=np.ascontiguousarray(references[:, kept]),
        queries=np.ascontiguousarray(queries[:, kept]),
        truth=np.ascontiguousarray(truth[:, kept]),
        population=samples[: plan.num_references].astype(np.int16),
        description=_description(plan, seed, scale, len(position)),
    )


def _plan(rng: np.random.Generator, scale: float) -> _PanelPlan:
    history = demographies.history(rng)
    haplotypes = rng.uniform(1_000, 5_000)
    if rng.random() < 0.15:
        haplotypes = float(np.exp(rng.uniform(np.log(300), np.log(1_000))))
    rate = _cm_per_mb(rng)
    shortest = 2.0 if rate < 0.5 else 1.0
    length = int(scale * 1e6 * rng.uniform(shortest, 3.0))
    names = list(history.groups)
    reference_errors = genotyping_errors.draw_rates(rng)
    same = rng.random() < 0.5
    return _PanelPlan(
        history=history,
        landscape=recombination.landscape(length, rate, rng),
        length=length,
        num_references=max(int(scale * haplotypes / 2), 10),
        num_queries=max(int(scale * rng.integers(100, 201)), 4),
        mutation=float(np.exp(rng.uniform(np.log(1.3e-8), np.log(3.5e-8)))),
        gene_conversion=1e-8 * rng.uniform(1, 3) if rng.random() < 0.2 else 0.0,
        min_count=int(rng.choice(list(MIN_COUNTS), p=list(MIN_COUNTS.values()))),
        counts_all=bool(rng.random() < 0.5),
        kept=float(rng.uniform(0.4, 0.95)) if rng.random() < 0.33 else 1.0,
        discovery=float(rng.uniform(0.15, 0.5)) if rng.random() < 0.6 else 1.0,
        absent=str(rng.choice(names)) if len(names) > 1 and rng.random() < 0.15 else "",
        relatives=float(rng.uniform(0.01, 0.05)) if rng.random() < 0.1 else 0.0,
        map_kind=recombination.draw_kind(rng),
        reference_errors=reference_errors,
        query_errors=reference_errors if same else genotyping_errors.draw_rates(rng),
        min_sites=max(int(scale * MIN_SITES), 50),
        max_sites=max(int(scale * MAX_SITES), 200),
        seeds=(int(rng.integers(1, 2**31)), int(rng.integers(1, 2**31))),
    )


def _cm_per_mb(rng: np.random.Generator) -> float:
    """Mean recombination rate of the sequence."""
    kind = rng.random()
    if kind < 0.22:
        return float(rng.uniform(2.0, 6.0))
    low, high = (0.005, 0.1) if kind < 0.3 else (0.1, 5.0)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _samples(plan: _PanelPlan, rng: np.random.Generator) -> NDArray[np.int64]:
    """The population of each sample, references first."""
    names = list(plan.history.groups)
    shares = np.array([plan.history.shares[name] for name in names])
    of_query = shares.copy()
    if plan.absent:
        is_absent = np.array(names) == plan.absent
        shares[is_absent] = 0
        of_query[is_absent] = rng.uniform(1, 4)
    references = rng.choice(len(names), plan.num_references, p=shares / shares.sum())
    queries = rng.choice(len(names), plan.num_queries, p=of_query / of_query.sum())
    return np.concatenate([references, queries]).astype(np.int64)


def _ancestry(plan: _PanelPlan, num_samples: NDArray[np.integer]) -> tskit.TreeSequence:
    """Trees of all samples, population by population."""
    names = list(plan.history.groups)
    return msprime.sim_ancestry(
        samples={name: int(n) for name, n in zip(names, num_samples, strict=True) if n},
        demography=plan.history.demography,
        recombination_rate=msprime.RateMap(
            position=plan.landscape.position, rate=plan.landscape.rate
        ),
        gene_conversion_rate=plan.gene_conversion or None,
        gene_conversion_tract_length=300 if plan.gene_conversion else None,
        random_seed=plan.seeds[0],
    )


def _mutated(
    ancestry: tskit.TreeSequence, plan: _PanelPlan, rng: np.random.Generator
) -> tuple[tskit.TreeSequence, float]:
    """Trees with the sites that are looked at, and the mutation rate that gave enough of them."""
    model = msprime.BinaryMutationModel()
    for doublings in range(MAX_DOUBLINGS):
        mutation = plan.mutation * 2**doublings
        trees = msprime.sim_mutations(
            ancestry, rate=mutation, random_seed=plan.seeds[1], model=model
        )
        is_wanted = _is_wanted(trees, plan, rng)
        if is_wanted.sum() >= plan.min_sites:
            break
    wanted = np.flatnonzero(is_wanted)
    is_wanted[wanted[plan.max_sites :]] = False
    return trees.delete_sites(np.flatnonzero(~is_wanted)), mutation


def _is_wanted(
    trees: tskit.TreeSequence, plan: _PanelPlan, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Sites hit once that enough samples carry and that are discovered and kept."""
    count = trees.sample_count_stat(
        [trees.samples()],
        lambda copies: copies,
        1,
        windows="sites",
        mode="site",
        polarised=True,
        strict=False,
        span_normalise=False,
    )[:, 0]
    hits = np.bincount(trees.mutations_site, minlength=trees.num_sites)
    is_variable = (hits == 1) & (count >= plan.min_count) & (count < trees.num_samples)
    found = plan.kept * (1 - (1 - plan.discovery) ** count)
    wanted: NDArray[np.bool_] = is_variable & (rng.random(len(count)) < found)
    return wanted


def _alleles(trees: tskit.TreeSequence) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Positions (S,) and alleles (H, S)."""
    by_site = np.empty((trees.num_sites, trees.num_samples), dtype=np.uint8)
    for number, variant in enumerate(trees.variants()):
        by_site[number] = variant.genotypes
    position = trees.sites_position.astype(np.int32) + 1
    return position, np.ascontiguousarray(by_site.T)


def _make_children(
    haplotypes: NDArray[np.uint8],
    cm: NDArray[np.float64],
    share: float,
    rng: np.random.Generator,
) -> None:
    """Replace some samples by children of two others, each haplotype one meiosis away."""
    num_samples = len(haplotypes) // 2
    count = min(max(int(share * num_samples), 1), num_samples // 3)
    chosen = rng.permutation(num_samples)[: 3 * count].reshape(count, 3)
    for child, *parents in chosen.tolist():
        for side, parent in enumerate(parents):
            points = rng.uniform(cm[0], cm[-1], size=rng.poisson((cm[-1] - cm[0]) / 100))
            turn = (np.searchsorted(np.sort(points), cm) + rng.integers(0, 2)) % 2
            haplotypes[2 * child + side] = np.where(
                turn == 0, haplotypes[2 * parent], haplotypes[2 * parent + 1]
            )


def _spoil(
    references: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    position: NDArray[np.int32],
    plan: _PanelPlan,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Put defects into the references and switches into the truth; returns the queries."""
    count = references.sum(axis=0, dtype=np.int64) + truth.sum(axis=0, dtype=np.int64)
    frequency = count / (len(references) + len(truth))
    bad = rng.random(len(position))
    genotyping_errors.switch_phase(truth, position, plan.query_errors.switches_per_mb, rng)
    queries = truth.copy()
    genotyping_errors.switch_phase(references, position, plan.reference_errors.switches_per_mb, rng)
    for haplotypes, given in (
        (references, plan.reference_errors),
        (queries, plan.query_errors),
    ):
        genotyping_errors.wrong_alleles(
            haplotypes, frequency, given, rng, is_bad=bad < given.bad_sites
        )
        genotyping_errors.forget_phase(haplotypes, count, given.random_phase, rng)
    return queries


def _kept(
    references: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    plan: _PanelPlan,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Sites whose called ALT alleles are many enough for the panel's filter."""
    count = references.sum(axis=0, dtype=np.int64)
    if plan.counts_all:
        count = np.where(count > 0, count + queries.sum(axis=0, dtype=np.int64), 0)
    return np.flatnonzero(count >= plan.min_count)


def _description(plan: _PanelPlan, seed: int, scale: float, num_sites: int) -> dict[str, Any]:
    rates = plan.landscape
    return {
        "seed": seed,
        "scale": scale,
        "demography": plan.history.name,
        "drawn": dict(plan.history.drawn),
        "populations": list(plan.history.groups),
        "groups": dict(plan.history.groups),
        "absent": plan.absent,
        "num_references": 2 * plan.num_references,
        "num_queries": 2 * plan.num_queries,
        "num_sites": num_sites,
        "length": plan.length,
        "cm_per_mb": float(rates.cm(np.array([plan.length]))[0] / plan.length * 1e6),
        "supplied_map": plan.map_kind,
        "mutation": plan.mutation,
        "gene_conversion": plan.gene_conversion,
        "min_count": plan.min_count,
        "counts_all": plan.counts_all,
        "kept": plan.kept,
        "discovery": plan.discovery,
        "relatives": plan.relatives,
        "reference_errors": plan.reference_errors.as_dict(),
        "query_errors": plan.query_errors.as_dict(),
    }
