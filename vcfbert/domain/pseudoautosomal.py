"""Pseudo-autosomal regions (PAR) of the X chromosome: the parts that males have twice."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Literal

from vcfbert.domain.genome import Genome
from vcfbert.errors import ConfigError

Kind = Literal["par", "non-par", "unknown"]

Ranges = tuple[tuple[int, int], ...]
"""1-based and inclusive, rising."""

_LAST = 2**31 - 2

OF_LENGTH: Mapping[int, Ranges] = {
    155_270_560: ((1, 2_699_520), (154_931_044, _LAST)),  # GRCh37
    156_040_895: ((1, 2_781_479), (155_701_383, _LAST)),  # GRCh38
    154_259_566: ((1, 2_394_410), (153_925_835, _LAST)),  # T2T-CHM13v2.0
}
"""PAR by the length of the X chromosome, from the telomeres on."""

_NAMES = re.compile(r"(?:chr)?(?:x|23)|nc_000023\.\d+|cm000685\.\d+|nc_060947\.\d+", re.IGNORECASE)


def is_x(contig: str) -> bool:
    """True if the name is one of the X chromosome's.

    >>> [is_x(name) for name in ("X", "chrX", "23", "NC_000023.11", "20", "chrX_alt")]
    [True, True, True, True, False, False]
    """
    return _NAMES.fullmatch(contig) is not None


def parse(text: str) -> Ranges:
    """Ranges of the option --par; raises ConfigError for anything else.

    >>> parse("1-2781479"), parse("5-9,20-30"), parse("none")
    (((1, 2781479),), ((5, 9), (20, 30)), ())
    """
    if text.strip().lower() == "none":
        return ()
    if re.fullmatch(r"\d{1,10}-\d{1,10}(?:,\d{1,10}-\d{1,10})*", text.strip()):
        ends = [int(number) for number in re.findall(r"\d+", text)]
        pairs = tuple(zip(ends[::2], ends[1::2], strict=True))
        follows = [last < first for (_, last), (first, _) in itertools.pairwise(pairs)]
        if all(first <= last for first, last in pairs) and all(follows) and 1 <= ends[0]:
            return pairs
    raise ConfigError(
        f"--par {text!r} must be FROM-TO or FROM-TO,FROM-TO, 1-based and inclusive, in order and "
        "without overlap, or none."
    )


def of_contigs(
    genome: Genome, contigs: Mapping[str, int], given: Ranges | None
) -> dict[str, Ranges]:
    """PAR of the contigs where they are known.

    genome   facts of the header; the length of a contig tells the build
    contigs  names and last positions
    given    of --par: for the X chromosome, instead of those of the build
    """
    lengths = genome.of(contigs).lengths
    known = {name: OF_LENGTH[n] for name, n in lengths.items() if n in OF_LENGTH}
    if given is not None:
        known |= {name: given for name in contigs if is_x(name) or name in known}
    return known


def borders(ranges: Ranges) -> list[tuple[int, Kind]]:
    """First position of each part of a contig, and whether it is a PAR.

    >>> borders(((1, 100), (900, 1000)))
    [(1, 'par'), (101, 'non-par'), (900, 'par'), (1001, 'non-par')]
    >>> borders(())
    [(1, 'non-par')]
    """
    found: list[tuple[int, Kind]] = [(1, "non-par")]
    for first, last in ranges:
        if found[-1][0] == first:
            found.pop()
        found.append((first, "par"))
        if last < _LAST:
            found.append((last + 1, "non-par"))
    return found
