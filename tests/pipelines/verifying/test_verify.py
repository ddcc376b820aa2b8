"""verify: an intact workspace passes, and every kind of damage is found and reported."""

import json
import re
import shutil

import numpy as np
import pysam
import pytest
from safetensors.torch import load_file, save_file

from tests import panels, tampering
from tests.pipelines import workspaces
from vcfbert.errors import StoreError
from vcfbert.files import digests, seals
from vcfbert.pipelines.systems import build_index
from vcfbert.pipelines.systems.build_index import IndexOptions
from vcfbert.pipelines.verifying import verify as pipeline
from vcfbert.pipelines.verifying.verify import VerifyOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import panel as panel_store
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import weight_files

PANEL, QC = "panel.zarr/20.zarr", "panel.qc.json"
MASKS, DENSE, CODEBOOK = "masks/v0000.zarr", "embeddings/v0000.zarr", "embeddings/v0001.zarr"
DENSE_INDEX, EXACT_INDEX = "indexes/v0000", "indexes/v0001"
TINY, MOSAIC = "runs/tiny", "runs/mosaic"


@pytest.fixture(scope="session")
def fx_whole(tmp_path_factory):
    """A workspace with everything, and the VCF of its panel; read-only."""
    return workspaces.whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def fx_own(fx_whole, tmp_path):
    """A copy to damage."""
    shutil.copytree(fx_whole[0].root, tmp_path / "work")
    return Workspace(tmp_path / "work")


def verify(workspace, source=None):
    return pipeline.verify(workspace, VerifyOptions(source=source), progress=Silent())


def failed(workspace):
    """The faults of each store that has any, as one text."""
    return {
        store.place: "\n".join(store.faults) for store in verify(workspace).stores if store.faults
    }


def test_a_whole_workspace_passes_and_every_store_is_named(fx_whole):
    summary = verify(*fx_whole)
    assert summary.faults == []
    assert summary.notes == []
    places = [store.place for store in summary.stores]
    assert places == [
        PANEL, "source panel.vcf.gz", QC, MASKS, "masks/v0001.zarr", DENSE, CODEBOOK, DENSE_INDEX,
        EXACT_INDEX, MOSAIC, TINY, "shipped network",
    ]  # fmt: skip
    assert all(line.startswith("passed") for line in summary.lines()[:-1])
    assert json.loads(summary.to_json())["passed"] is True
    summary.raise_faults()
    with panel_store.open_panel(fx_whole[0].panel) as panel:
        sites = len(panel.sites)
    assert 0 < sites < 120  # some are dropped by the filter, and that is no fault
    assert f"{sites:,} sites, {60 * sites:,} genotypes compared" in summary.lines()[1]


