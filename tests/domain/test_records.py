from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from vcfbert.domain import records
from vcfbert.domain.records import GenotypePolicy, Record, RecordBlock, SiteSplitter
from vcfbert.errors import InputError

NAMES = ["ann", "bob", "cem"]
PLAIN = ["0|1", "1|0", "0|0"]


def call(text: str) -> list[int]:
    """Allele numbers and phase as cyvcf2 gives them."""
    alleles = [
        records.MISSING_CALL if a == "." else int(a) for a in text.replace("/", "|").split("|")
    ]
    alleles += [records.NO_CALL] * (2 - len(alleles))
    return [*alleles, int("|" in text or len(text) == 1)]


def block(*rows: tuple[int, str, str, list[str]]) -> RecordBlock:
    """Records of contig 20 from position, REF, ALT and genotypes."""
    return RecordBlock(
        [
            Record("20", position, ".", ref, [] if alt == "." else alt.split(","))
            for position, ref, alt, _ in rows
        ],
        np.array([[call(text) for text in row[3]] for row in rows], dtype=np.int16),
        np.ones(len(rows), dtype=bool),
    )


def split(*rows, missing="drop", unphased="error"):
    policy = GenotypePolicy(missing=missing, unphased=unphased)
    return SiteSplitter("p.vcf", NAMES, policy).split(block(*rows))


def test_a_biallelic_record_is_one_site():
    result = split((5, "A", "G", PLAIN))
    npt.assert_array_equal(result.alleles, [[0, 1, 1, 0, 0, 0]])
    assert result.alt == ["G"]
    assert not result.dropped


def test_a_record_with_two_alt_becomes_two_sites():
    result = split((5, "A", "G,T", ["1|2", "0|2", "0|0"]), (6, "A", "C", PLAIN))
    assert result.alt == ["G", "T", "C"]
    npt.assert_array_equal(
        result.alleles, [[1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 0]]
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((5, "A", ".", ["0|0", "0|0", "0|0"]), records.NO_ALT),
        ((5, "A", "<NON_REF>", ["0|0", "0|0", "0|0"]), records.NO_ALT),
        ((5, "A", "A", PLAIN), records.NO_ALT),
        ((5, "A", "G", ["0|1", "1", "0|0"]), records.PLOIDY),
        ((5, "A", "G", ["0|1", ".|.", "0|0"]), records.MISSING),
        ((5, "A", "G", ["0|1", "0|.", "0|0"]), records.MISSING),
    ],
)
def test_a_record_that_cannot_be_used_is_counted_by_its_reason(row, reason):
    result = split(row, (9, "A", "C", PLAIN))
    assert result.alt == ["C"]
    assert result.dropped == {reason: 1}


@pytest.mark.parametrize(
    ("ref", "alt"),
    [
        ("A", "<DEL>"),
        ("T", "<INS:ME:ALU>"),
        ("G", "<STR12>"),
        ("A", "*"),
        ("A", "G]17:198982]"),
        ("A", ".TGCA"),
        ("A", "P"),
        ("<absent>", "<present>"),
    ],
)
def test_an_allele_that_is_not_bases_is_a_site_as_any_other(ref, alt):
    result = split((5, ref, alt, PLAIN))
    assert (result.records[0].ref, result.alt) == (ref, [alt])
    npt.assert_array_equal(result.alleles, [[0, 1, 1, 0, 0, 0]])
    assert not result.dropped


def test_every_alt_of_a_copy_number_variant_is_a_site():
    result = split((5, "A", "<CN0>,*,<CN2>", ["1|3", "0|0", "0|2"]))
    assert result.alt == ["<CN0>", "*", "<CN2>"]
    npt.assert_array_equal(result.alleles.argmax(axis=1), [0, 5, 1])


def test_the_placeholder_of_a_gvcf_is_no_allele():
    result = split((5, "A", "G,<NON_REF>", ["0|1", "0|0", "0|0"]))
    assert result.alt == ["G"]
    assert result.dropped == {records.NO_ALT: 1}


def named(*rows: tuple[str, str, tuple[str, ...]], ref: str = "A", position: int = 5):
    """The kept IDs of records at one position, from ID, ALT and INFO."""
    calls = np.tile(np.array([call(text) for text in PLAIN], dtype=np.int16), (len(rows), 1, 1))
    lines = [Record("6", position, name, ref, [alt], infos) for name, alt, infos in rows]
    given = RecordBlock(lines, calls, np.ones(len(rows), dtype=bool))
    result = SiteSplitter("p.vcf", NAMES, GenotypePolicy()).split(given)
    assert len(result.records) + result.dropped.total() == len(rows)
    return [record.identifier for record in result.records]


def test_markers_of_one_position_and_the_same_alleles_are_told_apart_by_their_id():
    names = [f"HLA_A*{number:02}:01" for number in range(1, 41)]
    assert named(*((name, "T", ()) for name in names)) == names


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["rs1", "rs1"], ["rs1"]),
        ([".", "."], ["."]),
        (["rs1", "."], ["rs1"]),
        ([".", "rs1"], ["."]),
        ([".", "A01", "A02", "A01"], [".", "A02"]),
        (["A01", "A02", "."], ["A01", "A02"]),
        (["rs1", "rs2", "6:5:A:G", "chr6_5_A_G"], ["rs1"]),
        (
            ["rs1", "HLA_A*01:01", "AA_A_9_5_F", "AA_A_9_5_S"],
            ["rs1", "HLA_A*01:01", "AA_A_9_5_F", "AA_A_9_5_S"],
        ),
    ],
)
def test_the_same_alleles_with_the_same_or_no_id_are_a_duplicate(names, kept):
    assert named(*((name, "G", ()) for name in names)) == kept


