import pytest

from vcfbert.storage.vcf import structural


@pytest.mark.parametrize(
    ("info", "num_alts", "expected"),
    [
        ({"SVTYPE": "DEL", "END": 4153, "SVLEN": 300, "AF": 0.1},
         1, ("SVTYPE=DEL;END=4153;SVLEN=300",)),
        ({"SVTYPE": "CNV", "END": 9, "SVLEN": (-4, 4)}, 2,
         ("SVTYPE=CNV;END=9;SVLEN=-4", "SVTYPE=CNV;END=9;SVLEN=4")),
        ({"SVTYPE": "DEL", "CIPOS": (-5, 5), "IMPRECISE": True}, 1,
         ("SVTYPE=DEL;CIPOS=-5,5;IMPRECISE",)),
        ({"END": "12"}, 1, ("END=12",)),
        ({"END": "twelve", "SVTYPE": "a b"}, 1, ()),
        ({"AC": 3}, 1, ()),
        ({"SVTYPE": "BND", "END": 4}, 1, ("SVTYPE=BND",)),
        ({"SVTYPE": "BND", "END": (7, 8)}, 1, ("SVTYPE=BND",)),
    ],
)  # fmt: skip
def test_what_info_says_is_kept_for_each_alt(info, num_alts, expected):
    assert structural.infos(info, num_alts, 5) == expected


@pytest.mark.parametrize(
    ("info", "end"), [(".", 101), ("END=400", 400), ("SVTYPE=BND;END=7", 101), ("CIEND=1,2", 101)]
)
def test_an_end_before_the_position_is_not_the_end(info, end):
    assert structural.end_of(info, 100, "AC") == end


def test_the_header_declares_each_symbol_and_each_key_once():
    alts = ["G", "<INS:ME:ALU>", "<DEL>", "<DEL>", "*", "A]6:5]"]
    info = [".", "SVTYPE=INS", "SVTYPE=DEL;END=9", "END=12;IMPRECISE", ".", "."]
    lines = structural.header_lines(alts, info)
    assert [line.split("=<ID=")[1].split(",")[0] for line in lines] == [
        "INS:ME:ALU", "DEL", "SVTYPE", "END", "IMPRECISE"
    ]  # fmt: skip
    assert lines[0] == '##ALT=<ID=INS:ME:ALU,Description="Insertion (ME ALU)">'


def test_an_ordinary_file_needs_no_lines():
    assert structural.header_lines(["G", "AT"], [".", "."]) == []
