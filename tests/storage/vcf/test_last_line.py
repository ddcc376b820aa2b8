"""Plain VCFs whose last line has no newline: read if the line is whole, refused if it is cut."""

from __future__ import annotations

import logging

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from vcfbert.errors import InputError
from vcfbert.storage.vcf import checks, last_line
from vcfbert.storage.vcf.line_blocks import LineSource
from vcfbert.storage.vcf.reading import VcfFile

RECORDS = [("20", 5 * n, "A", "G", ["0|1", "0|0"]) for n in range(1, 5)]
TEXT = panels.vcf_text(RECORDS, ["ann", "bob"])
FIXED = b"X\t5\t.\tA\tG\t.\t.\t.\t"


def calls(path, contig=None):
    with VcfFile(path) as file:
        file.count()
        blocks = list(file.blocks(np.arange(2), contig=contig))
        return np.concatenate([block.calls for block in blocks])


@pytest.mark.parametrize("num_records", [1, 4])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_whole_last_line_is_read_with_one_warning(tmp_path, caplog, num_records, end):
    text = panels.vcf_text(RECORDS[:num_records], ["ann", "bob"]).replace("\n", end)
    path, other = tmp_path / "a.vcf", tmp_path / "b.vcf"
    path.write_bytes(text.removesuffix(end).encode())
    other.write_bytes(text.encode())
    with caplog.at_level(logging.WARNING):
        npt.assert_array_equal(calls(path), calls(other))
        npt.assert_array_equal(calls(path, "20"), calls(other))
        assert len(calls(path)) == num_records == sum(1 for _ in cyvcf2.VCF(str(path)))
    assert [message.split(".vcf ")[1] for message in caplog.messages] == [
        "does not end with a newline. Its last line is whole and is read."
    ]


def test_every_cut_of_the_last_line_is_refused(tmp_path):
    path, begin = tmp_path / "a.vcf", TEXT.rindex("\n20\t") + 1
    for stop in range(begin + 1, len(TEXT) - 1):
        path.write_text(TEXT[:stop])
        with pytest.raises(InputError, match=r"ends in the middle of a line.*echo >> "):
            VcfFile(path)


def test_lines_of_a_file_to_merge_end_with_newlines(tmp_path):
    path = tmp_path / "a.vcf"
    path.write_text(TEXT[:-1])
    source = LineSource(path, checks.read_header(path), 1 << 20)
    block = source.take(source.fill())
    assert len(block) == 4
    assert bytes(block.text).endswith(b"0|0\n")


@pytest.mark.parametrize(
    ("line", "before", "expected"),
    [
        (b"GT\t0|1\t1|1", b"", True),
        (b"GT\t0|1\t1", b"", False),
        (b"GT\t1\t1", b"", True),
        (b"GT\t0|1\t1", b"GT\t0|1\t0", True),
        (b"GT\t0|1\t1", b"GT\t0|1\t0|1", False),
        (b"GT\t0|1\t1|", b"GT\t0|1\t0", False),
        (b"GT\t0|1\t./.", b"", True),
        (b"GT\t0|1\t./", b"", False),
        (b"GT\t|0|1\t|1|1", b"", True),
        (b"GT:GP\t0|1:0,1,0\t0|1:0,1,0", b"", True),
        (b"GT:GP\t0|1:0,1,0\t0|1:0,1", b"", False),
        (b"GT:GP\t0|1:0,1,0\t0|1:0,1,", b"", False),
        (b"GT:GP\t0|1:0,1,0\t0|1", b"", False),
        (b"GT:DS\t0|1:1\t0|1:1e-", b"", False),
        (b"GT:DS\t0|1:1\t0|1:.", b"", True),
        (b"GT\t0|1", b"", False),
        (b"GT\t0|1\t0|1\r", b"", False),
    ],
)
def test_cells_by_hand(line, before, expected):
    assert last_line.is_whole(FIXED + line, before and FIXED + before, 11) is expected


def test_the_line_before_may_be_long(tmp_path, monkeypatch):
    monkeypatch.setattr(last_line, "_PIECE", 3)
    path = tmp_path / "a.vcf"
    path.write_text(TEXT[:-1])
    begin = TEXT.index("\n20\t") + 1
    assert last_line._last_lines(path, begin) == tuple(TEXT.encode().splitlines()[-2:])
    assert last_line._last_lines(path, TEXT.rindex("\n20\t") + 1)[0] == b""
