from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vcfbert.errors import InputError
from vcfbert.storage.vcf.reading import VcfFile

HEAD = (
    "##fileformat=VCFv4.2\n"
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    '##FORMAT=<ID={tag},Number=1,Type={type},Description="Phase set">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann\tbob\n"
)


def read(tmp_path: Path, rows: list[str], tag: str = "PS", kind: str = "Integer", columns=(0, 1)):
    """Read records `contig:position FORMAT cell cell`."""
    text = HEAD.format(tag=tag, type=kind)
    for row in rows:
        place, format_, *cells = row.split()
        contig, position = place.split(":")
        text += (
            "\t".join([contig, position, ".", "A", "C,G", ".", ".", ".", format_, *cells]) + "\n"
        )
    (tmp_path / "a.vcf").write_text(text)
    with VcfFile(tmp_path / "a.vcf") as file:
        return list(file.blocks(np.array(columns)))


ONE_SET = {
    "one a sample": ["1:5 GT:PS 0|1:5 1|0:7", "1:9 GT:PS 1|0:5 0|1:7"],
    "another on each contig": ["1:5 GT:PS 0|1:5 1|0:7", "2:9 GT:PS 1|0:9 0|1:9"],
    "homozygotes in others": ["1:5 GT:PS 0|1:5 1|1:8", "1:9 GT:PS 1|1:6 0|0:9"],
    "unphased in others": ["1:5 GT:PS 0|1:5 0/1:8", "1:9 GT:PS 0/1:6 0|1:9"],
    "half-missing in others": ["1:5 GT:PS 0|1:5 .|1:8", "1:9 GT:PS .|1:6 0|1:9"],
    "none at all": ["1:5 GT 0|1 1|0", "1:9 GT:PS 1|0:. 0|1", "1:12 GT 0|1 0|1"],
    "two ALT": ["1:5 GT:PS 1|2:5 0|2:7", "1:9 GT:PS 1|0:5 0|1:7"],
}
SEVERAL = {
    "numbers": (["1:5 GT:PS 0|1:5 0|0", "1:9 GT:PS 0|1:9 0|0"], "ann", "5 at 1:5, then 9 at 1:9"),
    "two ALT": (["1:5 GT:PS 1|2:5 0|0", "1:9 GT:PS 0|2:9 0|0"], "ann", "5 at 1:5, then 9 at 1:9"),
    "one without": (
        ["1:5 GT:PS 0|0:. 0|1:5", "1:9 GT:PS 0|0 0|1:."], "bob", "5 at 1:5, then none at 1:9",
    ),
    "a record without": (["1:5 GT:PS 0|0 0|1:5", "1:9 GT 0|0 0|1"], "bob", "then none at 1:9"),
    "with after without": (
        ["1:5 GT:PS 0|0 0|1", "1:9 GT:PS 0|0 0|1:9"], "bob", "none at 1:5, then 9 at 1:9",
    ),
    "on the second contig": (
        ["1:5 GT:PS 0|1:5 0|0", "2:5 GT:PS 0|1:1 0|0", "2:9 GT:PS 0|1:2 0|0"], "ann", "2 at 2:9",
    ),
}  # fmt: skip
TEXTS = {
    "PS as text": ("PS", "String", ["1:5 GT:PS 0|1:5_A_C 0|0", "1:9 GT:PS 0|1:9_A_C 0|0"]),
    "PSL": ("PSL", "String", ["1:5 GT:PSL 0|1:a,a 0|0", "1:9 GT:PSL 0|1:b,b 0|0"]),
    "PID": ("PID", "String", ["1:5 GT:PGT:PID 0|1:0|1:5_A 0|0", "1:9 GT:PID 0|1:9_A 0|0"]),
    "text declared as Integer": ("PS", "Integer", ["1:5 GT:PS 0|1:a 0|0", "1:9 GT:PS 0|1:b 0|0"]),
    "Float": ("PS", "Float", ["1:5 GT:PS 0|1:5 0|0:.", "1:9 GT:PS 0|1:9 0|0:."]),
    "Character": ("PS", "Character", ["1:5 GT:PS 0|1:a 0|0:.", "1:9 GT:PS 0|1:b 0|0:."]),
}


@pytest.mark.parametrize("name", ONE_SET)
def test_one_phase_set_a_sample_and_contig_is_read(tmp_path, name):
    blocks = read(tmp_path, ONE_SET[name])
    assert sum(len(block.records) for block in blocks) == len(ONE_SET[name])


@pytest.mark.parametrize("name", SEVERAL)
def test_several_phase_sets_are_refused(tmp_path, name):
    rows, sample, places = SEVERAL[name]
    with pytest.raises(InputError, match=rf"sample {sample}: .*FORMAT/PS\).*{places}"):
        read(tmp_path, rows)


@pytest.mark.parametrize("name", TEXTS)
def test_phase_sets_have_several_types_and_names(tmp_path, name):
    tag, kind, rows = TEXTS[name]
    assert read(tmp_path, rows[:1], tag, kind)
    with pytest.raises(InputError, match=rf"FORMAT/{tag}\).*at 1:5, then .* at 1:9"):
        read(tmp_path, rows, tag, kind)


def test_phase_sets_of_samples_that_are_not_read_do_not_matter(tmp_path):
    rows = ["1:5 GT:PS 0|1:5 0|1:1", "1:9 GT:PS 0|1:9 0|1:1"]
    assert read(tmp_path, rows, columns=[1])
    with pytest.raises(InputError, match="sample ann"):
        read(tmp_path, rows)
