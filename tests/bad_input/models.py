"""Weights, embeddings and masks that hold nonsense, and more neighbours than there are samples."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
import zarr
from torch import Tensor

from tests import tampering
from tests.bad_input import home
from tests.bad_input.case import Case
from tests.bad_input.room import NAMES, Make, Room, flipped, target_records
from tests.pipelines.workspaces import SMALL as SETTINGS
from tests.pipelines.workspaces import changed
from vcfbert.domain import tokens
from vcfbert.pipelines.systems import build_index, encode
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.progress import Silent
from vcfbert.retrieval import manifest
from vcfbert.storage.zarr import masks
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import weight_files

SMALL = (
    "--preset tiny --set model.width=16 --set model.num_layers=1 --set retrieval.num_neighbours=6"
)
STILL = (
    "--set retrieval.num_segments=1 --set refresh.masks_every=0 --set refresh.embeddings_every=0"
)
TRAIN = f"train {SMALL} --run new --device cpu"
RESUME = "train --run tiny --resume --device cpu"
EVAL = "eval --run tiny --device cpu"
ENCODE = f"encode-refs {SMALL} --run tiny --force"
AUDIT = f"audit-dims {SMALL}"
STRICT = f"{AUDIT} --strict"
IMPUTE = "impute t.vcf -o out.vcf.gz --run mosaic"
EVAL_MOSAIC = "eval --run mosaic"


def weights(change: Callable[[dict[str, Tensor]], object], **sections: object) -> Make:
    """The run `tiny` with other weights, or of other settings."""

    def make(room: Room) -> None:
        workspace = room.work()
        with open_panel(workspace.panel) as panel:
            fingerprint = panel.fingerprint
        home.save_run(workspace, fingerprint, change, changed(**sections))

    return make


def put(name: str, value: float) -> Callable[[dict[str, Tensor]], object]:
    """One number of a tensor."""
    return lambda named: named[name].view(-1)[:1].fill_(value)


def inflate(named: dict[str, Tensor]) -> None:
    """Weights from which the next step comes to infinity."""
    named["norm.weight"].mul_(3e38)
    named["genotype_out.weight"].add_(3e38)
    named["haplotype_head.bias"].copy_(3e38 * named["haplotype_head.bias"].sign().add(1))


def of_shape(name: str, *shape: int) -> Callable[[dict[str, Tensor]], object]:
    return lambda named: named.update({name: torch.zeros(shape)})


def file(pattern: str, change: Callable[[bytes], bytes] | None) -> Make:
    """The first file of a pattern with its bytes changed, or gone."""

    def make(room: Room) -> None:
        room.work()
        path = min((room.folder / "work").glob(pattern))
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(path.read_bytes()))

    return make


def record(pattern: str, change: Callable[[dict], object]) -> Make:  # type: ignore[type-arg]
    """A JSON file with something changed, and sealed again where it was sealed."""

    def make(room: Room) -> None:
        room.work()
        path = min((room.folder / "work").glob(pattern))
        if path.name == "zarr.json":
            read = json.loads(path.read_bytes())
            change(read)
            path.write_text(json.dumps(read))
        else:
            tampering.edit_json(path, change)

    return make


def mosaic(change: Callable[[dict[str, np.ndarray]], object]) -> Make:  # type: ignore[type-arg]
    """The network of the run `mosaic` with other arrays, beside a target."""

    def make(room: Room) -> None:
        workspace = room.work()
        room.vcf(target_records(), NAMES, "t.vcf")
        path = workspace.run("mosaic") / weight_files.FILE
        arrays = {k: v.copy() for k, v in safetensors.numpy.load(path.read_bytes()).items()}
        change(arrays)
        weight_files.save(path, arrays, {})
        tampering.reseal(path.parent)

    return make


def raw_mosaic(content: bytes | None) -> Make:
    """The file of the network with other content, or gone."""

    def make(room: Room) -> None:
        workspace = room.work()
        room.vcf(target_records(), NAMES, "t.vcf")
        path = workspace.run("mosaic") / weight_files.FILE
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        tampering.reseal(path.parent)

    return make


def codebook(value: float) -> Make:
    """One number in the stored embeddings."""

    def make(room: Room) -> None:
        root = zarr.open_group(room.work().newest("embeddings"), mode="r+")
        block = root["codebook"][0]
        block[tokens.ALT, 3, 2] = value
        root["codebook"][0] = block

    return make


def mask(value: bool) -> Make:
    """A mask version that hides everything or nothing."""

    def make(room: Room) -> None:
        path = room.work().newest("masks")
        drawn = masks.read_masks(path)
        same = dataclasses.replace(drawn, is_masked=np.full_like(drawn.is_masked, value))
        masks.write_masks(path, same, overwrite=True)

    return make


def blind(room: Room) -> None:
    """A dense index and its embeddings, made under a mask that hides everything."""
    mask(True)(room)
    make_dense(Workspace(room.folder / "work"))


def make_dense(workspace: Workspace) -> None:
    """Dense embeddings under the newest mask, and their index."""
    dense, kind = EncodeOptions(layout="dense"), IndexOptions(kind="dense")
    encode.encode_refs(workspace, SETTINGS, dense, progress=Silent(), overwrite=True)
    build_index.build_index(workspace, kind, progress=Silent(), overwrite=True)


def index_rows(change: Callable[[dict], object]) -> Make:  # type: ignore[type-arg]
    return record(f"indexes/v0000/{manifest.NAME}", change)


def whole(room: Room) -> None:
    """Nothing is wrong with the stores."""
    room.work()


HEAD = "runs/tiny/checkpoints/best.json"
FILE = "runs/tiny/checkpoints/step-*.safetensors"


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    reports = command.startswith("audit-dims")
    return Case("models", name, make, command, exit_code, message, reports)


CASES = [
    case("NaN in weights", weights(put("norm.weight", np.nan)), EVAL, 1,
         "safetensors has a NaN or an infinity in norm.weight", "vcfbert train --run tiny --force"),
    case("NaN in weights", weights(put("encoder.token.weight", np.nan)), ENCODE, 1,
         "NaN or an infinity in encoder.token.weight", "vcfbert train --run tiny --force"),
    case("infinity in weights", weights(put("norm.weight", np.inf)), EVAL, 1,
         "NaN or an infinity in norm.weight"),
    case("infinity in weights", weights(put("norm.weight", np.inf)), f"{AUDIT} --run tiny", 1,
         "NaN or an infinity in norm.weight"),
    case("infinity in weights", weights(put("norm.weight", -np.inf)), RESUME, 1,
         "NaN or an infinity in norm.weight"),
    case("weights from which the loss is no number", weights(inflate), RESUME, 1,
         "model forward and backward", "diverged"),
    case("weights from which the loss is no number", weights(inflate), f"{STRICT} --run tiny", 1,
         "model forward and backward", "diverged"),
    case("NaN in mosaic", mosaic(lambda a: a["first"].fill(np.nan)), IMPUTE, 1,
         "mosaic.safetensors: the tensor first holds NaN or infinity",
         "vcfbert train --preset mosaic"),
    case("infinity in mosaic", mosaic(lambda a: a["last_bias"].fill(np.inf)), EVAL_MOSAIC, 1,
         "mosaic.safetensors: the tensor last_bias holds NaN or infinity"),
    case("a tensor of mosaic is missing", mosaic(lambda a: a.pop("second")), IMPUTE, 1,
         "the tensor 'second' is missing"),
    case("a tensor of mosaic of another shape",
         mosaic(lambda a: a.update(last=a["last"][:, :5])), IMPUTE, 1,
         "the tensor last has the shape",
         "Train again with: vcfbert train --preset mosaic"),
    case("a pickle in place of mosaic", raw_mosaic(pickle.dumps({"first": [1.0]})), IMPUTE, 1,
         "mosaic.safetensors is damaged", "vcfbert train --preset mosaic"),
    case("mosaic cut short", raw_mosaic(weight_files.shipped_path().read_bytes()[:999]), IMPUTE,
         1, "mosaic.safetensors is damaged", "vcfbert train --preset mosaic"),
    case("mosaic gone", raw_mosaic(None), IMPUTE, 1, "There is no network at", "vcfbert train"),
    case("a pickle in place of weights", file(FILE, lambda c: pickle.dumps({})), EVAL, 1,
         "is damaged: its SHA-256 differs from the recorded one",
         "vcfbert train --run tiny --force"),
    case("weights with a flipped byte", file(FILE, lambda c: flipped(c, len(c) - 9)), EVAL, 1,
         "is damaged: its SHA-256", "vcfbert train --run tiny --force"),
    case("weights with a flipped byte", file(FILE, lambda c: flipped(c, len(c) - 9)), ENCODE, 1,
         "is damaged: its SHA-256", "vcfbert train --run tiny --force"),
    case("weights gone", file(FILE, None), EVAL, 1, "Cannot read the checkpoint file",
         "vcfbert train --run tiny --force"),
    case("a checkpoint that is no JSON", file(HEAD, lambda c: b"{"), EVAL, 1,
         "best.json is damaged",
         "vcfbert train --run tiny --force"),
    case("a checkpoint that is a list", file(HEAD, lambda c: b"[]"), EVAL, 1, "best.json",
         "damaged", "vcfbert train --run tiny --force"),
    case("a checkpoint without settings", record(HEAD, lambda r: r.pop("config")), EVAL, 1,
         "best.json is damaged (KeyError('config'))", "vcfbert train --run tiny --force"),
    case("a checkpoint of settings nobody knows",
         record(HEAD, lambda r: r["config"]["model"].update(depth=3)), EVAL, 1,
         "best.json: unknown key 'model.depth'"),
    case("a checkpoint whose file lies elsewhere",
         record(HEAD, lambda r: r["files"]["weights"].update(name="../../../secret")), EVAL, 1,
         "checkpoints names '../../../secret', which is not in it",
         "vcfbert train --run tiny --force"),
    case("another vocabulary", record(HEAD, lambda r: r["vocabulary"].append("N")), EVAL, 1,
         "was trained with the vocabulary", "vcfbert train --run tiny --force"),
    case("another width than its settings", weights(of_shape("norm.weight", 32)), EVAL, 1,
         "has (32,) for norm.weight, but the network needs (16,)",
         "vcfbert train --run tiny --force"),
    case("a run of another width", weights(lambda w: None, model={"width": 32}),
         f"{AUDIT} --run tiny", 1, "The run tiny has model.width = 32", "ask for 16",
         "leave out --run"),
    case("embeddings of another width", whole, f"{STRICT} --set model.width=32", 0,
         "8 of 8 checks passed"),
    case("a NaN in embeddings", codebook(np.nan), AUDIT, 1, "embeddings", "Encode again with"),
    case("a NaN in embeddings", codebook(np.nan), STRICT, 1, "pre-encoding",
         "vcfbert encode-refs"),
    case("a NaN in embeddings", codebook(np.nan), TRAIN, 1, "pre-encoding", "vcfbert encode-refs"),
    case("infinity in embeddings", codebook(np.inf), TRAIN, 1, "pre-encoding",
         "vcfbert encode-refs"),
    case("more neighbours than references", whole, f"{TRAIN} --retrieve-k 500", 1,
         "retrieval.num_neighbours is 500", "has only 30 references", "--retrieve-k"),
    case("more neighbours than references", whole,
         f"{STRICT} --set retrieval.num_neighbours=500", 1, "500", "has only 30 references"),
    case("a mask that hides everything", mask(True), f"{EVAL} --mask-version 1", 1,
         "mask-v0001 hides every site", "vcfbert refresh --masks"),
    case("a mask that hides everything", mask(True), f"{EVAL_MOSAIC} --mask-version 1", 1,
         "mask-v0001 hides every site", "vcfbert refresh --masks"),
    case("a mask that hides nothing", mask(False), f"{EVAL} --mask-version 1", 1,
         "mask-v0001 hides no site of", "Choose other masks"),
    case("a dense index under a mask that hides everything", blind, f"{TRAIN} {STILL}", 1,
         "batch collation", "no site is visible"),
    case("an index of samples who are tested",
         index_rows(lambda r: r["reference_haplotypes"].__setitem__(0, 14)), EVAL, 1,
         "The run tiny was trained with an index", "vcfbert build-index --force"),
    case("an index of samples who are tested",
         index_rows(lambda r: r["reference_haplotypes"].__setitem__(0, 14)), STRICT, 1,
         "FAISS retrieval", "vcfbert build-index --force"),
]  # fmt: skip
