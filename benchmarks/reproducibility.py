"""Comparison of the bytes that every stage writes when it is repeated or run with other threads.

Writes benchmarks/results/reproducibility.csv: stage, what was changed, identical or not. Each stage
runs in its own process on a simulated panel. The comparison leaves out times, paths and the machine
in reports, the digests over them (the files themselves are compared), and TensorBoard events.

    python benchmarks/reproducibility.py FOLDER
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

VCFBERT = Path(sys.executable).parent / "vcfbert"
CHANGES = (("threads", {"OMP_NUM_THREADS": "2"}), ("hash seed", {"PYTHONHASHSEED": "7"}))
MOVED = {"seconds", "wait_seconds", "make_seconds", "refresh_seconds", "train_seconds",
         "predict_seconds", "peak_memory_bytes", "device", "versions", "threads", "panel", "out",
         "target_file", "workspace", "run", "cores", "steps_per_second",
         "machine", "sha256", "logs"}  # fmt: skip


def run(folder: Path, arguments: list[str], **environment: str) -> None:
    base = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1", "VCFBERT_WORKSPACE": "work"}
    subprocess.run(
        [VCFBERT, *arguments, "--quiet"], cwd=folder, check=True, capture_output=True,
        env=os.environ | base | environment,
    )  # fmt: skip


def still(value):
    """JSON without times, paths and the machine."""
    if isinstance(value, dict):
        return {key: still(one) for key, one in value.items() if key not in MOVED}
    return [still(one) for one in value] if isinstance(value, list) else value


def content(path: Path) -> bytes:
    if path.suffix == ".json" and "zarr" not in str(path):
        return json.dumps(still(json.loads(path.read_text()))).encode()
    if path.suffix in (".csv", ".tsv") and path.name != "panel.relatives.tsv":
        rows = list(
            csv.reader(path.read_text().splitlines(), delimiter=",\t"[path.suffix == ".tsv"])
        )
        keep = [n for n, name in enumerate(rows[0]) if name not in MOVED] if rows else []
        return repr([[row[n] for n in keep if n < len(row)] for row in rows]).encode()
    return path.read_bytes()


def digest(root: Path) -> dict[str, str]:
    """Digest of every file below, except TensorBoard events, which contain times."""
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    return {
        str(path.relative_to(root)): hashlib.sha256(content(path)).hexdigest()
        for path in files
        if path.is_file() and "tensorboard" not in path.parts and path.name != "seal.sha256"
    }


def stages(panel: str) -> list[tuple[str, list[str], list[str]]]:
    """Stage, command and outputs."""
    short = ["--set", "training.max_epochs=2", "--set", "training.batches_per_epoch=8"]
    mosaic = ["--set", "mosaic.steps=100", "--set", "mosaic.folds=2"]
    typed = f"{panel}/typed.tsv"
    return [
        ("prepare", ["prepare", f"{panel}/panel.vcf.gz", "--samples", f"{panel}/samples.tsv",
                     "--map", f"{panel}/genetic.map"],
         ["work/panel.zarr", "work/masks", "work/panel.qc.json", "work/panel.relatives.tsv"]),
        ("encode-refs", ["encode-refs", "--preset", "tiny"], ["work/embeddings"]),
        ("build-index", ["build-index"], ["work/indexes"]),
        ("train tiny", ["train", "--preset", "tiny", *short], ["work/runs/tiny"]),
        ("eval tiny", ["eval", "--run", "tiny", "--typed", typed], ["work/runs/tiny/eval"]),
        ("train mosaic", ["train", "--preset", "mosaic", *mosaic], ["work/runs/mosaic"]),
        ("eval mosaic", ["eval", "--run", "mosaic", "--typed", typed], ["work/runs/mosaic/eval"]),
        ("impute", ["impute", f"{panel}/target.vcf.gz", "--out", "out.vcf.gz"],
         ["out.vcf.gz", "out.qc"]),
    ]  # fmt: skip


def written(folder: Path, outputs: list[str]) -> dict[str, str]:
    return {
        f"{name}/{file}": value for name in outputs for file, value in digest(folder / name).items()
    }


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run(folder, ["simulate", "panel", "--num-samples", "120", "--length", "600000"])
    rows = []
    for stage, command, outputs in stages("panel"):
        run(folder, command)
        first = written(folder, outputs)
        for what, environment in (("again", {}), *CHANGES):
            extra = ["--threads", "2"] if stage == "impute" and what == "threads" else []
            run(folder, [*command, "--force", *extra], **environment)
            second = written(folder, outputs)
            moved = sorted(k for k in first.keys() | second.keys() if first.get(k) != second.get(k))
            rows.append((stage, what, len(first), "yes" if not moved else "no", " ".join(moved)))
            print(*rows[-1], flush=True)
    out = Path(__file__).parent / "results" / "reproducibility.csv"
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("stage", "changed", "files", "identical", "files_that_differ"))
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
