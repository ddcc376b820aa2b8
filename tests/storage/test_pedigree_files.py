"""Pedigrees as PLINK, 1000 Genomes and others write them."""

import pytest

from vcfbert.domain.pedigree import Trio
from vcfbert.errors import InputError
from vcfbert.storage import pedigree_files

NAMES = ["k", "d", "m"]

FORMS = {
    "fam": "F k d m 1 -9\nF d 0 0 1 -9\nF m 0 0 2 -9\n",
    "fam with tabs": "F\tk\td\tm\t1\t-9\n",
    "ped with genotypes": "F k d m 1 -9 A A C T\nF d 0 0 1 -9 A A C C\n",
    "four columns": "F k d m\nF d 0 0\n",
    "five columns": "0 k d m 0\n",
    "comments": "## made by hand\n# a family\nF k d m 1 2\n# end\n",
    "psam": "#FID\tIID\tPAT\tMAT\tSEX\nF\tk\td\tm\t1\n",
    "psam without family": "#IID\tPAT\tMAT\tSEX\nk\td\tm\tNA\nd\t0\t0\t1\n",
    "1000 Genomes": "Family ID\tIndividual ID\tPaternal ID\tMaternal ID\tGender\tPhenotype\n"
    "F\tk\td\tm\t1\t0\n",
    "1000 Genomes, 3,202 samples": "FamilyID SampleID FatherID MotherID Sex Population\n"
    "F k d m 1 GBR\n",
    "csv": "sample,father,mother,sex\nk,d,m,male\nd,,,male\n",
    "header of a fam": "FID IID PAT MAT SEX PHENO\nF k d m other -9\n",
    "other samples": "F k d m 1 -9\nG x y z 1 -9\nG y 0 0 1 -9\n",
    "the same line twice": "F k d m 1 -9\nF k d m 1 -9\n",
    "byte order mark and Windows ends": "\ufeffF k d m 1 -9\r\n",
}


def read(tmp_path, text, names=None):
    path = tmp_path / "t.fam"
    path.write_text(text, encoding="utf-8", newline="")
    return pedigree_files.of_samples(path, names or NAMES, "t.vcf")


@pytest.mark.parametrize("form", FORMS)
def test_the_trio_is_found(tmp_path, form):
    found = read(tmp_path, FORMS[form])
    assert found.trios == (Trio(0, 1, 2),)
    assert (found.sexes["d"], found.sexes["m"]) == ("male", "female")
    assert found.num_unknown == (2 if form == "other samples" else 0)
    assert set(found.matched) == {"IID"}


@pytest.mark.parametrize("unknown", ["0", ".", "NA", "-9", "x"])
def test_a_child_with_one_parent_is_a_duo(tmp_path, unknown):
    found = read(tmp_path, f"F k {unknown} m 2 -9\n")
    assert found.trios == (Trio(0, -1, 2),)
    assert found.trios[0].is_duo
    assert found.sexes == {"k": "female", "m": "female"}


def test_names_of_plink_are_family_and_sample(tmp_path):
    text = "F 1 2 3 1 -9\nG 1 2 3 2 -9\n"
    found = read(tmp_path, text, ["F_1", "F_2", "F_3", "G_1", "G_3"])
    assert found.trios == (Trio(0, 1, 2), Trio(3, -1, 4))
    assert found.matched == {"FID_IID": 2}
    found = read(tmp_path, "k k d m 1 -9\nd d 0 0 1 -9\n", ["k_k", "d", "m"])
    assert found.matched == {"FID_IID": 1, "IID": 1}


def test_a_parent_may_be_a_child(tmp_path):
    found = read(tmp_path, "F k d m 0 0\nF d g 0 0 0\n", [*NAMES, "g"])
    assert found.trios == (Trio(0, 1, 2), Trio(1, 3, -1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1X:k,d,m\n", "line 1: '1X:k,d,m' has 1 column and is not a line of a pedigree"),
        ("k d m\n", "line 1: 'k d m' has 3 columns"),
        ("F k d m 1 -9\nF d\n", "line 2: the line has 2 columns, but 5 are needed"),
        ("F k d m 7 -9\n", "line 1: the sex '7' must be 1 or M"),
        ("F k d d 1 -9\n", "line 1: d is both father and mother of k"),
        ("F k k m 1 -9\n", "line 1: k is its own parent or ancestor"),
        ("F k d m 1 -9\nF d g 0 1 -9\nF g k 0 1 -9\n", "is its own parent or ancestor"),
        ("F k d m 1 -9\nF d 0 0 2 -9\n",
         "line 2: sample d is a mother or of sex 2 here, but a father or of sex 1 in line 1"),
        ("F k d m 1 -9\nF d m 0 1 -9\n", "line 2: sample m is a father"),
        ("F k d m 1 -9\nG k d 0 1 -9\n", "line 2: sample k has other parents than in line 1"),
        ("#IID SEX\nk 1\n", "line 1: the header has no columns of the parents"),
        ("sample\tsex\nk\t1\n", "line 1: the header has no columns of the parents"),
        ("F k 0 0 1 -9\nF d 0 0 1 -9\n", r"no sample of t.vcf \(k, ...\) has a parent"),
        ("F x y z 1 -9\n", "Names must be the IID of the pedigree or FID_IID"),
        ("F 0 d m 1 -9\n", "line 1: the line has no sample name"),
        ("", "has no lines. Give the columns of a .fam file"),
    ],
)  # fmt: skip
def test_an_unclear_pedigree_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_sexes_of_two_files_must_agree(tmp_path):
    path = tmp_path / "t.fam"
    joined = pedigree_files.joined_sexes({"d": "male"}, {"k": "female"}, path)
    assert joined == {"d": "male", "k": "female"}
    with pytest.raises(InputError, match="sample d is male, but female in the table of --sex"):
        pedigree_files.joined_sexes({"d": "male"}, {"d": "female"}, path)
