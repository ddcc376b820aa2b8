from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.testing as npt
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import panels, targets
from vcfbert.domain import matching
from vcfbert.domain.matching import TargetPolicy
from vcfbert.domain.sites import Region, Sites
from vcfbert.domain.tokens import ALT, MISSING, REF
from vcfbert.domain.unordered import UNORDERED
from vcfbert.errors import InputError
from vcfbert.storage.vcf import reading, target
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.vcf.target import Target

PANEL = targets.sites_of(
    [
        ("20", 100, "A", "G"),
        ("20", 200, "C", "T"),
        ("20", 300, "A", "C"),
        ("20", 300, "A", "G"),
        ("20", 400, "A", "T"),
        ("20", 500, "G", "T"),
        ("20", 600, "AT", "A"),
        ("20", 700, "T", "G"),
    ]
)
Row = tuple[int, str, str, str]
"""Position, REF, ALT and the genotypes of all samples, separated by spaces."""


def read(
    tmp_path: Path,
    *rows: Row,
    policy: str = "error",
    strand: str = "fix",
    contig: str = "20",
    **options,
):
    """A target of these records, read onto PANEL."""
    records = [(contig, position, ref, alt, calls.split()) for position, ref, alt, calls in rows]
    path = panels.write_vcf(tmp_path / "t.vcf", records)
    with VcfFile(path) as file:
        return target.read_target(
            file, PANEL, TargetPolicy(unphased=policy, strand=strand), **options
        )


def read_file(path: Path, sites: Sites, **options) -> Target:
    """A file, read onto some sites."""
    with VcfFile(path) as file:
        return target.read_target(file, sites, TargetPolicy(), **options)


def typed(found: Target) -> dict[int, list[list[int]]]:
    """Site to everybody's pair of alleles."""
    return dict(zip(found.site_index.tolist(), found.alleles.tolist(), strict=True))


CALLS = ["0|0", "0|1", "1|0", "1|1", "0/0", "1/1", ".|.", "./.", ".|1", "0|.", "./1"]
_OBSERVED = {"0": 0, "1": 1, ".": MISSING}


def expected_alleles(call: str, *, is_swapped: bool) -> list[int]:
    pair = [_OBSERVED[a] for a in (call[0], call[2])]
    pair = [1 - a if is_swapped and a != MISSING else a for a in pair]
    if call == "./1":
        return [MISSING, pair[1] + UNORDERED]
    return pair


