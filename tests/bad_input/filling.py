"""Options of phasing, missing genotypes that are filled, and other names of contigs."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import Change, Make, added, every, target, target_records, with_record

PHASE = "phase t.vcf -o out.vcf.gz"
FILL = f"{PHASE} --fill-missing"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("filling", name, make, command, exit_code, message)


def calls(*texts: str) -> Make:
    """A target with other genotypes at one record."""
    return target(with_record(7, calls=list(texts)))


def in_all(*texts: str) -> Make:
    """A target with other genotypes everywhere."""
    return target(every(calls=list(texts)))


def on(contig: str, *further: str) -> Change:
    """All records on another contig, and one record on each of some further contigs."""

    def change(records):  # type: ignore[no-untyped-def]
        here = every(contig=contig)(records)
        position, ref, alt, cells = target_records()[0][1:]
        return [*here, *((name, position, ref, alt, cells) for name in further)]

    return change


CASES = [
    case("no pass", target(), f"{PHASE} --phasing-passes 0", 2, "--phasing-passes"),
    case("no pass of impute", target(), f"{IMPUTE} --phasing-passes 0", 2, "--phasing-passes"),
    case("half a pass", target(), f"{PHASE} --phasing-passes 1.5", 2, "--phasing-passes"),
    case("three passes", target(), f"{PHASE} --phasing-passes 3", 0, "records written"),
    case("a seed that has no effect", target(), f"{PHASE} --seed 2", 1,
         "--seed is for --fill-missing only"),
    case("a negative seed", target(), f"{FILL} --seed -2", 2, "--seed"),
    case("nothing is missing", target(), FILL, 0, "records written"),
    case("a missing genotype", calls("./.", "."), FILL, 0, "missing genotypes filled 2"),
    case("a missing genotype that stays", calls("./.", "."), PHASE, 0, "missing genotypes", "2"),
    case("a half-missing genotype", calls("./1", "0|."), FILL, 0, "missing genotypes filled 2"),
    case("a half-missing genotype with an unknown allele", target(with_record(
         7, alt="G,T", calls=["./2", "./."])), FILL, 0, "missing genotypes filled 1"),
    case("a record without ALT", target(with_record(7, alt=".", calls=["./.", "0/0"])), FILL, 0,
         "records written"),
    case("missing at a record that the panel lacks", target(added(
         ("20", 1501, "A", "C", ["./.", "0/1"]))), FILL, 0, "of records not matched to the panel"),
    case("a sample without genotypes", in_all("0/1", "./."), FILL, 0, "missing genotypes"),
    case("no genotypes", in_all("./.", "./."), FILL, 1, "--min-typed"),
    case("a RefSeq name", target(on("NC_000020.11")), IMPUTE, 0, '"NC_000020.11": "20"'),
    case("two names of other kinds", target(on("chr20", "NC_000020.11")), IMPUTE, 0,
         '"chr20": "20"'),
    case("a number that is another chromosome", target(on("24")), IMPUTE, 1, "share no contig",
         "--rename-chrs"),
    case("the PAR of X without an X in the panel", target(on("25")), IMPUTE, 1, "share no contig"),
    case("a mitochondrial contig that the panel lacks", target(on("20", "26")), PHASE, 0,
         "not in the panel", "1"),
]  # fmt: skip
