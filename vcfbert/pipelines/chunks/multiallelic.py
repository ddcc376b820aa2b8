"""Alternatives: sites of one position of which a haplotype carries ALT at one at most.

A multi-allelic record of the panel is split into one site for each ALT, whether by `prepare` or by
`bcftools norm -m-` before it. Each site is imputed by itself, so the probabilities of its ALT have
to be made one distribution afterwards.

S sites of a chunk, T typed sites, N samples, R reference haplotypes, m sites of a position.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.domain.sites import Sites


def with_alternatives(chosen: NDArray[np.int64], sites: Sites) -> NDArray[np.int64]:
    """The chosen sites and those that share a position with one of them, rising.

    chosen  (n,) indexes, rising
    """
    found = [chosen]
    for step in (1, -1):
        near = chosen
        while len(near):
            near = near[(near + step >= 0) & (near + step < len(sites))]
            near = near[_is_same_position(sites, near, near + step)] + step
            found.append(near)
    return np.unique(np.concatenate(found))


def sharing_a_position(chosen: NDArray[np.int64], sites: Sites) -> NDArray[np.int64]:
    """(n,) indexes of the chosen sites that have the position of another one, rising.

    chosen  (S,) panel sites, rising
    """
    follows = np.flatnonzero(_is_same_position(sites, chosen[:-1], chosen[1:]))
    return np.unique(np.concatenate([follows, follows + 1]))


def alternatives(
    chosen: NDArray[np.int64], bits: NDArray[np.uint64], sites: Sites
) -> list[NDArray[np.int64]]:
    """Arrays of indexes among the chosen sites, each with the sites of one position and REF.

    Sites of which a reference carries two ALT, or with the same ALT (markers that differ in their
    ID only), are not alternatives.

    chosen  (S,) panel sites, rising
    bits    (R, ceil(n / 64)) alleles at those `sharing_a_position`
    """
    follows = np.flatnonzero(_is_same_position(sites, chosen[:-1], chosen[1:]))
    if len(follows) == 0:
        return []
    starts = follows[np.append(True, np.diff(follows) > 1)]
    stops = follows[np.append(np.diff(follows) > 1, True)] + 2
    rows = sharing_a_position(chosen, sites)
    carried = tokens.unpack(bits.view(np.uint8), len(rows))
    found = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        by_ref: dict[str, list[int]] = {}
        for row in range(start, stop):
            by_ref.setdefault(sites.ref[chosen[row]].upper(), []).append(row)
        for run in by_ref.values():
            alts = {sites.alt[site].upper() for site in chosen[run].tolist()}
            if len(run) > 1 and len(alts) == len(run):
                copies = carried[:, np.searchsorted(rows, run)].sum(axis=1)
                if copies.max() <= 1:
                    found.append(np.array(run, dtype=np.int64))
    return found


def exclude(
    alt: NDArray[np.float32],
    alternatives: list[NDArray[np.int64]],
    typed: NDArray[np.int64],
    alleles: NDArray[np.uint8],
) -> None:
    """Limit the sum of each haplotype's ALT probabilities at alternatives to 1, in place.

    Typed alleles stay as they are. The others are scaled if their sum is above what is left.

    alt      (S, N, 2)
    typed    (T,) indexes among the S, rising
    alleles  (T, N, 2) more than 1 if missing
    """
    for run in alternatives:
        values = alt[run]
        is_known = np.zeros(values.shape, np.bool_)
        is_typed = np.isin(run, typed)
        is_known[is_typed] = tokens.is_observed(alleles[np.searchsorted(typed, run[is_typed])])
        free = np.where(is_known, 0, values)
        room = np.maximum(1 - np.where(is_known, values, 0).sum(axis=0), 0)
        total = free.sum(axis=0)
        factor = np.divide(room, total, out=np.ones_like(total), where=total > room)
        alt[run] = np.where(is_known, values, free * factor)


def give_way(
    alt: NDArray[np.float32], kept: NDArray[np.int64], alternatives: list[NDArray[np.int64]]
) -> None:
    """Where a typed ALT was put on a haplotype, take its imputed alternatives away, in place.

    alt           (n, N, 2)
    kept          (k, 2) row and sample of the genotypes that were put in
    alternatives  arrays of rows, each of one position
    """
    if len(kept) == 0:
        return
    run_of = {row: run for run in alternatives for row in run.tolist()}
    for row, sample in kept.tolist():
        run = run_of.get(row)
        if run is None:
            continue
        for haplotype in np.flatnonzero(alt[row, sample] == 1).tolist():
            values = alt[run, sample, haplotype]
            alt[run, sample, haplotype] = np.where(values < 1, 0, values)


def _is_same_position(
    sites: Sites, first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.bool_]:
    is_same: NDArray[np.bool_] = sites.position[first] == sites.position[second]
    is_same &= sites.contig[first] == sites.contig[second]
    return is_same
