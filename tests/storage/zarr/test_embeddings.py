"""Both layouts of the embeddings store give the same numbers, and refuse what does not fit."""

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import numpy.testing as npt
import pytest
import zarr

from vcfbert.domain import tokens
from vcfbert.errors import ConfigError, DeviceError, StoreError
from vcfbert.storage.zarr import embeddings, stores
from vcfbert.storage.zarr.masks import MaskVersion

WINDOWS, ROWS, LENGTH, WIDTH = 3, 11, 10, 4
RNG = np.random.default_rng(0)
CODEBOOKS = RNG.standard_normal((WINDOWS, tokens.VOCABULARY_SIZE, LENGTH, WIDTH)).astype("f4")
TOKENS = RNG.integers(2, size=(WINDOWS, ROWS, LENGTH), dtype=np.uint8)
TOKENS[2, :, 7:] = tokens.PAD
MASK = MaskVersion(
    version=5,
    policy="random",
    rate=0.5,
    seed=1,
    role="train",
    panel_fingerprint="p",
    is_masked=(RNG.random((WINDOWS, LENGTH)) < 0.5) & (TOKENS[:, 0] != tokens.PAD),
)
HAPLOTYPES = np.arange(0, 2 * ROWS, 2)
ENCODER = {"token": np.ones((2, 3), "f4"), "scale": np.arange(4, dtype="f4")}


def write_codebook(path: Path, **changes) -> None:
    settings = {
        "panel_fingerprint": "p",
        "encoder": ENCODER,
        "reference_haplotypes": HAPLOTYPES,
    }
    embeddings.write_codebook(path, iter(CODEBOOKS), **(settings | changes))


def write_dense(path: Path, **changes) -> None:
    settings = {"encoder": ENCODER, "reference_haplotypes": HAPLOTYPES}
    embeddings.write_dense(
        path, iter(CODEBOOKS), lambda w, rows: TOKENS[w, rows], MASK, **(settings | changes)
    )


