"""`train --devices N` and torchrun, from the command to the files of the run."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.pipelines.systems.test_train_systems import MOVED_BY_THE_CLOCK, small_settings, train
from tests.processes import spawned_by
from vcfbert import config
from vcfbert.config import presets
from vcfbert.errors import ConfigError, DeviceError
from vcfbert.pipelines import train as stage
from vcfbert.pipelines.systems import many_devices
from vcfbert.pipelines.train import TrainOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints

SETTINGS = config.merge(
    small_settings(max_epochs=2, batch_size=7, log_every=1, checkpoint_every=1, max_minutes=0.0),
    {"model": {"dropout": 0.0, "copy_skip": False}},
    source="test",
)
TORCHRUN = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "1",
}


@pytest.fixture
def fx_copy(fx_workspace, tmp_path) -> Workspace:
    """A copy of the workspace, with the settings in c.toml."""
    shutil.copytree(fx_workspace.root, tmp_path / "work")
    (tmp_path / "c.toml").write_text(config.to_toml(SETTINGS), encoding="utf-8")
    return Workspace(tmp_path / "work")


def command(workspace, *words):
    """The command line of `train` with the settings of `fx_copy`."""
    folder = workspace.root.parent
    given = ["--config", str(folder / "c.toml"), "--workspace", str(workspace.root)]
    return ["vcfbert", "train", *given, "--device", "cpu", "--threads", "1", *words]


def metrics(workspace, name):
    """All rows as numbers, without the columns that depend on the clock."""
    with (workspace.run(name) / "metrics.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [
        {k: float(v) for k, v in row.items() if v and k not in MOVED_BY_THE_CLOCK} for row in rows
    ]


def assert_equal_metrics(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5, nan_ok=True)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_killed_process_is_reported_and_one_process_resumes_the_run(fx_copy):
    log = fx_copy.root.parent / "log"
    with log.open("w") as stream:
        running = subprocess.Popen(
            [sys.executable, "-m", *command(fx_copy, "--run", "killed", "--devices", "2")],
            stderr=stream,
            stdout=subprocess.PIPE,
        )
        while "step 2:" not in log.read_text(encoding="utf-8"):
            assert running.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.02)
        started = spawned_by(running.pid)
        assert len(started) == 2
        os.kill(started[1], signal.SIGKILL)
        printed, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert printed == b""
    lines = log.read_text(encoding="utf-8").splitlines()
    assert "(rank 1) was ended by signal SIGKILL" in lines[-1]
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert not any("Traceback" in line for line in lines)
    assert not any(is_alive(pid) for pid in started)
    assert checkpoints.read(fx_copy.run("killed"), "last").state["step"] >= 1

    train(fx_copy, SETTINGS, "killed", resume=True)
    train(fx_copy, SETTINGS, "whole")
    assert_equal_metrics(metrics(fx_copy, "killed"), metrics(fx_copy, "whole"))


@pytest.mark.slow
def test_torchrun_trains_the_run_of_one_process_and_reports_once(fx_copy):
    launched = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--"]
    done = subprocess.run(
        [*launched, *command(fx_copy, "--run", "shared")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Run folder:") == 1
    assert done.stderr.count("epoch 2, training") == 1
    train(fx_copy, SETTINGS, "alone")
    assert_equal_metrics(metrics(fx_copy, "shared"), metrics(fx_copy, "alone"))


def asked(workspace, settings=SETTINGS, **options):
    return stage.train(workspace, settings, TrainOptions("run", **options), progress=Silent())


def test_torchrun_and_devices_are_refused_together(fx_copy, monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="torchrun started 2 processes, and --devices 3"):
        asked(fx_copy, num_devices=3)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit):  # the first process says why
        asked(fx_copy, num_devices=3)
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="WORLD_SIZE=two"):
        asked(fx_copy)


def test_a_process_that_torchrun_started_alone_trains_alone(monkeypatch):
    for name, value in (TORCHRUN | {"WORLD_SIZE": "1"}).items():
        monkeypatch.setenv(name, value)
    assert not many_devices.is_shared(TrainOptions("run"))


def test_what_cannot_be_shared_is_refused(fx_copy, monkeypatch):
    with pytest.raises(ConfigError, match="mosaic is a small network"):
        asked(fx_copy, presets.get("mosaic"), num_devices=2)
    with pytest.raises(ConfigError, match="--devices must be at least 1, got 0"):
        asked(fx_copy, num_devices=0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(DeviceError, match=r"--devices 2: PyTorch finds 1 CUDA devices"):
        asked(fx_copy, device="cuda", num_devices=2)
    assert not (fx_copy.root / "runs").exists()
