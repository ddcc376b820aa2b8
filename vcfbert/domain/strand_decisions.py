"""Decision of the strand of palindromic (A/T, C/G) records.

If the telling sites of a file (A/C, A/G, ...) show no strand flip, palindromic alleles are taken
as they are written. If both strands occur, each palindromic record is decided by the file's rates
and, if these do not suffice, by linkage with the panel (`strand.py`).

T typed sites, N samples, H haplotypes of the panel, k palindromic sites.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import strand, tokens
from vcfbert.domain.strand import Habit
from vcfbert.domain.unordered import plain

PanelAlleles = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""(n, H) alleles of the panel, 0 or 1, at sites (n,) with rising indexes."""

AS_WRITTEN, FLIPPED, UNDECIDED = 0, 1, 2

MOST_WRONG = 0.01
"""Decisions that are wrong with a higher probability are not made."""

MOST_WRONG_UNSEEN = 0.002
"""The same before the genotypes are compared with the panel."""

MIN_OBSERVED = 100
"""Fewer observed haplotypes say too little about a frequency."""

MIN_DISTANCE = 0.3
"""A frequency this far from the panel's is suspicious; populations differ by less."""

CALIBRATION_SITES = 200
"""Telling sites that are decided like palindromic ones, to see how often that is right."""

SPOT_CHECKS = 40
"""Palindromic sites that are compared with the panel in any file with swapped alleles: if another
tool has put only the telling sites on one strand, nothing else shows the flips."""

_LONE_SWAP = 0.2  # odds of a flip, from which a swapped record in a file without flips is doubtful


@dataclass(frozen=True)
class TypedRecords:
    """The records that type a site of the panel, in its order.

    site            (T,) indexes of the panel's sites
    contig          (T,)
    alleles         (T, N, 2) in the panel's orientation as far as it is known
    is_telling      (T,) True if the alleles show the strand
    is_palindromic  (T,)
    is_flipped      (T,) True for telling records of the other strand
    is_swapped      (T,) True if REF is, or looks like, the panel's ALT
    """

    site: NDArray[np.int64]
    contig: NDArray[np.int32]
    alleles: NDArray[np.uint8]
    is_telling: NDArray[np.bool_]
    is_palindromic: NDArray[np.bool_]
    is_flipped: NDArray[np.bool_]
    is_swapped: NDArray[np.bool_]


@dataclass(frozen=True)
class StrandDecisions:
    """What was decided.

    verdict       (T,) AS_WRITTEN, FLIPPED or UNDECIDED; AS_WRITTEN if a site is not palindromic
    num_compared  palindromic sites that were compared with the panel's haplotypes
    """

    verdict: NDArray[np.int8]
    num_compared: int


def decide(
    records: TypedRecords,
    panel_frequency: NDArray[np.floating] | None,
    panel_alleles: PanelAlleles | None,
) -> StrandDecisions:
    """Decide each palindromic record.

    panel_frequency  (T,) ALT frequencies; None for no comparison of frequencies
    panel_alleles    None for decisions by the file's rates alone; frequencies are not used then
    """
    verdict = np.full(len(records.site), AS_WRITTEN, np.int8)
    rows = np.flatnonzero(records.is_palindromic)
    if not len(rows):
        return StrandDecisions(verdict, 0)
    alleles, is_swapped = records.alleles[rows], records.is_swapped[rows]
    expected = None
    if panel_frequency is not None and panel_alleles is not None:
        expected = panel_frequency[rows]
    far, far_if_flipped = _far(alleles, expected)
    flips = int((records.is_flipped & records.is_telling).sum())
    is_pending = far.copy()
    if flips == 0:
        is_pending |= is_swapped & _is_lone(records)
    is_checked = _spot_check(records, rows, panel_alleles)
    if flips == 0 and not (is_pending | is_checked).any():
        return StrandDecisions(verdict, 0)
    telling = records.is_telling
    habit = strand.habit(
        records.is_flipped[telling],
        records.is_swapped[telling],
        strand.major_alleles(records.alleles[telling]),
    )
    compared = _Compared(records, rows, panel_alleles)
    major = strand.major_alleles(alleles)
    odds = habit.log_odds(habit.flip_rate, is_swapped, major)
    if flips:
        is_pending = _is_pending(odds, far, far_if_flipped)
    seen = compared.odds(is_pending | is_checked)
    # Files whose telling sites alone were put on one strand have more flips at palindromic sites.
    rate = strand.likely_rate(habit, is_swapped, major, seen)
    if rate > habit.flip_rate:
        odds = habit.log_odds(rate, is_swapped, major)
        is_pending = _is_pending(odds, far, far_if_flipped)
    elif flips == 0:
        odds[~is_pending] = -np.inf  # as written
    verdict[rows] = _verdict(odds, compared.odds(is_pending))
    return StrandDecisions(verdict, int(compared.is_done.sum()))


