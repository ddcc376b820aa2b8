from __future__ import annotations

import gzip

import pytest

from vcfbert.domain import splits
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION
from vcfbert.domain.windows import Segment
from vcfbert.errors import InputError
from vcfbert.storage import map_files, tables


@pytest.fixture
def fx_file(tmp_path):
    """Write a text file and give its path."""

    def write(text: str):
        path = tmp_path / "table.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_sample_table_is_read_by_its_header(fx_file):
    rows = tables.read_samples(
        fx_file(
            "split\tage\tsample\tsuperpopulation\ntrain\t1\ta\tEUR\nVAL\t2\tb\t\ntest\t3\tc\tAFR\n"
        )
    )
    assert [rows[name].split for name in "abc"] == [TRAIN, VALIDATION, TEST]
    assert [rows[name].superpopulation for name in "abc"] == ["EUR", ".", "AFR"]
    assert rows["a"].population == "."


KNOWN = {
    "1000 Genomes panel": (
        "sample\tpop\tsuper_pop\tgender\t\t\nHG1\tGBR\tEUR\tmale\nHG2\tYRI\tAFR\tfemale\n"
    ),
    "1000 Genomes panel with tabs at all ends": (
        "sample\tpop\tsuper_pop\tgender\t\t\nHG1\tGBR\tEUR\tmale\t\t\nHG2\tYRI\tAFR\tfemale\t\n"
    ),
    "1000 Genomes 30x": (
        "FamilyID SampleID FatherID MotherID Sex Population Superpopulation\n"
        "HG1 HG1 0 0 1 GBR EUR\nF2 HG2 0 0 2 YRI AFR\n"
    ),
    "IGSR": (
        "Sample name\tSex\tBiosample ID\tPopulation code\tPopulation name\tSuperpopulation code\t"
        "Superpopulation name\nHG1\tmale\tS1\tGBR\tBritish\tEUR\tEuropean Ancestry\n"
        "HG2\tfemale\tS2\tYRI\tYoruba\tAFR\tAfrican Ancestry\n"
    ),
    "PLINK 2 psam": (
        "#IID\tSID\tPAT\tMAT\tSEX\tSuperPop\tPopulation\nHG1\t1\t0\t0\t1\tEUR\tGBR\n"
        "HG2\t1\t0\t0\t2\tAFR\tYRI\n"
    ),
    "PLINK 2 psam with families": (
        "##made by plink2\n#FID IID SEX SuperPop Population\nA HG1 1 EUR GBR\nB HG2 2 AFR YRI\n"
    ),
    "IMPUTE2": "ID POP GROUP SEX\nHG1 GBR EUR male\nHG2 YRI AFR female\n",
    "ours": "sample\tpopulation\tsuperpopulation\nHG1\tGBR\tEUR\nHG2\tYRI\tAFR\n",
}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("name", KNOWN)
def test_the_sample_tables_of_others_are_read(tmp_path, name, end):
    path = tmp_path / "samples"
    path.write_bytes(KNOWN[name].replace("\n", end).encode())
    rows = tables.read_samples(path)
    assert list(rows) == ["HG1", "HG2"]
    assert [row.population for row in rows.values()] == ["GBR", "YRI"]
    assert [row.superpopulation for row in rows.values()] == ["EUR", "AFR"]


def test_the_pedigree_of_1000_genomes_is_read(fx_file):
    header = "Family ID\tIndividual ID\tPaternal ID\tMaternal ID\tGender\tPhenotype\tPopulation\t"
    row = "BB01\tHG1\t0\t0\t1\t0\tACB\tfather\t0\n"
    found = tables.read_samples(fx_file(f"{header}Relationship\tSiblings\n{row}"))
    assert found["HG1"] == tables.SampleRow("ACB", ".", splits.UNKNOWN)


def test_a_table_without_splits_says_so(fx_file):
    assert tables.read_samples(fx_file("sample\na\n"))["a"].split == splits.UNKNOWN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1.*'sample'"),
        ("name\tsplit\na\ttrain\n", "line 1.*'sample'"),
        ("sample,split\na,train\n", "line 1.*tab-separated"),
        ("sample\tsplit\n", "no samples"),
        ("sample\tsplit\na\ttrain\nb\n", "line 3: 1 column.*header has 2"),
        ("sample\tsplit\na\ttrain\na\ttest\n", "line 3.*sample a is repeated"),
        ("sample\tsplit\na\ttraining\n", "line 2.*'training'.*train, validation or test"),
        ("sample\tsplit\na\ttrain\nb\t.\n", "line 3.*some do not"),
    ],
)
def test_a_bad_sample_table_is_refused_with_its_line(fx_file, text, message):
    with pytest.raises(InputError, match=message):
        tables.read_samples(fx_file(text))


def test_segments_are_read_with_and_without_a_header(fx_file):
    expected = [Segment("20", 1, 10), Segment("20", 11, 20), Segment("21", 5, 6)]
    lines = "20,1,10\n20, 11, 20\n21,5,6\n"
    assert tables.read_segments(fx_file(lines)) == expected
    assert tables.read_segments(fx_file(f"contig,start,end\n{lines}")) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no segments"),
        ("contig,start,end\n", "no segments"),
        ("20,1\n", "line 1.*contig,start,end"),
        ("20,1,x\n", "line 1.*contig,start,end"),
        ("20,9,5\n", "line 1.*ends before it starts"),
        ("20,1,10\n20,10,20\n", "line 2.*20:10-20 overlaps.*20:1-10"),
        ("20,11,20\n20,1,10\n", "line 2.*overlaps or precedes"),
        ("20,1,10\n21,1,10\n20,11,20\n", "line 3: contig 20 returns"),
    ],
)
def test_bad_segments_are_refused_with_their_line(fx_file, text, message):
    with pytest.raises(InputError, match=message):
        tables.read_segments(fx_file(text))


@pytest.mark.parametrize("read", [tables.read_samples, map_files.read, tables.read_segments])
def test_a_file_that_is_missing_or_no_text_is_named(tmp_path, read):
    with pytest.raises(InputError, match=r"absent\.txt does not exist"):
        read(tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(InputError, match=r"binary\.txt is not a text file"):
        read(tmp_path / "binary.txt")


def test_a_compressed_table_is_inflated_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "samples.tsv.gz"
    path.write_bytes(gzip.compress(b"sample\tsplit\na\ttrain\n"))
    assert tables.read_samples(path)["a"].split == TRAIN
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"samples\.tsv\.gz.*compressed, but damaged"):
        tables.read_samples(path)
