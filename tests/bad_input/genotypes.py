"""Genotypes that are absent, unphased, missing, of another ploidy, or of an allele that is not."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import Make, panel, panel_text, target, target_text, with_record

PREPARE = "prepare p.vcf"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"
EIGHTEEN = ["0|0"] * 18


def in_panel(*calls: str, number: int = 9) -> Make:
    """The first samples of one record of the panel, the others homozygous."""
    return panel(with_record(number, calls=[*calls, *(["0|1"] * 20)[len(calls) :]]))


def in_target(*calls: str) -> Make:
    """The two samples of one record of the target."""
    return target(with_record(9, calls=list(calls)))


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("genotypes", name, make, command, exit_code, message)


NO_GT = lambda text: text.replace("\tGT\t", "\tDS\t")  # noqa: E731
NO_LINE = lambda text: "".join(  # noqa: E731
    line for line in text.splitlines(keepends=True) if "ID=GT" not in line
)
SHORT = lambda text: text.replace("\t0|0\n", "\n")  # noqa: E731
LONG = lambda text: text.replace("\t0|0\n", "\t0|0\t0|0\n")  # noqa: E731


CASES = [
    case("GT absent", panel_text(NO_GT), PREPARE, 1, "p.vcf, 20:1000", "no genotypes (GT)",
         "GT is needed in each record"),
    case("GT absent", target_text(NO_GT), IMPUTE, 1, "t.vcf, 20:1000", "no genotypes (GT)",
         "GT is needed in each record"),
    case("GT absent from one record",
         panel_text(lambda t: t.replace("rs7\tA\tG\t.\tPASS\t.\tGT", "rs7\tA\tG\t.\tPASS\t.\tDS")),
         PREPARE, 1, "p.vcf, 20:7000", "no genotypes (GT)"),
    case("GT is not declared in the header", panel_text(NO_LINE), PREPARE, 0, "sites kept 41"),
    case("GT is not declared in the header", target_text(NO_LINE), IMPUTE, 0, '"typed": 27'),
    case("a sample's column is missing", panel_text(SHORT), PREPARE, 1,
         "p.vcf: the first record has 28 columns", "has 29, for 20 samples", "bcftools reheader"),
    case("a sample's column is missing from one record",
         panel_text(lambda t: t[: t.rfind("\t")] + "\n"), PREPARE, 1,
         "p.vcf is damaged after record 39", "bcftools view p.vcf > /dev/null",
         "Copy or download it again"),
    case("a column too many", panel_text(LONG), PREPARE, 1,
         "p.vcf: the first record has 30 columns", "bcftools reheader"),
    case("a column too many", target_text(LONG), IMPUTE, 1,
         "t.vcf: the first record has 12 columns", "bcftools reheader"),
    case("no number", in_panel("a|b"), PREPARE, 1, "p.vcf", "damaged", "again"),
    case("no number", in_target("0|x", "0|0"), IMPUTE, 1, "t.vcf", "damaged", "again"),
    case("half of a cell", in_panel("0|"), PREPARE, 1, "p.vcf"),
    case("unphased heterozygote", in_panel("0|0", "0/1"), PREPARE, 1,
         "p.vcf, 20:10000, sample s1", "not phased", "--phase-panel", "--unphased drop"),
    case("unphased heterozygote, phased by the panel", in_panel("0/1", "0|1"),
         f"{PREPARE} --phase-panel", 0, "sites kept 41", "heterozygotes phased 1",
         "is phased by the panel's own samples"),
    case("unphased heterozygotes, two remedies", in_panel("0/1"),
         f"{PREPARE} --phase-panel --unphased drop", 1, "--phase-panel", "--unphased drop",
         "cannot be combined"),
    case("unphased heterozygote, dropped", in_panel("0/1"), f"{PREPARE} --unphased drop", 0,
         '"unphased heterozygotes": 1', "sites kept 40"),
    case("unphased homozygote", in_panel("1/1", "0/0"), PREPARE, 0, "sites kept 41"),
    case("unphased heterozygote", in_target("0|0", "1/0"), f"{IMPUTE} --unphased error", 1,
         "t.vcf: 1 heterozygous genotype of 1 sample", "20:17000, sample t1",
         "--unphased phase", "--unphased as-written"),
    case("unphased heterozygote, phased", in_target("0|0", "1/0"), IMPUTE, 0,
         '"unphased_heterozygous": 1', "their phase is found from the panel"),
    case("unphased heterozygote, missing", in_target("0|0", "1/0"),
         f"{IMPUTE} --unphased missing", 0, '"unphased_heterozygous": 1', "not phased"),
    case("unphased heterozygote, as written", in_target("0|0", "1/0"),
         f"{IMPUTE} --unphased as-written", 0, '"unphased_heterozygous": 1'),
    case("unphased homozygote", in_target("1/1", "0/0"), IMPUTE, 0, '"unphased_heterozygous": 0'),
    case("./.", in_panel("./.", "0|1"), PREPARE, 0, "genotypes filled in 1", "sites kept 41"),
    case(".|.", in_panel(".|.", "0|1"), PREPARE, 0, "genotypes filled in 1", "sites kept 41"),
    case("a point alone", in_panel(".", "0|1"), PREPARE, 0, "genotypes filled in 1",
         "sites kept 41"),
    case("./., dropped", in_panel("./.", "0|1"), f"{PREPARE} --missing drop", 0,
         '"missing genotypes": 1', "sites kept 40", "1 of 41 sites (2%) is dropped: missing"),
    case("half missing, not phased", in_panel("./1", "0|1"), PREPARE, 0, "genotypes filled in 1",
         "sites kept 41"),
    case("missing in most samples", in_panel(*["./."] * 15), PREPARE, 0, '"missing genotypes": 1',
         "sites kept 40", "1 of 41 sites (2%) is dropped: missing"),
    case("a sample without genotypes", panel(lambda records: [(*r[:4], ["./.", *r[4][1:]])
         for r in records]), PREPARE, 1,
         "p.vcf: sample s0 has no genotype at 100% of the records", "bcftools view -s ^s0"),
    case("a tenth of the genotypes missing",
         panel(lambda records: [(*r[:4], [*r[4][: n % 19], "./.", "./.", *r[4][n % 19 + 2 :]])
         for n, r in enumerate(records)]), PREPARE, 1, "p.vcf: 80 genotypes (10.0%) are missing",
         "--missing major or --missing drop"),
    case("records of another file merged",
         panel(lambda records: [(*r[:4], r[4] if n % 3 else ["./."] * 10 + r[4][10:])
         for n, r in enumerate(records)]), PREPARE, 1, "p.vcf: 14 of 41 sites (34%) cannot be used",
         "--missing-to-ref", "--max-dropped 1 or --missing drop"),
    case("records of another file merged, dropped on request",
         panel(lambda records: [(*r[:4], r[4] if n % 3 else ["./."] * 10 + r[4][10:])
         for n, r in enumerate(records)]), f"{PREPARE} --missing drop", 0, "sites kept 27",
         "14 of 41 sites (34%) are dropped: missing genotypes"),
    case("./., an error", in_panel("./."), f"{PREPARE} --missing error", 1,
         "p.vcf, 20:10000, sample s0", "missing", "--missing fill, drop or major"),
    case("./., filled in", in_panel("./.", "0|."), f"{PREPARE} --missing major", 0,
         "genotypes filled in 2", "sites kept 41"),
    case("half missing", in_panel("0|.", "0|1"), PREPARE, 0, "genotypes filled in 1"),
    case("./.", in_target("./.", "0|0"), IMPUTE, 0, '"missing": 1', '"half_missing": 0'),
    case(".|.", in_target(".|.", ".|."), IMPUTE, 0, '"missing": 2'),
    case("half missing", in_target(".|1", "0|."), IMPUTE, 0, '"half_missing": 2'),
    case("half missing not phased", in_target("./1", "0|0"), IMPUTE, 0, '"half_missing": 1'),
    case("a point alone", in_target(".", "0|0"), IMPUTE, 0, '"missing": 1', '"half_missing": 0'),
    case("haploid sample", in_panel("0", "1"), PREPARE, 0, '"not diploid": 1', "sites kept 40"),
    case("all haploid", panel(lambda records: [(*r[:4], ["0", "1"] * 10) for r in records]),
         PREPARE, 0, "haploid at some sites 20", "sites kept 41"),
    case("haploid for half of the records",
         panel(lambda records: [(*r[:4], ["0" if n < 20 else "0|0", *r[4][1:]])
         for n, r in enumerate(records)]), PREPARE, 1,
         "p.vcf: 20 of 40 sites (50%) cannot be used: not diploid", "bcftools +fixploidy"),
    case("triploid sample", in_panel("0|1|1"), PREPARE, 1, "p.vcf, 20:10000, sample s0",
         "has 3 alleles", "cannot be imputed"),
    case("all tetraploid", target(lambda records: [(*r[:4], ["0|0|0|1"] * 2) for r in records]),
         IMPUTE, 1, "t.vcf, 20:1000, sample t0", "has 4 alleles", "cannot be imputed"),
    case("haploid genotype", in_target("0", "0|1"), IMPUTE, 0,
         "t.vcf: 1 haploid genotype of 1 diploid sample from 20:", "is set to missing; t0"),
    case("all haploid", target(lambda records: [(*r[:4], ["0", "1"]) for r in records]), IMPUTE, 0,
         '"haploid_samples": 2'),
    case("haploid for half of the records",
         target(lambda records: [(*r[:4], ["0" if n % 2 else "0|0", r[4][1]])
         for n, r in enumerate(records)]), IMPUTE, 1, "t.vcf: sample t0 has 13 haploid and 14",
         "one ploidy in a region: correct the genotypes: bcftools +fixploidy"),
    case("mixed ploidy", in_target("0|1", "0|1|1"), IMPUTE, 1, "t.vcf, 20:17000, sample t1",
         "has 3 alleles", "cannot be imputed"),
    case("allele number beyond ALT", in_panel("0|0", "0|3"), PREPARE, 1,
         "p.vcf, 20:10000, sample s1", "allele 3", "has 1 ALT", "bcftools view -e"),
    case("allele number beyond ALT", in_target("0|3", "0|0"), IMPUTE, 1,
         "t.vcf, 20:17000, sample t0", "allele 3", "has 1 ALT", "bcftools view -e"),
    case("allele number beyond all bounds", in_panel("0|99999999999"), PREPARE, 1, "p.vcf"),
    case("allele number beyond all bounds", in_target("0|40000", "0|0"), IMPUTE, 1, "t.vcf"),
    case("negative allele number", in_panel("0|-1"), PREPARE, 1, "p.vcf"),
]  # fmt: skip
