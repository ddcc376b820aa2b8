"""Comparison of real stores with what the settings and the panel need.

H panel haplotypes, W windows, L sites in a window, R reference haplotypes, D width, V vocabulary.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import Config, ModelConfig, presets
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.errors import StoreError
from vcfbert.model.embedding import Encoder
from vcfbert.pipelines.systems import first_encoding
from vcfbert.retrieval import index as indexes
from vcfbert.retrieval import manifest
from vcfbert.storage.zarr import embeddings, schema, stored, stored_versions
from vcfbert.storage.zarr.embeddings import HALF_ERROR, EmbeddingsReader
from vcfbert.storage.zarr.masks import MaskVersion, read_masks
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.schema import Kind
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import checkpoints, encoding, index_of_run
from vcfbert.training.systems.checkpoints import Which

TOLERANCE = 1e-4  # relative to a norm; queries and references pass the same float32 encoder
_PROBES = 16  # haplotypes that are embedded as queries and as references
ARRAYS_OF: dict[embeddings.Layout, tuple[str, ...]] = {
    "codebook": ("codebook", "reference_haplotypes", "encoder"),
    "dense": ("codebook", "reference_haplotypes", "encoder", "complete", "masked", "is_masked"),
}


@dataclass(frozen=True)
class Check:
    """A comparison of two values that must agree.

    holds   False if they do not
    remedy  what to run in that case
    """

    what: str
    found_in: str
    found: str
    needed_by: str
    needed: str
    holds: bool
    remedy: str

    def line(self) -> str:
        """One line of the report."""
        if self.holds:
            return f"ok        {self.what:28}{self.found:>34}  {self.found_in}"
        return f"MISMATCH  {self.sentence()}"

    def sentence(self) -> str:
        """Both values and the remedy."""
        return (
            f"{self.what}: {self.found} in {self.found_in}, but {self.needed} by {self.needed_by}. "
            f"{self.remedy}"
        )


def of_workspace(settings: Config, workspace: Workspace, run: str | None) -> list[Check]:
    """Compare all stores that exist and that the system reads.

    run  a run that must exist; None is the run named after the preset, if it exists
    """
    folder = workspace.run(run or settings.preset)
    with open_panel(workspace.panel) as panel:
        letters = letters_of(panel, settings.model.width)
        found = of_panel(panel)
        masks = _newest_masks(workspace)
        if masks is not None:
            found += _of_masks(workspace.newest("masks"), masks, panel, letters)
        if workspace.versions("indexes"):
            path = workspace.newest("indexes")
            found += _of_index(workspace, path, panel, letters)
        if workspace.versions("embeddings") and settings.reads_embeddings:
            encoders = _encoders(settings.model, settings.seed, folder)
            made_by = f"encode-refs {presets.flag(settings.preset)}"
            found += _of_embeddings(workspace, panel, letters, encoders, made_by)
        if run is not None and not folder.is_dir():
            raise StoreError(f"No run at {folder}. Make one with: vcfbert train --run {run}")
        found += _of_run(settings.model, folder, panel)
        found += _index_of_run(workspace, folder)
    return found


def of_panel(panel: PanelReader) -> list[Check]:
    """Compare the arrays of a panel with its tables."""
    made_by = schema.MADE_BY["panel"]
    return [
        check
        for part in panel.parts
        for check in arrays("panel", part.path, letters_of(part, 0), "its own tables", made_by)
    ]


def letters_of(panel: PanelReader, width: int) -> dict[str, int]:
    """The number that each letter of the schema is here; `width` is D."""
    return {
        "S": len(panel.sites),
        "W": len(panel.windows),
        "L": panel.length,
        "N": len(panel.samples),
        "H": 2 * len(panel.samples),
        "P": len(panel.samples.populations),
        "R": len(panel.samples.haplotypes(site_tables.TRAIN)),
        "D": width,
        "V": tokens.VOCABULARY_SIZE,
    }


def letters_of_embeddings(reader: EmbeddingsReader) -> dict[str, int]:
    """The numbers of rows and of encoder weights, as the store declares them."""
    weights = sum(math.prod(shape) for shape in reader.encoder_shapes.values())
    return {"R": len(reader.reference_haplotypes), "E": weights}


def expected_shape(dims: str, letters: dict[str, int]) -> tuple[int, ...]:
    """The shape of a declared array in numbers.

    >>> expected_shape("W H ceil(L/8)", {"W": 2, "H": 10, "L": 9})
    (2, 10, 2)
    >>> expected_shape("S 3", {"S": 4})
    (4, 3)
    """
    return tuple(
        -(-letters["L"] // 8)
        if dim == "ceil(L/8)"
        else letters[dim]
        if dim in letters
        else int(dim)
        for dim in dims.split()
    )


def arrays(
    kind: Kind,
    path: Path,
    letters: dict[str, int],
    needed_by: str,
    made_by: str,
    names: tuple[str, ...] | None = None,
) -> list[Check]:
    """Compare shape and type of the stored arrays, or of those in `names`, with the schema."""
    out = []
    with stored.open_store(path, kind) as root:
        for spec in schema.arrays_of(kind):
            if names is not None and spec.name not in names:
                continue
            needed = expected_shape(spec.dims, letters)
            if spec.dtype == "text":
                shape: tuple[int, ...] = (len(stored.read_text(root, spec.name)),)
                dtype = "text"
            else:
                array = stored.member(root, spec.name)
                shape, dtype = tuple(array.shape), str(array.dtype)
            out.append(
                _compare(
                    f"{kind} {spec.name}", path, f"{_by(shape)} {dtype}",
                    needed_by, f"{_by(needed)} {spec.dtype}",
                    f"Rebuild it with: vcfbert {made_by} --force",
                    holds=shape == needed and dtype in (spec.dtype, *spec.dtypes),
                )
            )  # fmt: skip
    return out


def _newest_masks(workspace: Workspace) -> MaskVersion | None:
    return read_masks(workspace.newest("masks")) if workspace.versions("masks") else None


def _of_masks(
    path: Path, masks: MaskVersion, panel: PanelReader, letters: dict[str, int]
) -> list[Check]:
    parent = _parent("masks", path, masks.panel_fingerprint, panel, "refresh --masks")
    made_by = schema.MADE_BY["masks"]
    return [*arrays("masks", path, letters, f"panel {panel.path}", made_by), parent]


def _of_index(
    workspace: Workspace, path: Path, panel: PanelReader, letters: dict[str, int]
) -> list[Check]:
    """Compare windows and rows of an index with the panel, and a dense one with its masks."""
    remedy = "Rebuild it with: vcfbert build-index --force"
    content = manifest.read(path)
    fingerprint = content.parents.get("panel", "none")
    out = [
        _parent("index", path, fingerprint, panel, "build-index --force"),
        _compare("index windows", path, str(len(content.files)),
                 f"panel {panel.path}", str(letters["W"]), remedy),
        _compare("index sites in a window", path, str(content.length),
                 f"panel {panel.path}", str(letters["L"]), remedy),
    ]  # fmt: skip
    train = set(panel.samples.haplotypes(site_tables.TRAIN).tolist())
    strangers = len(set(content.reference_haplotypes) - train)
    out.append(
        _compare("index rows of held-out samples", path, str(strangers), "retrieval", "0", remedy)
    )
    if not all(check.holds for check in out):
        return out  # its files cannot be read for this panel
    rows = indexes.open_index(path, panel_fingerprint=panel.fingerprint).window(0).num_references
    out.append(
        _compare("index rows", path, str(rows), "its manifest",
                 str(len(content.reference_haplotypes)), remedy)
    )  # fmt: skip
    if content.kind == "dense":
        every = stored_versions.every(workspace, "masks")
        is_there = stored_versions.mask_with(every, content.parents["masks"]) is not None
        out.append(
            _compare("index mask version", path, str(content.mask_version), "the stored masks",
                     "a version that is there", "Rebuild it with: vcfbert build-index --kind dense "
                     "--force", holds=is_there)
        )  # fmt: skip
    return out


def _of_embeddings(
    workspace: Workspace,
    panel: PanelReader,
    letters: dict[str, int],
    encoders: dict[str, Encoder],
    made_by: str,
) -> list[Check]:
    """Compare shapes, parents, and the embeddings of queries and references.

    Embeddings that `train` leaves aside, because they do not fit, are no mismatch.

    encoders  encoders that may have made them, by their origin
    made_by   command that makes them
    """
    path = workspace.newest("embeddings")
    with embeddings.open_embeddings(path) as reader:
        fault = first_encoding.misfit(reader, next(iter(encoders.values())), panel)
        if fault is not None:
            unread = f"not read by train: {fault}"
            return [_compare("embeddings", path, unread, "the settings", "", "", holds=True)]
        rows = letters | letters_of_embeddings(reader)
        names = ARRAYS_OF[reader.layout]
        out = arrays("embeddings", path, rows, "the settings", made_by, names)
        if all(check.holds for check in out):
            remedy = f"Encode again with: vcfbert {made_by} --force"
            out += _feature_space(workspace, panel, reader, path, encoders, remedy)
    return out


def _feature_space(
    workspace: Workspace,
    panel: PanelReader,
    reader: EmbeddingsReader,
    path: Path,
    encoders: dict[str, Encoder],
    remedy: str,
) -> list[Check]:
    """Embed a few reference haplotypes as queries, and compare them with the stored embeddings."""
    by_fingerprint = {
        encoding.encoder_fingerprint(encoder): name for name, encoder in encoders.items()
    }
    name = by_fingerprint.get(reader.encoder_fingerprint, "other weights, stored with them")
    encoder = copy.deepcopy(next(iter(encoders.values())))
    encoding.load_stored(encoder, reader)
    origin = _compare(
        "embeddings encoder", path, f"{_short(reader.encoder_fingerprint)} of {name}",
        "training, which starts with it", "", "", holds=True,
    )  # fmt: skip
    rows = np.linspace(0, len(reader.reference_haplotypes) - 1, _PROBES).astype(np.int64)
    complete = panel.tokens(0, reader.reference_haplotypes[rows])
    masked = tokens.hide(complete, _mask_of(workspace, reader))
    codebook, site = encoding.window_codebook(encoder, panel, 0), np.arange(panel.length)
    sides = {
        "complete embeddings": (codebook[complete, site], reader.complete(0, rows, complete)),
        "masked embeddings": (codebook[masked, site], reader.masked(0, rows, masked)),
    }
    allowed = TOLERANCE + (HALF_ERROR if reader.dtype == "float16" else 0)
    return [
        origin,
        *(_distance(what, path, *both, name, remedy, allowed) for what, both in sides.items()),
    ]


def _mask_of(workspace: Workspace, reader: EmbeddingsReader) -> NDArray[np.bool_]:
    """(L,) a mask of window 0 that the store can be read under."""
    newest = _newest_masks(workspace)
    if reader.layout == "dense":
        is_masked = reader.is_masked()
    elif newest is not None:
        is_masked = newest.is_masked
    else:
        is_masked = np.zeros((1, reader.length), dtype=np.bool_)
    return np.asarray(is_masked[0])


def _distance(
    what: str,
    path: Path,
    query: NDArray[np.float32],
    reference: NDArray[np.float32],
    encoder: str,
    remedy: str,
    allowed: float,
) -> Check:
    """Compare norms and distance of queries and references.

    allowed  distance, relative to a norm
    """
    norms = [float(np.linalg.norm(side, axis=-1).mean()) for side in (query, reference)]
    gap = float(np.linalg.norm(query - reference, axis=-1).max())
    return _compare(
        what, path, f"norm {norms[1]:.4f}, distance {gap:.1e}",
        f"the encoder of {encoder}", f"norm {norms[0]:.4f}, distance below {allowed:.1g} of it",
        remedy,
        holds=gap <= allowed * max(norms),
    )  # fmt: skip


def _encoders(settings: ModelConfig, seed: int, folder: Path) -> dict[str, Encoder]:
    """Encoders that may have made the embeddings, by their origin."""
    known = {f"the settings (seed {seed})": encoding.new_encoder(settings, seed)}
    for which in _checkpoints(folder):
        known[f"{folder} ({which})"] = checkpoints.load_encoder(folder, which)
    return known


def _checkpoints(folder: Path) -> list[Which]:
    return [w for w in get_args(Which) if (folder / "checkpoints" / f"{w}.json").exists()]


def _of_run(settings: ModelConfig, folder: Path, panel: PanelReader) -> list[Check]:
    """Compare the network of a run with the settings, and its panel with this one."""
    out = []
    for which in _checkpoints(folder):
        checkpoint = checkpoints.read(folder, which)
        model = checkpoints.load_model(folder, which)[0]
        saved = checkpoint.settings.model
        vocabulary, width = model.encoder.token.weight.shape
        remedy = f"Give the run's settings: --config {folder / 'config.toml'}"
        place = folder / "checkpoints" / f"{which}.json"
        out += [
            _compare("run vocabulary x width", place, f"{vocabulary} x {width}", "the settings",
                     f"{tokens.VOCABULARY_SIZE} x {settings.width}", remedy),
            _compare("run layers, heads", place, f"{saved.num_layers}, {saved.num_heads}",
                     "the settings", f"{settings.num_layers}, {settings.num_heads}", remedy),
            _parent("run", place, checkpoint.parents.get("panel", "none"), panel,
                    f"train --run {folder.name} --force"),
        ]  # fmt: skip
    return out


def _index_of_run(workspace: Workspace, folder: Path) -> list[Check]:
    """Compare the index that a run was trained with to those of the workspace."""
    paths = [workspace.version("indexes", number) for number in workspace.versions("indexes")]
    there = {manifest.fingerprint(manifest.read(path)) for path in paths}
    again = f"vcfbert train --run {folder.name} --config {folder / 'config.toml'} --force"
    needs = {checkpoints.read(folder, which).parents.get("index") for which in _checkpoints(folder)}
    return [
        _compare(
            "index of the run", workspace.root / "indexes",
            ", ".join(map(_short, {needed} & there or sorted(there))) or "none",
            f"the run {folder}", _short(needed),
            f"Build it again with the same options of build-index, or train again: {again}",
            holds=_is_found(workspace, folder, needed),
        )
        for needed in needs
        if needed is not None
    ]  # fmt: skip


def _is_found(workspace: Workspace, folder: Path, fingerprint: str) -> bool:
    """True if `eval` finds the index of a run, or one of the same references."""
    try:
        index_of_run.find(workspace, folder, fingerprint)
    except StoreError:
        return False
    return True


def _parent(what: str, path: Path, fingerprint: str, panel: PanelReader, made_by: str) -> Check:
    return _compare(
        f"{what} parent panel", path, _short(fingerprint),
        f"panel {panel.path}", _short(panel.fingerprint),
        f"Rebuild it with: vcfbert {made_by}",
        holds=fingerprint == panel.fingerprint,
    )  # fmt: skip


def _compare(
    what: str,
    path: Path,
    found: str,
    needed_by: str,
    needed: str,
    remedy: str,
    *,
    holds: bool | None = None,
) -> Check:
    """Compare two texts; `holds` if the comparison is not one of texts."""
    agrees = found == needed if holds is None else holds
    return Check(what, str(path), found, needed_by, needed, agrees, remedy)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _short(fingerprint: str) -> str:
    return fingerprint[:12]
