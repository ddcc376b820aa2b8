"""The open inputs of a training run, and the encodings it makes for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config, LossConfig
from vcfbert.errors import StoreError
from vcfbert.model.embedding import Encoder
from vcfbert.progress import Progress
from vcfbert.storage.zarr import embeddings
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems import encoding
from vcfbert.training.systems.batches import BatchMaker, References
from vcfbert.training.systems.events import SummaryWriter
from vcfbert.training.systems.masking import MaskPolicies


@dataclass(frozen=True)
class Session:
    """The open inputs of a run.

    fixed_masks       the one mask version of a dense index; None where masks are drawn
    first_embeddings  the encoding of the initial weights; None where nothing reads embeddings
    first_fingerprint  of it; None where nothing reads it (any more)
    """

    run: Path
    settings: Config
    panel: PanelReader
    index: References
    parents: dict[str, str]
    train_samples: NDArray[np.int64]
    validation_samples: NDArray[np.int64]
    masks: MaskPolicies
    fixed_masks: MaskVersion | None
    first_embeddings: Path | None
    first_fingerprint: str | None
    progress: Progress
    writer: SummaryWriter

    def embeddings_path(self, version: int) -> Path | None:
        """Where a version of the encoding lives; None where nothing reads embeddings."""
        return self.first_embeddings if version == 0 else own_embeddings(self.run, version)

    @contextmanager
    def batch_maker(self, version: int, contrast: LossConfig | None = None) -> Iterator[BatchMaker]:
        """Open a version of the encoding, to make batches with; `contrast` as in BatchMaker."""
        path = self.embeddings_path(version)
        if path is None:
            yield BatchMaker(self.panel, self.index, None, self.settings.retrieval)
            return
        with embeddings.open_embeddings(path) as reader:
            if version == 0 and reader.fingerprint != self.first_fingerprint:
                raise StoreError.replaced(path)
            yield BatchMaker(self.panel, self.index, reader, self.settings.retrieval, contrast)


def own_embeddings(run: Path, version: int) -> Path:
    """Where a run keeps a version of the encoding that it made itself."""
    return run / "embeddings" / f"v{version:04d}.zarr"


def encode(path: Path, encoder: Encoder, panel: PanelReader, index: References) -> None:
    """Write the codebook of an encoder."""
    embeddings.write_codebook(
        path,
        (encoding.window_codebook(encoder, panel, window) for window in range(len(panel.windows))),
        panel_fingerprint=panel.fingerprint,
        encoder_fingerprint=encoding.encoder_fingerprint(encoder),
        reference_haplotypes=index.reference_haplotypes,
        overwrite=True,
    )
