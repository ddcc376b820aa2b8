"""Workspaces with every store, and the settings they were made with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests import panels
from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.systems import build_index, encode, refresh, train_systems
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.pipelines.systems.train_systems import SystemOptions
from vcfbert.progress import Silent
from vcfbert.retrieval.manifest import Kind
from vcfbert.storage.zarr.embeddings import Dtype, Layout
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import mosaic_runs, weight_files


def changed(**sections: Any) -> Config:
    """Small settings with some sections changed."""
    small = {"model": {"width": 16, "num_layers": 1}, "retrieval": {"num_neighbours": 6}}
    settings = config.merge(presets.tiny(), small, source="test")
    return config.merge(settings, sections, source="test")


SMALL = changed()
DENSE = changed(
    retrieval={"num_segments": 1}, refresh={"masks_every": 0, "embeddings_every": 0}
)  # what a dense index can serve


def build(
    workspace: Workspace,
    settings: Config = SMALL,
    layout: Layout = "codebook",
    kind: Kind = "exact",
    dtype: Dtype | None = None,
) -> Workspace:
    """Add masks, embeddings and an index to a workspace with a panel."""
    quiet = Silent()
    refresh.refresh(workspace, settings, RefreshOptions(masks=True), progress=quiet)
    encode.encode_refs(
        workspace, settings, EncodeOptions(layout=layout, dtype=dtype), progress=quiet
    )
    build_index.build_index(workspace, IndexOptions(kind=kind), progress=quiet)
    return workspace


def whole(folder: Path) -> tuple[Workspace, Path]:
    """Every kind of store twice or in both layouts, runs of both systems; and the panel's VCF."""
    quiet, workspace = Silent(), Workspace(folder / "work")
    alleles = panels.mosaic_alleles(120, 120)
    vcf = panels.write_vcf(folder / "panel.vcf.gz", panels.records_of(alleles, step=1000))
    options = PrepareOptions(window_size=31, flank=2, validation_fraction=0.1, min_maf=0.2)
    prepare.prepare(vcf, workspace, options, progress=quiet)
    encode.encode_refs(workspace, SMALL, EncodeOptions(layout="dense"), progress=quiet)
    build_index.build_index(workspace, IndexOptions(kind="dense"), progress=quiet)
    shutil.copytree(workspace.version("indexes", 0), workspace.version("indexes", 1))
    build_index.build_index(workspace, IndexOptions(), progress=quiet, overwrite=True)
    renewed = RefreshOptions(masks=True, embeddings=True)
    refresh.refresh(workspace, SMALL, renewed, progress=quiet)
    encode.encode_refs(workspace, SMALL, EncodeOptions(), progress=quiet, overwrite=True)
    quick = changed(training={"max_epochs": 2, "batches_per_epoch": 2})
    train_systems.train(
        workspace, quick, SystemOptions("tiny", device="cpu", threads=1), progress=quiet
    )
    write_mosaic_run(workspace)
    return workspace, vcf


def write_mosaic_run(workspace: Workspace) -> None:
    """Write the shipped network as a run; training one would compile the copying model."""
    with open_panel(workspace.panel) as panel:
        record = {"seed": 1, "parents": {"panel": panel.fingerprint}}
    mosaic_runs.write(
        workspace.run("mosaic"),
        presets.get("mosaic"),
        weight_files.shipped(),
        record,
        [(10, 0.5, 0.4)],
        overwrite=False,
    )
