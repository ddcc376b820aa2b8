"""Ploidy by region from genotypes, sexes and pseudo-autosomal regions."""

import numpy as np
import numpy.testing as npt
import pytest

from tests.targets import sites_of
from vcfbert.domain import haploid_calls, pseudoautosomal
from vcfbert.domain.genome import Genome
from vcfbert.domain.haploid_calls import PloidyRules, RecordPloidy
from vcfbert.domain.ploidy import Ploidy, as_homozygotes, existing
from vcfbert.domain.ploidy_scan import PloidyScan
from vcfbert.errors import ConfigError, InputError

NAMES = ["f0", "m0", "f1", "m1"]
MALE = np.array([False, True, False, True])
PAR = {"X": pseudoautosomal.borders(((1, 1000), (9001, 10_000)))}


def calls_of(*rows):
    """(n, N, 2) from texts such as `0|1 1 . 0`."""
    number = {".": -1, "-": -2}
    return np.array(
        [
            [[number.get(a) if a in number else int(a) for a in (cell + "|-").split("|")[:2]]
             for cell in row.split()]
            for row in rows
        ],
        dtype=np.int16,
    )  # fmt: skip


def scanned(rows, positions, borders=None, contig="X", blocks=1):
    scan = PloidyScan(len(NAMES), borders or {})
    for part in np.array_split(np.arange(len(rows)), blocks):
        calls = calls_of(*[rows[n] for n in part])
        scan.add([contig] * len(part), np.array(positions)[part], calls)
    return scan.regions()


def decided(rows, positions, *, borders=None, sexes=None, given=(), contig="X", **options):
    regions = scanned(rows, positions, borders, contig)
    rules = PloidyRules(sexes=sexes or {}, borders=borders or {}, given=frozenset(given))
    return haploid_calls.decide(regions, NAMES, rules, "t.vcf", **options)


DIPLOID, HAPLOID = "0|1 1|0 0|0 0|1", "0|1 1 0|0 0"


@pytest.mark.parametrize("blocks", [1, 2, 7, 40])
def test_without_known_borders_a_region_begins_where_males_change(blocks):
    rows = [DIPLOID] * 15 + [HAPLOID] * 15 + [DIPLOID] * 12
    found = scanned(rows, range(100, 4300, 100), blocks=blocks)
    assert [region.start for region in found] == [100, 1600, 3100]
    npt.assert_array_equal(found[1].is_mostly_haploid, MALE)
    assert not found[0].is_mostly_haploid.any()
    assert not found[2].is_mostly_haploid.any()


def test_single_errors_are_no_borders():
    rows = [DIPLOID] * 20 + [HAPLOID] * 20
    rows[5], rows[30] = "0|1 1|0 0|0 1", "0|1 1 0|0 0|0"
    assert [region.start for region in scanned(rows, range(1, 41))] == [1, 21]
    assert [region.start for region in scanned([HAPLOID] * 3 + rows, range(1, 44))] == [1, 24]


def test_known_borders_are_used_whatever_the_genotypes_say():
    found = decided([DIPLOID] * 2 + [HAPLOID] * 3, [1, 999, 1001, 5000, 9000], borders=PAR)
    assert [(one.start, one.kind) for one in found.regions] == [
        (1, "par"), (1001, "non-par"), (9001, "par"), (10_001, "non-par")
    ]  # fmt: skip
    npt.assert_array_equal(found.is_haploid, [MALE & False, MALE, MALE & False, MALE])


def test_a_region_reaches_to_the_next_and_sites_have_its_ploidy():
    found = decided([DIPLOID] * 2 + [HAPLOID] * 3, [1, 999, 1001, 5000, 9000], borders=PAR)
    places = [("X", p) for p in (1, 1000, 1001, 9000, 9001)] + [("20", 5)]
    ploidy = found.of_sites(sites_of([(*place, "A", "G") for place in places]))
    assert ploidy.start.tolist() == [0, 2, 4]
    npt.assert_array_equal(ploidy.of_sites(np.arange(6)).any(axis=1), [0, 0, 1, 1, 0, 0])


def test_males_written_as_homozygotes_are_haploid_by_their_sex():
    rows = ["0|1 1|1 0|0 0|0"] * 9 + ["0|1 0|1 0|0 1|1"]
    sexes = {"m0": "male", "m1": "male", "f0": "female"}
    found = decided(rows, range(2001, 2011), borders=PAR, sexes=sexes)
    npt.assert_array_equal(found.is_haploid[1], MALE)
    assert (found.num_heterozygous, found.num_homozygous, found.num_single) == (1, 19, 0)
    assert "1 heterozygous genotype of 1 haploid sample" in found.warnings[0]
    assert not decided(rows, range(1, 11), borders=PAR, sexes=sexes).is_haploid[0].any()


