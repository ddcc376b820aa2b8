"""The index is as good as the one that reading the file again would give."""

from __future__ import annotations

import gzip

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.storage.vcf import bgzf, tabix

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def write(folder, records, padding=0):
    """A VCF.gz with our index; records are contig number, position and REF."""
    names = ["1", "chrX", "GL000.1"]
    lines = [
        f"{names[contig]}\t{position}\t.\t{ref}\tG\t.\t.\t{'x' * padding}\n".encode()
        for contig, position, ref in records
    ]
    path = folder / "t.vcf.gz"
    data = HEADER.encode() + b"".join(lines)
    blocks = [
        bgzf.compress(data[first : first + bgzf.BLOCK_BYTES])
        for first in range(0, len(data), bgzf.BLOCK_BYTES)
    ]
    path.write_bytes(b"".join(blocks) + bgzf.END_OF_FILE)
    starts = np.cumsum([0, *map(len, blocks)])
    ends = len(HEADER) + np.cumsum([len(line) for line in lines], dtype=np.int64)
    stops = tabix.virtual_offsets(ends, starts, bgzf.BLOCK_BYTES)
    first = tabix.virtual_offsets(np.array([len(HEADER)]), starts, bgzf.BLOCK_BYTES)
    begin = np.array([position - 1 for _, position, _ in records], np.int64)
    content = tabix.index(
        names,
        tabix.IndexedLines(
            contig=np.array([contig for contig, _, _ in records], np.int64),
            begin=begin,
            end=begin + np.array([len(ref) for _, _, ref in records], np.int64),
            start=np.concatenate([first, stops[:-1]]),
            stop=stops,
        ),
    )
    (folder / "t.vcf.gz.tbi").write_bytes(bgzf.compress(content) + bgzf.END_OF_FILE)
    return path


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    step=st.sampled_from([3, 900, 20_000, 3_000_000]),
    padding=st.sampled_from([0, 700, 30_000]),
)
def test_every_region_finds_its_records(tmp_path_factory, data, step, padding):
    records = []
    for contig in sorted(data.draw(st.sets(st.integers(0, 2), min_size=1))):
        steps = data.draw(st.lists(st.integers(0, 2 * step), min_size=1, max_size=40))
        for position in np.cumsum(steps) + 1:
            length = data.draw(st.sampled_from([1, 1, 1, 2, 40_000]))
            records.append((contig, int(position), "A" * length))
    folder = tmp_path_factory.mktemp("tabix")
    path = write(folder, records, padding)
    names = ["1", "chrX", "GL000.1"]
    with pysam.TabixFile(str(path)) as file:
        assert file.contigs == [names[contig] for contig in sorted({r[0] for r in records})]
        for _ in range(8):
            contig, place, _ = data.draw(st.sampled_from(records))
            begin = max(0, place - 1 + data.draw(st.integers(-step, step)))
            end = begin + data.draw(st.integers(1, 3 * step))
            found = [line.split("\t")[1] for line in file.fetch(names[contig], begin, end)]
            expected = [
                str(position)
                for number, position, ref in records
                if number == contig and position - 1 < end and position - 1 + len(ref) > begin
            ]
            assert found == expected


def test_counts_are_those_of_htslib(tmp_path):
    records = [(0, 5 * n + 1, "A") for n in range(50_000)] + [(2, 7, "AC"), (2, 8, "A")]
    path = write(tmp_path, records)
    ours = gzip.decompress((tmp_path / "t.vcf.gz.tbi").read_bytes())
    with pysam.VariantFile(str(path)) as file:
        assert sum(1 for _ in file) == 50_002
    pysam.tabix_index(str(path), preset="vcf", force=True)
    theirs = gzip.decompress((tmp_path / "t.vcf.gz.tbi").read_bytes())
    head = 36 + int.from_bytes(theirs[32:36], "little")
    assert ours[:head] == theirs[:head]  # columns and names
    statistics = (37450).to_bytes(4, "little") + (2).to_bytes(4, "little")
    for content in (ours, theirs):
        place = content.index(statistics)
        assert int.from_bytes(content[place + 24 : place + 32], "little") == 50_000


@pytest.mark.parametrize(("begin", "end", "number"), [
    (0, 1, 4681), (16_384, 16_385, 4682), (16_383, 16_385, 585), (0, 1 << 29, 0),
    ((1 << 29) - 1, 1 << 29, 37448),
])  # fmt: skip
def test_bins_are_those_of_the_specification(begin, end, number):
    assert tabix.bins(np.array([begin]), np.array([end])).tolist() == [number]