@pytest.fixture
def fx_paths(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A codebook and a dense store of the same encoder; dense written two rows at a time."""
    monkeypatch.setattr(embeddings, "_BLOCK_BYTES", 2 * LENGTH * WIDTH * 4)
    write_codebook(tmp_path / "codebook.zarr")
    write_dense(tmp_path / "dense.zarr")
    return tmp_path / "codebook.zarr", tmp_path / "dense.zarr"


def test_both_layouts_give_bit_identical_embeddings(fx_paths):
    rows = np.array([3, 0, 10, 3])
    with (
        embeddings.open_embeddings(fx_paths[0]) as by_codebook,
        embeddings.open_embeddings(fx_paths[1]) as dense,
    ):
        for window in range(WINDOWS):
            complete = TOKENS[window, rows]
            masked = tokens.hide(complete, MASK.is_masked[window])
            expected = CODEBOOKS[window][complete, np.arange(LENGTH)]
            for reader in (by_codebook, dense):
                npt.assert_array_equal(reader.codebook(window), CODEBOOKS[window])
                npt.assert_array_equal(reader.complete(window, rows, complete), expected)
            npt.assert_array_equal(
                by_codebook.masked(window, rows, masked), dense.masked(window, rows, masked)
            )
            npt.assert_array_equal(
                dense.dense_masked(window)[rows], dense.masked(window, rows, masked)
            )


def test_a_store_says_what_it_was_made_of(fx_paths):
    prints = set()
    for path in fx_paths:
        with embeddings.open_embeddings(path) as reader:
            assert reader.panel_fingerprint == "p"
            assert reader.encoder_fingerprint == embeddings.encoder_fingerprint(ENCODER)
            assert (reader.num_windows, reader.length, reader.width) == (WINDOWS, LENGTH, WIDTH)
            npt.assert_array_equal(reader.reference_haplotypes, HAPLOTYPES)
            prints.add(reader.fingerprint)
            if reader.layout == "dense":
                assert reader.parents["masks"] == MASK.fingerprint
                assert reader.mask_version == 5
                npt.assert_array_equal(reader.is_masked(), MASK.is_masked)
    assert len(prints) == 2


def test_zarr_reads_the_chunks_that_were_written_as_plain_files(fx_paths):
    root = zarr.open_group(fx_paths[1], mode="r")
    expected = np.stack(
        [CODEBOOKS[w][TOKENS[w], np.arange(LENGTH)] for w in range(WINDOWS)], axis=0
    )
    npt.assert_array_equal(root["complete"][...], expected)
    assert root["masked"].shape == expected.shape


def test_a_dense_store_refuses_another_mask_and_counts_the_sites(fx_paths):
    with embeddings.open_embeddings(fx_paths[1]) as reader:
        is_masked = MASK.is_masked[0].copy()
        is_masked[[2, 5]] ^= True
        masked = tokens.hide(TOKENS[0, :2], is_masked)
        with pytest.raises(StoreError, match=r"mask version 5, which differs .* at 2 sites"):
            reader.masked(0, np.arange(2), masked)


def test_a_codebook_store_serves_every_mask_but_holds_no_dense_rows(fx_paths):
    with embeddings.open_embeddings(fx_paths[0]) as reader:
        for seed in range(3):
            is_masked = np.random.default_rng(seed).random(LENGTH) < 0.5
            masked = tokens.hide(TOKENS[1, :2], is_masked)
            npt.assert_array_equal(
                reader.masked(1, np.arange(2), masked), CODEBOOKS[1][masked, np.arange(LENGTH)]
            )
        with pytest.raises(StoreError, match="'dense' is needed"):
            reader.dense_masked(0)


def test_dense_refuses_before_writing_when_the_disk_is_short(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2000, 1000, 1000))
    needed = embeddings.dense_bytes(WINDOWS, ROWS, LENGTH, WIDTH)
    with pytest.raises(DeviceError, match=f"need {needed:,} bytes, but the disk has 1,000 free"):
        write_dense(tmp_path / "dense.zarr")
    assert list(tmp_path.iterdir()) == []


def test_estimated_bytes_are_those_on_disk(fx_paths):
    files = [path for path in fx_paths[1].rglob("*") if path.parent.name == "0"]
    arrays = [path for path in files if "is_masked" not in str(path)]
    on_disk = sum(path.stat().st_size for path in arrays if path.is_file())
    estimated = embeddings.dense_bytes(WINDOWS, ROWS, LENGTH, WIDTH)
    assert on_disk == pytest.approx(estimated, rel=0.05)


def test_a_failed_write_leaves_what_stood_there(fx_paths):
    def breaking():
        yield CODEBOOKS[0]
        raise RuntimeError("stopped")

    with pytest.raises(StoreError, match="already exists"):
        write_codebook(fx_paths[0])
    with pytest.raises(RuntimeError, match="stopped"):
        embeddings.write_codebook(
            fx_paths[0],
            breaking(),
            panel_fingerprint="p",
            encoder={"token": np.zeros(1, "f4")},
            reference_haplotypes=HAPLOTYPES,
            overwrite=True,
        )
    with embeddings.open_embeddings(fx_paths[0]) as reader:
        assert reader.encoder_fingerprint == embeddings.encoder_fingerprint(ENCODER)
    assert len(list(fx_paths[0].parent.iterdir())) == 2


def test_the_encoder_reads_back_in_both_layouts(fx_paths):
    for path in fx_paths:
        with embeddings.open_embeddings(path) as reader:
            found = reader.encoder_weights()
            assert sorted(found) == sorted(ENCODER)
            for name, value in ENCODER.items():
                npt.assert_array_equal(found[name], value)


def test_another_encoder_under_the_same_name_is_damage(fx_paths):
    root = zarr.open_group(fx_paths[0], mode="r+")
    root["encoder"][0] = 7
    with (
        embeddings.open_embeddings(fx_paths[0]) as reader,
        pytest.raises(StoreError, match="is da"),
    ):
        reader.encoder_weights()


def test_damage_is_named(fx_paths):
    chunk = fx_paths[0].joinpath("codebook", "c", "1", "0", "0", "0")
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with embeddings.open_embeddings(fx_paths[0]) as reader:
        reader.codebook(0)
        with pytest.raises(StoreError, match=r"codebook.*is damaged"):
            reader.codebook(1)
    lost = fx_paths[1].joinpath("complete", "c", "2", "0", "0", "0")
    lost.write_bytes(lost.read_bytes()[:-4])
    with (
        embeddings.open_embeddings(fx_paths[1]) as reader,
        pytest.raises(StoreError, match="damaged or missing"),
    ):
        reader.complete(2, np.arange(1), TOKENS[2, :1])


def test_a_half_precision_store_has_the_rounded_vectors_in_half_the_space(tmp_path, fx_paths):
    write_dense(tmp_path / "half.zarr", dtype="float16")
    rows = np.array([3, 0, 10])
    with (
        embeddings.open_embeddings(tmp_path / "half.zarr") as half,
        embeddings.open_embeddings(fx_paths[1]) as whole,
    ):
        assert (half.dtype, whole.dtype) == ("float16", "float32")
        assert half.fingerprint != whole.fingerprint
        assert half.dense_masked(0).dtype == np.float16
        for window in range(WINDOWS):
            npt.assert_array_equal(half.codebook(window), whole.codebook(window))
            for name in ("complete", "masked"):
                shown = TOKENS[window, rows]
                if name == "masked":
                    shown = tokens.hide(shown, MASK.is_masked[window])
                found = getattr(half, name)(window, rows, shown)
                true = getattr(whole, name)(window, rows, shown)
                assert found.dtype == np.float32
                npt.assert_array_equal(found, true.astype(np.float16))
    sizes = [
        (path / "complete" / "c" / "0" / "0" / "0" / "0").stat().st_size
        for path in (tmp_path / "half.zarr", fx_paths[1])
    ]
    assert sizes == [ROWS * (size * LENGTH * WIDTH + 16) for size in (2, 4)]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_zarr_reads_one_haplotype_of_one_window_alone(tmp_path, dtype):
    write_dense(tmp_path / "dense.zarr", dtype=dtype)
    array = zarr.open_group(tmp_path / "dense.zarr", mode="r")["masked"]
    assert array.chunks == (1, 1, LENGTH, WIDTH)
    assert array.shards == (1, ROWS, LENGTH, WIDTH)
    place = tmp_path / "dense.zarr" / "masked" / "c" / "1" / "0" / "0" / "0"
    content = bytearray(place.read_bytes())
    row = LENGTH * WIDTH * np.dtype(dtype).itemsize
    content[: 4 * row] = bytes(4 * row)  # others may be lost without harm to row 4
    place.write_bytes(content)
    shown = tokens.hide(TOKENS[1, 4], MASK.is_masked[1])
    npt.assert_array_equal(array[1, 4], CODEBOOKS[1][shown, np.arange(LENGTH)].astype(dtype))


def test_an_embedding_too_large_for_half_precision_is_refused(tmp_path):
    large = CODEBOOKS.copy()
    large[1, 0, 0, 0] = 70_000
    with pytest.raises(ConfigError, match=r"window 1 .* up to 7e\+04.*--dtype float32"):
        embeddings.write_dense(
            tmp_path / "half.zarr",
            iter(large),
            lambda w, rows: TOKENS[w, rows],
            MASK,
            encoder=ENCODER,
            reference_haplotypes=HAPLOTYPES,
            dtype="float16",
        )
    assert list(tmp_path.iterdir()) == []


def test_windows_written_in_any_order_give_the_bytes_of_a_store_written_in_order(
    tmp_path, fx_paths
):
    def fill(folder):
        for window in (2, 0, 1):
            with stores.open_unfinished(folder) as root:
                embeddings.write_window(
                    root,
                    window,
                    CODEBOOKS[window],
                    lambda w, rows: TOKENS[w, rows],
                    MASK.is_masked[window],
                )

    embeddings.write_by_workers(
        tmp_path / "filled.zarr",
        fill,
        CODEBOOKS.shape,
        panel_fingerprint="p",
        encoder=ENCODER,
        reference_haplotypes=HAPLOTYPES,
        mask=MASK,
    )
    assert content_of(tmp_path / "filled.zarr") == content_of(fx_paths[1])


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
