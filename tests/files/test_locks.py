"""One writer at a time, even after kills; readers are left alone."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests import panels
from tests.pipelines import workspaces
from vcfbert.errors import StoreError
from vcfbert.files import locks, temporary
from vcfbert.pipelines.systems import refresh
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import stored, stores
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

HOLDER = """
import sys, time
from pathlib import Path
from vcfbert.files import locks
sys.argv = ["/usr/bin/vcfbert", "prepare", "panel.vcf.gz"]
with locks.hold(Path({place!r})):
    locks.temporary_name(Path({place!r}), "partial").mkdir()
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def fx_holder(tmp_path):
    """Another process that holds tmp_path/store and has begun to write there."""
    place = tmp_path / "store"
    code = HOLDER.format(place=str(place))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield place, process
        process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_second_writer_is_told_who_the_first_is_and_a_killed_one_holds_nothing(fx_holder):
    place, process = fx_holder
    told = rf"store is being written by process {process.pid} on .+ \(vcfbert prepare panel"
    with pytest.raises(StoreError, match=told + r"\.vcf\.gz\) since 20\d\d-"):
        with stores.create_folder(place):
            pass
    with pytest.raises(StoreError, match=f"process {process.pid}"):
        stores.write_file(place, b"")
    with locks.hold(place.parent):  # takes nothing from a running writer
        pass
    partial, lock = names(place.parent)
    assert lock == ".store.vcfbert-lock"
    assert re.fullmatch(r"\.store\.vcfbert-[0-9a-f]{32}\.partial", partial)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(place.parent) == [partial, lock]
    with stores.create_folder(place) as folder:
        assert names(place.parent) == sorted([lock, folder.name])  # the leftover is gone
        assert folder.name != partial
    assert names(place.parent) == ["store"]


def test_a_killed_writers_leftovers_below_a_folder_are_cleared_with_the_folder(tmp_path):
    """Also those of a second writer that was killed before it had cleared the first one's."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for _ in range(2):

        def die_at_work() -> None:
            temporary.clear = lambda place, tokens: None
            with locks.hold(tmp_path / "run"):
                locks.temporary_name(
                    tmp_path / "run" / "checkpoints" / "last.json", "partial"
                ).touch()
                os.kill(os.getpid(), signal.SIGKILL)

        assert in_a_child(die_at_work) == -signal.SIGKILL
    assert len(names(tmp_path / "run" / "checkpoints")) == 2
    with locks.hold(tmp_path / "run"):
        assert names(tmp_path / "run" / "checkpoints") == []
    assert names(tmp_path) == ["run"]


def test_a_forked_child_neither_keeps_nor_uses_its_parents_lock(tmp_path):
    place, refused = tmp_path / "store", []
    (tried, tell), (begin, end) = os.pipe(), os.pipe()
    with locks.hold(place):
        child = os.fork()
        if child == 0:
            os.close(end)
            hold_elsewhere(place, refused)
            os.write(tell, b"x")
            os.read(begin, 1)  # until the parent closes the other end
            os._exit(len(refused))
        os.read(tried, 1)
    with locks.hold(place):
        pass
    os.close(end)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_lock_file_of_another_program_is_left_alone(tmp_path):
    file = tmp_path / ".store.vcfbert-lock"
    file.write_text("mine")
    with pytest.raises(StoreError, match=r"vcfbert-lock was not written by vcfbert"):
        with locks.hold(tmp_path / "store"):
            pass
    assert file.read_text() == "mine"


def in_a_child(work) -> int:
    """Exit code of a forked child that does some work; minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_holder_enters_again_and_other_threads_do_not(tmp_path):
    refused: list[str] = []
    with locks.hold(tmp_path / "run"), locks.hold(tmp_path / "run"):
        with stores.create_folder(tmp_path / "run" / "embeddings" / "v0000.zarr"):
            pass
        other = threading.Thread(target=lambda: hold_elsewhere(tmp_path / "run", refused))
        other.start()
        other.join()
    assert f"process {os.getpid()} on " in refused[0]
    hold_elsewhere(tmp_path / "run", refused)
    assert len(refused) == 1


def hold_elsewhere(place: Path, refused: list[str]) -> None:
    try:
        with locks.hold(place):
            pass
    except StoreError as error:
        refused.append(str(error))


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(descriptor, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=r"no file locks \(No locks available\)"):
        stores.write_file(tmp_path / "file", b"")
    assert not (tmp_path / "file").exists()


def test_folders_made_for_nothing_are_taken_away(tmp_path):
    with pytest.raises(ValueError, match="stopped"):
        with locks.hold(tmp_path / "new" / "deep" / "out.vcf.gz"):
            raise ValueError("stopped")
    assert names(tmp_path) == []


def test_an_open_panel_is_never_read_on_as_another(tmp_path):
    workspace = panels.small_workspace(tmp_path / "work")
    with open_panel(workspace.panel) as panel:
        before = panel.packed(0)
        panels.write_small_panel(workspace.panel, seed=8, overwrite=True)
        with pytest.raises(StoreError, match="was replaced or deleted by another command"):
            panel.packed(1)
    with open_panel(workspace.panel) as panel:
        assert not np.array_equal(panel.packed(0), before)


def test_a_refresh_leaves_readers_alone_and_prunes_only_what_nobody_reads(tmp_path):
    workspace, quiet = panels.small_workspace(tmp_path / "work"), Silent()
    settings = workspaces.SMALL
    refresh.refresh(workspace, settings, RefreshOptions(masks=True), progress=quiet)
    first = workspace.version("masks", 0)
    renew = RefreshOptions(masks=True, prune=1)
    with open_panel(workspace.panel) as panel, stored.open_store(first, "masks") as root:
        refresh.refresh(workspace, settings, renew, progress=quiet)
        assert stored.read_column(root, "is_masked").any()
        assert len(panel.packed(0))
    assert workspace.versions("masks") == [0, 1]
    refresh.refresh(workspace, settings, renew, progress=quiet)
    assert workspace.versions("masks") == [2]


def test_one_at_a_time_adds_versions(tmp_path):
    workspace: Workspace = panels.small_workspace(tmp_path / "work")
    refused: list[str] = []
    with workspace.writing("masks"):
        other = threading.Thread(target=lambda: draw(workspace, refused))
        other.start()
        other.join()
    assert "masks is being written by process" in refused[0]
    assert workspace.versions("masks") == []


def draw(workspace: Workspace, refused: list[str]) -> None:
    options = RefreshOptions(masks=True)
    try:
        refresh.refresh(workspace, workspaces.SMALL, options, progress=Silent())
    except StoreError as error:
        refused.append(str(error))


def test_after_ctrl_c_the_record_stays_for_the_next_writer(tmp_path):
    """Threads of Zarr may write into a deleted folder again after the command has gone."""
    place = tmp_path / "embeddings"
    place.mkdir()
    partial = interrupted_at(place)
    (partial / "c").mkdir(parents=True)  # a late write
    with locks.hold(place):
        pass
    assert names(tmp_path) == ["embeddings"]
    assert names(place) == []


def interrupted_at(place: Path) -> Path:
    """The temporary folder of a writer that Ctrl-C ended while it held a place."""
    with suppress(KeyboardInterrupt), locks.hold(place):
        partial = locks.temporary_name(place / "v0000.zarr", "partial")
        raise KeyboardInterrupt
    return partial
