"""Too little of something: records, sites, overlap, variation."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import Make, every, panel, target, with_record
from tests.panels import Record

PREPARE = "prepare p.vcf"
REGION = "prepare p.vcf.gz --region"
IMPUTE = "impute t.vcf -o out.vcf.gz --no-network"


def first(count: int) -> Make:
    return target(lambda records: records[:count])


def whole_panel(records: list[Record]) -> list[Record]:
    from tests.bad_input.room import panel_records

    return [(*record[:4], list(record[4][5:7])) for record in panel_records()]


def case(name: str, make: Make, command: str, exit_code: int, *message: str) -> Case:
    return Case("amounts", name, make, command, exit_code, message)


CASES = [
    case("empty region", panel(name="p.vcf.gz"), f"{REGION} 20:50000-60000", 1,
         "p.vcf.gz has no records in 20:50000-60000. Give another file or region"),
    case("region read backwards", panel(name="p.vcf.gz"), f"{REGION} 20:9-1", 1,
         "'20:9-1' must start at 1 or later and must not end"),
    case("region that is none", panel(name="p.vcf.gz"), f"{REGION} 20:5", 1,
         "'20:5' does not have the form CONTIG:START-END"),
    case("region beyond all genomes", panel(name="p.vcf.gz"), f"{REGION} 20:1-99999999999999999999",
         1, "must start at 1 or later and must not end"),
    case("no records", panel(lambda records: []), PREPARE, 1, "p.vcf has no records. Give"),
    case("no records", target(lambda records: []), IMPUTE, 1, "t.vcf has no records. Give"),
    case("one site", panel(lambda records: records[:1]), PREPARE, 0, "sites kept 1"),
    case("one typed site", first(1), IMPUTE, 1, "types 1 of the panel's 41 sites", "5 are needed",
         "--min-typed"),
    case("one typed site, which is enough", first(1), f"{IMPUTE} --min-typed 1", 0, '"typed": 1'),
    case("four typed sites", first(4), IMPUTE, 1, "types 4 of the panel's 41 sites", "--min-typed"),
    case("low overlap: one record in three is in the panel",
         target(lambda r: [(x[0], x[1] + (n % 3 > 0), *x[2:]) for n, x in enumerate(r)]), IMPUTE, 0,
         '"typed_sites": 9', '"only_in_target": 18'),
    case("every site typed", target(whole_panel), IMPUTE, 0, '"imputed": 0'),
    case("monomorphic sites", panel(every(calls=["0|0"] * 20)), PREPARE, 0, "sites kept 41"),
    case("monomorphic sites, not wanted", panel(every(calls=["1|1"] * 20)),
         f"{PREPARE} --min-mac 1", 1, "p.vcf: none of 41 sites is kept",
         "minor allele count too low", "Lower --min-maf or --min-mac"),
    case("a monomorphic site, not wanted", panel(with_record(0, calls=["0|0"] * 20)),
         f"{PREPARE} --min-mac 1", 0, '"minor allele count too low": '),
    case("monomorphic target", target(every(calls=["0|0", "0|0"])), IMPUTE, 0,
         '"typed_sites": 27'),
    case("nothing typed in the region", first(9), f"{IMPUTE} --region 20:39000-40000", 0,
         '"written": 2'),
    case("region without sites of the panel", first(9), f"{IMPUTE} --region 20:1-900", 1,
         "no sites in 20:1-900"),
    case("region of a contig the panel lacks", first(9), f"{IMPUTE} --region 21", 1,
         "has no contig 21"),
    case("windows too small for their flanks", panel(), f"{PREPARE} --window-size 16 --flank 8", 1,
         "flank"),
    case("minor frequency out of range", panel(), f"{PREPARE} --min-maf 0.7", 2, ),
]  # fmt: skip
