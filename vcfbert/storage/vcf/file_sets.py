"""Heterozygotes that phasing does not reach, but a phase set of the file does.

Read-based phasing links heterozygotes that the panel lacks to others that it has. If a phase set is
turned, all of its heterozygotes are. A set without any that is phased by the panel stays a set of
its own.

T typed sites, N samples.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.filled_calls import FilledGenotypes
from vcfbert.domain.phased_calls import AS_WRITTEN, TURNED, UNPHASED, PhasedCalls
from vcfbert.storage.vcf import phase_sets
from vcfbert.storage.vcf.checks import NUM_FIXED

CURRENT = 0
"""Phase set of a follower that is in the set of the heterozygotes around it."""

_FEWEST = 2  # heterozygotes of a set of its own

Key = tuple[int, bytes]
"""A sample, and a phase set of the file."""


@dataclass
class Follower:
    """A heterozygote that follows its phase set.

    record, position  of the file
    order             AS_WRITTEN or TURNED
    is_start          True if it begins a phase set
    name              PS, or CURRENT
    """

    sample: int
    record: int
    position: int
    order: int = AS_WRITTEN
    is_start: bool = False
    name: int = CURRENT


@dataclass
class _Contig:
    """Phased heterozygotes of the file on one contig.

    anchors  those that were phased: (position, record, order), rising
    loose    the others
    """

    anchors: dict[Key, list[tuple[int, int, int]]] = field(default_factory=dict)
    loose: dict[Key, list[Follower]] = field(default_factory=dict)


def followers(
    records: Iterable[Sequence[bytes]],
    calls: PhasedCalls,
    filled: FilledGenotypes | None,
    is_written: Callable[[bytes, int], bool],
) -> dict[int, list[Follower]]:
    """Those of each record. A set that begins earlier with one of them does so in `calls`, too.

    records     columns of all records of the file, in order
    is_written  False for contigs and positions of records that are left out
    """
    orders = _OrdersByRecord(calls)
    starts = _Starts(calls, filled)
    found: dict[int, list[Follower]] = {}
    name, contig = b"", _Contig()
    for number, columns in enumerate(records):
        if columns[0] != name:
            _settle(contig, starts, found)
            name, contig = columns[0], _Contig()
        position = int(columns[1])
        starts.note(number, position)
        order = orders.of(number)
        for sample, text in _phased(columns, calls.is_kept):
            key = sample, text
            if order is not None and order[sample] in (AS_WRITTEN, TURNED):
                anchor = position, number, int(order[sample])
                contig.anchors.setdefault(key, []).append(anchor)
            elif (order is None or order[sample] == UNPHASED) and is_written(name, position):
                contig.loose.setdefault(key, []).append(Follower(sample, number, position))
    _settle(contig, starts, found)
    return found


def _phased(columns: Sequence[bytes], is_kept: NDArray[np.bool_]) -> Iterable[tuple[int, bytes]]:
    """Samples with a phased heterozygote, and the phase set that the file names."""
    keys = columns[NUM_FIXED - 1].decode("latin-1").split(":")
    if keys[0] != "GT":
        return
    tag = phase_sets.tag_of(keys)
    place = None if tag is None else keys.index(tag)
    for sample, cell in enumerate(columns[NUM_FIXED:]):
        if b"|" not in cell or is_kept[sample]:
            continue
        values = cell.split(b":")
        first, bar, second = values[0].lstrip(b"/|").partition(b"|")
        if bar and first != second and first.isdigit() and second.isdigit():
            is_named = place is not None and place < len(values)
            yield sample, values[place] if is_named and place is not None else b"."


def _settle(contig: _Contig, starts: _Starts, found: dict[int, list[Follower]]) -> None:
    """Let the loose heterozygotes of a contig follow their sets."""
    joined: list[tuple[Follower, int]] = []
    for key, loose in contig.loose.items():
        anchors = contig.anchors.get(key, [])
        places = [position for position, _, _ in anchors]
        for one in loose if anchors else []:
            _, record, one.order = anchors[_nearest(places, one.position)]
            starts.move(one, record)
            joined.append((one, record))
    for one, record in joined:
        one.name = starts.name(one, record)
        found.setdefault(one.record, []).append(one)
    for key, loose in contig.loose.items():
        own = loose[0].position
        if key in contig.anchors or len(loose) < _FEWEST or starts.is_taken(key[0], own):
            continue
        loose[0].is_start = True
        for one in loose:
            one.name = own
            found.setdefault(one.record, []).append(one)


def _nearest(places: Sequence[int], wanted: int) -> int:
    """Index of the nearest of some places, rising; of two as near, the first.

    >>> _nearest([2, 6], 4), _nearest([2, 6], 9)
    (0, 1)
    """
    after = bisect_left(places, wanted)
    if after in (0, len(places)):
        return min(after, len(places) - 1)
    return after - 1 if wanted - places[after - 1] <= places[after] - wanted else after


class _OrdersByRecord:
    """The order that was found at the sites of each record."""

    def __init__(self, calls: PhasedCalls) -> None:
        self._order = calls.order
        self._rows = calls.rows()
        records, ends = calls.rows_by_record()
        firsts = np.concatenate([[0], ends[:-1]])
        self._range: Mapping[int, tuple[int, int]] = dict(
            zip(
                records.tolist(),
                zip(firsts.astype(int).tolist(), ends.tolist(), strict=True),
                strict=True,
            )
        )

    def of(self, record: int) -> NDArray[np.uint8] | None:
        """(N,), the first site that has one decides; None if the record types no site."""
        ends = self._range.get(record)
        if ends is None:
            return None
        orders = self._order[self._rows[slice(*ends)]]
        first = (orders != 0).argmax(axis=0)
        found: NDArray[np.uint8] = orders[first, np.arange(orders.shape[1])]
        return found


class _Starts:
    """Where the phase sets of the output begin, sample by sample."""

    def __init__(self, calls: PhasedCalls, filled: FilledGenotypes | None) -> None:
        self._calls = calls
        self._filled = filled
        self._positions: list[int] = []
        self._records: dict[int, list[int]] = {}
        row, sample = np.nonzero(calls.is_start)
        begun = list(zip(calls.record[row].tolist(), sample.tolist(), strict=True))
        if filled is not None:
            rows = np.flatnonzero(filled.is_start)
            pairs = zip(filled.record[rows].tolist(), filled.sample[rows].tolist(), strict=True)
            begun += pairs
        for record, one in sorted(set(begun)):
            self._records.setdefault(one, []).append(record)

    def note(self, record: int, position: int) -> None:
        """The position of the next record."""
        assert record == len(self._positions)
        self._positions.append(position)

    def is_taken(self, sample: int, position: int) -> bool:
        """True if a set of this sample is named after the position."""
        known = [one for one in self._records.get(sample, []) if one < len(self._positions)]
        return any(self._positions[record] == position for record in known)

    def move(self, one: Follower, anchor: int) -> None:
        """Begin the set of a phased heterozygote with one before it, if none is between them."""
        starts = self._records.get(one.sample, [])
        number = bisect_right(starts, anchor) - 1
        if number < 0 or one.record >= starts[number]:
            return
        if not self._has_phased(one.sample, one.record, starts[number]):
            self._clear(starts[number], one.sample)
            starts[number] = one.record
            one.is_start = True

    def name(self, one: Follower, anchor: int) -> int:
        """PS of a heterozygote in the set of a phased one."""
        starts = self._records.get(one.sample, [])
        number = bisect_right(starts, anchor)
        if number == 0 or bisect_right(starts, one.record) == number:
            return CURRENT
        return self._positions[starts[number - 1]]

    def _has_phased(self, sample: int, first: int, stop: int) -> bool:
        """True if a heterozygote of a sample is phased at records [first, stop)."""
        record = self._calls.record
        rows = (record >= first) & (record < stop)
        order = self._calls.order[rows, sample]
        return bool(np.isin(order, (AS_WRITTEN, TURNED)).any())

    def _clear(self, record: int, sample: int) -> None:
        """A set does not begin here."""
        self._calls.is_start[self._calls.record == record, sample] = False
        if self._filled is not None:
            here = (self._filled.record == record) & (self._filled.sample == sample)
            self._filled.is_start[here] = False
