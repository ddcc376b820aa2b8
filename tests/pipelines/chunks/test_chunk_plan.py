from __future__ import annotations

import dataclasses

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import targets
from vcfbert.errors import InputError
from vcfbert.pipelines.chunks import chunk_plan


@st.composite
def tables(draw):
    """Sites on one or two contigs, which of them are wanted, and which typed."""
    rows = []
    for contig in ("1", "2")[: draw(st.integers(1, 2))]:
        steps = draw(st.lists(st.integers(1, 400_000), min_size=1, max_size=60))
        rows += [(contig, int(position), "A", "G") for position in np.cumsum(steps)]
    sites = targets.sites_of(rows)
    flags = st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)).map(np.array)
    return sites, draw(flags), np.flatnonzero(draw(flags))


@given(
    table=tables(),
    chunk_cm=st.sampled_from([0.3, 2.0, 100.0]),
    overlap_cm=st.sampled_from([0.0, 0.5, 3.0]),
    most=st.integers(3, 50),
    least=st.integers(1, 6),
)
def test_every_wanted_site_of_a_typed_contig_is_written_once(
    table, chunk_cm, overlap_cm, most, least
):
    sites, is_wanted, typed = table
    cores = chunk_plan.cut(sites, is_wanted, chunk_cm, overlap_cm, most)
    planned = chunk_plan.plan(sites, cores, is_wanted, typed, least)
    counts = np.bincount(sites.contig[typed], minlength=2)
    expected = np.flatnonzero(is_wanted & (counts[sites.contig] >= least))
    written = [chunk.written for chunk in planned]
    npt.assert_array_equal(np.concatenate([[], *written]), expected)
    for chunk in planned:
        assert chunk.core.stop - chunk.core.start <= most
        assert len(chunk.typed) >= least
        here = sites.contig[chunk.core.start]
        assert (sites.contig[chunk.typed] == here).all()
        distance = np.maximum(
            sites.cm[chunk.core.start] - sites.cm, sites.cm - sites.cm[chunk.core.stop - 1]
        )
        near = typed[(sites.contig[typed] == here) & (distance[typed] <= overlap_cm)]
        assert np.isin(near, chunk.typed).all()
        assert (np.diff(chunk.sites) > 0).all()


@given(table=tables(), other=st.integers(0, 2**32 - 1))
def test_what_is_wanted_moves_no_chunk(table, other):
    sites, is_wanted, typed = table
    others = np.random.default_rng(other).random(len(sites)) < 0.5
    plans = []
    for wanted in (is_wanted, is_wanted | others):
        cores = chunk_plan.cut(sites, wanted, 1.0, 0.5, 20)
        plans.append(chunk_plan.plan(sites, cores, wanted, typed, 1))
    known = {chunk.number: chunk for chunk in plans[1]}
    for chunk in plans[0]:
        whole = known[chunk.number]
        assert (chunk.core, chunk.around) == (whole.core, whole.around)
        npt.assert_array_equal(chunk.typed, whole.typed)


def test_memory_for_the_references_bounds_the_sites_of_a_core():
    assert chunk_plan.most_core_sites(4_508) == chunk_plan.MOST_CORE_SITES
    assert chunk_plan.most_core_sites(200_000) < 40_000
    assert chunk_plan.most_core_sites(10**7) == chunk_plan.FEWEST_CORE_SITES


def test_a_table_of_some_sites_has_their_columns():
    sites = targets.sites_of([("1", 5, "A", "G"), ("1", 7, "C", "T"), ("2", 3, "AT", "A")])
    some = chunk_plan.take(sites, np.array([0, 2]))
    assert (some.position.tolist(), some.ref, some.alt) == ([5, 3], ["A", "AT"], ["G", "A"])
    assert {len(getattr(some, f.name)) for f in dataclasses.fields(some)} == {2}
    assert chunk_plan.take(sites, np.arange(3)) is sites


@pytest.mark.parametrize(
    ("region", "expected"), [(None, [0, 1, 2]), ("chr1", [0, 1]), ("1:6-9", [1]), ("2", [2])]
)
def test_a_region_chooses_its_sites(region, expected):
    sites = targets.sites_of([("1", 5, "A", "G"), ("1", 7, "C", "T"), ("2", 3, "AT", "A")])
    found = chunk_plan.wanted_sites(sites, region, None, source="a panel")
    assert np.flatnonzero(found).tolist() == expected


def test_a_region_without_sites_is_refused():
    sites = targets.sites_of([("1", 5, "A", "G")])
    with pytest.raises(InputError, match="a panel has no sites in 1:6-9"):
        chunk_plan.wanted_sites(sites, "1:6-9", None, source="a panel")
