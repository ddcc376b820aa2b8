"""Files that htslib reads half, reads wrongly or dies of: the smallest ones that fuzzing found."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
from pathlib import Path

import pysam
import pytest

from benchmarks.fuzzing import oracle, readers
from benchmarks.fuzzing.seeds import Seeds
from vcfbert.errors import InputError
from vcfbert.storage.vcf import checks, index_checks, variants

HEAD = '##fileformat=VCFv4.2\n{contig}##FORMAT=<ID=GT,Number=1,Type=String,Description="G">\n'
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\n"
GOOD = "20\t100\t.\tA\tG\t.\tPASS\t.\tGT\t0|1\t1|1\n"


def written(path: Path, records: str, *, contig: str = "##contig=<ID=20>\n") -> Path:
    text = (HEAD.format(contig=contig) + COLUMNS + records).encode()
    if path.suffix == ".gz":
        with pysam.BGZFile(str(path), "w") as stream:
            stream.write(text)
    else:
        path.write_bytes(text)
    return path


RECORDS = {
    "position is none": "20\t1|0\t.\tA\tG\t.\tPASS\t.\tGT\t0|1\t1|1\n",
    "line of a header": '##FORMAT=<ID=DS,Number=1,Type=Float,Description="D">\n',
    "columns missing": "20\t200\t.\tA\tG\t.\tPASS\t.\tGT\t0|1\n",
    "two lines in one": GOOD.rstrip() + GOOD,
    "byte of zero": "20\t200\t.\tA\tG\t.\tPASS\t.\tGT\t0|1\t1\x00|1\n",
    "nobody has GT": "20\t200\t.\tA\tG\t.\tPASS\t.\tDS:GT\t0.1\t0.2\n",
    "no format": "20\t200\t.\tA\tG\t.\tPASS\t.\t.\t0|1\t0|1\n",
    "genotype of letters": "20\t200\t.\tA\tG\t.\tPASS\t.\tGT\tx|y\t0|1\n",
    "empty line": "\n",
    "contig of bytes": "\udcff\udcfe\t200\t.\tA\tG\t.\tPASS\t.\tGT\t0|1\t0|1\n",
}


@pytest.mark.parametrize("contig", ["##contig=<ID=20>\n", ""], ids=["named", "unnamed"])
@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_that_cannot_be_read_is_refused_wherever_it_stands(tmp_path, record, contig):
    for number, records in enumerate((record, GOOD + record)):
        path = tmp_path / f"{number}.vcf"
        text = (HEAD.format(contig=contig) + COLUMNS + records).encode(errors="surrogateescape")
        path.write_bytes(text)
        with pytest.raises(InputError):
            readers.everything(path)


@pytest.mark.parametrize("contig", ["##contig=<ID=20>\n", ""], ids=["named", "unnamed"])
def test_contigs_need_no_line_in_the_header(tmp_path, contig):
    records = GOOD + GOOD.replace("20\t100", "21\t7")
    found = readers.everything(written(tmp_path / "a.vcf", records, contig=contig))
    assert [(record.contig, record.position) for record, _ in found] == [("20", 100), ("21", 7)]
    assert found[0][1] == [(0, 1, 1), (1, 1, 1)]


def test_a_line_that_cannot_be_read_is_refused_in_a_region(tmp_path):
    bad = "20\t200\t.\tA\tG\t.\tPASS\t.\tGT\tx|y\t0|1\n"
    path = written(tmp_path / "a.vcf.gz", GOOD + bad)
    pysam.tabix_index(str(path), preset="vcf")
    assert len(readers.everything(path, "20:1-150")) == 1
    with pytest.raises(InputError):
        readers.everything(path, "20:150-300")


def with_index(seeds: Seeds, folder: Path, name: str, change: tuple[str, int, int]) -> Path:
    """A copy of a file whose index has another number at a place."""
    path = Path(shutil.copy(seeds.folder / name, folder))
    suffix = ".csi" if name.endswith("bcf") else ".tbi"
    content = bytearray(oracle.inflate((seeds.folder / f"{name}{suffix}").read_bytes()))
    struct.pack_into(change[0], content, change[1], change[2])
    with pysam.BGZFile(f"{path}{suffix}", "w") as stream:
        stream.write(bytes(content))
    return path


@pytest.mark.parametrize(
    "change",
    [("<i", 4, (1 << 31) - 1), ("<i", 4, -1), ("<i", 4, 3), ("<i", 8, 1), ("<i", 32, 1 << 30)],
    ids=["contigs", "no contigs", "a contig more", "another format", "names"],
)
@pytest.mark.parametrize("region", [None, "20"])
def test_counts_in_an_index_are_not_believed(fx_seeds, tmp_path, change, region):
    path = with_index(fx_seeds, tmp_path, "panel.vcf.gz", change)
    with pytest.raises(InputError, match="tbi is damaged"):
        readers.everything(path, region)


@pytest.mark.parametrize("change", [("<i", 4, 1), ("<i", 8, 40)], ids=["bins of 2", "40 levels"])
def test_bins_without_end_are_refused(fx_seeds, tmp_path, change):
    path = with_index(fx_seeds, tmp_path, "panel.bcf", change)
    with pytest.raises(InputError, match="its bins have"):
        readers.everything(path, "20")


def test_an_index_that_inflates_without_end_is_refused(fx_seeds, tmp_path, monkeypatch):
    monkeypatch.setattr(index_checks, "MAX_BYTES", 1 << 16)
    path = Path(shutil.copy(fx_seeds.folder / "panel.vcf.gz", tmp_path))
    with pysam.BGZFile(f"{path}.tbi", "w") as stream:
        stream.write(b"TBI\x01" + bytes(1 << 20))
    with pytest.raises(InputError, match="larger than 65,536 bytes"):
        readers.everything(path)


@pytest.mark.parametrize(
    ("old", "new"), [(b"\x11", b"\x00"), (b"\x21", b"\x20"), (b"\x21", b"\x01")]
)
def test_genotypes_of_no_type_are_refused(fx_seeds, tmp_path, old, new):
    plain = oracle.inflate((fx_seeds.folder / "panel.bcf").read_bytes())
    length = int.from_bytes(plain[5:9], "little")
    start = 9 + length
    shared = int.from_bytes(plain[start : start + 4], "little")
    place = start + 8 + shared + 2  # behind the field's key
    assert plain[place : place + 1] == b"\x21"
    data = plain[:place] + (new if old == b"\x21" else b"\x00") + plain[place + 1 :]
    with pysam.BGZFile(str(tmp_path / "panel.bcf"), "w") as stream:
        stream.write(data)
    with pytest.raises(InputError, match="is damaged at record 1"):
        readers.everything(tmp_path / "panel.bcf")


def test_a_header_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "MAX_HEADER_BYTES", 100_000)
    path = tmp_path / "long.vcf.gz"
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(b"##fileformat=VCFv4.2\n##" + bytes(1_000_000))
    with pytest.raises(InputError, match="header of more than 100,000 bytes"):
        checks.read_header(path)
    with pysam.BGZFile(str(tmp_path / "long.bcf"), "w") as stream:
        stream.write(b"BCF\x02\x02\xff\xff\xff\xff")
    with pytest.raises(InputError, match="header of more than 100,000 bytes"):
        checks.read_header(tmp_path / "long.bcf")


def test_contigs_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(variants, "MAX_UNDECLARED_CONTIGS", 3)
    records = "".join(GOOD.replace("20\t", f"c{number}\t") for number in range(5))
    with pytest.raises(InputError, match="contigs that its header does not declare"):
        readers.everything(written(tmp_path / "a.vcf", records))


def test_a_long_line_is_read(tmp_path):
    record = GOOD.replace("PASS\t.", "PASS\t" + "N" * 3_000_000)
    assert len(readers.everything(written(tmp_path / "a.vcf.gz", record))) == 1


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.vcf")
    with pytest.raises(InputError, match="a pipe or a device"):
        checks.read_header(tmp_path / "a.vcf")


@pytest.mark.parametrize("name", ["-rf.vcf.gz", "a b.vcf.gz", "a'\"\n$(x).vcf.gz", "ä%s.vcf.gz"])
def test_names_of_files_are_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / name, GOOD)
    pysam.tabix_index(str(path), preset="vcf")
    assert len(readers.everything(Path(name))) == 1
    assert len(readers.everything(Path(name), "20:1-200")) == 1


def test_what_is_read_twice_is_the_same(fx_seeds):
    whole = readers.everything(fx_seeds.folder / "panel.vcf.gz")
    plain = readers.everything(fx_seeds.folder / "panel.vcf")
    binary = readers.everything(fx_seeds.folder / "panel.bcf")
    oracle.same(whole, plain)
    oracle.same(whole, binary)
    oracle.compare(gzip.decompress((fx_seeds.folder / "panel.vcf.gz").read_bytes()), whole,
                   samples=12)  # fmt: skip


def test_a_contig_of_bytes_in_the_header_is_refused(tmp_path):
    path = tmp_path / "a.vcf.gz"
    text = HEAD.format(contig="##contig=<ID=20>\n") + COLUMNS + GOOD
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(text.encode().replace(b"<ID=20>", b"<ID=2\x80>\n##contig=<ID=20>"))
    pysam.tabix_index(str(path), preset="vcf")
    with pytest.raises(InputError, match="is not UTF-8"):
        readers.everything(path, "20")


def test_a_contig_line_that_htslib_does_not_take_names_nothing(tmp_path):
    bad = "20\t200\t.\tA\tG\t.\tPASS\t.\tGT\tx|y\t0|1\n"
    path = written(tmp_path / "a.vcf.gz", bad + GOOD.replace("100", "300"),
                   contig="##contig=<ID=20,length=64\n")  # fmt: skip
    pysam.tabix_index(str(path), preset="vcf")
    for region in (None, "20"):
        with pytest.raises(InputError):
            readers.everything(path, region)
