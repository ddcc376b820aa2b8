"""The output is the same for any batches, and after a kill at any moment."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import NUM_SITES, TYPED, run, samples_alleles
from vcfbert.errors import ConfigError, StoreError
from vcfbert.files import spill
from vcfbert.pipelines.chunks import chunk_imputation
from vcfbert.pipelines.imputing import impute, output_files
from vcfbert.pipelines.parts import batches, cell_codes, joined_chunk, part_file, parts_folder

MISSING = 4
NUM_SAMPLES = 7
SHORT = {"chunk_cm": 0.1, "overlap_cm": 0.05}  # three chunks
RICH = SHORT | {"er2": True, "empirical": True}


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def fx_target(tmp_path_factory):
    """Seven samples: unphased, half-missing and missing genotypes, one sample without any."""
    alleles = samples_alleles(NUM_SAMPLES)
    rng = np.random.default_rng(5)
    alleles[rng.choice(TYPED, 7, replace=False), 2:4] = MISSING
    alleles[rng.choice(TYPED, 5, replace=False), 5] = MISSING
    alleles[TYPED[10:], 8:10] = MISSING  # nothing in most chunks
    alleles[:, 12:14] = MISSING
    text = np.array(["0", "1", ".", ".", "."])[alleles[TYPED]].reshape(len(TYPED), -1, 2)
    records = [
        ("20", 1000 * (site + 1), "A", "G",
         [("/" if sample < 4 else "|").join(sorted(pair) if sample < 4 else pair)
          for sample, pair in enumerate(row.tolist())])
        for site, row in zip(TYPED.tolist(), text, strict=True)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("target") / "target.vcf.gz"
    return panels.write_vcf(path, records, [f"t{n}" for n in range(NUM_SAMPLES)])


@pytest.fixture(autouse=True)
def _dr2(monkeypatch):
    monkeypatch.setattr(output_files, "FEWEST_FOR_DR2", 5)


@pytest.fixture(scope="module")
def fx_whole(fx_home, fx_target, tmp_path_factory):
    """The output of one batch, without parts on the disk."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_files, "FEWEST_FOR_DR2", 5)
        patch.setattr(parts_folder.PartsFolder, "write", lambda self, made, is_typed: made)
        run(fx_home, fx_target, folder / "out.vcf.gz", **RICH)
    return folder / "out.vcf.gz"


def in_batches_of(monkeypatch, size):
    monkeypatch.setattr(batches, "size", lambda *arguments: size)


def assert_same(out, whole):
    assert out.read_bytes() == whole.read_bytes()
    empirical = "out.empiricalDose.vcf.gz"
    assert out.with_name(empirical).read_bytes() == whole.with_name(empirical).read_bytes()
    for name in ("samples.tsv", "dropped.tsv"):
        here, there = (path.with_name("out.qc") / name for path in (out, whole))
        assert here.read_text() == there.read_text()
    reports = [json.loads((path.with_name("out.qc") / "summary.json").read_text())
               for path in (out, whole)]  # fmt: skip
    for key in ("samples", "sites", "chunks", "candidates", "network", "warnings"):
        assert reports[0][key] == reports[1][key]


@pytest.mark.parametrize("size", [1, 3, NUM_SAMPLES])
def test_the_output_is_the_same_for_any_batches(
    fx_home, fx_target, fx_whole, tmp_path, monkeypatch, size
):
    in_batches_of(monkeypatch, size)
    run(fx_home, fx_target, tmp_path / "out.vcf.gz", **RICH)
    assert_same(tmp_path / "out.vcf.gz", fx_whole)
    assert not (tmp_path / "out.parts").exists()


class Killed(BaseException):
    """As if the process had died."""


def killed_at(monkeypatch, number):
    """Die before the part of this number is written."""
    real, seen = part_file.write, []

    def write(*arguments):
        seen.append(arguments)
        if len(seen) > number:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(part_file, "write", write)


