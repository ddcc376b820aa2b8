"""Parents and children among the samples of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vcfbert.domain.haploid_calls import Sex

ABSENT_PARENT = -1
"""Index of a parent that is unknown or not in the file."""


@dataclass(frozen=True, order=True)
class Trio:
    """A child and its parents, as indexes of samples; at least one parent is in the file."""

    child: int
    father: int
    mother: int

    @property
    def parents(self) -> tuple[int, ...]:
        """The parents that are in the file."""
        return tuple(one for one in (self.father, self.mother) if one != ABSENT_PARENT)

    @property
    def is_duo(self) -> bool:
        """True if only one parent is in the file."""
        return len(self.parents) == 1


@dataclass(frozen=True)
class Pedigree:
    """The trios of a file.

    trios        in the order of the children
    sexes        of samples of the file by name; also of parents, by their role
    num_unknown  samples of the pedigree that the file lacks
    matched      number of samples of the pedigree by how their names matched: IID or FID_IID
    """

    trios: tuple[Trio, ...]
    sexes: Mapping[str, Sex] = field(default_factory=dict)
    num_unknown: int = 0
    matched: Mapping[str, int] = field(default_factory=dict)
