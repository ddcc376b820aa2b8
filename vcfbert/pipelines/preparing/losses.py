"""What `prepare` could not use of a panel: a warning if it is more than a little, else an error.

N samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import records
from vcfbert.errors import InputError
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.pipelines.preparing.site_collector import SiteCollector

WARNED = 0.01
"""Share of the sites dropped for one reason, or of the genotypes filled in, that is worth a
warning."""

MOST_FILLED = 0.05
"""Share of missing genotypes above which a panel must be imputed first."""

MOST_MISSING_SAMPLE, WARNED_SAMPLE = 0.2, 0.05
"""The same shares for the genotypes of one sample."""

_REMEDIES = {
    records.PLOIDY: "Most genotypes of the samples have two alleles and these do not; correct "
    "them with: bcftools +fixploidy",
    records.MISSING: "Impute the panel first (Beagle), or remove the samples without genotypes: "
    "bcftools view -S; if bcftools merge made it and absent means REF, merge with --missing-to-ref",
    records.UNPHASED: "Phase the panel first (Beagle, SHAPEIT), or pass --phase-panel instead",
    records.NO_ALT: "There is nothing to impute at them; without them the panel is read faster: "
    "bcftools view -c 1:nonmajor -a",
    records.DUPLICATE: "Give different variants different IDs (bcftools annotate --set-id), or "
    "remove repeats with: bcftools norm -d exact",
}


def check(collector: SiteCollector, names: list[str], options: PrepareOptions) -> list[str]:
    """Warnings about what was dropped or filled in. Raises InputError if it is too much.

    names  of the N samples
    """
    source = collector.source
    if options.missing == "fill":
        _refuse_gaps(collector, names)
    shares = _dropped_shares(collector)
    asked = {records.NO_ALT}  # which loses nothing that could be imputed
    asked |= {records.MISSING} if options.missing == "drop" else set()
    asked |= {records.UNPHASED} if options.unphased == "drop" else set()
    refused = {reason: share for reason, share in shares.items() if reason not in asked}
    if sum(refused.values()) > options.max_dropped:
        reason = max(refused, key=lambda name: refused[name])
        drop = " or --missing drop" if reason == records.MISSING else ""
        raise InputError(
            f"{source}: {_count(collector, reason)} cannot be used: {reason}. {_REMEDIES[reason]}. "
            f"To go without these sites, pass --max-dropped 1{drop}."
        )
    warnings = [
        f"{source}: {_count(collector, reason)} "
        f"{plurals.word(collector.dropped[reason], 'is', 'are')} dropped: {reason}. "
        f"{_REMEDIES[reason]}."
        for reason, share in shares.items()
        if share > WARNED
    ]
    of_ploidy = [] if collector.ploidy is None else collector.ploidy.warnings
    return warnings + of_ploidy + _warnings_of_gaps(collector, names)


def missing_share(collector: SiteCollector) -> NDArray[np.float64]:
    """(N,) share of the records at which each sample has no genotype."""
    return collector.missing / max(collector.num_records, 1)


def _dropped_shares(collector: SiteCollector) -> dict[str, float]:
    """Share of all sites by the reason that was found."""
    total = max(collector.num_sites, 1)
    return {reason: collector.dropped[reason] / total for reason in records.REASONS}


def _refuse_gaps(collector: SiteCollector, names: list[str]) -> None:
    """Raise InputError if genotypes would be filled in from too little."""
    share = missing_share(collector)
    empty = np.flatnonzero(share > MOST_MISSING_SAMPLE)
    if 0 < len(empty) < len(names) / 2:
        raise InputError(
            f"{collector.source}: {_sample_list(empty, share, names)}. A reference sample needs "
            f"its genotypes. Leave such samples out: bcftools view -s ^{names[int(empty[0])]}; or "
            "impute the panel first (Beagle), or pass --missing drop to lose these records."
        )
    filled = _filled_share(collector)
    if filled > MOST_FILLED:
        raise InputError(
            f"{collector.source}: {plurals.of(collector.filled_genotypes, 'genotype')} "
            f"({filled:.1%}) {plurals.word(collector.filled_genotypes, 'is', 'are')} missing; a "
            "panel must be nearly complete. Impute it first (Beagle), or pass --missing major or "
            "--missing drop."
        )


def _warnings_of_gaps(collector: SiteCollector, names: list[str]) -> list[str]:
    filled, share = _filled_share(collector), missing_share(collector)
    empty = np.flatnonzero(share > WARNED_SAMPLE)
    warnings = []
    if filled > WARNED:
        warnings.append(
            f"{collector.source}: {plurals.of(collector.filled_genotypes, 'missing genotype')} "
            f"({filled:.1%}) {plurals.word(collector.filled_genotypes, 'is', 'are')} filled in. "
            "Imputing the panel first (Beagle) is more accurate."
        )
    if 0 < len(empty) < len(names) / 2:
        warnings.append(
            f"{collector.source}: {_sample_list(empty, share, names)}. Consider leaving such "
            f"samples out: bcftools view -s ^{names[int(empty[0])]}."
        )
    return warnings


def _filled_share(collector: SiteCollector) -> float:
    return collector.filled_genotypes / max(collector.num_records * len(collector.missing), 1)


def _sample_list(chosen: NDArray[np.int64], share: NDArray[np.float64], names: list[str]) -> str:
    first = int(chosen[0])
    text = f"sample {names[first]} has no genotype at {share[first]:.0%} of the records"
    if len(chosen) == 1:
        return text
    return f"{len(chosen):,} samples have many missing genotypes; {text}"


def _count(collector: SiteCollector, reason: str) -> str:
    count = collector.dropped[reason]
    of_all = plurals.of(collector.num_sites, "site")
    return f"{count:,} of {of_all} ({count / collector.num_sites:.0%})"
