"""Commands hand over what was typed, and their defaults are the pipelines' own."""

import dataclasses
import importlib
import inspect
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vcfbert import config
from vcfbert.config import presets
from vcfbert.errors import StoreError
from vcfbert.pipelines.imputing.impute_options import ImputeOptions
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert_cli import comparing, imputing, panels, references, settings, systems, verifying
from vcfbert_cli.main import app

OPTIONS = [
    (panels.prepare, "preparing.prepare", "PrepareOptions"),
    (panels.simulate, "preparing.simulate", "SimulateOptions"),
    (references.encode_refs, "systems.encode", "EncodeOptions"),
    (references.build_index, "systems.build_index", "IndexOptions"),
    (references.refresh, "systems.refresh", "RefreshOptions"),
    (systems.train, "train", "TrainOptions"),
    (systems.evaluate, "evaluating.evaluate", "EvalOptions"),
    (comparing.compare, "evaluating.compare", "CompareOptions"),
    (systems.audit_dims, "auditing.audit", "AuditOptions"),
    (imputing.impute, "imputing.impute", "ImputeOptions"),
    (verifying.verify, "verifying.verify", "VerifyOptions"),
]
RENAMED = {
    "num_devices": "devices",
    "name": "run",
    "gpu_memory_gb": "gpu_memory",
    "fields": "format_",
}


class Summary:
    """What every pipeline returns."""

    def lines(self):
        return ["done"]

    def to_json(self):
        return "{}"

    def raise_mismatch(self):
        pass

    def raise_faults(self):
        raise StoreError("1 of 9 stores failed")


def run(*words, env=None):
    return CliRunner().invoke(app, list(words), env=env or {"VCFBERT_WORKSPACE": None})


@pytest.fixture
def fx_calls(monkeypatch):
    """Replaces a pipeline function; what it is called with is kept."""

    def replace(module, name, error=None):
        calls = []

        def called(*args, **kwargs):
            calls.append((args, kwargs))
            if error is not None:
                raise error
            return Summary()

        monkeypatch.setattr(importlib.import_module(f"vcfbert.pipelines.{module}"), name, called)
        return calls

    return replace


def flat_fields(options):
    """Fields of a dataclass of options, with those of the groups in it."""
    for field in dataclasses.fields(options):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if dataclasses.is_dataclass(default):
            yield from flat_fields(type(default))
        else:
            yield field


@pytest.mark.parametrize(
    ("command", "module", "name"), OPTIONS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_defaults_are_those_of_the_options(command, module, name):
    parameters = inspect.signature(command).parameters
    options = getattr(importlib.import_module(f"vcfbert.pipelines.{module}"), name)
    for field in flat_fields(options):
        parameter = parameters[RENAMED.get(field.name, field.name)]
        if field.default is not dataclasses.MISSING:
            default = parameter.default
            if field.name == "edges":
                default = settings.numbers("--edges", default)
            if field.name == "fields":
                default = settings.words(default)
            if field.default == ():
                assert default is None  # a repeated option that was not given
                continue
            assert default == field.default, f"{name}.{field.name}"


def test_prepare_hands_over_what_was_typed(fx_calls, tmp_path):
    calls = fx_calls("preparing.prepare", "prepare")
    (tmp_path / "three.vcf").touch()
    (tmp_path / "panels.txt").write_text("three.vcf\n")
    done = run(
        "prepare", "one.vcf", "two.vcf", "--min-maf", "0.01", "--map", "a.map", "-w",
        str(tmp_path), "--missing", "major", "--force", "--threads", "3", "--phase-panel",
        "--list", str(tmp_path / "panels.txt"),
    )  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, "done\n")
    (panel, workspace, options), keywords = calls[0]
    assert [path.name for path in panel] == ["one.vcf", "two.vcf", "three.vcf"]
    assert workspace == Workspace(tmp_path)
    assert (options.min_maf, str(options.genetic_map), options.missing) == (0.01, "a.map", "major")
    assert type(options.missing) is str  # what stores keep is plain
    assert options.phase_panel is True
    assert (keywords["overwrite"], keywords["skip_existing"], keywords["threads"]) == (
        True, False, 3,
    )  # fmt: skip


def test_a_list_that_names_no_file_is_explained(tmp_path):
    listed = tmp_path / "panels.txt"
    listed.write_text("one.vcf\n")
    done = run("prepare", "--list", str(listed), "-w", str(tmp_path))
    assert done.exit_code == 1
    assert "panels.txt, line 1: " in done.stderr
    assert "one.vcf does not exist" in done.stderr


