from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import numpy.testing as npt
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import panels
from vcfbert.errors import InputError, StoreError
from vcfbert.storage.vcf import reading

NUM_RECORDS = 400


def read_all(path: Path, *, region: str | None = None, samples: list[int] | None = None):
    """Positions and calls of the whole file."""
    with reading.VcfFile(path) as file:
        found = None if region is None else file.find_region(region)
        columns = np.arange(len(file.samples)) if samples is None else np.array(samples)
        blocks = list(file.blocks(columns, region=found))
    position = [record.position for block in blocks for record in block.records]
    return position, np.concatenate([block.calls for block in blocks])


@pytest.fixture(scope="session")
def fx_vcf(tmp_path_factory) -> Path:
    """400 records of 30 samples, compressed and indexed; large enough for several BGZF blocks."""
    rng = np.random.default_rng(1)
    alleles = rng.integers(0, 2, (NUM_RECORDS, 200), dtype=np.uint8)
    path = tmp_path_factory.mktemp("vcf") / "panel.vcf.gz"
    return panels.write_vcf(path, panels.records_of(alleles))


def damaged(path: Path, content: bytes, *, index: Path | None = None) -> Path:
    """Write bytes as a file, beside a copy of an index."""
    path.write_bytes(content)
    if index is not None:
        path.with_name(f"{path.name}{index.suffix}").write_bytes(index.read_bytes())
    return path


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), num_sites=st.integers(1, 40), num_samples=st.integers(1, 5))
def test_calls_are_those_of_the_text(tmp_path_factory, seed, num_sites, num_samples):
    rng = np.random.default_rng(seed)
    alleles = rng.integers(0, 2, (num_sites, 2 * num_samples), dtype=np.uint8)
    path = tmp_path_factory.mktemp("vcf") / "a.vcf"
    panels.write_vcf(path, panels.records_of(alleles))
    position, calls = read_all(path)
    assert position == [100 * (site + 1) for site in range(num_sites)]
    npt.assert_array_equal(calls[:, :, :2].reshape(num_sites, -1), alleles)
    assert (calls[:, :, 2] == 1).all()


def test_bcf_and_vcf_give_the_same_calls(fx_vcf, tmp_path):
    bcf = tmp_path / "panel.bcf"
    with pysam.VariantFile(str(fx_vcf)) as source:
        with pysam.VariantFile(str(bcf), "wb", header=source.header) as target:
            for record in source:
                target.write(record)
    pysam.tabix_index(str(bcf), preset="bcf")
    npt.assert_array_equal(read_all(bcf)[1], read_all(fx_vcf)[1])
    npt.assert_array_equal(
        read_all(bcf, region="20:500-900")[1], read_all(fx_vcf, region="20:500-900")[1]
    )


def test_blocks_join_without_a_seam(fx_vcf, monkeypatch):
    whole = read_all(fx_vcf)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 6 * 100 * 16)
    npt.assert_array_equal(read_all(fx_vcf)[1], whole[1])


def test_some_samples_are_read_in_the_order_of_the_file(fx_vcf):
    npt.assert_array_equal(read_all(fx_vcf, samples=[3, 8])[1], read_all(fx_vcf)[1][:, [3, 8]])


def test_a_region_holds_both_its_ends(fx_vcf):
    assert read_all(fx_vcf, region="chr20:300-600")[0] == [300, 400, 500, 600]


def test_a_deletion_that_reaches_into_the_region_is_not_in_it(tmp_path):
    records = [("20", 95, "ACCCCCCCC", "A", ["0|1"]), ("20", 101, "A", "G", ["0|1"])]
    path = panels.write_vcf(tmp_path / "a.vcf.gz", records)
    assert read_all(path, region="20:100-200")[0] == [101]


def test_a_block_has_one_contig(tmp_path):
    lines = [(name, 5, "A", "G", ["0|1"]) for name in ("19", "20", "21") for _ in range(2)]
    with reading.VcfFile(panels.write_vcf(tmp_path / "a.vcf", lines)) as file:
        found = [[one.contig for one in block.records] for block in file.blocks(np.arange(1))]
    assert found == [["19", "19"], ["20", "20"], ["21", "21"]]


