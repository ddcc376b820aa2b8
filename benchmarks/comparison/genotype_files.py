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


def without_phase(source: Path, target: Path) -> None:
    """Copy a VCF with the alleles of each genotype sorted, so that their order says nothing."""
    write_changed(source, target, lambda alleles: alleles)


def write_changed(source: Path, target: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Copy a VCF with other genotypes, unphased and without other FORMAT fields; index it.

    change  returns the alleles to write for the sorted alleles of a genotype
    """

    def changed(columns: list[str]) -> list[str]:
        cells = ("/".join(change(sorted(alleles))) for alleles in phased_alleles(columns))
        return [*columns[:8], "GT", *cells]

    rewrite(source, target, changed)


def phased_alleles(columns: list[str]) -> list[list[str]]:
    """The alleles of each sample of a record with phased genotypes."""
    return [cell.split(":")[0].split("|") for cell in columns[9:]]


def rewrite(
    source: Path, target: Path, change: Callable[[list[str]], list[str]], declared: str = ""
) -> None:
    """Copy a VCF with other records; index it.

    change    returns the columns to write for those of a record
    declared  lines that the header has in addition
    """
    plain = target.with_suffix("")
    with gzip.open(source, "rt") as lines, plain.open("w") as out:
        for line in lines:
            if line.startswith("#CHROM"):
                out.write(declared)
            if line.startswith("#"):
                out.write(line)
            else:
                out.write("\t".join(change(line.rstrip("\n").split("\t"))) + "\n")
    subprocess.run(["bgzip", "-f", str(plain)], check=True)
    subprocess.run(["tabix", "-f", "-p", "vcf", str(target)], check=True)