def test_impute_hands_over_what_was_typed(fx_calls, tmp_path):
    calls = fx_calls("imputing.genome", "impute_files")
    done = run(
        "impute", "t.vcf.gz", "-o", "o.bcf", "-w", str(tmp_path), "--format", "GT, DS",
        "--unphased", "as-written", "--phase", "refine", "--phase-draws", "2",
        "--target-references", "on", "--phasing-passes", "3",
        "--map", "a.map", "--region", "20:1-9", "--er2", "--force",
        "--all-typed-sites", "--empirical", "--sites", "s.tsv",
        "--chunk-cm", "4", "--overlap-cm", "0.5", "--min-typed", "2",
        "--sex", "x.fam", "--par", "1-9,20-30", "--exclude-samples", "a,b", "--force-samples",
        "--qc", "q", "--run", "mine", "--threads", "3", "--seed", "8", "--strand", "drop",
    )  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, "done\n")
    (workspace, targets, out, options), keywords = calls[0]
    assert (workspace, targets, str(out)) == (Workspace(tmp_path), [Path("t.vcf.gz")], "o.bcf")
    assert keywords["overwrite"] is True
    assert dataclasses.asdict(options) == dataclasses.asdict(ImputeOptions()) | {
        "run": "mine", "no_network": False, "genetic_map": Path("a.map"), "region": "20:1-9",
        "threads": 3, "seed": 8, "chunk_cm": 4.0, "overlap_cm": 0.5, "min_typed": 2,
        "fields": ("GT", "DS"), "sites": Path("s.tsv"), "unphased": "as-written", "er2": True,
        "phase": "refine", "phase_draws": 2, "target_references": "on",
        "phasing_passes": 3, "trios": None, "mendel": False,
        "memory": None, "parts": None, "keep_parts": False,
        "all_typed_sites": True, "empirical": True,
        "qc": Path("q"), "device": "cpu", "strand": "drop",
        "sex": Path("x.fam"), "par": "1-9,20-30",
        "exclude_samples": "a,b", "force_samples": True,
    }  # fmt: skip


def test_impute_hands_over_several_files_and_a_folder(fx_calls, tmp_path):
    calls = fx_calls("imputing.genome", "impute_files")
    (tmp_path / "three.vcf").touch()
    (tmp_path / "targets.txt").write_text("three.vcf\n")
    done = run(
        "impute", "1.vcf", "2.vcf", "--list", str(tmp_path / "targets.txt"), "--out-dir", "all"
    )
    assert done.exit_code == 0
    (_, targets, out, _), _ = calls[0]
    assert [path.name for path in targets] == ["1.vcf", "2.vcf", "three.vcf"]
    assert out == Path("all") / "{contig}.vcf.gz"


def test_merge_hands_over_what_was_typed(fx_calls, tmp_path):
    calls = fx_calls("merging.merge", "merge")
    (tmp_path / "list").write_text("c.bcf\n", encoding="utf-8")
    done = run(
        "merge", "a.vcf.gz", "b.vcf", "--list", str(tmp_path / "list"), "-o", "o.bcf",
        "--allow-differences", "--threads", "3", "--force",
    )  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, "done\n")
    (paths, out, options), keywords = calls[0]
    assert [str(path) for path in paths] == ["a.vcf.gz", "b.vcf", "c.bcf"]
    assert (str(out), keywords["overwrite"]) == ("o.bcf", True)
    assert dataclasses.asdict(options) == {"allow_differences": True, "threads": 3}


def test_typed_lists_of_training_can_be_repeated(fx_calls):
    calls = fx_calls("train", "train")
    assert run("train", "--preset", "mosaic", "--typed", "a", "--typed", "b").exit_code == 0
    assert calls[0][0][2].typed == (Path("a"), Path("b"))


def test_the_workspace_can_come_from_the_environment(fx_calls, tmp_path):
    calls = fx_calls("systems.build_index", "build_index")
    assert run("build-index", env={"VCFBERT_WORKSPACE": str(tmp_path)}).exit_code == 0
    assert calls[0][0][0] == Workspace(tmp_path)


def test_a_run_is_named_after_its_preset_unless_told(fx_calls):
    calls = fx_calls("train", "train")
    run("train", "--preset", "v18-large", "--retrieve-k", "7", "--seed", "3")
    run("train", "--run", "mine")
    (_, chosen, options), _ = calls[0]
    assert (chosen.retrieval.num_neighbours, chosen.seed) == (7, 3)
    assert chosen.model == presets.v18_large().model
    assert [call[0][2].name for call in calls] == ["v18-large", "mine"]
    assert (options.device, options.resume) == ("auto", False)


