"""Writer of a phased panel as an indexed VCF.gz."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam
from numpy.typing import NDArray

_HEADER = """\
##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="All filters passed">
##contig=<ID={contig},length={length}>
##FORMAT=<ID=GT,Number=1,Type=String,Description="Phased genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}
"""


@dataclass(frozen=True)
class PhasedRecord:
    """A record to write.

    alleles    REF, then the ALT alleles; at most ten
    genotypes  (H,) allele numbers; the two of a sample are adjacent
    is_haploid  (N,) samples of which the first allele alone is written; None for none
    """

    position: int
    identifier: str
    alleles: Sequence[str]
    genotypes: NDArray[np.integer]
    is_haploid: NDArray[np.bool_] | None = None


def write_panel_vcf(
    path: Path, contig: str, length: int, names: Sequence[str], records: Iterable[PhasedRecord]
) -> None:
    """Write the records of one contig, in order, and a tabix index.

    length  of the contig in bases
    names   of the samples
    """
    # One sample is four bytes, such as 0|1 and a tab; the last tab becomes the line's end.
    line = np.full((len(names), 4), ord("|"), dtype=np.uint8)
    line[:, 3] = ord("\t")
    line[-1, 3] = ord("\n")
    with pysam.BGZFile(str(path), "w", None) as stream:
        header = _HEADER.format(contig=contig, length=length, names="\t".join(names))
        stream.write(header.encode("utf-8"))
        for record in records:
            ref, *alts = record.alleles
            place = f"{contig}\t{record.position}\t{record.identifier}\t{ref}\t{','.join(alts)}"
            line[:, 0:3:2] = record.genotypes.reshape(-1, 2) + ord("0")
            text = line
            if record.is_haploid is not None:
                is_written = np.ones(line.shape, np.bool_)
                is_written[record.is_haploid, 1:3] = False
                text = line[is_written]
            stream.write(f"{place}\t.\tPASS\t.\tGT\t".encode() + text.tobytes())
    pysam.tabix_index(str(path), preset="vcf", force=True)
