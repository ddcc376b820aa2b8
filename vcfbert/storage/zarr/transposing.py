"""Temporary file that turns alleles read site by site into haplotypes window by window.

H haplotypes. The file has one bit per allele; memory holds a block or a window, never the panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.errors import StoreError
from vcfbert.files import locks

_HAPLOTYPES_AT_ONCE = 65_536  # of a multiple of 8; bounds the unpacked bytes of a window


class AlleleSpool:
    """Alleles that are appended site by site and read window by window."""

    def __init__(self, stream: BinaryIO, num_haplotypes: int) -> None:
        """Wrap an empty file opened for reading and writing; use `open_spool`."""
        self._stream = stream
        self._num_haplotypes = num_haplotypes
        self._width = -(-num_haplotypes // 8)
        self.num_sites = 0

    def append(self, packed: NDArray[np.uint8]) -> None:
        """Add sites: `packed` (n, ceil(H / 8)), the alleles of all haplotypes at each site."""
        self._stream.write(np.ascontiguousarray(packed).data)
        self.num_sites += len(packed)

    def window(self, start: int, stop: int, length: int) -> NDArray[np.uint8]:
        """Packed alleles (H, ceil(length / 8)) of the sites [start, stop); 0 in the padding."""
        self._stream.flush()
        self._stream.seek(start * self._width)
        raw = self._stream.read((stop - start) * self._width)
        rows = np.frombuffer(raw, dtype=np.uint8).reshape(stop - start, self._width)
        packed = np.zeros((self._num_haplotypes, -(-length // 8)), dtype=np.uint8)
        for first in range(0, self._num_haplotypes, _HAPLOTYPES_AT_ONCE):
            last = min(first + _HAPLOTYPES_AT_ONCE, self._num_haplotypes)
            part = rows[:, first // 8 : -(-last // 8)]
            alleles = np.ascontiguousarray(tokens.unpack(part, last - first).T)
            packed[first:last, : -(-(stop - start) // 8)] = tokens.pack(alleles)
        return packed

    def alleles(self, sites: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Alleles (n, H) of all haplotypes at some sites, 0 REF and 1 ALT."""
        self._stream.flush()
        rows = np.empty((len(sites), self._width), np.uint8)
        for row, site in zip(rows, sites.tolist(), strict=True):
            self._stream.seek(site * self._width)
            row[:] = np.frombuffer(self._stream.read(self._width), dtype=np.uint8)
        return tokens.unpack(rows, self._num_haplotypes)

    def replace(self, start: int, alleles: NDArray[np.uint8]) -> None:
        """Write alleles (n, H) over those of the sites from `start` on."""
        self._stream.flush()
        self._stream.seek(start * self._width)
        self._stream.write(np.ascontiguousarray(tokens.pack(alleles)).data)
        self._stream.flush()


@contextmanager
def open_spool(folder: Path, num_haplotypes: int, name: str = "alleles") -> Iterator[AlleleSpool]:
    """Yield a spool in `folder`, deleted when the block ends; `name` is that of its file."""
    with locks.hold(folder / name):
        path = locks.temporary_name(folder / name, "partial")
        try:
            with path.open("w+b") as stream:
                yield AlleleSpool(stream, num_haplotypes)
        except OSError as error:
            raise StoreError.unwritable(path, error) from error
        finally:
            path.unlink(missing_ok=True)
