"""Imputation of several contigs, from and into one or more files, also after a stop."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pysam
import pytest

from tests import panels
from tests.shown import Shown
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import digests
from vcfbert.pipelines.chunks import array_profile
from vcfbert.pipelines.chunks.array_profile import ProfileOptions
from vcfbert.pipelines.imputing import genome, impute, separate_parts
from vcfbert.pipelines.imputing.genome import impute_files
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.parts import parts_folder
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace

CONTIGS = ("1", "2", "10")
NAMES = ["a", "b"]


@pytest.fixture(scope="module")
def fx_records():
    """For each contig the records of a panel of 20 samples, 60 sites."""
    alleles = panels.mosaic_alleles(180, 40)
    return {
        name: panels.records_of(alleles[60 * n : 60 * n + 60], contig=name, step=10_000)
        for n, name in enumerate(CONTIGS)
    }


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory, fx_records):
    """A workspace with three contigs; read-only except for its profiles."""
    folder = tmp_path_factory.mktemp("home")
    files = [panels.write_vcf(folder / f"{n}.vcf.gz", fx_records[n]) for n in CONTIGS]
    options = PrepareOptions(window_size=32, flank=2)
    prepare.prepare(files, Workspace(folder / "work"), options, progress=Silent(), threads=1)
    return Workspace(folder / "work")


def typed(records, contigs=CONTIGS):
    """Every second record of two samples of the panel."""
    return [(*record[:4], record[4][3:5]) for name in contigs for record in records[name][::2]]


@pytest.fixture(scope="module")
def fx_targets(tmp_path_factory, fx_records):
    """A target with all contigs, in another order than the panel's, and one for each contig."""
    folder = tmp_path_factory.mktemp("targets")
    whole = typed(fx_records, ("10", "1", "2"))
    return panels.write_vcf(folder / "all.vcf.gz", whole, NAMES), {
        name: panels.write_vcf(folder / f"{name}.vcf.gz", typed(fx_records, [name]), NAMES)
        for name in CONTIGS
    }


def run(home, targets, out, *, overwrite=False, progress=None, **options):
    chosen = ImputeOptions(**({"no_network": True, "min_typed": 2, "threads": 1} | options))
    return impute_files(
        home, list(targets), out, chosen, progress=progress or Silent(), overwrite=overwrite
    )


def records(path):
    """Lines after the header, without IDs, which tests number by file."""
    text = gzip.decompress(path.read_bytes()).decode()
    return [
        [*line.split("\t")[:2], *line.split("\t")[3:]]
        for line in text.splitlines()
        if not line.startswith("#")
    ]


@pytest.fixture(scope="module")
def fx_whole(tmp_path_factory, fx_home, fx_targets):
    """The target with all contigs, imputed into one file."""
    out = tmp_path_factory.mktemp("whole") / "out.vcf.gz"
    return out, run(fx_home, [fx_targets[0]], out)


def test_one_file_has_all_contigs_in_the_order_of_the_panel(fx_whole):
    out, summary = fx_whole
    assert [line[0] for line in records(out)] == [name for name in CONTIGS for _ in range(60)]
    assert summary.report["sites"] == summary.report["sites"] | {"written": 180, "imputed": 90}
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "out.qc", "out.vcf.gz", "out.vcf.gz.tbi",
    ]  # fmt: skip
    assert sorted(path.name for path in (out.parent / "out.qc").iterdir()) == [
        "1", "10", "2", "summary.json",
    ]  # fmt: skip
    report = json.loads((out.parent / "out.qc" / "summary.json").read_text())
    assert report["contigs"] == list(CONTIGS)
    assert any("contigs" in line and " 3" in line for line in summary.lines())


