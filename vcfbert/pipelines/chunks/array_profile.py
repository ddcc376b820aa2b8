"""Array profiles of a workspace, made by the first imputation with an array or ahead of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import versions
from vcfbert.copying import compiled
from vcfbert.domain.sites import Sites
from vcfbert.errors import ConfigError
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import (
    chunk_plan,
    chunk_references,
    chunk_statistics,
    switch_rates,
    target_ploidy,
)
from vcfbert.progress import Progress
from vcfbert.storage import site_lists
from vcfbert.storage.profiles import SUFFIX, Profiles
from vcfbert.storage.zarr.panel import PanelReader, contig_stores, open_panel
from vcfbert.storage.zarr.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileOptions:
    """Options of `profile`; those of an imputation that uses it have to be the same."""

    genetic_map: Path | None = None
    """Genetic map (forms in docs/policy.md) to use instead of the panel's."""

    threads: int | None = None
    """CPU threads; None is all cores."""

    seed: int = switch_rates.FIT_SEED
    """Seed of the fit of the switch rates."""

    chunk_cm: float = chunk_plan.CHUNK_CM
    """Longest chunk, in cM."""

    overlap_cm: float = chunk_plan.OVERLAP_CM
    """Genotypes are used up to this far outside a chunk, in cM."""

    min_typed: int = chunk_plan.MIN_TYPED
    """Fewest typed sites of a contig, and of a chunk."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        chunk_plan.check_lengths(self.chunk_cm, self.overlap_cm)
        for name in ("min_typed", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")


@dataclass(frozen=True)
class ProfileSummary:
    """num_typed panel sites on the array, in num_chunks chunks; num_bytes of the whole folder."""

    num_typed: int
    num_listed: int
    num_chunks: int
    num_bytes: int
    folder: Path

    def lines(self) -> list[str]:
        """For the terminal."""
        return [
            f"typed sites  {self.num_typed:,} of the panel, of {self.num_listed:,} in the list",
            f"chunks       {self.num_chunks:,}",
            f"profiles     {self.folder}, {self.num_bytes:,} bytes",
        ]


def of_panel(workspace: Workspace, panel: PanelReader) -> Profiles:
    """The profiles of a panel; what kernels compute depends on their sources, too."""
    return Profiles(workspace.profiles, (panel.fingerprint, compiled.SOURCES))


def make(
    workspace: Workspace, typed: Path, options: ProfileOptions, *, progress: Progress
) -> ProfileSummary:
    """Make the profile of an array: samples that are typed at all of these sites start at once.

    typed  list of sites, one a line: contig, position, and if wanted REF and ALT

    Raises InputError for a list that does not fit the panel, StoreError if the panel is missing or
    the workspace cannot be written to.
    """
    places = contig_stores(workspace.panel)
    if len(places) < 2:
        return _of_contig(workspace, typed, options, progress)
    made = [
        _of_contig(workspace.with_panel(places[name]), typed, options, progress)
        for name in site_lists.contigs_of(typed, list(places)) or places
    ]
    return ProfileSummary(
        sum(one.num_typed for one in made),
        made[0].num_listed,
        sum(one.num_chunks for one in made),
        made[-1].num_bytes,
        workspace.profiles,
    )


def keep_statistics(workspace: Workspace, *, threads: int, progress: Progress) -> None:
    """Keep what depends on no typed site, for the default chunks of all contigs."""
    stores = contig_stores(workspace.panel)
    for place in stores.values() if len(stores) > 1 else [workspace.panel]:
        with open_panel(place, takes_haploid=True) as panel:
            sites, profiles = panel.sites, of_panel(workspace, panel)
            borders = _borders(panel, sites, place)
            cores = chunk_plan.whole_panel(sites, 2 * len(panel.samples), borders)
            everywhere, none = np.ones(len(sites), np.bool_), np.empty(0, np.int64)
            chunks = chunk_plan.plan(sites, cores, everywhere, none, 0, borders)
            progress.start("computing statistics of the panel", len(chunks))
            with compiled.announcing_compilation(progress.note):
                for chunk in chunks:
                    chunk_statistics.keep(
                        panel, sites.cm, chunk, threads=threads, profiles=profiles
                    )
                    progress.advance(1)


def _borders(panel: PanelReader, sites: Sites, source: Path) -> NDArray[np.int64]:
    """First sites of ranges with another ploidy, as far as the panel tells."""
    known = target_ploidy.rules(
        sites, panel, panel.genome, [], sex=None, par=None, source=str(source)
    )
    return target_ploidy.chunk_borders(sites, known, panel.samples.haploid)


def _of_contig(
    workspace: Workspace, typed: Path, options: ProfileOptions, progress: Progress
) -> ProfileSummary:
    """Make the profile of one contig, or of a panel in one store."""
    with open_panel(workspace.panel, takes_haploid=True) as panel:
        sites = chunk_plan.with_map(panel.sites, options.genetic_map)
        found = site_lists.read_typed(typed, sites)
        borders = _borders(panel, sites, typed)
        everywhere = np.ones(len(sites), np.bool_)
        cores = chunk_plan.cut(
            sites, everywhere, options.chunk_cm, options.overlap_cm,
            chunk_plan.most_core_sites(2 * len(panel.samples)), borders,
        )  # fmt: skip
        chunks = chunk_plan.plan_target(
            sites, cores, everywhere, np.flatnonzero(found.is_typed), options.min_typed, borders,
            source=typed,
        )  # fmt: skip
        profiles = replace(of_panel(workspace, panel), is_required=True)
        progress.start("profiling", len(chunks))
        with compiled.announcing_compilation(progress.note):
            for chunk in chunks:
                chunk_references.read(
                    panel, sites.cm, chunk, [chunk.typed], seed=options.seed,
                    threads=options.threads or versions.num_cores(), phasing=PhasingOptions(),
                    profiles=profiles,
                )  # fmt: skip
                progress.advance(1)
    num_bytes = sum(path.stat().st_size for path in workspace.profiles.glob(f"*{SUFFIX}"))
    return ProfileSummary(
        int(found.is_typed.sum()), found.num_listed, len(chunks), num_bytes, workspace.profiles
    )
