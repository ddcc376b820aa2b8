"""Sites, text and files of VCF genotypes. S sites, N samples."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from cyvcf2 import Variant
from numpy.typing import NDArray

Key = tuple[str, int, str, str]
"""Contig, position, REF and first ALT."""

_HEAD = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")


def key_of(record: Variant) -> Key:
    return record.CHROM, record.POS, record.REF, record.ALT[0]


def text(
    keys: Sequence[Key], names: Sequence[str], alleles: NDArray[np.uint8], separator: str
) -> str:
    """A VCF of one contig with GT only.

    alleles    (S, N, 2)
    separator  `|` or `/`
    """
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID={keys[0][0]}>",
             '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
             "\t".join([*_HEAD, *names])]  # fmt: skip
    for key, site in zip(keys, alleles.tolist(), strict=True):
        fixed = [key[0], str(key[1]), ".", key[2], key[3], ".", ".", ".", "GT"]
        lines.append("\t".join([*fixed, *(f"{one}{separator}{other}" for one, other in site)]))
    return "\n".join([*lines, ""])


def write_changed(source: Path, target: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Copy a VCF with other genotypes, unphased and without other FORMAT fields; index it.

    change  returns the alleles to write for the sorted alleles of a genotype
    """
    plain = target.with_suffix("")
    with gzip.open(source, "rt") as lines, plain.open("w") as out:
        for line in lines:
            if line.startswith("#"):
                out.write(line)
                continue
            cells = line.rstrip("\n").split("\t")
            cells[8:] = ["GT", *("/".join(change(_sorted_alleles(cell))) for cell in cells[9:])]
            out.write("\t".join(cells) + "\n")
    subprocess.run(["bgzip", "-f", str(plain)], check=True)
    subprocess.run(["tabix", "-f", "-p", "vcf", str(target)], check=True)


def _sorted_alleles(cell: str) -> list[str]:
    """Of a phased genotype."""
    return sorted(cell.split(":")[0].split("|"))
