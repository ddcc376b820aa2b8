"""The end of a VCF that is not compressed: nothing but its last line tells whether it is whole."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from vcfbert.errors import InputError

logger = logging.getLogger(__name__)

_FORMAT = 8  # column
_PIECE = 1 << 16
_ALLELE = rb"(?:\d+|\.)"
_GENOTYPE = re.compile(rb"[|/]?%b(?:[|/]%b)*" % (_ALLELE, _ALLELE))
_SIGNS = re.compile(rb"[|/]")
_VALUES = re.compile(rb"[,|/]")

_warned: set[tuple[Path, int, int]] = set()  # path, size and time: a command opens a file often


def check(path: Path, *, begin: int, num_columns: int) -> None:
    """Raise InputError if the file ends in the middle of a line.

    begin  offset of the first record

    If the last line is whole and lacks only its newline, as htslib allows, log a warning once.
    """
    before, last = _last_lines(path, begin)
    if last == b"":
        return
    if not is_whole(last, before, num_columns):
        raise InputError(
            f"{path} ends in the middle of a line, so it is truncated. Copy or download it again; "
            f"if only the last newline is missing, add it with: echo >> {path}"
        )
    found = path.stat()
    key = path.absolute(), found.st_size, found.st_mtime_ns
    if key not in _warned:
        _warned.add(key)
        logger.warning("%s does not end with a newline. Its last line is whole and is read.", path)


def is_whole(line: bytes, before: bytes, num_columns: int) -> bool:
    r"""True if a line without newline has all columns, and the cell of its last sample is whole.

    before  the line before it, or nothing

    The cell must have all fields of FORMAT, and as many alleles and values as the last cell of the
    line before, or as the cell to its left.

    >>> fixed = b"20\t5\t.\tA\tG\t.\t.\t.\tGT:DS\t0|1:1\t"
    >>> [is_whole(fixed + cell, b"", 11) for cell in (b"1|1:2", b"1|1:", b"1|1", b"1|1:1.")]
    [True, False, False, False]
    """
    columns = line.split(b"\t")
    if len(columns) != num_columns or line.endswith(b"\r"):  # half of a line end
        return False
    fields, keys = columns[-1].split(b":"), columns[_FORMAT].split(b":")
    if len(fields) != len(keys) or (keys[0] == b"GT" and not _GENOTYPE.fullmatch(fields[0])):
        return False
    like = _like(columns, before.rstrip(b"\r").split(b"\t"))
    if keys == [b"GT"]:
        return _num_alleles(fields[0]) >= (2 if like is None else _num_alleles(like))
    values = _VALUES.split(fields[-1])
    if values[-1] != b"." and (values[-1] == b"" or values[-1][-1:] in b".eE+-"):
        return False
    wanted = None if like is None else like.split(b":")[-1]
    return wanted in (None, b".") or fields[-1] == b"." or wanted.count(b",") == len(values) - 1


def _like(columns: list[bytes], before: list[bytes]) -> bytes | None:
    """A whole cell of the same FORMAT: of the same sample before, or of the sample before."""
    if len(before) == len(columns) and (before[0], before[_FORMAT]) == (
        columns[0], columns[_FORMAT],
    ):  # fmt: skip
        return before[-1]
    return columns[-2] if len(columns) > _FORMAT + 2 else None


def _num_alleles(genotype: bytes) -> int:
    return len(_SIGNS.split(genotype.lstrip(b"|/")))


def _last_lines(path: Path, begin: int) -> tuple[bytes, bytes]:
    """The line before the last newline, if any, and what follows that newline."""
    with path.open("rb") as stream:
        start = stop = stream.seek(0, 2)
        text, piece = b"", _PIECE
        while start > begin and text.count(b"\n") < 2 and not text.endswith(b"\n"):
            start = max(begin, start - piece)
            stream.seek(start)
            text, piece = stream.read(stop - start), 2 * piece
    if start == stop:  # no records
        return b"", b""
    lines = text.split(b"\n")
    is_whole_before = len(lines) > 2 or (len(lines) == 2 and start == begin)
    return lines[-2] if is_whole_before else b"", lines[-1]
