"""What the header of a VCF says about the genome: lengths and assembly of its contigs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vcfbert.domain.contig_names import find_contig

_Fact = TypeVar("_Fact")


@dataclass(frozen=True)
class Genome:
    """Facts by the name of a contig; what is not known is absent.

    reference  the reference sequence, as the header names it
    lengths    in bases
    """

    reference: str | None = None
    lengths: Mapping[str, int] = field(default_factory=dict)
    assemblies: Mapping[str, str] = field(default_factory=dict)

    def of(self, contigs: Mapping[str, int]) -> Genome:
        """The facts of some contigs, under their names there: `20` may be `chr20` here.

        A length that ends before the last position is wrong and left out.

        contigs  the last position on each

        >>> Genome(None, {"20": 63025520}, {}).of({"chr20": 5, "chr21": 7})
        Genome(reference=None, lengths={'chr20': 63025520}, assemblies={})
        """
        return Genome(
            self.reference,
            {
                name: length
                for name, length in _under(self.lengths, contigs).items()
                if length >= contigs[name]
            },
            _under(self.assemblies, contigs),
        )

    def completed(self, other: Genome) -> Genome:
        """These facts, and those of the other genome for contigs of which nothing is known here.

        >>> Genome(None, {"1": 9}).completed(Genome("b.fa", {"1": 8, "2": 7}, {"1": "B", "2": "B"}))
        Genome(reference=None, lengths={'2': 7, '1': 9}, assemblies={'2': 'B'})
        """
        if self == UNKNOWN:
            return other
        known = {*self.lengths, *self.assemblies}
        return Genome(
            self.reference,
            {**{name: n for name, n in other.lengths.items() if name not in known}, **self.lengths},
            {
                **{name: text for name, text in other.assemblies.items() if name not in known},
                **self.assemblies,
            },
        )

    def as_json(self) -> dict[str, Any]:
        """The facts as JSON types, as `from_json` reads them."""
        return {
            "reference": self.reference,
            "lengths": dict(self.lengths),
            "assemblies": dict(self.assemblies),
        }

    @classmethod
    def from_json(cls, record: Any) -> Genome:
        """Read what `as_json` made. Raises TypeError or KeyError for anything else."""
        reference, lengths, assemblies = (
            record[key] for key in ("reference", "lengths", "assemblies")
        )
        if not isinstance(lengths, dict) or not isinstance(assemblies, dict):
            raise TypeError("the lengths and assemblies of the contigs are not tables")
        if not all(type(length) is int for length in lengths.values()):
            raise TypeError("the length of a contig is not a whole number")
        return cls(
            None if reference is None else str(reference),
            dict(lengths),
            {name: str(text) for name, text in assemblies.items()},
        )


UNKNOWN = Genome()
"""No facts."""


def _under(facts: Mapping[str, _Fact], contigs: Mapping[str, int]) -> dict[str, _Fact]:
    """The facts by the names of the contigs."""
    names = {contig: find_contig(contig, list(facts)) for contig in contigs}
    return {contig: facts[name] for contig, name in names.items() if name is not None}
