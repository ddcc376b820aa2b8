"""Checks of a panel store: tables, windows, alleles and fingerprint.

S sites, W windows, L sites in a window, N samples, H = 2 N haplotypes, P populations.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.domain.sites import TRAIN, Samples, Sites
from vcfbert.errors import StoreError
from vcfbert.pipelines.systems import store_checks
from vcfbert.pipelines.verifying.store_report import StoreReport
from vcfbert.storage.zarr import panel as panel_store
from vcfbert.storage.zarr import schema, stores
from vcfbert.storage.zarr.panel import PanelReader

AGAIN = f"Rebuild it with: vcfbert {schema.AGAIN['panel']}"

_ALLELE = re.compile(r"[^\s,]+")
_INFO = re.compile(r"\S+")


def check(panel: PanelReader, report: StoreReport, *, is_sealed: bool) -> None:
    """Add the faults of an open store of a panel to its report.

    is_sealed  False if files are known to be damaged; read errors are then no new faults
    """
    with report.catching(is_sealed=is_sealed):
        shapes = store_checks.of_panel(panel)
        report.faults += [check.sentence() for check in shapes if not check.holds]
    if any(not check.holds for check in shapes):
        return  # the following checks need arrays of the declared lengths
    wrong = [
        *of_sites(panel.sites),
        *of_samples(panel.samples),
    ]
    wrong += [] if wrong else list(of_counts(panel.sites, panel.samples))
    report.faults += [f"{panel.path}: {what}. {AGAIN}" for what in wrong]
    if not wrong:
        _check_alleles(panel, report, is_sealed)


def of_sites(sites: Sites) -> Iterator[str]:
    """Faults in the order of sites, and in their positions, centimorgans, alleles and types."""
    if ((sites.contig < 0) | (sites.contig >= len(sites.contigs))).any():
        yield "sites/contig has numbers without a contig name"
        return
    is_new = np.diff(sites.contig) != 0
    if int(is_new.sum()) + 1 != len(np.unique(sites.contig)):
        yield "the sites of a contig are not consecutive"
    faults = {
        "the position decreases": ~is_new & (np.diff(sites.position) < 0),
        "the centimorgans decrease": ~is_new & ~(np.diff(sites.cm) >= 0),
        "a site occurs twice": ~is_new & _is_repeated(sites),
    }
    for what, where in faults.items():
        for site in (np.flatnonzero(where)[:1] + 1).tolist():
            name = sites.contigs[sites.contig[site]]
            yield f"{what} at site {site} ({name}:{sites.position[site]})"
    if (sites.position < 1).any() or not np.isfinite(sites.cm).all():
        yield "sites/position has values below 1, or sites/cm has values that are not finite"
    is_allele = [
        _ALLELE.fullmatch(ref) is not None and _ALLELE.fullmatch(alt) is not None
        for ref, alt in zip(sites.ref, sites.alt, strict=True)
    ]
    is_field = [_INFO.fullmatch(text) is not None for text in sites.info]
    if not all(is_allele):
        yield f"REF or ALT of site {is_allele.index(False)} is empty or has a space or comma"
    elif not all(is_field):
        yield f"sites/info of site {is_field.index(False)} is empty or has a space"
    elif not _is_grouped(sites):
        yield "sites/record does not rise by 1 from record to record"
    elif (sites.site_type != site_tables.site_types(sites.ref, sites.alt)).any():
        yield "sites/type does not match REF and ALT"


def _is_grouped(sites: Sites) -> bool:
    """True if records are numbered from 0, and the sites of one share contig, position and REF."""
    step = np.diff(sites.record, prepend=0)
    if len(step) == 0 or step[0] != 0 or not np.isin(step, (0, 1)).all():
        return False
    rows = (np.flatnonzero(step[1:] == 0) + 1).tolist()
    is_moved = (np.diff(sites.position) != 0) | (np.diff(sites.contig) != 0)
    return not any(is_moved[row - 1] or sites.ref[row] != sites.ref[row - 1] for row in rows)


def _is_repeated(sites: Sites) -> NDArray[np.bool_]:
    """(S - 1,) True if position, alleles, ID and INFO equal those of the site before."""
    alleles = list(zip(sites.ref, sites.alt, sites.identifier, sites.info, strict=True))
    is_same = [before == after for before, after in itertools.pairwise(alleles)]
    is_repeated: NDArray[np.bool_] = np.diff(sites.position) == 0
    return is_repeated & np.array(is_same, dtype=np.bool_)


def of_samples(samples: Samples) -> Iterator[str]:
    """Faults in names, splits and populations of samples."""
    if len(set(samples.names)) != len(samples.names) or not all(samples.names):
        yield "samples/name has an empty name, or one name twice"
    if ((samples.split < 0) | (samples.split >= len(schema.SPLITS))).any():
        yield "samples/split has codes other than 0, 1 and 2"
        return
    label = samples.labels
    trained = {label[n] for n in np.flatnonzero(samples.split == TRAIN).tolist()} - {"."}
    if tuple(sorted(trained)) != samples.populations:
        yield "the attribute populations does not match the train samples"


def of_counts(sites: Sites, samples: Samples) -> Iterator[str]:
    """Counts that are negative or exceed the number of haplotypes."""
    most = [2 * len(samples.in_splits(code)) for code in range(len(schema.SPLITS))]
    for name, counts, sizes in (
        ("sites/alt_count", sites.alt_count, np.array(most)),
        ("sites/population_alt_count", sites.population_alt_count, samples.population_sizes()),
    ):
        if ((counts < 0) | (counts > sizes)).any():
            yield f"{name} has counts below 0 or above the number of haplotypes"


def _check_alleles(panel: PanelReader, report: StoreReport, is_sealed: bool) -> None:
    """Decode every window; check its counts and padding, and the fingerprint of the panel."""
    prints: list[str] = []
    for window in range(len(panel.windows)):
        with report.catching(is_sealed=is_sealed):
            packed = panel.packed(window)
            prints.append(stores.fingerprint(packed))
            fault = panel_store.allele_fault(panel, window, packed)
            if fault is not None:
                raise StoreError(f"{panel.path}: {fault}. {AGAIN}")
    if len(prints) < len(panel.windows):
        return
    tables = panel_store.table_prints(panel.sites, panel.samples, panel.windows, panel.genome)
    if stores.fingerprint(*tables, *prints) != panel.fingerprint:
        report.faults.append(
            f"{panel.path}: its fingerprint does not match its content, so stores made from it may "
            f"have other alleles. {AGAIN}"
        )
