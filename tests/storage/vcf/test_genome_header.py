import pytest

from vcfbert.domain.genome import UNKNOWN, Genome
from vcfbert.storage.vcf import genome_header


@pytest.mark.parametrize(
    ("line", "lengths", "assemblies"),
    [
        ("##contig=<ID=20,length=63025520,assembly=b37>", {"20": 63025520}, {"20": "b37"}),
        ("##contig=<ID=1,assembly=b37,length=249250621>", {"1": 249250621}, {"1": "b37"}),
        (
            '##contig=<ID=chr1,length=5,assembly="GRCh38, no alt",species="Homo sapiens">',
            {"chr1": 5},
            {"chr1": "GRCh38, no alt"},
        ),
        ("##contig=<ID=HLA-A*01:01:01:01,length=3503>", {"HLA-A*01:01:01:01": 3503}, {}),
        ("##contig=<length=7,ID=X>", {"X": 7}, {}),
        ("##contig=<ID=20>", {}, {}),
        ("##contig=<ID=20,length=0>", {}, {}),
        ("##contig=<ID=20,length=-5>", {}, {}),
        ("##contig=<ID=20,length=99999999999>", {}, {}),
        ("##contig=<length=5>", {}, {}),
        ("##contig=20", {}, {}),
    ],
)
def test_lengths_and_assemblies_are_read_from_the_lines_that_tools_write(line, lengths, assemblies):
    text = f"##fileformat=VCFv4.2\n{line}\n#CHROM\tPOS\n".encode()
    assert genome_header.read(text) == Genome(None, lengths, assemblies)


def test_the_reference_is_kept_as_written():
    text = b"##reference=file:///refs/hs37d5.fa\r\n#CHROM\n"
    assert genome_header.read(text) == Genome("file:///refs/hs37d5.fa")


def test_bytes_that_are_not_utf8_and_the_zero_of_a_bcf_header_do_no_harm():
    assert genome_header.read(b"##x=\xff\n##contig=<ID=1,length=9>\n\0") == Genome(None, {"1": 9})
    assert genome_header.read(b"") == UNKNOWN
