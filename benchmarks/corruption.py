"""Damage to every kind of store, and how much of it `vcfbert verify` finds.

    python benchmarks/corruption.py [WORKSPACE] [--flips 100] [--others 20] [--seed 1]

One flipped bit, truncated file, deleted file or pair of swapped files at a time, each repaired
before the next. Without WORKSPACE, the pipelines make one from a simulated panel: both
layouts of embeddings, both kinds of index, a run of `tiny` and one of `mosaic`. Damage counts as
found if `verify` reports a fault of the damaged store: first only the step for this store, which is
fast, then all of `verify` if that step finds nothing. WORKSPACE is copied and not changed.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcfbert import config
from vcfbert.config import presets
from vcfbert.pipelines import train
from vcfbert.pipelines.preparing import prepare, simulate
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.preparing.simulate import SimulateOptions
from vcfbert.pipelines.systems import build_index, encode, refresh
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.pipelines.train import TrainOptions
from vcfbert.pipelines.verifying import check_runs, verify
from vcfbert.pipelines.verifying.check_stores import Known
from vcfbert.pipelines.verifying.store_report import StoreReport
from vcfbert.pipelines.verifying.verify import VerifyOptions
from vcfbert.progress import Silent
from vcfbert.retrieval import manifest
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.embeddings import open_embeddings
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import mosaic_runs

QUIET = Silent()
TINY = {
    "model": {"width": 16, "num_layers": 1},
    "retrieval": {"num_neighbours": 6},
    "training": {"max_epochs": 2, "batches_per_epoch": 2, "validation_batches": 2},
}
MOSAIC = {
    "mosaic": {
        "start": "scratch",
        "folds": 2,
        "held_out": 6,
        "designs": 2,
        "steps": 40,
        "check_every": 20,
        "rows_per_design": 2000,
    }
}
UNCOVERED = ("tensorboard", "eval")
"""Folders of a run that are not covered."""


@dataclass(frozen=True)
class Store:
    """A store to damage.

    place  its name in the report of `verify`
    files  that may be damaged
    """

    kind: str
    place: str
    files: list[Path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--flips", type=int, default=100, help="flipped bits in each kind of store")
    parser.add_argument("--others", type=int, default=20, help="number of each other damage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "work")
        if arguments.workspace is None:
            make(Path(folder), workspace)
        else:
            shutil.copytree(arguments.workspace, workspace.root)
        check_clean(workspace)
        rng = np.random.default_rng(arguments.seed)
        rows = [
            row for store in stores(workspace) for row in damage(workspace, store, arguments, rng)
        ]
        check_clean(workspace)
    with (arguments.results / "corruption.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    injected, found = (sum(int(row[name]) for row in rows) for name in ("injected", "found"))
    print(f"{injected} damages, {found} found")
    sys.exit(injected != found)


def make(folder: Path, workspace: Workspace) -> None:
    """Make every kind of store from a small simulated panel."""
    panel = folder / "panel"
    simulate.simulate(panel, SimulateOptions(num_samples=90, length=200_000), progress=QUIET)
    options = PrepareOptions(
        samples=panel / "samples.tsv", genetic_map=panel / "genetic.map", window_size=120, flank=8
    )
    prepare.prepare(panel / "panel.vcf.gz", workspace, options, progress=QUIET)
    settings = config.merge(presets.tiny(), TINY, source="benchmark")
    encode.encode_refs(workspace, settings, EncodeOptions(layout="dense"), progress=QUIET)
    build_index.build_index(workspace, IndexOptions(kind="dense"), progress=QUIET)
    shutil.copytree(workspace.version("indexes", 0), workspace.version("indexes", 1))
    build_index.build_index(workspace, IndexOptions(), progress=QUIET, overwrite=True)
    renewed = RefreshOptions(masks=True, embeddings=True)
    refresh.refresh(workspace, settings, renewed, progress=QUIET)
    encode.encode_refs(workspace, settings, EncodeOptions(), progress=QUIET, overwrite=True)
    small = config.merge(presets.get("mosaic"), MOSAIC, source="benchmark")
    for name, chosen in {"tiny": settings, "mosaic": small}.items():
        chosen_options = TrainOptions(name, device="cpu", threads=1)
        train.train(workspace, chosen, chosen_options, progress=QUIET)


def stores(workspace: Workspace) -> Iterator[Store]:
    """Every store of a workspace; those of one kind are consecutive."""
    root = workspace.root
    for path in panel.contig_stores(workspace.panel).values():
        yield Store("panel", f"panel.zarr/{path.name}", files_of(path))
    yield Store("QC", workspace.qc.name, [workspace.qc])
    for path in sorted((root / "masks").iterdir())[:1]:
        yield Store("masks", f"masks/{path.name}", files_of(path))
    for path in sorted((root / "embeddings").iterdir()):
        with open_embeddings(path) as reader:
            kind = f"embeddings {reader.layout}"
        yield Store(kind, f"embeddings/{path.name}", files_of(path))
    for path in sorted((root / "indexes").iterdir()):
        kind = f"index {manifest.read(path).kind}"
        yield Store(kind, f"indexes/{path.name}", files_of(path))
    for path in sorted((root / "runs").iterdir()):
        kind = f"run {mosaic_runs.system_of(path)}"
        yield Store(kind, f"runs/{path.name}", files_of(path))


def files_of(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in UNCOVERED
    )


def check_clean(workspace: Workspace) -> None:
    faults = verify.verify(workspace, VerifyOptions(), progress=QUIET).faults
    if faults:
        raise SystemExit("The workspace has faults of its own:\n" + "\n".join(faults))


def damage(
    workspace: Workspace, store: Store, arguments: argparse.Namespace, rng: np.random.Generator
) -> list[dict[str, object]]:
    """Rows of the table: numbers injected and found, by kind of damage."""
    wanted: dict[Callable[[Store, np.random.Generator], Iterator[str]], int] = {
        flip: arguments.flips,
        cut: arguments.others,
        delete: min(arguments.others, len(store.files)),
        swap: arguments.others if len(store.files) > 1 else 0,
    }
    injected: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for kind, count in wanted.items():
        for what in itertools.islice(damages(kind, store, rng), count):
            name = kind.__name__
            injected[name] += 1
            is_found = is_reported(workspace, store)
            found[name] += is_found
            if not is_found:
                print(f"NOT FOUND: {store.place}: {name} {what}", flush=True)
    print(f"{store.kind}: {sum(found.values())} of {sum(injected.values())}", flush=True)
    return [
        {
            "store": store.kind,
            "files": len(store.files),
            "damage": name,
            "injected": injected[name],
            "found": found[name],
        }
        for name in injected
    ]


def is_reported(workspace: Workspace, store: Store) -> bool:
    """True if `verify` reports a fault of the store."""
    step = StoreReport(store.place)
    path = workspace.root / store.place
    if store.kind == "QC":
        check_runs.check_qc(workspace, Known(), step)
    elif store.kind == "run retrieval":
        check_runs.check_run(path, Known(unread={"indexes"}), step)
    else:
        step.check_seal(path, "", besides=check_runs.LATER)
    if step.faults:
        return True
    summary = verify.verify(workspace, VerifyOptions(), progress=QUIET)
    return any(each.place == store.place and each.faults for each in summary.stores)


def damages(
    kind: Callable[[Store, np.random.Generator], Iterator[str]],
    store: Store,
    rng: np.random.Generator,
) -> Iterator[str]:
    """Yield damages one after another; each is repaired before the next."""
    while True:
        yield from kind(store, rng)


def flip(store: Store, rng: np.random.Generator) -> Iterator[str]:
    """Flip one bit; half of the time in a file drawn by size, otherwise in any file."""
    sizes = np.array([path.stat().st_size for path in store.files], dtype=np.float64)
    weights = sizes / sizes.sum() if rng.random() < 0.5 else (sizes > 0) / (sizes > 0).sum()
    path = store.files[int(rng.choice(len(sizes), p=weights))]
    content = bytearray(path.read_bytes())
    place, bit = int(rng.integers(len(content))), int(rng.integers(8))
    with kept(path):
        content[place] ^= 1 << bit
        path.write_bytes(content)
        yield f"{path}, byte {place}, bit {bit}"


def cut(store: Store, rng: np.random.Generator) -> Iterator[str]:
    """Truncate a file."""
    path = drawn(store, rng)
    with kept(path) as content:
        size = int(rng.integers(len(content)))
        path.write_bytes(content[:size])
        yield f"{path} to {size} bytes"


def delete(store: Store, rng: np.random.Generator) -> Iterator[str]:
    """Delete a file."""
    path = drawn(store, rng)
    with kept(path):
        path.unlink()
        yield str(path)


def swap(store: Store, rng: np.random.Generator) -> Iterator[str]:
    """Swap two files that differ."""
    one, other = drawn(store, rng), drawn(store, rng)
    with kept(one) as first, kept(other) as second:
        if first == second:
            return
        one.write_bytes(second)
        other.write_bytes(first)
        yield f"{one} and {other}"


def drawn(store: Store, rng: np.random.Generator) -> Path:
    """A random file that is not empty."""
    full = [path for path in store.files if path.stat().st_size]
    return full[int(rng.integers(len(full)))]


@contextmanager
def kept(path: Path) -> Iterator[bytes]:
    """Restore a file when the block ends."""
    content = path.read_bytes()
    try:
        yield content
    finally:
        path.write_bytes(content)


if __name__ == "__main__":
    main()
