"""Lines and headers in forms that some programs write: read, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable

from tests.bad_input.case import Case
from tests.bad_input.room import Make, Room, bgzipped, panel_text, target_text
from tests.bad_input.room import target_records as records_of_target
from tests.panels import vcf_text

PREPARE = "prepare p.vcf"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"
REGION = "impute t.vcf.gz -o out.vcf.gz --no-network --region 20:1000-40000"

_DECLARED = (
    '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">\n'
    '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Phase set">\n'
)

Edit = Callable[[str], str]


def cells(change: Callable[[str, int, int], str], format_: str = "GT") -> Edit:
    """Other cells and FORMAT; `change` takes a GT and the numbers of its record and sample."""

    def edit(text: str) -> str:
        head, body = text[: text.index("#CHROM")], text[text.index("#CHROM") :].splitlines()
        lines = [head + _DECLARED + body[0]]
        for number, line in enumerate(body[1:]):
            fields = line.split("\t")
            fields[8] = format_
            fields[9:] = [change(gt, number, n) for n, gt in enumerate(fields[9:])]
            lines.append("\t".join(fields))
        return "\n".join(lines) + "\n"

    return edit


def signed(gt: str, number: int, sample: int) -> str:
    """A genotype with the leading phase sign of VCF 4.4."""
    return f"|{gt}" if gt[0] != gt[2] else "/" + gt.replace("|", "/")


SIGNED = cells(signed)
SIGNED_WITH_DEPTH = cells(lambda gt, record, n: f"{signed(gt, record, n)}:9", "GT:DP")
TEXT_DEPTH = cells(lambda gt, record, n: f"{gt}:{'high' if record > 3 else 9}", "GT:DP")
FLOAT_DEPTHS = cells(lambda gt, record, n: f"{gt}:3.5,1:9:7", "GT:AD:DP")
TOO_MANY = cells(lambda gt, record, n: f"{gt}:9:8:7", "GT:DP")
UNDECLARED = cells(lambda gt, record, n: f"{gt}:a,b:c", "GT:XX:YY")
GT_LAST = cells(lambda gt, record, n: f"{'x' if record == 0 else 9}:{gt}", "DP:GT")
ONE_SET = cells(lambda gt, record, n: f"{gt}:PATMAT", "GT:PS")
SETS = cells(lambda gt, record, n: f"{gt}:{1 if record < 20 else 20001}", "GT:PS")
TEXT_SETS = cells(lambda gt, record, n: f"{gt}:{record // 20}_A_G", "GT:PS")
SOME_SETS = cells(lambda gt, record, n: f"{gt}:1" if record < 20 else gt, "GT:PS")
SETS_OF_HOMOZYGOTES = cells(
    lambda gt, record, n: f"{gt}:{record if gt[0] == gt[2] else 1}", "GT:PS"
)
GATK = cells(lambda gt, record, n: f"{gt}:{gt}:{record // 20}_A_G", "GT:PGT:PID")


def no_version(text: str) -> str:
    return text.split("\n", 1)[1]


def spaces(text: str) -> str:
    return text.replace("\t", "  ")


def spaces_below(text: str) -> str:
    """Spaces in the records only."""
    head, _, body = text.partition("#CHROM")
    names, _, records = body.partition("\n")
    return f"{head}#CHROM{names}\n{spaces(records)}"


def one_line_of_spaces(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:-1], spaces(lines[-1])])


def no_format(text: str) -> str:
    return text.replace("\tFORMAT", "").replace("\tGT\t", "\t")


def region(edit: Edit) -> Make:
    """A compressed, indexed target, and the prepared panel."""

    def make(room: Room) -> None:
        room.panel()
        text = edit(vcf_text(records_of_target(), ["t0", "t1"]))
        bgzipped(text, room.folder / "t.vcf.gz", index=True)

    return make


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("forms", name, make, command, exit_code, message)


CASES = [
    *(
        found
        for name, edit in {
            "leading phase signs": SIGNED,
            "leading phase signs before other fields": SIGNED_WITH_DEPTH,
            "text in an Integer field": TEXT_DEPTH,
            "floats in an Integer field, in the wrong number": FLOAT_DEPTHS,
            "more values than FORMAT names": TOO_MANY,
            "FORMAT fields that the header does not declare": UNDECLARED,
            "one phase set, as text in an Integer field": ONE_SET,
            "other phase sets at homozygotes": SETS_OF_HOMOZYGOTES,
            "no ##fileformat": no_version,
        }.items()
        for found in (
            case(name, panel_text(edit), PREPARE, 0, "sites kept 41", "samples kept 20"),
            case(name, target_text(edit), IMPUTE, 0, '"typed_sites": 27'),
            case(name, region(edit), REGION, 0, '"typed_sites": 27'),
        )
    ),
    *(
        found
        for name, edit, tag in (
            ("phase sets", SETS, "PS"),
            ("phase sets that are text", TEXT_SETS, "PS"),
            ("phase sets at some heterozygotes", SOME_SETS, "PS"),
            ("phase sets of GATK", GATK, "PID"),
        )
        for found in (
            case(name, panel_text(edit), PREPARE, 1, "p.vcf, 20:", "in several phase sets",
                 f"FORMAT/{tag}", "SHAPEIT5", f"bcftools annotate -x FORMAT/{tag}"),
            case(name, target_text(edit), IMPUTE, 0, '"typed_sites": 27'),
            case(name, target_text(edit), f"{IMPUTE} --unphased error", 1, "t.vcf, 20:",
                 "in several phase sets", f"FORMAT/{tag}"),
            case(name, region(edit), f"{REGION} --unphased missing", 1, "t.vcf.gz, 20:",
                 "in several phase sets"),
        )
    ),
    case("an unphased genotype with a leading sign",
         target_text(cells(lambda gt, record, n: "/0|1" if record == 9 else gt)),
         f"{IMPUTE} --unphased error", 1,
         "t.vcf: 2 heterozygous genotypes of 2 samples are not phased"),
    case("GT after another field, which is bad", panel_text(GT_LAST), PREPARE, 1,
         "p.vcf, 20:1000: the record has no genotypes (GT)", "as its first field"),
    case("spaces", panel_text(spaces), PREPARE, 1, "p.vcf: the columns of the #CHROM header line",
         "separated by spaces, but VCF needs tabs", "sed -E"),
    case("spaces", target_text(spaces_below), IMPUTE, 1,
         "t.vcf: the columns of the first record are separated by spaces", "sed -E"),
    case("spaces in one line", target_text(one_line_of_spaces), IMPUTE, 1,
         "t.vcf: the columns of record 27 are separated by spaces"),
    case("spaces before #CHROM", target_text(lambda t: t.replace("#CHROM", "  #CHROM")), IMPUTE, 1,
         "t.vcf: the #CHROM header line begins with '  #CHROM"),
    case("# CHROM", target_text(lambda t: t.replace("#CHROM", "# CHROM")), IMPUTE, 1,
         "t.vcf: the header line with the column names begins with '# CHROM"),
    case("no #", panel_text(lambda t: t[t.index("#CHROM") + 1 :]), PREPARE, 1,
         "p.vcf: the header line with the column names begins with 'CHROM"),
    case("an empty line in the header", panel_text(lambda t: t.replace("#CHROM", "\n#CHROM")),
         PREPARE, 1, "p.vcf has an empty line in its header"),
    case("no FORMAT column", target_text(no_format), IMPUTE, 1,
         "t.vcf: column 9 of the #CHROM header line is 't0', but must be FORMAT"),
    case("no FORMAT column", panel_text(no_format), PREPARE, 1, "must be FORMAT"),
]  # fmt: skip