def test_what_does_not_agree_with_the_sex_is_refused():
    with pytest.raises(InputError, match=r"sample m1 is female in the table .* 20 haploid"):
        decided([HAPLOID] * 20, range(1001, 1021), borders=PAR, sexes={"m1": "female"})
    with pytest.raises(InputError, match=r"pseudo-autosomal regions of X are not known.*--par"):
        decided([DIPLOID] * 20, range(20), sexes={"m1": "male"})
    mixed = [HAPLOID, "0|1 1|1 0|0 0"] * 10
    with pytest.raises(InputError, match=r"t\.vcf: sample m0 has 10 haploid and 10 diploid.*--sex"):
        decided(mixed, range(1001, 1021), borders=PAR)
    found = decided(mixed, range(1001, 1021), borders=PAR, sexes={"m0": "male"})
    npt.assert_array_equal(found.is_haploid[1], MALE)


def test_haploid_genotypes_of_a_diploid_sample_are_named():
    rows = [DIPLOID] * 20
    rows[3] = "0|1 1 0|0 0|1"
    (warning,) = decided(rows, range(1, 21), contig="7").warnings
    assert "1 haploid genotype of 1 diploid sample from 7:1 on is set to missing; m0" in warning
    assert decided(rows, range(1, 21), contig="7", is_panel=True).warnings == []


def test_samples_that_look_like_males_are_named_if_their_sex_is_not_known():
    rows = ["0|1 1|1 0|1 0|0"] * 100
    (warning,) = decided(rows, range(1001, 1101), borders=PAR).warnings
    assert "2 samples (m0, m1) have no heterozygote from X:1001 on" in warning
    sexes = dict.fromkeys(("m0", "m1"), "female")
    assert decided(rows, range(1001, 1101), borders=PAR, sexes=sexes).warnings == []


def test_a_sample_without_genotypes_is_as_all_others_are():
    rows = ["1 0 1 ."] * 3
    assert decided(rows, [1, 2, 3], contig="MT").is_haploid.all()
    found = decided(["0|1 0 1|1 ."] * 20, range(1001, 1021), borders=PAR)
    npt.assert_array_equal(found.is_haploid[1], [False, True, False, False])
    assert "sample m1 has no genotype" in found.warnings[0]


def test_genotypes_of_a_target_become_those_of_the_ploidy():
    sites = sites_of([("X", p, "A", "G") for p in (2000, 3000, 4000)])
    absent, lost = haploid_calls.ABSENT, 4
    alleles = np.array(
        [
            [[0, 1], [1, absent], [8, 9], [0, absent]],
            [[1, 1], [0, 1], [lost, 1], [1, 1]],
            [[0, 0], [lost, absent], [9, 8], [lost, 1]],
        ],
        dtype=np.uint8,
    )
    rules = PloidyRules(sexes={"m0": "male", "m1": "male"}, borders=PAR)
    haploid_calls.settle_target(np.arange(3), alleles, sites, NAMES, rules, "t.vcf")
    npt.assert_array_equal(alleles[:, 1], [[1, lost], [lost, lost], [lost, lost]])
    npt.assert_array_equal(alleles[:, 3], [[0, lost], [1, lost], [1, lost]])
    npt.assert_array_equal(alleles[:, 2], [[8, 9], [lost, 1], [9, 8]])


@pytest.mark.parametrize(
    ("contig", "borders", "given", "advice"),
    [
        ("X", None, [], "give the sex of the samples with --sex, or give the borders of the"),
        ("X", PAR, ["--par"], "give the sex of the samples with --sex, or check the borders given"),
        ("X", PAR, ["--sex", "--par"], "add the sex of m0 to the table of --sex, or check the"),
        ("20", None, [], "in a region: correct the genotypes: bcftools"),
    ],
)
def test_options_that_were_given_are_not_advised(contig, borders, given, advice):
    mixed = [HAPLOID, "0|1 1|1 0|0 0"] * 10
    with pytest.raises(InputError) as caught:
        decided(mixed, range(1001, 1021), contig=contig, borders=borders, given=given)
    assert advice in str(caught.value)
    assert str(caught.value).count("--sex") <= 1


