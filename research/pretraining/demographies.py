"""Population histories of simulated panels, drawn from a few families.

Sizes are diploid, times in generations before the present. The families and where their numbers
come from:

    out_of_africa      Gutenkunst et al. 2009 (PLoS Genet 5:e1000695), Africa, Europe, East Asia
    american           Browning et al. 2018 (PLoS Genet 14:e1007385), an admixed population and
                       its three sources
    thousand_genomes   five superpopulations of several close populations each: the trunk as above,
                       recent growth as in Tennessen et al. 2012 (Science 337:64), South Asia mixed
                       of two sources as in Reich et al. 2009 (Nature 461:489), American and
                       African-American admixture 8 to 15 generations ago; tuned so that frequencies
                       and LD look like phase 3 of the 1000 Genomes Project
    single             one population: constant, growing, or through a bottleneck
    founder            a young isolate of 100 to 1,500 founders, with or without its source
    random_tree        2 to 8 populations joined in a random order: anything else

Every size is scaled by a common factor of each draw, so that no two panels share a history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msprime
import numpy as np

from vcfbert.pipelines.preparing import simulate

MAX_SIZE = 500_000  # growth no longer matters: nothing coalesces in so large a population

TRUNK_START = {"EUR": 1_032, "EAS": 554}
TRUNK_GROWTH = {"EUR": 0.0038, "EAS": 0.0048}
"""Sizes after the split of Europe and East Asia, and growth a generation."""


@dataclass(frozen=True)
class History:
    """A demography and the sampled populations."""

    name: str
    demography: msprime.Demography
    groups: dict[str, str]
    """Sampled population to its superpopulation."""
    shares: dict[str, float]
    """Sampled population to its share of the samples; they add up to 1."""
    drawn: dict[str, float] = field(default_factory=dict)
    """Drawn parameters, for the description."""


def history(rng: np.random.Generator) -> History:
    """A history of a random family; half are mixtures like the 1000 Genomes Project."""
    families = list(FAMILIES)
    weights = np.array([FAMILIES[family] for family in families])
    return families[int(rng.choice(len(families), p=weights / weights.sum()))](rng)


def out_of_africa(rng: np.random.Generator) -> History:
    """Gutenkunst 2009: three populations, sizes and times within 20 %."""
    scale, pace = _factor(rng, 0.2), _factor(rng, 0.2)
    demography = simulate.out_of_africa(scale, pace)
    groups = dict(simulate.POPULATIONS)
    return _history("out_of_africa", demography, groups, rng, scale=scale, pace=pace)


def american(rng: np.random.Generator) -> History:
    """Browning 2018: an admixed population, with or without its sources in the sample."""
    scale = _factor(rng, 0.2)
    generations = float(rng.integers(8, 16))
    mixture = rng.dirichlet([2.0, 4.0, 5.0])
    demography = msprime.Demography()
    demography.add_population(name="AFR", initial_size=14_474 * scale)
    _growing(demography, "EUR", scale * 1_032, 0.0038, 920)
    _growing(demography, "EAS", scale * 554, 0.0048, 920)
    demography.add_population(name="ADMIX", initial_size=54_664 * scale, growth_rate=0.05)
    demography.add_population(name="OOA", initial_size=1_861 * scale)
    demography.add_population(name="AMH", initial_size=14_474 * scale)
    demography.add_population(name="ANC", initial_size=7_310 * scale)
    demography.set_symmetric_migration_rate(["AFR", "EUR"], 2.5e-5)
    demography.set_symmetric_migration_rate(["AFR", "EAS"], 0.78e-5)
    demography.set_symmetric_migration_rate(["EUR", "EAS"], 3.11e-5)
    sources = ["AFR", "EUR", "EAS"]
    demography.add_admixture(
        generations, derived="ADMIX", ancestral=sources, proportions=[float(x) for x in mixture]
    )
    demography.add_population_split(time=920, derived=["EUR", "EAS"], ancestral="OOA")
    demography.add_symmetric_migration_rate_change(920, ["AFR", "OOA"], 15e-5)
    demography.add_population_split(time=2_040, derived=["OOA", "AFR"], ancestral="AMH")
    demography.add_population_split(time=5_920, derived=["AMH"], ancestral="ANC")
    groups = {"ADMIX": "AMR"}
    if rng.random() < 0.7:
        groups |= {name: name for name in sources}
    return _history("american", demography, groups, rng, scale=scale, admixed=generations)


def thousand_genomes(rng: np.random.Generator) -> History:
    """Five superpopulations of 2 to 5 populations each, with admixed ones among them."""
    scale = _factor(rng, 0.2)
    leaves = {name: _names(name, int(rng.integers(3, 6))) for name in ("AFR", "EUR", "EAS", "SAS")}
    admixed = _names("AMR", int(rng.integers(2, 5)))
    diaspora = _names("ACB", int(rng.integers(0, 3)))
    recent = {name: float(rng.uniform(120, 350)) for name in ("AFR", "EUR", "EAS")}
    mixed = float(rng.uniform(100, 220))
    recent["SAS"] = mixed * float(rng.uniform(0.4, 0.8))
    split = float(rng.uniform(880, 1_000))

    demography = msprime.Demography()
    at_split = {"AFR": 14_500.0, "SAS": 9_000.0}
    for name, start in TRUNK_START.items():
        at_split[name] = start * np.exp(TRUNK_GROWTH[name] * (split - recent[name]))
    for name, populations in leaves.items():
        for population in populations:
            then = scale * at_split[name] * rng.uniform(0.4, 1.0)
            _grown(demography, population, then, _large(rng), recent[name])
    for population in [*admixed, *diaspora]:
        _grown(demography, population, scale * rng.uniform(1_500, 20_000), _large(rng) / 4, 12)
    _trunks(demography, scale, split)
    _migration(demography, leaves, rng)

    _admix(demography, admixed, ["NAT", leaves["EUR"][0], leaves["AFR"][0]], [5, 4, 1], rng)
    _admix(demography, diaspora, [leaves["AFR"][-1], leaves["EUR"][-1]], [12, 2.5], rng)
    for name, populations in leaves.items():
        demography.add_population_split(time=recent[name], derived=populations, ancestral=name)
    demography.add_symmetric_migration_rate_change(
        max(recent.values()), ["AFR", "EUR", "EAS"], 1.5e-5
    )
    _old_splits(demography, split, mixed, rng)

    groups = {leaf: name for name, populations in leaves.items() for leaf in populations}
    groups |= dict.fromkeys(admixed, "AMR") | dict.fromkeys(diaspora, "AFR")
    return _history("thousand_genomes", demography, groups, rng, scale=scale, split=split)


def single(rng: np.random.Generator) -> History:
    """One population: constant, growing, or once through a bottleneck."""
    size = float(np.exp(rng.uniform(np.log(4_000), np.log(25_000))))
    demography = msprime.Demography()
    demography.add_population(name="ONE", initial_size=size)
    kind = int(rng.integers(0, 3))
    if kind > 0:
        began = float(rng.uniform(100, 800))
        now = min(size * float(np.exp(rng.uniform(1, 4))), MAX_SIZE)
        demography.populations[0].initial_size = now
        demography.populations[0].growth_rate = np.log(now / size) / began
        demography.add_population_parameters_change(
            began, population="ONE", initial_size=size, growth_rate=0
        )
        if kind == 2:
            narrow, ended = size * float(rng.uniform(0.05, 0.3)), began + rng.uniform(100, 1_500)
            demography.add_population_parameters_change(
                began, population="ONE", initial_size=narrow, growth_rate=0
            )
            demography.add_population_parameters_change(ended, population="ONE", initial_size=size)
    return _history("single", demography, {"ONE": "ONE"}, rng, size=size, kind=kind)


def founder(rng: np.random.Generator) -> History:
    """A young isolate of few founders; its source is in the sample or not."""
    founded = float(rng.uniform(15, 80))
    founders = float(np.exp(rng.uniform(np.log(100), np.log(1_500))))
    demography = msprime.Demography()
    _grown(demography, "ISOLATE", founders, float(rng.uniform(10_000, 100_000)), founded)
    _grown(demography, "SOURCE", 8_000, float(rng.uniform(20_000, 200_000)), 300)
    _growing(demography, "TRUNK", 1_000, 0.004, 950)
    demography.add_population(name="ANC", initial_size=12_000 * _factor(rng, 0.4))
    demography.add_population_split(time=max(founded, 300.0), derived=["SOURCE"], ancestral="TRUNK")
    demography.add_population_split(time=founded, derived=["ISOLATE"], ancestral="SOURCE")
    demography.add_population_split(time=950, derived=["TRUNK"], ancestral="ANC")
    demography.sort_events()
    groups = {"ISOLATE": "ISOLATE"}
    if rng.random() < 0.6:
        groups["SOURCE"] = "SOURCE"
    return _history("founder", demography, groups, rng, founders=founders, founded=founded)


def random_tree(rng: np.random.Generator) -> History:
    """2 to 8 populations of random sizes joined two by two, with some migration."""
    count = int(rng.integers(2, 9))
    demography = msprime.Demography()
    open_populations = [f"P{number}" for number in range(count)]
    groups = {name: name for name in open_populations}
    for name in open_populations:
        size = float(np.exp(rng.uniform(np.log(2_000), np.log(20_000))))
        _grown(demography, name, size, min(MAX_SIZE, size * np.exp(rng.uniform(0, 3))), 150)
    demography.set_symmetric_migration_rate(
        open_populations, float(10 ** rng.uniform(-5.5, -3.3)) / count
    )
    times = np.sort(np.exp(rng.uniform(np.log(160), np.log(5_000), size=count - 1)))
    for number, time in enumerate(times):
        name = f"A{number}"
        size = float(np.exp(rng.uniform(np.log(1_500), np.log(20_000))))
        demography.add_population(name=name, initial_size=size)
        first, second = (str(x) for x in rng.choice(open_populations, 2, replace=False))
        demography.add_population_split(time=float(time), derived=[first, second], ancestral=name)
        open_populations = [x for x in open_populations if x not in (first, second)] + [name]
    return _history("random_tree", demography, groups, rng, populations=count)


FAMILIES: dict[Callable[[np.random.Generator], History], float] = {
    thousand_genomes: 0.5,
    out_of_africa: 0.12,
    american: 0.1,
    single: 0.1,
    founder: 0.08,
    random_tree: 0.1,
}
"""Families and how often each is drawn."""


def _history(
    name: str,
    demography: msprime.Demography,
    groups: dict[str, str],
    rng: np.random.Generator,
    **drawn: float,
) -> History:
    """With shares of the samples that are about even, as collections are."""
    shares = rng.dirichlet(np.full(len(groups), 8.0))
    return History(
        name=name,
        demography=demography,
        groups=groups,
        shares=dict(zip(groups, shares.tolist(), strict=True)),
        drawn={key: float(value) for key, value in drawn.items()},
    )


def _factor(rng: np.random.Generator, spread: float) -> float:
    return float(np.exp(rng.uniform(-spread, spread)))


def _names(group: str, count: int) -> list[str]:
    return [f"{group}{number}" for number in range(1, count + 1)]


def _large(rng: np.random.Generator) -> float:
    """A present size after the growth of the last few thousand years."""
    return float(np.exp(rng.uniform(np.log(20_000), np.log(300_000))))


def _growing(
    demography: msprime.Demography, name: str, start: float, rate: float, began: float
) -> None:
    """A population of `start` samples `began` generations ago, growing until now.

    msprime takes the size at the present also of a population that others split from later.
    """
    size = start * float(np.exp(rate * began))
    demography.add_population(name=name, initial_size=size, growth_rate=rate)


def _grown(
    demography: msprime.Demography, name: str, then: float, now: float, generations: float
) -> None:
    """A population that went from `then` to `now` samples within `generations`."""
    now = max(now, then)
    demography.add_population(
        name=name, initial_size=now, growth_rate=float(np.log(now / then)) / generations
    )


def _trunks(demography: msprime.Demography, scale: float, split: float) -> None:
    """The populations before the recent splits."""
    for name, size in (("AFR", 14_474), ("SAS", 9_000), ("ANI", 6_000), ("ASI", 5_000)):
        demography.add_population(name=name, initial_size=size * scale)
    _growing(demography, "EUR", scale * TRUNK_START["EUR"], TRUNK_GROWTH["EUR"], split)
    _growing(demography, "EAS", scale * TRUNK_START["EAS"], TRUNK_GROWTH["EAS"], split)
    _growing(demography, "NAT", scale * 1_500, 0.002, 700)
    for name, size in (("OOA", 1_861), ("AMH", 14_474), ("ANC", 7_310)):
        demography.add_population(name=name, initial_size=size * scale)


def _migration(
    demography: msprime.Demography, leaves: dict[str, list[str]], rng: np.random.Generator
) -> None:
    """Much migration within a superpopulation, little between them."""
    names = [leaf for populations in leaves.values() for leaf in populations]
    demography.set_symmetric_migration_rate(
        names, float(10 ** rng.uniform(-4.7, -4.0)) / len(names)
    )
    for populations in leaves.values():
        rate = float(10 ** rng.uniform(-3.4, -2.4))
        demography.set_symmetric_migration_rate(populations, rate / len(populations))


def _admix(
    demography: msprime.Demography,
    derived: list[str],
    sources: list[str],
    weights: list[float],
    rng: np.random.Generator,
) -> None:
    """Each of `derived` is a mixture of `sources`, 8 to 15 generations ago."""
    for name in derived:
        demography.add_admixture(
            float(rng.uniform(8, 15)),
            derived=name,
            ancestral=sources,
            proportions=[float(x) for x in rng.dirichlet(weights)],
        )


def _old_splits(
    demography: msprime.Demography, split: float, mixed: float, rng: np.random.Generator
) -> None:
    """Everything before the superpopulations' own splits."""
    sources = rng.dirichlet([12.0, 10.0]).tolist()
    demography.add_admixture(mixed, derived="SAS", ancestral=["ANI", "ASI"], proportions=sources)
    times = {"ANI": rng.uniform(380, 600), "NAT": rng.uniform(600, 850), "ASI": split - 40}
    for name, ancestral in (("ANI", "EUR"), ("NAT", "EAS"), ("ASI", "EAS")):
        demography.add_population_split(
            time=float(times[name]), derived=[name], ancestral=ancestral
        )
    demography.add_population_split(time=split, derived=["EUR", "EAS"], ancestral="OOA")
    demography.add_symmetric_migration_rate_change(split, ["AFR", "OOA"], 15e-5)
    demography.add_population_split(time=2_040, derived=["OOA", "AFR"], ancestral="AMH")
    demography.add_population_split(time=5_920, derived=["AMH"], ancestral="ANC")
    demography.sort_events()
