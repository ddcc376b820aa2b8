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
        ((5, "A", "*", PLAIN), records.SYMBOLIC),
        ((5, "A", "<DEL>", PLAIN), records.SYMBOLIC),
        ((5, "A", "G]17:198982]", PLAIN), records.SYMBOLIC),
        ((5, "A", "G", ["0|1", "1", "0|0"]), records.PLOIDY),
        ((5, "A", "G", ["0|1", ".|.", "0|0"]), records.MISSING),
        ((5, "A", "G", ["0|1", "0|.", "0|0"]), records.MISSING),
    ],
)
def test_a_record_that_cannot_be_used_is_counted_by_its_reason(row, reason):
    result = split(row, (9, "A", "C", PLAIN))
    assert result.alt == ["C"]
    assert result.dropped == {reason: 1}


def test_the_spelled_out_alt_beside_a_star_is_kept():
    result = split((5, "A", "*,G", ["1|2", "0|0", "0|2"]))
    assert result.alt == ["G"]
    npt.assert_array_equal(result.alleles, [[0, 1, 0, 0, 0, 1]])
    assert result.dropped == {records.SYMBOLIC: 1}


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


def test_a_missing_genotype_is_an_error_where_that_is_the_policy():
    with pytest.raises(InputError, match=r"p\.vcf, 20:5, sample bob.*missing.*--missing drop"):
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
