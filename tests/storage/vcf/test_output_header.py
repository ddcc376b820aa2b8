"""The header says what the file holds and how it was made, and no more."""

import pysam
import pytest

from vcfbert.errors import ConfigError
from vcfbert.storage.vcf.output_header import FIELDS, CellLayout, HeaderFacts, header_text


def text(facts=None, **options):
    options = {"info": ("AF", "IMP", "TYPED"), "fields": ("GT", "DS"), **options}
    return header_text(facts or HeaderFacts(), ["20", "21"], ["ann", "bob"], **options)


def parsed(tmp_path, lines):
    path = tmp_path / "header.vcf"
    path.write_text(lines)
    with pysam.VariantFile(str(path)) as file:
        return file.header.copy()


def test_only_what_is_written_is_declared(tmp_path):
    header = parsed(tmp_path, text())
    assert list(header.info) == ["AF", "IMP", "TYPED"]
    assert list(header.formats) == ["GT", "DS"]
    assert list(header.contigs) == ["20", "21"]
    assert list(header.samples) == ["ann", "bob"]
    full = parsed(tmp_path, text(info=("AF", "DR2", "ER2", "IMP", "TYPED"), fields=FIELDS))
    assert list(full.info) == ["AF", "DR2", "ER2", "IMP", "TYPED"]
    assert list(full.formats) == list(FIELDS)


def test_facts_are_read_back(tmp_path):
    facts = HeaderFacts(
        checkpoint='run "7", second',
        checkpoint_fingerprint="ab12",
        panel_fingerprint="cd34",
        extra=("##vcfbert_command=impute target.vcf.gz",),
    )
    header = parsed(tmp_path, text(facts))
    assert list(header.contigs) == ["20", "21"]
    records = {record.key: record for record in header.records}
    assert records["vcfbert_checkpoint"]["Fingerprint"] == "ab12"
    assert "second" in records["vcfbert_checkpoint"]["ID"]
    assert records["vcfbert_panel"].value == "cd34"
    assert records["vcfbert_command"].value == "impute target.vcf.gz"


def test_what_is_unknown_is_left_out_and_so_is_the_day():
    assert "vcfbert_" not in text()
    assert "date" not in text().lower()
    assert "##vcfbert_checkpoint=<ID=mosaic>\n" in text(HeaderFacts(checkpoint="mosaic"))


@pytest.mark.parametrize("fields", [(), ("GT", "GT"), ("GT", "AD"), ("gt",)])
def test_unknown_or_repeated_fields_are_refused(fields):
    with pytest.raises(ConfigError, match="Give one or more of GT, DS, HDS, GP"):
        CellLayout.of(fields)


@pytest.mark.parametrize("decimals", [0, 8, -1])
def test_decimals_have_bounds(decimals):
    with pytest.raises(ConfigError, match="between 1 and 7"):
        CellLayout.of(FIELDS, decimals)


def test_the_genotype_comes_first_and_the_others_as_given():
    assert CellLayout.of(("GP", "GT", "DS")).fields == ("GT", "GP", "DS")