def test_samples_that_the_table_of_sexes_lacks_are_to_be_added():
    rows = ["0|1 0|0 0|0 1|1"] * 200
    one = {"m0": "male"}
    found = decided(rows, range(1001, 1201), borders=PAR, sexes=one, given=["--sex"]).warnings
    assert any(text.endswith("add their sex to the table of --sex.") for text in found)
    found = decided(rows, range(1001, 1201), borders=PAR).warnings
    assert any(text.endswith("give the sex of the samples with --sex.") for text in found)


def test_diploid_targets_are_left_alone():
    sites = sites_of([("20", p, "A", "G") for p in (2000, 3000)])
    alleles = np.array([[[0, 1]], [[8, 9]]], dtype=np.uint8)
    found = haploid_calls.settle_target(np.arange(2), alleles, sites, ["s"], PloidyRules(), "t.vcf")
    assert found is None
    assert alleles.tolist() == [[[0, 1]], [[8, 9]]]


def test_ploidy_counts_haplotypes_and_survives_json():
    ploidy = Ploidy.joined([0, 2, 2, 5], [MALE & False, ~MALE, MALE, MALE])
    assert ploidy.start.tolist() == [0, 2]
    assert ploidy.num_haplotypes(4).tolist() == [8, 8, 6, 6]
    assert ploidy.num_haplotypes(3, np.array([1, 2])).tolist() == [4, 4, 3]
    assert ploidy.haplotypes_at(2).tolist() == [0, 1, 2, 4, 5, 6]
    again = Ploidy.from_json(ploidy.as_json(), 4)
    npt.assert_array_equal(again.is_haploid, ploidy.is_haploid)
    with pytest.raises(ValueError, match="in order"):
        Ploidy.from_json({"start": [1], "haploid": [[]]}, 4)
    assert existing(MALE).tolist() == [True, True, True, False, True, True, True, False]
    pairs = as_homozygotes(np.array([[0, 1, 1, 0, 0, 0, 0, 1]], np.uint8), MALE)
    assert pairs.tolist() == [[0, 1, 1, 1, 0, 0, 0, 0]]


def test_the_ploidy_of_a_panel_holds_between_its_sites():
    sites = sites_of([("20", 5, "A", "G"), ("X", 10, "A", "G"), ("X", 30, "A", "G")])
    ploidy = Ploidy(np.array([0, 2]), np.stack([MALE & False, MALE]))
    found = RecordPloidy.of_panel(sites, ploidy)
    record = lambda contig, position: haploid_calls.Record(contig, position, ".", "A", ["G"])  # noqa: E731
    places = [record("20", 9), record("X", 1), record("X", 29), record("X", 30), record("Y", 1)]
    npt.assert_array_equal(found.of(places).any(axis=1), [False, False, False, True, False])


@pytest.mark.parametrize(
    ("length", "first_haploid", "last_haploid"),
    [
        (155_270_560, 2_699_521, 154_931_043),  # GRCh37
        (156_040_895, 2_781_480, 155_701_382),  # GRCh38
        (154_259_566, 2_394_411, 153_925_834),  # T2T-CHM13
    ],
)
@pytest.mark.parametrize("name", ["X", "chrX", "NC_000023.11"])
def test_the_par_of_a_build_are_known_by_the_length_of_x(length, first_haploid, last_haploid, name):
    genome = Genome(None, {name: length, "20": 63_025_520}, {})
    (ranges,) = pseudoautosomal.of_contigs(genome, {name: 9, "20": 9}, None).values()
    borders = pseudoautosomal.borders(ranges)
    assert borders == [(1, "par"), (first_haploid, "non-par"), (last_haploid + 1, "par")]


def test_given_par_replace_those_of_the_build():
    genome = Genome(None, {"X": 156_040_895}, {})
    assert pseudoautosomal.of_contigs(genome, {"X": 9}, ((5, 7),)) == {"X": ((5, 7),)}
    assert pseudoautosomal.of_contigs(genome, {"20": 9}, ((5, 7),)) == {}
    assert pseudoautosomal.borders(((5, 7),)) == [(1, "non-par"), (5, "par"), (8, "non-par")]


@pytest.mark.parametrize("text", ["", "5", "5-", "9-5", "5-9,8-12", "0-9", "5-9;11-12", "a-b"])
def test_other_forms_of_par_are_refused(text):
    with pytest.raises(ConfigError, match="--par"):
        pseudoautosomal.parse(text)
