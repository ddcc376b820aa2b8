"""A file's own lines with phased genotypes: what changes in them, and what does not."""

from __future__ import annotations

import gzip

import numpy as np
import pysam
import pytest

from vcfbert.domain.phased_calls import AS_WRITTEN, NO_QUALITY, TURNED, UNPHASED, PhasedCalls
from vcfbert.domain.sites import Region
from vcfbert.errors import InputError
from vcfbert.storage.vcf import phased_cells, phased_writer

HEADER = (
    "##fileformat=VCFv4.2\n"
    '##FILTER=<ID=q10,Description="Low">\n'
    '##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">\n'
    '##FORMAT=<ID=PS,Number=1,Type=String,Description="Old">\n'
    "##contig=<ID=20>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc\n"
)
FIXED = "rs1\tA\tG\t12.50\tq10\tAF=0.10"


def write(folder, lines, calls, *, out="out.vcf.gz", header=HEADER, region=None):
    source = folder / "in.vcf"
    source.write_text(header + "".join(f"{line}\n" for line in lines))
    done = phased_writer.write(
        source, folder / out, calls, lines=["##made=here"], region=region, threads=2,
        contigs={"20": "chr20"}, overwrite=True,
    )  # fmt: skip
    return done


def text(path):
    with gzip.open(path, "rt") as file:
        return [line.rstrip("\n") for line in file]


def records(path):
    return [line.split("\t") for line in text(path) if not line.startswith("#")]


def calls_of(order, *, record=None, start=(), quality=None, kept=(False,) * 3):
    order = np.array(order, np.uint8)
    calls = PhasedCalls.nothing(
        np.arange(len(order)) if record is None else np.array(record), np.array(kept)
    )
    calls.order[:] = order
    for row, sample in start:
        calls.is_start[row, sample] = True
    if quality is not None:
        calls.quality[:] = quality
    return calls


def test_genotypes_sets_and_qualities_are_replaced_and_all_else_is_kept(tmp_path):
    lines = [
        f"20\t5\t{FIXED}\tGT:AD:PS\t0/1:3,4:x\t0|0:1,0\t./1:0,1:y",
        f"20\t6\t{FIXED}\tGT\t1/0\t0/1\t1/1",
        f"20\t7\t{FIXED}\tGT:AD\t0|1:1,1\t0/0\t.:.",  # types no site
        f"20\t9\t{FIXED}\tAD:GT\t1,1:0/1\t.:.\t.:.",
    ]
    quality = [[NO_QUALITY] * 3, [17, NO_QUALITY, NO_QUALITY]]
    order = [[AS_WRITTEN, UNPHASED, UNPHASED], [TURNED, TURNED, UNPHASED]]
    start = [(0, 0), (1, 1)]
    done = write(tmp_path, lines, calls_of(order, start=start, quality=quality))
    found = records(tmp_path / "out.vcf.gz")
    assert [row[:8] for row in found] == [line.split("\t")[:8] for line in lines]
    assert [row[8:] for row in found] == [
        ["GT:AD:PS:PQ", "0|1:3,4:5:.", "0|0:1,0:.:.", "./1:0,1:.:."],
        ["GT:PS:PQ", "0|1:5:17", "1|0:6:.", "1|1:.:."],
        ["GT:AD", "0/1:1,1", "0/0:.", ".:."],
        ["AD:GT", "1,1:0/1", ".:.", ".:."],
    ]
    head = [line for line in text(tmp_path / "out.vcf.gz") if line.startswith("##")]
    assert "##made=here" in head
    assert '##FILTER=<ID=q10,Description="Low">' in head
    assert len([line for line in head if "ID=PS," in line]) == 1
    counts = done.genotypes
    assert (done.records, counts.phased, counts.unphased, counts.missing, counts.sets) == (
        4, 3, 1, 2, 2,
    )  # fmt: skip


def test_a_sample_that_was_phased_keeps_the_order_of_other_records_too(tmp_path):
    lines = [
        f"20\t5\t{FIXED}\tGT\t0|1\t0|1\t0|0",
        f"20\t6\t{FIXED}\tGT\t1|0\t1|0\t.|1",  # types no site
        f"20\t7\t{FIXED}\tGT\t0/0\t0|1\t0|1",
        f"21\t7\t{FIXED}\tGT\t0|1\t0/1\t0|1",  # types no site
    ]
    order = [[AS_WRITTEN, AS_WRITTEN, UNPHASED], [UNPHASED, TURNED, AS_WRITTEN]]
    calls = calls_of(order, record=[0, 2], kept=[True, False, True])
    write(tmp_path, lines, calls)
    found = [row[8:] for row in records(tmp_path / "out.vcf.gz")]
    assert found == [
        ["GT:PS:PQ", "0|1:5:.", "0|1:5:.", "0|0:.:."],
        ["GT:PS:PQ", "1|0:5:.", "1/0:.:.", ".|1:.:."],
        ["GT:PS:PQ", "0|0:.:.", "1|0:5:.", "0|1:7:."],
        ["GT:PS:PQ", "0|1:7:.", "0/1:.:.", "0|1:7:."],
    ]
    assert "##contig=<ID=21>" in text(tmp_path / "out.vcf.gz")


