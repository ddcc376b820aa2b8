"""The order of contigs in a panel, whatever the order of the files that it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_LAST = {"x": 1, "y": 2, "m": 3, "mt": 3}


def in_order(names: Iterable[str]) -> list[str]:
    """Names of contigs in the order of the genome: numbers, X, Y, mitochondria, others.

    >>> in_order(["chrX", "chr10", "chr2", "chrM", "chrUn_7", "chr1"])
    ['chr1', 'chr2', 'chr10', 'chrX', 'chrM', 'chrUn_7']
    >>> in_order(["3R", "2L", "3L", "2R"])
    ['2L', '2R', '3L', '3R']
    """
    return sorted(names, key=_key)


def is_in_order(names: Sequence[str]) -> bool:
    """True if the names are in the order of the genome."""
    return list(names) == in_order(names)


def _key(name: str) -> tuple[int, list[tuple[int, str]], str]:
    bare = re.sub("^chr", "", name, flags=re.IGNORECASE)
    tier = 0 if bare[:1].isdigit() else _LAST.get(bare.lower(), 4)
    parts = re.findall(r"\d+|\D+", bare)
    return tier, [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
