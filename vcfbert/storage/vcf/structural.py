"""INFO of structural variants: reading what a panel says, and writing it again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

KEYS = {
    "SVTYPE": 'Number=1,Type=String,Description="Type of structural variant"',
    "END": 'Number=1,Type=Integer,Description="End position of the variant"',
    "SVLEN": 'Number=.,Type=Integer,Description="Difference in length between REF and ALT alleles"',
    "CIPOS": 'Number=2,Type=Integer,Description="Confidence interval around POS"',
    "CIEND": 'Number=2,Type=Integer,Description="Confidence interval around END"',
    "IMPRECISE": 'Number=0,Type=Flag,Description="Imprecise structural variant"',
    "MEINFO": 'Number=4,Type=String,Description="Mobile element: NAME,START,END,POLARITY"',
    "MATEID": 'Number=.,Type=String,Description="ID of mate breakends"',
    "CHR2": 'Number=1,Type=String,Description="Contig of END for translocations"',
    "RU": 'Number=1,Type=String,Description="Repeat unit"',
}
"""Keys that are kept, in the order of the output, with their definition there."""

LEAST_BASES = 20
"""Alleles with fewer bases are not structural variants; their INFO is not read."""

_PER_ALT = frozenset(("SVLEN",))
_WHOLE = frozenset(("END", "SVLEN", "CIPOS", "CIEND"))
_NUMBER = re.compile(r"[+-]?\d{1,10}(?:,[+-]?\d{1,10})*")
_TEXT = re.compile(r"[^\s;=]{1,200}")
_END = re.compile(r"(?:^|;)END=(\d+)")
_SYMBOL = re.compile(r"<([^<>\s]+)>")

_MEANINGS = {
    "DEL": "Deletion",
    "INS": "Insertion",
    "DUP": "Duplication",
    "INV": "Inversion",
    "CNV": "Copy number variable region",
    "BND": "Breakend",
}


def is_structural(ref: str, alts: Iterable[str]) -> bool:
    """True if an allele is long, or is not spelled out.

    >>> is_structural("A", ["G", "<DEL>"]), is_structural("A", ["G"])
    (True, False)
    """
    return len(ref) >= LEAST_BASES or any(
        len(alt) >= LEAST_BASES or not alt.isalpha() for alt in alts
    )


def infos(info: Any, num_alts: int, position: int) -> tuple[str, ...]:
    """What INFO says of each ALT allele, such as `SVTYPE=DEL;END=4153`; empty if nothing.

    An END before the position, as some tools write for breakends, is left out: htslib would warn.

    info  of a cyvcf2.Variant
    """
    found: dict[str, list[str]] = {}
    for key in KEYS:
        value = info.get(key)
        if value is None or value is False:
            continue
        parts = _parts(value)
        if key in _PER_ALT and len(parts) == num_alts:
            texts = [f"{key}={part}" for part in parts]
        else:
            texts = [key if value is True else f"{key}={','.join(parts)}"] * num_alts
        if value is True or _is_valid(key, ",".join(parts), position):
            found[key] = texts
    if not found:
        return ()
    return tuple(";".join(texts) for texts in zip(*found.values(), strict=True))


def end_of(info: str, position: int, ref: str) -> int:
    """The last position that a record covers, as tabix computes it.

    >>> end_of("SVTYPE=DEL;END=4153", 3853, "T"), end_of(".", 3853, "TA")
    (4153, 3854)
    """
    found = _END.search(info)
    end = int(found[1]) if found else 0
    return end if end >= position else position + len(ref) - 1


def header_lines(alts: Sequence[str], info: Sequence[str]) -> list[str]:
    """The ##ALT and ##INFO lines that records with these alleles and texts need.

    >>> header_lines(["G", "<CN0>"], [".", "END=9"])[0]
    '##ALT=<ID=CN0,Description="Copy number allele: 0 copies">'
    """
    symbols = {match[1]: None for alt in alts if alt[0] == "<" and (match := _SYMBOL.match(alt))}
    keys = {field.partition("=")[0] for text in set(info) - {"."} for field in text.split(";")}
    lines = [f'##ALT=<ID={name},Description="{_meaning(name)}">' for name in symbols]
    return lines + [f"##INFO=<ID={key},{KEYS[key]}>" for key in KEYS if key in keys]


def _parts(value: Any) -> list[str]:
    if isinstance(value, (tuple, list)):
        return ["." if part is None else str(part) for part in value]
    return str(value).split(",")


def _is_valid(key: str, text: str, position: int) -> bool:
    """True if a value can be written again; a header may declare another type."""
    if (_NUMBER if key in _WHOLE else _TEXT).fullmatch(text) is None:
        return False
    return key != "END" or ("," not in text and int(text) >= position)


def _meaning(symbol: str) -> str:
    """A description of a symbolic allele, by its name."""
    copies = re.fullmatch(r"CN(\d+)", symbol)
    repeats = re.fullmatch(r"STR(\d+)", symbol)
    if copies:
        return f"Copy number allele: {copies[1]} copies"
    if repeats:
        return f"Short tandem repeat: {repeats[1]} repeat units"
    first, _, rest = symbol.partition(":")
    what = _MEANINGS.get(first, "Allele of the reference panel")
    return f"{what} ({rest.replace(':', ' ')})" if rest else what
