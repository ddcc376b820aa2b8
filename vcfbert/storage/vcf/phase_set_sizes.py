"""Phase sets whose numbers are too large or too small for htslib, which reads them as missing.

All of them would be one phase set. Barcodes and hashes are that large, positions are not.

N samples.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.records import Record
from vcfbert.errors import InputError
from vcfbert.storage.vcf import checks
from vcfbert.storage.vcf.checks import Header

LARGEST = 2**31 - 1
LEAST = -(2**31) + 8
"""Numbers that BCF can hold in 32 bits; a few below have another meaning."""

_MISSING = -(2**31)
_LARGE = re.compile(rb"[:\t,]-?\d{10,}")
_LONGEST = 1 << 31  # bytes of a line


class LostPhaseSets:
    """Refuses a file with such numbers, if a heterozygote seems to have no phase set."""

    def __init__(self, path: Path, header: Header) -> None:
        """A BCF cannot have them."""
        self._path = path
        self._header = header
        self._is_asked = not header.is_bcf

    def check(
        self, record: Record, calls: NDArray[np.int16], values: NDArray[Any] | None, tag: str
    ) -> None:
        """Take the next record. Raises InputError if the file has a number that is too large.

        calls   (N, ploidy + 1) allele numbers, then 1 if the genotype is phased
        values  (N,) or (N, k) phase sets; None if the record has none
        tag     the field that they are from
        """
        if not self._is_asked or values is None or values.dtype.kind != "i":
            return
        is_het = (calls[:, -1] == 1) & (calls[:, 0] != calls[:, 1]) & (calls[:, 1] >= 0)
        if not (is_het & (values.reshape(len(values), -1) == _MISSING).any(axis=1)).any():
            return
        self._is_asked = False  # the search is of the whole file
        found = self._first(tag.encode())
        if found is not None:
            place, value = found
            raise InputError(
                f"{self._path}, {place}: the phase set {value} (FORMAT/{tag}) does not fit an "
                f"Integer field, {LEAST:,} to {LARGEST:,}. Declare the field as text: "
                f"bcftools head {self._path} > header.txt, change Type=Integer to Type=String in "
                f"the line of {tag}, and bcftools reheader -h header.txt"
            )

    def _first(self, tag: bytes) -> tuple[str, str] | None:
        """Place and value of the first number out of range."""
        try:
            with checks.open_inflated(
                self._path, is_compressed=self._header.is_compressed
            ) as stream:
                stream.seek(len(self._header.text))
                while line := stream.readline(_LONGEST):
                    if _LARGE.search(line) and (value := _of_line(line, tag)):
                        contig, position = line.split(b"\t", 2)[:2]
                        return f"{contig.decode()}:{position.decode()}", value
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(
                f"{self._path} is damaged ({error}). Copy or download it again."
            ) from error
        return None


def _of_line(line: bytes, tag: bytes) -> str | None:
    r"""The first number of a field that is out of range, in one line.

    >>> line = b"1\t5\t.\tA\tG\t.\t.\t.\tGT:PS\t0|1:7\t0|1:3000000000"
    >>> _of_line(line, b"PS"), _of_line(line, b"PQ")
    ('3000000000', None)
    """
    columns = line.rstrip(b"\r\n").split(b"\t")
    keys = columns[checks.NUM_FIXED - 1].split(b":")
    if tag not in keys:
        return None
    place = keys.index(tag)
    for cell in columns[checks.NUM_FIXED :]:
        for value in b"".join(cell.split(b":")[place : place + 1]).split(b","):
            if re.fullmatch(rb"-?\d+", value) and not LEAST <= int(value) <= LARGEST:
                return value.decode()
    return None
