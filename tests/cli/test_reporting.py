"""Exceptions as one line and an exit code."""

import os
import signal
import time

import pytest
import typer

from vcfbert.errors import StoreError
from vcfbert_cli.reporting import reporting_errors


def code_of(error):
    with pytest.raises(typer.Exit) as caught, reporting_errors():
        raise error
    return caught.value.exit_code


def test_a_mistake_is_one_line_and_exit_code_1(capsys):
    assert code_of(StoreError("No store at x. Make one with: vcfbert prepare PANEL")) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: No store at x. Make one with: vcfbert prepare PANEL\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/etc/x"), "Permission denied: /etc/x."),
        (OSError(28, "No space left on device"), "No space left on device."),
        (MemoryError(), "Not enough memory."),
    ],
)
def test_what_the_system_refuses_is_one_line(capsys, error, message):
    assert code_of(error) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_an_interruption_is_exit_code_130(capsys):
    assert code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_a_termination_is_exit_code_143_and_runs_what_cleans_up(capsys):
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def interrupted_work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            cleaned.append(True)

    with pytest.raises(typer.Exit) as caught, reporting_errors():
        interrupted_work()
    assert caught.value.exit_code == 143
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err.startswith("interrupted")


def test_our_own_mistakes_are_not_hidden():
    with pytest.raises(ZeroDivisionError), reporting_errors():
        raise ZeroDivisionError


def test_nothing_is_said_where_nothing_went_wrong(capsys):
    with reporting_errors():
        pass
    assert capsys.readouterr() == ("", "")
