"""A command ends at once, with all that it has written."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vcfbert_cli import leaving

ENDED = "import atexit; atexit.register(print, 'ended by Python')\n"
LEAVE = "from vcfbert_cli import leaving; print('written'); leaving.leave(3)\n"


def run(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


def test_the_process_ends_at_once_with_its_code_and_what_it_has_written():
    done = run("-c", ENDED + LEAVE)
    assert (done.returncode, done.stdout, done.stderr) == (3, "written\n", "")


THREAD = """
import threading, time
threading.Thread(target=lambda: (time.sleep(0.5), print('still at work'))).start()
"""


@pytest.mark.parametrize(
    ("more", "printed"),
    [(THREAD, "written\nstill at work\n"), ("import multiprocessing.util\n", "written\n")],
    ids=["thread", "processes"],
)
def test_what_may_still_run_is_left_to_python(more, printed):
    done = run("-c", ENDED + more + LEAVE)
    assert (done.returncode, done.stdout) == (0, f"{printed}ended by Python\n")


def test_commands_print_all_and_return_their_code(tmp_path):
    done = run("-m", "vcfbert", "--help")
    assert done.returncode == 0
    assert "simulate" in done.stdout
    done = run("-m", "vcfbert", "parts", str(tmp_path / "absent"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert run("-m", "vcfbert", "impute", "--no-such-option").returncode == 2


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_is_no_error(closed):
    for words, code in (("version", 0), ("no-such-command", 2)):
        shell = f"{sys.executable} -m vcfbert {words} {closed}"
        assert subprocess.run(shell, shell=True, capture_output=True).returncode == code


def test_a_closed_pipe_is_left_to_python(monkeypatch):
    class Closed:
        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr(leaving, "_WITH_PROCESSES", ())
    monkeypatch.setattr(leaving.threading, "enumerate", list)
    monkeypatch.setattr(leaving.logging, "shutdown", lambda: None)
    monkeypatch.setattr(leaving.os, "_exit", pytest.fail)
    monkeypatch.setattr(sys, "stdout", Closed())
    leaving.leave(0)
