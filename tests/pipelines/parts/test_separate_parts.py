"""`impute plan`, `part` and `join` write the bytes of one `impute`."""

from __future__ import annotations

import pickle
import threading

import pytest
from typer.testing import CliRunner

from tests.pipelines import imputations
from tests.pipelines.imputations import run, samples_alleles, write_target
from vcfbert.errors import InputError, StoreError
from vcfbert.pipelines.chunks import chunk_imputation
from vcfbert.pipelines.imputing import separate_parts
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.parts import batches, parts_folder
from vcfbert.progress import Silent
from vcfbert.storage.zarr.panel import open_panel
from vcfbert_cli.main import app

RICH = {"chunk_cm": 0.1, "overlap_cm": 0.05, "er2": True, "empirical": True, "no_network": True}
QUIET = Silent()


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("steps"))


@pytest.fixture(scope="module")
def fx_target(tmp_path_factory):
    return write_target(tmp_path_factory.mktemp("target") / "t.vcf.gz", samples_alleles(4))


@pytest.fixture(scope="module")
def fx_whole(fx_home, fx_target, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out.vcf.gz"
    run(fx_home, fx_target, out, **RICH)
    return out


@pytest.fixture
def fx_plan(fx_home, fx_target, tmp_path, monkeypatch):
    """Three chunks, two batches."""
    monkeypatch.setattr(batches, "size", lambda *arguments: 2)
    path = tmp_path / "plan.json"
    options = ImputeOptions(**RICH, fields=("GT", "DS"), qc=tmp_path / "qc")
    separate_parts.plan(fx_home, fx_target, tmp_path / "out.vcf.gz", options, path, progress=QUIET)
    return path


def cells(path):
    return [[cell.split(":")[:2] for cell in line[9:]] for line in imputations.lines(path)]


def test_steps_in_any_order_give_the_same_output(fx_plan, fx_whole, tmp_path):
    plan = pickle.loads(pickle.dumps(separate_parts.read(fx_plan)))
    assert len(plan.parts) == 6
    assert plan.parts[3].region == "20:101000-200000"
    with pytest.raises(StoreError, match=r"6 of 6 parts are not finished .* --part 1$"):
        separate_parts.join(plan, fx_plan, None, progress=QUIET)
    for number in (6, 1, 4, 2, 5):
        assert separate_parts.run_part(plan, number, QUIET, 1).is_new
    with pytest.raises(StoreError, match=r"1 of 6 parts is not finished .* --part 3$"):
        separate_parts.join(plan, fx_plan, None, progress=QUIET)
    assert separate_parts.run_part(plan, 3, QUIET, 2).lines() == [
        "part 3 imputed: 20:101000-200000, samples 1-2"
    ]
    other = tmp_path / "other.vcf.gz"
    separate_parts.join(plan, fx_plan, other, progress=QUIET, keep_parts=True)
    assert len(parts_folder.entries(tmp_path / "out.parts")) == 6
    separate_parts.join(plan, fx_plan, None, progress=QUIET, overwrite=True)
    assert not (tmp_path / "out.parts").exists()
    out = tmp_path / "out.vcf.gz"
    assert out.read_bytes() == other.read_bytes()
    assert [line[:8] for line in imputations.lines(out)] == [
        line[:8] for line in imputations.lines(fx_whole)
    ]
    assert cells(out) == cells(fx_whole)
    empirical = "out.empiricalDose.vcf.gz"
    assert (tmp_path / empirical).read_bytes() == fx_whole.with_name(empirical).read_bytes()
    whole = fx_whole.with_name("out.qc") / "samples.tsv"
    assert (tmp_path / "qc" / "samples.tsv").read_text() == whole.read_text()


def test_a_finished_part_is_not_made_again_and_two_at_once_do_no_harm(
    fx_plan, tmp_path, monkeypatch
):
    plan = separate_parts.read(fx_plan)
    real, made, barrier = chunk_imputation.impute, [], threading.Barrier(2)

    def together(*arguments):
        barrier.wait(60)  # both began before either has finished
        made.append(arguments[2])
        return real(*arguments)

    monkeypatch.setattr(chunk_imputation, "impute", together)
    both = [
        threading.Thread(target=separate_parts.run_part, args=(plan, 2, QUIET, 1)) for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    (entry,) = parts_folder.entries(tmp_path / "out.parts")
    content = entry.path.read_bytes()
    assert not separate_parts.run_part(plan, 2, QUIET).is_new
    assert len(made) == 2
    assert entry.path.read_bytes() == content
    assert not parts_folder.unfinished(tmp_path / "out.parts")


def test_plans_that_do_not_fit_are_refused(fx_plan, fx_home, fx_target, tmp_path):
    plan = separate_parts.read(fx_plan)
    for number in (0, 7, -1):
        with pytest.raises(InputError, match="--part must be from 1 to 6"):
            separate_parts.run_part(plan, number, QUIET)
    with pytest.raises(StoreError, match=r"There is no plan absent\.json"):
        separate_parts.read(type(fx_plan)("absent.json"))
    text = fx_plan.read_text()
    bad = tmp_path / "bad.json"
    for content in (text[:-9], text.replace("out.vcf.gz", "oui.vcf.gz"), "{}", ""):
        bad.write_text(content)
        with pytest.raises(StoreError, match=r"is not a whole plan of vcfbert impute"):
            separate_parts.read(bad)
    changed = type(plan)(**{**vars(plan), "options": plan.options | {"seed": 2}})
    with pytest.raises(StoreError, match=r"made from something else: --seed changed since"):
        separate_parts.run_part(changed, 1, QUIET)
    with pytest.raises(StoreError, match="already exists"):
        separate_parts.plan(
            fx_home, fx_target, tmp_path / "out.vcf.gz", ImputeOptions(), fx_plan, progress=QUIET
        )


def test_a_list_of_excluded_samples_may_have_a_relative_path(
    fx_home, fx_target, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with open_panel(fx_home.panel) as panel:
        names = panel.samples.names[:2]
    (tmp_path / "excluded.txt").write_text("\n".join(names))
    options = ImputeOptions(no_network=True, exclude_samples="excluded.txt")
    path = tmp_path / "plan.json"
    separate_parts.plan(fx_home, fx_target, tmp_path / "o.vcf.gz", options, path, progress=QUIET)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert separate_parts.run_part(separate_parts.read(path), 1, QUIET, 1).is_new
    (tmp_path / "excluded.txt").write_text(names[0])
    with pytest.raises(StoreError, match="made from something else: panel changed since"):
        separate_parts.join(separate_parts.read(path), path, None, progress=QUIET)


def test_on_the_command_line(fx_home, fx_target, fx_whole, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "size", lambda *arguments: 3)
    monkeypatch.chdir(tmp_path)
    home = ["-w", str(fx_home.root), "--no-network", "--er2", "--empirical"]
    lengths = ["--chunk-cm", "0.1", "--overlap-cm", "0.05"]

    def vcfbert(*words):
        return CliRunner().invoke(app, list(words), env={"VCFBERT_WORKSPACE": None})

    start = ["impute", "plan", str(fx_target), "-o", "out.vcf.gz", *home, *lengths]
    assert vcfbert(*start).exit_code == 2
    done = vcfbert(*start, "--plan", "plan.json")
    assert done.exit_code == 0, done.output
    assert "vcfbert impute part --plan plan.json --part N, N from 1 to 6" in done.stdout
    for number in range(1, 7):
        done = vcfbert("impute", "part", "--plan", "plan.json", "--part", str(number))
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"part {number} imputed: 20:")
    done = vcfbert("parts", "out.parts")
    assert done.stdout.count("finished") == 6
    assert "key " in done.stdout
    (tmp_path / "out.parts" / ".x.part.vcfbert-lock").write_text("")
    assert "unfinished" in vcfbert("parts", "out.parts").stdout
    done = vcfbert("impute-join", "--plan", "plan.json")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.vcf.gz").read_bytes() == fx_whole.read_bytes()
    done = vcfbert("parts", "out.parts")
    assert done.exit_code == 1
    assert "There is no folder out.parts" in done.stderr


def test_parts_are_listed_and_removed(fx_home, fx_target, tmp_path, monkeypatch):
    run(fx_home, fx_target, tmp_path / "out.vcf.gz", **RICH, keep_parts=True)
    folder = tmp_path / "out.parts"
    (folder / "notes.txt").write_text("mine")
    entries = parts_folder.entries(folder)
    entries[0].path.write_bytes(b"vcfbert")
    shown = CliRunner().invoke(app, ["parts", str(folder)]).stdout.splitlines()
    assert [line.split()[:3] for line in shown[:4]] == [
        ["chunk", "samples", "state"], ["1", "1-4", "damaged"], ["2", "1-4", "finished"],
        ["3", "1-4", "finished"],
    ]  # fmt: skip
    done = CliRunner().invoke(app, ["parts", str(folder), "--clean"])
    assert done.stdout == f"3 parts removed from {folder}\n"
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    done = CliRunner().invoke(app, ["parts", str(folder)])
    assert done.stdout == f"{folder} has no parts\n"