def fits_other_strand(
    alleles: NDArray[np.uint8], expected: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """(k,) True if the ALT frequency is far off and fits the other strand better.

    alleles   (k, N, 2)
    expected  (k,) ALT frequencies of the panel
    """
    return _far(alleles, expected)[0]


class _Compared:
    """Log odds by linkage that palindromic records are as written; each is worked out once."""

    def __init__(
        self, records: TypedRecords, rows: NDArray[np.int64], panel: PanelAlleles | None
    ) -> None:
        self._records = records
        self._rows = rows
        self._panel = panel
        self._odds = np.zeros(len(rows))
        self.is_done = np.zeros(len(rows), np.bool_)

    def odds(self, is_wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(k,) log odds; 0 if a record is not wanted, or nothing is known."""
        is_new = is_wanted & ~self.is_done
        if self._panel is not None and is_new.any():
            self._odds[is_new] = _linkage(self._records, self._rows[is_new], self._panel)
            self.is_done |= is_new
        return np.where(is_wanted, self._odds, 0.0)


def _linkage(
    records: TypedRecords, rows: NDArray[np.int64], panel: PanelAlleles
) -> NDArray[np.float64]:
    """(k,) log odds by linkage that the records of these rows are as written."""
    calibration = _calibration(rows, np.flatnonzero(records.is_telling))
    is_asked = np.zeros(len(records.site), np.bool_)
    is_asked[rows] = is_asked[calibration] = True
    ratios = np.zeros((len(records.site), 2))
    for block in strand.blocks(is_asked, records.is_telling, records.contig):
        asked = np.flatnonzero(is_asked[block])
        ratios[block[asked]] = strand.linkage(
            panel(records.site[block]), records.alleles[block], records.is_telling[block], asked
        )
    return np.asarray(ratios[rows] @ strand.slopes(ratios[calibration]))


def _calibration(rows: NDArray[np.int64], telling: NDArray[np.int64]) -> NDArray[np.int64]:
    """Telling rows near palindromic ones, about CALIBRATION_SITES or as many as there are."""
    if not len(telling):
        return telling
    chosen = rows[:: -(-2 * len(rows) // CALIBRATION_SITES)]
    reach = -(-CALIBRATION_SITES // (2 * len(chosen)))
    places = np.searchsorted(telling, chosen)[:, None] + np.arange(-reach, reach)
    return telling[np.unique(places[(places >= 0) & (places < len(telling))])]


def _verdict(odds: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.int8]:
    """(k,) by the prior log odds of a flip, and the log odds by linkage that it is none."""
    after = odds - seen
    is_sure = np.abs(after) >= np.log(1.0 / MOST_WRONG - 1.0)
    return np.where(is_sure, np.where(after > 0, FLIPPED, AS_WRITTEN), UNDECIDED).astype(np.int8)


def _is_pending(
    odds: NDArray[np.float64], far: NDArray[np.bool_], far_if_flipped: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(k,) True if the file's rates do not decide a record, or its frequency contradicts them."""
    is_unsure = np.abs(odds) < np.log(1.0 / MOST_WRONG_UNSEEN - 1.0)
    return np.asarray(is_unsure | np.where(odds > 0, far_if_flipped, far))


def _spot_check(
    records: TypedRecords, rows: NDArray[np.int64], panel: PanelAlleles | None
) -> NDArray[np.bool_]:
    """(k,) True for SPOT_CHECKS palindromic sites, if swapped alleles could hide strand flips."""
    is_checked = np.zeros(len(rows), np.bool_)
    if panel is not None and (records.is_swapped & records.is_telling).any():
        is_checked[:: -(-len(rows) // SPOT_CHECKS)] = True
    return is_checked


def _is_lone(records: TypedRecords) -> bool:
    """True if swapped alleles are too rare in a file without flips to explain palindromic ones."""
    swaps = int((records.is_swapped & records.is_telling).sum())
    sites = int(records.is_telling.sum())
    rare = Habit(sites, 0, swaps, np.full(3, (swaps + 0.5) / (sites + 1.0)))
    odds = rare.log_odds(rare.flip_rate, np.ones(1, np.bool_), np.zeros(1, np.int64))[0]
    palindromic = records.is_swapped[records.is_palindromic]
    is_much = palindromic.mean() > 2.0 * rare.swap_rate[0] + 2.0 / len(palindromic)
    return bool(odds > np.log(_LONE_SWAP) or is_much)


def _far(
    alleles: NDArray[np.uint8], expected: NDArray[np.floating] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(k,) twice: the frequency is far off, as written and on the other strand; the other fits."""
    if expected is None:
        none = np.zeros(len(alleles), np.bool_)
        return none, none
    alleles = plain(alleles)
    observed = tokens.is_observed(alleles).sum(axis=(1, 2))
    frequency = (alleles == tokens.ALT).sum(axis=(1, 2)) / np.maximum(observed, 1)
    written, other = np.abs(frequency - expected), np.abs(1.0 - frequency - expected)
    is_enough = observed >= MIN_OBSERVED
    return (
        is_enough & (written >= MIN_DISTANCE) & (other < written / 2),
        is_enough & (other >= MIN_DISTANCE) & (written < other / 2),
    )