@pytest.mark.parametrize(
    ("store", "name", "damage"),
    [
        (PANEL, "zarr.json", "flip"),
        (PANEL, "sites/position/c/0", "flip"),
        (PANEL, "alleles/c/2/0/0", "cut"),
        (PANEL, "alleles/c/1/0/0", "delete"),
        (PANEL, "sites/ref/zarr.json", "delete"),
        (PANEL, seals.NAME, "flip"),
        (PANEL, seals.NAME, "delete"),
        (MASKS, "zarr.json", "flip"),
        (MASKS, "is_masked/c/0/0", "cut"),
        (DENSE, "masked/c/1/0/0/0", "flip"),
        (DENSE, "complete/zarr.json", "flip"),
        (CODEBOOK, "codebook/c/0/0/0/0", "delete"),
        (DENSE_INDEX, "w00001.faiss", "flip"),
        (DENSE_INDEX, "w00000.faiss", "cut"),
        (EXACT_INDEX, "manifest.json", "flip"),
        (TINY, "checkpoints/last.json", "flip"),
        (TINY, "checkpoints/last.json", "delete"),
        (TINY, "checkpoints/best.json", "cut"),
        (TINY, "checkpoints/best.json", "delete"),
        (TINY, "config.toml", "flip"),
        (TINY, "run.json", "flip"),
        (TINY, "metrics.csv", "delete"),
        (TINY, "refresh.csv", "cut"),
        (MOSAIC, "mosaic.safetensors", "flip"),
        (MOSAIC, "metrics.csv", "cut"),
        (MOSAIC, "config.toml", "delete"),
        (QC, "", "flip"),
        (QC, "", "delete"),
    ],
)
def test_a_damaged_file_is_found_and_named(fx_own, store, name, damage):
    path = fx_own.root / store / name
    if damage == "flip":
        tampering.flip(path, 8 * (path.stat().st_size // 2) + 3)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    found = failed(fx_own)
    assert list(found) == [store]  # and none of its children
    assert path.name in found[store]
    assert "vcfbert" in found[store]


def test_all_faults_are_listed(fx_own):
    for name in ("alleles/c/0/0/0", "alleles/c/1/0/0", "sites/cm/c/0"):
        tampering.flip(fx_own.root / PANEL / name, 100)
    (fx_own.root / MASKS / "stranger").write_text("x")
    summary = verify(fx_own)
    assert summary.num_failed == 2
    text = "\n".join(summary.lines())
    for name in ("alleles/c/0/0/0", "alleles/c/1/0/0", "sites/cm/c/0"):
        assert f"{name} is damaged: its SHA-256" in text
    assert "stranger is not part of the store" in text
    with pytest.raises(StoreError, match=r"2 of 11 stores .* failed with 4 faults"):
        summary.raise_faults()


def test_two_chunks_that_changed_places_are_found(fx_own):
    folder = fx_own.root / PANEL / "alleles" / "c"
    (folder / "0").rename(folder / "x")
    (folder / "1").rename(folder / "0")
    (folder / "x").rename(folder / "1")
    assert "alleles/c/0/0/0 is damaged" in failed(fx_own)[PANEL]


def rewritten(store, name, change):
    """Change an array of a store and seal it again, as a fault of the program would leave it."""
    import zarr

    array = zarr.open_array(store / name, mode="r+")
    values = array[...]
    change(values)
    array[...] = values
    tampering.reseal(store)


def put(index, value):
    return lambda values: values.__setitem__(index, value)


def flipped(index, bits):
    return lambda values: values.__setitem__(index, values[index] ^ bits)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("alleles", flipped((1, 0, 0), 1), "the alleles of window 1 do not match"),
        ("alleles", flipped((1, 0, -1), 128), "window 1 has alleles after its last site"),
        (
            "windows/core_stop",
            put(0, 20),
            "window [01] .* does not continue",
        ),
        ("sites/position", put(3, 1), "the position decreases at site 3"),
        ("sites/cm", put(-1, 0.0), "the centimorgans decrease at site"),
        ("sites/type", put(0, 2), "sites/type does not match REF and ALT"),
        ("sites/alt_count", put((0, 0), 999), "counts below 0 or above the number of haplotypes"),
        ("samples/split", put(0, 7), "codes other than 0, 1 and 2"),
    ],
)
def test_faults_that_no_checksum_shows_are_found_in_the_panel(fx_own, name, change, sentence):
    rewritten(fx_own.root / PANEL, name, change)
    found = verify(fx_own).stores[0].faults
    assert any(re.search(sentence, fault) for fault in found), found


def test_alleles_that_trade_places_keep_the_counts_but_not_the_fingerprint(fx_own):
    def exchange(values):
        values[:, [0, 1]] = values[:, [1, 0]]  # one sample's haplotypes

    rewritten(fx_own.root / PANEL, "alleles", exchange)
    assert "its fingerprint does not match its content" in failed(fx_own)[PANEL]


def test_faults_that_no_checksum_shows_are_found_in_other_stores(fx_own):
    rewritten(fx_own.root / MASKS, "is_masked", flipped((0, 0), True))
    rewritten(fx_own.root / CODEBOOK, "codebook", put((0, 0, 0, 0), np.nan))
    found = failed(fx_own)
    assert "its masks are not those that were written" in found[MASKS]
    assert "the codebook of window 0 contains NaN or infinity" in found[CODEBOOK]


def test_dense_embeddings_that_are_not_of_their_haplotypes_are_found(fx_own):
    tampering.flip(fx_own.root / DENSE / "masked" / "c" / "1" / "0" / "0" / "0", 999)
    tampering.reseal(fx_own.root / DENSE)
    found = failed(fx_own)
    assert "masked of window 1, rows 0 to" in found[DENSE]
    assert list(found) == [DENSE]


