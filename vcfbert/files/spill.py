"""Large arrays in unnamed files, so that the system can take their memory back.

The first arrays are in memory, up to a limit. The others are mapped from files that have no name
and are gone when the process ends, however it ends.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcfbert.errors import StoreError

_ARENA = 1 << 28  # bytes of a file, unless one array is larger
_ALIGNED = 64


class Spill:
    """Makes arrays in memory or in files of one folder."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Arrays of `limit` bytes in all are in memory."""
        self._folder = folder
        self._left = limit
        self._arenas: list[mmap.mmap] = []
        self._used = 0  # bytes of the last arena

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self._arenas))

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of zeros. Raises StoreError if the disk is full."""
        kind = np.dtype(dtype)
        count = math.prod(shape)
        size = count * kind.itemsize
        if size <= self._left:
            self._left -= size
            return np.zeros(shape, kind)
        self._left = 0
        if not self._arenas or self._used + size > len(self._arenas[-1]):
            self._arenas.append(self._arena(max(size, _ARENA)))
            self._used = 0
        start = self._used
        self._used += -(-size // _ALIGNED) * _ALIGNED
        return np.frombuffer(self._arenas[-1], kind, count, start).reshape(shape)

    def release(self) -> None:
        """Give back the memory of arrays in files; they are read again when they are used."""
        for arena in self._arenas:
            if hasattr(mmap, "MADV_DONTNEED"):
                arena.madvise(mmap.MADV_DONTNEED)

    def _arena(self, size: int) -> mmap.mmap:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                if hasattr(os, "posix_fallocate"):  # a full disk is found here, not at a write
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    os.ftruncate(file.fileno(), size)
                return mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise StoreError(
                f"Cannot keep {size / 2**20:,.0f} MB of the target's genotypes in a file in "
                f"{self._folder}: {error.strerror or error}. Free space, or give more --memory."
            ) from error
