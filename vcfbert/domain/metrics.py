"""Accuracy of imputed genotypes by allele frequency, from sums that add up over sites.

S sites, N samples, G frequency groups. Every metric is a function of a `Tally`: sums over the
hidden sites of each group. Tallies of different sites add up, so only one window is in memory
at a time.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vcfbert.errors import ConfigError

EDGES = (0.0, 0.0006, 0.002, 0.005, 0.01, 0.05, 0.5)
"""Bins of minor allele frequency; each includes its upper edge and not its lower one."""

RARE_MAF = 0.05
MIN_VARIANCE = 1e-12  # below this a dosage does not vary and r2 is undefined
MIN_DISAGREEMENT = 1e-9  # if chance agreement is closer to 1, IQS is 0


@dataclass(frozen=True)
class Groups:
    """Frequency groups of sites; each site is in several.

    edges     rising bounds of the bins, as minor allele frequencies
    rare_maf  below it a site is rare, else common
    """

    edges: tuple[float, ...] = EDGES
    rare_maf: float = RARE_MAF

    def __post_init__(self) -> None:
        """Check that the edges bound bins."""
        steps = itertools.pairwise(self.edges)
        if len(self.edges) < 2 or not all(low < high for low, high in steps):
            raise ConfigError(
                "The edges of frequency bins must be at least two rising numbers, got "
                f"{list(self.edges)}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups: the bins, then rare, common, all."""
        bins = [f"({low:g},{high:g}]" for low, high in itertools.pairwise(self.edges)]
        return (*bins, f"rare <{self.rare_maf:g}", f"common >={self.rare_maf:g}", "all")

    def members(self, maf: NDArray[np.floating]) -> NDArray[np.bool_]:
        """The sites of each group.

        maf      (S,) minor allele frequency
        returns  (G, S)
        """
        bins = [(maf > low) & (maf <= high) for low, high in itertools.pairwise(self.edges)]
        is_rare = maf < self.rare_maf
        return np.stack([*bins, is_rare, ~is_rare, np.ones(len(maf), dtype=np.bool_)])


@dataclass(frozen=True)
class Tally:
    """Sums over the scored sites of each group.

    sites              (G,) sites
    true_positive      (G,) haplotypes called ALT that carry it
    false_positive     (G,) haplotypes called ALT that do not carry it
    false_negative     (G,) haplotypes called REF that carry ALT
    genotypes          (G, 3, 3) samples and sites by true and called ALT copies
    moments            (G, 6) sums of 1, x, y, x x, y y, x y, for true dosage x and imputed y
    site_r2, iqs       (G, 2) sum over the sites where the truth varies, and their number
    agreement          (G, 2) sums of observed - chance and of 1 - chance, as in `site_agreement`
    """

    sites: NDArray[np.float64]
    true_positive: NDArray[np.float64]
    false_positive: NDArray[np.float64]
    false_negative: NDArray[np.float64]
    genotypes: NDArray[np.float64]
    moments: NDArray[np.float64]
    site_r2: NDArray[np.float64]
    iqs: NDArray[np.float64]
    agreement: NDArray[np.float64]

    @classmethod
    def empty(cls, num_groups: int) -> Self:
        """The tally of no sites."""
        shapes = ((), (), (), (), (3, 3), (6,), (2,), (2,), (2,))
        return cls(*(np.zeros((num_groups, *shape)) for shape in shapes))

    def __add__(self, other: Tally) -> Tally:
        """The tally of two disjoint sets of sites."""
        names = [field.name for field in fields(self)]
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class Scores:
    """Metrics of one group, defined in docs/metrics.md; NaN if undefined."""

    sites: int
    varying_sites: int
    precision: float
    recall: float
    f1: float
    unphased_f1: float
    genotype_f1: float
    r2: float
    mean_site_r2: float
    iqs: float
    pooled_iqs: float
    nrc: float


