"""The chain on one's own panel: the commands it runs, and a run of it."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests import panels
from vcfbert.config import presets
from vcfbert_cli.main import app

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "own_panel.py"
SPEC = importlib.util.spec_from_file_location("own_panel", SCRIPT)
own_panel = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(own_panel)

COMMANDS = typer.main.get_command(app).commands


def plan(*words):
    return own_panel.plan(own_panel.parsed(["my panel.vcf.gz", *words]))


def values(words, option):
    return [words[place + 1] for place, word in enumerate(words) if word == option]


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(own_panel).failed == 0


def settings_file(folder):
    path = folder / "mine.toml"
    path.write_text("[training]\nmax_epochs = 7\n", encoding="utf-8")
    return path


def test_every_option_is_passed_to_commands_that_have_it(tmp_path):
    every = [*own_panel.PREPARE, *own_panel.TRAIN, *own_panel.SCORE]
    every += ["--set", "--device", "--threads", "--seed"]
    value = {"--set": "seed=3", "--config": str(settings_file(tmp_path))}
    given = [word for option in every for word in (option, value.get(option, "VALUE"))]
    for chosen in ([], ["--compare"]):
        passed = set()
        for name, *words in plan(*given, *chosen, "--force", "--quiet"):
            known = {option for p in COMMANDS[name].params for option in p.opts}
            used = {word for word in words if word.startswith("--")}
            assert used <= known, name
            passed |= used
        assert set(every) <= passed


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["--preset", "v13"], []),
        (["--preset", "mosaic"], []),
        (["--preset", "v17"], ["build-index"]),
        (["--preset", "v17", "--set", "retrieval.space=embedding"], ["encode-refs", "build-index"]),
        (["--preset", "v18-large"], ["encode-refs", "build-index"]),
    ],
)
def test_a_system_makes_only_the_stores_that_it_reads(words, made):
    assert [words[0] for words in plan(*words)] == ["prepare", *made, "train", "eval"]


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_has_a_small_size(name):
    own_panel.resolved(own_panel.parsed(["x.vcf", "--preset", name]), name)


def test_settings_of_the_user_come_after_those_of_the_small_size():
    trained = next(w for w in plan("--preset", "v17", "--set", "model.width=64") if w[0] == "train")
    assert values(trained, "--set")[-1] == "model.width=64"
    assert "model.width=32" in values(trained, "--set")
    full = next(w for w in plan("--preset", "v17", "--full") if w[0] == "train")
    assert values(full, "--set") == []


def test_several_systems_are_compared_in_the_order_given():
    commands = plan("--compare", "--typed", "array sites.tsv", "--workspace", "a b")
    assert [words[0] for words in commands] == [
        "prepare", "build-index", *["train"] * len(own_panel.COMPARED), "compare",
    ]  # fmt: skip
    assert commands[-1][1 : 1 + len(own_panel.COMPARED)] == list(own_panel.COMPARED)
    assert values(commands[-1], "--typed") == ["array sites.tsv"]
    assert all(values(words, "--workspace") == ["a b"] for words in commands)
    two = plan("--preset", "v13", "--preset", "v17")
    assert two[-1][:3] == ["compare", "v13", "v17"]


@pytest.mark.parametrize(
    "words",
    [
        ["--frobnicate", "1"],
        ["--preset", "tiny", "--preset", "tiny"],
        ["--preset", "v19"],
        ["--sampl", "x"],
    ],
)
def test_an_unknown_option_is_refused_before_anything_runs(words, capsys):
    with pytest.raises(SystemExit):
        plan(*words)
    assert "error:" in capsys.readouterr().err


def run(folder, *words):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_panel_with_a_space_in_its_path_goes_from_vcf_to_scores(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    alleles = panels.mosaic_alleles(120, 120)
    panels.write_vcf(folder / "the panel.vcf.gz", panels.records_of(alleles, step=1000))
    done = run(
        folder, "the panel.vcf.gz", "--window-size", "32", "--flank", "2", "--device", "cpu",
        "--set", "training.max_epochs=1", "--set", "training.batches_per_epoch=2",
        "--set", "model.width=16", "--set", "retrieval.num_neighbours=4", "--rate", "0.5", "-q",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    place = re.search(r"^Results: (.+)$", done.stdout, re.MULTILINE).group(1)
    assert list((folder / place).glob("*.json")) != []
    shown = [shlex.split(line)[1:3] for line in re.findall(r"vcfbert .+", done.stdout)]
    assert ["prepare", "the panel.vcf.gz"] in shown


def test_a_wrong_setting_is_refused_before_anything_runs(tmp_path):
    done = run(tmp_path, "no such file.vcf", "--set", "model.widht=3")
    assert done.returncode == 1
    assert done.stderr.startswith("error: --set, for tiny: unknown key 'model.widht'")
    assert len(done.stderr.splitlines()) == 1


def test_a_mistake_ends_the_chain_with_the_message_of_its_command(tmp_path):
    done = run(tmp_path, "no such file.vcf")
    assert done.returncode == 1
    assert "no such file.vcf" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Results:" not in done.stdout
