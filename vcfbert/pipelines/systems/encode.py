"""`vcfbert encode-refs`: embeddings of the reference haplotypes.

L sites in a window, D embedding width, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.config import Config
from vcfbert.errors import ConfigError, StoreError
from vcfbert.model.embedding import Encoder
from vcfbert.pipelines.systems import reference_stores, run_settings
from vcfbert.progress import Progress
from vcfbert.storage.zarr import embeddings, masks, stored_versions
from vcfbert.storage.zarr.embeddings import Dtype, Layout
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.devices import one_thread
from vcfbert.training.systems import checkpoints, encoding, encoding_workers


@dataclass(frozen=True)
class EncodeOptions:
    """Options of `encode-refs`."""

    layout: Layout = "codebook"
    """`codebook` stores each token once at each site, `dense` every haplotype too."""

    run: str | None = None
    """Encode with the best checkpoint of this run; None takes initial weights from the seed."""

    mask_version: VersionName | None = None
    """Masks for the dense layout, a number or a path; None is the newest version. A codebook serves
    every mask."""

    dtype: Dtype | None = None
    """Data type of the haplotypes of the dense layout; None is float32."""

    device: str = "cpu"
    """`auto`, `cpu` or `cuda`."""

    num_devices: int = 1
    """GPUs, or processes on the CPU, that encode different windows."""


@dataclass(frozen=True)
class EncodeSummary:
    """What `encode_refs` wrote."""

    path: Path
    layout: Layout
    dtype: Dtype
    num_windows: int
    num_references: int
    width: int
    encoder: str
    bytes_on_disk: int
    seconds: float

    def lines(self) -> list[str]:
        """The summary as text."""
        return [
            f"Encoded {plurals.of(self.num_references, 'reference haplotype')} in "
            f"{plurals.of(self.num_windows, 'window')} at width {self.width}, layout "
            f"{self.layout}{self._rounding()}, with {self.encoder}: {self.bytes_on_disk:,} bytes, "
            f"{self.seconds:.2f} s.",
            f"Embeddings: {self.path}",
        ]

    def _rounding(self) -> str:
        return "" if self.dtype == "float32" else f" in {self.dtype}"


def encode_refs(
    workspace: Workspace,
    settings: Config,
    options: EncodeOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> EncodeSummary:
    """Write embeddings version 0, or replace the newest version if `overwrite` is on.

    Raises StoreError if the panel, masks or run is missing or stale, or if embeddings exist and
    `overwrite` is off; DeviceError if the disk cannot hold the dense layout or there are fewer
    devices; ConfigError if the system of the settings reads no embeddings, or the options
    contradict each other.
    """
    require_embeddings(settings)
    names = encoding_workers.devices_for(options.device, options.num_devices)
    with workspace.writing("embeddings"), open_panel(workspace.panel) as panel:
        path = reference_stores.version_to_write(workspace, "embeddings", overwrite)
        mask = _mask(workspace, panel, options)
        encoder, name = choose_encoder(workspace, settings, options.run, panel)
        return write(
            path,
            panel,
            encoder,
            name,
            mask,
            dtype=options.dtype or "float32",
            devices=names,
            progress=progress,
            overwrite=overwrite,
        )


def require_embeddings(settings: Config) -> None:
    """Raise ConfigError if the system of the settings reads no embeddings."""
    if settings.system == "retrieval" and settings.reads_embeddings:
        return
    needless = "neither embeddings nor an index: it reads the panel itself"
    if settings.system == "retrieval" and settings.retrieval.space != "none":
        needless = "no embeddings, only an index: it searches and reads tokens"
    raise ConfigError(
        f"{settings.preset} needs {needless}. Continue with: "
        f"vcfbert train --preset {settings.preset}"
    )


def choose_encoder(
    workspace: Workspace, settings: Config, run: str | None, panel: PanelReader
) -> tuple[Encoder, str]:
    """The encoder of a run, or one with initial weights, in eval mode; and its name in messages.

    Raises StoreError if there is no such run, or it was trained on another panel.
    """
    if run is None:
        name = f"initial weights of {settings.preset}, seed {settings.seed}"
        return encoding.new_encoder(settings.model, settings.seed), name
    folder = runs.folder_of(workspace, run)
    parents = checkpoints.read(folder, "best").parents
    run_settings.check_parents(workspace, run, parents, {"panel": panel.fingerprint})
    return checkpoints.load_encoder(folder), f"the best checkpoint of run {run}"


def masks_of(workspace: Workspace, panel: PanelReader, name: VersionName | None) -> MaskVersion:
    """Read a mask version, by default the newest; StoreError if it is of another panel."""
    path = (
        workspace.newest("masks")
        if name is None
        else stored_versions.path_of(workspace, "masks", name)
    )
    mask = masks.read_masks(path)
    if mask.panel_fingerprint != panel.fingerprint:
        raise StoreError.stale(path, parent="panel", made_by="refresh --masks")
    return mask


def write(
    path: Path,
    panel: PanelReader,
    encoder: Encoder,
    name: str,
    mask: MaskVersion | None,
    *,
    dtype: Dtype = "float32",
    devices: Sequence[str] = ("cpu",),
    progress: Progress,
    overwrite: bool,
) -> EncodeSummary:
    """Encode all train haplotypes.

    name     of the encoder, for the summary
    mask     of the dense layout; None writes a codebook
    dtype    of the haplotypes of the dense layout
    devices  encode different windows, each in a process of its own if there are several
    """
    begun = time.perf_counter()
    haplotypes = reference_stores.train_haplotypes(panel)
    weights = encoding.weights_of(encoder)
    progress.start("encode", len(panel.windows))
    if len(devices) > 1:
        _write_by_workers(
            path, panel, encoder, haplotypes, mask, dtype, devices, progress, overwrite=overwrite
        )
    elif mask is None:
        embeddings.write_codebook(
            path,
            _codebooks(encoder, panel, devices[0], progress),
            panel_fingerprint=panel.fingerprint,
            encoder=weights,
            reference_haplotypes=haplotypes,
            overwrite=overwrite,
        )
    else:
        embeddings.write_dense(
            path,
            _codebooks(encoder, panel, devices[0], progress),
            lambda window, rows: panel.tokens(window, haplotypes[rows]),
            mask,
            encoder=weights,
            reference_haplotypes=haplotypes,
            dtype=dtype,
            overwrite=overwrite,
        )
    return EncodeSummary(
        path=path,
        layout="codebook" if mask is None else "dense",
        dtype=dtype,
        num_windows=len(panel.windows),
        num_references=len(haplotypes),
        width=encoder.token.embedding_dim,
        encoder=name,
        bytes_on_disk=reference_stores.bytes_below(path),
        seconds=time.perf_counter() - begun,
    )


def _write_by_workers(
    path: Path,
    panel: PanelReader,
    encoder: Encoder,
    haplotypes: NDArray[np.int64],
    mask: MaskVersion | None,
    dtype: Dtype,
    devices: Sequence[str],
    progress: Progress,
    *,
    overwrite: bool,
) -> None:
    """Encode with several processes; arguments as in `write`."""
    is_masked = None if mask is None else mask.is_masked
    task = encoding_workers.task_of(panel.path, encoder, haplotypes, is_masked)
    num_windows = len(panel.windows)

    def fill(folder: Path) -> None:
        encoding_workers.encode(task, list(devices), num_windows, folder, advance=progress.advance)

    embeddings.write_by_workers(
        path,
        fill,
        (num_windows, *encoding.codebook_shape(encoder, panel.length)),
        panel_fingerprint=panel.fingerprint,
        encoder=encoding.weights_of(encoder),
        reference_haplotypes=haplotypes,
        mask=mask,
        dtype=dtype,
        overwrite=overwrite,
    )


def _mask(workspace: Workspace, panel: PanelReader, options: EncodeOptions) -> MaskVersion | None:
    """The masks of the dense layout; None for a codebook. ConfigError for options of the other."""
    if options.layout == "dense":
        return masks_of(workspace, panel, options.mask_version)
    if options.dtype is not None:
        raise ConfigError(
            "--dtype is the data type of the haplotypes, which only --layout dense stores. Leave "
            "it out, or add --layout dense."
        )
    if options.mask_version is not None:
        raise ConfigError(
            "--mask-version needs --layout dense: the layout codebook serves every mask. Leave it "
            "out, or add --layout dense."
        )
    return None


def _codebooks(
    encoder: Encoder, panel: PanelReader, device: str, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """The codebook of each window, computed as `encoding_workers` computes it."""
    encoder.to(device)
    for window in range(len(panel.windows)):
        with one_thread():
            codebook = encoding.window_codebook(encoder, panel, window)
        yield codebook
        progress.advance()
