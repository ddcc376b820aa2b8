"""The encoder and the encoding that a run starts with.

A stored encoding contains the weights that made it, so training starts its encoder from them and
reads the encoding. Without one, training encodes the references with its own initial weights, which
is what `encode-refs` with the same settings stores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcfbert.config import presets
from vcfbert.errors import ConfigError, StoreError
from vcfbert.model.embedding import Encoder
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import embeddings, stored_versions
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.storage.zarr.stored_versions import VersionName
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import encoding
from vcfbert.training.systems.batches import References


@dataclass(frozen=True)
class FirstEncoding:
    """The encoding that training starts with.

    encoder      with the weights that made it
    store        embeddings that training reads; None if the run encodes for itself
    fingerprint  of the store; None without one
    """

    encoder: Encoder
    store: Path | None = None
    fingerprint: str | None = None


def choose(
    workspace: Workspace,
    encoder: Encoder,
    panel: PanelReader,
    index: References,
    *,
    preset: str,
    name: VersionName | None,
    taken_from: str | None,
    note: Callable[[str], None],
) -> FirstEncoding:
    """Choose the named embeddings, those of a dense index, or the newest of the workspace.

    encoder     of the network that will be trained; gets the weights of the chosen embeddings
    preset      of the settings, for messages
    name        of embeddings that must be used; "new" encodes as if none were stored
    taken_from  run whose encoder `encoder` has, which stays as it is; None for initial weights

    Raises StoreError if the named embeddings, or those of a dense index, are missing or do not fit.
    """
    if name == stored_versions.NEW and index.kind != "dense":
        note("embeddings: this run encodes the references itself, as asked for.")
        return FirstEncoding(encoder)
    path, is_required = _candidate(workspace, index, name)
    if path is None:
        note("embeddings: none are stored, so this run encodes the references itself.")
        return FirstEncoding(encoder)
    with embeddings.open_embeddings(path) as reader:
        fault = _misfit(reader, encoder, panel, index, taken_from)
        if fault is None:
            reader.encoder_weights()  # a later pass may need them even if this one does not
            if not _made(reader, encoder):
                encoding.load_stored(encoder, reader)
                note(
                    f"embeddings: the encoder starts with the weights {_short(reader)} that made "
                    f"{path}, not with those of the seed."
                )
            return FirstEncoding(encoder, path, reader.fingerprint)
    if is_required:
        raise StoreError(f"{path} {fault}. {_remedy(index, preset, taken_from)}")
    note(f"embeddings: {path} {fault}: encoding again.")
    return FirstEncoding(encoder)


def resume(
    workspace: Workspace, encoder: Encoder, own: Path, run: str, parents: dict[str, str]
) -> FirstEncoding:
    """The encoding that a run started with and still uses.

    encoder  initial weights of the seed; gets those with which the run started
    own      place of the encoding if the run made it itself
    parents  of the run, with the fingerprint of stored embeddings that it reads

    Raises StoreError if the embeddings are gone and their encoder is not that of the seed.
    """
    wanted = parents.get("embeddings")
    if wanted is None and own.exists():
        with embeddings.open_embeddings(own) as reader:
            encoding.load_stored(encoder, reader)
        return FirstEncoding(encoder)
    every = stored_versions.every(workspace, "embeddings")
    path = None if wanted is None else stored_versions.embeddings_with(every, wanted)
    if path is not None:
        with embeddings.open_embeddings(path) as reader:
            encoding.load_stored(encoder, reader)
        return FirstEncoding(encoder, path, wanted)
    started = parents.get("first encoder")  # None for runs of earlier versions
    if started not in (None, encoding.encoder_fingerprint(encoder)):
        raise StoreError(
            f"The run {run} started with the embeddings of the encoder {started[:12]}, "
            f"which are not in {workspace.root} any more. Train it again with: vcfbert train "
            f"--run {run} --force"
        )
    return FirstEncoding(encoder)


def misfit(reader: EmbeddingsReader, encoder: Encoder, panel: PanelReader) -> str | None:
    """Why a network with such an encoder cannot start from stored embeddings; None if it can."""
    if reader.panel_fingerprint != panel.fingerprint:
        return "was made from another panel"
    if not encoding.fits(encoder, reader):
        width = encoder.token.embedding_dim
        return f"has an encoder of width {reader.width}, but the settings have {width}"
    return None


def _misfit(
    reader: EmbeddingsReader,
    encoder: Encoder,
    panel: PanelReader,
    index: References,
    taken_from: str | None,
) -> str | None:
    fault = misfit(reader, encoder, panel)
    if fault is not None:
        return fault
    if taken_from is not None and not _made(reader, encoder):
        return f"was made with the encoder {_short(reader)}, which is not that of {taken_from}"
    same_rows = np.array_equal(reader.reference_haplotypes, index.reference_haplotypes)
    if reader.layout == "dense" and not same_rows:
        return "has other reference haplotypes than the index"
    return None


def _candidate(
    workspace: Workspace, index: References, name: VersionName | None
) -> tuple[Path | None, bool]:
    """Embeddings to try, and whether no others will do."""
    path = None
    if name is not None and name != stored_versions.NEW:
        path = stored_versions.path_of(workspace, "embeddings", name)
    if isinstance(index, IndexReader) and index.kind == "dense":
        wanted = index.parents["embeddings"]
        every = stored_versions.every(workspace, "embeddings")
        found = stored_versions.embeddings_with(every, wanted)
        if found is None:
            raise StoreError(
                f"{index.path} is a dense index, but the embeddings that it was made from are not "
                f"in {workspace.root} any more. Rebuild it with: vcfbert build-index --kind dense "
                "--force"
            )
        if name == stored_versions.NEW:
            raise ConfigError(
                f"--embeddings new makes another encoding than the one of the dense index "
                f"{index.path}. Leave it out, or build an exact index: vcfbert build-index --kind "
                "exact --force"
            )
        if path is not None:
            with embeddings.open_embeddings(path) as reader:
                index.require_parent("embeddings", reader.fingerprint)
            return path, True
        return found, True
    if path is not None:
        return path, True
    return (workspace.newest("embeddings") if workspace.versions("embeddings") else None), False


def _made(reader: EmbeddingsReader, encoder: Encoder) -> bool:
    """True if this encoder made the embeddings."""
    return reader.encoder_fingerprint == encoding.encoder_fingerprint(encoder)


def _short(reader: EmbeddingsReader) -> str:
    return reader.encoder_fingerprint[:12]


def _remedy(index: References, preset: str, taken_from: str | None) -> str:
    """What to run if the only embeddings that would do do not fit."""
    source = presets.flag(preset) if taken_from is None else f"--run {taken_from}"
    if index.kind == "dense":
        return (
            "The index is dense and serves no other encoding. Build both again: vcfbert "
            f"encode-refs {source} --layout dense --force, then vcfbert build-index --kind dense "
            "--force; or an exact index: vcfbert build-index --kind exact --force"
        )
    return f"Encode again with: vcfbert encode-refs {source} --force; or leave out --embeddings."