def test_two_deletions_without_an_id_differ_by_their_end():
    rows = [(".", "<DEL>", ("END=9",)), (".", "<DEL>", ("END=12",)), (".", "<DEL>", ("END=9",))]
    assert named(*rows) == [".", "."]


def test_more_than_two_alleles_a_sample_are_dropped_as_a_record():
    rows = block((5, "A", "G", PLAIN))
    odd = RecordBlock(rows.records, rows.calls, np.array([False]))
    result = SiteSplitter("p.vcf", NAMES, GenotypePolicy()).split(odd)
    assert result.dropped == {records.PLOIDY: 1}


def test_the_first_of_two_equal_sites_is_kept_also_across_blocks():
    splitter = SiteSplitter("p.vcf", NAMES, GenotypePolicy())
    first = splitter.split(block((5, "A", "G", PLAIN), (5, "A", "T", PLAIN)))
    second = splitter.split(block((5, "A", "C,G", PLAIN), (6, "A", "G", PLAIN)))
    assert first.alt == ["G", "T"]
    assert second.alt == ["C", "G"]
    assert [record.position for record in second.records] == [5, 6]
    assert second.dropped == {records.DUPLICATE: 1}


def test_missing_genotypes_are_filled_with_the_more_frequent_allele():
    result = split((5, "A", "G", ["1|1", "1|0", ".|."]), missing="major")
    npt.assert_array_equal(result.alleles, [[1, 1, 1, 0, 1, 1]])
    assert result.filled_genotypes == 1


def test_a_tie_is_filled_with_ref():
    result = split((5, "A", "G", ["1|0", "0|1", "./."]), missing="major")
    npt.assert_array_equal(result.alleles, [[1, 0, 0, 1, 0, 0]])


def test_missing_genotypes_are_filled_by_similar_haplotypes_and_counted_by_sample():
    rows = [(n, "A", "G", ["1|0", "1|0", "0|0"]) for n in range(5, 9)]
    result = split(*rows, (9, "A", "C", ["1|0", ".|.", "0|0"]), missing="fill")
    assert result.alleles[-1].tolist() == [1, 0, 1, 0, 0, 0]
    assert result.filled_genotypes == 1
    assert result.missing.tolist() == [0, 1, 0]
    assert not result.dropped


@pytest.mark.parametrize(
    ("text", "filled"), [("0|.", [0, 0]), (".|1", [1, 1]), ("./1", [1, 0]), (".", [1, 0])]
)
def test_only_an_allele_in_known_order_is_kept_of_half_a_genotype(text, filled):
    rows = [(n, "A", "G", ["1|0", "1|0", "0|0"]) for n in range(5, 9)]
    row = (9, "A", "C", ["1|0", text, "0|0"])
    if text == ".|1":
        row = (9, "A", "C", ["1|1", text, "0|0"])
    result = split(*rows, row, missing="fill")
    assert result.alleles[-1, 2:4].tolist() == filled


def test_a_record_that_most_samples_lack_is_not_filled():
    result = split((5, "A", "G", ["1|0", ".|.", "./."]), missing="fill")
    assert result.dropped == {records.MISSING: 1}
    assert result.missing.tolist() == [0, 1, 1]


def test_the_filled_alleles_of_a_record_with_two_alt_exclude_each_other():
    rows = [(n, "A", "G", ["1|0", "1|0", "0|0"]) for n in range(5, 9)]
    result = split(*rows, (9, "A", "C,T", ["2|1", ".|.", "0|0"]), missing="fill")
    assert result.alleles[-2:].tolist() == [[0, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0]]


def test_a_missing_genotype_is_an_error_where_that_is_the_policy():
    with pytest.raises(InputError, match=r"p\.vcf, 20:5, sample bob.*missing.*--missing fill"):
        split((5, "A", "G", ["0|1", ".|.", "0|0"]), missing="error")


def test_an_unphased_heterozygote_is_refused_with_place_sample_and_remedy():
    with pytest.raises(InputError, match=r"p\.vcf, 20:5, sample cem.*Beagle.*--unphased drop"):
        split((5, "A", "G", ["0|1", "1|0", "0/1"]))


def test_an_unphased_heterozygote_is_dropped_where_that_is_the_policy():
    result = split((5, "A", "G", ["0|1", "1|0", "0/1"]), unphased="drop")
    assert result.dropped == {records.UNPHASED: 1}
    assert result.alleles.shape == (0, 6)


def test_an_unphased_homozygote_has_nothing_to_phase():
    result = split((5, "A", "G", ["0|1", "1/1", "0/0"]))
    npt.assert_array_equal(result.alleles, [[0, 1, 1, 1, 0, 0]])


def test_a_genotype_of_an_allele_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"20:5, sample bob.*allele 3.*1 ALT"):
        split((5, "A", "G", ["0|1", "0|3", "0|0"]))
