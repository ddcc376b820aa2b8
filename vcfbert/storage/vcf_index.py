"""Whether a tabix or CSI index was made from the file it stands beside.

A read by region goes where the index says, so with the index of an older, shorter file the records
added since are not read, and nothing tells. An index knows where the last record ended, and that
is in the last block with data.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from vcfbert.errors import InputError

_TABIX_STATISTICS = 37450  # number of the bin that holds counts instead of places
_TABIX_FIELDS = 28  # bytes of column numbers and the like before the length of the names


def check_index(path: Path, index: Path, *, last_block: int) -> None:
    """InputError where the index is damaged, or does not end where the file does.

    last_block  offset in the file of the last BGZF block that holds data
    """
    try:
        with gzip.open(index, "rb") as stream:
            end = _end_of_records(stream)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(
            f"{index} is damaged ({error}). Make it again with: bcftools index -f {path}"
        ) from error
    if not last_block <= end >> 16 <= path.stat().st_size:
        raise InputError(
            f"{index} was made from another version of {path}. Make it again with: bcftools "
            f"index -f {path}"
        )


def _end_of_records(stream: gzip.GzipFile | BinaryIO) -> int:
    """Virtual offset past the last record; its upper 48 bits are a block's place in the file."""
    magic = stream.read(4)
    if magic == b"TBI\x01":
        is_csi, statistics = False, _TABIX_STATISTICS
        num_contigs, *_ = _read(stream, "<i")
        stream.read(_TABIX_FIELDS - 4)
        stream.read(_read(stream, "<i")[0])
    elif magic == b"CSI\x01":
        _, depth, length = _read(stream, "<3i")
        stream.read(length)
        is_csi, statistics = True, ((1 << 3 * (depth + 1)) - 1) // 7 + 1
        num_contigs, *_ = _read(stream, "<i")
    else:
        raise OSError("it is no tabix or CSI index")
    end = 0
    for _ in range(num_contigs):
        for _ in range(_read(stream, "<i")[0]):
            (number,) = _read(stream, "<I")
            if is_csi:
                stream.read(8)
            places = _read(stream, f"<{2 * _read(stream, '<i')[0]}Q")
            if number != statistics:
                end = max(end, *places[1::2], 0)
        if not is_csi:
            stream.read(8 * _read(stream, "<i")[0])
    return end


def _read(stream: gzip.GzipFile | BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))


def htslib_version() -> str:
    """Of the library below pysam, which makes indexes; cyvcf2 has one of its own."""
    from pysam.version import __htslib_version__ as found  # 0.1 s that few commands need

    return str(found)
