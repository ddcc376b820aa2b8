"""Putting things in place that belong together: all, or, after a kill, the rest of them later.

A plan beside the finished things says which go where. Whoever comes next carries it out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vcfbert.errors import StoreError
from vcfbert.files import locks, replacing

_PLAN = "together.json"


def put(folder: Path, names: Sequence[str], root: Path) -> None:
    """Put things of a folder of `staging` in their places below `root`, in this order.

    The caller holds `root / names[-1]`, and the folder lies in `root`.
    """
    plan = {name: (folder / name).stat().st_ino for name in names}
    partial = folder / f"{_PLAN}.partial"
    partial.write_text(json.dumps({"names": plan}), encoding="utf-8")
    replacing.sync(partial)
    partial.rename(folder / _PLAN)
    replacing.sync(folder)
    try:
        _carry_out(folder, plan, root)
    except BaseException:  # Ctrl-C, after which the folder goes: to the end first
        _carry_out(folder, plan, root)
        raise


def finish(root: Path) -> None:
    """Carry out what a killed writer had begun to put in place; those at work are left alone."""
    for path in sorted(root.glob(f"*.partial/{_PLAN}")):
        with suppress(StoreError, FileNotFoundError):  # its writer lives, or another was quicker
            plan: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))["names"]
            if any(Path(name).is_absolute() or ".." in Path(name).parts for name in plan):
                continue  # not ours: what is put in place stays below the root
            with locks.hold(root / list(plan)[-1]):
                _carry_out(path.parent, plan, root)
                os.unlink(path)


def _carry_out(folder: Path, plan: dict[str, int], root: Path) -> None:
    """Put what is not there yet; what the exchange has brought into the folder is another thing."""
    for name, number in plan.items():
        staged = folder / name
        if staged.exists() and staged.stat().st_ino == number:
            replacing.put(staged, root / name)