@settings(max_examples=60, deadline=None)
@given(data=st.data(), num_samples=st.integers(1, 4), block_bytes=st.sampled_from([1, 10**6]))
def test_alleles_are_those_of_the_text_in_the_panels_orientation(
    tmp_path_factory, data, num_samples, block_bytes
):
    rows = [("20", 10 * n, *data.draw(st.sampled_from(["AG", "TC", "CA", "GT"])))
            for n in range(1, data.draw(st.integers(1, 60)) + 1)]  # fmt: skip
    sites = targets.sites_of(rows)
    records, expected = [], {}
    for site, (contig, position, ref, alt) in enumerate(rows):
        kind = data.draw(st.sampled_from(["as written", "swapped", "absent", "elsewhere"]))
        calls = data.draw(
            st.lists(st.sampled_from(CALLS), min_size=num_samples, max_size=num_samples)
        )
        if kind == "elsewhere":
            records.append((contig, position + 1, ref, alt, calls))
        elif kind != "absent":
            is_swapped = kind == "swapped"
            alleles = (alt, ref) if is_swapped else (ref, alt)
            records.append((contig, position, *alleles, calls))
            expected[site] = [expected_alleles(call, is_swapped=is_swapped) for call in calls]
    if not expected:
        return
    path = panels.write_vcf(tmp_path_factory.mktemp("target") / "t.vcf", records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", block_bytes)
        found = read_file(path, sites)
    assert typed(found) == expected
    assert found.alleles.dtype == np.uint8
    assert found.report.only_in_target.total == len(records) - len(expected)


def test_names_and_contigs_with_and_without_chr(tmp_path):
    found = read(tmp_path, (100, "A", "G", "0|1 1|1"), contig="chr20")
    assert found.names == ["s0", "s1"]
    assert found.report.contigs == {"chr20": "20"}
    assert typed(found) == {0: [[0, 1], [1, 1]]}


def test_one_typed_site_of_one_sample_is_enough(tmp_path):
    found = read(tmp_path, (500, "G", "T", "1|0"))
    assert (found.site_index.tolist(), found.alleles.tolist()) == ([5], [[[1, 0]]])
    assert found.report.typed_sites == 1


def test_an_exchange_is_repaired_counted_and_listed(tmp_path):
    found = read(tmp_path, (100, "G", "A", "0|1 1|."), (200, "C", "T", "0|1 0|0"))
    assert typed(found) == {0: [[1, 0], [0, MISSING]], 1: [[0, 1], [0, 0]]}
    assert found.report.swapped_sites == 1
    assert "20\t100\trs1\tG\tA\tswapped alleles" in found.report.tables()["noted.tsv"]
    assert found.report.notes() == [
        "1 site has swapped alleles (REF is the panel's ALT); corrected."
    ]


TWO_FLIPS: list[Row] = [
    (100, "T", "C", "0|1 1|1"),
    (200, "C", "T", "0|1 1|1"),
    (300, "A", "G", "0|1 1|1"),
    (500, "A", "C", "0|1 1|1"),
    (700, "T", "G", "0|1 1|1"),
]


def test_strand_flips_are_repaired_counted_and_listed(tmp_path):
    found = read(tmp_path, *TWO_FLIPS)
    assert typed(found) == {
        0: [[0, 1], [1, 1]], 1: [[0, 1], [1, 1]], 3: [[0, 1], [1, 1]],
        5: [[1, 0], [0, 0]], 7: [[0, 1], [1, 1]],
    }  # fmt: skip
    assert found.report.tables()["noted.tsv"].splitlines()[1:] == [
        "20\t100\trs1\tT\tC\tstrand flip; repaired",
        "20\t500\trs4\tA\tC\tstrand flip with swapped alleles; repaired",
    ]
    counts = found.report.strand()
    assert (counts["telling_sites"], counts["flip_rate"], counts["flips_repaired"]) == (5, 0.4, 2)
    assert (counts["swap_rate"], counts["flips_dropped"]) == (0.2, 0)
    assert "2 records are strand flips; repaired." in found.report.notes()


def test_strand_flips_are_left_out_if_asked_for(tmp_path):
    found = read(tmp_path, *TWO_FLIPS, strand="drop")
    assert found.site_index.tolist() == [1, 3, 7]
    lines = found.report.tables()["dropped.tsv"].splitlines()
    assert lines[1:] == [
        "20\t100\trs1\tT\tC\tstrand flip",
        "20\t500\trs4\tA\tC\tstrand flip with swapped alleles",
    ]
    counts = found.report.strand()
    assert (counts["flip_rate"], counts["flips_repaired"], counts["flips_dropped"]) == (0.4, 0, 2)
    assert found.report.notes() == ["2 records are strand flips; dropped."]


def test_a_strand_flip_gives_way_to_a_record_of_the_same_strand(tmp_path):
    found = read(tmp_path, (100, "T", "C", "0|0"), (100, "A", "G", "0|1"), (100, "A", "G", "1|1"))
    assert typed(found) == {0: [[0, 1]]}
    assert found.report.dropped_counts == {matching.DUPLICATE: 2}


def test_a_t_follows_a_file_that_is_on_the_other_strand(tmp_path):
    sites = targets.sites_of([("20", n, *("AT" if n == 50 else "AG")) for n in range(1, 101)])
    records = [("20", n, *("TA" if n == 50 else "TC"), ["0|1", "0|0"]) for n in range(1, 101)]
    path = panels.write_vcf(tmp_path / "t.vcf", records)
    found = read_file(path, sites)
    assert (found.alleles == np.array([[0, 1], [0, 0]])).all()
    assert len(found.site_index) == 100
    counts = found.report.strand()
    assert (counts["flip_rate"], counts["palindromic_flips_repaired"]) == (1.0, 1)
    assert "20\t50\trs50\tT\tA\tpalindromic, strand flip" in found.report.tables()["noted.tsv"]


def test_exchanged_a_t_is_kept_only_where_other_sites_are_exchanged_and_none_is_turned(tmp_path):
    exchanged = (400, "T", "A", "0|1")
    alone = read(tmp_path, (100, "A", "G", "0|1"), exchanged)
    assert alone.site_index.tolist() == [0]
    assert alone.report.dropped_counts == {matching.UNCLEAR_STRAND: 1}
    borne_out = read(tmp_path, (100, "G", "A", "0|1"), exchanged)
    assert typed(borne_out) == {0: [[1, 0]], 4: [[1, 0]]}
    doubtful = read(
        tmp_path, (100, "G", "A", "0|1"), (200, "C", "T", "0|1"), exchanged, (500, "C", "A", "0|0")
    )
    assert doubtful.site_index.tolist() == [0, 1, 5]
    assert "1 palindromic (A/T, C/G) site is left out" in doubtful.report.notes()[2]


def test_an_indel_backwards_is_kept_only_where_snvs_are_exchanged(tmp_path):
    backwards = (600, "A", "AT", "0|1")
    alone = read(tmp_path, (100, "A", "G", "0|1"), backwards)
    assert alone.site_index.tolist() == [0]
    assert alone.report.dropped_counts == {matching.UNCLEAR_INDEL: 1}
    assert typed(read(tmp_path, (100, "G", "A", "0|1"), backwards))[6] == [[1, 0]]


def test_an_unclear_record_does_not_keep_out_the_clear_one_behind_it(tmp_path):
    found = read(tmp_path, (100, "G", "A", "0|1"), (600, "A", "AT", "0|0"), (600, "AT", "A", "1|1"))
    assert typed(found) == {0: [[1, 0]], 6: [[1, 1]]}
    assert found.report.dropped_counts == {matching.DUPLICATE: 1}


def test_of_two_records_of_one_site_the_first_is_kept(tmp_path):
    found = read(tmp_path, (100, "A", "G", "0|1"), (100, "A", "G", "1|1"), (100, "G", "A", "0|0"))
    assert typed(found) == {0: [[0, 1]]}
    assert found.report.dropped_counts == {matching.DUPLICATE: 2}


def test_sites_rise_also_where_records_of_a_position_do_not(tmp_path):
    found = read(tmp_path, (300, "A", "G", "0|1"), (300, "A", "C", "1|0"), (400, "A", "T", "1|1"))
    assert found.site_index.tolist() == [2, 3, 4]
    assert typed(found) == {2: [[1, 0]], 3: [[0, 1]], 4: [[1, 1]]}


def test_contigs_in_another_order_than_the_panels_are_put_in_its_order(tmp_path):
    sites = targets.sites_of([("20", 5, "A", "G"), ("21", 3, "A", "C")])
    records = [("chr21", 3, "A", "C", ["0|1"]), ("chr20", 5, "A", "G", ["1|1"])]
    path = panels.write_vcf(tmp_path / "t.vcf", records)
    assert typed(read_file(path, sites)) == {0: [[1, 1]], 1: [[0, 1]]}


def test_genotypes_with_an_allele_the_panel_lacks_are_missing_there(tmp_path):
    found = read(tmp_path, (100, "A", "C,G", "0|2 1|2 0|0 .|2"))
    assert typed(found) == {0: [[0, 1], [MISSING, 1], [0, 0], [MISSING, 1]]}
    counts = found.report.counts()
    assert counts["genotypes"]["other_alleles"] == 1
    assert counts["multiallelic_records"] == 1


def test_both_alts_of_a_record_type_both_sites_of_the_panel(tmp_path):
    found = read(tmp_path, (300, "A", "G,C,T", "0|1 1|2 3|0"))
    assert typed(found) == {
        2: [[0, 0], [0, 1], [MISSING, 0]],
        3: [[0, 1], [1, 0], [MISSING, 0]],
    }
    assert found.report.genotypes == 3


def test_a_record_without_alt_types_the_one_site_there(tmp_path):
    found = read(tmp_path, (100, "A", ".", "0|0 0/0"), (200, "T", ".", "0|0 ./."))
    assert typed(found) == {0: [[0, 0], [0, 0]], 1: [[1, 1], [MISSING, MISSING]]}
    assert found.report.monomorphic == 2


def test_a_record_without_alt_where_the_panel_has_two_sites_is_listed(tmp_path):
    found = read(tmp_path, (100, "A", "G", "0|1"), (300, "A", ".", "0|0"))
    assert found.report.dropped_counts == {matching.SEVERAL: 1}


def test_what_the_panel_lacks_is_listed_and_its_genotypes_are_not_looked_at(tmp_path):
    found = read(
        tmp_path,
        (50, "A", "G", "0/1"),
        (100, "A", "G", "0|1"),
        (200, "C", "<DEL>", "0"),
        (800, "A", "T", "1"),
    )
    assert found.site_index.tolist() == [0]
    assert found.report.only_in_target.total == 3
    assert found.report.tables()["only_in_target.tsv"] == (
        "#contig\tposition\tid\tref\talt\n"
        "20\t50\trs1\tA\tG\n"
        "20\t200\trs3\tC\t<DEL>\n"
        "20\t800\trs4\tA\tT\n"
    )


def test_missing_genotypes_and_halves_are_counted(tmp_path):
    found = read(tmp_path, (100, "A", "G", "./. .|. .|1 1|. 0|1"))
    m = MISSING
    assert typed(found) == {0: [[m, m], [m, m], [m, 1], [1, m], [0, 1]]}
    assert (found.report.missing, found.report.half_missing) == (2, 2)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("missing", [[8, 9], [1, 1], [MISSING, 9], [0, 1]]),  # 8 is UNORDERED
        ("as-written", [[0, 1], [1, 1], [MISSING, 1], [0, 1]]),
    ],
)
def test_heterozygotes_without_phase_become_what_the_policy_says(tmp_path, policy, expected):
    found = read(tmp_path, (100, "A", "G", "0/1 1/1 ./1 0|1"), policy=policy)
    assert typed(found) == {0: expected}
    assert found.report.unphased == 1
    assert "1 heterozygous genotype is not phased" in found.report.notes()[0]


