"""What a stage shows on stderr."""

import io
import logging
import re

from rich.console import Console
from rich.progress import Progress as RichProgress

from vcfbert_cli import bar, progress


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_lines_say_when_a_stage_begins():
    stream, clock = io.StringIO(), Clock()
    lines = progress.PlainLines(stream, clock)
    lines.start("Reading", 1200)
    clock.now = 2.0
    lines.advance(1200)
    lines.start("Writing", None)
    assert stream.getvalue().splitlines() == [
        "Reading: 1,200 steps ...",
        "Writing ...",
    ]


def test_lines_between_come_every_ten_seconds_at_most():
    stream, clock = io.StringIO(), Clock()
    lines = progress.PlainLines(stream, clock)
    lines.start("Reading", 100)
    for second in range(1, 26):
        clock.now = float(second)
        lines.advance()
    assert stream.getvalue().splitlines()[1:] == [
        "Reading: 10 of 100, 10 s, 90 s left",
        "Reading: 20 of 100, 20 s, 80 s left",
    ]


def test_a_pipe_gets_plain_lines_and_warnings(capsys):
    with progress.on_stderr(quiet=False, verbose=False) as shown:
        shown.start("Reading", 2)
        logging.getLogger("vcfbert.storage").warning("No map")
        logging.getLogger("vcfbert.storage").info("a detail")
        shown.note("epoch 1")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["Reading: 2 steps ...", "No map", "epoch 1"]


def test_quiet_shows_warnings_alone(capsys):
    with progress.on_stderr(quiet=True, verbose=False) as shown:
        shown.start("Reading", 2)
        shown.advance()
        shown.note("epoch 1")
        logging.getLogger("vcfbert").info("Read 3 sites")
        logging.getLogger("vcfbert").warning("No map")
    assert capsys.readouterr().err.splitlines() == ["No map"]


def test_verbose_logs_each_stage_with_its_steps_and_seconds(capsys):
    with progress.on_stderr(quiet=False, verbose=True) as shown:
        shown.start("Reading", 1200)
        shown.advance(1200)
        shown.start("Writing", None)
    assert re.sub(r"\d\.\d", "0.0", capsys.readouterr().err).splitlines() == [
        "Reading: 1,200 steps ...",
        "Reading: 1,200 steps in 0.0 s",
        "Writing ...",
        "Writing: 0.0 s",
    ]


def test_logging_is_left_as_it_was():
    logger = logging.getLogger("vcfbert")
    before = logger.level, logger.propagate, list(logger.handlers)
    with progress.on_stderr(quiet=False, verbose=True):
        pass
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_a_terminal_gets_a_bar_a_stage():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with RichProgress(console=console) as drawing:
        shown = bar.Bar(drawing)
        shown.start("Reading [20:1-5]", 10)
        shown.advance(4)
        shown.note("epoch [1]")
        shown.start("Writing", None)
    assert [(task.description, task.completed) for task in drawing.tasks] == [
        ("Reading [20:1-5]", 4),
        ("Writing", 0),
    ]
    assert "epoch [1]" in console.file.getvalue()
