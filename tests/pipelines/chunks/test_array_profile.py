"""Profiles of an array change no result, and are used by every target typed on it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED, lines, run, samples_alleles, write_target
from vcfbert.copying import compiled
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.pipelines import chunks, warm_up
from vcfbert.pipelines.chunks import array_profile, chunk_imputation
from vcfbert.pipelines.chunks.array_profile import ProfileOptions
from vcfbert.pipelines.merging.merge import MergeOptions, merge
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.progress import Silent
from vcfbert.retrieval import chunk_candidates
from vcfbert.storage import profiles
from vcfbert.storage.profiles import SUFFIX
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.workspace import Workspace

OF_PANEL = ["counts", "groups", "statistics"]  # kinds of entries that depend on no typed site


@pytest.fixture(scope="module")
def fx_source(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("profiles"))


@pytest.fixture
def fx_home(fx_source, tmp_path):
    shutil.copytree(fx_source.root, tmp_path / "work", ignore=shutil.ignore_patterns("profiles"))
    return type(fx_source)(tmp_path / "work")


def names(home):
    return sorted(path.name for path in home.profiles.glob(f"*{SUFFIX}"))


def typed_list(folder):
    path = folder / "array.tsv"
    path.write_text("".join(f"20\t{1000 * (site + 1)}\n" for site in TYPED))
    return path


@pytest.mark.parametrize("phase", ["keep", "redo"])
def test_the_second_run_reads_what_the_first_kept_and_writes_the_same(
    fx_home, tmp_path, monkeypatch, phase
):
    target = write_target(tmp_path / "t.vcf", samples_alleles(2))
    run(fx_home, target, tmp_path / "one.vcf.gz", phase=phase)
    kept = names(fx_home)
    kinds = [*OF_PANEL, "quality", "rates"] + ["phasing"] * (phase == "redo")
    assert [name.split("-")[0] for name in kept] == sorted(kinds)

    def refuse(*words, **options):
        raise AssertionError("computed again")

    for place in (
        "chunk_references._fitted",
        "chunk_statistics.groups.of_references",
        "chunk_statistics.panel_statistics.neighbours",
        "chunk_references.phase_chunk.fit_model",
    ):
        monkeypatch.setattr(f"{chunks.__name__}.{place}", refuse)
    run(fx_home, target, tmp_path / "two.vcf.gz", phase=phase)
    assert names(fx_home) == kept
    assert lines(tmp_path / "one.vcf.gz") == lines(tmp_path / "two.vcf.gz")


@pytest.mark.parametrize("phase", ["keep", "redo"])
@pytest.mark.parametrize("num_samples", [1, 3])
def test_with_a_profile_only_the_alleles_of_candidates_are_read(
    fx_home, tmp_path, monkeypatch, phase, num_samples
):
    monkeypatch.setattr(chunk_imputation, "MOST_CANDIDATES", np.inf)
    monkeypatch.setattr(chunk_imputation, "FEWEST_BYTES", 0)
    names = [f"t{number}" for number in range(num_samples)]
    target = write_target(tmp_path / "t.vcf", samples_alleles(num_samples), names=names)
    options = {"phase": phase, "no_network": False}
    read, shares = haplotypes.read_sites, []

    def counting(panel, sites, chosen=None, **more):
        num_read = 2 * len(panel.samples) if chosen is None else len(chosen)
        shares.append((len(sites) * num_read) / (len(panel.sites) * 2 * len(panel.samples)))
        return read(panel, sites, chosen, **more)

    monkeypatch.setattr(haplotypes, "read_sites", counting)
    run(fx_home, target, tmp_path / "one.vcf.gz", **options)
    assert max(shares) > 0.99
    shares.clear()
    monkeypatch.setattr(chunk_candidates, "MOST", 100)
    monkeypatch.setattr(chunk_candidates, "LEAST", 100)
    run(fx_home, target, tmp_path / "two.vcf.gz", **options)
    assert 0 < max(shares) < 0.9
    monkeypatch.setattr(chunk_imputation, "MOST_CANDIDATES", 0)
    run(fx_home, target, tmp_path / "three.vcf.gz", **options)
    assert lines(tmp_path / "two.vcf.gz") == lines(tmp_path / "three.vcf.gz")


def test_a_profile_made_ahead_is_the_one_that_imputation_uses(fx_home, tmp_path):
    summary = array_profile.make(
        fx_home, typed_list(tmp_path), ProfileOptions(threads=1), progress=Silent()
    )
    assert (summary.num_typed, summary.num_listed, summary.num_chunks) == (75, 75, 1)
    made = names(fx_home)
    target = write_target(tmp_path / "t.vcf", samples_alleles(2))
    run(fx_home, target, tmp_path / "one.vcf.gz", phase="redo")
    assert names(fx_home) == made


def test_other_options_make_other_entries(fx_home, tmp_path):
    target = write_target(tmp_path / "t.vcf", samples_alleles(2))
    run(fx_home, target, tmp_path / "one.vcf.gz")
    before = set(names(fx_home))
    run(fx_home, target, tmp_path / "two.vcf.gz", seed=2)
    run(fx_home, target, tmp_path / "three.vcf.gz", chunk_cm=0.1, overlap_cm=0.05)
    added = [name.split("-")[0] for name in set(names(fx_home)) - before]
    assert added.count("groups") > 1  # of shorter chunks
    assert "rates" in added


def test_another_array_uses_the_statistics_of_the_first(fx_home, tmp_path):
    """Also in the overlaps of short chunks, where only typed sites are read."""
    short = {"chunk_cm": 0.1, "overlap_cm": 0.05, "no_network": False}
    target = write_target(tmp_path / "t.vcf", samples_alleles(2))
    other = write_target(tmp_path / "u.vcf", samples_alleles(2), typed=TYPED[::2])
    run(fx_home, other, tmp_path / "alone.vcf.gz", **short)
    profiles.remove(fx_home.profiles)
    run(fx_home, target, tmp_path / "one.vcf.gz", **short)
    before = set(names(fx_home))
    run(fx_home, other, tmp_path / "two.vcf.gz", **short)
    added = {name.split("-")[0] for name in set(names(fx_home)) - before}
    assert added == {"quality", "rates"}
    assert lines(tmp_path / "two.vcf.gz") == lines(tmp_path / "alone.vcf.gz")


def test_prepare_makes_the_statistics_of_a_large_panel(tmp_path, monkeypatch):
    records = panels.records_of(imputations.panel_alleles(), step=1000)
    vcf = panels.write_vcf(tmp_path / "panel.vcf.gz", records)
    target = write_target(tmp_path / "t.vcf", samples_alleles(2))
    found = {}
    for least in (2 * imputations.PANEL_SAMPLES, 2 * imputations.PANEL_SAMPLES + 1):
        monkeypatch.setattr(prepare, "MANY_HAPLOTYPES", least)
        home = Workspace(tmp_path / str(least))
        prepare.prepare(vcf, home, PrepareOptions(), progress=Silent())
        made, out = names(home), tmp_path / f"{least}.vcf.gz"
        run(home, target, out, no_network=False)
        assert set(made) <= set(names(home))
        found[least] = [name.split("-")[0] for name in made], names(home), lines(out)
    (large, *of_large), (small, *of_small) = found.values()
    assert (large, small) == (OF_PANEL, [])
    assert of_large == of_small


def test_statistics_of_all_contigs_are_made_if_they_are_not_there(tmp_path, monkeypatch):
    alleles = panels.mosaic_alleles(60, 40)
    files = [
        panels.write_vcf(tmp_path / f"{n}.vcf", panels.records_of(alleles, contig=n, step=1000))
        for n in ("1", "2")
    ]
    monkeypatch.setattr(prepare, "MANY_HAPLOTYPES", 40)
    home, options = Workspace(tmp_path / "work"), PrepareOptions()
    prepare.prepare(files, home, options, progress=Silent(), threads=1)
    made = names(home)
    assert [name.split("-")[0] for name in made] == sorted(2 * OF_PANEL)
    read = haplotypes.read_sites
    seen = []
    monkeypatch.setattr(
        haplotypes, "read_sites", lambda *task, **more: seen.append(1) or read(*task)
    )
    array_profile.keep_statistics(home, threads=2, progress=Silent())
    assert (names(home), seen) == (made, [])
    prepare.prepare(files[0], home, options, progress=Silent(), overwrite=True)
    assert (names(home), len(seen)) == (made, 2)


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), MemoryError()])
def test_a_panel_is_complete_if_its_statistics_fail(tmp_path, monkeypatch, caplog, fault):
    def fail(*task, **more):
        raise fault

    vcf = panels.write_vcf(tmp_path / "p.vcf", panels.records_of(panels.mosaic_alleles(60, 40)))
    monkeypatch.setattr(prepare, "MANY_HAPLOTYPES", 40)
    monkeypatch.setattr(haplotypes, "read_sites", fail)
    home = Workspace(tmp_path / "work")
    prepare.prepare(vcf, home, PrepareOptions(), progress=Silent())
    assert "The panel is complete, but its statistics could not be computed (" in caplog.text
    monkeypatch.undo()
    array_profile.keep_statistics(home, threads=1, progress=Silent())
    assert len(names(home)) == len(OF_PANEL)


def test_what_cannot_be_profiled_is_refused(fx_home, tmp_path):
    path = tmp_path / "array.tsv"
    path.write_text("21\t1000\n")
    with pytest.raises(InputError, match="None of the 1 site"):
        array_profile.make(fx_home, path, ProfileOptions(), progress=Silent())
    with pytest.raises(ConfigError, match="--min-typed must be at least 1"):
        ProfileOptions(min_typed=0)


def test_a_profile_that_cannot_be_written_is_an_error(fx_home, tmp_path):
    fx_home.profiles.write_text("a file in the place of the folder")
    with pytest.raises(StoreError, match="Cannot write"):
        array_profile.make(fx_home, typed_list(tmp_path), ProfileOptions(), progress=Silent())
    target = write_target(tmp_path / "t.vcf", samples_alleles(2))
    run(fx_home, target, tmp_path / "one.vcf.gz")  # does without


@pytest.mark.slow
def test_nothing_is_compiled_after_a_warm_up(fx_home, tmp_path):
    warm_up.warm_up(progress=Silent())
    assert warm_up.warm_up(progress=Silent()).num_compiled == 0
    target = write_target(tmp_path / "t.vcf", samples_alleles(20))
    alone = write_target(tmp_path / "u.vcf", samples_alleles(1), names=["u"])
    paths = [tmp_path / "one.vcf.gz", tmp_path / "two.vcf.gz"]
    with compiled.counting_compilations() as counted:
        run(fx_home, target, paths[0], phase="redo", no_network=False)
        run(fx_home, alone, paths[1], phase="redo", no_network=False)
        merge(paths, tmp_path / "merged.vcf.gz", MergeOptions(), progress=Silent())
    assert counted() == 0