def test_htslib_reads_the_joined_file_by_region(fx_whole):
    out, _ = fx_whole
    with pysam.VariantFile(str(out)) as variants:
        assert list(variants.header.contigs) == list(CONTIGS)
        assert [one.pos for one in variants.fetch("2", 99_999, 120_000)] == [
            100_000, 110_000, 120_000,
        ]  # fmt: skip
        assert sum(1 for _ in variants.fetch("10")) == 60
    header = gzip.decompress(out.read_bytes()).decode().split("#CHROM")[0]
    assert header.count("##vcfbert_panel=") == 1
    assert len(set(header.splitlines())) == len(header.splitlines())


def test_a_file_a_contig_gives_the_same_records(fx_home, fx_targets, fx_whole, tmp_path):
    out = tmp_path / "out.vcf.gz"
    run(fx_home, reversed(fx_targets[1].values()), out)
    assert records(out) == records(fx_whole[0])


def test_the_records_are_those_of_each_contig_imputed_alone(
    fx_home, fx_targets, fx_whole, tmp_path
):
    found = []
    for name in CONTIGS:
        out = tmp_path / f"{name}.vcf.gz"
        run(fx_home, [fx_targets[1][name]], out)
        found += records(out)
    assert found == records(fx_whole[0])


def test_a_folder_has_an_indexed_file_for_each_contig(fx_home, fx_targets, fx_whole, tmp_path):
    summary = run(fx_home, [fx_targets[0]], tmp_path / "{contig}.vcf.gz")
    found = [line for name in CONTIGS for line in records(tmp_path / f"{name}.vcf.gz")]
    assert found == records(fx_whole[0])
    assert {path.name for path in tmp_path.iterdir()} == {
        "qc", *(f"{name}.vcf.gz{end}" for name in CONTIGS for end in ("", ".tbi")),
    }  # fmt: skip
    assert summary.report["sites"]["written"] == 180
    with pytest.raises(StoreError, match="already exists"):  # another target
        run(fx_home, [fx_targets[1]["1"]], tmp_path / "{contig}.vcf.gz")
    run(fx_home, [fx_targets[1]["1"]], tmp_path / "{contig}.vcf.gz", overwrite=True)


def test_bcf_has_the_same_records(fx_home, fx_targets, fx_whole, tmp_path):
    run(fx_home, [fx_targets[0]], tmp_path / "out.bcf", overwrite=True)
    done = subprocess.run(
        ["bcftools", "view", "-H", tmp_path / "out.bcf"], check=True, capture_output=True, text=True
    )
    found = [line.split("\t")[:2] for line in done.stdout.splitlines()]
    assert found == [line[:2] for line in records(fx_whole[0])]
    with pysam.VariantFile(str(tmp_path / "out.bcf")) as variants:
        assert sum(1 for _ in variants.fetch("10")) == 60