def test_homozygotes_have_nothing_to_phase(tmp_path):
    found = read(tmp_path, (100, "A", "G", "0/0 1/1 ./."))
    assert found.report.unphased == 0


def test_a_t_sites_far_from_the_panels_frequency_are_listed_and_kept(tmp_path):
    everyone = " ".join(["1|1"] * 50)
    rows: list[Row] = [(100, "A", "G", everyone), (400, "A", "T", everyone)]
    frequency = np.full(len(PANEL), 0.1)
    found = read(tmp_path, *rows, panel_frequency=frequency)
    assert found.site_index.tolist() == [0, 4]
    assert found.report.suspicious_sites == 1
    assert "20\t400\trs2\tA\tT\tpalindromic" in found.report.tables()["noted.tsv"]
    assert read(tmp_path, *rows, panel_frequency=1 - frequency).report.suspicious_sites == 0
    few = [(position, ref, alt, "1|1 1|1") for position, ref, alt, _ in rows]
    assert read(tmp_path, *few, panel_frequency=frequency).report.suspicious_sites == 0


def test_a_target_can_be_bcf_and_is_read_by_region_with_and_without_an_index(tmp_path):
    records = [(("20", p, r, a, ["0|1"])) for p, r, a in [(100, "A", "G"), (200, "C", "T"),
               (500, "G", "T")]]  # fmt: skip
    indexed = panels.write_vcf(tmp_path / "i.vcf.gz", records)
    plain = panels.write_vcf(tmp_path / "p.vcf", records)
    binary = tmp_path / "b.bcf"
    with pysam.VariantFile(str(plain)) as source:
        with pysam.VariantFile(str(binary), "wb", header=source.header) as sink:
            for record in source:
                sink.write(record)
    for path in (indexed, plain, binary):
        whole = read_file(path, PANEL)
        assert whole.site_index.tolist() == [0, 1, 5]
        part = read_file(path, PANEL, region=Region("chr20", 150, 500))
        assert part.site_index.tolist() == [1, 5]
        assert part.report.num_records == 2


