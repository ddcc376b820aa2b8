"""Panel sites and targets for tests of matching and imputing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vcfbert.domain import sites as site_tables
from vcfbert.domain.sites import Sites


def sites_of(rows: Sequence[tuple[str, int, str, str]]) -> Sites:
    """A panel's sites from contig, position, REF and ALT, sorted by contig and position."""
    contigs = tuple(dict.fromkeys(row[0] for row in rows))
    position = np.array([row[1] for row in rows], dtype=np.int32)
    return Sites(
        contigs=contigs,
        contig=np.array([contigs.index(row[0]) for row in rows], dtype=np.int32),
        position=position,
        record=np.arange(len(rows), dtype=np.int32),
        info=["."] * len(rows),
        identifier=["."] * len(rows),
        ref=[row[2] for row in rows],
        alt=[row[3] for row in rows],
        site_type=site_tables.site_types([row[2] for row in rows], [row[3] for row in rows]),
        cm=position / 1e6,
        alt_count=np.zeros((len(rows), 3), dtype=np.int32),
        population_alt_count=np.zeros((len(rows), 0), dtype=np.int32),
    )