@pytest.mark.parametrize("number", [0, 1, 4, 8])
def test_after_a_kill_the_finished_parts_are_not_imputed_again(
    fx_home, fx_target, fx_whole, tmp_path, monkeypatch, number
):
    out = tmp_path / "out.vcf.gz"
    in_batches_of(monkeypatch, 3)
    with monkeypatch.context() as patch:
        killed_at(patch, number)
        with pytest.raises(Killed):
            run(fx_home, fx_target, out, **RICH)
    assert not out.exists()
    finished = parts_folder.entries(tmp_path / "out.parts")
    assert len(finished) == number
    assert (tmp_path / "out.parts").exists() == (number > 0)
    real, made = chunk_imputation.impute, []
    monkeypatch.setattr(chunk_imputation, "impute", lambda *a: made.append(a[2]) or real(*a))
    in_batches_of(monkeypatch, 2)  # as if there were less memory now
    run(fx_home, fx_target, out, **RICH)
    assert_same(out, fx_whole)
    done = sum(one.samples.stop - one.samples.start for one in finished)
    assert sum(one.stop - one.start for one in made) == 3 * NUM_SAMPLES - done
    assert not (tmp_path / "out.parts").exists()


def test_parts_of_another_option_are_not_used_and_a_warning_says_so(
    fx_home, fx_target, fx_whole, tmp_path, monkeypatch, caplog
):
    out = tmp_path / "out.vcf.gz"
    in_batches_of(monkeypatch, 4)
    with monkeypatch.context() as patch:
        killed_at(patch, 2)
        with pytest.raises(Killed):
            run(fx_home, fx_target, out, **RICH, seed=2)
    with caplog.at_level(logging.WARNING):
        run(fx_home, fx_target, out, **RICH)
    folder = tmp_path / "out.parts"
    assert (
        f"2 parts in {folder} were made from something else (--seed differ) and are not used. "
        f"Remove them with: vcfbert parts {folder} --clean" in caplog.text
    )
    assert_same(out, fx_whole)
    assert len(parts_folder.entries(folder)) == 2