def test_a_resumed_run_keeps_its_settings_but_for_what_is_named(fx_calls, monkeypatch):
    calls = fx_calls("train", "train")
    saved = config.merge(presets.tiny(), {"seed": 5}, source="test")
    monkeypatch.setattr("vcfbert.pipelines.train.saved_settings", lambda workspace, name: saved)
    run("train", "--run", "mine", "--resume")
    run("train", "--run", "mine", "--resume", "--set", "training.max_epochs=9")
    run("train", "--run", "mine", "--resume", "--preset", "tiny")
    assert calls[0][0][1] == saved
    assert calls[1][0][1] == config.merge(saved, {"training": {"max_epochs": 9}}, source="test")
    assert calls[2][0][1] == presets.tiny()


def test_a_run_that_is_replaced_keeps_its_settings_unless_others_are_given(fx_calls, tmp_path):
    calls = fx_calls("train", "train")
    own = config.merge(presets.tiny(), {"seed": 5}, source="test")
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(config.to_toml(own))
    words = ["train", "-w", str(tmp_path), "--run"]
    run(*words, "mine", "--force")
    run(*words, "mine", "--force", "--set", "seed=6")
    run(*words, "mine", "--force", "--preset", "v13")
    run(*words, "other", "--force")
    seen = [call[0][1] for call in calls]
    assert seen[:2] == [own, config.merge(own, {"seed": 6}, source="test")]
    assert [one.preset for one in seen[2:]] == ["v13", "v18-large"]
    (folder / "config.toml").write_text("[model]\nwidht = 3")
    done = run(*words, "mine", "--force")
    assert done.exit_code == 1
    assert "widht" in done.stderr
    assert "give others with --preset or --config" in done.stderr


def test_eval_and_audit_hand_over_what_was_typed(fx_calls, tmp_path):
    evaluated, audited = (
        fx_calls("evaluating.evaluate", "evaluate"),
        fx_calls("auditing.audit", "audit"),
    )
    assert run("eval", "--run", "a", "--split", "validation", "--rate", "0.5").exit_code == 0
    assert run("audit-dims", "--preset", "tiny", "--gpu-memory", "24", "--json").stdout == "{}\n"
    options = evaluated[0][0][1]
    assert (options.run, options.split, options.rate) == ("a", "validation", 0.5)
    assert audited[0][0][2].gpu_memory_gb == 24


def test_verify_takes_the_workspace_as_typed_and_ends_with_1_where_anything_failed(fx_calls):
    calls = fx_calls("verifying.verify", "verify")
    done = run("verify", "mine", "--source", "p.vcf.gz", "--quiet")
    assert (done.exit_code, done.stdout) == (1, "done\n")  # the report, then the error
    assert done.stderr == "error: 1 of 9 stores failed\n"
    assert run("verify", "--json", "-w", "other").stdout == "{}\n"
    run("verify", env={"VCFBERT_WORKSPACE": "third"})
    found = [call[0][0].root for call in calls]
    assert found == [Path("mine"), Path("other"), Path("third")]
    assert [call[0][1].source for call in calls] == [Path("p.vcf.gz"), None, None]


def test_a_mistake_is_one_line_on_stderr_and_exit_code_1(fx_calls):
    fx_calls("systems.build_index", "build_index", StoreError("No store at x."))
    done = run("build-index", "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "error: No store at x.\n")


def test_an_interruption_is_exit_code_130(fx_calls):
    fx_calls("train", "train", KeyboardInterrupt())
    assert run("train", "--preset", "tiny").exit_code == 130


@pytest.mark.parametrize(
    "words",
    [
        ["prepare"],
        ["prepare", "a.vcf", "--min-maf", "2"],
        ["prepare", "a.vcf", "--missing", "guess"],
        ["train", "--retrieve-k", "0"],
        ["impute", "t.vcf.gz"],
        ["impute", "--out", "o.vcf.gz"],
        ["impute", "t.vcf.gz", "--out", "o.vcf.gz", "--out-dir", "o"],
        ["impute", "t.vcf.gz", "-o", "o.vcf.gz", "--min-typed", "0"],
        ["impute", "t.vcf.gz", "-o", "o.vcf.gz", "--unphased", "guess"],
        ["no-such-command"],
        ["train", "--no-such-option"],
    ],
)
def test_wrong_usage_is_exit_code_2(words):
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--preset", "v99"],
        ["train", "--set", "model.widht=3"],
        ["train", "--config", "no"],
        ["impute", "t.vcf.gz", "-o", "o.vcf.gz", "--format", "GT,XX"],
        ["impute", "t.vcf.gz", "-o", "o.vcf.gz", "--run", "a", "--no-network"],
        ["impute", "t.vcf.gz", "-o", "o.vcf"],
    ],
)
def test_a_bad_setting_is_exit_code_1(words):
    done = run(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: ")
