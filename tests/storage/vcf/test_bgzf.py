"""Blocked gzip: any reader gets the bytes back, and threads leave no trace in them."""

import gzip
import io
import itertools

import numpy as np
import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcfbert.storage.vcf import bgzf
from vcfbert.storage.vcf.bgzf import BgzfWriter, Workers


def written(pieces, threads=2):
    file = io.BytesIO()
    with Workers(threads) as workers:
        writer = BgzfWriter(file, workers)
        for piece in pieces:
            writer.write(piece)
        writer.close()
    return file.getvalue()


def noise(size):
    return np.random.default_rng(size).bytes(size)


@pytest.mark.parametrize("make", [noise, lambda size: b"0|0:0:0,0:1,0,0\t" * (size // 16)])
@pytest.mark.parametrize(
    "size", [0, 16, bgzf.BLOCK_BYTES, bgzf.BLOCK_BYTES + 16, 40 * bgzf.BLOCK_BYTES + 160]
)
def test_what_is_written_comes_back(tmp_path, make, size):
    data = make(size)
    path = tmp_path / "data.gz"
    path.write_bytes(written([data]))
    assert gzip.decompress(path.read_bytes()) == data
    with pysam.BGZFile(str(path)) as file:
        assert file.read() == data
    assert path.read_bytes().endswith(bgzf.END_OF_FILE)


def test_a_block_knows_its_size_even_where_nothing_can_be_saved():
    block = bgzf.compress(noise(bgzf.BLOCK_BYTES))
    assert int.from_bytes(block[16:18], "little") + 1 == len(block) <= 1 << 16


@given(cuts=st.lists(st.integers(0, 200_000), max_size=5), threads=st.integers(1, 3))
def test_neither_threads_nor_the_size_of_writes_changes_the_file(cuts, threads):
    data = noise(100_000) + b"ACGT" * 25_000
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert written(pieces, threads) == written([data], 1)


def test_a_file_that_takes_no_more_is_an_error():
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with Workers(2) as workers:
        writer = BgzfWriter(Full(), workers)
        writer.write(bytes(bgzf.BLOCK_BYTES))
        with pytest.raises(OSError, match="No space left"):
            writer.close()


def test_results_come_in_the_order_of_the_items_and_not_all_at_once():
    taken = []

    def items():
        for item in range(50):
            taken.append(item)
            yield item

    with Workers(2) as workers:
        results = workers.in_order(lambda item: item * item, items())
        assert next(results) == 0
        assert len(taken) <= workers.ahead + 1
        assert list(results) == [item * item for item in range(1, 50)]


def test_a_task_that_fails_fails_the_caller():
    with Workers(2) as workers, pytest.raises(ZeroDivisionError):
        list(workers.in_order(lambda item: 1 // item, [1, 0, 1]))
