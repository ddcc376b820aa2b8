"""The installed command, as a shell sees it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vcfbert

COMMAND = Path(sys.executable).parent / "vcfbert"


def shell(*words, cwd="/"):
    return subprocess.run(
        [COMMAND, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=60,
        check=False,
    )


def test_version_goes_to_stdout():
    done = shell("--version")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"vcfbert {vcfbert.__version__}\n",
        "",
    )


def test_without_a_command_it_shows_them_and_is_wrong_usage():
    done = shell()
    assert done.returncode == 2
    assert "build-index" in done.stdout + done.stderr


def test_a_missing_panel_is_one_line_on_stderr(tmp_path):
    done = shell("prepare", "no.vcf.gz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "no.vcf.gz" in done.stderr
    assert not list(tmp_path.rglob("panel*"))


def test_an_empty_workspace_names_the_next_command(tmp_path):
    done = shell("build-index", cwd=tmp_path)
    assert done.returncode == 1
    assert "vcfbert prepare" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    done = shell("simulate", str(tmp_path / "x"), "--num-samples", "10", "--length", "1000")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_file_in_place_of_the_workspace_is_one_line(tmp_path):
    (tmp_path / "work").write_text("")
    done = shell("build-index", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_quiet():
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} version | head -n 0"],  # gone before a line is written
        capture_output=True, text=True, check=True, timeout=60, cwd="/",
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_its_exit_code_and_one_line(tmp_path, number, code):
    started = subprocess.Popen(
        [COMMAND, "simulate", str(tmp_path / "panel"), "--num-samples", "4000",
         "--length", "40000000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Where the tests run in a shell's background, children are born deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert started.stderr.readline()  # the first line of progress: it runs
    time.sleep(0.5)
    started.send_signal(number)
    out, err = started.communicate(timeout=60)
    assert started.returncode == code
    assert out == ""
    assert "Traceback" not in err
    assert "interrupted" in err
    assert not list((tmp_path / "panel").glob("*"))
