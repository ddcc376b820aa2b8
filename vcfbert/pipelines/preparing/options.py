"""Options of `prepare`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vcfbert.domain import pseudoautosomal, records, windows
from vcfbert.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareOptions:
    """Options of `prepare`."""

    samples: Path | None = None
    """Sample table; without it, all samples are read and splits are drawn."""

    relatives: Path | None = None
    """Pairs of close relatives. They never retrieve each other, and a train sample with a held-out
    relative is left out."""

    genetic_map: Path | None = None
    """Genetic map (forms in docs/policy.md); without it, 1 cM per Mb."""

    region: str | None = None
    """`contig:start-end`; needs an index."""

    min_maf: float = 0.0
    """Least minor allele frequency among train and validation samples."""

    min_mac: int = 0
    """Least minor allele count among train and validation samples. 0 keeps every site, 1 every
    site where both alleles occur."""

    window_size: int = 1030
    """L, sites in a window, including its flanks."""

    flank: int = 32
    """Sites of context on each side of a window's core."""

    windows: Path | None = None
    """CSV of window cores; sites outside all of them are dropped."""

    validation_fraction: float = 0.04
    """Share of train samples to validate on, if the table names none."""

    test_fraction: float = 0.1
    """Share of samples to test on, if the table has no splits."""

    missing: records.MissingPolicy = "fill"
    """What to do with missing genotypes."""

    unphased: Literal["error", "drop"] = "error"
    """What to do with unphased heterozygotes."""

    phase_panel: bool = False
    """Phase unphased heterozygotes by the panel's own samples."""

    sex: Path | None = None
    """Table of samples and their sex: males are haploid outside the pseudo-autosomal regions."""

    par: str | None = None
    """Pseudo-autosomal regions of X, FROM-TO,FROM-TO or none; None is those of the build."""

    max_dropped: float = 0.2
    """Stop if a larger share of the sites cannot be used. Filters, records without ALT, and what
    `missing` and `unphased` say to drop do not count."""

    seed: int = 1
    """Seed of the drawn splits and of mask version 0."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0.0 <= self.min_maf <= 0.5:
            raise ConfigError(f"--min-maf must be between 0 and 0.5, got {self.min_maf}.")
        if self.min_mac < 0:
            raise ConfigError(f"--min-mac must be at least 0, got {self.min_mac}.")
        for name in ("validation_fraction", "test_fraction"):
            if not 0.0 <= getattr(self, name) < 1.0:
                flag = name.replace("_", "-")
                raise ConfigError(
                    f"--{flag} must be at least 0 and below 1, got {getattr(self, name)}."
                )
        if not 0.0 <= self.max_dropped <= 1.0:
            raise ConfigError(f"--max-dropped must be between 0 and 1, got {self.max_dropped}.")
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}.")
        windows.check_size(self.window_size, self.flank)
        if self.phase_panel and self.unphased == "drop":
            raise ConfigError("--phase-panel and --unphased drop cannot be combined. Give one.")
        if self.par is not None:
            pseudoautosomal.parse(self.par)

    @property
    def unphased_policy(self) -> records.UnphasedPolicy:
        """What to do with unphased heterozygotes while the file is read."""
        return "phase" if self.phase_panel else self.unphased

    def as_json(self) -> dict[str, Any]:
        """JSON types; files by name only, so that a store does not depend on where they are."""
        values = {
            name: value.name if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(self).items()
        }
        # Absent if not given, as in panels of earlier versions.
        later = ("sex", "par", "phase_panel")
        return {n: value for n, value in values.items() if n not in later or value}