def test_a_haploid_record_is_marked(tmp_path):
    path = panels.write_vcf(
        tmp_path / "a.vcf", [("X", 5, "A", "G", ["0", "1"]), ("X", 6, "A", "G", ["0|1", "0|0"])]
    )
    (block,) = reading.VcfFile(path).blocks(np.arange(2))
    assert block.is_diploid.tolist() == [False, True]


def test_only_samples_that_are_read_can_be_polyploid(tmp_path):
    path = panels.write_vcf(tmp_path / "a.vcf", [("20", 5, "A", "G", ["0|1|1", "0|1"])])
    with pytest.raises(InputError, match=r"20:5, sample s0: the genotype has 3 alleles"):
        read_all(path)
    (second,) = reading.VcfFile(path).blocks(np.array([1]))
    assert second.is_diploid.tolist() == [True]


def header_of(text: str) -> list[str]:
    return text.splitlines(keepends=True)


ONE = panels.vcf_text([("20", 5, "A", "G", ["0|1", "0|0"])], ["ann", "bob"])
BAD_TEXT = {
    "nothing": ("", "is empty"),
    "prose": ("hello\nworld\n", "is not a VCF or BCF file"),
    "no_columns": ("##fileformat=VCFv4.2\n", "the #CHROM header line is missing"),
    "no_samples": (
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n",
        "has no samples",
    ),
    "repeated_sample": (ONE.replace("bob", "ann"), "two samples named ann.*reheader"),
    "no_gt": (ONE.replace("\tGT\t0|1\t0|0", "\tDP\t1\t2").replace("ID=GT", "ID=DP"),
              r"20:5: the record has no genotypes \(GT\)"),
    "cut_line": (ONE[:-3], "ends in the middle of a line.*truncated"),
    "no_records": ("".join(line for line in header_of(ONE) if line[0] == "#"), "has no records"),
    "short_line": (ONE + "20\t9\t.\tA\tG\t.\t.\t.\tGT\t0|1\n", "damaged after record 1"),
    "unsorted": (ONE + "20\t3\t.\tA\tG\t.\t.\t.\tGT\t0|1\t0|0\n",
                 "20:3.*not sorted; it follows position 5.*bcftools sort"),
    "contig_returns": (
        ONE.replace("##contig", "##contig=<ID=21>\n##contig")
        + "21\t3\t.\tA\tG\t.\t.\t.\tGT\t0|1\t0|0\n20\t9\t.\tA\tG\t.\t.\t.\tGT\t0|1\t0|0\n",
        "20:9.*contig 20 returns after 21",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TEXT)
def test_a_bad_text_file_is_refused_with_its_place(tmp_path, name):
    text, message = BAD_TEXT[name]
    path = tmp_path / f"{name}.vcf"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"{name}\.vcf.*{message}"):
        read_all(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.vcf does not exist"):
        read_all(tmp_path / "absent.vcf")
    with pytest.raises(InputError, match="is a folder"):
        read_all(tmp_path)


def test_plain_gzip_is_refused_with_the_command_that_helps(tmp_path):
    import gzip

    path = damaged(tmp_path / "a.vcf.gz", gzip.compress(ONE.encode()))
    with pytest.raises(InputError, match=r"a\.vcf\.gz is compressed with gzip.*bgzip"):
        read_all(path)


@pytest.mark.parametrize("region", [None, "20:100-40000"])
@pytest.mark.parametrize("keep", [0.3, 0.9, -28])
def test_a_truncated_file_is_refused_however_it_is_read(fx_vcf, tmp_path, keep, region):
    content = fx_vcf.read_bytes()
    cut = content[: int(keep * len(content))] if keep > 0 else content[:keep]
    path = damaged(tmp_path / "cut.vcf.gz", cut, index=Path(f"{fx_vcf}.tbi"))
    with pytest.raises(InputError, match=r"cut\.vcf\.gz is truncated.*Copy or download"):
        read_all(path, region=region)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("region", [None, "20:100-40000"])
def test_a_flipped_byte_is_refused_however_the_file_is_read(fx_vcf, tmp_path, region):
    content = bytearray(fx_vcf.read_bytes())
    content[len(content) * 2 // 3] ^= 0xFF
    path = damaged(tmp_path / "flip.vcf.gz", bytes(content), index=Path(f"{fx_vcf}.tbi"))
    with pytest.raises(InputError, match=r"flip\.vcf\.gz is damaged"):
        read_all(path, region=region)


def test_a_file_that_lost_whole_blocks_is_found_by_its_index(fx_vcf, tmp_path):
    content = fx_vcf.read_bytes()
    first = int.from_bytes(content[16:18], "little") + 1
    second = first + int.from_bytes(content[first + 16 : first + 18], "little") + 1
    text = fx_vcf.with_name("whole.vcf.gz")
    panels.write_vcf(text, panels.records_of(np.ones((7, 4), dtype=np.uint8)))
    assert second < len(content)
    path = damaged(tmp_path / "short.vcf.gz", text.read_bytes(), index=Path(f"{fx_vcf}.tbi"))
    with pytest.raises(
        InputError, match=r"another version of .* or one of the two is not complete"
    ):
        read_all(path)


def test_a_region_needs_an_index_and_says_how_to_make_it(tmp_path):
    records = panels.records_of(np.ones((3, 4), dtype=np.uint8))
    path = panels.write_vcf(tmp_path / "a.vcf.gz", records, index=False)
    with pytest.raises(InputError, match=r"no index.*tabix -p vcf .*a\.vcf\.gz"):
        read_all(path, region="20:1-5")
    plain = panels.write_vcf(tmp_path / "a.vcf", records)
    with pytest.raises(InputError, match="bgzip"):
        read_all(plain, region="20:1-5")


@pytest.mark.parametrize("suffix", [".vcf", ".vcf.gz"])
@pytest.mark.parametrize("change", ["none", "Windows", "phase signs"])
def test_one_contig_is_read_without_an_index(tmp_path, monkeypatch, suffix, change):
    rng = np.random.default_rng(2)
    alleles = rng.integers(0, 2, (60, 8), dtype=np.uint8)
    records = [
        line
        for contig in ("1", "10", "2")
        for line in panels.records_of(alleles ^ (contig == "2"), contig=contig)
    ]
    text = panels.write_vcf(tmp_path / "plain.vcf", records).read_text()
    text = {
        "none": text,
        "Windows": text.replace("\n", "\r\n"),
        "phase signs": text.replace("\t0|1", "\t|0|1"),
    }[change]
    path = tmp_path / f"a{suffix}"
    (tmp_path / "a.vcf").write_bytes(text.encode())
    if suffix == ".vcf.gz":
        pysam.tabix_compress(str(tmp_path / "a.vcf"), str(path))
    monkeypatch.setattr(reading.variants, "_BATCH", 500)
    for contig in ("1", "10", "2"):
        with reading.VcfFile(path) as file:
            blocks = list(file.blocks(np.arange(4), contig=contig))
        found = [record for block in blocks for record in block.records]
        assert {record.contig for record in found} == {contig}
        assert [record.position for record in found] == [100 * (n + 1) for n in range(60)]
        calls = np.concatenate([block.calls for block in blocks])[:, :, :2]
        npt.assert_array_equal(calls.reshape(60, -1), alleles ^ (contig == "2"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows[:61], rows[61] + "\t0|1", rows[62].rpartition("\t")[0], *rows[63:]],
         "damaged after record 61"),
        (lambda rows: [*rows, rows[3], rows[70]], r"record 122: .*contig 10 returns"),
        (lambda rows: [*rows[:50], "", *rows[50:]], "empty line"),
        (lambda rows: [*rows[:90], "#CHROM\tPOS", *rows[90:]], "is not a record"),
    ],
    ids=["columns", "returns", "empty line", "header line"],
)  # fmt: skip
def test_lines_that_are_not_parsed_must_be_records(tmp_path, change, message):
    alleles = np.ones((60, 4), dtype=np.uint8)
    records = panels.records_of(alleles, contig="1") + panels.records_of(alleles, contig="10")
    lines = panels.write_vcf(tmp_path / "a.vcf", records).read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    text = "\n".join([*head, *change(lines[len(head) :]), ""])
    (tmp_path / "a.vcf").write_text(text)
    with pytest.raises(InputError, match=message):
        with reading.VcfFile(tmp_path / "a.vcf") as file:
            list(file.blocks(np.arange(2), contig="10"))


