"""A run that is being trained: its inputs, the encodings it makes, its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vcfbert.config import Config, LossConfig, RefreshConfig
from vcfbert.errors import StoreError
from vcfbert.files import replacing
from vcfbert.model.embedding import Encoder
from vcfbert.pipelines.systems.training_inputs import TrainingInputs
from vcfbert.progress import Progress
from vcfbert.storage.zarr import embeddings
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training import runs
from vcfbert.training.systems import checkpoints, encoding
from vcfbert.training.systems.batches import BatchMaker, References
from vcfbert.training.systems.checkpoints import Which
from vcfbert.training.systems.events import SummaryWriter
from vcfbert.training.systems.folds import Folds, HeldOut
from vcfbert.training.systems.loop import TrainState
from vcfbert.training.systems.ranks import ALONE, Ranks


@dataclass(frozen=True)
class TrainingRun:
    """A run, as training reads and writes it.

    first_embeddings   encoding of the initial weights; None if nothing reads embeddings
    first_fingerprint  its fingerprint; None if this run does not read it
    writer             of TensorBoard events; None in all processes but the first
    ranks              the processes that train the run together
    """

    folder: Path
    settings: Config
    inputs: TrainingInputs
    first_embeddings: Path | None
    first_fingerprint: str | None
    progress: Progress
    writer: SummaryWriter | None
    ranks: Ranks = ALONE

    def embeddings_path(self, version: int) -> Path | None:
        """Path of a version of the encoding; None if nothing reads embeddings."""
        return self.first_embeddings if version == 0 else own_embeddings(self.folder, version)

    @contextmanager
    def batch_maker(
        self, version: int, contrast: LossConfig | None = None, folds: Folds | None = None
    ) -> Iterator[BatchMaker]:
        """Open a version of the encoding to make batches with.

        contrast  as in BatchMaker
        folds     of the training samples; None for other batches
        """
        path, retrieval = self.embeddings_path(version), self.settings.retrieval
        panel, index = self.inputs.panel, self.inputs.index
        if path is None:
            held_out = None if folds is None else HeldOut(panel, folds, None)
            yield BatchMaker(panel, index, None, retrieval, held_out=held_out)
            return
        with embeddings.open_embeddings(path) as reader:
            if version == 0 and reader.fingerprint != self.first_fingerprint:
                raise StoreError.replaced(path)
            held_out = None if folds is None else HeldOut(panel, folds, self._encoder_of(reader))
            yield BatchMaker(panel, index, reader, retrieval, contrast, held_out)

    def _encoder_of(self, stored: EmbeddingsReader) -> Encoder:
        """The encoder that made stored embeddings, on the CPU."""
        encoder = encoding.new_encoder(self.settings.model, self.settings.seed)
        encoding.load_stored(encoder, stored)
        return encoder

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Write a number to the TensorBoard events."""
        if self.writer is not None:
            self.writer.add_scalar(name, value, step)

    def save(self, state: TrainState, which: Which) -> None:
        """Write a checkpoint."""
        if not self.ranks.is_first:
            return
        save_checkpoint(self.folder, self.settings, self.inputs.parents, state, which)


def save_checkpoint(
    run: Path, settings: Config, parents: dict[str, str], state: TrainState, which: Which
) -> None:
    """Write a checkpoint; the moments of the optimizer only for the last one."""
    weights = {k: v.detach().cpu().contiguous() for k, v in state.model.state_dict().items()}
    is_last = which == "last"
    if is_last:  # before the checkpoint, so that the CSV has every row the checkpoint has
        runs.write_refreshes(run, state.refreshes)
    checkpoints.save(
        run,
        which,
        settings=settings,
        parents=parents | {"encoder": encoding.encoder_fingerprint(state.model.encoder)},
        state=state.counters(),
        weights=weights,
        optimizer=checkpoints.optimizer_tensors(state.optimizer) if is_last else None,
    )
    if is_last:
        state.saved_embeddings = state.embeddings.version
        state.saved_masks = None if state.masks is None else state.masks.version
        drop_versions(run, settings.refresh, state)


def own_embeddings(run: Path, version: int) -> Path:
    """Path of a version of the encoding that a run made itself."""
    return run / "embeddings" / f"v{version:04d}.zarr"


def own_masks(run: Path, version: int) -> Path:
    """Path of a version of the masks that a run trained with."""
    return run / "masks" / f"v{version:04d}.zarr"


def drop_versions(run: Path, settings: RefreshConfig, state: TrainState) -> None:
    """Delete old masks and encodings of a run, and those later than its state.

    The last `refresh.keep` stay, and those that the last checkpoint needs: a run that is stopped
    resumes with them.
    """
    masks = None if state.masks is None else state.masks.version
    for kind, used, saved in (
        ("embeddings", state.embeddings.version, state.saved_embeddings),
        ("masks", masks, state.saved_masks),
    ):
        if used is None:
            continue
        for path in sorted((run / kind).glob("v*.zarr")):
            version = int(path.stem[1:])
            if saved is None:  # no checkpoint has any, so the run resumes with its first
                saved = version
            if version != saved and not used - settings.keep < version <= used:
                replacing.drop(path)


def encode(path: Path, encoder: Encoder, panel: PanelReader, index: References) -> None:
    """Write the codebook of an encoder."""
    embeddings.write_codebook(
        path,
        (encoding.window_codebook(encoder, panel, window) for window in range(len(panel.windows))),
        panel_fingerprint=panel.fingerprint,
        encoder=encoding.weights_of(encoder),
        reference_haplotypes=index.reference_haplotypes,
        overwrite=True,
    )
