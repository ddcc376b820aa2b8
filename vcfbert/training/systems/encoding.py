"""Raw embeddings of a window, computed by an encoder, as NumPy arrays.

L sites in a window, D embedding width, V vocabulary.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vcfbert.config import ModelConfig
from vcfbert.model import imputer
from vcfbert.model.embedding import Encoder
from vcfbert.storage.zarr import embeddings
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems import features


def new_encoder(settings: ModelConfig, seed: int) -> Encoder:
    """Return the encoder of a network with initial weights drawn from the seed."""
    return imputer.build(settings, seed).encoder.eval()


@torch.no_grad()
def window_codebook(encoder: Encoder, panel: PanelReader, window: int) -> NDArray[np.float32]:
    """(V, L, D) raw embedding of every token at every site, in float32 on the CPU."""
    where = next(encoder.parameters()).device
    codebook = encoder.codebook(features.of_window(panel, window).to(where))
    return codebook.float().cpu().numpy()


def weights_of(encoder: Encoder) -> dict[str, NDArray[np.float32]]:
    """The weights of an encoder, as its embeddings store keeps them."""
    return {
        name: value.detach().float().cpu().numpy() for name, value in encoder.state_dict().items()
    }


def codebook_shape(encoder: Encoder, length: int) -> tuple[int, int, int]:
    """(V, L, D) of the codebook of a window."""
    return encoder.token.num_embeddings, length, encoder.token.embedding_dim


def encoder_fingerprint(encoder: Encoder) -> str:
    """Hash of the weights, which says whether embeddings were made by this encoder."""
    return embeddings.encoder_fingerprint(weights_of(encoder))


def fits(encoder: Encoder, stored: EmbeddingsReader) -> bool:
    """True if the encoder of stored embeddings has the names and shapes of this one's weights."""
    own = {name: list(value.shape) for name, value in encoder.state_dict().items()}
    return own == stored.encoder_shapes


def load_stored(encoder: Encoder, stored: EmbeddingsReader) -> None:
    """Take over the weights that made stored embeddings, which fit.

    Raises StoreError if they are damaged.
    """
    weights = stored.encoder_weights()
    encoder.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})


class EncodedOnDemand:
    """Embeddings that are not stored: each window is encoded when it is read."""

    layout: Literal["codebook"] = "codebook"

    def __init__(self, encoder: Encoder, panel: PanelReader) -> None:
        """Take an encoder in eval mode and an open panel; the last window is kept in memory."""
        self._encoder = encoder
        self._panel = panel
        self._window = -1
        self._codebook: NDArray[np.float32] | None = None

    def codebook(self, window: int) -> NDArray[np.float32]:
        """(V, L, D) raw embedding of every token at every site."""
        if self._codebook is None or window != self._window:
            self._codebook = window_codebook(self._encoder, self._panel, window)
            self._window = window
        return self._codebook

    def complete(
        self, window: int, rows: NDArray[np.int64], tokens: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """(n, L, D) embeddings of haplotypes whose unmasked tokens are (n, L)."""
        codebook = self.codebook(window)
        return codebook[tokens, np.arange(codebook.shape[1])]
