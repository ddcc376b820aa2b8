"""Reading a target: samples' typed genotypes at the sites of a panel.

S sites in the panel, T typed ones, N samples of the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.match_report import MatchReport
from vcfbert.domain.matching import TargetPolicy
from vcfbert.domain.sites import Region, Sites
from vcfbert.domain.typed import TargetCollector
from vcfbert.storage.vcf import checks
from vcfbert.storage.vcf.reading import VcfReader


@dataclass(frozen=True)
class Target:
    """The samples to impute, as far as the panel's sites are concerned.

    names       N, in the order of the file
    site_index  (T,) indexes into the panel's sites, rising; one at least
    alleles     (T, N, 2) REF, ALT or MISSING of `tokens`, in the panel's orientation
    """

    names: list[str]
    site_index: NDArray[np.int64]
    alleles: NDArray[np.uint8]
    report: MatchReport


def read_target(
    path: Path,
    sites: Sites,
    policy: TargetPolicy,
    *,
    region: str | None = None,
    wanted: NDArray[np.bool_] | None = None,
    panel_frequency: NDArray[np.floating] | None = None,
) -> Target:
    """Read a VCF or BCF once and match its records to the panel's sites.

    region           only records of this region; without an index the whole file is read for it
    wanted           (S,) False where a site shall not be typed, None for all
    panel_frequency  (S,) ALT frequencies, by which A/T and C/G sites are looked at; None for not

    Raises InputError where the file is damaged or does not fit the panel, as docs/policy.md says.
    """
    has_index = checks.index_of(path) is not None
    reader = VcfReader(path, region=region if has_index else None)
    collector = TargetCollector(
        str(path),
        reader.samples,
        sites,
        policy,
        region=None if region is None else Region.parse(region),
        wanted=wanted,
    )
    for block in reader.blocks(np.arange(len(reader.samples)), wants=collector.wants):
        collector.add(block)
    typed = collector.finish(panel_frequency)
    return Target(reader.samples, typed.site_index, typed.alleles, typed.report)