def tally(
    truth: NDArray[np.uint8],
    calls: NDArray[np.uint8],
    dosage: NDArray[np.floating],
    genotype_probability: NDArray[np.floating],
    members: NDArray[np.bool_],
) -> Tally:
    """Sums over some sites, all of them hidden from the system.

    truth                 (S, N, 2) true alleles, 0 REF or 1 ALT
    calls                 (S, N, 2) called alleles
    dosage                (S, N) expected ALT copies, 0 to 2
    genotype_probability  (S, N, 3) probabilities of 0, 1 and 2 ALT copies
    members               (G, S) sites of each group
    """
    is_alt, is_called = truth == 1, calls == 1
    copies, called_copies = truth.sum(axis=2), calls.sum(axis=2)
    r2 = site_r2(copies, dosage)
    agreement = site_agreement(copies, genotype_probability)
    iqs = site_iqs(copies, agreement)

    def total(by_site: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.tensordot(members.astype(np.float64), by_site.astype(np.float64), axes=1)

    return Tally(
        sites=members.sum(axis=1).astype(np.float64),
        true_positive=total((is_alt & is_called).sum(axis=(1, 2))),
        false_positive=total((~is_alt & is_called).sum(axis=(1, 2))),
        false_negative=total((is_alt & ~is_called).sum(axis=(1, 2))),
        genotypes=total(_genotype_table(copies, called_copies)),
        moments=total(_moments(copies.astype(np.float64), dosage.astype(np.float64))),
        site_r2=total(_sum_and_count(r2)),
        iqs=total(_sum_and_count(iqs)),
        agreement=total(agreement),
    )


def scores(tallied: Tally) -> list[Scores]:
    """The metrics of each group."""
    tp, fp, fn = tallied.true_positive, tallied.false_positive, tallied.false_negative
    columns = zip(
        _ratio(tp, tp + fp),
        _ratio(tp, tp + fn),
        _ratio(2 * tp, 2 * tp + fp + fn),
        unphased_f1(tallied.genotypes),
        genotype_f1(tallied.genotypes),
        pooled_r2(tallied.moments),
        _mean(tallied.site_r2),
        _mean(tallied.iqs),
        pooled_iqs(tallied.agreement),
        concordance(tallied.genotypes),
        strict=True,
    )
    counted = zip(tallied.sites, tallied.iqs[:, 1], columns, strict=True)
    return [
        Scores(int(sites), int(varying), *(float(value) for value in row))
        for sites, varying, row in counted
    ]


def site_r2(truth: NDArray[np.integer], dosage: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared correlation of true and imputed ALT dosage, site by site.

    An imputed dosage that does not vary counts 0, so that every system is averaged over the same
    sites.

    truth    (S, N) ALT copies, 0 to 2
    dosage   (S, N) expected ALT copies, 0 to 2
    returns  (S,) 0 to 1; NaN if the truth does not vary

    >>> site_r2(np.array([[0, 1, 2], [0, 0, 0]]), np.array([[0.1, 1.0, 1.9], [0.0, 0.1, 0.2]]))
    array([ 1., nan])
    """
    x = truth - truth.mean(axis=1, keepdims=True, dtype=np.float64)
    y = dosage - dosage.mean(axis=1, keepdims=True, dtype=np.float64)
    x_variance, y_variance = (x**2).mean(axis=1), (y**2).mean(axis=1)
    r2 = np.where(x_variance > MIN_VARIANCE, 0.0, np.nan)
    both_vary = (x_variance > MIN_VARIANCE) & (y_variance > MIN_VARIANCE)
    np.divide((x * y).mean(axis=1) ** 2, x_variance * y_variance, out=r2, where=both_vary)
    return r2


def site_agreement(
    truth: NDArray[np.integer], genotype_probability: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Agreement beyond chance of true and imputed genotypes, and the most that it could be.

    *Observed* is the mean probability of the true genotype; *chance* is the sum over genotypes of
    true frequency times mean probability.

    truth                 (S, N) ALT copies
    genotype_probability  (S, N, 3)
    returns               (S, 2) observed - chance, and 1 - chance
    """
    is_class = truth[:, :, None] == np.arange(3)
    observed = genotype_probability.sum(axis=(1, 2), where=is_class, dtype=np.float64)
    observed /= truth.shape[1]
    imputed_share = genotype_probability.mean(axis=1, dtype=np.float64)
    chance = (is_class.mean(axis=1) * imputed_share).sum(axis=1)
    return np.stack([observed - chance, 1 - chance], axis=1)


def site_iqs(truth: NDArray[np.integer], agreement: NDArray[np.float64]) -> NDArray[np.float64]:
    """Imputation quality score, site by site (Lin et al. 2010, PLoS ONE 5:e9697).

    A site where chance agreement is 1 counts 0, so that every system is averaged over the same
    sites.

    truth      (S, N) ALT copies
    agreement  (S, 2) of `site_agreement`
    returns    (S,) at most 1; NaN if the truth does not vary

    >>> truth = np.array([[0, 1], [0, 0]])
    >>> site_iqs(truth, site_agreement(truth, np.eye(3)[truth]))
    array([ 1., nan])
    """
    gained, possible = agreement.T
    iqs = np.where((truth != truth[:, :1]).any(axis=1), 0.0, np.nan)
    is_defined = ~np.isnan(iqs) & (possible > MIN_DISAGREEMENT)
    np.divide(gained, possible, out=iqs, where=is_defined)
    return iqs


def pooled_iqs(agreement: NDArray[np.float64]) -> NDArray[np.float64]:
    """IQS over all sites of a group at once: sites weigh by how much they vary.

    agreement  (G, 2) as in `Tally`
    returns    (G,) NaN if chance agreement is 1 at every site
    """
    gained, possible = agreement.T
    iqs = np.full(len(agreement), np.nan)
    np.divide(gained, possible, out=iqs, where=possible > MIN_DISAGREEMENT)
    return iqs


def pooled_r2(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Aggregate r2: squared correlation over all samples and sites of a group at once.

    moments  (G, 6) as in `Tally`
    returns  (G,) NaN if either side does not vary
    """
    count = np.maximum(moments[:, 0], 1)
    x, y, xx, yy, xy = (moments[:, 1:] / count[:, None]).T
    x_variance, y_variance = xx - x**2, yy - y**2
    r2 = np.full(len(moments), np.nan)
    both_vary = (x_variance > MIN_VARIANCE) & (y_variance > MIN_VARIANCE)
    np.divide((xy - x * y) ** 2, x_variance * y_variance, out=r2, where=both_vary)
    return r2


def unphased_f1(genotypes: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of ALT copies, whatever haplotype they are on: for targets of unknown phase.

    genotypes  (G, 3, 3) as in `Tally`
    returns    (G,) 0 if neither truth nor calls have ALT

    >>> unphased_f1(np.array([[[0, 1, 0], [0, 0, 0], [0, 0, 1]]])).round(3)
    array([0.8])
    """
    copies = np.arange(3)
    right = (genotypes * np.minimum(copies[:, None], copies)).sum(axis=(1, 2))
    both = (genotypes * (copies[:, None] + copies)).sum(axis=(1, 2))
    return _ratio(2 * right, both)


def genotype_f1(genotypes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean F1 over the classes 0, 1 and 2 ALT copies that occur in truth or calls.

    genotypes  (G, 3, 3) as in `Tally`
    returns    (G,) NaN if nothing was counted
    """
    right = np.diagonal(genotypes, axis1=1, axis2=2)
    both = genotypes.sum(axis=2) + genotypes.sum(axis=1)
    occurring = (both > 0).sum(axis=1)
    f1 = np.full(len(genotypes), np.nan)
    np.divide(_ratio(2 * right, both).sum(axis=1), occurring, out=f1, where=occurring > 0)
    return f1


def concordance(genotypes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Non-reference concordance: correct calls with ALT over these plus all wrong calls.

    genotypes  (G, 3, 3) as in `Tally`
    returns    (G,) 1 if there are no wrong calls
    """
    right = np.diagonal(genotypes, axis1=1, axis2=2)
    wrong = genotypes.sum(axis=(1, 2)) - right.sum(axis=1)
    return np.asarray(1 - wrong / np.maximum(wrong + right[:, 1:].sum(axis=1), 1))


def _genotype_table(truth: NDArray[np.integer], called: NDArray[np.integer]) -> NDArray[np.int64]:
    """(S, 3, 3) samples by true and called ALT copies."""
    cell = 3 * truth + called
    return np.stack([(cell == code).sum(axis=1) for code in range(9)], axis=1).reshape(-1, 3, 3)


def _moments(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, 6) sums over samples."""
    terms = (np.ones_like(x), x, y, x * x, y * y, x * y)
    return np.stack([term.sum(axis=1) for term in terms], axis=1)


def _sum_and_count(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, 2) value and 1 if defined, 0 and 0 if NaN."""
    is_defined = ~np.isnan(values)
    return np.stack([np.where(is_defined, values, 0.0), is_defined], axis=1)


def _mean(sum_and_count: NDArray[np.float64]) -> NDArray[np.float64]:
    """(G,) NaN if nothing was counted."""
    total, count = sum_and_count.T
    mean = np.full(len(total), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Element by element; 0 if the whole is 0."""
    return part / np.maximum(whole, 1)
