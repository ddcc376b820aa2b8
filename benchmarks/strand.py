"""Palindromic sites that `vcfbert impute` uses, gets wrong and leaves out, by rate of flips.

    python benchmarks/strand.py FOLDER [--palindromic 150] [--before OTHER/bin/vcfbert]

FOLDER holds the task `array` of benchmarks/peers.py, which is made if it is absent. Its target gets
some A/T and C/G sites of the truth, because arrays have few. Records are put on the other strand
and get swapped alleles at random, each at its rate; a last file has the major allele as REF, as
PLINK writes it. r2 is scored at the sites that are neither on the array nor among the added ones,
and compared with the r2 of the correct file without any palindromic site. `--before` measures
another version of vcfbert on the same files. Prints a table and writes results/strand.csv.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from comparison import options, tables, tasks
from comparison.report import Row
from comparison.tasks import Task
from cyvcf2 import VCF
from numpy.typing import NDArray

from vcfbert.domain.matching import is_palindromic, other_strand

RATES = (0.0, 0.01, 0.05, 0.1, 0.3, 0.5)
SWAPPED = ("0", "0.5")
MAJOR = "major as REF"
LEAST_MAF = 0.01  # of the added sites

Key = tuple[str, int, str, str]


@dataclass(frozen=True)
class Typed:
    """A correct target: the array's sites and the added ones.

    alleles  (n, N, 2)
    """

    keys: list[Key]
    alleles: NDArray[np.int8]
    samples: list[str]

    @property
    def is_palindromic(self) -> NDArray[np.bool_]:
        """(n,) True for A/T and C/G."""
        return np.array([is_palindromic(key[2], key[3]) for key in self.keys])


@dataclass(frozen=True)
class Found:
    """An imputed file: alleles at typed sites, and dosages at the scored ones."""

    typed: dict[Key, NDArray[np.int8]]
    dosage: NDArray[np.float64]


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=(20, 250))
    parser.add_argument("--palindromic", type=int, default=150, help="sites to add")
    parser.add_argument("--before", type=Path, help="another version's vcfbert")
    arguments = parser.parse_args()
    task = tasks.make(arguments.folder.absolute(), arguments.shared, ["array"])[0]
    programs = {"now": arguments.vcfbert.absolute()}
    if arguments.before is not None:
        programs = {"before": arguments.before.absolute(), **programs}
    for version, program in programs.items():
        prepare(program, task, workspace(task, version))
    rows: list[Row] = []
    whole = read_typed(task, arguments.palindromic, arguments.seed)
    for count in arguments.samples:
        chosen = np.linspace(0, len(whole.samples) - 1, count).astype(int)
        names = [whole.samples[place] for place in chosen]
        typed = Typed(whole.keys, whole.alleles[:, chosen], names)
        rows += measure(task, typed, programs, arguments)
    print(
        tables.text_table(list(rows[0]), [[cell(value) for value in row.values()] for row in rows])
    )
    tables.write_csv(arguments.results / "strand.csv", rows)


def read_typed(task: Task, num_added: int, seed: int) -> Typed:
    """The array's target and some palindromic sites of the truth."""
    truth = {key: alleles for key, alleles in records(task.truth)}
    frequency = {key: float(alleles.mean()) for key, alleles in records(task.reference)}
    on_array = [key for key, _ in records(task.target)]
    known = set(on_array)
    others = [
        key
        for key in truth
        if is_palindromic(key[2], key[3])
        and key not in known
        and LEAST_MAF <= frequency.get(key, 0.0) <= 1.0 - LEAST_MAF
    ]
    added = np.random.default_rng(seed).permutation(len(others))[:num_added]
    keys = sorted([*on_array, *(others[place] for place in added)], key=lambda key: key[:2])
    return Typed(keys, np.stack([truth[key] for key in keys]), VCF(str(task.truth)).samples)


def measure(
    task: Task, typed: Typed, programs: dict[str, Path], arguments: argparse.Namespace
) -> list[Row]:
    """The rows of one number of samples."""
    folder = task.folder / f"strand{len(typed.samples)}"
    folder.mkdir(exist_ok=True)
    known = set(typed.keys)
    columns = [VCF(str(task.truth)).samples.index(name) for name in typed.samples]
    truth = {key: a[columns].sum(axis=1) for key, a in records(task.truth) if key not in known}
    copies = np.stack(list(truth.values()))
    rng = np.random.default_rng(arguments.seed)

    def imputed(
        version: str, alleles: list[tuple[str, str]], calls: NDArray[np.int8]
    ) -> Found | None:
        write(folder / "t.vcf", typed, alleles, calls)
        place = workspace(task, version)
        is_done = run(programs[version], place, folder, arguments.threads)
        return read_imputed(folder / "o.vcf.gz", list(truth), known) if is_done else None

    as_is = [key[2:] for key in typed.keys]
    left_out = [(".", ".") if is_palindromic(*pair) else pair for pair in as_is]
    best = imputed("now", left_out, typed.alleles)
    if best is None:
        raise SystemExit("error: the correct file without palindromic sites is refused")
    without = score(copies, best.dosage)
    rows = []
    for swapped in (*SWAPPED, MAJOR):
        for rate in RATES if swapped != MAJOR else (0.3,):
            alleles, calls = changed(typed, rate, swapped, rng)
            for version in programs:
                found = imputed(version, alleles, calls)
                pooled, by_site, reading = np.nan, np.nan, np.nan
                if found is not None:
                    summary = json.loads((folder / "o.qc" / "summary.json").read_text("utf-8"))
                    pooled, by_site = score(copies, found.dosage)
                    reading = summary["seconds"]["reading"]
                rows.append(
                    {"samples": len(typed.samples), "swapped": swapped, "flip rate": rate,
                     "version": version, **counts(typed, found),
                     "r2": pooled, "r2 without": without[0], "mean r2": by_site,
                     "mean r2 without": without[1], "reading s": reading}
                )  # fmt: skip
                print(", ".join(f"{name} {cell(value)}" for name, value in rows[-1].items()))
    return rows


