"""Panels of many files: contigs are added, replaced and skipped, each complete or absent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from vcfbert.domain import joined_panels
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.pipelines.preparing import file_workers
from vcfbert.pipelines.preparing import prepare as pipeline
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.verifying import verify
from vcfbert.pipelines.verifying.verify import VerifyOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import masks as mask_store
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace

SMALL = {"window_size": 16, "flank": 2}
NAMES = [f"s{n}" for n in range(20)]


def prepare(files, root, *, overwrite=False, skip_existing=False, threads=1, **options):
    return pipeline.prepare(
        files,
        Workspace(root),
        PrepareOptions(**(SMALL | options)),
        progress=Silent(),
        overwrite=overwrite,
        skip_existing=skip_existing,
        threads=threads,
    )


@pytest.fixture(scope="module")
def fx_alleles():
    """(90 sites, 40 haplotypes), of contig 1 the first 30."""
    return panels.mosaic_alleles(90, 40)


@pytest.fixture(scope="module")
def fx_files(tmp_path_factory, fx_alleles):
    """Files of the contigs 10, 1 and X, in this order."""
    folder = tmp_path_factory.mktemp("files")
    parts = {"10": fx_alleles[30:70], "1": fx_alleles[:30], "X": fx_alleles[70:]}
    return [
        panels.write_vcf(folder / f"chr{name}.vcf.gz", panels.records_of(part, contig=name))
        for name, part in parts.items()
    ]


@pytest.fixture(scope="module")
def fx_genome(tmp_path_factory, fx_files):
    """A workspace made of the three files; read-only."""
    root = tmp_path_factory.mktemp("genome")
    prepare(fx_files, root)
    return root


def everything(root):
    """The files of a workspace, without the seconds that prepare took."""
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "panel.qc.json"
    }
    report = json.loads((root / "panel.qc.json").read_text())
    return found, {
        name: value for name, value in report.items() if name not in ("seconds", "sha256")
    }


def alleles_in(root):
    """(S, H) alleles of the panel, from the cores of its windows."""
    with panel.open_panel(root / "panel.zarr") as reader:
        haplotypes = np.arange(2 * len(reader.samples))
        parts = [
            reader.tokens(window, haplotypes)[:, reader.windows.is_core(window)].T
            for window in range(len(reader.windows))
        ]
    return np.concatenate(parts)


def faults(root, source=None):
    found = verify.verify(Workspace(root), VerifyOptions(source=source), progress=Silent())
    return found.faults


def test_contigs_are_in_the_order_of_the_genome_and_have_their_alleles(fx_genome, fx_alleles):
    npt.assert_array_equal(alleles_in(fx_genome), fx_alleles)
    with panel.open_panel(fx_genome / "panel.zarr") as reader:
        assert reader.sites.contigs == ("1", "10", "X")
        assert reader.sites.last_positions() == {"1": 3000, "10": 4000, "X": 2000}
        npt.assert_array_equal(np.diff(reader.sites.record), 1)
        first = mask_store.read_masks(Workspace(fx_genome).version("masks", 0))
        assert first.panel_fingerprint == reader.fingerprint
        assert first.is_masked.shape == (len(reader.windows), reader.length)
    assert sorted(path.name for path in (fx_genome / "panel.zarr").iterdir()) == [
        "1.zarr", "10.zarr", "X.zarr",
    ]  # fmt: skip


def test_one_contig_is_read_alone(fx_genome, fx_alleles):
    with panel.open_panel(fx_genome / "panel.zarr", contigs=["10"]) as reader:
        assert reader.sites.contigs == ("10",)
        assert len(reader.sites) == 40
        assert [part.path.name for part in reader.parts] == ["10.zarr"]


def test_the_whole_panel_passes_verify_and_each_file_is_compared_with_its_contig(
    fx_genome, fx_files
):
    assert faults(fx_genome) == []
    assert faults(fx_genome, fx_files[1]) == []
    report = json.loads((fx_genome / "panel.qc.json").read_text())
    assert report["read"]["records"] == report["kept"]["sites"] == 90
    assert report["kept"]["contigs"] == ["1", "10", "X"]
    assert [one["panel"] for one in report["files"]] == [
        "chr1.vcf.gz", "chr10.vcf.gz", "chrX.vcf.gz",
    ]  # fmt: skip


def test_added_contigs_give_the_same_as_all_at_once(fx_genome, fx_files, tmp_path):
    for path in fx_files:
        prepare(path, tmp_path)
    assert everything(tmp_path) == everything(fx_genome)


def test_one_file_with_all_contigs_gives_the_stores_of_single_files(fx_genome, fx_files, tmp_path):
    files = [fx_files[1], fx_files[0], fx_files[2]]
    joined = tmp_path / "all.vcf"
    subprocess.run(["bcftools", "concat", "-o", joined, *files], check=True, capture_output=True)
    summary = prepare(joined, tmp_path / "w")
    with panel.open_panel(fx_genome / "panel.zarr") as reader:
        assert summary.fingerprint == reader.fingerprint
    assert faults(tmp_path / "w", joined) == []


def test_missing_genotypes_are_filled_from_their_own_contig(tmp_path):
    """As if each contig had a file of its own, in which no other one is near."""
    alleles = np.random.default_rng(3).integers(2, size=(80, 40))
    parts = panels.records_of(alleles[:40], contig="1"), panels.records_of(alleles[40:], contig="2")
    for number, record in enumerate(parts[1][:10]):
        record[4][number] = record[4][number + 10] = ".|."
    both = panels.write_vcf(tmp_path / "both.vcf.gz", [*parts[0], *parts[1]])
    alone = [panels.write_vcf(tmp_path / f"{n}.vcf.gz", part) for n, part in enumerate(parts)]
    prepare([both], tmp_path / "a", missing="fill")
    prepare(alone, tmp_path / "b", missing="fill")
    npt.assert_array_equal(alleles_in(tmp_path / "a"), alleles_in(tmp_path / "b"))


@pytest.mark.slow
def test_processes_write_the_same_bytes(fx_genome, fx_files, tmp_path):
    prepare(fx_files, tmp_path, threads=3)
    assert everything(tmp_path) == everything(fx_genome)


def test_an_existing_contig_needs_force_and_others_stay(fx_files, fx_alleles, tmp_path):
    prepare(fx_files[:2], tmp_path)
    with pytest.raises(StoreError, match=r"already has contig 1, which .*--force.*--skip-existing"):
        prepare(fx_files[1], tmp_path)
    other = tmp_path / "new.vcf.gz"
    panels.write_vcf(other, panels.records_of(1 - fx_alleles[:20], contig="1"))
    before = (tmp_path / "panel.zarr" / "10.zarr" / "seal.sha256").read_bytes()
    prepare(other, tmp_path, overwrite=True)
    npt.assert_array_equal(
        alleles_in(tmp_path), np.vstack([1 - fx_alleles[:20], fx_alleles[30:70]])
    )
    assert (tmp_path / "panel.zarr" / "10.zarr" / "seal.sha256").read_bytes() == before
    assert faults(tmp_path) == []


def test_existing_contigs_are_skipped(fx_genome, fx_files, tmp_path):
    prepare(fx_files[0], tmp_path)
    inode = (tmp_path / "panel.zarr" / "10.zarr").stat().st_ino
    prepare(fx_files, tmp_path, skip_existing=True)
    assert (tmp_path / "panel.zarr" / "10.zarr").stat().st_ino == inode
    assert everything(tmp_path) == everything(fx_genome)
    prepare(fx_files, tmp_path, skip_existing=True)
    assert everything(tmp_path) == everything(fx_genome)
    with pytest.raises(ConfigError, match="--force and --skip-existing"):
        prepare(fx_files, tmp_path, skip_existing=True, overwrite=True)


@pytest.fixture
def fx_bad(tmp_path, fx_alleles):
    """A file of contig 2 with an unphased tenth record."""
    lines = panels.records_of(fx_alleles[:30], contig="2")
    lines[9] = (*lines[9][:4], ["0/1", *lines[9][4][1:]])
    return panels.write_vcf(tmp_path / "chr2.vcf.gz", lines)


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_file_that_fails_leaves_the_finished_contigs_whole(fx_files, fx_bad, tmp_path, threads):
    root = tmp_path / "w"
    with pytest.raises(InputError, match=r"chr2\.vcf\.gz, 2:1000.*1.*finished.*--skip-existing"):
        prepare([fx_files[1], fx_bad, fx_files[0]], root, threads=threads)
    assert faults(root) == []
    with panel.open_panel(root / "panel.zarr") as reader:
        assert reader.sites.contigs[0] == "1"
        assert "2" not in reader.sites.contigs


def test_a_failed_replacement_changes_nothing(fx_files, fx_alleles, tmp_path):
    prepare(fx_files[:2], tmp_path)
    before = everything(tmp_path)
    lines = panels.records_of(fx_alleles[:30], contig="1")
    lines[9] = (*lines[9][:4], ["0/1", *lines[9][4][1:]])
    (tmp_path / "bad").mkdir()
    bad = panels.write_vcf(tmp_path / "bad" / "chr1.vcf.gz", lines)
    content = bad.read_bytes(), (tmp_path / "bad" / "chr1.vcf.gz.tbi").read_bytes()
    with pytest.raises(InputError, match="1:1000"):
        prepare(bad, tmp_path, overwrite=True)
    with pytest.raises(InputError, match="1:1000"):  # all contigs at once, so nothing is replaced
        prepare([fx_files[0], bad], tmp_path, overwrite=True, seed=2)
    found = everything(tmp_path)
    assert content == (found[0].pop("bad/chr1.vcf.gz"), found[0].pop("bad/chr1.vcf.gz.tbi"))
    assert found == before


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from vcfbert.pipelines.preparing import prepare, prepare_file
    from vcfbert.progress import Silent
    from vcfbert.storage.zarr.workspace import Workspace

    honest = prepare_file._write

    def write(folder, contigs, *rest):
        honest(folder, contigs, *rest)
        if contigs[0].name == {contig!r}:
            os.kill(os.getpid(), signal.SIGKILL)

    prepare_file._write = write
    options = prepare.PrepareOptions(window_size=16, flank=2)
    files = [Path(name) for name in {files!r}]
    prepare.prepare(files, Workspace(Path({work!r})), options, progress=Silent(), threads=1)
"""


