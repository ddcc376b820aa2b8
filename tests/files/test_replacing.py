"""A replacement that is killed loses nothing, and nothing of the user's is ever touched."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from tests import panels
from tests.files.test_locks import in_a_child, names
from tests.pipelines import workspaces
from vcfbert.files import locks, replacing, temporary
from vcfbert.pipelines.systems import pruning, refresh
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import masks, stores
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

WITHOUT_EXCHANGE = pytest.mark.parametrize("exchange", ["renameat2", "two renames"])


def kill_before_step(step: int, exchange: str) -> None:
    """Count renames, exchanges and fsyncs of this process, which dies before one of them."""
    steps = iter(range(1, 100))

    def counted(original):
        def call(*arguments):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments)

        return call

    swap = replacing.exchange if exchange == "renameat2" else lambda one, other: False
    replacing.exchange, temporary.sync = counted(swap), counted(temporary.sync)
    os.rename = counted(os.rename)


def write(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "content").write_text(content)


@WITHOUT_EXCHANGE
def test_a_replacement_that_is_killed_anywhere_loses_neither(tmp_path, exchange):
    """Killed before each step in turn; readers and the next writer find a whole store."""
    seen = set()
    for step in range(1, 20):
        root = tmp_path / str(step)
        write(root / "masks" / "v0000.zarr", "old")

        def replace(step=step, root=root):
            with Workspace(root).writing("masks"):
                with stores.create_folder(root / "masks" / "v0000.zarr", overwrite=True) as folder:
                    (folder / "content").write_text("new")
                    kill_before_step(step, exchange)

        code = in_a_child(replace)
        workspace, before = Workspace(root), listing(root)
        assert workspace.versions("masks") == [0]
        found = (workspace.newest("masks") / "content").read_text()
        assert listing(root) == before  # a reader changes nothing
        with workspace.writing("masks"):
            assert workspace.newest("masks") == root / "masks" / "v0000.zarr"
        assert (root / "masks" / "v0000.zarr" / "content").read_text() == found
        assert names(root) == ["masks"]
        assert names(root / "masks") == ["v0000.zarr"]
        seen.add(found)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert seen == {"old", "new"}
    assert step > 4


@WITHOUT_EXCHANGE
@pytest.mark.parametrize("older", [True, False])
def test_what_belongs_together_is_read_together_whenever_it_is_killed(tmp_path, exchange, older):
    """Readers find all the old or all the new; the next writer moves the new to its places."""
    seen = set()
    for step in range(1, 30):
        root = tmp_path / str(step)
        root.mkdir()
        if older:
            write(root / "masks" / "v0000.zarr", "old")
            write(root / "panel.zarr", "old")

        def publish(step=step, root=root):
            with Workspace(root).writing("panel", "masks"), stores.staging(root / "make") as folder:
                write(folder / "masks" / "v0000.zarr", "new")
                write(folder / "panel.zarr", "new")
                kill_before_step(step, exchange)
                replacing.put_all(folder, ["masks/v0000.zarr", "panel.zarr"], root)

        code = in_a_child(publish)
        workspace, before = Workspace(root), listing(root)
        made = [
            workspace.panel,
            *(workspace.version("masks", n) for n in workspace.versions("masks")),
        ]
        found = [(path / "content").read_text() for path in made if path.exists()]
        assert listing(root) == before
        assert len(found) in ((2,) if older else (0, 2)), step
        assert len(set(found)) < 2, step
        with workspace.writing("panel", "masks"), stores.staging(root / "make"):
            pass
        assert not any(temporary.is_temporary(path.name) for path in root.rglob("*"))
        if found:
            assert (root / "panel.zarr" / "content").read_text() == found[0]
            assert (root / "masks" / "v0000.zarr" / "content").read_text() == found[0]
            seen.add(found[0])
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert seen == ({"old", "new"} if older else {"new"})
    assert step > 4


def test_an_interrupt_between_two_renames_puts_the_older_one_back(tmp_path, monkeypatch):
    monkeypatch.setattr(replacing, "exchange", lambda one, other: False)
    write(tmp_path / "store", "old")

    def replace() -> None:
        with stores.create_folder(tmp_path / "store", overwrite=True) as folder:
            (folder / "content").write_text("new")
            rename, limit = Path.rename, iter(range(99))

            def once(self, target):
                if next(limit) == 1:
                    raise KeyboardInterrupt
                return rename(self, target)

            monkeypatch.setattr(Path, "rename", once)

    with pytest.raises(KeyboardInterrupt):
        replace()
    monkeypatch.undo()
    with locks.hold(tmp_path / "store"):
        pass
    assert (tmp_path / "store" / "content").read_text() == "old"
    assert names(tmp_path) == ["store"]


USERS = (
    "panel.zarr.20240101.old",
    "panel.zarr.77.partial",
    "masks/v0000.zarr.7.old",
    "masks/v0003.zarr.8.partial",
    "out.vcf.gz.20240101.old",
    "out.vcf.gz.1234.partial",
    ".out.vcf.gz.5.scratch",
    ".out.vcf.gz.lock",
    f".out.vcf.gz.vcfbert-{'a' * 32}.partial",
    f".panel.zarr.vcfbert-{'b' * 32}.partial",
    f"masks/.v0009.zarr.vcfbert-{'c' * 32}.partial",
    "runs/r/notes.1.old",
)
"""Names that earlier versions took for their own, and some that this one could have made."""


def test_files_of_the_user_survive_every_write_and_every_read(tmp_path):
    workspace = panels.small_workspace(tmp_path / "work")
    for name in USERS:
        path = workspace.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    out = workspace.root / "out.vcf.gz"
    for _ in range(2):
        stores.write_file(out, b"")
        panels.write_small_panel(workspace.panel, overwrite=True)
        renew = RefreshOptions(masks=True, prune=1)
        refresh.refresh(workspace, workspaces.SMALL, renew, progress=Silent())
        with stores.scratch_beside(out), locks.hold(workspace.new_run("r")):
            pass
        with workspace.writing("panel", "masks", "embeddings", "indexes"):
            replacing.drop(stores_copy(workspace))
    read_everything(workspace)
    assert workspace.versions("masks") == [1]
    for name in USERS:
        assert (workspace.root / name).read_text() == name


def stores_copy(workspace: Workspace) -> Path:
    """A version that can be deleted."""
    path = workspace.version("masks", 99)
    write(path, "copy")
    return path


def read_everything(workspace: Workspace) -> None:
    with open_panel(workspace.panel) as panel:
        assert np.any(panel.packed(0))
    for version in workspace.versions("masks"):
        masks.read_masks(workspace.version("masks", version))
    for path in (workspace.qc, workspace.relatives, workspace.run("r")):
        path.exists()
    for kind in ("masks", "embeddings", "indexes"):
        workspace.next_version(kind)


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """Name, inode and time of change of everything below a folder."""
    return sorted(
        (str(path), (found := path.lstat()).st_ino, found.st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    )


def test_a_reader_changes_nothing(tmp_path):
    workspace = panels.small_workspace(tmp_path / "work")
    refresh.refresh(workspace, workspaces.SMALL, RefreshOptions(masks=True), progress=Silent())
    for name in USERS:
        path = workspace.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    before = listing(workspace.root)
    read_everything(workspace)
    assert listing(workspace.root) == before


def test_scratch_folders_are_apart_and_those_of_killed_commands_are_cleared(tmp_path):
    def die_at_work() -> None:
        with stores.scratch_beside(tmp_path / "run") as folder:
            (folder / "file").write_text("")
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(die_at_work) == -signal.SIGKILL
    assert len(names(tmp_path)) == 2  # a lock file and the folder
    with stores.scratch_beside(tmp_path / "run") as one:
        with stores.scratch_beside(tmp_path / "run") as other:
            assert one != other
            assert {one, other} == {path for path in tmp_path.iterdir() if path.is_dir()}
    assert names(tmp_path) == []


def test_pruning_waits_for_no_reader_of_another_thread(tmp_path):
    workspace = panels.small_workspace(tmp_path / "work")
    for _ in range(3):
        refresh.refresh(workspace, workspaces.SMALL, RefreshOptions(masks=True), progress=Silent())
    gone: list[Path] = []
    with locks.reading(workspace.version("masks", 0)):
        other = threading.Thread(target=lambda: gone.extend(pruning.prune(workspace, 1)))
        other.start()
        other.join()
    assert gone == [workspace.version("masks", 1)]
    assert workspace.versions("masks") == [0, 2]


def test_without_renameat2_as_on_macos_a_folder_is_replaced_by_two_renames(tmp_path, monkeypatch):
    class Library:
        """A C library without renameat2."""

    monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: Library())
    new, place = tmp_path / "new", tmp_path / "store"
    write(new, "new")
    write(place, "old")
    assert not replacing.exchange(new, place)
    with locks.hold(place):
        replacing.put(new, place)
    assert (place / "content").read_text() == "new"
    assert names(tmp_path) == ["store"]