def test_a_dense_index_that_is_not_of_its_embeddings_is_found(fx_own):
    folder = fx_own.root / DENSE_INDEX

    def exchange(record):
        record["masks"][0], record["masks"][1] = record["masks"][1], record["masks"][0]

    tampering.edit_json(folder / "manifest.json", exchange)
    assert "window 0 does not contain the haplotypes of its rows" in failed(fx_own)[DENSE_INDEX]


def test_half_precision_embeddings_are_compared_with_the_panel(tmp_path):
    home = panels.small_workspace(tmp_path)
    workspaces.build(home, workspaces.DENSE, layout="dense", kind="dense", dtype="float16")
    assert set(failed(home)) == {QC}  # which a panel that is not from a VCF lacks
    tampering.flip(home.root / DENSE / "masked" / "c" / "1" / "0" / "0" / "0", 999)
    tampering.reseal(home.root / DENSE)
    assert "masked of window 1, rows 0 to" in failed(home)[DENSE]


@pytest.mark.parametrize("place", [1, 2], ids=["padding", "alleles"])
def test_a_fast_index_that_is_not_of_its_haplotypes_is_found(fx_own, place):
    options = IndexOptions(kind="fast")
    path = build_index.build_index(fx_own, options, progress=Silent(), overwrite=True).path
    assert EXACT_INDEX not in failed(fx_own)  # which it has replaced
    file = path / "w00001.faiss"
    content = bytearray(file.read_bytes())
    content[-9 - place] ^= 1  # 9 bytes follow the codes
    file.write_bytes(content)

    def follow(record):
        record["files"][1]["sha256"] = digests.of_file(file)

    tampering.edit_json(path / "manifest.json", follow)
    assert "window 1 does not contain the haplotypes of its rows" in failed(fx_own)[EXACT_INDEX]


def test_an_index_whose_files_changed_places_under_its_manifest_is_found(fx_own):
    folder = fx_own.root / EXACT_INDEX

    def exchange(record):
        first, second = record["files"][:2]
        first["name"], second["name"] = second["name"], first["name"]
        first["sha256"], second["sha256"] = second["sha256"], first["sha256"]

    tampering.edit_json(folder / "manifest.json", exchange)
    assert "window 0 does not contain the haplotypes of its rows" in failed(fx_own)[EXACT_INDEX]


def test_stores_of_another_panel_are_stale(fx_own):
    panels.write_small_panel(fx_own.panel, overwrite=True)
    found = failed(fx_own)
    assert {QC, MASKS, DENSE, CODEBOOK, DENSE_INDEX, EXACT_INDEX, TINY, MOSAIC} <= set(found)
    assert "made from another panel" in found[MOSAIC]


def test_an_index_that_lost_its_parents_is_stale_and_so_is_its_run(fx_own):
    shutil.rmtree(fx_own.root / DENSE)
    found = failed(fx_own)
    assert "embeddings that are no longer in this workspace" in found[DENSE_INDEX]
    shutil.rmtree(fx_own.root / EXACT_INDEX)
    shutil.rmtree(fx_own.root / DENSE_INDEX)
    found = failed(fx_own)
    assert "made from indexes that are no longer in this workspace" in found[TINY]


def test_weights_that_are_not_finite_are_found(fx_own):
    path = next((fx_own.root / TINY / "checkpoints").glob("*.optimizer.safetensors"))
    moments = load_file(path)
    next(value for value in moments.values() if value.dim())[0] = float("nan")
    save_file(moments, path)

    def measure(record):
        record["files"]["optimizer"]["sha256"] = digests.of_file(path)

    tampering.edit_json(path.parent / "last.json", measure)
    assert "has a NaN or an infinity in" in failed(fx_own)[TINY]


def test_checkpoints_that_changed_names_are_found(fx_own):
    folder = fx_own.root / TINY / "checkpoints"
    (folder / "best.json").replace(folder / "last.json")
    found = failed(fx_own)[TINY]
    assert "last.json was written as best.json" in found