def test_damaged_parts_are_made_again(fx_home, fx_target, fx_whole, tmp_path, monkeypatch):
    out = tmp_path / "out.vcf.gz"
    in_batches_of(monkeypatch, 3)
    run(fx_home, fx_target, out, **RICH, keep_parts=True)
    entries = parts_folder.entries(tmp_path / "out.parts")
    assert len(entries) == 9
    content = bytearray(entries[1].path.read_bytes())
    content[len(content) // 3] ^= 1
    entries[1].path.write_bytes(content)
    entries[4].path.write_bytes(entries[4].path.read_bytes()[:-40])
    entries[5].path.write_bytes(b"")
    entries[6].path.write_bytes(entries[3].path.read_bytes())  # another chunk under this name
    real, made = chunk_imputation.impute, []
    monkeypatch.setattr(chunk_imputation, "impute", lambda *a: made.append(a[2]) or real(*a))
    run(fx_home, fx_target, out, **RICH, keep_parts=True, overwrite=True)
    assert_same(out, fx_whole)
    assert len(made) == 4
    run(fx_home, fx_target, out, **RICH, keep_parts=True, overwrite=True)
    assert len(made) == 4


def test_one_part_is_written_only_if_it_is_kept(fx_home, fx_target, tmp_path):
    run(fx_home, fx_target, tmp_path / "a.vcf.gz")
    assert not (tmp_path / "a.parts").exists()
    run(fx_home, fx_target, tmp_path / "b.vcf.gz", keep_parts=True)
    (entry,) = parts_folder.entries(tmp_path / "b.parts")
    run(fx_home, fx_target, tmp_path / "c.vcf.gz", parts=tmp_path / "b.parts")
    assert not entry.path.exists()
    one, *others = (tmp_path / name for name in ("a.vcf.gz", "b.vcf.gz", "c.vcf.gz"))
    assert all(other.read_bytes() == one.read_bytes() for other in others)


def test_a_full_disk_is_reported_and_finished_parts_stay(fx_home, fx_target, tmp_path, monkeypatch):
    in_batches_of(monkeypatch, 3)
    real, seen = part_file._write, []

    def write(*arguments):
        seen.append(arguments)
        if len(seen) > 2:
            raise OSError(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(part_file, "_write", write)
    with pytest.raises(StoreError, match=r"No space left on device\. Finished parts are kept"):
        run(fx_home, fx_target, tmp_path / "out.vcf.gz", **RICH)
    names = sorted(path.name for path in (tmp_path / "out.parts").iterdir())
    assert len(names) == 3  # and what they were made from
    assert not any("partial" in name for name in names)


def test_too_little_memory_is_reported(fx_home, fx_target, tmp_path):
    with pytest.raises(ConfigError, match="--memory 1 MB is not enough: the references of a"):
        run(fx_home, fx_target, tmp_path / "out.vcf.gz", memory="1M")
    with pytest.raises(ConfigError, match="--memory must be a size such as 4G or 500M, got 'x'"):
        run(fx_home, fx_target, tmp_path / "out.vcf.gz", memory="x")
    with pytest.raises(ConfigError, match="got '1', which is less than 1 MB"):
        run(fx_home, fx_target, tmp_path / "out.vcf.gz", memory="1")


def test_less_memory_means_smaller_batches(fx_home, fx_target, tmp_path, monkeypatch):
    monkeypatch.setattr(batches.host_memory, "used_bytes", lambda: 0)
    options = impute.ImputeOptions(no_network=True, threads=1)
    with impute.opened(fx_home, fx_target, options, tmp_path, imputations.Silent()) as job:
        fixed, each = max(batches._needed(job.source, chunk) for chunk in job.chunks)
        found = [
            batches.size(job.source, job.chunks, fixed + number * each)
            for number in (1, 3, 4, NUM_SAMPLES, 100)
        ]
        assert found == [1, 3, 4, NUM_SAMPLES, NUM_SAMPLES]
        with pytest.raises(ConfigError, match="is not enough"):
            batches.size(job.source, job.chunks, fixed + each - 1)


def test_no_chunk_needs_more_than_the_memory(monkeypatch):
    needed = {"much for all samples": (30, 1), "much for each sample": (20, 10)}
    samples = SimpleNamespace(names=["t"] * 100, release=lambda: None)
    monkeypatch.setattr(batches, "_needed", lambda source, chunk: needed[chunk])
    monkeypatch.setattr(batches.host_memory, "used_bytes", lambda: 5)
    assert batches.size(SimpleNamespace(samples=samples), list(needed), 75) == 5


@pytest.mark.parametrize("limit", [0, 1500])
def test_genotypes_in_files_give_the_same_output(
    fx_home, fx_target, fx_whole, tmp_path, monkeypatch, limit
):
    made = []

    def spill_of(folder, memory):
        made.append(spill.Spill(folder, limit))
        return made[-1]

    monkeypatch.setattr(batches, "spill", spill_of)
    in_batches_of(monkeypatch, 3)
    run(fx_home, fx_target, tmp_path / "out.vcf.gz", **RICH)
    assert_same(tmp_path / "out.vcf.gz", fx_whole)
    assert made[0].num_bytes > 0
    names = [path.name for path in tmp_path.iterdir()]
    assert sorted(names) == [
        "out.empiricalDose.vcf.gz", "out.empiricalDose.vcf.gz.tbi", "out.qc", "out.vcf.gz",
        "out.vcf.gz.tbi",
    ]  # fmt: skip


def test_a_disk_without_room_for_the_genotypes_is_reported(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreError, match=r"Cannot keep 256 MB of the target's genotypes in a"):
        spill.Spill(tmp_path, 10).zeros((4, 5), np.uint8)
    assert list(tmp_path.iterdir()) == []
    kept = spill.Spill(tmp_path, 20)
    assert kept.zeros((4, 5), np.uint8).sum() == 0
    assert kept.num_bytes == 0


def test_codes_keep_the_text():
    assert 10**impute.DECIMALS == cell_codes.DIGITS
    rng = np.random.default_rng(2)
    alt = rng.random((3000, 90, 2), dtype=np.float32)
    alt[:1000] = rng.beta(0.1, 0.3, (1000, 90, 2))
    alt[:4] = rng.integers(0, 2, (4, 90, 2))
    alt[4, 0] = (0.5, np.nextafter(np.float32(0.5), np.float32(1)))
    alt[5, :32, 0] = np.arange(32) / 32  # some lie on the end of a thousandth
    content = cell_codes.encoded(alt)
    found = cell_codes.decoded(content, 3000, 90)
    assert np.abs(found - alt).max() < 1e-5
    shown = [cell_codes.numbers(values.reshape(-1, 2)) for values in (found, alt)]
    np.testing.assert_array_equal(*shown)
    np.testing.assert_array_equal(found[4, 0], alt[4, 0])
    assert len(content) < 2 * alt.size
    for bad in (content[:-1], b"", content[:20]):
        with pytest.raises(cell_codes.DamagedCellsError):
            cell_codes.decoded(bad, 3000, 90)
    with pytest.raises(cell_codes.DamagedCellsError):
        cell_codes.decoded(content, 3000, 89)


def test_the_sites_of_a_block_are_limited():
    assert part_file.rows_of_block(1) == 1024
    assert part_file.rows_of_block(10**6) == 16
    assert sum(rows.stop - rows.start for rows in part_file.blocks(NUM_SITES, 10**6)) == NUM_SITES


@pytest.mark.slow
def test_after_real_kills_the_same_command_continues(fx_home, fx_target, fx_whole, tmp_path):
    """SIGKILL at random moments, until the command ends by itself."""
    out = tmp_path / "out.vcf.gz"
    script = (
        "import sys\n"
        "from vcfbert.pipelines.imputing import output_files\n"
        "from vcfbert.pipelines.parts import batches\n"
        "output_files.FEWEST_FOR_DR2 = 5\n"
        "batches.size = lambda *arguments: 1\n"
        "from vcfbert_cli.main import app\n"
        "app(sys.argv[1:])\n"
    )
    words = ["impute", str(fx_target), "-o", str(out), "-w", str(fx_home.root), "--no-network",
             "--chunk-cm", "0.1", "--overlap-cm", "0.05", "--er2", "--empirical", "-q",
             "--threads", "2"]  # fmt: skip
    rng = np.random.default_rng(1)
    folder, kills = tmp_path / "out.parts", 0
    while not out.exists():
        process = subprocess.Popen(
            [sys.executable, "-c", script, *words], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wanted = len(parts_folder.entries(folder)) + 1 + int(rng.integers(8))
        while process.poll() is None and len(parts_folder.entries(folder)) < wanted:
            time.sleep(0.01 * rng.random())
        if process.poll() is None and kills < 4:
            process.kill()
            kills += 1
        assert process.wait() in (0, -9)
    assert kills
    assert_same(out, fx_whole)
    assert not folder.exists()


def test_samples_are_turned_to_continue_the_chunk_before_unless_their_parents_decide():
    def part(order, held):
        facts = SimpleNamespace(order=np.array(order, np.uint8), is_held=np.array(held, np.uint8))
        return [SimpleNamespace(facts=facts)]

    continuation = joined_chunk.Continuation(4)
    sites, none_held = np.array([3, 5, 9]), [0, 0, 0, 0]
    first = [[1, 1, 1, 0], [2, 2, 2, 0], [1, 0, 1, 1]]
    assert not continuation.add(sites, part(first, none_held)).any()
    second = [[2, 1, 2, 0], [1, 2, 1, 1], [1, 1, 2, 2]]  # at 3, 5 and 9: other, same, other, other
    is_turned = continuation.add(sites, part(second, [0, 0, 1, 0]))
    assert is_turned.tolist() == [True, False, False, True]
    third = [[1, 1, 2, 1]]  # as the second chunk was written, but for the last
    is_turned = continuation.add(np.array([5]), part(third, none_held))
    assert is_turned.tolist() == [True, True, True, True]
