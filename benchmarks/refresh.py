"""Time to refresh the masks and embeddings of a whole panel.

    python benchmarks/refresh.py WORKSPACE [--preset v18-large] [--repeats 5]

WORKSPACE has a prepared panel and is only read: new versions go to a temporary folder next to it.
Measures a call of `refresh` inside a warm process, its parts, and the whole command
`vcfbert refresh --masks --embeddings` with start-up and imports.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vcfbert.config import presets
from vcfbert.domain import masks
from vcfbert.pipelines.systems import build_index, refresh
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import encoding


def best(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of some calls."""
    measured = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        measured.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--preset", default="v18-large")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    settings = presets.get(chosen.preset)
    with tempfile.TemporaryDirectory(dir=chosen.workspace.resolve().parent) as name:
        workspace = Workspace(Path(name))
        workspace.panel.symlink_to((chosen.workspace / "panel.zarr").resolve())
        index = build_index.build_index(workspace, IndexOptions(), progress=Silent())
        renew = RefreshOptions(masks=True, embeddings=True, prune=1)
        command = [Path(sys.executable).with_name("vcfbert"), "refresh", "--quiet", "--masks"]
        command += ["--embeddings", "--prune", "1", "--preset", chosen.preset, "-w", name]
        with open_panel(workspace.panel) as panel:
            windows = range(len(panel.windows))
            encoder = encoding.new_encoder(settings.model, settings.seed)
            rows = {
                "refresh, masks and encoder": lambda: refresh.refresh(
                    workspace, settings, renew, progress=Silent()
                ),
                "  of it: draw masks": lambda: masks.draw_masks(
                    panel.windows, seed=1, role="train", version=1, rate=0.5
                ),
                "  of it: initial weights": lambda: encoding.new_encoder(
                    settings.model, settings.seed
                ),
                "  of it: codebooks": lambda: [
                    encoding.window_codebook(encoder, panel, window) for window in windows
                ],
                "whole command": lambda: subprocess.run(
                    [str(part) for part in command], check=True, stdout=subprocess.DEVNULL
                ),
            }
            print(
                f"{len(windows)} windows of {panel.length} sites, {index.num_references} reference "
                f"haplotypes, D = {settings.model.width}"
            )
            for label, work in rows.items():
                wall, processor = best(work, chosen.repeats)
                # The CPU time of a child is not counted in this process.
                shown = "" if label == "whole command" else f"{processor:8.3f} s processor"
                print(f"{label:<28}{wall:8.3f} s{shown}")
            print(f"{'exact index, needs nothing':<28}{0.0:8.3f} s")
            print(f"{'  to build it anew':<28}{index.seconds:8.3f} s")


if __name__ == "__main__":
    main()