@pytest.mark.parametrize("out", ["out.vcf.gz", "{contig}.vcf.gz"])
def test_a_stopped_run_continues_after_the_finished_contigs(
    fx_home, fx_targets, fx_whole, tmp_path, monkeypatch, out
):
    honest, done = impute.impute, []

    def stopped(workspace, *arguments, **keywords):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(workspace.panel.name)
        return honest(workspace, *arguments, **keywords)

    monkeypatch.setattr(genome.impute, "impute", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(fx_home, [fx_targets[0]], tmp_path / out)
    assert done == ["1.zarr", "2.zarr"]
    assert not (tmp_path / "out.vcf.gz").exists()
    done.clear()
    run(fx_home, [fx_targets[0]], tmp_path / out)
    assert done == ["10.zarr"]
    files = [tmp_path / out.replace("{contig}", name) for name in CONTIGS]
    found = [line for path in dict.fromkeys(files) for line in records(path)]
    assert found == records(fx_whole[0])
    assert not (tmp_path / "out.contigs").exists()


def test_finished_contigs_are_named_and_not_counted(fx_home, fx_targets, tmp_path, monkeypatch):
    honest = impute.impute

    def stopping(workspace, *words, **keywords):
        if workspace.panel.name == "10.zarr":
            raise InputError("a fault.")
        return honest(workspace, *words, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(genome.impute, "impute", stopping)
        with pytest.raises(InputError):
            run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz")
    shown = Shown()
    run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz", progress=shown)
    assert "Finished before: 1, 2." in shown.notes
    assert shown.stages[0] == ("imputing 1 contig", 60)
    assert shown.done == 60


def test_a_map_of_each_contig_is_read_in_all_chunks(fx_home, fx_targets, tmp_path, monkeypatch):
    """Its content is part of the key of finished contigs and parts."""
    options = {"chunk_cm": 0.2, "overlap_cm": 0.1, "genetic_map": tmp_path / "{contig}.map"}
    with pytest.raises(InputError, match=r"no genetic map for contig 1"):
        run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz", **options)
    for name in CONTIGS:
        (tmp_path / f"{name}.map").write_text(f"{name} . 0 1\n{name} . 1 1000000\n")
    run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz", **options)
    alone = tmp_path / "alone.vcf.gz"
    run(fx_home, [fx_targets[1]["2"]], alone, **options | {"genetic_map": tmp_path / "2.map"})
    assert records(alone) == [row for row in records(tmp_path / "out.vcf.gz") if row[0] == "2"]
    keys = []
    for length in ("1", "2"):
        (tmp_path / "2.map").write_text(f"2 . 0 1\n2 . {length} 1000000\n")
        keys.append(genome._digests_of_maps(options["genetic_map"], ["2"]))
    assert keys[0] != keys[1]


def test_kept_parts_of_all_contigs_are_in_one_folder(fx_home, fx_targets, tmp_path, caplog):
    options = {"chunk_cm": 0.2, "overlap_cm": 0.1, "keep_parts": True}
    run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz", **options)
    entries = parts_folder.entries(tmp_path / "out.parts")
    assert len({entry.key for entry in entries}) == len(CONTIGS)
    assert not (tmp_path / "out.contigs").exists()
    assert "not used" not in caplog.text
    before = {entry.path: entry.path.stat().st_mtime_ns for entry in entries}
    run(
        fx_home, [fx_targets[0]], tmp_path / "again.vcf.gz", parts=tmp_path / "out.parts", **options
    )
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert records(tmp_path / "again.vcf.gz") == records(tmp_path / "out.vcf.gz")


def test_the_target_is_hashed_once(fx_home, fx_targets, tmp_path, monkeypatch):
    """Also for the keys of the parts of each contig."""
    honest, hashed = digests.of_file, []

    def of_file(path):
        hashed.append(path)
        return honest(path)

    monkeypatch.setattr(digests, "of_file", of_file)
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    target = tmp_path / "t.vcf.gz"
    shutil.copy(fx_targets[0], target)
    run(fx_home, [target], tmp_path / "out.vcf.gz", chunk_cm=0.2, overlap_cm=0.1)
    assert hashed.count(target) == 1


def test_outputs_are_checked_before_the_first_contig(fx_home, fx_targets, tmp_path, monkeypatch):
    monkeypatch.setattr(genome.impute, "impute", None)
    (tmp_path / "10.vcf.gz").write_text("another file")
    with pytest.raises(StoreError, match=r"10\.vcf\.gz already exists"):
        run(fx_home, [fx_targets[0]], tmp_path / "{contig}.vcf.gz")
    with pytest.raises(InputError, match="can be in the name of the file only"):
        run(fx_home, [fx_targets[0]], tmp_path / "{contig}" / "{contig}.vcf.gz")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".gz"] == ["10.vcf.gz"]


def test_a_folder_that_is_not_ours_is_not_deleted(fx_home, fx_targets, tmp_path):
    (tmp_path / "out.contigs").mkdir()
    (tmp_path / "out.contigs" / "notes.txt").touch()
    with pytest.raises(StoreError, match=r"it contains notes\.txt"):
        run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz")


def test_finished_contigs_of_other_options_are_not_used(
    fx_home, fx_targets, tmp_path, monkeypatch, caplog
):
    honest, done = impute.impute, []

    def counted(workspace, target, out, options, **keywords):
        if options.seed == 1 and workspace.panel.name == "10.zarr":
            raise InputError("a fault.")
        done.append(workspace.panel.name)
        return honest(workspace, target, out, options, **keywords)

    monkeypatch.setattr(genome.impute, "impute", counted)
    with pytest.raises(InputError, match=r"a fault\. \(Contigs that .* kept: 1, 2\. The same"):
        run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz")
    done.clear()
    run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz", seed=2)
    assert done == ["1.zarr", "2.zarr", "10.zarr"]
    assert "Imputed again, because another target, panel, network, option or version" in caplog.text
    assert "made them: 1, 2." in caplog.text


def test_finished_contigs_of_another_list_of_excluded_samples_are_not_used(
    fx_home, fx_targets, tmp_path, monkeypatch
):
    honest, done = impute.impute, []

    def counted(workspace, target, out, options, **keywords):
        if workspace.panel.name == "10.zarr" and len(done) == 2:
            raise InputError("a fault.")
        done.append(workspace.panel.name)
        return honest(workspace, target, out, options, **keywords)

    monkeypatch.setattr(genome.impute, "impute", counted)
    excluded = tmp_path / "excluded.txt"
    with panel.open_panel(fx_home.panel / "1.zarr") as opened:
        names = opened.samples.names
    excluded.write_text(names[-1])
    with pytest.raises(InputError, match=r"that are finished and kept: 1, 2\."):
        run(fx_home, [fx_targets[0]], tmp_path / "o.vcf.gz", exclude_samples=str(excluded))
    excluded.write_text(names[-2])
    run(fx_home, [fx_targets[0]], tmp_path / "o.vcf.gz", exclude_samples=str(excluded))
    assert done == ["1.zarr", "2.zarr", "1.zarr", "2.zarr", "10.zarr"]


def test_contigs_that_only_one_side_has_are_named(fx_home, fx_records, tmp_path, caplog):
    lines = [*typed(fx_records, ["2", "10"]), ("7", 5, "A", "G", ["0|1", "0|0"])]
    target = panels.write_vcf(tmp_path / "t.vcf", lines, NAMES)
    summary = run(fx_home, [target], tmp_path / "out.vcf.gz")
    assert summary.report["contigs"] == ["2", "10"]
    assert "1 contig of the panel has no genotypes in the target" in caplog.text
    assert "1 contig of the target is not in the panel and is not imputed: 7." in caplog.text


def test_a_contig_with_too_few_typed_sites_is_left_out(fx_home, fx_records, tmp_path, caplog):
    lines = [typed(fx_records, ["1"])[0], *typed(fx_records, ["2", "10"])]
    target = panels.write_vcf(tmp_path / "t.vcf.gz", lines, NAMES)
    summary = run(fx_home, [target], tmp_path / "out.vcf.gz")
    assert summary.report["contigs"] == ["2", "10"]
    assert summary.report["skipped"] == ["1"]
    assert "1 contig has too few typed sites and is not written: 1." in caplog.text
    with pytest.raises(InputError, match="No contig of the target has enough typed sites"):
        run(fx_home, [target], tmp_path / "other.vcf.gz", min_typed=40)


def test_a_region_or_list_limits_the_contigs(fx_home, fx_targets, tmp_path):
    run(fx_home, [fx_targets[0]], tmp_path / "a.vcf.gz", region="chr2:100000-300000")
    assert {tuple(line[:2]) for line in records(tmp_path / "a.vcf.gz")} == {
        ("2", str(position)) for position in range(100_000, 300_001, 10_000)
    }
    (tmp_path / "sites.tsv").write_text("1\t10000\n10\t20000\n")
    run(fx_home, [fx_targets[0]], tmp_path / "b.vcf.gz", sites=tmp_path / "sites.tsv")
    assert [line[:2] for line in records(tmp_path / "b.vcf.gz")] == [
        ["1", "10000"], ["10", "20000"],
    ]  # fmt: skip


def test_left_out_typed_sites_are_joined_too(fx_home, fx_targets, tmp_path):
    summary = run(fx_home, [fx_targets[0]], tmp_path / "out.dose.vcf.gz", empirical=True)
    for name in CONTIGS:
        of_contig = json.loads((summary.qc / name / "summary.json").read_text())
        assert of_contig["out"] == str(tmp_path / "out.dose.vcf.gz")
        assert of_contig["empirical"] == str(tmp_path / "out.empiricalDose.vcf.gz")
    found = records(tmp_path / "out.empiricalDose.vcf.gz")
    assert [line[0] for line in found] == [name for name in CONTIGS for _ in range(30)]


def test_repeated_warnings_are_shown_once(fx_home, fx_records, tmp_path, caplog):
    target = panels.write_vcf(tmp_path / "t.vcf", typed(fx_records), ["s3", "b"])
    run(fx_home, [target], tmp_path / "out.vcf.gz")
    assert caplog.text.count("1 sample of the target is also in the panel") == 1


def test_warnings_name_their_contig_once(fx_home, fx_records, tmp_path, caplog):
    """On the terminal, in the summary of the contig and in that of the genome."""
    lines = [
        (*line[:2], "A", "T", line[4]) if line[0] == "2" and number % 10 == 1 else line
        for number, line in enumerate(typed(fx_records))
    ]
    target = panels.write_vcf(tmp_path / "t.vcf", lines, NAMES)
    summary = run(fx_home, [target], tmp_path / "out.vcf.gz")
    of_two = json.loads((summary.qc / "2" / "summary.json").read_text())["warnings"]
    (dropped,) = [text for text in of_two if "records at positions" in text]
    assert dropped.startswith("Contig 2: 3 other records")
    (sparse,) = [text for text in of_two if "typed sites in reach" in text]
    assert sparse.startswith("1 of 1 chunk has fewer")
    assert "; 2:10000-600000 has 27." in sparse
    assert caplog.messages.count(dropped) == caplog.messages.count(sparse) == 1
    assert {dropped, sparse} <= set(summary.report["warnings"])
    assert sum("records at positions" in text for text in caplog.messages) == 1


def test_a_note_about_the_samples_is_shown_once(fx_home, fx_records, tmp_path):
    unphased = [
        (*line[:4], [text.replace("|", "/") for text in line[4]]) for line in typed(fx_records)
    ]
    target = panels.write_vcf(tmp_path / "t.vcf", unphased, NAMES)
    shown = Shown()
    run(fx_home, [target], tmp_path / "o.vcf.gz", progress=shown, target_references="on")
    assert sum("phased with each other's haplotypes" in note for note in shown.notes) == 1


def test_parts_of_another_run_are_named_with_their_contig(fx_home, fx_targets, tmp_path, caplog):
    options = {"parts": tmp_path / "parts", "keep_parts": True}
    run(fx_home, [fx_targets[0]], tmp_path / "a.vcf.gz", **options)
    assert caplog.text.count("not used") == 0
    run(fx_home, [fx_targets[0]], tmp_path / "b.vcf.gz", seed=2, **options)
    for name in CONTIGS:
        assert caplog.text.count(f"Contig {name}: 1 part in") == 1


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("repeat", r"1\.vcf\.gz and .*more\.vcf\.gz both have records of contig 1.*concat"),
        ("order", r"same samples in the same order, but sample 1 is a in .* and b in"),
        ("foreign", "share no contig to write: the target has 7, to write are 1, 2, 10"),
        ("par", "no contig is an X chromosome"),
        ("suffix", r"its name must end in \.vcf\.gz"),
        ("itself", "is a target itself"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    fx_home, fx_targets, fx_records, tmp_path, case, message
):
    lines = {"repeat": ["1"], "order": ["2"]}.get(case)
    other = [("7", 5, "A", "G", ["0|1", "0|0"])] if lines is None else typed(fx_records, lines)
    names = NAMES[::-1] if case == "order" else NAMES
    more = panels.write_vcf(tmp_path / "more.vcf.gz", other, names)
    targets = [more] if case == "foreign" else [fx_targets[1]["1"], more]
    if case in ("par", "suffix", "itself"):
        targets = [fx_targets[0]]
    out = {"suffix": "out.vcf", "itself": "all.vcf.gz"}.get(case, "out.vcf.gz")
    place = fx_targets[0].parent if case == "itself" else tmp_path
    options = {"par": "1-9"} if case == "par" else {}
    with pytest.raises((InputError, ConfigError), match=message):
        run(fx_home, targets, place / out, overwrite=True, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more.vcf.gz", "more.vcf.gz.tbi"]


def test_a_panel_of_an_earlier_version_takes_one_file_only(fx_targets, tmp_path):
    home = panels.small_workspace(tmp_path / "w")
    with pytest.raises(StoreError, match="was prepared by an earlier version as one store"):
        run(home, fx_targets[1].values(), tmp_path / "out.vcf.gz")


def test_the_parts_of_a_contig_can_be_imputed_elsewhere(fx_home, fx_targets, fx_whole, tmp_path):
    seen = []

    def by_parts(workspace, target, out, options, *, progress, overwrite=False):
        seen.append(workspace.panel.name)
        plan = separate_parts.make(workspace, target, out, options, progress)
        folder = Path(plan.folder)
        for number in range(1, len(plan.parts) + 1):
            separate_parts.run_part(plan, number, progress)
        return separate_parts.join(plan, folder, out, progress=progress, overwrite=overwrite)

    chosen = ImputeOptions(no_network=True, min_typed=2, threads=1)
    impute_files(
        fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz", chosen, progress=Silent(),
        impute_one=by_parts,
    )  # fmt: skip
    assert seen == ["1.zarr", "2.zarr", "10.zarr"]
    assert records(tmp_path / "out.vcf.gz") == records(fx_whole[0])


def test_a_profile_made_ahead_serves_each_contig(fx_home, fx_records, fx_targets, tmp_path):
    shutil.copytree(fx_home.root / "panel.zarr", tmp_path / "w" / "panel.zarr")
    home = Workspace(tmp_path / "w")
    lines = [f"{name}\t{line[1]}\n" for name in ("1", "10") for line in fx_records[name][::2]]
    (tmp_path / "array.tsv").write_text("".join(lines))
    chosen = ProfileOptions(min_typed=2, threads=1)
    summary = array_profile.make(home, tmp_path / "array.tsv", chosen, progress=Silent())
    assert (summary.num_typed, summary.num_chunks, summary.num_listed) == (60, 2, 60)
    made = {path.name for path in home.profiles.iterdir()}
    for name in ("1", "10"):
        run(home, [fx_targets[1][name]], tmp_path / f"{name}.vcf.gz")
    assert {path.name for path in home.profiles.iterdir()} == made
    run(home, [fx_targets[1]["2"]], tmp_path / "2.vcf.gz")
    assert {path.name for path in home.profiles.iterdir()} > made


def test_progress_counts_the_sites_of_the_whole_genome(fx_home, fx_targets, tmp_path):
    shown = Shown()
    run(fx_home, [fx_targets[0]], tmp_path / "out.vcf.gz", progress=shown)
    assert shown.stages == [("imputing 3 contigs", 180)]
    assert shown.done == 180
    assert [note.split(",")[0] for note in shown.notes if "samples a second" in note] == [
        "1: 1 chunk", "2: 1 chunk", "10: 1 chunk",
    ]  # fmt: skip
