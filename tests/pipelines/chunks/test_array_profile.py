"""Profiles of an array change no result, and are used by every target typed on it."""

from __future__ import annotations

import shutil

import pytest

from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED, lines, run, samples_alleles, write_target
from vcfbert.copying import compiled
from vcfbert.errors import ConfigError, InputError
from vcfbert.pipelines import warm_up
from vcfbert.pipelines.chunks import array_profile, chunk_references
from vcfbert.pipelines.chunks.array_profile import ProfileOptions
from vcfbert.progress import Silent
from vcfbert.storage.profiles import SUFFIX


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
    kinds = ["groups", "quality", "rates", "statistics"] + ["phasing"] * (phase == "redo")
    assert [name.split("-")[0] for name in kept] == sorted(kinds)

    def refuse(*words, **options):
        raise AssertionError("computed again")

    for place in (
        "_fitted",
        "groups.of_references",
        "panel_statistics.neighbours",
        "phase_chunk.fit_model",
    ):
        monkeypatch.setattr(f"{chunk_references.__name__}.{place}", refuse)
    run(fx_home, target, tmp_path / "two.vcf.gz", phase=phase)
    assert names(fx_home) == kept
    assert lines(tmp_path / "one.vcf.gz") == lines(tmp_path / "two.vcf.gz")


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


def test_what_cannot_be_profiled_is_refused(fx_home, tmp_path):
    path = tmp_path / "array.tsv"
    path.write_text("21\t1000\n")
    with pytest.raises(InputError, match="None of the 1 sites"):
        array_profile.make(fx_home, path, ProfileOptions(), progress=Silent())
    with pytest.raises(ConfigError, match="--min-typed must be at least 1"):
        ProfileOptions(min_typed=0)


@pytest.mark.slow
def test_nothing_is_compiled_after_a_warm_up(fx_home, tmp_path):
    warm_up.warm_up(progress=Silent())
    assert warm_up.warm_up(progress=Silent()).num_compiled == 0
    target = write_target(tmp_path / "t.vcf", samples_alleles(20))
    with compiled.counting_compilations() as counted:
        run(fx_home, target, tmp_path / "one.vcf.gz", phase="redo", no_network=False)
    assert counted() == 0
