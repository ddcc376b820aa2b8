"""Damage and malice done to the bytes of a valid file, each from a seed alone."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

NUMBERS = (
    b"0", b"-1", b"1", b"2", b"127", b"128", b"255", b"256", b"32767", b"65536", b"536870912",
    b"2147483646", b"2147483647", b"2147483648", b"4294967295", b"9223372036854775807",
    b"18446744073709551616", b"-2147483649", b"1e308", b"1e999", b"-0.0", b"nan", b"inf", b"1_000",
    b"0x10", b"00000000000000000001", b"9" * 400, b"9" * 5000, b".", b"", b"true", b"null",
)  # fmt: skip
"""What stands in the place of a number."""

TOKENS = (
    b"\x00", b"\r", b"\n", b"\r\n", b"\t", b" ", b"#", b"##", b",", b";", b":", b"=", b"|", b"/",
    b"<", b">", b'"', b"'", b"\\", b"[", b"]", b"{", b"}", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf",
    "\u2028".encode(), "\u0661".encode(), b"%s%n", b"../..", b"/etc/passwd", b"-rf", b"NaN", b"*",
    b"<NON_REF>", b"<DEL>", b".|.", b"./.", b"1", b"0|1|2", b"chr20", b"null", b"{}", b"[]",
    b"true", b"1e400", b"A" * 3000, b"9" * 30,
)  # fmt: skip
"""What is put in or stands in the place of a word."""

EDGES = (0, 1, 0x7F, 0x80, 0xFF)

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORD = re.compile(rb"[^\s\"',:;=|\[\]{}<>]+")

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutate(
    rng: random.Random, data: bytes, others: Sequence[bytes], *, is_text: bool = True
) -> bytes:
    """One to six mutations, mostly few; binary files get those of bytes more often.

    others  whole files to splice with

    >>> mutate(random.Random(1), b"20 100", [b"21 200"]) == b"20 100"
    False
    """
    chosen = _OF_TEXT if is_text else _OF_BYTES
    before = data
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
        data = rng.choice(chosen)(rng, data, others)
    return data if data != before else _flip(rng, data or b"\0", others)


def _flip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def _set_byte(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = rng.randrange(len(data))
    return data[:place] + bytes([rng.choice(EDGES)]) + data[place + 1 :]


def _set_integer(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Little-endian integers of 2, 4 or 8 bytes become extreme or a little larger or smaller."""
    width = rng.choice((2, 4, 8))
    if len(data) < width:
        return data
    place = rng.randrange(len(data) - width + 1)
    if rng.random() < 0.6:
        place = min(place - place % 4, len(data) - width)
    value = int.from_bytes(data[place : place + width], "little")
    top = 1 << 8 * width
    extremes = (0, top - 1, top // 2, top // 2 - 1, 1 << 30, value + 1, value - 1, 2 * value)
    new = rng.choice(extremes) % top
    return data[:place] + new.to_bytes(width, "little") + data[place + width :]


def _early(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The same in the first 128 bytes, where headers are."""
    return _set_integer(rng, data[:128], others) + data[128:]


def _range(rng: random.Random, data: bytes) -> tuple[int, int]:
    first = rng.randrange(len(data) + 1)
    longest = rng.choice((1, 4, 32, 512, len(data) + 1))
    return first, min(len(data), first + rng.randrange(longest + 1))


def _cut(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    first, stop = _range(rng, data)
    return data[:first] + data[stop:]


def _truncate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _repeat(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    first, stop = _range(rng, data)
    times = rng.choice((1, 1, 2, 10, 100)) if stop - first < 2000 else 1
    return data[:stop] + data[first:stop] * times + data[stop:]


def _splice(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _insert_bytes(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 8, 64))) + data[place:]


def _change_number(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return _change(rng, data, _NUMBER, NUMBERS)


def _change_word(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return _change(rng, data, _WORD, TOKENS)


def _change(
    rng: random.Random, data: bytes, pattern: re.Pattern[bytes], values: Sequence[bytes]
) -> bytes:
    """One match becomes one of some values; it is looked for from a random place on."""
    found = pattern.search(data, rng.randrange(len(data) + 1)) or pattern.search(data)
    if found is None:
        return data
    return data[: found.start()] + rng.choice(values) + data[found.end() :]


def _insert_token(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    times = rng.choice((1, 1, 1, 2, 50))
    return data[:place] + rng.choice(TOKENS) * times + data[place:]


def _lines(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A line goes, comes twice, is moved, or comes from another file."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(other, lines[place])
    elif kind == 2:
        lines[place], lines[other] = lines[other], lines[place]
    else:
        foreign = (rng.choice(others) if others else data).splitlines(keepends=True)
        lines.insert(place, rng.choice(foreign or [b"\n"]))
    return b"".join(lines)


def _columns(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Columns of one line, separated by tabs, commas or spaces, change places, go or come twice."""
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    separator = next((mark for mark in (b"\t", b",", b" ") if mark in lines[place]), b"\t")
    columns = lines[place].split(separator)
    one, other = rng.randrange(len(columns)), rng.randrange(len(columns))
    kind = rng.randrange(3)
    if kind == 0:
        del columns[one]
    elif kind == 1:
        columns.insert(other, columns[one])
    else:
        columns[one], columns[other] = columns[other], columns[one]
    lines[place] = separator.join(columns)
    return b"\n".join(lines)


def _carriage_returns(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b" \n")), rng.choice((-1, 1)))


_OF_BYTES: tuple[Mutation, ...] = (
    _flip, _flip, _flip, _set_byte, _set_integer, _set_integer, _early, _early, _cut, _truncate,
    _repeat, _splice, _insert_bytes,
)  # fmt: skip
_OF_TEXT: tuple[Mutation, ...] = (
    _flip, _set_byte, _cut, _truncate, _repeat, _splice, _insert_bytes, _change_number,
    _change_number, _change_number, _change_word, _change_word, _insert_token, _lines, _lines,
    _columns, _columns, _carriage_returns,
)  # fmt: skip
