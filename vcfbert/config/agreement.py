"""Checks of settings against those of other sections."""

from __future__ import annotations

from vcfbert.config.sections import (
    LossConfig,
    MaskConfig,
    ModelConfig,
    RefreshConfig,
    RetrievalConfig,
)
from vcfbert.errors import ConfigError

WITHOUT_RETRIEVAL = (
    "A system without retrieval has retrieval.space=none, retrieval.num_neighbours=0, "
    "model.retrieved=none and model.copy_skip=false."
)


def reads_embeddings(model: ModelConfig, retrieval: RetrievalConfig) -> bool:
    """Whether a system searches or fuses stored embeddings of the references."""
    return retrieval.space == "embedding" or model.retrieved == "before"


def check(
    model: ModelConfig,
    retrieval: RetrievalConfig,
    masks: MaskConfig,
    loss: LossConfig,
    refresh: RefreshConfig,
) -> None:
    """Raise ConfigError naming two settings that contradict each other, and the way out."""
    _check_neighbours(model, retrieval, masks)
    _check_encodings(model, retrieval, refresh)
    _check_contrast(loss, retrieval, refresh)


def _check_neighbours(model: ModelConfig, retrieval: RetrievalConfig, masks: MaskConfig) -> None:
    """The network takes neighbours if and only if the system retrieves some."""
    if (retrieval.space == "none") != (retrieval.num_neighbours == 0):
        raise ConfigError(
            f"retrieval.num_neighbours = {retrieval.num_neighbours} contradicts retrieval.space = "
            f"{retrieval.space!r}. {WITHOUT_RETRIEVAL}"
        )
    if (retrieval.space == "none") != (model.retrieved == "none"):
        raise ConfigError(
            f"model.retrieved = {model.retrieved!r} contradicts retrieval.space = "
            f"{retrieval.space!r}. {WITHOUT_RETRIEVAL}"
        )
    if model.copy_skip and model.retrieved == "none":
        raise ConfigError(
            "model.copy_skip = true copies the neighbours' alleles, but model.retrieved = 'none' "
            f"has no neighbours. {WITHOUT_RETRIEVAL}"
        )
    if not masks.align and retrieval.space == "none":
        raise ConfigError(
            "masks.align = false gives references other masks than queries, but "
            "retrieval.space = 'none' searches no references. Leave one of them out."
        )


def _check_encodings(
    model: ModelConfig, retrieval: RetrievalConfig, refresh: RefreshConfig
) -> None:
    """The references are encoded again only if something reads their embeddings."""
    if refresh.embeddings_every and not reads_embeddings(model, retrieval):
        raise ConfigError(
            f"refresh.embeddings_every = {refresh.embeddings_every} encodes the references again, "
            f"but retrieval.space = {retrieval.space!r} with model.retrieved = "
            f"{model.retrieved!r} reads no embeddings. Set refresh.embeddings_every=0."
        )


def _check_contrast(loss: LossConfig, retrieval: RetrievalConfig, refresh: RefreshConfig) -> None:
    """The contrastive loss needs a search that follows the encoder."""
    weight = loss.contrastive_weight
    if weight == 0:
        return
    if retrieval.space != "embedding":
        raise ConfigError(
            f"loss.contrastive_weight = {weight:g} trains the encoder for the search, but "
            f"retrieval.space = {retrieval.space!r} does not use the encoder. Set "
            "retrieval.space=embedding, or the weight to 0."
        )
    if refresh.embeddings_every == 0:
        raise ConfigError(
            f"loss.contrastive_weight = {weight:g} trains the encoder for the search, but "
            "refresh.embeddings_every = 0 keeps the first encoding. Set it to 1 or more, or the "
            "weight to 0."
        )