def changed(
    typed: Typed, rate: float, swapped: str, rng: np.random.Generator
) -> tuple[list[tuple[str, str]], NDArray[np.int8]]:
    """REF and ALT of each record and its calls, with strand flips and swapped alleles."""
    is_flip = rng.random(len(typed.keys)) < rate
    if swapped == MAJOR:
        is_swap = typed.alleles.mean(axis=(1, 2)) > 0.5
    else:
        is_swap = rng.random(len(typed.keys)) < float(swapped)
    alleles = []
    for key, flip, swap in zip(typed.keys, is_flip, is_swap, strict=True):
        ref, alt = (other_strand(key[2]), other_strand(key[3])) if flip else key[2:]
        alleles.append((alt, ref) if swap else (ref, alt))
    return alleles, np.where(is_swap[:, None, None], 1 - typed.alleles, typed.alleles)


def counts(typed: Typed, found: Found | None) -> Row:
    """Typed sites that are used, and those with other alleles than the truth; none if refused."""
    used, wrong = np.zeros(2, int), np.zeros(2, int)  # of telling and of palindromic sites
    for key, alleles, kind in zip(typed.keys, typed.alleles, typed.is_palindromic, strict=True):
        if found is not None and key in found.typed:
            used[int(kind)] += 1
            wrong[int(kind)] += not np.array_equal(found.typed[key], alleles)
    return {
        "palindromic": int(typed.is_palindromic.sum()),
        "used": int(used[1]),
        "wrong": int(wrong[1]),
        "left out": int(typed.is_palindromic.sum() - used[1]),
        "telling used": int(used[0]),
        "telling wrong": int(wrong[0]),
    }


def score(copies: NDArray[np.int8], dosage: NDArray[np.float64]) -> tuple[float, float]:
    """r2 of all sites together, and its mean over the sites that vary; 0 if the dosage does not."""
    pooled = float(np.corrcoef(copies.ravel(), dosage.ravel())[0, 1] ** 2)
    true = copies - copies.mean(axis=1, keepdims=True)
    guess = dosage - dosage.mean(axis=1, keepdims=True)
    variance = (true**2).sum(axis=1) * (guess**2).sum(axis=1)
    r2 = (true * guess).sum(axis=1) ** 2 / np.maximum(variance, 1e-12)
    return pooled, float(r2[(true**2).sum(axis=1) > 0].mean())


def records(path: Path) -> list[tuple[Key, NDArray[np.int8]]]:
    """Key and (N, 2) alleles of each record."""
    return [
        ((one.CHROM, one.POS, one.REF, one.ALT[0]), one.genotype.array()[:, :2].astype(np.int8))
        for one in VCF(str(path))
    ]


def write(
    path: Path, typed: Typed, alleles: Sequence[tuple[str, str]], calls: NDArray[np.int8]
) -> None:
    """A VCF; records with the alleles `.` are left out."""
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID={typed.keys[0][0]}>",
             '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']  # fmt: skip
    head = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
    lines.append("\t".join([*head, *typed.samples]))
    for key, (ref, alt), row in zip(typed.keys, alleles, calls, strict=True):
        if ref != ".":
            genotypes = [f"{one}|{other}" for one, other in row.tolist()]
            fixed = [key[0], str(key[1]), ".", ref, alt, ".", ".", ".", "GT"]
            lines.append("\t".join([*fixed, *genotypes]))
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def workspace(task: Task, version: str) -> Path:
    """Each version reads a panel that it has prepared itself."""
    return task.workspace if version == "now" else task.folder / f"work-{version}"


def prepare(program: Path, task: Task, place: Path) -> None:
    if not (place / "panel.zarr").is_dir():
        words = [program, "prepare", task.reference, "-w", place, "--map", task.map, "--quiet"]
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def run(program: Path, place: Path, folder: Path, threads: int) -> bool:
    """Impute; False if the file is refused because of its strand flips."""
    words = ["impute", folder / "t.vcf", "-o", folder / "o.vcf.gz", "-w", place, "--force",
             "--quiet", "--threads", threads]  # fmt: skip
    command = [str(word) for word in (program, *words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "strand flips" not in done.stderr:
        raise SystemExit(f"error: {' '.join(command)} failed: {done.stderr}")
    return done.returncode == 0


def read_imputed(path: Path, wanted: Sequence[Key], typed: set[Key]) -> Found:
    dosage: dict[Key, NDArray[np.float64]] = {}
    alleles: dict[Key, NDArray[np.int8]] = {}
    scored = set(wanted)
    for one in VCF(str(path)):
        key = (one.CHROM, one.POS, one.REF, one.ALT[0])
        if key in scored:
            dosage[key] = one.format("DS")[:, 0].astype(np.float64)
        elif key in typed and one.INFO.get("TYPED") is not None:
            alleles[key] = one.genotype.array()[:, :2].astype(np.int8)
    return Found(alleles, np.stack([dosage[key] for key in wanted]))


def cell(value: object) -> str:
    return tables.number(value) if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