def test_a_full_folder_for_temporary_files_is_not_taken_for_damage(tmp_path, monkeypatch):
    path = panels.write_vcf(tmp_path / "a.vcf", panels.records_of(np.ones((9, 4), dtype=np.uint8)))

    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reading.variants.lines.tempfile, "TemporaryFile", full)
    with reading.VcfFile(path) as file:
        with pytest.raises(StoreError, match="No space left on device"):
            list(file.blocks(np.arange(2), contig="20"))


def test_a_damaged_line_of_one_contig_is_refused(tmp_path):
    records = panels.records_of(np.ones((30, 4), dtype=np.uint8))
    text = panels.write_vcf(tmp_path / "a.vcf", records).read_text()
    (tmp_path / "a.vcf").write_text(text.replace("20\t500\t", "20\tfive\t"))
    with reading.VcfFile(tmp_path / "a.vcf") as file:
        with pytest.raises(InputError, match=r"a\.vcf"):
            list(file.blocks(np.arange(2), contig="20"))
    with reading.VcfFile(tmp_path / "a.vcf") as file:
        with pytest.raises(InputError, match=r"has no records in 7\."):
            list(file.blocks(np.arange(2), contig="7"))


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("20:1-50", "no records in 20:1-50"),
        ("7:1-50", "has no contig 7"),
        ("20:50", "does not have the form"),
    ],
)
def test_a_region_without_records_is_refused(fx_vcf, region, message):
    with pytest.raises(InputError, match=message):
        read_all(fx_vcf, region=region)


