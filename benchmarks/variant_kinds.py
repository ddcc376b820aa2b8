"""Structural variants, HLA markers and multi-allelic records: how many are imputed, and how well.

    python benchmarks/variant_kinds.py FOLDER [--shared DIR] [--beagle JAR]

FOLDER holds the task `array` of benchmarks/peers.py, which is made if it is absent. In its panel
and its truth, some hidden sites become symbolic alleles, pairs of sites become records with two
ALT, and haplotypes of ten neighbouring sites become presence markers that share a position and
differ by their ID. The target stays as it is. Writes benchmarks/results/variant_kinds.csv: records
in the panel, alleles imputed, aggregate r2 and mean r2 of a site by kind, for vcfbert and Beagle.
Beagle's panel has the markers one base apart, because it refuses two with the same alleles.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cyvcf2
import numpy as np
import pysam
from comparison import options, processes, tables, tasks, tools
from comparison.report import Row
from comparison.tasks import Task
from numpy.typing import NDArray

NUM_SYMBOLIC, NUM_PAIRS, NUM_GENES = 300, 300, 5
MARKERS_OF_A_GENE, SITES_OF_A_GENE = 40, 10
LEAST_FREQUENCY = 0.002  # of a marker, and of a symbolic or multi-allelic ALT
SYMBOLS = (("<DEL>", "DEL"), ("<INS:ME:ALU>", "ALU"), ("<DUP>", "DUP"), ("<STR12>", "STR"))
KINDS = ("symbolic", "HLA marker", "two ALT", "other")

Key = tuple[int, str, str, str]
"""Position, REF, ALT and ID; the ID is left out of all but HLA markers."""


@dataclass(frozen=True)
class Kind:
    """A record of the new panel.

    numbers  (H,) allele numbers
    """

    kind: str
    position: int
    identifier: str
    ref: str
    alts: tuple[str, ...]
    info: str
    numbers: NDArray[np.int8]


@dataclass(frozen=True)
class Haplotypes:
    """Records of a VCF with one ALT, and their alleles (S, H)."""

    position: NDArray[np.int64]
    ref: list[str]
    alt: list[str]
    alleles: NDArray[np.int8]
    names: list[str]
    contig: str


def main() -> None:
    arguments = options.parser(__doc__).parse_args()
    programs = options.programs(arguments)
    (source,) = tasks.make(arguments.folder.absolute(), arguments.shared, ["array"])
    folder = arguments.folder.absolute() / "variant_kinds"
    folder.mkdir(exist_ok=True)
    panel, truth = read(source.reference), read(source.truth)
    typed = set(read(source.target).position.tolist())
    ours, true = kinds_of(panel, truth, typed, arguments.seed)
    rows: list[Row] = []
    for tool in tools.tools(["vcfbert", "beagle"], programs):
        home = folder / tool.name.lower()
        home.mkdir(exist_ok=True)
        task = written(source, home, panel, spread(ours) if tool.is_peer else ours)
        if not tool.is_peer:
            processes.measure(tools.prepare_panel(task, programs, task.workspace), home / "log")
        out = home / tool.file
        out.unlink(missing_ok=True)
        processes.measure(tool.impute(task, task.target, out, arguments.threads), home / "log")
        order = {name: place for place, name in enumerate(cyvcf2.VCF(str(out)).samples)}
        columns = np.array([order[name] for name in truth.names])
        known = spread(true) if tool.is_peer else true
        rows += scores(tool.name, known, dosages(out, columns), typed)
        if not tool.is_peer:
            check_with_bcftools(out)
    tables.write_csv(arguments.results / "variant_kinds.csv", rows)
    for row in rows:
        print(*row.values(), sep="\t")


def check_with_bcftools(path: Path) -> None:
    """Stop if bcftools cannot convert a file to BCF, or warns."""
    convert = ["bcftools", "view", "-Ob", "-o", "/dev/null", str(path)]
    done = subprocess.run(convert, check=True, capture_output=True, text=True)
    if done.stderr:
        raise SystemExit(f"error: bcftools warns of {path}:\n{done.stderr}")


def read(path: Path) -> Haplotypes:
    """All records of a file."""
    file = cyvcf2.VCF(str(path))
    records = [
        (v.CHROM, v.POS, v.REF, v.ALT[0], v.genotype.array()[:, :2].ravel().astype(np.int8))
        for v in file
    ]
    contigs, positions, refs, alts, alleles = zip(*records, strict=True)
    return Haplotypes(
        np.array(positions), list(refs), list(alts), np.stack(alleles), file.samples, contigs[0]
    )


def kinds_of(
    panel: Haplotypes, truth: Haplotypes, typed: set[int], seed: int
) -> tuple[list[Kind], list[Kind]]:
    """The records of the new panel, and the same of the truth, in order."""
    rng = np.random.default_rng(seed)
    frequency = panel.alleles.mean(axis=1)
    is_snv = np.array([len(r + a) == 2 for r, a in zip(panel.ref, panel.alt, strict=True)])
    is_hidden = np.array([position not in typed for position in panel.position.tolist()])
    is_free = is_snv & is_hidden & (np.minimum(frequency, 1 - frequency) >= LEAST_FREQUENCY)
    both = np.hstack([panel.alleles, truth.alleles])
    is_distinct = ~(both[:-1] & both[1:]).any(axis=1) & (np.diff(panel.position) > 0)
    first = np.flatnonzero(is_free[:-1] & is_free[1:] & is_distinct)
    pairs = {int(p) for p in rng.permutation(first)[:NUM_PAIRS]}
    pairs = {p for p in pairs if p - 1 not in pairs}
    used = pairs | {p + 1 for p in pairs}
    free = [p for p in np.flatnonzero(is_free).tolist() if p not in used]
    symbolic = {int(p): n for n, p in enumerate(rng.permutation(free)[:NUM_SYMBOLIC])}
    common = np.flatnonzero(is_snv & (np.minimum(frequency, 1 - frequency) > 0.05))
    centres = common[np.linspace(200, len(common) - 200, NUM_GENES).astype(int)].tolist()
    made: tuple[list[Kind], list[Kind]] = ([], [])
    for site in range(len(panel.position)):
        if site in centres:
            for side, markers in zip(made, genes(panel, truth, site, common), strict=True):
                side += markers
        if site - 1 not in pairs:
            for side, one in zip(made, (panel, truth), strict=True):
                side.append(record(one, site, pairs, symbolic))
    return made


def record(one: Haplotypes, site: int, pairs: set[int], symbolic: dict[int, int]) -> Kind:
    """A site of the panel as it is, with a symbolic ALT, or with the next one as a second ALT."""
    position, ref, alt = int(one.position[site]), one.ref[site], one.alt[site]
    numbers = one.alleles[site]
    if site in symbolic:
        symbol, name = SYMBOLS[symbolic[site] % len(SYMBOLS)]
        info = f"SVTYPE={name};END={position + 300}"
        return Kind("symbolic", position, f"sv{site}", ref, (symbol,), info, numbers)
    if site in pairs:
        other = next(base for base in "ACGT" if base not in (ref, alt))
        numbers = numbers + 2 * one.alleles[site + 1]
        return Kind("two ALT", position, f"two{site}", ref, (alt, other), ".", numbers)
    return Kind("other", position, ".", ref, (alt,), ".", numbers)


def genes(
    panel: Haplotypes, truth: Haplotypes, site: int, common: NDArray[np.int64]
) -> tuple[list[Kind], list[Kind]]:
    """A marker for each of the most frequent haplotypes of the common sites around one."""
    place = int(np.searchsorted(common, site))
    near = common[place - SITES_OF_A_GENE // 2 : place + SITES_OF_A_GENE // 2]
    weights = 2 ** np.arange(len(near))
    codes = [weights @ one.alleles[near] for one in (panel, truth)]
    patterns, counts = np.unique(codes[0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MARKERS_OF_A_GENE]
    kept = [int(patterns[n]) for n in order if counts[n] >= LEAST_FREQUENCY * len(codes[0])]
    position = int(panel.position[site])
    sides = [
        [
            Kind("HLA marker", position, f"HLA_{site}*{number:02}:01", "A", ("T",), ".",
                 (code == pattern).astype(np.int8))
            for number, pattern in enumerate(kept)
        ]
        for code in codes
    ]  # fmt: skip
    return sides[0], sides[1]


def spread(kinds: Iterable[Kind]) -> list[Kind]:
    """The records with each marker at a position of its own, sorted."""
    out, number = [], 0
    for one in kinds:
        number = number + 1 if one.kind == "HLA marker" else 0
        out.append(replace(one, position=one.position - number) if number else one)
    return sorted(out, key=lambda one: one.position)


def written(source: Task, home: Path, panel: Haplotypes, kinds: list[Kind]) -> Task:
    """The task with the new panel in its own folder."""
    path = home / "ref.vcf.gz"
    meta = [
        "##fileformat=VCFv4.2",
        f"##contig=<ID={panel.contig}>",
        *(f'##ALT=<ID={symbol[1:-1]},Description="{name}">' for symbol, name in SYMBOLS),
        '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type">',
        '##INFO=<ID=END,Number=1,Type=Integer,Description="End">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "\t".join(["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT", *panel.names]),
    ]
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(("\n".join(meta) + "\n").encode())
        for line in lines(panel, kinds):
            stream.write(line)
    pysam.tabix_index(str(path), preset="vcf", force=True)
    return replace(source, folder=home, reference=path, workspace=home / "work")


def lines(panel: Haplotypes, kinds: list[Kind]) -> Iterator[bytes]:
    """The records as text."""
    cells = np.full((len(panel.names), 4), ord("|"), dtype=np.uint8)
    cells[:, 3], cells[-1, 3] = ord("\t"), ord("\n")
    for one in kinds:
        cells[:, 0:3:2] = one.numbers.reshape(-1, 2) + ord("0")
        head = f"{panel.contig}\t{one.position}\t{one.identifier}\t{one.ref}\t{','.join(one.alts)}"
        yield f"{head}\t.\tPASS\t{one.info}\tGT\t".encode() + cells.tobytes()


def key_of(position: int, ref: str, alt: str, identifier: str) -> Key:
    return position, ref, alt, identifier if identifier.startswith("HLA") else "."


def dosages(path: Path, columns: NDArray[np.int64]) -> dict[Key, NDArray[np.float32]]:
    """(N,) dosage of each ALT of each record."""
    found: dict[Key, NDArray[np.float32]] = {}
    for v in cyvcf2.VCF(str(path)):
        dosage = v.format("DS")[columns]
        for number, alt in enumerate(v.ALT):
            found[key_of(v.POS, v.REF, alt, v.ID or ".")] = dosage[:, number]
    return found


def scores(
    tool: str, truth: list[Kind], imputed: dict[Key, NDArray[np.float32]], typed: set[int]
) -> list[Row]:
    """A row for each kind of records."""
    rows: list[Row] = []
    for kind in KINDS:
        records = [
            one for one in truth if one.kind == kind and (kind != "other" or
            one.position not in typed)
        ]  # fmt: skip
        pairs = [
            ((one.numbers == number).reshape(-1, 2).sum(axis=1), imputed[key])
            for one in records
            for number, alt in enumerate(one.alts, start=1)
            if (key := key_of(one.position, one.ref, alt, one.identifier)) in imputed
        ]
        true, found = (np.stack(side).astype(float) for side in zip(*pairs, strict=True))
        site_r2 = [r2(a, b) for a, b in zip(true, found, strict=True) if a.std() > 0]
        rows.append({
            "kind": kind, "tool": tool, "records": len(records),
            "alleles": sum(len(one.alts) for one in records), "imputed": len(pairs),
            "r2": r2(true.ravel(), found.ravel()), "mean_site_r2": float(np.mean(site_r2)),
        })  # fmt: skip
    return rows


def r2(true: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Squared correlation; 0 if the dosages do not vary."""
    return float(np.corrcoef(true, found)[0, 1] ** 2) if found.std() > 0 else 0.0


if __name__ == "__main__":
    main()
