"""Names of one contig in different files.

`chr20` is `20`. PLINK numbers the human X, Y and MT as 23, 24 and 26, and puts the pseudo-autosomal
regions (PAR) of X on a contig of their own: XY, 25, PAR1 or PAR2, with positions on X. RefSeq and
GenBank name sequences by accessions, such as NC_000023.11.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

_SAME = {"23": "X", "24": "Y", "25": "XY", "26": "MT", "M": "MT"}
_PARTS_OF_X = ("XY", "PAR1", "PAR2")
_ACCESSION = re.compile(r"(NC_|CM)(\d{6})\.\d+")
_BEFORE_FIRST = {"NC_": (0, 60_924), "CM": (662,)}
"""Accession numbers before that of chromosome 1: GRCh37 and GRCh38, T2T-CHM13."""

_MITOCHONDRION = "NC_012920"
_MOST_HUMAN = 26


def find_contig(name: str, contigs: Sequence[str]) -> str | None:
    """The contig with this name, or another name of the same human contig; None if there is none.

    >>> find_contig("chr20", ["19", "20"]), find_contig("23", ["chrX"])
    ('20', 'chrX')
    >>> [find_contig(name, ["X"]) for name in ("25", "NC_000023.11")], find_contig("X", ["25"])
    (['X', 'X'], None)
    >>> find_contig("X", ["23", "29"]) is None
    True
    """
    found = find_direct(name, contigs)
    if found is not None or has_more_than_humans(contigs):
        return found
    wanted = canonical(name)
    for text in (wanted, "X") if wanted in _PARTS_OF_X else (wanted,):
        found = next((contig for contig in contigs if canonical(contig) == text), None)
        if found is not None:
            return found
    return None


def find_direct(name: str, contigs: Sequence[str]) -> str | None:
    """The contig with this name, with or without `chr`; None if there is none.

    >>> find_direct("chr20", ["19", "20"]), find_direct("23", ["X"])
    ('20', None)
    """
    if name in contigs:
        return name
    bare = name.removeprefix("chr")
    return next((contig for contig in contigs if contig.removeprefix("chr") == bare), None)


def find_in_panel(name: str, of_file: Collection[str], of_panel: Sequence[str]) -> str | None:
    """The panel's name of a contig of a file with several contigs.

    A number is X only if the file has no X: cattle have both.

    >>> find_in_panel("23", ["23"], ["X"]), find_in_panel("23", ["23", "X"], ["X"])
    ('X', None)
    """
    found = find_contig(name, of_panel)
    if found is None or find_direct(name, [found]) is not None or is_part_of_x(name):
        return found
    is_used = has_more_than_humans(of_file)
    is_used |= any(find_direct(other, [found]) is not None for other in of_file)
    return None if is_used else found


def is_part_of_x(name: str) -> bool:
    """True for the names of contigs with the PAR of X."""
    return canonical(name) in _PARTS_OF_X


def has_more_than_humans(contigs: Iterable[str]) -> bool:
    """True if there are numbers that no human chromosome has."""
    bare = (contig.removeprefix("chr") for contig in contigs)
    return any(name.isdecimal() and int(name) > _MOST_HUMAN for name in bare)


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """One name for all names of a human contig; other names without `chr`.

    >>> [canonical(name) for name in ("chr23", "NC_000001.10", "NC_060947.1", "CM000686.2", "chrM")]
    ['X', '1', 'X', 'Y', 'MT']
    """
    bare = name.removeprefix("chr")
    accession = _ACCESSION.fullmatch(bare)
    if accession is not None:
        prefix, digits = accession.groups()
        if bare.startswith(_MITOCHONDRION):
            return "MT"
        for before in _BEFORE_FIRST[prefix]:
            if 1 <= int(digits) - before <= 24:
                bare = str(int(digits) - before)
    return _SAME.get(bare, bare)


def notes(contigs: dict[str, str]) -> list[str]:
    """Sentences about contigs that have another name in the panel.

    contigs  the panel's name of each contig of the target

    >>> notes({"chr20": "20", "23": "X"})
    ['Contig 23 of the target is X in the panel.']
    """
    return [
        f"Contig {name} of the target is {found} in the panel."
        for name, found in contigs.items()
        if find_direct(name, [found]) is None
    ]