@pytest.mark.parametrize("suffix", ["tbi", "csi"])
def test_the_index_of_an_older_version_of_the_file_is_refused(fx_vcf, tmp_path, suffix):
    lines = gzip.decompress(fx_vcf.read_bytes()).splitlines(keepends=True)
    text = damaged(tmp_path / "older.vcf", b"".join(lines[: len(lines) // 2]))
    older = Path(f"{text}.gz")
    pysam.tabix_compress(str(text), str(older))
    pysam.tabix_index(str(older), preset="vcf", csi=suffix == "csi")
    index = Path(f"{older}.{suffix}")
    longer = damaged(tmp_path / "longer.vcf.gz", fx_vcf.read_bytes(), index=index)
    with pytest.raises(InputError, match=r"another version of .*bcftools index -f"):
        reading.VcfFile(longer)
    assert len(read_all(older, region="20:100-40000")[0]) > 100  # its own file takes it


def test_a_damaged_index_is_refused(fx_vcf, tmp_path):
    path = damaged(tmp_path / "a.vcf.gz", fx_vcf.read_bytes())
    Path(f"{path}.tbi").write_bytes(Path(f"{fx_vcf}.tbi").read_bytes()[:50])
    with pytest.raises(InputError, match=r"a\.vcf\.gz\.tbi is damaged.*bcftools index -f"):
        reading.VcfFile(path)


@pytest.mark.parametrize("suffix", [".vcf.gz", ".bcf"])
def test_a_contig_with_colons_is_read_by_region(tmp_path, suffix):
    names = ["HLA-A*01:01", "HLA-A*01:01:01:01"]
    records = [(name, place, "A", "G", ["0|1"]) for name in names for place in (3, 5, 8)]
    path = panels.write_vcf(tmp_path / "a.vcf.gz", records)
    if suffix == ".bcf":
        with pysam.VariantFile(str(path)) as source:
            with pysam.VariantFile(str(tmp_path / "a.bcf"), "wb", header=source.header) as target:
                for record in source:
                    target.write(record)
        path = tmp_path / "a.bcf"
        pysam.tabix_index(str(path), preset="bcf")
    for name in names:
        assert read_all(path, region=name)[0] == [3, 5, 8]
        assert read_all(path, region=f"{name}:4-8")[0] == [5, 8]
        assert read_all(path, region=f"{{{name}}}:3-5")[0] == [3, 5]
