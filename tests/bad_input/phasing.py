"""Unusual phase sets and numbers of heterozygotes, and pedigrees."""

from __future__ import annotations

from tests import panels
from tests.bad_input.case import Case
from tests.bad_input.forms import Edit, cells
from tests.bad_input.room import Change, Make, Room, target, target_records, target_text

IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"
PHASE = "phase t.vcf -o out.vcf.gz"
TRIO = ["kid", "dad", "mum"]
SETS = '##FORMAT=<ID=PS,Number=1,Type={type},Description="Set">\n#CHROM'


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("phasing", name, make, command, exit_code, message)


def declared(edit: Edit, type_: str = "Integer") -> Edit:
    """The same with a declared PS."""
    return lambda text: edit(text.replace("#CHROM", SETS.format(type=type_)))


def calls(*each: str) -> Change:
    """All records with these genotypes in turn, the same for all samples."""

    def change(records: list[panels.Record]) -> list[panels.Record]:
        return [
            (*record[:4], [each[number % len(each)]] * len(record[4]))
            for number, record in enumerate(records)
        ]

    return change


def trio(fam: str | bytes, num_errors: int = 0) -> Make:
    """A target of three samples and a pedigree, with Mendelian errors at the first records.

    The parents decide the child's heterozygotes at every third record.
    """

    def make(room: Room) -> None:
        room.panel()
        records = []
        for number, (contig, place, ref, alt, _) in enumerate(target_records()):
            texts = [["0/1", "0/0", "1/1"], ["0/0", "0/0", "0/0"], ["0/1", "0/1", "0/1"]]
            row = ["1/1", "0/0", "0/0"] if number < num_errors else texts[number % 3]
            records.append((contig, place, ref, alt, row))
        room.vcf(records, TRIO, "t.vcf")
        room.write("t.fam", fam)

    return make


PS = {
    "phase sets are interleaved": declared(cells(lambda gt, n, _: f"{gt}:{n % 3}", "GT:PS")),
    "phase sets of unphased genotypes": declared(
        cells(lambda gt, n, _: f"{gt.replace('|', '/')}:7", "GT:PS")
    ),
    "no phase set has a number": declared(cells(lambda gt, n, _: f"{gt}:.", "GT:PS")),
    "PS declared as text": declared(
        cells(lambda gt, n, _: f"{gt}:{n // 9}_A_G", "GT:PS"), "String"
    ),
    "PS declared as a float": declared(cells(lambda gt, n, _: f"{gt}:{n // 9}", "GT:PS"), "Float"),
    "two numbers in PS": declared(cells(lambda gt, n, _: f"{gt}:1,{n // 9}", "GT:PS")),
    "negative phase sets": declared(cells(lambda gt, n, _: f"{gt}:{-1 - n // 9}", "GT:PS")),
    "phase sets of GATK in PGT and PID": cells(
        lambda gt, n, _: f"{gt.replace('|', '/')}:{gt}:{n // 9}_A_G", "GT:PGT:PID"
    ),
}
LARGE = declared(cells(lambda gt, n, _: f"{gt}:{3_000_000_000 + n // 9}", "GT:PS"))
FAM = "F kid dad mum 0 -9\n"

CASES = [
    *(
        case(name, target_text(edit), command, 0, said)
        for name, edit in PS.items()
        for command, said in ((PHASE, "heterozygotes phased"), (IMPUTE, '"typed_sites": 27'))
    ),
    *(
        found
        for command, said in ((PHASE, "samples"), (IMPUTE, '"typed_sites": 27'))
        for found in (
            case("phase sets larger than an Integer", target_text(LARGE), command, 1,
                 "t.vcf, 20:", "the phase set 3000000000 (FORMAT/PS) does not fit an Integer",
                 "Type=String"),
            case("one heterozygote", target(calls(*["0/0"] * 20, "0/1", *["1/1"] * 6)), command, 0,
                 said),
            case("no heterozygote", target(calls("0/0", "1/1")), command, 0, said),
            case("only heterozygotes", target(calls("0/1")), command, 0, said),
            case("only missing genotypes", target(calls("./.")), command, 1, "types 0 of",
                 "--min-typed"),
            case("two samples with the same name", target(names=["t0", "t0"]), command, 1,
                 "t.vcf has two samples named t0", "bcftools reheader"),
            case("both ploidies", target(calls("0", "0/1")), command, 1, "t.vcf: sample t0 has 14 "
                 "haploid and 13 diploid genotypes", "correct the genotypes"),
            case("a trio", trio(FAM), f"{command} --trios t.fam", 0, "trios 1",
                 "heterozygotes that parents decide 9"),
            case("Mendelian errors", trio(FAM, 2), f"{command} --trios t.fam", 0,
                 "Mendelian errors 2"),
            case("Mendelian errors set missing", trio(FAM, 2),
                 f"{command} --trios t.fam --mendel", 0, "genotypes set missing 6"),
            case("wrong parents", trio(FAM, 9), f"{command} --trios t.fam --mendel", 0,
                 "1 child has too many Mendelian errors", "kid with dad and mum",
                 "not used: too many Mendelian errors 1"),
            case("other samples in the pedigree", trio(FAM + "G a b c 1 -9\n"),
                 f"{command} --trios t.fam", 0, "samples of the pedigree not in the target 1"),
            case("no parent in the target", trio("F kid x y 0 -9\n"),
                 f"{command} --trios t.fam", 1, "t.fam: no sample of t.vcf (kid"),
            case("a trio of bcftools", trio("1X:kid,dad,mum\n"), f"{command} --trios t.fam", 1,
                 "t.fam, line 1: '1X:kid,dad,mum' has 1 column", "FID IID PAT MAT SEX PHENO"),
            case("a pedigree of SHAPEIT5", trio("kid dad mum\n"), f"{command} --trios t.fam", 1,
                 "t.fam, line 1: 'kid dad mum' has 3 columns"),
            case("a father of sex 2", trio(FAM + "F dad 0 0 2 -9\n"),
                 f"{command} --trios t.fam", 1, "t.fam, line 2: sample dad is a mother"),
            case("a sample is its own grandfather", trio(FAM + "F dad kid 0 1 -9\n"),
                 f"{command} --trios t.fam", 1, "t.fam, line ", "is its own parent or ancestor"),
            case("a pedigree that does not exist", target(), f"{command} --trios t.fam", 1,
                 "t.fam does not exist"),
            case("a pedigree that is not text", trio(bytes(range(128, 256))),
                 f"{command} --trios t.fam", 1, "t.fam is not a text file"),
            case("an empty pedigree", trio("\n"), f"{command} --trios t.fam", 1,
                 "t.fam has no lines", "FID IID PAT MAT"),
            case("--mendel alone", target(), f"{command} --mendel", 1,
                 "--mendel needs the pedigree", "--trios"),
        )
    ),
    case("a pedigree, and unphased genotypes taken as phased", trio(FAM),
         f"{IMPUTE} --trios t.fam --unphased as-written", 1,
         "--trios and --unphased as-written cannot be combined"),
]  # fmt: skip
