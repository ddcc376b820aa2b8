"""What `prepare --phase-panel` found, and when it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from vcfbert import plurals
from vcfbert.domain.sites import Samples
from vcfbert.errors import InputError


@dataclass
class PanelPhase:
    """What was phased.

    samples   with a heterozygote of unknown order
    phased    such heterozygotes
    steps     of them from the heterozygote before
    expected  wrong ones among the steps, by the model's own probabilities
    """

    samples: int = 0
    phased: int = 0
    steps: int = 0
    expected: float = 0.0

    def record(self) -> dict[str, float]:
        """JSON types, for the QC report and the store."""
        error = self.expected / self.steps if self.steps else 0.0
        return {
            "samples": self.samples,
            "heterozygotes": self.phased,
            "expected_switch_error": round(error, 5),
        }

    def setting(self) -> dict[str, dict[str, float]]:
        """The record by its name; empty if no heterozygote was phased."""
        return {"phased": self.record()} if self.phased else {}

    def warnings(self, source: str) -> list[str]:
        """A sentence with the accuracy to expect."""
        if not self.phased:
            return []
        error = self.expected / self.steps if self.steps else 0.0
        return [
            f"{source}: {plurals.of(self.phased, 'heterozygous genotype')} of "
            f"{plurals.of(self.samples, 'sample')} {plurals.word(self.phased, 'is', 'are')} phased "
            f"by the panel's own samples; about {error:.1%} of neighbouring heterozygotes are "
            "expected to be in the wrong order."
        ]


def check_samples(samples: Samples, source: str) -> None:
    """Raise InputError if a sample would have no others."""
    if len(samples) < 2:
        raise InputError(
            f"{source} has one sample, and --phase-panel phases each sample with the others. Phase "
            "the sample with another panel (vcfbert phase), or add samples."
        )