def test_counts_are_json(tmp_path):
    counts = read(tmp_path, (100, "A", "G", "0|1 ./."), (150, "A", "C", "0|1 0|0")).report.counts()
    assert counts == {
        "records": 2,
        "contigs": {"20": "20"},
        "typed_sites": 1,
        "swapped_sites": 0,
        "palindromic_sites": 0,
        "suspicious_sites": 0,
        "strand": {
            "telling_sites": 1,
            "flip_rate": 0.0,
            "swap_rate": 0.0,
            "flips_repaired": 0,
            "flips_dropped": 0,
            "palindromic_as_written": 0,
            "palindromic_flips_repaired": 0,
            "palindromic_flips_dropped": 0,
            "palindromic_undecided": 0,
            "palindromic_compared_with_panel": 0,
        },
        "monomorphic_records": 0,
        "multiallelic_records": 0,
        "only_in_target": 1,
        "dropped": {},
        "genotypes": {
            "read": 2,
            "missing": 1,
            "half_missing": 0,
            "other_alleles": 0,
            "unphased_heterozygous": 0,
        },
    }


GOOD = (100, "A", "G", "0|1 0|0")
BAD_ROWS = {
    "unphased": (
        [GOOD, (200, "C", "T", "0/1 0|0"), (300, "A", "G", "1/0 0/1")],
        r"t\.vcf: 3 heterozygous genotypes of 2 samples are not phased, the first at 20:200, "
        r"sample s0\. Pass --unphased phase to phase them, or --unphased as-written",
    ),
    "mixed_ploidy": (
        [GOOD, (200, "C", "T", "0|1 1")],
        r"t\.vcf: sample s1 has 1 haploid and 1 diploid genotype from 20:100 on\. Each sample "
        r"needs one ploidy in a region: correct the genotypes: bcftools \+fixploidy",
    ),
    "triploid": ([(100, "A", "G", "0|1 0|1|1")], "sample s1: the genotype has 3 alleles"),
    "no_such_allele": (
        [GOOD, (200, "C", "T", "0|1 0|2")],
        "20:200, sample s1: the genotype has allele 2, but the record has 1 ALT",
    ),
    "all_flipped": (
        [(100, "T", "C", "0|1 0|0"), (200, "A", "G", "0|1 0|0"), (500, "G", "T", "0|0 0|1"),
         (400, "A", "T", "0|1 0|1")][:3],
        r"t\.vcf: 2 of 3 sites that show the strand are strand flips; the "
        r"first, 20:100, has T/C, but the panel has A/G\. Repair them with --strand fix, or put "
        r".*bcftools \+fixref .*t\.vcf -Oz -o forward\.vcf\.gz -- -f REFERENCE\.fasta -m flip",
        "drop",
    ),
    "one_flipped_site": (
        [(100, "T", "C", "0|1 0|0")],
        "1 of 1 site that shows the strand",
        "drop",
    ),
    "the_first_flip_of_an_error": (
        [GOOD, (200, "C", "T", "0|1 0|0"), (500, "A", "C", "0|0 0|1"), (700, "A", "C", "0|0 0|1")],
        r"t\.vcf: 2 of 4 sites that show the strand are strand flips; the first, 20:500, has A/C, "
        r"but the panel has G/T\. Repair them with --strand fix, leave them out with --strand drop",
        "error",
    ),
    "other_positions": (
        [(105, "A", "G", "0|1 0|0"), (205, "C", "T", "0|1 0|0")],
        r"none of 2 records lies at a position of the panel\. The target spans 20:105-205; the "
        r"panel has 8 sites of 20:100-700\..*genome build",
    ),
    "other_alleles": (
        [(100, "A", "C", "0|1 0|0"), (200, "C", "A", "0|1 0|0")],
        r"2 records lie at positions of the panel, but none can be used; the first, 20:100, has "
        r"A/C, but the panel has A/G \(other alleles.*bcftools norm -f",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_target_that_cannot_be_used_is_refused_with_a_remedy(tmp_path, name):
    rows, message, *strand = BAD_ROWS[name]
    with pytest.raises(InputError, match=message):
        read(tmp_path, *rows, strand=strand[0] if strand else "fix")


def test_a_target_without_a_contig_of_the_panel_names_both_sides(tmp_path):
    with pytest.raises(
        InputError,
        match=r"t\.vcf and the panel share no contig: the target has chr1, the panel has 20\..*"
        r"bcftools annotate --rename-chrs",
    ):
        read(tmp_path, GOOD, contig="chr1")


def test_a_target_of_another_genome_build_is_refused(tmp_path):
    sites = targets.sites_of([("20", n, "A", "G") for n in range(1, 31)])
    others = [(n, *("TC" if n % 3 else "AC")) for n in range(1, 31)]
    records = [("20", *other, ["0|1"]) for other in others]
    path = panels.write_vcf(tmp_path / "t.vcf", records)
    with pytest.raises(
        InputError,
        match=r"t\.vcf: 10 of 30 records at positions of the panel have other alleles than the "
        r"panel; the first, 20:3, has A/C, but the panel has A/G\. The files have different "
        r"genome builds.*Lift the target over",
    ):
        read_file(path, sites)


def test_a_region_without_records_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"t\.vcf has no records in 20:900-950"):
        read(tmp_path, GOOD, region=Region("20", 900, 950))


ONE = panels.vcf_text([("20", 100, "A", "G", ["0|1", "0|0"])], ["ann", "bob"])
LINE = "20\t{}\t.\tA\tG\t.\t.\t.\tGT\t0|1\t0|0\n"
BAD_TEXT = {
    "no_gt_at_one": (ONE + LINE.format(300).replace("GT\t0|1\t0|0", ".\t.\t."),
                     r"20:300: the record has no genotypes \(GT\)"),
    "no_gt_at_all": (ONE.replace("\tGT\t0|1\t0|0", "\tDP\t1\t2").replace("ID=GT", "ID=DP"),
                     r"20:100: the record has no genotypes \(GT\)"),
    "cut": (ONE[:-3], "ends in the middle of a line, so it is truncated"),
    "unsorted": (ONE + LINE.format(50), "20:50: the records are not sorted; it follows position 100"
                 ".*bcftools sort"),
    "contig_returns": (ONE.replace("##contig", "##contig=<ID=7>\n##contig", 1)
                       + LINE.format(5).replace("20", "7", 1) + LINE.format(500),
                       "20:500: the records are not sorted; contig 20 returns after 7"),
    "repeated_sample": (ONE.replace("bob", "ann"), "two samples named ann.*bcftools reheader"),
    "no_samples": ("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n",
                  "has no samples. Genotypes"),
    "no_records": ("".join(s for s in ONE.splitlines(True) if s[0] == "#"), "has no records"),
    "empty": ("", "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TEXT)
def test_a_damaged_target_is_refused_with_its_place(tmp_path, name):
    text, message = BAD_TEXT[name]
    path = tmp_path / "bad.vcf"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"bad\.vcf.*{message}"):
        read_file(path, PANEL)


def test_a_truncated_compressed_target_is_refused(tmp_path):
    records = panels.records_of(np.ones((50, 40), dtype=np.uint8))
    path = panels.write_vcf(tmp_path / "t.vcf.gz", records)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="is truncated or damaged at byte"):
        read_file(path, PANEL)


def test_alleles_of_ref_and_alt_are_tokens(tmp_path):
    found = read(tmp_path, (100, "A", "G", "0|1"))
    npt.assert_array_equal(found.alleles[0, 0], [REF, ALT])


def unphased_rows(num_unphased: int, num_heterozygous: int, num_other: int) -> list[Row]:
    """Records of two samples: the first as asked, the second with other heterozygotes, phased."""
    rows = []
    for number in range(max(num_heterozygous, num_other)):
        first = "0/1" if number < num_unphased else "0|1" if number < num_heterozygous else "0|0"
        rows.append(
            (10 * number + 10, "A", "G", f"{first} {'1|0' if number < num_other else '0|0'}")
        )
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (unphased_rows(10, 200, 0), None),  # 5 % of the file
        (unphased_rows(11, 200, 0), r"11 of 200 heterozygous genotypes \(5.5%\) are not phased"),
        (unphased_rows(9, 9, 0), None),  # too few to tell
        (unphased_rows(10, 10, 0), r"10 of 10 heterozygous genotypes \(100.0%\)"),
        (unphased_rows(10, 100, 200), r"10 of 100 .* of sample s0 \(10.0%\) are not phased"),
        (unphased_rows(9, 20, 200), None),
    ],
)
def test_few_heterozygotes_may_be_taken_as_missing(tmp_path, rows, message):
    records = [("20", position, ref, alt, calls.split()) for position, ref, alt, calls in rows]
    path = panels.write_vcf(tmp_path / "t.vcf", records)
    sites = targets.sites_of([("20", row[0], "A", "G") for row in rows])
    with VcfFile(path) as file:
        if message is None:
            found = target.read_target(file, sites, TargetPolicy(unphased="missing"))
            assert found.report.unphased == sum("/" in row[3] for row in rows)
            return
        with pytest.raises(InputError, match=message) as caught:
            target.read_target(file, sites, TargetPolicy(unphased="missing"))
    assert "first is at 20:10, sample s0" in str(caught.value)
    assert "--unphased phase" in str(caught.value)


