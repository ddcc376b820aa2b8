"""Made-up predictions, and a workspace whose run was never trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config, presets
from vcfbert.domain import masks as drawing
from vcfbert.domain import sites as site_tables
from vcfbert.model import imputer
from vcfbert.retrieval import exact, manifest
from vcfbert.retrieval.index import write_windows
from vcfbert.storage.zarr import masks
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints, encoding
from vcfbert.training.systems.predict import WindowPrediction


def noisy(
    panel: PanelReader,
    samples: NDArray[np.int64],
    is_masked: NDArray[np.bool_],
    *,
    noise: float = 0.3,
    part: int = 4,
    seed: int = 3,
) -> Iterator[WindowPrediction]:
    """Predictions near the truth; the nearest haplotype is the true one, except at a few sites.

    part  samples in a part of a window
    """
    rng = np.random.default_rng(seed)
    for window in range(len(is_masked)):
        for first in range(0, len(samples), part):
            chosen = samples[first : first + part]
            shape = (len(chosen), 2, panel.length)
            haplotypes = site_tables.haplotypes_of(chosen)
            labels = panel.tokens(window, haplotypes).reshape(shape)
            truth = np.where(labels == 1, 1.0, 0.0)
            alt = (1 - noise) * truth + noise * rng.random(shape) ** 4
            alt = np.where(rng.random(shape) < noise / 4, 1 - alt, alt).astype(np.float32)
            genotypes = rng.dirichlet([1, 1, 1], (len(chosen), panel.length)).astype(np.float32)
            flipped = np.where((labels <= 1) & (rng.random(shape) < 0.05), 1 - labels, labels)
            yield WindowPrediction(
                window=window,
                samples=chosen,
                labels=labels,
                is_hidden=np.broadcast_to(is_masked[window], shape),
                alt_probability=alt,
                genotype_probability=genotypes,
                nearest=flipped.astype(np.uint8),
            )


def add_index(workspace: Workspace, references: NDArray[np.int64] | None = None) -> None:
    """An exact index of the train haplotypes, or of others."""
    with open_panel(workspace.panel) as panel:
        if references is None:
            references = panel.samples.haplotypes(site_tables.TRAIN)
        folder = workspace.version("indexes", workspace.next_version("indexes"))
        folder.mkdir(parents=True)
        built = (exact.build(panel.packed(w)[references]) for w in range(len(panel.windows)))
        content = manifest.Manifest(
            kind="exact",
            length=panel.length,
            parents={"panel": panel.fingerprint},
            reference_haplotypes=references.tolist(),
            max_references=None,
            seed=1,
            files=write_windows(folder, built),
        )
        manifest.write(folder, content)


def add_masks(workspace: Workspace, *, rate: float = 0.4) -> masks.MaskVersion:
    """The next mask version."""
    with open_panel(workspace.panel) as panel:
        version = workspace.next_version("masks")
        drawn = drawing.draw_masks(panel.windows, seed=9, role="train", version=version, rate=rate)
        mask = masks.MaskVersion(
            version=version,
            policy="random",
            rate=rate,
            seed=9,
            role="train",
            panel_fingerprint=panel.fingerprint,
            is_masked=drawn,
        )
    masks.write_masks(workspace.version("masks", version), mask)
    return mask


def add_run(workspace: Workspace, name: str) -> Config:
    """A run of the tiny preset whose best checkpoint has its initial weights."""
    settings = presets.get("tiny")
    model = imputer.build(settings.model, settings.seed)
    with open_panel(workspace.panel) as panel:
        parents = {"panel": panel.fingerprint, "index": "i"}
    if workspace.versions("indexes"):
        parents["index"] = manifest.fingerprint(manifest.read(workspace.newest("indexes")))
    checkpoints.save(
        workspace.run(name),
        "best",
        settings=settings,
        parents=parents | {"encoder": encoding.encoder_fingerprint(model.encoder)},
        state={"epoch": 1, "step": 1},
        weights=dict(model.state_dict()),
        optimizer=None,
    )
    return settings


def typed_list(path: Path, panel: PanelReader, is_hidden: NDArray[np.bool_]) -> Path:
    """Write the list that leaves exactly these sites hidden."""
    positions = panel.sites.position[~is_hidden]
    path.write_text("".join(f"chr20\t{position}\n" for position in positions), encoding="utf-8")
    return path
