from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.testing as npt
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import panels
from tests.bad_input.room import bgzipped
from vcfbert.errors import InputError
from vcfbert.storage.vcf import lines
from vcfbert.storage.vcf.reading import VcfFile

CALLS = ["0|1", "1|0", "0/1", "1|1", "0/0", ".|.", "./1", "1|.", "2|1"]
FAULTS = ["none", "prefix", "text", "many", "header"]


def read(path: Path, region: str | None = None) -> list[tuple[int, list[list[int]]]]:
    """Positions and calls."""
    with VcfFile(path) as file:
        found = None if region is None else file.find_region(region)
        blocks = list(file.blocks(np.arange(len(file.samples)), region=found))
    return [
        (record.position, calls.tolist())
        for block in blocks
        for record, calls in zip(block.records, block.calls, strict=True)
    ]


def with_fault(text: str, fault: str, records: set[int]) -> str:
    """The same genotypes, in a form that htslib does not read at some records."""
    if fault == "header":
        return text.split("\n", 1)[1]
    declared = '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">\n#CHROM'
    head, *body = text.replace("#CHROM", declared).split("\n20\t")
    for number in records & set(range(len(body))):
        *fixed, cells = body[number].split("\t", 8)
        found = cells.rstrip("\n").split("\t")
        if fault == "prefix":
            found = [("|" if "|" in cell else "/") + cell for cell in found]
        elif fault in ("text", "many"):
            found = [cell + (":x" if fault == "text" else ":3:4:5") for cell in found]
            fixed[-1] = "GT:DP"
        body[number] = "\t".join([*fixed, *found])
    return "\n20\t".join([head, *(line.rstrip("\n") for line in body)]) + "\n"


@settings(max_examples=60, deadline=None)
@given(data=st.data(), fault=st.sampled_from(FAULTS), form=st.sampled_from(["vcf", "gz", "region"]))
def test_any_form_of_the_lines_gives_the_calls_of_the_plain_text(
    tmp_path_factory, data, fault, form
):
    number, samples = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 4))
    genotypes = st.lists(st.sampled_from(CALLS), min_size=samples, max_size=samples)
    records = [("20", 10 * n, "A", "C,G", data.draw(genotypes)) for n in range(1, number + 1)]
    folder = tmp_path_factory.mktemp("lines")
    plain = panels.write_vcf(folder / "plain.vcf", records)
    text = with_fault(plain.read_text(), fault, data.draw(st.sets(st.integers(0, number))))
    if form == "vcf":
        path = folder / "faulty.vcf"
        path.write_text(text)
    else:
        path = bgzipped(text, folder / "faulty.vcf.gz", index=form == "region")
    assert read(path, "20:10-300" if form == "region" else None) == read(plain)


def test_lines_are_parsed_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_BATCH", 100)
    records = panels.records_of(np.tile(np.array([[0, 1, 1, 0]], np.uint8), (200, 1)))
    plain = panels.write_vcf(tmp_path / "plain.vcf", records)
    path = tmp_path / "faulty.vcf"
    path.write_text(with_fault(plain.read_text(), "prefix", set(range(7, 200))))
    assert read(path) == read(plain)


def test_a_bcf_with_leading_phase_signs_has_the_same_calls(tmp_path):
    records = [("20", 10, "A", "G", ["0|1", "0/1", "1|0"]), ("20", 20, "A", "G", ["1|1"] * 3)]
    plain = panels.write_vcf(tmp_path / "plain.vcf", records)
    text = with_fault(plain.read_text(), "prefix", {0, 1}).replace("VCFv4.2", "VCFv4.4")
    (tmp_path / "faulty.vcf").write_text(text)
    with pysam.VariantFile(str(tmp_path / "faulty.vcf")) as source:
        with pysam.VariantFile(str(tmp_path / "a.bcf"), "wb", header=source.header) as target:
            for record in source:
                target.write(record)
    assert read(tmp_path / "a.bcf") == read(plain)


REFUSED = {
    "not a genotype": (
        "20\t20\t.\tA\tG\t.\t.\t.\tGT\t|0|1\t0|x",
        "20:20, sample bob: '0|x' is not",
    ),
    "an empty cell": ("20\t20\t.\tA\tG\t.\t.\t.\tGT\t|0|1\t", "20:20, sample bob: '' is not"),
    "a column missing": ("20\t20\t.\tA\tG\t.\t.\t.\tGT\t|0|1", "it has 10 columns, not 11"),
    "cut before FORMAT": ("20\t20\t.\tA", "it has 4 columns, not 11"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_line_that_cannot_be_read_is_refused(tmp_path, name):
    line, message = REFUSED[name]
    first = panels.vcf_text([("20", 10, "A", "G", ["|0|1", "0|0"])], ["ann", "bob"])
    (tmp_path / "a.vcf").write_text(f"{first}{line}\n")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.vcf")
    assert message in str(caught.value)


def test_signs_are_removed_and_one_unphased_allele_makes_a_genotype_unphased():
    plain = lines.without_phase_signs(b"|0|1\t/0/1\t|0/1\t/0|1\t|1\t/.\t0|1\t./.")
    npt.assert_array_equal(
        plain.split(b"\t"), [b"0|1", b"0/1", b"0/1", b"0/1", b"1", b".", b"0|1", b"./."]
    )
