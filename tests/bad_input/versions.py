"""Stores, indexes, models and masks of different versions, or of another format."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable

from tests import panels, tampering
from tests.bad_input.case import Case
from tests.bad_input.models import (
    AUDIT,
    EVAL,
    EVAL_MOSAIC,
    HEAD,
    IMPUTE,
    RESUME,
    STILL,
    STRICT,
    TRAIN,
    file,
    make_dense,
    record,
    whole,
)
from tests.bad_input.room import NAMES, Make, Room, flipped, target_records
from tests.pipelines.workspaces import SMALL as SETTINGS
from vcfbert.pipelines.systems import encode, refresh
from vcfbert.pipelines.systems.encode import EncodeOptions
from vcfbert.pipelines.systems.refresh import RefreshOptions
from vcfbert.progress import Silent
from vcfbert.retrieval import manifest
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import weight_files

SMALL = "--preset tiny --set model.width=16 --set model.num_layers=1"
ENCODE = f"encode-refs {SMALL} --force"
DENSE = f"{ENCODE} --layout dense"
INDEX = "build-index --force"
PANEL_CHUNK = "panel.zarr/20.zarr/alleles/c/0/0/0"
MANIFEST = f"indexes/v0000/{manifest.NAME}"


def attribute(pattern: str, name: str, value: object) -> Make:
    """A store that says something else of itself, beside a target."""

    def make(room: Room) -> None:
        record(pattern, lambda read: read["attributes"].update({name: value}))(room)
        room.vcf(target_records(), NAMES, "t.vcf")

    return make


def other_panel(room: Room) -> None:
    """All stores stand, but the panel was prepared anew from other samples."""
    workspace = room.work()
    panels.write_small_panel(
        workspace.panel, num_samples=20, num_sites=41, length=16, seed=8, overwrite=True
    )


def without_runs(room: Room) -> None:
    """Nothing but stores, so that only the seed can tell whose embeddings they are."""
    shutil.rmtree(room.work().root / "runs")


def dense(then: Callable[[Workspace], object]) -> Make:
    """A dense index, after which something is renewed."""

    def make(room: Room) -> None:
        workspace = room.work()
        make_dense(workspace)
        then(workspace)

    return make


def encode_again(workspace: Workspace) -> None:
    """Embeddings of other weights."""
    options = EncodeOptions(layout="dense")
    other = dataclasses.replace(SETTINGS, seed=9)
    encode.encode_refs(workspace, other, options, progress=Silent(), overwrite=True)


def drop_masks(workspace: Workspace) -> None:
    """Its mask version is gone, another has come."""
    refresh.refresh(workspace, SETTINGS, RefreshOptions(masks=True), progress=Silent())
    for version in workspace.versions("masks")[:-1]:
        shutil.rmtree(workspace.version("masks", version))


def mosaic_format(room: Room) -> None:
    """A network in the format of another version."""
    workspace = room.work()
    room.vcf(target_records(), NAMES, "t.vcf")
    path = workspace.run("mosaic") / weight_files.FILE
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    facts = json.loads(header["__metadata__"]["vcfbert"]) | {"format_version": "0"}
    header["__metadata__"]["vcfbert"] = json.dumps(facts)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    tampering.reseal(path.parent)


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    reports = command.startswith("audit-dims")
    return Case("versions", name, make, command, exit_code, message, reports)


PANEL, OF_PANEL = "panel.zarr/20.zarr/zarr.json", "work/panel.zarr/20.zarr"
VERSION = "format_version"
AGAIN = "vcfbert prepare PANEL --force"

CASES = [
    case("panel in another format", attribute(PANEL, VERSION, 99), IMPUTE, 1,
         f"{OF_PANEL} has format version 99", AGAIN),
    case("panel in another format", attribute(PANEL, VERSION, 99), TRAIN, 1,
         f"{OF_PANEL} has format version 99", AGAIN),
    case("panel in another format", attribute(PANEL, VERSION, 99), EVAL, 1,
         f"{OF_PANEL} has format version 99", AGAIN),
    case("panel in another format", attribute(PANEL, VERSION, 99), AUDIT, 1,
         f"{OF_PANEL} has format version 99", AGAIN),
    case("panel in another format", attribute(PANEL, VERSION, None), INDEX, 1,
         f"{OF_PANEL} has format version None", AGAIN),
    case("masks in place of the panel", attribute(PANEL, "vcfbert_kind", "masks"), IMPUTE, 1,
         f"{OF_PANEL} is a store of the kind 'masks', but 'panel' is needed",
         "vcfbert prepare PANEL"),
    case("a chunk of the panel is gone", file(PANEL_CHUNK, None), ENCODE, 0, "Encoded"),
    case("a chunk of the panel is gone", file(PANEL_CHUNK, None), INDEX, 1,
         "alleles/c/0/0/0 is missing", "--force"),
    case("a chunk of the panel is gone", file(PANEL_CHUNK, None), STRICT, 1, "dataset",
         "alleles/c/0/0/0 is missing"),
    case("a chunk of the panel has a flipped byte", file(PANEL_CHUNK, lambda c: flipped(c, 30)),
         INDEX, 1, "alleles of window 0 in", "is damaged", AGAIN),
    case("a panel that is no store", file(PANEL, lambda c: b"{"), INDEX, 1,
         f"{OF_PANEL} is not a readable Zarr store", AGAIN),
    case("no panel", lambda room: None, TRAIN, 1, "No store at work/panel.zarr",
         "vcfbert prepare PANEL"),
    case("no panel", lambda room: None, ENCODE, 1, "No store at work/panel.zarr",
         "vcfbert prepare PANEL"),
    case("no panel", lambda room: None, "refresh --masks", 1, "No store at work/panel.zarr",
         "vcfbert prepare PANEL"),
    case("masks of another panel", other_panel, f"{EVAL} --mask-version 0", 1, "another panel"),
    case("masks of another panel", other_panel, f"{DENSE} --mask-version 0", 1,
         "masks/v0000.zarr was made from another panel", "vcfbert refresh --masks"),
    case("masks in another format", attribute("masks/v0000.zarr/zarr.json", VERSION, 99),
         f"{EVAL} --mask-version 0", 1, "masks/v0000.zarr has format version 99"),
    case("a mask version that is not there", whole, f"{EVAL} --mask-version 7", 1,
         "No mask version 7", "there are: 0, 1", "vcfbert refresh --masks"),
    case("masks with a flipped byte",
         file("masks/v0000.zarr/is_masked/c/0/0", lambda c: flipped(c, 5)),
         f"{EVAL} --mask-version 0", 1, "masks/v0000.zarr", "vcfbert refresh --masks"),
    case("index of another panel", other_panel, TRAIN, 1,
         "indexes/v0000 was made from another panel", "vcfbert build-index --force"),
    case("index in another format", record(MANIFEST, lambda r: r.update(format_version=99)), EVAL,
         1, "indexes/v0000 has format version 99", "vcfbert build-index --force"),
    case("index without its list", file(MANIFEST, None), EVAL, 1, "No store at work/indexes/v0000",
         "vcfbert build-index"),
    case("index with a flipped byte",
         file("indexes/v0000/w00000.faiss", lambda c: flipped(c, len(c) - 9)), EVAL, 1,
         "w00000.faiss is damaged: its SHA-256", "vcfbert build-index --force"),
    case("index with fewer windows", record(MANIFEST, lambda r: r["files"].pop()), AUDIT, 1,
         "index windows: ", "Rebuild it with: vcfbert build-index --force"),
    case("index with fewer windows", record(MANIFEST, lambda r: r["files"].pop()), EVAL, 1,
         "indexes/v0000", "vcfbert build-index --force"),
    case("dense index, the embeddings renewed", dense(encode_again),
         f"train {SMALL} --set retrieval.num_neighbours=6 {STILL} --seed 9 --run new", 1,
         "the embeddings that it was made from are not in work",
         "vcfbert build-index --kind dense --force"),
    case("dense index, its masks gone", dense(drop_masks),
         f"train {SMALL} --set retrieval.num_neighbours=6 {STILL} --run new", 1,
         "was made from another mask version", "vcfbert build-index --kind dense"),
    case("dense index and masks that are renewed", dense(lambda room: None), TRAIN, 1,
         "is a dense index", "refresh.masks_every=0"),
    case("another index than the run's", dense(lambda room: None), EVAL, 1,
         "The run tiny was trained with an index", "work/indexes/v0000 (dense, ",
         "vcfbert build-index --force"),
    case("stores of another panel", other_panel, AUDIT, 1, "masks parent panel",
         "vcfbert refresh --masks; also failed: index parent panel, run parent panel"),
    case("embeddings of another panel", other_panel, STRICT, 1, "another panel"),
    case("embeddings in another format",
         attribute("embeddings/v0000.zarr/zarr.json", VERSION, 99), STRICT, 1,
         "embeddings/v0000.zarr has format version 99", "vcfbert encode-refs"),
    case("embeddings of another seed", without_runs, f"{STRICT} --set seed=9", 0,
         "8 of 8 checks passed"),
    case("run of another panel", other_panel, EVAL, 1,
         "The run tiny was trained on another panel", "vcfbert train --run tiny --force"),
    case("run of another panel", other_panel, EVAL_MOSAIC, 1,
         "The run mosaic was trained on another panel", "vcfbert train --run mosaic --force"),
    case("run of another panel", other_panel, RESUME, 1, "another panel"),
    case("run of another panel", other_panel, "compare tiny mosaic", 1, "another panel"),
    case("run in another format", record(HEAD, lambda r: r.update(format_version=99)), EVAL, 1,
         "best.json has format version 99", "vcfbert train --run tiny --force"),
    case("a run that is not there", whole, "eval --run absent", 1, "No run 'absent'",
         "there are: mosaic, tiny", "vcfbert train --run absent"),
    case("a run that is not there", whole, "train --run absent --resume", 1,
         "has no last checkpoint", "vcfbert train --run absent"),
    case("a run that is there", whole, f"train {SMALL} --run tiny", 1, "already exists", "--resume",
         "--force"),
    case("settings of another run", whole, f"{RESUME} --set model.num_layers=2", 1,
         "model.num_layers = 1", "cannot be resumed with 2"),
    case("mosaic that goes on", whole, "train --run mosaic --resume", 1, "cannot be resumed",
         "--force"),
    case("mosaic in another format", mosaic_format, IMPUTE, 1, "different format version",
         "vcfbert train --preset mosaic"),
    case("a run that impute cannot read", whole, "impute t.vcf -o out.vcf.gz --run tiny", 1,
         "is not of mosaic", "vcfbert train --preset mosaic"),
    case("a store that is there", whole, "build-index", 1, "indexes/v0000 already exists",
         "--force"),
    case("a store that is there", whole, f"encode-refs {SMALL}", 1,
         "embeddings/v0000.zarr already exists", "--force"),
]  # fmt: skip
