"""Lines of the records of a VCF or BCF, some at a time, with bounded memory.

n lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.errors import InputError
from vcfbert.storage.vcf import bcf_checks, variants
from vcfbert.storage.vcf.bgzf_reader import BgzfReader, PlainReader
from vcfbert.storage.vcf.checks import Header

_NEWLINE = ord("\n")


@dataclass(frozen=True)
class LineBlock:
    """Whole lines.

    text  uint8
    ends  (n,) offset past each line
    """

    text: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)


class LineSource:
    """The lines of one file below its header. Only a BCF stays open."""

    def __init__(self, path: Path, header: Header, piece: int) -> None:
        """Read nothing yet.

        piece  bytes to keep in memory
        """
        self.path = path
        self._piece = piece
        self._text, self._ends = b"", np.empty(0, np.int64)
        self._is_finished = False
        self._reader: _BcfReader | BgzfReader | PlainReader
        if header.is_bcf:
            self._reader = _BcfReader(path, header)
            self._skip = 0
        else:
            self._reader = BgzfReader(path) if header.is_compressed else PlainReader(path)
            self._skip = len(header.text)

    @property
    def read_bytes(self) -> int:
        """Bytes of the file that have been read."""
        return self._reader.read_bytes

    def fill(self) -> int:
        """Read on if less than a piece is in memory; returns the number of whole lines there."""
        while not self._is_finished and (
            len(self._text) < self._piece or (len(self._ends) == 0 and self._text)
        ):
            more = self._reader.read(max(self._piece, len(self._text)) + self._skip)
            if not more:
                self._is_finished = True
                if self._text and not self._text.endswith(b"\n"):
                    self._text += b"\n"  # `check_whole` lets a plain file end without one
                    self._ends = np.append(self._ends, len(self._text))
                break
            skipped, self._skip = min(self._skip, len(more)), max(0, self._skip - len(more))
            more = more[skipped:]
            found = np.flatnonzero(np.frombuffer(more, np.uint8) == _NEWLINE) + 1
            self._ends = np.concatenate([self._ends, found + len(self._text)])
            self._text += more
        return len(self._ends)

    def take(self, count: int) -> LineBlock:
        """The next lines, which are in memory."""
        stop = int(self._ends[count - 1]) if count else 0
        block = LineBlock(np.frombuffer(self._text[:stop], np.uint8), self._ends[:count])
        self._text, self._ends = self._text[stop:], self._ends[count:] - stop
        return block


class _BcfReader:
    """The lines of a BCF as text."""

    def __init__(self, path: Path, header: Header) -> None:
        bcf_checks.check_bcf(path, header)
        self.read_bytes = 0
        self._path = path
        self._lines = self._read()

    def read(self, wanted: int) -> bytes:
        """Lines of at least `wanted` bytes; empty at the end of the file."""
        lines, size = [], 0
        for line in self._lines:
            lines.append(line)
            size += len(line)
            if size >= wanted:
                break
        return b"".join(lines)

    def _read(self) -> Iterator[bytes]:
        count = 0
        try:
            for variant in variants.open_file(self._path, is_bcf=True):
                count += 1
                yield str(variant).encode()
        except Exception as error:  # cyvcf2 has no class of its own
            if not variants.is_stop(error):
                raise
            raise InputError(
                f"{self._path} is damaged after record {count}. Copy or download it again."
            ) from error
        self.read_bytes = self._path.stat().st_size
