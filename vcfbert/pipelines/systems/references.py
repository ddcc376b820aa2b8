"""`encode-refs`, `build-index`, `refresh`: the reference haplotypes made ready for search.

W windows, L sites in a window, R reference haplotypes, D embedding width, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config
from vcfbert.domain import sites as site_tables
from vcfbert.domain.mask_policies import Drawing
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.model.embedding import Encoder
from vcfbert.pipelines.systems.pruning import prune
from vcfbert.progress import Progress
from vcfbert.retrieval import dense, exact, manifest
from vcfbert.retrieval.index import FaissIndex, write_windows
from vcfbert.retrieval.manifest import Kind, Manifest
from vcfbert.storage.zarr import embeddings, masks, stores
from vcfbert.storage.zarr.embeddings import EmbeddingsReader, Layout
from vcfbert.storage.zarr.masks import MaskVersion
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.workspace import Versioned, Workspace
from vcfbert.training.systems import checkpoints, encoding, masking


@dataclass(frozen=True)
class EncodeOptions:
    """What is encoded, and by which weights."""

    layout: Layout = "codebook"
    """`codebook` keeps each token once a site, `dense` every haplotype too."""

    run: str | None = None
    """The run whose best checkpoint encodes; None is fresh weights from the seed."""

    mask_version: int | None = None
    """The masks of the dense layout; None is the newest. A codebook serves every mask."""


@dataclass(frozen=True)
class EncodeSummary:
    """What `encode_refs` wrote."""

    path: Path
    layout: Layout
    num_windows: int
    num_references: int
    width: int
    encoder: str
    bytes_on_disk: int
    seconds: float

    def lines(self) -> list[str]:
        """Sentences for a sample."""
        return [
            f"Encoded {self.num_references:,} reference haplotypes in {self.num_windows:,} windows "
            f"at width {self.width}, layout {self.layout}, with {self.encoder}: "
            f"{self.bytes_on_disk:,} bytes, {self.seconds:.2f} s.",
            f"Embeddings: {self.path}",
        ]


@dataclass(frozen=True)
class IndexOptions:
    """What is indexed."""

    kind: Kind = "exact"
    """`exact` searches one bit an allele, `dense` flat L2 over masked embeddings."""

    max_references: int | None = None
    """How many train haplotypes, whole samples drawn by the seed; None is all."""

    seed: int = 1
    """Seeds that draw."""


@dataclass(frozen=True)
class IndexSummary:
    """What `build_index` wrote."""

    path: Path
    kind: Kind
    num_windows: int
    num_references: int
    bytes_on_disk: int
    seconds: float

    def lines(self) -> list[str]:
        """Sentences for a sample."""
        return [
            f"Indexed {self.num_references:,} reference haplotypes in {self.num_windows:,} windows,"
            f" kind {self.kind}: {self.bytes_on_disk:,} bytes, {self.seconds:.2f} s.",
            f"Index: {self.path}; mosaic and impute need none, they search along whole chunks.",
        ]


@dataclass(frozen=True)
class RefreshOptions:
    """What is renewed."""

    masks: bool = False
    """Draw the next mask version."""

    embeddings: bool = False
    """Encode the references again, in the layout of the newest embeddings."""

    run: str | None = None
    """The run whose best checkpoint encodes; None is fresh weights from the seed."""

    rate: float | None = None
    """Rate of the new masks; None is `masks.start_rate` of the settings."""

    prune: int | None = None
    """Afterwards keep the newest so many versions of each kind; None keeps all."""


@dataclass(frozen=True)
class RefreshSummary:
    """What `refresh` wrote and deleted."""

    mask: MaskVersion | None
    mask_path: Path | None
    encoded: EncodeSummary | None
    indexes: str
    pruned: list[Path]
    seconds: float

    def lines(self) -> list[str]:
        """Sentences for a sample."""
        out = []
        if self.mask is not None:
            hidden = int(self.mask.is_masked.sum())
            out += [
                f"Drew mask version {self.mask.version} at rate {self.mask.rate:g}: "
                f"{hidden:,} hidden sites in {len(self.mask.is_masked):,} windows.",
                f"Masks: {self.mask_path}",
            ]
        if self.encoded is not None:
            out += self.encoded.lines()
        out += [self.indexes, *(f"Deleted {path}" for path in self.pruned)]
        return [*out, f"Refreshed in {self.seconds:.2f} s."]


def encode_refs(
    workspace: Workspace,
    settings: Config,
    options: EncodeOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> EncodeSummary:
    """Write embeddings version 0, or replace the newest version where `overwrite` is on.

    Raises StoreError where the panel, masks or run is missing or stale, or embeddings are there
    and `overwrite` is off; DeviceError where the disk cannot hold the dense layout; ConfigError
    where the settings are of a system without embeddings.
    """
    _require_embeddings(settings)
    with workspace.writing("embeddings"), open_panel(workspace.panel) as panel:
        path = _target(workspace, "embeddings", overwrite)
        return _encode(workspace, panel, path, settings, options, progress, overwrite)


def build_index(
    workspace: Workspace,
    options: IndexOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> IndexSummary:
    """Write index version 0, or replace the newest version where `overwrite` is on.

    Raises StoreError where the panel, or for the dense kind the dense embeddings, are missing or
    stale, or an index is there and `overwrite` is off; ConfigError where `max_references` cannot
    be had; DeviceError where the disk cannot hold a dense index.
    """
    begun = time.perf_counter()
    with workspace.writing("indexes"), open_panel(workspace.panel) as panel:
        path = _target(workspace, "indexes", overwrite)
        haplotypes = _references(panel, options)
        progress.start("index", len(panel.windows))
        with stores.create_folder(path, overwrite=overwrite) as folder:
            if options.kind == "exact":
                content = _write_exact(folder, panel, haplotypes, options, progress)
            else:
                source = _newest_dense(workspace, panel)
                content = _write_dense(folder, source, panel, haplotypes, options, progress)
            manifest.write(folder, content)
    return IndexSummary(
        path=path,
        kind=options.kind,
        num_windows=len(content.files),
        num_references=len(haplotypes),
        bytes_on_disk=_bytes_below(path),
        seconds=time.perf_counter() - begun,
    )


def refresh(
    workspace: Workspace,
    settings: Config,
    options: RefreshOptions,
    *,
    progress: Progress,
) -> RefreshSummary:
    """Write the next version of masks, embeddings or both, beside the old; prune where asked.

    Raises ConfigError where nothing was asked for, else what `encode_refs` does.
    """
    if not options.masks and not options.embeddings and options.prune is None:
        raise ConfigError("Nothing to refresh: pass --masks, --embeddings, --prune N or several.")
    if not options.masks and options.rate is not None:
        raise ConfigError("--rate is the rate of new masks: pass --masks with it.")
    if not options.embeddings and options.run is not None:
        raise ConfigError("--run encodes the references: pass --embeddings with it.")
    if options.embeddings:
        _require_embeddings(settings)
    begun = time.perf_counter()
    mask = mask_path = encoded = None
    renewed: list[Versioned] = ["masks"] if options.masks else []
    renewed += ["embeddings"] if options.embeddings else []
    with workspace.writing(*renewed), open_panel(workspace.panel) as panel:
        if options.masks:
            mask_path = workspace.version("masks", workspace.next_version("masks"))
            mask = _draw(workspace, panel, settings, options.rate)
            masks.write_masks(mask_path, mask)
        if options.embeddings:
            path = workspace.version("embeddings", workspace.next_version("embeddings"))
            chosen = EncodeOptions(layout=_newest_layout(workspace), run=options.run)
            encoded = _encode(workspace, panel, path, settings, chosen, progress, overwrite=False)
    # Said before pruning, which may take an index away, and of the newest, which it never does.
    indexes = _state_of_index(workspace, mask is not None, encoded is not None)
    return RefreshSummary(
        mask=mask,
        mask_path=mask_path,
        encoded=encoded,
        indexes=indexes,
        pruned=[] if options.prune is None else prune(workspace, options.prune),
        seconds=time.perf_counter() - begun,
    )


def _require_embeddings(settings: Config) -> None:
    if settings.system == "retrieval" and settings.reads_embeddings:
        return
    needless = "neither embeddings nor an index: it reads the panel itself"
    if settings.system == "retrieval" and settings.retrieval.space != "none":
        needless = "no embeddings, only an index: it searches and reads tokens"
    raise ConfigError(
        f"{settings.preset} needs {needless}. Go on with: vcfbert train --preset {settings.preset}"
    )


def _target(workspace: Workspace, kind: Versioned, overwrite: bool) -> Path:
    """Version 0 where there is none yet, else the newest, which is there to be replaced."""
    versions = workspace.versions(kind)
    path = workspace.version(kind, versions[-1] if versions else 0)
    if versions and not overwrite:
        raise StoreError.exists(path)
    return path


def _encode(
    workspace: Workspace,
    panel: PanelReader,
    path: Path,
    settings: Config,
    options: EncodeOptions,
    progress: Progress,
    overwrite: bool,
) -> EncodeSummary:
    begun = time.perf_counter()
    if options.layout == "codebook" and options.mask_version is not None:
        raise ConfigError(
            "--mask-version is for --layout dense: embeddings of the layout codebook serve every "
            "mask. Leave it out, or add --layout dense."
        )
    encoder, name = _encoder(workspace, settings, options.run)
    fingerprint = encoding.encoder_fingerprint(encoder)
    haplotypes = _train_haplotypes(panel)
    progress.start("encode", len(panel.windows))
    codebooks = _codebooks(encoder, panel, progress)
    if options.layout == "codebook":
        embeddings.write_codebook(
            path,
            codebooks,
            panel_fingerprint=panel.fingerprint,
            encoder_fingerprint=fingerprint,
            reference_haplotypes=haplotypes,
            overwrite=overwrite,
        )
    else:
        embeddings.write_dense(
            path,
            codebooks,
            lambda window, rows: panel.tokens(window, haplotypes[rows]),
            _mask(workspace, panel, options.mask_version),
            encoder_fingerprint=fingerprint,
            reference_haplotypes=haplotypes,
            overwrite=overwrite,
        )
    return EncodeSummary(
        path=path,
        layout=options.layout,
        num_windows=len(panel.windows),
        num_references=len(haplotypes),
        width=encoder.token.embedding_dim,
        encoder=name,
        bytes_on_disk=_bytes_below(path),
        seconds=time.perf_counter() - begun,
    )


def _encoder(workspace: Workspace, settings: Config, run: str | None) -> tuple[Encoder, str]:
    """Return the encoder, in eval mode, and how to call it."""
    if run is None:
        name = f"initial weights of {settings.preset}, seed {settings.seed}"
        return encoding.new_encoder(settings), name
    return checkpoints.load_encoder(workspace.run(run)), f"the best checkpoint of run {run}"


def _codebooks(
    encoder: Encoder, panel: PanelReader, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    for window in range(len(panel.windows)):
        yield encoding.window_codebook(encoder, panel, window)
        progress.advance()


def _train_haplotypes(panel: PanelReader) -> NDArray[np.int64]:
    haplotypes = panel.samples.haplotypes(site_tables.TRAIN)
    if len(haplotypes) == 0:
        raise InputError(
            f"{panel.path} has no train samples, so there is nobody to retrieve. "
            "Prepare it again with a sample table whose split column names some."
        )
    return haplotypes


def _references(panel: PanelReader, options: IndexOptions) -> NDArray[np.int64]:
    """Panel haplotypes of the index rows, rising; of train samples only."""
    everyone, wanted = _train_haplotypes(panel), options.max_references
    if wanted is None:
        return everyone
    if wanted < 2 or wanted % 2 or wanted > len(everyone):
        raise ConfigError(
            f"--max-references is an even number of haplotypes, 2 to {len(everyone)}, because "
            f"samples are taken whole; got {wanted}."
        )
    samples = panel.samples.in_splits(site_tables.TRAIN)
    drawn = np.random.default_rng(options.seed).choice(samples, wanted // 2, replace=False)
    return site_tables.haplotypes_of(np.sort(drawn))


def _mask(workspace: Workspace, panel: PanelReader, version: int | None) -> MaskVersion:
    """Read a mask version, the newest for None, and check that it is of this panel."""
    path = workspace.newest("masks") if version is None else workspace.version("masks", version)
    mask = masks.read_masks(path)
    if mask.panel_fingerprint != panel.fingerprint:
        raise StoreError.stale(path, parent="panel", made_by="refresh --masks")
    return mask


def _draw(
    workspace: Workspace, panel: PanelReader, settings: Config, rate: float | None
) -> MaskVersion:
    policies = masking.policies(settings.masks, settings.seed, panel)
    if policies.training.reads_alleles or settings.masks.scope == "sample":
        raise ConfigError(
            f"masks.policy = {settings.masks.policy!r} with masks.scope = {settings.masks.scope!r} "
            "draws a mask for each sample while training, so there is no version to store. Set "
            "masks.scope=window and a policy that suits it, or leave --masks out."
        )
    version = workspace.next_version("masks")
    rate = settings.masks.start_rate if rate is None else rate
    return MaskVersion(
        version=version,
        policy=settings.masks.policy,
        rate=rate,
        seed=settings.seed,
        role="train",
        panel_fingerprint=panel.fingerprint,
        is_masked=Drawing(
            policies.training, panel.windows, settings.seed, "train", version, rate
        ).whole(),
    )


def _newest_layout(workspace: Workspace) -> Layout:
    if not workspace.versions("embeddings"):
        return "codebook"
    with embeddings.open_embeddings(workspace.newest("embeddings")) as reader:
        return reader.layout


def _state_of_index(workspace: Workspace, new_masks: bool, new_embeddings: bool) -> str:
    """One line on whether the newest index fits what was refreshed."""
    if not workspace.versions("indexes"):
        return "No index yet. Make one with: vcfbert build-index"
    path = workspace.newest("indexes")
    if manifest.read(path).kind == "exact":
        return f"The index {path} is exact: it fits all masks and embeddings and stays."
    if not new_masks and not new_embeddings:
        return f"The index {path} is dense and was left as it is."
    first = "" if new_embeddings else "refresh --embeddings && vcfbert "
    return (
        f"The index {path} is dense and holds the masks and embeddings it was made from. For the "
        f"new ones: vcfbert {first}build-index --kind dense --force"
    )


def _write_exact(
    folder: Path,
    panel: PanelReader,
    haplotypes: NDArray[np.int64],
    options: IndexOptions,
    progress: Progress,
) -> Manifest:
    def indexes() -> Iterator[FaissIndex]:
        for window in range(len(panel.windows)):
            yield exact.build(panel.packed(window)[haplotypes])
            progress.advance()

    return Manifest(
        kind="exact",
        length=panel.length,
        parents={"panel": panel.fingerprint},
        reference_haplotypes=haplotypes.tolist(),
        max_references=options.max_references,
        seed=options.seed,
        files=write_windows(folder, indexes()),
    )


def _newest_dense(workspace: Workspace, panel: PanelReader) -> Path:
    """The newest embeddings, checked to be dense and of this panel."""
    path = workspace.newest("embeddings")
    with embeddings.open_embeddings(path) as reader:
        reader.is_masked()  # which refuses the other layout
        if reader.panel_fingerprint != panel.fingerprint:
            raise StoreError.stale(
                path, parent="panel", made_by="encode-refs --layout dense --force"
            )
    return path


def _write_dense(
    folder: Path,
    source: Path,
    panel: PanelReader,
    haplotypes: NDArray[np.int64],
    options: IndexOptions,
    progress: Progress,
) -> Manifest:
    def indexes(reader: EmbeddingsReader) -> Iterator[FaissIndex]:
        # All rows go from the map straight into the index; a copy is made for a subset only.
        rows = np.flatnonzero(np.isin(reader.reference_haplotypes, haplotypes))
        for window in range(reader.num_windows):
            masked = reader.dense_masked(window)
            yield dense.build(masked if len(rows) == len(masked) else masked[rows])
            progress.advance()

    with embeddings.open_embeddings(source) as reader:
        row_bytes = 4 * reader.num_windows * reader.length * reader.width
        stores.require_disk(
            folder,
            len(haplotypes) * row_bytes,
            what="Dense indexes",
            instead="Free some, or use --kind exact, which finds the same neighbours.",
        )
        return Manifest(
            kind="dense",
            length=panel.length,
            parents={
                "panel": panel.fingerprint,
                "masks": reader.parents["masks"],
                "embeddings": reader.fingerprint,
            },
            reference_haplotypes=haplotypes.tolist(),
            max_references=options.max_references,
            seed=options.seed,
            files=write_windows(folder, indexes(reader)),
            mask_version=reader.mask_version,
            masks=manifest.masks_as_hex(reader.is_masked()),
        )


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
