from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import tokens
from vcfbert.storage.zarr import transposing


@pytest.mark.parametrize("num_haplotypes", [2, 8, 22])
def test_a_window_turns_sites_into_haplotypes(tmp_path, monkeypatch, num_haplotypes):
    monkeypatch.setattr(transposing, "_HAPLOTYPES_AT_ONCE", 16)
    alleles = np.random.default_rng(3).integers(0, 2, (30, num_haplotypes), dtype=np.uint8)
    with transposing.open_spool(tmp_path, num_haplotypes) as written:
        for first in range(0, 30, 7):
            written.append(tokens.pack(alleles[first : first + 7]))
        assert written.num_sites == 30
        packed = written.window(4, 17, 20)
    npt.assert_array_equal(tokens.unpack(packed, 13), alleles[4:17].T)
    assert not tokens.unpack(packed, 20)[:, 13:].any()


def test_the_file_is_gone_however_the_block_ends(tmp_path):
    def fail() -> None:
        with transposing.open_spool(tmp_path, 4):
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
