"""One writer at a time, whoever dies; readers are left alone."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests import panels
from tests.pipelines import workspaces
from vcfbert.errors import StoreError
from vcfbert.files import locks, publishing, replacing
from vcfbert.pipelines.systems import refresh
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import masks, stores
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

HOLDER = """
import sys, time
from pathlib import Path
from vcfbert.files import locks
sys.argv = ["/usr/bin/vcfbert", "prepare", "panel.vcf.gz"]
with locks.hold(Path({place!r})):
    Path({place!r} + ".77.partial").mkdir()
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
    locks.clear_below(place.parent)  # takes nothing from one who lives
    assert names(place.parent) == [".store.lock", "store.77.partial"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (place.parent / ".store.lock").exists()
    with stores.create_folder(place) as folder:
        assert names(place.parent) == [".store.lock", folder.name]  # the leftover is gone
    assert names(place.parent) == ["store"]


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


@pytest.mark.parametrize("exchange", ["renameat2", "two renames"])
def test_a_replacement_that_is_killed_anywhere_loses_neither(tmp_path, monkeypatch, exchange):
    """Fails at each step in turn, as a kill would, then lets the next writer look."""
    if exchange == "two renames":
        monkeypatch.setattr(replacing, "exchange", lambda one, other: False)
    place, seen = tmp_path / "store", set()
    for step in range(1, 20):
        place.mkdir(exist_ok=True)
        (place / "content").write_text("old")
        steps = 0

        def count(original, limit=step):
            def counted(*arguments, **named):
                nonlocal steps
                steps += 1
                if steps == limit:
                    raise KeyboardInterrupt
                return original(*arguments, **named)

            return counted

        partial = tmp_path / "store.77.partial"
        partial.mkdir()
        (partial / "content").write_text("new")
        with monkeypatch.context() as patch:
            for name in ("rename", "replace", "fsync", "rmdir", "unlink"):
                patch.setattr(os, name, count(getattr(os, name)))
            try:
                replacing.put(partial, place)
                is_done = True
            except KeyboardInterrupt:
                is_done = False
        with locks.hold(place):
            seen.add((place / "content").read_text())
        assert names(tmp_path) == ["store"]
        if is_done:
            break
    assert is_done
    assert "new" in seen
    assert ("old" in seen) == (exchange == "two renames")  # one step has no middle


def test_what_a_kill_moved_aside_is_put_back_for_readers(tmp_path):
    workspace = panels.small_workspace(tmp_path / "work")
    refresh.refresh(workspace, workspaces.SMALL, RefreshOptions(masks=True), progress=Silent())
    mask = workspace.version("masks", 0)
    for path in (workspace.panel, mask):
        path.rename(path.with_name(f"{path.name}.77.old"))
    assert workspace.versions("masks") == [0]
    assert masks.read_masks(workspace.newest("masks")).version == 0
    with open_panel(workspace.root / "panel.zarr") as panel:
        assert len(panel.windows)
    assert names(workspace.root) == ["masks", "panel.zarr"]


def test_what_belongs_together_is_put_in_place_together_whenever_it_is_killed(tmp_path):
    """Killed before each step in turn; the next look at the panel finishes what was begun."""
    for step in range(1, 20):
        root = tmp_path / str(step)
        for folder, content in ((root, "old"), (root / "prepare.77.partial", "new")):
            for name in ("masks", "panel.zarr"):
                (folder / name).mkdir(parents=True)
                (folder / name / "content").write_text(content)
        child = os.fork()
        if child == 0:
            kill_before_step(step)
            publishing.put(root / "prepare.77.partial", ["masks", "panel.zarr"], root)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        Workspace(root).panel.exists()
        found = {(root / name / "content").read_text() for name in ("masks", "panel.zarr")}
        assert len(found) == 1, step
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert found == {"new"}
    assert step > 4


def kill_before_step(step: int) -> None:
    """Count renames, exchanges and fsyncs of this process, which dies before one of them."""
    steps = iter(range(1, 100))

    def counted(original):
        def call(*arguments):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments)

        return call

    replacing.exchange, replacing.sync = counted(replacing.exchange), counted(replacing.sync)
    os.rename = counted(os.rename)


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
    with open_panel(workspace.panel) as panel, stores.open_store(first, "masks") as root:
        refresh.refresh(workspace, settings, renew, progress=quiet)
        assert stores.read_column(root, "is_masked").any()
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