def test_the_first_site_of_a_record_with_a_heterozygote_decides():
    orders = np.array([[UNPHASED, TURNED, UNPHASED], [TURNED, AS_WRITTEN, UNPHASED]], np.uint8)
    order, first = phased_cells.order_of(orders)
    assert order.tolist() == [TURNED, TURNED, UNPHASED]
    assert first.tolist()[:2] == [1, 0]


def test_further_alleles_and_signs_before_the_first_are_written_plainly(tmp_path):
    lines = [f"20\t5\t{FIXED}\tGT\t/2/10\t|0|0\t2|3"]
    write(tmp_path, lines, calls_of([[TURNED, UNPHASED, UNPHASED]]))
    assert records(tmp_path / "out.vcf.gz")[0][9:] == ["10|2:5:.", "0|0:.:.", "2/3:.:."]


def test_a_region_has_sets_of_its_own(tmp_path):
    lines = [f"20\t{position}\t{FIXED}\tGT\t0/1\t0/1\t0/0" for position in (5, 6, 7)]
    calls = calls_of([[AS_WRITTEN, TURNED, UNPHASED]] * 3, start=[(0, 0), (0, 1)], quality=20)
    write(tmp_path, lines, calls, region=Region("chr20", 6, 7))
    found = [row[1:2] + row[9:] for row in records(tmp_path / "out.vcf.gz")]
    assert found == [["6", "0|1:6:.", "1|0:6:.", "0|0:.:."], ["7", "0|1:6:20", "1|0:6:20",
                                                              "0|0:.:."]]  # fmt: skip


def test_bcf_is_written_and_read_like_vcf(tmp_path):
    lines = [
        f"20\t5\t{FIXED}\tGT:AD\t0/1:3,4\t0|0:1,0\t./1:0,1",
        f"21\t6\t{FIXED}\tGT\t1/0\t0/1\t1/1",
    ]
    calls = calls_of([[AS_WRITTEN, UNPHASED, UNPHASED], [TURNED, TURNED, UNPHASED]], quality=9)
    write(tmp_path, lines, calls)
    write(tmp_path, lines, calls, out="out.bcf")
    assert (tmp_path / "out.bcf.csi").exists()
    with pysam.VariantFile(str(tmp_path / "out.bcf")) as file:
        found = [str(record).rstrip("\n").split("\t") for record in file.fetch("20")]
        found += [str(record).rstrip("\n").split("\t") for record in file.fetch("21")]
    expected = records(tmp_path / "out.vcf.gz")
    assert [row[8:] for row in found] == [row[8:] for row in expected]
    again = tmp_path / "again.vcf.gz"
    calls.order[calls.order == TURNED] = AS_WRITTEN  # as it is in the BCF
    phased_writer.write(
        tmp_path / "out.bcf",
        again,
        calls,
        lines=[],
        region=None,
        contigs={},
        threads=1,
        overwrite=False,
    )
    assert [row[8:] for row in records(again)] == [row[8:] for row in expected]
    assert not any("IDX=" in line for line in text(again))


def test_fields_that_bcf_cannot_have_are_named_in_one_sentence(tmp_path):
    lines = [f"20\t5\t{FIXED};XX=1\tGT\t0/1\t0/0\t0/0"]
    calls = calls_of([[AS_WRITTEN, UNPHASED, UNPHASED]])
    with pytest.raises(InputError, match=r"cannot be written as BCF.*Write .vcf.gz"):
        write(tmp_path, lines, calls, out="out.bcf")
    assert [path.name for path in tmp_path.iterdir()] == ["in.vcf"]
    write(tmp_path, lines, calls)
    assert records(tmp_path / "out.vcf.gz")[0][7].endswith("XX=1")


def test_a_contig_that_is_too_long_for_tabix_gets_the_other_index(tmp_path):
    lines = [f"20\t{1 << 29}\t{FIXED}\tGT\t0/1\t0/0\t0/0"]
    write(tmp_path, lines, calls_of([[AS_WRITTEN, UNPHASED, UNPHASED]]))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.vcf", "out.vcf.gz", "out.vcf.gz.csi",
    ]  # fmt: skip


def test_a_file_that_changed_is_refused(tmp_path):
    calls = calls_of([[AS_WRITTEN, UNPHASED, UNPHASED]], record=[1])
    with pytest.raises(InputError, match="changed while it was read"):
        write(tmp_path, [f"20\t5\t{FIXED}\tGT\t0/1\t0/0\t0/0"], calls)
    assert [path.name for path in tmp_path.iterdir()] == ["in.vcf"]
