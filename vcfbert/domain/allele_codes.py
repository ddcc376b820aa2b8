"""Alleles that are codes instead of bases, as PLINK and genotyping arrays write them.

PLINK writes 1 and 2, or 1 to 4, if asked to, and 0 for an allele that it does not know. Illumina's
software writes A and B, and I and D for an insertion or deletion whose sequence is in the manifest
of the array only.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

_BASES = frozenset("ACGT")
_LETTERS = frozenset("BID")  # B and D also mean several bases in IUPAC's code, which VCF excludes
_SYMBOLS = "<>*[]."

_PLINK_ORIGINAL = "Write the VCF again from the original PLINK files"
_REMEDIES = (
    ({"0", "1", "2"}, "PLINK's 1/2 coding",
     "The file does not say which base each code is. Name the bases in the original PLINK files "
     "and write the VCF again: plink --bfile DATA --update-alleles CODES.txt --make-bed"),
    ({"0", "1", "2", "3", "4"}, "PLINK's codes 1 to 4 of A, C, G and T",
     f"{_PLINK_ORIGINAL} with bases: plink --bfile DATA --alleleACGT --make-bed"),
    ({"A", "B", "0", "-"}, "Illumina's A/B coding",
     "Export the genotypes with the alleles of the forward strand, or name the bases from the "
     "array's manifest: plink --bfile DATA --update-alleles CODES.txt --make-bed"),
    ({"I", "D", "0", "-"}, "codes of insertions and deletions without their sequence",
     "Name the sequences from the array's manifest (plink --update-alleles), or leave the records "
     "out: plink --snps-only just-acgt"),
)  # fmt: skip


def is_coded(ref: str, alts: Sequence[str]) -> bool:
    """True if an allele is neither bases nor symbolic, `*`, a breakend or missing.

    >>> is_coded("1", ["2"]), is_coded("A", ["B"]), is_coded("A", ["0"]), is_coded("D", [])
    (True, True, True, True)
    >>> is_coded("A", ["G", "<DEL>", "*", "A[20:5["]), is_coded("N", ["TAG"]), is_coded("AT", [])
    (False, False, False)
    """
    if ref not in _BASES and _is_code(ref):
        return True
    return any(alt not in _BASES and _is_code(alt) for alt in alts)


def explained(alleles: Set[str]) -> str:
    """What the codes are, and what to do.

    alleles  all alleles of the records with codes

    >>> explained({"A", "B"}).partition(".")[0]
    "their alleles are A, B: Illumina's A/B coding"
    """
    shown = ", ".join(sorted(alleles, key=lambda allele: (len(allele), allele))[:6])
    for codes, name, remedy in _REMEDIES:
        if alleles <= codes:
            return f"their alleles are {shown}: {name}. {remedy}"
    return (
        f"their alleles are {shown}: codes instead of bases. {_PLINK_ORIGINAL} with bases (plink "
        "--alleleACGT or --update-alleles CODES.txt)"
    )


def _is_code(allele: str) -> bool:
    if allele.isalpha():
        return allele in _LETTERS
    return not any(symbol in allele for symbol in _SYMBOLS)