def test_a_shipped_network_that_changed_is_found(fx_whole, tmp_path, monkeypatch):
    path = tmp_path / "mosaic.safetensors"
    shutil.copy(weight_files.shipped_path(), path)
    tampering.flip(path, 8 * (path.stat().st_size - 20))  # a low bit of a weight
    monkeypatch.setattr(weight_files, "shipped_path", lambda: path)
    assert "is not the network that comes with this" in failed(fx_whole[0])["shipped network"]


def test_leftovers_of_a_killed_command_are_notes(fx_own):
    (fx_own.root / "masks" / f".v0002.zarr.vcfbert-{'7' * 32}.partial").mkdir()
    (fx_own.root / TINY / "checkpoints" / "step-00000099.safetensors").write_bytes(b"")
    path = fx_own.root / TINY / "metrics.csv"
    path.write_bytes(path.read_bytes() + b"3,9\n")
    fresh = fx_own.root / "runs" / "fresh"
    shutil.copytree(fx_own.root / TINY, fresh)
    shutil.rmtree(fresh / "checkpoints")
    summary = verify(fx_own)
    assert summary.faults == []
    text = "\n".join(summary.notes)
    for words in (
        "77.partial belongs to a running",
        "rows after the last",
        "fresh was stopped before",
    ):
        assert words in text
    assert "step-00000099.safetensors belongs to no checkpoint" in text


def test_a_missing_workspace_and_a_missing_panel_are_reported(tmp_path):
    with pytest.raises(StoreError, match="No workspace at"):
        verify(Workspace(tmp_path / "absent"))
    assert "No store at" in verify(Workspace(tmp_path)).faults[0]
    faults = verify(Workspace(tmp_path), tmp_path / "panel.vcf.gz").faults
    assert any("was not compared" in fault for fault in faults)


@pytest.fixture(scope="module")
def fx_records(fx_whole):
    """Lines of the source."""
    with pysam.BGZFile(str(fx_whole[1])) as stream:
        return [line.decode() for line in stream]


def compared(fx_whole, lines, tmp_path):
    path = tmp_path / "other.vcf"
    path.write_text("\n".join(lines) + "\n")
    return "\n".join(verify(fx_whole[0], path).stores[1].faults)


def test_the_source_finds_one_changed_genotype(fx_whole, fx_records, tmp_path):
    with panel_store.open_panel(fx_whole[0].panel) as panel:
        position = int(panel.sites.position[5])
    place = next(n for n, line in enumerate(fx_records) if line.startswith(f"20\t{position}\t"))
    fields = fx_records[place].split("\t")
    before = fields[9 + 17]
    fields[9 + 17] = "1|1" if before != "1|1" else "0|1"
    lines = [*fx_records[:place], "\t".join(fields), *fx_records[place + 1 :]]
    found = compared(fx_whole, lines, tmp_path)
    assert "1 of" in found
    assert f"s17 at 20:{position} A>G has {before}, but {fields[9 + 17]} in the file" in found


def test_the_source_finds_lost_added_and_renamed_sites_and_samples(fx_whole, fx_records, tmp_path):
    head, body = fx_records[:5], fx_records[5:]
    with panel_store.open_panel(fx_whole[0].panel) as panel:
        kept = set(panel.sites.position.tolist())
    known = [n for n, line in enumerate(body) if int(line.split("\t")[1]) in kept]
    without = [line for n, line in enumerate(body) if n != known[0]]
    assert "1 site is not in" in compared(fx_whole, head + without, tmp_path)
    twice = [*body, body[known[0]].replace("\t" + body[known[0]].split("\t")[1], "\t999999", 1)]
    assert "missing although no filter drops it: 20:999999 A>G" in compared(
        fx_whole, head + twice, tmp_path
    )
    renamed = [
        line.replace("\trs", "\trx") if n == known[0] else line for n, line in enumerate(body)
    ]
    assert "1 site has another ID" in compared(fx_whole, head + renamed, tmp_path)
    samples = [*head[:-1], head[-1].replace("\ts3\t", "\tt3\t")]
    assert "does not have 1 of the panel's samples (s3, ...)" in compared(
        fx_whole, samples + body, tmp_path
    )