def test_an_unphased_genotype_keeps_what_is_known_at_each_site(tmp_path):
    found = read(tmp_path, (300, "A", "C,G", "1/2 0/2 ./2 1/1"), policy="missing")
    assert typed(found) == {
        2: [[9, 8], [0, 0], [MISSING, 8], [1, 1]],
        3: [[8, 9], [8, 9], [MISSING, 9], [0, 0]],
    }
    lacking = read(tmp_path, (100, "A", "G,T", "1/2 0/2 2/2 0|2"), policy="missing")
    assert typed(lacking) == {0: [[9, MISSING], [8, MISSING], [MISSING, MISSING], [0, MISSING]]}


def test_a_joined_record_types_padded_and_shifted_sites(tmp_path):
    sites = targets.sites_of([("20", 100, "C", "T"), ("20", 100, "CA", "C"), ("20", 102, "G", "T")])
    record = ("20", 100, "CAG", "CG,TAG,CAT", ["0|1", "2|1", "3|0", "0|0"])
    alone = [("20", 90, "A", "C", ["0|0"] * 4), record]  # 90 is not in the panel
    found = read_file(panels.write_vcf(tmp_path / "t.vcf", alone), sites)
    assert typed(found) == {
        0: [[0, 0], [1, 0], [0, 0], [0, 0]],
        1: [[0, 1], [0, 1], [0, 0], [0, 0]],
        2: [[0, 0], [0, 0], [1, 0], [0, 0]],
    }
    assert found.report.only_in_target.total == 1
    shifted = read_file(
        panels.write_vcf(tmp_path / "s.vcf", [("20", 98, "TGCA", "TGC", ["0|1", "1|1"])]), sites
    )
    assert typed(shifted) == {1: [[0, 1], [1, 1]]}


