"""Options of `impute`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vcfbert.domain import pseudoautosomal
from vcfbert.domain.matching import UnphasedTarget
from vcfbert.errors import ConfigError
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import chunk_plan, family_phase, switch_rates
from vcfbert.pipelines.chunks.chunk_phasing import Trust
from vcfbert.pipelines.chunks.target_references import TargetReferences
from vcfbert.pipelines.parts import batches
from vcfbert.storage.vcf.output_header import FIELDS, CellLayout


@dataclass(frozen=True, kw_only=True, slots=True)
class ImputeOptions:
    """Options of `impute`."""

    run: str | None = None
    """Run of mosaic whose network is used; None is the network that comes with vcfbert."""

    no_network: bool = False
    """Use the copying model alone."""

    genetic_map: Path | None = None
    """Genetic map (forms in docs/policy.md) to use instead of the panel's."""

    region: str | None = None
    """Write only the sites of this region; genotypes around it are still used."""

    threads: int | None = None
    """CPU threads; None is all cores. The output is the same for any number."""

    seed: int = switch_rates.FIT_SEED
    """Seed of the fit of the switch rates, and of drawn phases."""

    chunk_cm: float = chunk_plan.CHUNK_CM
    """Longest chunk, in cM."""

    overlap_cm: float = chunk_plan.OVERLAP_CM
    """Genotypes are used up to this far outside a chunk, in cM."""

    min_typed: int = chunk_plan.MIN_TYPED
    """Contigs with fewer typed sites are not imputed; chunks use sites further away to reach it."""

    fields: tuple[str, ...] = FIELDS
    """FORMAT fields to write."""

    sites: Path | None = None
    """List of panel sites to write; None writes all."""

    unphased: UnphasedTarget = "phase"
    """Unphased heterozygotes: phase them, stop, impute the order of a few, or take the order as the
    phase."""

    phase: Trust = "keep"
    """Keep the phase of the file, take it as a hint, or do without it."""

    phase_draws: int = 32
    """Phases drawn by their probability if the phase is uncertain, all imputed in one pass; 0
    imputes only the most likely one."""

    target_references: TargetReferences = "auto"
    """Phase with the other samples of the target, too; `auto` if it has more than the panel."""

    phasing_passes: int = PhasingOptions.passes
    """Passes of phasing: the first finds candidates by genotype, the others by haplotype."""

    strand: Literal["fix", "drop", "error"] = "fix"
    """Strand flips: repair, leave out, or stop."""

    sex: Path | None = None
    """Table of samples and their sex: males are haploid outside the pseudo-autosomal regions."""

    trios: Path | None = None
    """Pedigree: children are phased by their parents, and parents by their children."""

    mendel: bool = False
    """Set genotypes of trios missing at Mendelian errors."""

    par: str | None = None
    """Pseudo-autosomal regions of X, FROM-TO,FROM-TO or none; None is those of the build."""

    er2: bool = False
    """Write INFO/ER2 at typed sites."""

    all_typed_sites: bool = False
    """Write the target's records that the panel lacks, too."""

    empirical: bool = False
    """Write NAME.empiricalDose.vcf.gz: typed sites as if they were not typed."""

    exclude_samples: str | None = None
    """Samples of the panel to do without: a file of names, or names separated by commas."""

    force_samples: bool = False
    """Ignore excluded samples that the panel lacks."""

    qc: Path | None = None
    """Folder of the QC files; None is a folder next to the output."""

    memory: str | None = None
    """Memory to use, such as 4G, which decides how many samples are imputed at once; None is half
    of what is free. The output is the same for any size."""

    parts: Path | None = None
    """Folder of finished parts, from which the same command continues after a kill; None is a
    folder next to the output."""

    keep_parts: bool = False
    """Keep the parts after success."""

    device: str = "cpu"
    """cpu, cuda, cuda:N, or auto for a GPU if there is one; all but cpu load PyTorch."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.no_network and self.run is not None:
            raise ConfigError("--no-network and --run cannot be combined. Give one of them.")
        chunk_plan.check_lengths(self.chunk_cm, self.overlap_cm)
        for name in ("min_typed", "phasing_passes", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}.")
        if self.memory is not None:
            batches.parse_size(self.memory)
        if self.par is not None:
            pseudoautosomal.parse(self.par)
        family_phase.check_options(self.trios, mendel=self.mendel, unphased=self.unphased)
        CellLayout.of(self.fields)
