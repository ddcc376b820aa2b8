import gzip

import numpy.testing as npt
import pysam
import pytest

from vcfbert.domain.genetic_map import ANY_CONTIG
from vcfbert.errors import InputError
from vcfbert.storage import map_files

POINTS = [(55_000, 0.0), (1_055_000, 1.25), (2_055_000, 2.5)]


def lines(form: str, contig: str = "20", header: str = "", between: str = " ") -> str:
    """The three points as lines of a form such as `contig - cm position`."""
    out = [header] if header else []
    for n, (position, cm) in enumerate(POINTS):
        known = {"contig": contig, "position": str(position), "cm": str(cm), "rate": f"{1.1 + n}",
                 "id": f"rs{n}", "zero": "0", "number": str(100 - n), "begin": str(position - 9),
                 "allele": "A", "exponent": f"{position:e}"}  # fmt: skip
        out.append(between.join(known.get(word, word) for word in form.split()))
    return "\n".join(out) + "\n"


FORMS = {
    "PLINK": lines("contig . cm position"),
    "PLINK with IDs": lines("contig id cm position", between="\t"),
    "PLINK with numbers for IDs": lines("contig number cm position"),
    "PLINK with a header": lines("contig . cm position", header="chr id cM pos"),
    "PLINK with a header of signs": lines(
        "contig . cm position", header="#CHROM\tSNP\tGenetic_Position(cM)\tBP", between="\t"
    ),
    "PLINK bim": lines("contig id cm position allele allele"),
    "SHAPEIT4 and GLIMPSE": lines(
        "position contig cm", header="pos\tchr\tcM", between="\t"
    ),
    "SHAPEIT4 without its header": lines("position contig cm"),
    "Eagle": lines(
        "contig position rate cm", header="chr position COMBINED_rate(cM/Mb) Genetic_Map(cM)"
    ),
    "Eagle without its header": lines("contig position rate cm"),
    "HapMap": lines("contig position rate cm", between="\t",
                    header="Chromosome\tPosition(bp)\tRate(cM/Mb)\tMap(cM)"),
    "HapMap with spaces in its header": lines(
        "contig position rate cm", between="\t",
        header="Chromosome\tPosition (bp)\tRate (cM/Mb)\tMap (cM)"),
    "Minimac": lines("contig position cm", header="#chr\tpos\tcM", between="\t"),
    "RFMix": lines("contig position cm"),
    "deCODE": lines("contig begin position rate cm", header="Chr Begin End cMperMb cM"),
    "deCODE below remarks": "# Halldorsson 2019\n"
    + lines("contig begin position rate cm", header="Chr Begin End cMperMb cM"),
    "PLINK 2 pvar": lines(
        "contig position id allele allele cm", header="#CHROM POS ID REF ALT CM"
    ),
    "numbers as R writes them": lines("contig . cm exponent"),
}  # fmt: skip

ONE_CONTIG = {
    "IMPUTE2": lines("position rate cm", header="position COMBINED_rate(cM/Mb) Genetic_Map(cM)"),
    "SHAPEIT2": lines("position rate cm", header="pposition rrate gposition"),
    "IMPUTE2 without its header": lines("position rate cm"),
    "two columns": lines("position cm"),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("name", FORMS)
def test_the_maps_of_other_tools_are_read(tmp_path, name, end):
    path = tmp_path / "a.map"
    path.write_bytes(FORMS[name].replace("\n", end).encode())
    maps = map_files.read(path)
    npt.assert_array_equal(maps["20"].position, [position for position, _ in POINTS])
    npt.assert_array_equal(maps["20"].cm, [cm for _, cm in POINTS])
    assert list(maps) == ["20"]


@pytest.mark.parametrize("name", ONE_CONTIG)
def test_a_map_of_one_contig_needs_no_contig_column(tmp_path, name):
    path = tmp_path / "a.map"
    path.write_text(ONE_CONTIG[name])
    maps = map_files.read(path)
    assert list(maps) == [ANY_CONTIG]
    npt.assert_array_equal(maps[ANY_CONTIG].cm, [cm for _, cm in POINTS])


@pytest.mark.parametrize(
    ("form", "header"),
    [
        ("contig . cm position", ""),
        ("position contig cm", "pos chr cM"),
        ("contig position rate cm", ""),
        ("contig position rate cm", "chr position COMBINED_rate(cM/Mb) Genetic_Map(cM)"),
    ],
)
def test_a_map_of_many_contigs_is_read_also_if_files_were_joined(tmp_path, form, header):
    path = tmp_path / "a.map"
    path.write_text(lines(form, "20", header) + lines(form, "chrX", header))
    maps = map_files.read(path)
    assert list(maps) == ["20", "chrX"]
    npt.assert_array_equal(maps["20"].cm, maps["chrX"].cm)


def test_a_compressed_map_is_read(tmp_path):
    plain, bgzip = tmp_path / "a.map.gz", tmp_path / "b.map.gz"
    plain.write_bytes(gzip.compress(FORMS["Eagle"].encode()))
    with pysam.BGZFile(str(bgzip), "w") as stream:
        stream.write(FORMS["Eagle"].encode())
    npt.assert_array_equal(map_files.read(plain)["20"].cm, map_files.read(bgzip)["20"].cm)


def test_a_position_that_is_repeated_with_the_same_cm_is_one_point(tmp_path):
    path = tmp_path / "a.bim"
    path.write_text("20 a 0 5 A G\n20 b 0.1 90 A G\n20 c 0.1 90 A T\n")
    assert map_files.read(path)["20"].position.tolist() == [5, 90]


def test_a_contig_with_one_point_has_no_map(tmp_path):
    path = tmp_path / "a.map"
    path.write_text("19 . 0 5\n20 . 0 5\n20 . 1 900000\n")
    assert list(map_files.read(path)) == ["20"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "fewer than two points"),
        ("20 . 0.0 100\n", "fewer than two points on contig 20"),
        ("chr pos rate\n1 2 3\n", "line 1.*PLINK columns"),
        ("20 . 0 100\n20 . x 200\n", "line 2.*PLINK columns"),
        ("20 . 0 100\n20 . 1 100\n", "line 2: position 100 at 1.0 cM does not come after"),
        ("20 . 1 100\n20 . 0 200\n", "line 2: position 200 at 0.0 cM does not come after"),
        ("20 . 1 100\n20 . nan 200\n", "line 2: position 200"),
        ("20 . 0 1\n20 . 1 2\n21 . 0 1\n21 . 1 2\n20 . 2 3\n", "line 5: contig 20 returns"),
        ("chr pos cM\n20 1 0\n20 5\n", "line 3"),
        ("20 . 0 1.5\n20 . 1 7\n", "line 1"),
    ],
)
def test_a_bad_map_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "a.map"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        map_files.read(path)
