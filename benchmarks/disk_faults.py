"""Full disks, read-only folders and files deleted during a command, and checks of what is left.

    python benchmarks/disk_faults.py [--commands prepare,train] [--csv FILE] [--folder DIR]

A command must end with exit code 1 and one sentence, or not be affected by the fault. Afterwards
`verify` finds no fault, nothing half-written has a final name, and the command, run again, writes
what an undisturbed one writes. Limits on file sizes need no rights; small and read-only disks are
a tmpfs, which only root can mount, and are skipped with a message if that is not allowed.
"""

from __future__ import annotations

import argparse
import csv
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import crashes
from benchmarks.crashes import Wanted
from benchmarks.faults import snapshots
from benchmarks.faults.cases import Case, Ground
from benchmarks.faults.children import Ended, Kill

FILE_LIMITS = (600, 2_048, 8_192, 32_768)
FREE = (8_192, 32_768, 131_072)
RESULTS = Path(__file__).resolve().parent / "results" / "disk_faults.csv"


@dataclass(frozen=True)
class Row:
    """One fault of one command.

    code       exit code; 0 if the fault did not affect the command
    explained  the sentence, if the command failed
    verified   the workspace had no fault afterwards
    whole      nothing half-written had a final name
    identical  the command, run again, wrote what an undisturbed one writes
    """

    command: str
    fault: str
    code: int
    verified: bool
    whole: bool
    identical: bool
    explained: str

    @property
    def is_good(self) -> bool:
        """True if everything was as promised."""
        is_told = self.code == 0 or (self.code == 1 and self.explained.startswith("error: "))
        return is_told and self.verified and self.whole and self.identical


def judge(ground: Ground, case: Case, wanted: Wanted, fault: str, ended: Ended) -> Row:
    """Check what a fault has left, after it is over."""
    verified = not ground.verify()
    whole = not crashes.strays(ground, wanted, case)
    again = crashes.again(ground, case, case.command, is_even=True)
    identical = again.code == 0 and crashes.agrees(snapshots.of(ground.trial), wanted, case)
    lines = [line for line in ended.said.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("error: ")), "\n".join(lines))
    told = told.replace(f"{ground.trial}/work", "WORKSPACE").replace(f"{ground.trial}/", "")
    told = "" if ended.code == 0 else told
    return Row(case.name, fault, ended.code, verified, whole, identical, told)


def file_limits(ground: Ground, case: Case, wanted: Wanted) -> Iterator[Row]:
    """Files cannot grow beyond a size."""
    for limit in FILE_LIMITS:
        ground.start(case.base)
        ended = ground.run(case.command, prepare=lambda most=limit: _limit(most))
        yield judge(ground, case, wanted, f"files of at most {limit} bytes", ended)


def _limit(most: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def small_disks(ground: Ground, case: Case, wanted: Wanted) -> Iterator[Row]:
    """The disk has little free space."""
    for free in FREE:
        with _mounted(ground, case, free):
            ended = ground.run(case.command)
            _mount("-o", "remount,size=64m", str(ground.trial))
            yield judge(ground, case, wanted, f"{free} bytes free", ended)


def read_only(ground: Ground, case: Case, wanted: Wanted) -> Iterator[Row]:
    """Nothing can be written."""
    with _mounted(ground, case, 1 << 26):
        _mount("-o", "remount,ro", str(ground.trial))
        ended = ground.run(case.command)
        _mount("-o", "remount,rw", str(ground.trial))
        yield judge(ground, case, wanted, "read-only", ended)


@contextmanager
def _mounted(ground: Ground, case: Case, free: int) -> Iterator[None]:
    """Put the trial on a disk of its own."""
    ground.start(case.base)
    aside = ground.trial.with_name("aside")
    ground.trial.rename(aside)
    ground.trial.mkdir()
    _mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(ground.trial))
    try:
        shutil.copytree(aside, ground.trial, dirs_exist_ok=True)
        used = shutil.disk_usage(ground.trial).used
        _mount("-o", f"remount,size={used + free}", str(ground.trial))
        yield
    finally:
        subprocess.run(["umount", str(ground.trial)], check=True)
        shutil.rmtree(aside)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """True if this process may mount a tmpfs."""
    place = folder / "probe"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True)
    if done.returncode == 0:
        subprocess.run(["umount", place], check=True)
    place.rmdir()
    return done.returncode == 0


def deleted(ground: Ground, case: Case, wanted: Wanted) -> Iterator[Row]:
    """Something that the command reads or writes is deleted half-way."""
    for name, path in (
        ("panel store", ground.work / "panel.zarr"),
        ("index", ground.work / "indexes" / "v0000"),
        ("embeddings", ground.work / "embeddings" / "v0000.zarr"),
        ("run", ground.work / "runs" / "r"),
        ("workspace", ground.work),
    ):
        ground.start(case.base)
        if not path.exists() and not (name == "run" and case.name == "train"):
            continue
        place = max(2, wanted.undisturbed.operations // 2)
        ended = ground.run(case.command, Kill(place=place, action=_deleting(path)))
        _restore(ground, case)
        yield judge(ground, case, wanted, f"{name} deleted half-way", ended)


def _deleting(path: Path) -> Callable[[], None]:
    return lambda: shutil.rmtree(path, ignore_errors=True)


def _restore(ground: Ground, case: Case) -> None:
    """Restore what was deleted from a copy, as a user would; newer files stay."""
    kept = ground.trial.with_name("kept")
    ground.trial.rename(kept)
    ground.start(case.base)
    for path in kept.rglob("*"):
        place = ground.trial / path.relative_to(kept)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)
    shutil.rmtree(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--commands", default="", help="comma-separated names; all if omitted")
    parser.add_argument("--csv", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path, help="where to work; a disk in memory is faster")
    chosen = parser.parse_args()
    crashes.warm_up()
    wanted_names = chosen.commands.split(",") if chosen.commands else None
    rows = []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        ground = Ground(Path(name).resolve())
        faults = [file_limits, deleted]
        if can_mount(ground.root):
            faults += [small_disks, read_only]
        else:
            print("skipped small and read-only disks: cannot mount a tmpfs here")
        for case in ground.cases():
            if wanted_names is not None and case.name not in wanted_names:
                continue
            wanted = crashes.measure(ground, case, case.base, case.command)
            for fault in faults:
                for row in fault(ground, case, wanted):
                    rows.append(row)
                    print("good" if row.is_good else "BAD ", *astuple(row), flush=True)
                    _write(chosen.csv, rows)
    bad = sum(not row.is_good for row in rows)
    print(f"{len(rows)} faults, {bad} with more than a sentence")
    sys.exit(1 if bad else 0)


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(astuple(row) for row in rows)


if __name__ == "__main__":
    main()
