"""Reader of lists of sites, and their sites in a panel.

S sites in the panel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain.contig_names import find_contig
from vcfbert.domain.sites import Sites
from vcfbert.errors import InputError
from vcfbert.files import bounded

_MOST_DIGITS = 10  # of 2^31
_EXAMPLE = "chromosome and position, optionally REF, ALT and ID, separated by tabs"


@dataclass(frozen=True)
class ListedSite:
    """A line of a site list; without alleles, it means every site at its position.

    identifier  decides between sites with the same alleles; None for all of them
    """

    contig: str
    position: int
    alleles: tuple[str, str] | None
    identifier: str | None = None


@dataclass(frozen=True)
class TypedSites:
    """The sites of a panel that a list names.

    is_typed       (S,) True if listed
    num_listed     different lines of the list
    num_unmatched  lines that match no site of the panel
    """

    is_typed: NDArray[np.bool_]
    num_listed: int
    num_unmatched: int


def read_typed(path: Path, sites: Sites) -> TypedSites:
    """Read a list of typed sites; `chr20` and `20` are one contig.

    Raises InputError with the number of a malformed line, and if the list has no site of the panel,
    or all of them, so that nothing could be imputed.
    """
    listed = set(read_list(path))
    if not listed:
        raise InputError(f"{path} lists no sites. Give one per line: {_EXAMPLE}.")
    typed = match(listed, sites)
    if not typed.is_typed.any():
        first = min(listed, key=lambda site: (site.contig, site.position))
        raise InputError(
            f"None of the {plurals.of(len(listed), 'site')} in {path} (such as "
            f"{first.contig}:{first.position}) is in the panel, which has {_extent(sites)}. Give a "
            "list of the same region and genome build."
        )
    if typed.is_typed.all():
        raise InputError(
            f"{path} lists every site of the panel, so no site is left to impute. "
            "Give a list of fewer sites."
        )
    return typed


def read_list(path: Path) -> Iterator[ListedSite]:
    """Lines of `contig<TAB>position`, then `<TAB>REF<TAB>ALT`, then `<TAB>ID`, if wanted.

    Empty lines and lines that begin with # are ignored.
    """
    try:
        for number, text in bounded.lines(path):
            if text.strip() and not text.startswith("#"):
                yield _parse(text, f"{path}, line {number}")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a text file. Give it in UTF-8, as it is or compressed with gzip."
        ) from error
    except bounded.UnreadableTextError as error:
        raise InputError(f"{path} is not a site list: {error}. Give {_EXAMPLE}.") from error
    except OSError as error:
        raise InputError(f"Cannot read the site list {path}: {error.strerror}.") from error


def contigs_of(path: Path, contigs: Sequence[str]) -> list[str]:
    """The contigs that a list has sites on, in the order given; `chr20` and `20` are one contig."""
    listed = {site.contig for site in read_list(path)}
    found = {find_contig(name, contigs) for name in listed}
    return [name for name in contigs if name in found]


def match(listed: set[ListedSite], sites: Sites) -> TypedSites:
    """Find listed sites by contig, position and, if given, alleles."""
    numbers = {name: number for number, name in enumerate(sites.contigs)}
    names = {site.contig: find_contig(site.contig, sites.contigs) for site in listed}
    at: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for index, place in enumerate(zip(sites.contig.tolist(), sites.position.tolist(), strict=True)):
        at[place].append(index)
    is_typed = np.zeros(len(sites), dtype=np.bool_)
    num_unmatched = 0
    for site in listed:
        name = names[site.contig]
        candidates = [] if name is None else at.get((numbers[name], site.position), [])
        found = [
            index
            for index in candidates
            if site.alleles is None or site.alleles == (sites.ref[index], sites.alt[index])
        ]
        if len(found) > 1 and site.identifier is not None:
            found = [index for index in found if sites.identifier[index] == site.identifier]
        is_typed[found] = True
        num_unmatched += not found
    return TypedSites(is_typed, num_listed=len(listed), num_unmatched=num_unmatched)


def _parse(line: str, where: str) -> ListedSite:
    fields = line.split("\t")
    if len(fields) not in (2, 4, 5) or not all(field.strip() for field in fields):
        raise InputError(f"{where}: {line[:60]!r} is not a site. Give {_EXAMPLE}.")
    contig, position, *rest = (field.strip() for field in fields)
    is_number = position.isascii() and position.isdigit() and len(position) <= _MOST_DIGITS
    if not is_number or int(position) < 1:
        raise InputError(
            f"{where}: the position {position[:30]!r} is not a whole number from 1 to 2^31. "
            "A header line must begin with #."
        )
    alleles = (rest[0], rest[1]) if rest else None
    identifier = rest[2] if len(rest) > 2 and rest[2] != "." else None
    return ListedSite(contig, int(position), alleles, identifier)


def _extent(sites: Sites) -> str:
    first, last = 0, len(sites) - 1
    ends = [f"{sites.contigs[sites.contig[i]]}:{sites.position[i]}" for i in (first, last)]
    return f"{plurals.of(len(sites), 'site')} from {ends[0]} to {ends[1]}"
