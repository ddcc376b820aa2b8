"""Progress as JSON lines."""

import io
import json
import logging

from typer.testing import CliRunner

from tests import panels
from vcfbert_cli import progress
from vcfbert_cli.json_progress import JsonLines
from vcfbert_cli.main import app


class Clock:
    """A clock that tests set."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


def test_lines_have_speed_time_left_and_memory():
    stream, clock = io.StringIO(), Clock()
    lines = JsonLines(stream, clock, lambda: 5_000_000)
    lines.start("imputing", 100)
    for second in (0.5, 1.0, 1.5, 2.0):
        clock.now = second
        lines.advance(10)
    lines.note("half of it")
    lines.finish()
    found = parsed(stream.getvalue())
    assert [one["event"] for one in found] == ["start", "progress", "progress", "note", "end"]
    assert found[0] == {
        "event": "start", "stage": "imputing", "done": 0, "total": 100, "seconds": 0.0,
        "per_second": None, "seconds_left": None, "peak_memory_bytes": 5_000_000,
    }  # fmt: skip
    assert found[2] == {
        "event": "progress", "stage": "imputing", "done": 40, "total": 100, "seconds": 2.0,
        "per_second": 20.0, "seconds_left": 3.0, "peak_memory_bytes": 5_000_000,
    }  # fmt: skip
    assert found[3] == {"event": "note", "text": "half of it"}


def test_a_new_stage_ends_the_previous_one_and_warnings_are_lines(capsys):
    with progress.on_stderr(quiet=False, verbose=False, as_json=True) as shown:
        shown.start("reading", None)
        shown.start("writing", 2)
        logging.getLogger("vcfbert.storage").warning("No %s", "map")
    found = parsed(capsys.readouterr().err)
    assert [(one["event"], one.get("stage", one.get("text"))) for one in found] == [
        ("start", "reading"), ("end", "reading"), ("start", "writing"), ("warning", "No map"),
        ("end", "writing"),
    ]  # fmt: skip


def test_quiet_shows_only_warnings(capsys):
    with progress.on_stderr(quiet=True, verbose=False, as_json=True) as shown:
        shown.start("reading", 2)
        logging.getLogger("vcfbert.storage").warning("No map")
    assert parsed(capsys.readouterr().err) == [{"event": "warning", "text": "No map"}]


def test_everything_on_stderr_is_json(tmp_path):
    alleles = panels.mosaic_alleles(60, 40)
    path = panels.write_vcf(tmp_path / "p.vcf", panels.records_of(alleles))
    words = ["prepare", str(path), "-w", str(tmp_path / "w"), "--progress", "json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    found = parsed(done.stderr)
    reading = [one for one in found if one.get("stage") == "reading records"]
    assert (reading[0]["event"], reading[-1]["event"], reading[-1]["done"]) == ("start", "end", 60)
    assert "sites kept" in done.stdout
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1
    assert parsed(again.stderr)[-1]["event"] == "error"
    assert "already has contig 20" in parsed(again.stderr)[-1]["text"]