@pytest.mark.slow
def test_a_kill_in_the_third_contig_keeps_the_others_and_the_rest_follows(
    fx_genome, fx_files, tmp_path
):
    root = Path(__file__).parents[3]
    script = KILLED.format(
        root=str(root), contig="X", files=list(map(str, fx_files)), work=str(tmp_path)
    )
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(panel.contig_stores(tmp_path / "panel.zarr")) == ["1", "10"]
    prepare(fx_files, tmp_path, skip_existing=True)
    assert everything(tmp_path) == everything(fx_genome)


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = """
        import multiprocessing, os, sys, time
        from vcfbert.pipelines.preparing import file_workers

        def work(parent):
            import threading
            threading.Thread(target=file_workers._end_with, args=(parent,), daemon=True).start()
            time.sleep(60)

        if __name__ == "__main__":
            child = multiprocessing.get_context("fork").Process(target=work, args=(os.getpid(),))
            child.start()
            print(child.pid, flush=True)
            time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its parent")


def write(folder, name, alleles, contig, names=NAMES, **how):
    lines = panels.records_of(alleles, contig=contig)
    return panels.write_vcf(folder / name, lines, names, **how)


def refused(case, folder, alleles):
    """Files, and options, that do not fit together."""
    one = write(folder, "one.vcf.gz", alleles[:20], "1")
    others = {
        "repeat": (write, "1", NAMES, {}),
        "chr": (write, "chr1", NAMES, {}),
        "order": (write, "2", [NAMES[1], NAMES[0], *NAMES[2:]], {}),
        "sample": (write, "2", [*NAMES[:-1], "x"], {}),
        "region": (write, "2", NAMES, {"region": "1:1-500"}),
        "maps": (write, "2", NAMES, {"genetic_map": folder / "chr{contig}.map"}),
        "par": (write, "2", NAMES, {"par": "1-100"}),
    }
    make, contig, names, options = others[case]
    (folder / "chr1.map").write_text("1 . 0 100\n1 . 1 1000000\n")
    return [one, make(folder, "two.vcf.gz", alleles[20:40], contig, names)], options


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("repeat", r"one\.vcf\.gz and .*two\.vcf\.gz both have records of contig 1.*concat"),
        ("chr", r"one\.vcf\.gz and .*two\.vcf\.gz both have records of contig chr1"),
        ("order", r"sample 1 is s0 in .*one\.vcf\.gz and s1 in .*two\.vcf\.gz.*view -S"),
        ("sample", r"sample 20 is s19 in .*one\.vcf\.gz and x in .*no sample s19"),
        ("region", "--region needs one PANEL file"),
        ("maps", r"no genetic map for contig 2: .*chr2\.map does not exist"),
        ("par", "no file has an X chromosome"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path, fx_alleles, case, message):
    files, options = refused(case, tmp_path, fx_alleles)
    with pytest.raises((InputError, ConfigError), match=message):
        prepare(files, tmp_path / "w", **options)
    assert not list((tmp_path / "w").glob("*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2}, "sample s0 is in the split test in .* and train in contig 1 of .*--seed 1"),
        ({"window_size": 20}, "a window has 20 sites here and 16 in contig 1"),
    ],
)
def test_a_contig_prepared_with_other_options_is_not_added(fx_files, tmp_path, options, message):
    prepare(fx_files[1], tmp_path)
    with pytest.raises(InputError, match=message):
        prepare(fx_files[0], tmp_path, **options)


def test_a_contig_under_another_name_is_not_added(fx_files, fx_alleles, tmp_path):
    prepare(fx_files[1], tmp_path)
    other = write(tmp_path, "a.vcf.gz", fx_alleles[:20], "chr1")
    with pytest.raises(InputError, match=r"contig chr1, which is 1 in .*rename-chrs"):
        prepare(other, tmp_path, overwrite=True)


def test_a_panel_of_an_earlier_version_is_read_and_replaced_as_a_whole(fx_files, tmp_path):
    panels.write_small_panel(tmp_path / "panel.zarr")
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        assert reader.sites.contigs == ("20",)
    with pytest.raises(StoreError, match="--force"):
        prepare(fx_files[0], tmp_path)
    prepare(fx_files[:2], tmp_path, overwrite=True)
    assert list(panel.contig_stores(tmp_path / "panel.zarr")) == ["1", "10"]
    assert faults(tmp_path) == []


def test_each_contig_has_the_map_of_its_file(fx_files, tmp_path):
    (tmp_path / "plink.chr1.map").write_text("1 . 0.0 100\n1 . 2.9 3000\n")
    (tmp_path / "plink.chr10.map").write_text("chr10 . 0.0 100\nchr10 . 39.0 4000\n")
    prepare(fx_files[:2], tmp_path, genetic_map=tmp_path / "plink.chr{contig}.map")
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        expected = (reader.sites.position - 100) / np.where(reader.sites.contig == 0, 1000, 100)
        npt.assert_allclose(reader.sites.cm, expected, atol=1e-5)


def test_the_males_of_x_are_haploid_there_alone(fx_files, fx_alleles, tmp_path):
    lines = [
        (*line[:4], [call[:1] if n % 2 else call for n, call in enumerate(line[4])])
        for line in panels.records_of(fx_alleles[:30], contig="X")
    ]
    males = panels.write_vcf(tmp_path / "x.vcf.gz", lines)
    prepare([males, fx_files[1]], tmp_path)
    with panel.open_panel(tmp_path / "panel.zarr", takes_haploid=True) as reader:
        assert reader.samples.ploidy.start.tolist() == [0, 30]
        assert not reader.samples.ploidy.at(0).any()
        assert reader.samples.ploidy.at(30).tolist() == [False, True] * 10
    assert faults(tmp_path, males) == []


def test_contigs_with_odd_names_have_stores(tmp_path, fx_alleles):
    name = "HLA-A*01:01:01/2"
    prepare(write(tmp_path, "a.vcf", fx_alleles[:20], name), tmp_path / "w")
    assert list(panel.contig_stores(tmp_path / "w" / "panel.zarr")) == [name]
    with panel.open_panel(tmp_path / "w" / "panel.zarr") as reader:
        assert reader.sites.contigs == (name,)


def test_a_lost_contig_is_a_fault(fx_files, tmp_path):
    prepare(fx_files[:2], tmp_path)
    (tmp_path / "panel.zarr" / "1.zarr").rename(tmp_path / "elsewhere")
    found = faults(tmp_path)
    assert any("panel.qc.json describes another panel" in fault for fault in found)
    assert any("masks/v0000.zarr was made from another panel" in fault for fault in found)


def test_stores_with_other_samples_do_not_open_as_one_panel(fx_files, tmp_path):
    prepare(fx_files[0], tmp_path)
    panels.write_small_panel(tmp_path / "panel.zarr" / "20.zarr", num_samples=60, length=16)
    with (
        pytest.raises(StoreError, match=r"do not fit together: .*60 samples"),
        panel.open_panel(tmp_path / "panel.zarr"),
    ):
        pass


def test_a_bcf_without_an_index_is_refused_among_several(fx_files, tmp_path):
    bcf = tmp_path / "a.bcf"
    subprocess.run(["bcftools", "view", "-Ob", "-o", bcf, fx_files[2]], check=True)
    with pytest.raises(InputError, match=r"a\.bcf has no index.*bcftools index"):
        prepare([fx_files[0], bcf], tmp_path / "w")
    subprocess.run(["bcftools", "index", bcf], check=True)
    prepare([fx_files[0], bcf], tmp_path / "w")
    assert list(panel.contig_stores(tmp_path / "w" / "panel.zarr")) == ["10", "X"]


def test_parts_of_a_table_are_what_was_joined(fx_genome):
    with panel.open_panel(fx_genome / "panel.zarr") as reader:
        for number, part in enumerate(reader.parts):
            first, table = joined_panels.of_contig(reader.sites, number)
            assert first == [0, 30, 70][number]
            assert table.contigs == part.sites.contigs
            npt.assert_array_equal(table.record, part.sites.record)
            assert table.identifier == part.sites.identifier


@pytest.mark.slow
def test_a_worker_that_stops_is_reported(fx_files, tmp_path, monkeypatch):
    monkeypatch.setattr(file_workers, "_work", _end)
    with pytest.raises(Exception, match=r"ended with exit code 3.*fewer --threads"):
        prepare(fx_files[:2], tmp_path / "w", threads=2)


def _end(*_):
    sys.exit(3)
