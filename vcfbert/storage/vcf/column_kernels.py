"""Compiled scans and copies of the columns of VCF lines.

n lines of one file as bytes; `columns` (n, 9) are the offsets at which POS, ID, REF, ALT, QUAL,
FILTER, INFO, FORMAT and the first sample begin. All run without the interpreter's lock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.compiling import compiled

NUM_FIXED = 9
CHROM, POS, ID, REF, ALT, QUAL, FILTER, INFO, FORMAT = range(NUM_FIXED)
"""Numbers of the columns."""

HAPLOTYPES, CALLS, COPIES, SQUARES, PRODUCTS = range(5)
"""Columns of what `cell_sums` returns."""

NO_PROBABILITY, ONE_FIELD, TWO_FIELDS, FROM_GENOTYPES = range(4)
"""Where the ALT probabilities of the two haplotypes are: nowhere, in one field as `0.1,0.9`, in a
field each, or in the dosage and the genotype probabilities."""

_TAB, _NEWLINE, _RETURN, _COLON, _COMMA, _SEMICOLON, _EQUALS = b"\t\n\r:,;="
_POINT, _ZERO, _NINE, _MINUS, _PLUS, _SMALL_E, _BIG_E, _BAR, _SLASH = b".09-+eE|/"
_MOST_DIGITS = 17
_POWERS = 10.0 ** np.arange(23)  # exact in float64


@compiled
def find_columns(
    text: NDArray[np.uint8], ends: NDArray[np.int64], num_columns: int
) -> tuple[NDArray[np.int64], int, int]:
    """The columns, and the first line with another number of columns and that number, or -1."""
    columns = np.empty((len(ends), NUM_FIXED), np.int64)
    start = 0
    for row in range(len(ends)):
        found, at, stop = 0, start, ends[row]
        while at < stop and found < NUM_FIXED:
            if text[at] == _TAB:
                columns[row, found] = at + 1
                found += 1
            at += 1
        count = 0
        for place in range(at, stop):
            count += text[place] == _TAB
        if found + count != num_columns - 1:
            return columns, row, found + count + 1
        start = stop
    return columns, -1, -1


@compiled
def first_difference(
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    columns: NDArray[np.int64],
    other_text: NDArray[np.uint8],
    other_ends: NDArray[np.int64],
    other_columns: NDArray[np.int64],
    which: int,
    first: int,
) -> int:
    """The first line from `first` on whose column differs in the other file; -1 if none does."""
    for row in range(first, len(ends)):
        if which == 0:
            start = ends[row - 1] if row else 0
            other = other_ends[row - 1] if row else 0
        else:
            start, other = columns[row, which - 1], other_columns[row, which - 1]
        length = columns[row, which] - start
        if other_columns[row, which] - other != length:
            return row
        for place in range(length):
            if text[start + place] != other_text[other + place]:
                return row
    return -1


@compiled
def length_of_contig(
    text: NDArray[np.uint8], ends: NDArray[np.int64], columns: NDArray[np.int64], first: int
) -> int:
    """Number of lines from `first` on with the same CHROM."""
    begin = ends[first - 1] if first else 0
    length = columns[first, 0] - begin
    for row in range(first + 1, len(ends)):
        if columns[row, 0] - ends[row - 1] != length:
            return row - first
        for place in range(length):
            if text[ends[row - 1] + place] != text[begin + place]:
                return row - first
    return len(ends) - first


@compiled
def has_format_of(
    text: NDArray[np.uint8], columns: NDArray[np.int64], which: int
) -> NDArray[np.bool_]:
    """(n,) True for lines with the same FORMAT as line `which`."""
    found = np.zeros(len(columns), np.bool_)
    start = columns[which, INFO]
    length = columns[which, FORMAT] - start
    for row in range(len(columns)):
        if columns[row, FORMAT] - columns[row, INFO] != length:
            continue
        place = 0
        while place < length and text[columns[row, INFO] + place] == text[start + place]:
            place += 1
        found[row] = place == length
    return found


@compiled
def reorder_fields(
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    columns: NDArray[np.int64],
    is_chosen: NDArray[np.bool_],
    order: NDArray[np.int64],
) -> int:
    """Put the fields of the cells of the chosen lines in another order, in place.

    order    (F,) numbers of the fields in FORMAT
    returns  the first line with a cell that has another number of fields; -1 if there is none
    """
    starts = np.empty(len(order) + 1, np.int64)
    for row in range(len(ends)):
        if not is_chosen[row]:
            continue
        at, stop = columns[row, FORMAT], ends[row]
        buffer = np.empty(stop - at + 1, np.uint8)
        while at < stop:
            starts[0] = begin = at
            count = 1
            while text[at] == _COLON or text[at] > _RETURN:
                if text[at] == _COLON:
                    if count == len(order):
                        return row
                    starts[count] = at + 1
                    count += 1
                at += 1
            if count < len(order):
                return row
            starts[count] = at + 1
            to = 0
            for field in order:
                for place in range(starts[field], starts[field + 1] - 1):
                    buffer[to] = text[place]
                    to += 1
                buffer[to] = _COLON
                to += 1
            for place in range(to - 1):
                text[begin + place] = buffer[place]
            while at < stop and text[at] != _TAB:
                at += 1
            at += 1
    return -1


@compiled
def has_byte(
    text: NDArray[np.uint8], columns: NDArray[np.int64], which: int, byte: int
) -> NDArray[np.bool_]:
    """(n,) True if a column other than CHROM contains a byte."""
    found = np.zeros(len(columns), np.bool_)
    for row in range(len(columns)):
        for place in range(columns[row, which - 1], columns[row, which] - 1):
            found[row] |= text[place] == byte
    return found


@compiled
def _number(text: NDArray[np.uint8], at: int, stop: int) -> tuple[float, int]:
    """A number and the offset past it; NaN if there is none."""
    mantissa, digits, scale = 0, 0, 0
    is_negative = at < stop and text[at] == _MINUS
    if is_negative:
        at += 1
    is_fraction = has_digit = False
    while at < stop:
        byte = text[at]
        if _ZERO <= byte <= _NINE:
            has_digit = True
            if digits < _MOST_DIGITS:
                mantissa = mantissa * 10 + (byte - _ZERO)
                digits += mantissa > 0
                scale += is_fraction
            else:
                scale -= not is_fraction
        elif byte == _POINT and not is_fraction:
            is_fraction = True
        else:
            break
        at += 1
    if not has_digit:
        return np.nan, at
    if at < stop and (text[at] == _SMALL_E or text[at] == _BIG_E):
        at += 1
        is_small = at < stop and text[at] == _MINUS
        if at < stop and (text[at] == _MINUS or text[at] == _PLUS):
            at += 1
        exponent = 0
        while at < stop and _ZERO <= text[at] <= _NINE:
            exponent = min(exponent * 10 + (text[at] - _ZERO), 400)
            at += 1
        scale += exponent if is_small else -exponent
    value = float(mantissa)
    while scale > 0:
        step = min(scale, 22)
        value /= _POWERS[step]
        scale -= step
    while scale < 0:
        step = min(-scale, 22)
        value *= _POWERS[step]
        scale += step
    return (-value if is_negative else value), at


@compiled
def _genotype(text: NDArray[np.uint8], at: int) -> tuple[int, float, float]:
    """Ploidy of a genotype, 1 or 2, and its two ALT calls, 0 or 1."""
    left = 1.0 if text[at] == _ZERO + 1 else 0.0
    if text[at + 1] != _BAR and text[at + 1] != _SLASH:
        return 1, left, 0.0
    return 2, left, (1.0 if text[at + 2] == _ZERO + 1 else 0.0)


@compiled
def positions(text: NDArray[np.uint8], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) POS; -1 if it is not a number."""
    found = np.empty(len(columns), np.int64)
    for row in range(len(columns)):
        value, at = _number(text, columns[row, CHROM], columns[row, POS])
        is_whole = at == columns[row, POS] - 1 and 0 <= value < 2.0**53
        found[row] = np.int64(value) if is_whole else -1
    return found


