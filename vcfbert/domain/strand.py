"""Statistics of strand: what a file does at telling sites, and linkage with the panel.

At a telling site (A/C, A/G, ...) the alleles show whether a record has swapped alleles and whether
it is a strand flip. At a palindromic site (A/T, C/G) they show one bit of the two. The rates at the
telling sites are the prior; linkage with the telling sites around it is the evidence.

n sites of a block, H haplotypes of the panel, N samples, k sites to decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.domain.unordered import UNORDERED, plain

FLANK = 12
"""Telling sites on either side of a site that predict its alleles."""

MOST_HAPLOTYPES = 4_096
"""Haplotypes of the panel that the predictions are fitted on."""

REF_MAJOR, ALT_MAJOR, TIED = 0, 1, 2
"""The more frequent allele of the target at a site, in the panel's orientation."""

_BLOCK = 160  # telling sites in a block, so that their products fit in the cache
_RIDGE = (2.0, 0.01)  # of the regression: constant, and by haplotype
_LEAST = 0.02  # no prediction is more certain, because genotypes have errors
_MOST_SHIFT = 0.05  # of the allele frequency between panel and target
_SHIFT_SAMPLES = 10.0  # samples at which half of it is assumed
_PSEUDO_SWAPS = 2.0
_DOUBT = 4.0  # log-likelihood ratio of the one imaginary site that a calibration gets wrong
_SLOPES = np.append(0.0, 2.0 ** np.arange(-10.0, 0.25, 0.25))
_RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_ENOUGH_GAIN = 5.0  # in log-likelihood, for another flip rate at palindromic sites
_OTHER = np.array([ALT_MAJOR, REF_MAJOR, TIED])


