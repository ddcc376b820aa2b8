"""What is in a panel store, against itself.

S sites, W windows, L sites in a window, N samples, H = 2 N haplotypes, P populations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.domain.sites import TRAIN, Samples, Sites
from vcfbert.domain.windows import Windows
from vcfbert.errors import StoreError
from vcfbert.pipelines.systems import store_checks
from vcfbert.pipelines.verifying.verification import Findings
from vcfbert.storage.zarr import panel as panel_store
from vcfbert.storage.zarr import schema, stores
from vcfbert.storage.zarr.panel import PanelReader

AGAIN = f"Make it again with: vcfbert {schema.AGAIN['panel']}"


def check(panel: PanelReader, findings: Findings, *, is_sealed: bool) -> None:
    """Add what is wrong with an open panel to its findings.

    is_sealed  False where files are known to be damaged, which then explains what cannot be read
    """
    with findings.explained(besides_seal=is_sealed):
        letters = store_checks.letters_of(panel, width=0)
        made_by = schema.MADE_BY["panel"]
        shapes = store_checks.arrays("panel", panel.path, letters, "its own tables", made_by)
        findings.faults += [check.sentence() for check in shapes if not check.holds]
    if any(not check.holds for check in shapes):
        return  # what follows would compare arrays of other lengths
    wrong = [
        *of_sites(panel.sites),
        *of_samples(panel.samples),
    ]
    wrong += [] if wrong else list(of_counts(panel.sites, panel.samples))
    findings.faults += [f"{panel.path}: {what}. {AGAIN}" for what in wrong]
    if not wrong:
        _check_alleles(panel, findings, is_sealed)


def of_sites(sites: Sites) -> Iterator[str]:
    """Contigs are runs, positions rise, cM do not fall, alleles are spelled, types are theirs."""
    if ((sites.contig < 0) | (sites.contig >= len(sites.contigs))).any():
        yield "sites/contig names contigs that the panel does not have"
        return
    is_new = np.diff(sites.contig) != 0
    if int(is_new.sum()) + 1 != len(np.unique(sites.contig)):
        yield "a contig comes back after another"
    faults = {
        "the position falls": ~is_new & (np.diff(sites.position) < 0),
        "the centimorgans fall": ~is_new & ~(np.diff(sites.cm) >= 0),
        "a site stands twice": ~is_new & _is_repeated(sites),
    }
    for what, where in faults.items():
        for site in (np.flatnonzero(where)[:1] + 1).tolist():
            name = sites.contigs[sites.contig[site]]
            yield f"{what} at site {site} ({name}:{sites.position[site]})"
    if (sites.position < 1).any() or not np.isfinite(sites.cm).all():
        yield "sites/position is not positive or sites/cm not finite everywhere"
    is_spelled = [
        ref.isalpha() and alt.isalpha() for ref, alt in zip(sites.ref, sites.alt, strict=True)
    ]
    if not all(is_spelled):
        yield f"REF or ALT of site {is_spelled.index(False)} is not spelled out in letters"
    elif (sites.site_type != site_tables.site_types(sites.ref, sites.alt)).any():
        yield "sites/type is not what REF and ALT say"


def _is_repeated(sites: Sites) -> NDArray[np.bool_]:
    """(S - 1,) True where position, REF and ALT are those of the site before."""
    alleles = list(zip(sites.ref, sites.alt, strict=True))
    is_same = [before == after for before, after in itertools.pairwise(alleles)]
    is_repeated: NDArray[np.bool_] = np.diff(sites.position) == 0
    return is_repeated & np.array(is_same, dtype=np.bool_)


def of_samples(samples: Samples) -> Iterator[str]:
    """Names are different, splits known, populations those of the train samples."""
    if len(set(samples.names)) != len(samples.names) or not all(samples.names):
        yield "two samples of samples/name have one name, or one has none"
    if ((samples.split < 0) | (samples.split >= len(schema.SPLITS))).any():
        yield "samples/split holds other codes than 0, 1 and 2"
        return
    label = samples.labels
    trained = {label[n] for n in np.flatnonzero(samples.split == TRAIN).tolist()} - {"."}
    if tuple(sorted(trained)) != samples.populations:
        yield "the attribute populations is not that of the train samples"


def of_counts(sites: Sites, samples: Samples) -> Iterator[str]:
    """No more ALT copies than haplotypes, none below 0."""
    most = [2 * len(samples.in_splits(code)) for code in range(len(schema.SPLITS))]
    for name, counts, sizes in (
        ("sites/alt_count", sites.alt_count, np.array(most)),
        ("sites/population_alt_count", sites.population_alt_count, samples.population_sizes()),
    ):
        if ((counts < 0) | (counts > sizes)).any():
            yield f"{name} counts more copies than there are haplotypes, or fewer than none"


def _check_alleles(panel: PanelReader, findings: Findings, is_sealed: bool) -> None:
    """Decode every window: counts, padding, and the fingerprint of everything."""
    groups = panel.samples.groups().astype(np.float32)
    written = np.hstack([panel.sites.alt_count, panel.sites.population_alt_count])
    prints: list[str] = []
    for window in range(len(panel.windows)):
        with findings.explained(besides_seal=is_sealed):
            packed = panel.packed(window)
            prints.append(stores.fingerprint(packed))
            sentence = _wrong_in(packed, panel.windows, window, groups, written)
            if sentence is not None:
                raise StoreError(f"{panel.path}: {sentence}. {AGAIN}")
    if len(prints) < len(panel.windows):
        return
    tables = panel_store.table_prints(panel.sites, panel.samples, panel.windows)
    if stores.fingerprint(*tables, *prints) != panel.fingerprint:
        findings.faults.append(
            f"{panel.path}: its fingerprint is not that of its content, so what was made from it "
            f"may be of other alleles. {AGAIN}"
        )


def _wrong_in(
    packed: NDArray[np.uint8],
    cut: Windows,
    window: int,
    groups: NDArray[np.float32],
    written: NDArray[np.int32],
) -> str | None:
    """What is wrong with a window's alleles, (H, ceil(L / 8)); None where nothing is."""
    num_sites, where = cut.num_sites(window), cut.sites(window)
    alleles = np.unpackbits(packed, axis=1, bitorder="little")
    if alleles[:, num_sites:].any():
        return f"window {window} has alleles behind its last site, in the padding"
    counts = groups @ alleles[:, :num_sites].astype(np.float32)
    differs = (counts.T != written[where]).any(axis=1)
    if differs.any():
        site = where.start + int(np.argmax(differs))
        return f"the alleles of window {window} are not those that were counted at site {site}"
    return None
