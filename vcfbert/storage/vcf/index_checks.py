"""Checked reading of tabix and CSI indexes.

A read by region goes where the index points, so with the index of an older, shorter version of the
file, records added since are silently lost. An index records where the last record ended, which
must be in the last block with data.

htslib trusts the numbers of an index: one that is out of range ends the process or keeps it busy
forever. So all of them are checked here first.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

from vcfbert import plurals
from vcfbert.errors import InputError
from vcfbert.files import bounded
from vcfbert.storage.vcf.tabix import STATISTICS_BIN

MAX_BYTES = 1 << 28
"""Of an index, inflated; that of a whole genome has a few MB."""

_VCF_COLUMNS = (2, 1, 2, 0, ord("#"), 0)  # what tabix -p vcf writes: format, columns, comment, skip
_UNKNOWN = (1 << 64) - 1  # old programs write it for 16 kb without records
_MIN_SHIFT, _MAX_SHIFT, _MAX_DEPTH = 8, 30, 9


def find_index(path: Path) -> Path | None:
    """The CSI or tabix index of a file; None if it has none."""
    candidates = (path.with_name(f"{path.name}{suffix}") for suffix in (".csi", ".tbi"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_index(path: Path, index: Path, *, last_block: int) -> VcfIndex:
    """Read an index. Raises InputError if it is damaged or does not end where the file does.

    last_block  offset in the file of the last BGZF block with data
    """
    try:
        with gzip.open(index, "rb") as stream:
            found = VcfIndex(bounded.read_pieces(stream, MAX_BYTES))
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise InputError(
            f"{index} is damaged ({error}). Rebuild it with: bcftools index -f {path}"
        ) from error
    if found.beyond >> 16 > path.stat().st_size or found.end >> 16 < last_block:
        raise InputError(
            f"{index} was made from another version of {path}, or one of the two is not complete. "
            "Copy both again, or, if the file is right, rebuild the index with: bcftools index -f "
            f"{path}"
        )
    return found


class VcfIndex:
    """The content of an index; raises ValueError if it cannot be true.

    end     virtual offset past the last record; its upper 48 bits are the offset of a block
    beyond  the largest virtual offset
    count   records; None if the count of one contig is missing
    counts  records of each contig; None if they are missing
    names   of the contigs; the index of a BCF has none
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0
        self.names: list[bytes] = []
        self.end = self.beyond = 0
        self.count: int | None = 0
        self.counts: list[int | None] = []
        self._read()

    def _read(self) -> None:
        magic = self._bytes(4)
        if magic == b"TBI\x01":
            num_contigs = self._size("<i", 8)
            self._names(num_contigs)
            is_csi, statistics = False, STATISTICS_BIN
        elif magic == b"CSI\x01":
            num_contigs, statistics = self._csi_head()
            is_csi = True
        else:
            raise ValueError("it is not a tabix or CSI index")
        counts = [self._contig(statistics, is_csi=is_csi) for _ in range(num_contigs)]
        self.counts = counts
        if len(self._content) - self._place not in (0, 8):  # number of unplaced records
            raise ValueError("bytes follow its end")
        known = [count for count in counts if count is not None]
        self.count = sum(known) if len(known) == len(counts) else None

    def _csi_head(self) -> tuple[int, int]:
        """Number of contigs, and number of the bin with the counts."""
        shift, depth = self._numbers("<2i")
        if not (_MIN_SHIFT <= shift <= _MAX_SHIFT and 0 <= depth <= _MAX_DEPTH):
            raise ValueError(f"its bins have 2^{shift} bases in {depth} levels")
        length = self._size("<i", 1)
        start = self._place
        aux = bool(length)
        if aux:
            self._names(None)
        if self._place != start + length:
            raise ValueError("the names of its contigs have another length than it says")
        num_contigs = self._size("<i", 4)
        if aux and num_contigs != len(self.names):
            raise self._other_names(num_contigs)
        return num_contigs, ((1 << 3 * (depth + 1)) - 1) // 7 + 1

    def _names(self, num_contigs: int | None) -> None:
        """Columns and names as tabix writes them."""
        if self._numbers("<6i") != _VCF_COLUMNS:
            raise ValueError("it is not the index of a VCF")
        names = self._bytes(self._size("<i", 1))
        self.names = names.split(b"\0")[:-1]
        names.decode("utf-8")  # every reader of the index will do the same
        if names and not names.endswith(b"\0"):
            raise ValueError("the last name of a contig has no end")
        if num_contigs is not None and len(self.names) != num_contigs:
            raise self._other_names(num_contigs)

    def _other_names(self, num_contigs: int) -> ValueError:
        have = plurals.of(num_contigs, "contig has", "contigs have")
        return ValueError(f"{have} {plurals.of(len(self.names), 'name')}")

    def _contig(self, statistics: int, *, is_csi: bool) -> int | None:
        """The number of records of a contig."""
        count, num_bins = None, self._size("<i", 8)
        for _ in range(num_bins):
            (number,) = self._numbers("<I")
            if number > statistics:
                raise ValueError(f"it has a bin {number}")
            if is_csi:
                self._note(self._numbers("<Q"))
            places = self._numbers(f"<{2 * self._size('<i', 16)}Q")
            if number == statistics:
                if len(places) != 4:
                    raise ValueError(f"it has {len(places)} counts")
                count = places[2] + places[3]
            else:
                self._note(places)
                if any(first > last for first, last in zip(places[::2], places[1::2], strict=True)):
                    raise ValueError("a chunk of the file ends before it begins")
                self.end = max(self.end, *places[1::2], 0)
        if not is_csi:
            linear = self._numbers(f"<{self._size('<i', 8)}Q")
            self._note(tuple(offset for offset in linear if offset != _UNKNOWN))
        return 0 if num_bins == 0 else count

    def _note(self, offsets: tuple[int, ...]) -> None:
        self.beyond = max(self.beyond, *offsets, 0)

    def _size(self, layout: str, each: int) -> int:
        """A number of items that follow, each at least `each` bytes long."""
        (count,) = self._numbers(layout)
        if not 0 <= count * each <= len(self._content) - self._place:
            raise ValueError(f"it announces {count} items, which do not fit in it")
        return count

    def _numbers(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from(layout, self._content, self._place)
        self._place += struct.calcsize(layout)
        return found

    def _bytes(self, count: int) -> bytes:
        found = self._content[self._place : self._place + count]
        self._place += count
        return found


def htslib_version() -> str:
    """Version of the htslib in pysam, which makes indexes; cyvcf2 has its own."""
    from pysam.version import __htslib_version__ as found  # takes 0.1 s to import

    return str(found)