def test_records_that_the_panel_lacks_are_kept_on_request(tmp_path):
    rows = [
        (50, "A", "G", "0/1 ./."),
        (100, "A", "G", "0|1 1|1"),
        (150, "C", "T,G", "1|2 0|0"),
        (200, "C", "G", "0|1 0|0"),  # other alleles than the panel's
        (300, "T", "G", "0|1 0|0"),  # a strand flip is no record that the panel lacks
        (350, "C", "<DEL>", "0|1 0|0"),
        (999, "C", ".", "0|0 0|0"),
    ]
    assert read(tmp_path, *rows).others == []
    found = read(tmp_path, *rows, keep_others=True)
    assert [one.record.position for one in found.others] == [50, 150, 200, 999]
    npt.assert_array_equal(found.others[0].calls, [[0, 1, 0], [-1, -1, 0]])
    npt.assert_array_equal(found.others[1].calls, [[1, 2, 1], [0, 0, 1]])
    assert typed(found) == typed(read(tmp_path, *rows))
    assert found.report.counts() == read(tmp_path, *rows).report.counts()
    part = read(tmp_path, *rows, keep_others=True, region=Region("20", 100, 160))
    assert [one.record.position for one in part.others] == [150]


def test_haploid_genotypes_of_kept_records_stay_haploid(tmp_path):
    rows = [(100, "A", "G", "0|1 1|1"), (150, "C", "T", "1 0"), (160, "C", "T", "1 0/1")]
    found = read(tmp_path, *rows, keep_others=True)
    npt.assert_array_equal(found.others[0].calls[:, :2], [[1, -2], [0, -2]])
    npt.assert_array_equal(found.others[1].calls[:, :2], [[1, -2], [0, 1]])


@pytest.mark.parametrize(
    ("calls", "message"),
    [("0|0|1 0|0", "20:150, sample s0: the genotype has 3 alleles"), ("0|2 0|0", "has allele 2")],
)
def test_kept_records_that_cannot_be_written_are_refused(tmp_path, calls, message):
    rows = [(100, "A", "G", "0|1 1|1"), (150, "C", "T", calls)]
    assert len(read(tmp_path, *rows).site_index) == 1
    with pytest.raises(InputError, match=message):
        read(tmp_path, *rows, keep_others=True)


def test_the_ids_of_the_typed_sites_are_those_of_the_file(tmp_path):
    found = read(tmp_path, (100, "A", "G", "0|1 1|1"), (101, "A", "G", "0|1 1|1"),
                 (300, "A", "C,G", "0|1 1|1"))  # fmt: skip
    assert found.identifiers == ["rs1", "rs3", "rs3"]