@compiled
def info_numbers(
    text: NDArray[np.uint8], columns: NDArray[np.int64], key: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """(n,) the first number of an INFO key; 1 for a flag, NaN if there is none."""
    values = np.full(len(columns), np.nan)
    for row in range(len(columns)):
        at, stop = columns[row, FILTER], columns[row, INFO] - 1
        while at < stop:
            place = 0
            while place < len(key) and at < stop and text[at] == key[place]:
                at += 1
                place += 1
            if place == len(key) and (at == stop or text[at] == _SEMICOLON):
                values[row] = 1.0
                break
            if place == len(key) and text[at] == _EQUALS:
                values[row] = _number(text, at + 1, stop)[0]
                break
            while at < stop and text[at] != _SEMICOLON:
                at += 1
            at += 1
    return values


@compiled
def cell_sums(
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    columns: NDArray[np.int64],
    call: int,
    first: int,
    second: int,
    how: int,
    is_chosen: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Sums over the samples of the chosen lines; 0 for other lines.

    call           number of GT in FORMAT
    first, second  numbers of the fields with probabilities, see `how`
    how            NO_PROBABILITY, ONE_FIELD, TWO_FIELDS or FROM_GENOTYPES
    returns        (n, 5) haplotypes, ALT calls, ALT copies, their squares, calls times copies; NaN
                   if a probability is missing
    """
    sums = np.zeros((len(ends), 5))
    for row in np.flatnonzero(is_chosen):
        at, stop = columns[row, FORMAT], ends[row]
        while at < stop:
            field = ploidy = 0
            left = right = np.nan
            left_call = right_call = 0.0
            dosage = both = np.nan
            while True:
                if field == call:
                    ploidy, left_call, right_call = _genotype(text, at)
                if field == first and how == ONE_FIELD:
                    left, at = _number(text, at, stop)
                    if text[at] == _COMMA:
                        right, at = _number(text, at + 1, stop)
                elif field == first and how == TWO_FIELDS:
                    left, at = _number(text, at, stop)
                elif field == second and how == TWO_FIELDS:
                    right, at = _number(text, at, stop)
                elif field == first and how == FROM_GENOTYPES:
                    dosage, at = _number(text, at, stop)
                elif field == second and how == FROM_GENOTYPES:
                    both, at = _number(text, at, stop)
                    while text[at] == _COMMA:  # the last is the probability of two copies
                        both, at = _number(text, at + 1, stop)
                while text[at] != _COLON and text[at] != _TAB and text[at] > _RETURN:
                    at += 1
                if text[at] != _COLON:
                    break
                at += 1
                field += 1
            while at < stop and text[at] != _TAB:
                at += 1
            at += 1
            sums[row, HAPLOTYPES] += ploidy
            sums[row, CALLS] += left_call + right_call
            if how == NO_PROBABILITY:
                sums[row, COPIES] = sums[row, SQUARES] = np.nan
            elif how == FROM_GENOTYPES:
                sums[row, COPIES] += dosage
                sums[row, SQUARES] += dosage * dosage - (2 * both if ploidy == 2 else 0.0)
            else:
                if ploidy == 1:
                    right = 0.0
                sums[row, COPIES] += left + right
                sums[row, SQUARES] += left * left + right * right
                sums[row, PRODUCTS] += left * left_call + right * right_call
    return sums


@compiled
def cell_bytes(
    text: NDArray[np.uint8], ends: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(n,) bytes of the sample columns of each line, with one separator after them."""
    found = np.empty(len(ends), np.int64)
    for row in range(len(ends)):
        stop = ends[row] - 1
        if text[stop - 1] == _RETURN:
            stop -= 1
        found[row] = stop - columns[row, FORMAT] + 1
    return found


@compiled
def copy_cells(
    text: NDArray[np.uint8],
    columns: NDArray[np.int64],
    length: NDArray[np.int64],
    separator: int,
    out: NDArray[np.uint8],
    place: NDArray[np.int64],
) -> None:
    """Copy the sample columns of each line to its place in `out`, and a separator after them.

    length  as `cell_bytes` returns it
    """
    for row in range(len(place)):
        start, to = columns[row, FORMAT], place[row]
        for step in range(length[row] - 1):
            out[to + step] = text[start + step]
        out[to + length[row] - 1] = separator


@compiled
def copy_heads(
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    out: NDArray[np.uint8],
    place: NDArray[np.int64],
) -> None:
    """Copy pieces of text to their places in `out`."""
    start = 0
    for row in range(len(place)):
        for step in range(ends[row] - start):
            out[place[row] + step] = text[start + step]
        start = ends[row]
