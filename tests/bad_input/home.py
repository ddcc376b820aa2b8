"""The workspace that cases copy: panel, masks, embeddings, index and two untrained runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from tests.bad_input.room import PANEL_NAMES, panel_records
from tests.panels import write_vcf
from tests.pipelines import workspaces
from tests.pipelines.workspaces import SMALL
from vcfbert.config import Config, presets
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.progress import Silent
from vcfbert.retrieval.index import open_index
from vcfbert.storage import tables
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.devices import choose_device
from vcfbert.training.mosaic import mosaic_runs, weight_files
from vcfbert.training.systems import checkpoints, loop

RUN, MOSAIC = "tiny", "mosaic"


def make(root: Path) -> Path:
    """Create the workspace below `root`; returns its folder."""
    vcf = write_vcf(root / "p.vcf.gz", panel_records(), PANEL_NAMES)
    table = root / "s.tsv"
    table.write_text(samples_text(), encoding="utf-8")
    assert len(tables.read_samples(table)) == len(PANEL_NAMES)
    workspace = Workspace(root / "work")
    options = PrepareOptions(samples=table, window_size=16, flank=2)
    prepare.prepare(vcf, workspace, options, progress=Silent())
    workspaces.build(workspace)
    with open_panel(workspace.panel) as panel:
        fingerprint = panel.fingerprint
    save_run(workspace, fingerprint)
    mosaic_runs.write(
        workspace.run(MOSAIC),
        presets.mosaic(),
        weight_files.shipped(),
        {"parents": {"panel": fingerprint}},
        [(1, 0.5, 0.5)],
        overwrite=False,
    )
    return workspace.root


def samples_text() -> str:
    """A sample table: every tenth sample is for validation, every tenth for testing."""
    split = {3: "validation", 7: "test"}
    rows = [
        f"{name}\t{'EW'[n % 2]}\t{split.get(n % 10, 'train')}" for n, name in enumerate(PANEL_NAMES)
    ]
    return "\n".join(["sample\tpopulation\tsplit", *rows, ""])


def save_run(
    workspace: Workspace,
    panel_fingerprint: str,
    change: Callable[[dict[str, Tensor]], object] = bool,
    settings: Config = SMALL,
) -> None:
    """Save a run of initial weights after `change` has edited them."""
    state = loop.new_state(
        settings.model,
        settings.training,
        settings.seed,
        choose_device("cpu"),
        focal_gamma=settings.loss.focal_gamma,
    )
    index = open_index(workspace.newest("indexes"), panel_fingerprint=panel_fingerprint)
    weights = {name: value.clone() for name, value in state.model.state_dict().items()}
    change(weights)
    for which in ("last", "best"):
        checkpoints.save(
            workspace.run(RUN),
            which,
            settings=settings,
            parents={"panel": panel_fingerprint, "index": index.fingerprint},
            state=state.counters(),
            weights=weights,
            optimizer=None,
        )
    (workspace.run(RUN) / "metrics.csv").write_text("epoch,val_f1\n0,0.5\n", encoding="utf-8")
