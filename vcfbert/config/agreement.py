"""Settings of different sections that must fit one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcfbert.config import unread
from vcfbert.errors import ConfigError

if TYPE_CHECKING:
    from vcfbert.config.sections import Config

WITHOUT_RETRIEVAL = (
    "A system without retrieval has retrieval.space=none, retrieval.num_neighbours=0, "
    "model.retrieved=none and model.copy_skip=false."
)


def check(settings: Config) -> None:
    """Raise ConfigError naming what contradicts something else, or is not read, and the way out."""
    unread.check(settings)
    _check_neighbours(settings)
    _check_encodings(settings)
    _check_contrast(settings)


def _check_neighbours(settings: Config) -> None:
    """What is retrieved is what the network takes, and the other way round."""
    retrieval, model = settings.retrieval, settings.model
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
    if not settings.masks.align and retrieval.space == "none":
        raise ConfigError(
            "masks.align = false puts references under other masks than queries, but "
            "retrieval.space = 'none' compares nobody. Leave one of them out."
        )


def _check_encodings(settings: Config) -> None:
    """References are encoded again only where something reads their embeddings."""
    if settings.refresh.embeddings_every and not settings.reads_embeddings:
        raise ConfigError(
            f"refresh.embeddings_every = {settings.refresh.embeddings_every} encodes the "
            f"references again, but retrieval.space = {settings.retrieval.space!r} with "
            f"model.retrieved = {settings.model.retrieved!r} reads no embeddings. Set "
            "refresh.embeddings_every=0."
        )


def _check_contrast(settings: Config) -> None:
    """The search is taught only where it follows the encoder."""
    weight = settings.loss.contrastive_weight
    if weight == 0:
        return
    if settings.retrieval.space != "embedding":
        raise ConfigError(
            f"loss.contrastive_weight = {weight:g} teaches the encoder what to search by, but "
            f"retrieval.space = {settings.retrieval.space!r} does not ask it. Set "
            "retrieval.space=embedding, or the weight to 0."
        )
    if settings.refresh.embeddings_every == 0:
        raise ConfigError(
            f"loss.contrastive_weight = {weight:g} teaches the encoder what to search by, but "
            "refresh.embeddings_every = 0 keeps the first encoding. Renew it, or set the weight "
            "to 0."
        )