@dataclass(frozen=True)
class Habit:
    """What a file does at its telling sites.

    sites      telling sites
    flips      strand flips among them
    swaps      swapped alleles among them, on either strand
    swap_rate  (3,) rate of swapped alleles by the more frequent allele: in PLINK's files it
               decides which allele is REF
    """

    sites: int
    flips: int
    swaps: int
    swap_rate: NDArray[np.float64]

    @property
    def flip_rate(self) -> float:
        """Rate of strand flips, never 0 or 1."""
        return (self.flips + 0.5) / (self.sites + 1.0)

    def log_odds(
        self, flip_rate: float, is_swapped: NDArray[np.bool_], major: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Log odds that a palindromic record is a strand flip, before its genotypes are compared.

        A record that looks swapped is either that, or a flip without swapped alleles; one that
        looks as in the panel may be a flip with swapped alleles. On the other strand the more
        frequent allele is the other one.

        is_swapped  (k,) True if REF looks like the panel's ALT
        major       (k,) the more frequent allele if the record is as written
        """
        written, flipped = self.swap_rate[major], self.swap_rate[_OTHER[major]]
        as_written = np.where(is_swapped, written, 1.0 - written)
        turned = np.where(is_swapped, 1.0 - flipped, flipped)
        return np.asarray(np.log(flip_rate / (1.0 - flip_rate)) + np.log(turned / as_written))


def habit(
    is_flip: NDArray[np.bool_], is_swapped: NDArray[np.bool_], major: NDArray[np.int64]
) -> Habit:
    """The habit of a file, from its n telling sites; all arguments are (n,)."""
    overall = (is_swapped.sum() + 0.5) / (len(is_swapped) + 1.0)
    swaps = np.bincount(major[is_swapped], minlength=3)
    sites = np.bincount(major, minlength=3)
    rate = (swaps + _PSEUDO_SWAPS * overall) / (sites + _PSEUDO_SWAPS)
    return Habit(len(is_flip), int(is_flip.sum()), int(is_swapped.sum()), rate)


def likely_rate(
    habit: Habit,
    is_swapped: NDArray[np.bool_],
    major: NDArray[np.int64],
    seen: NDArray[np.float64],
) -> float:
    """The flip rate of palindromic sites: that of the telling sites, unless more is far likelier.

    seen  (k,) log odds by linkage that a record is as written; 0 if it was not compared
    """
    rates = [habit.flip_rate, *(rate for rate in _RATES if rate > habit.flip_rate)]
    likelihood = np.empty(len(rates))
    for number, rate in enumerate(rates):
        odds = habit.log_odds(rate, is_swapped, major)
        written, flipped = -np.logaddexp(0.0, odds), -np.logaddexp(0.0, -odds)
        likelihood[number] = np.logaddexp(written, flipped - seen).sum()
    best = int(likelihood.argmax())
    return rates[best] if likelihood[best] > likelihood[0] + _ENOUGH_GAIN else rates[0]


def major_alleles(alleles: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n,) REF_MAJOR, ALT_MAJOR or TIED from alleles (n, N, 2), unordered ones included."""
    alleles = plain(alleles)
    balance = (alleles == tokens.ALT).sum(axis=(1, 2)) - (alleles == tokens.REF).sum(axis=(1, 2))
    return np.select([balance < 0, balance > 0], [REF_MAJOR, ALT_MAJOR], TIED).astype(np.int64)


def other_strand(alleles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """REF and ALT exchanged, in unordered genotypes too; other values stay.

    >>> known = [tokens.REF, tokens.ALT, tokens.MISSING, tokens.ALT | UNORDERED]
    >>> other_strand(np.array(known, np.uint8)).tolist()
    [1, 0, 4, 8]
    """
    is_known = (alleles & np.uint8(UNORDERED - 1)) <= tokens.ALT
    return np.where(is_known, alleles ^ 1, alleles).astype(np.uint8)


def blocks(
    is_asked: NDArray[np.bool_], is_telling: NDArray[np.bool_], contig: NDArray[np.int32]
) -> Iterator[NDArray[np.int64]]:
    """Rows of successive blocks: sites to decide, and the telling sites that predict them.

    Each asked row is in one block, with the nearest FLANK telling rows on either side of it on its
    contig, or as many as there are.

    is_asked, is_telling, contig  (T,) of the typed sites, in the panel's order
    """
    for number in np.unique(contig[is_asked]).tolist():
        telling = np.flatnonzero(is_telling & (contig == number))
        asked = np.flatnonzero(is_asked & (contig == number))
        place = np.searchsorted(telling, asked)
        first = 0
        while first < len(asked):
            last = int(np.searchsorted(place, place[first] + _BLOCK, side="right"))
            low = max(0, int(place[first]) - FLANK)
            near = telling[low : int(place[last - 1]) + FLANK + 1]
            yield np.union1d(asked[first:last], near)
            first = last


def linkage(
    panel: NDArray[np.uint8],
    target: NDArray[np.uint8],
    is_telling: NDArray[np.bool_],
    asked: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Log-likelihood ratios of the alleles as written against those of the other strand.

    A ridge regression on the panel's haplotypes predicts each allele of a target sample from the
    telling sites around. It is linear, so the mean over the two haplotypes of a sample is right
    whatever the phase: the evidence of homozygotes needs no phase, that of heterozygotes is the
    order of their alleles and is worth as much as the phase.

    panel       (n, H) alleles 0 or 1
    target      (n, N, 2) in the panel's orientation
    is_telling  (n,) True for the sites to predict from
    asked       (k,) rows to decide; a telling row is predicted from the others
    returns     (k, 2) of all homozygotes and of all heterozygotes
    """
    panel = panel[:, :: -(-panel.shape[1] // MOST_HAPLOTYPES)]
    mean = panel.mean(axis=1)
    centred = (panel - mean[:, None]).astype(np.float32)
    products = (centred @ centred.T).astype(np.float64)
    ridge = _RIDGE[0] + _RIDGE[1] * panel.shape[1]
    known = plain(target)
    shown = np.where(known <= tokens.ALT, known - mean[:, None, None], 0.0)
    telling = np.flatnonzero(is_telling)
    ratios = np.empty((len(asked), 2))
    for number, row in enumerate(asked.tolist()):
        place = int(np.searchsorted(telling, row))
        near = telling[max(0, place - FLANK) : place + FLANK + 1]
        near = near[near != row]
        square = products[np.ix_(near, near)] + ridge * np.eye(len(near))
        weights = np.linalg.solve(square, products[near, row])
        predicted = mean[row] + np.tensordot(weights, shown[near], axes=1)
        ratios[number] = _ratios(target[row], predicted)
    return ratios


def _ratios(alleles: NDArray[np.uint8], predicted: NDArray[np.float64]) -> tuple[float, float]:
    """Log-likelihood ratios of a site's homozygotes (and single alleles) and heterozygotes.

    The target's frequencies differ from the panel's, in the same direction in all samples. So the
    predictions are moved either way, and the weaker ratio counts; with many samples more.

    alleles, predicted  (N, 2); predicted is of ALT
    """
    is_observed = alleles <= tokens.ALT
    is_het = is_observed.all(axis=1) & (alleles[:, 0] != alleles[:, 1])
    counted = is_observed & ~is_het[:, None]  # homozygotes, and single alleles
    number = counted.sum(axis=1)
    sign = ((alleles == tokens.ALT) & counted).sum(axis=1) * 2.0 - number
    mean = (predicted * counted).sum(axis=1) / np.maximum(number, 1)
    samples = len(alleles)
    shift = _MOST_SHIFT * samples / (samples + _SHIFT_SAMPLES)
    below, above = (float(sign @ _logit(mean + move)) for move in (-shift, shift))
    same = min(below, above, key=abs) if below * above > 0 else 0.0
    order = np.where(alleles[is_het, 0] == tokens.ALT, 1.0, -1.0)
    one, other = _logit(predicted[is_het]).T
    return same, float(order @ (one - other))


def _logit(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    chance = np.clip(chance, _LEAST, 1.0 - _LEAST)
    return np.asarray(np.log(chance / (1.0 - chance)))


def slopes(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,) factors, 0 to 1, that turn the ratios of `linkage` into log odds.

    Samples of one population are wrong together, and the order of unphased alleles says nothing:
    the telling sites, whose strand is known, show how far each ratio can be trusted. The most
    likely factor of a logistic regression, in which one imaginary site more is wrong.

    ratios  (k, 2) at telling sites
    """
    found = np.zeros(2)
    for column in range(2):
        seen = np.append(ratios[ratios[:, column] != 0.0, column], -_DOUBT)
        likelihood = -np.logaddexp(0.0, -np.outer(_SLOPES, seen)).sum(axis=1)
        found[column] = _SLOPES[int(likelihood.argmax())]
    return found
