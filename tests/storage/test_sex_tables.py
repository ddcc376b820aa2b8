"""Tables of samples and their sex, as users and PLINK write them."""

import pytest

from vcfbert.errors import InputError
from vcfbert.storage import sex_tables

FORMS = {
    "plain": "sample\tsex\na\tmale\nb\tfemale\nc\tunknown\n",
    "no header": "a\t1\nb\t2\nc\t0\n",
    "csv": "Sample,Gender\na,M\nb,F\nc,\n".replace("c,\n", "c,NA\n"),
    "1000 Genomes": "sample\tpop\tsuper_pop\tgender\t\t\na\tGBR\tEUR\tmale\nb\tGBR\tEUR\tfemale\n",
    "fam": "F a 0 0 1 -9\nF b a 0 2 -9\nF c 0 0 0 -9\n",
    "psam": "#FID\tIID\tPAT\tMAT\tSEX\tPHENO1\nF\ta\t0\t0\t1\t-9\nF\tb\t0\t0\t2\t-9\n",
    "psam without family": "##comment\n#IID\tSEX\na\t1\nb\t2\nc\tNA\n",
    "sexcheck": "  FID  IID  PEDSEX  SNPSEX  STATUS  F\n F a 0 1 PROBLEM .98\n F b 2 2 OK -.1\n"
    " F c 0 0 PROBLEM .5\n",
    "update-sex": "F a M\nF b F\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_the_sex_of_each_sample_is_read(tmp_path, form):
    (tmp_path / "s.tsv").write_text(FORMS[form])
    found = sex_tables.read(tmp_path / "s.tsv")
    assert (found["a"], found["b"], found.get("c")) == ("male", "female", None)
    if form in ("fam", "psam", "sexcheck", "update-sex"):
        assert found["F_a"] == "male"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample\tsex\na\tboth\n", "line 2: the sex 'both' must be 1 or M"),
        ("sample\tsex\na\t1\na\t2\n", "line 3: sample a has another sex than before"),
        ("sample\tpopulation\na\tGBR\n", "line 1: the header must name the columns sample and sex"),
        ("sample\tsex\na\n", "line 2: the line has 1 column"),
        ("", "has no lines"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    (tmp_path / "s.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        sex_tables.read(tmp_path / "s.tsv")


def test_a_table_of_other_samples_is_refused(tmp_path):
    (tmp_path / "s.tsv").write_text("a 1\nb 2\n")
    assert sex_tables.of_samples(tmp_path / "s.tsv", ["b", "d"], "t.vcf") == {"b": "female"}
    with pytest.raises(InputError, match=r"names none of the 1 sample of t\.vcf \(d, \.\.\.\)"):
        sex_tables.of_samples(tmp_path / "s.tsv", ["d"], "t.vcf")
