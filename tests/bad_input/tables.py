"""Sample tables, genetic maps, lists of sites and windows that are not what they should be."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.room import Make, Room, panel, target

SAMPLES = "prepare p.vcf --samples x"
MAP = "prepare p.vcf --map x"
WINDOWS = "prepare p.vcf --windows x --window-size 30 --flank 2"
SITES = "impute t.vcf -o out.vcf.gz --no-network --sites x"
TARGET_MAP = "impute t.vcf -o out.vcf.gz --no-network --map x"
TYPED = "eval --run tiny --typed x"


def text(content: str | None, command: str) -> Make:
    """The file that a command needs, beside `x`."""

    def make(room: Room) -> None:
        if command.startswith("prepare"):
            panel()(room)
        elif command.startswith("impute"):
            target()(room)
        else:
            room.work()
        if content is not None:
            room.write("x", content)

    return make


def case(name: str, content: str | None, command: str, exit_code: int, *message: str) -> Case:
    what = {SAMPLES: "samples", MAP: "map", WINDOWS: "windows", SITES: "sites", TARGET_MAP: "map",
            TYPED: "typed"}  # fmt: skip
    title = f"{what[command]}: {name}"
    return Case("tables", title, text(content, command), command, exit_code, message)


LINES = "".join(f"20\t{1000 * n}\n" for n in range(1, 41))

CASES = [
    case("no such file", None, SAMPLES, 1, "x does not exist"),
    case("empty", "", SAMPLES, 1, "x, line 1", "column 'sample'"),
    case("no column sample", "name\tsplit\ns1\ttrain\n", SAMPLES, 1, "x, line 1",
         "column 'sample'"),
    case("a column twice", "sample\tsample\ns1\ts2\n", SAMPLES, 1, "x, line 1",
         "the column sample is repeated"),
    case("commas", "sample,split\ns1,train\n", SAMPLES, 1, "x, line 1", "tab-separated"),
    case("no samples", "sample\tsplit\n", SAMPLES, 1, "x has no samples below its header"),
    case("a short line", "sample\tsplit\ns1\ttrain\ns2\n", SAMPLES, 1,
         "x, line 3: 1 column, but the header has 2"),
    case("a sample twice", "sample\ns1\ns1\n", SAMPLES, 1, "x, line 3", "s1 is repeated"),
    case("a line without a name", "sample\tsplit\n\ttrain\n", SAMPLES, 1,
         "x, line 2", "no sample name"),
    case("an unknown split", "sample\tsplit\ns1\ttraining\n", SAMPLES, 1, "x, line 2",
         "'training' must be train, validation or test"),
    case("a split for some", "sample\tsplit\ns1\ttrain\ns2\t.\n", SAMPLES, 1, "x, line 3",
         "some do not"),
    case("no such file", None, MAP, 1, "x does not exist"),
    case("empty", "", MAP, 1, "x has fewer than two points"),
    case("one point", "20 . 0 1\n", MAP, 1, "x has fewer than two points on contig 20"),
    case("one point below a header", "pos rate map\n1 2 3\n", MAP, 1,
         "x has fewer than two points. A map"),
    case("commas", "20,.,0,1\n20,.,1,9\n", MAP, 1, "x, line 1", "not a line of a genetic map",
         "PLINK columns"),
    case("no number", "20 . 0 1\n20 . x 9\n", MAP, 1, "x, line 2", "PLINK columns"),
    case("falling cM", "20 . 1 1\n20 . 0.5 900\n", MAP, 1, "x, line 2: position 900 at 0.5 cM",
         "Sort the map"),
    case("falling positions", "20 . 0 900\n20 . 1 100\n", MAP, 1, "x, line 2: position 100"),
    case("a position twice", "20 . 0 900\n20 . 1 900\n", MAP, 1, "x, line 2: position 900"),
    case("a negative position", "20 . 0 -5\n20 . 1 900\n", MAP, 1, "x, line 1: '20 . 0 -5'"),
    case("NaN", "20 . 0 1\n20 . nan 900\n", MAP, 1, "x, line 2: position 900 at nan cM"),
    case("infinity", "20 . 0 1\n20 . inf 900\n", MAP, 1, "x, line 2: position 900 at inf cM"),
    case("a position beyond all genomes", "20 . 0 1\n20 . 1 99999999999999999999\n", MAP, 1,
         "x, line 2", "position"),
    case("contig returns", "20 . 0 1\n20 . 1 2\n21 . 0 1\n21 . 1 2\n20 . 2 3\n", MAP, 1,
         "x, line 5: contig 20 returns"),
    case("other contig", "7 . 0 1\n7 . 1 900\n", MAP, 1, "x has no contig 20", "it has 7"),
    case("other contig", "7 . 0 1\n7 . 1 900\n", TARGET_MAP, 1, "x has no contig 20", "it has 7"),
    case("chr before the name", "chr20 . 0 1\nchr20 . 1 900000\n", MAP, 0, "sites kept 41"),
    case("cM that never rise", "20 . 3 1\n20 . 3 900000\n", MAP, 1, "x", "contig 20", "never rise",
         "1 cM per Mb"),
    case("cM that never rise", "20 . 3 1\n20 . 3 900000\n", TARGET_MAP, 1, "x", "never rise"),
    case("Morgans", "20 . 0 1\n20 . 0.0123 1000000\n", MAP, 1, "x: contig 20 has 0.0123 cM per Mb",
         "in Morgans. Multiply them by 100"),
    case("Morgans", "20 . 0 1\n20 . 0.0123 1000000\n", TARGET_MAP, 1, "in Morgans"),
    case("a hundredfold", "20 . 0 1\n20 . 120 1000000\n", MAP, 1, "x: contig 20 has 120 cM per Mb",
         "100 times too large"),
    case("a hundredfold", "20 . 0 1\n20 . 120 1000000\n", TARGET_MAP, 1, "100 times too large"),
    case("bases instead of cM", "20 . 1 1\n20 . 900 900\n", MAP, 1, "x: contig 20 has 1e+06 cM",
         "a position in bases"),
    case("no contig column", "position rate cM\n1 1 0\n9000 1 0.009\n",
         TARGET_MAP, 0, '"genetic_map": "x"'),
    case("a header without cM", "chr pos rate\n20 1 1.1\n20 9000 1.2\n", MAP, 1, "x, line 1",
         "not a line of a genetic map", "SHAPEIT columns"),
    case("no such file", None, WINDOWS, 1, "x does not exist"),
    case("empty", "", WINDOWS, 1, "x has no segments"),
    case("two columns", "20,1\n", WINDOWS, 1, "x, line 1", "contig,start,end"),
    case("tabs", "20\t1\t9000\n", WINDOWS, 1, "x, line 1", "contig,start,end"),
    case("end before start", "20,9,5\n", WINDOWS, 1, "x, line 1", "ends before it starts"),
    case("negative", "20,-9,5\n", WINDOWS, 1, "x, line 1", "20,-9,5"),
    case("overlap", "20,1,9000\n20,9000,20000\n", WINDOWS, 1, "x, line 2", "overlaps"),
    case("unsorted", "20,9001,20000\n20,1,9000\n", WINDOWS, 1, "x, line 2", "Sort them"),
    case("more sites than a window holds", "20,1,40000\n", WINDOWS, 1, "20:1-40000 has 41 sites",
         "room for 26"),
    case("of another contig", "7,1,40000\n", WINDOWS, 1, "none of 41 sites is kept",
         "outside the given windows"),
    case("no such file", None, SITES, 1, "Cannot read the site list x"),
    case("empty", "", SITES, 1, "x lists no sites"),
    case("spaces", "20 1000\n", SITES, 1, "x, line 1", "is not a site", "separated by tabs"),
    case("three columns", "20\t1000\tA\n", SITES, 1, "x, line 1", "is not a site"),
    case("a header", "chrom\tpos\n20\t1000\n", SITES, 1,
         "x, line 1", "A header line must begin with #"),
    case("position 0", "20\t0\n", SITES, 1, "x, line 1", "not a whole number from 1 to 2^31"),
    case("negative position", "20\t-7\n", SITES, 1, "x, line 1",
         "not a whole number from 1 to 2^31"),
    case("NaN", "20\tnan\n", SITES, 1, "x, line 1", "not a whole number from 1 to 2^31"),
    case("none in the panel", "20\t77\n", SITES, 1, "None of the 1 site in x", "genome build"),
    case("other alleles", "20\t1000\tA\tC\n", SITES, 1, "None of the 1 site in x"),
    case("a line twice", "20\t1000\n20\t1000\n", SITES, 0, '"written": 1'),
    case("every site", LINES, SITES, 0, '"written": 41'),
    case("every site", LINES, TYPED, 1, "x lists every site of the panel", "a list of fewer sites"),
    case("none in the panel", "20\t77\n", TYPED, 1, "None of the 1 site in x"),
    case("a position of five thousand digits", f"20\t{'9' * 5000}\n", SITES, 1, "x, line 1"),
]  # fmt: skip
