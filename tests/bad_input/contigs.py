"""Several files of a panel or a target, and their contigs."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import NAMES, PANEL_NAMES, Make, Room, panel_records, target_records
from tests.panels import Record

PREPARE = "prepare p.vcf q.vcf --threads 1 --window-size 16 --flank 2 --test-fraction 0.2"
IMPUTE = "impute t.vcf u.vcf -o out.vcf.gz --no-network"


def on(contig: str, records: list[Record]) -> list[Record]:
    return [(contig, *record[1:]) for record in records]


def panels(contig: str, names: list[str] = PANEL_NAMES, text: str = "") -> Make:
    """A panel file of contig 20 and another one."""

    def make(room: Room) -> None:
        room.vcf(panel_records(), PANEL_NAMES, "p.vcf")
        room.vcf(on(contig, panel_records()), names, "q.vcf")
        room.write("files.txt", text or "p.vcf\nq.vcf\n")

    return make


def targets(contig: str, names: list[str] = NAMES, *, both: bool = True) -> Make:
    """The prepared panel of contig 20, a target with it, and one with another contig."""

    def make(room: Room) -> None:
        room.panel()
        room.vcf(target_records(), NAMES, "t.vcf")
        if both:
            room.vcf(on(contig, target_records()), names, "u.vcf")

    return make


def again(room: Room) -> None:
    """A prepared workspace, and two files, one with a contig that the panel already has."""
    room.work()
    panels("21")(room)


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("contigs", name, make, command, exit_code, message)


SWAPPED = [PANEL_NAMES[1], PANEL_NAMES[0], *PANEL_NAMES[2:]]

CASES = [
    case("two contigs", panels("21"), PREPARE, 0, "contigs 2", "sites kept 82"),
    case("contigs in another order", panels("3"), PREPARE, 0, '"3", "20"'),
    case("the same contig in two files", panels("20"), PREPARE, 1,
         "p.vcf and q.vcf both have records of", "contig 20", "bcftools concat"),
    case("one contig under two names", panels("chr20"), PREPARE, 1, "p.vcf and q.vcf both have"),
    case("samples in another order", panels("21", SWAPPED), PREPARE, 1,
         "sample 1 is s0 in p.vcf and s1 in q.vcf", "bcftools view -S"),
    case("other samples", panels("21", [*PANEL_NAMES[:-1], "x"]), PREPARE, 1,
         "sample 20 is s19 in p.vcf and x in q.vcf", "bcftools view -S"),
    case("a region with two files", panels("21"), f"{PREPARE} --region 20:1-5000", 1,
         "--region needs one PANEL file"),
    case("a map for one of two contigs", panels("21"), f"{PREPARE} --map {{contig}}.map", 1,
         "no genetic map for contig 20: 20.map does not exist"),
    case("a contig that the panel already has", again, PREPARE, 1,
         "work/panel.zarr already has contig 20", "--force", "--skip-existing"),
    case("force and skip", again, f"{PREPARE} --force --skip-existing", 1, "cannot be combined"),
    case("an added contig with other splits", again, "prepare q.vcf --window-size 16 --flank 2", 1,
         "q.vcf cannot be added", "in the split", "--samples"),
    case("a list with a missing file", panels("21", text="p.vcf\nz.vcf\n"),
         "prepare --list files.txt", 1, "files.txt, line 2: z.vcf does not exist"),
    case("an empty list", panels("21", text="\n"), "prepare --list files.txt", 1,
         "files.txt has no paths"),
    case("no files", panels("21"), "prepare", 2),
    case("a target of a contig the panel lacks", targets("21"), IMPUTE, 0,
         "1 contig of the target is not in the panel"),
    case("no contig of the panel", targets("21"), "impute u.vcf -o out.vcf.gz --no-network", 1,
         "u.vcf and the panel share no contig"),
    case("the same contig in two targets", targets("20"), IMPUTE, 1,
         "t.vcf and u.vcf both have records", "bcftools concat"),
    case("targets with other samples", targets("21", NAMES[::-1]), IMPUTE, 1,
         "sample 1 is t0 in t.vcf and t1 in u.vcf"),
    case("a folder as output", targets("21"), "impute t.vcf --out-dir all --no-network", 0,
         "sites written 41"),
    case("file and folder as output", targets("21"), f"{IMPUTE} --out-dir all", 2),
    case("no output", targets("21"), "impute t.vcf", 2),
    case("a plan of two targets", targets("21"), f"{IMPUTE} --plan plan.json", 2),
]  # fmt: skip
