"""Phasing and imputation of trios with and without their pedigree.

    python benchmarks/trios.py FOLDER [--tasks array random50] [--trios 80] [--errors 0 0.002]

Children are made from true haplotypes of pairs of target samples: each parent passes on a mosaic
of its two haplotypes, with crossovers at the rate of the genetic map. The alleles of all genotypes
are sorted, so that their order says nothing, and some genotypes are replaced by wrong ones. The
pedigrees: none; duos, with the mothers only; trios. Scores are those of the independent scorers:
`switch.py` for switches between neighbouring heterozygotes, `score.py` for r2. Writes
results/trios.csv.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from comparison import accuracy, genotype_files, options, tables, tasks, tools
from comparison.genotype_files import Key, key_of
from comparison.report import Row
from comparison.tasks import Task
from cyvcf2 import VCF
from numpy.typing import NDArray

GROUPS = ("children", "parents")
SHOWN = ("(0.005,0.01]", "(0.01,0.05]", "(0.05,0.5]")


@dataclass(frozen=True)
class Made:
    """Children and parents: (S, N, 2) true alleles at all sites, and which sites are typed.

    Samples are child, father and mother of each trio in turn.
    """

    keys: list[Key]
    is_typed: NDArray[np.bool_]
    alleles: NDArray[np.uint8]
    names: list[str]

    def columns(self, group: str) -> list[int]:
        """The samples of a group."""
        wanted = group == "children"
        return [n for n in range(len(self.names)) if (n % 3 == 0) == wanted]


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=["array", "random50"], choices=tasks.NAMES)
    parser.add_argument("--trios", type=int, default=80)
    parser.add_argument("--errors", type=float, nargs="+", default=[0.0, 0.002])
    arguments = parser.parse_args()
    programs = options.programs(arguments)
    rows: list[Row] = []
    for task in tasks.make(arguments.folder.absolute(), arguments.shared, arguments.tasks):
        if not task.workspace.exists():
            tools.prepare(task, programs, tools.tools(["vcfbert"], programs))
        made = families(task, arguments.trios, np.random.default_rng(arguments.seed))
        for errors in arguments.errors:
            rows += measure(task, made, errors, arguments)
            tables.write_csv(arguments.results / "trios.csv", rows)
    print(tables.rows_text(rows))


def families(task: Task, count: int, rng: np.random.Generator) -> Made:
    """Trios of new children and samples of a task."""
    typed = {key_of(record) for record in VCF(str(task.target))}
    truth = VCF(str(task.truth))
    keys, alleles = [], []
    for record in truth:
        keys.append(key_of(record))
        alleles.append(record.genotype.array()[:, :2])
    true = np.array(alleles, np.uint8)
    known = np.loadtxt(task.map, usecols=(2, 3))
    cm = np.interp([key[1] for key in keys], known[:, 1], known[:, 0])
    drawn = rng.permutation(true.shape[1])[: 2 * count].reshape(count, 2)
    found, names = [], []
    for number, parents in enumerate(drawn.tolist()):
        child = np.stack([gamete(true[:, one], cm, rng) for one in parents], axis=1)
        found += [child, *(true[:, one] for one in parents)]
        names += [f"C{number}", *(truth.samples[one] for one in parents)]
    is_typed = np.array([key in typed for key in keys])
    return Made(keys, is_typed, np.stack(found, axis=1), names)


def gamete(
    alleles: NDArray[np.uint8], cm: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """(S,) one allele of each pair, with one crossover per 100 cM on average."""
    crossed = rng.poisson(np.diff(cm, prepend=cm[:1]) / 100).cumsum()
    return alleles[np.arange(len(cm)), (rng.integers(2) + crossed) % 2]


def measure(task: Task, made: Made, errors: float, arguments: argparse.Namespace) -> list[Row]:
    """The rows of one task and error rate."""
    folder = task.folder / "trios"
    typed = replace(
        made,
        keys=[key for key, one in zip(made.keys, made.is_typed, strict=True) if one],
        alleles=made.alleles[made.is_typed],
        is_typed=np.ones(int(made.is_typed.sum()), np.bool_),
    )
    groups = {}
    for group in GROUPS:
        room = folder / group
        room.mkdir(parents=True, exist_ok=True)
        reference = room / "ref.vcf.gz"
        if not reference.exists():
            reference.symlink_to(task.reference)
        write(room / "truth.vcf", made, made.alleles, made.columns(group), "|")
        write(room / "target.vcf", typed, typed.alleles, made.columns(group), "|")
        groups[group] = replace(tasks.task_in(room), name=group)
    target = folder / "target.vcf"
    wrong = with_errors(typed.alleles, errors, np.random.default_rng(arguments.seed))
    write(target, typed, np.sort(wrong, axis=2), range(len(made.names)), "/")
    rows: list[Row] = []
    for pedigree in ("none", "duos", "trios"):
        phased = run(arguments, task, folder, made, pedigree, "phase")
        imputed = run(arguments, task, folder, made, pedigree, "impute")
        for group, one in groups.items():
            switches = accuracy.switches(one, phased, arguments.shared / "peers")
            scores = accuracy.score(one, imputed, arguments.shared / "peers" / "score.py")
            rows.append(
                {
                    "task": task.name, "genotyping errors": errors, "pedigree": pedigree,
                    "samples": group, "switch error %": round(switches["SER_percent"], 3),
                    "switches": switches["switches"], "flips": switches["flip_pairs"],
                    **{f"r2 {name}": scores.get(name, {}).get("r2", math.nan) for name in SHOWN},
                }
            )  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    return rows


def with_errors(
    alleles: NDArray[np.uint8], share: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Alleles with one wrong allele in some genotypes."""
    wrong = alleles.copy()
    site, sample = np.nonzero(rng.random(alleles.shape[:2]) < share)
    wrong[site, sample, rng.integers(2, size=len(site))] ^= 1
    return wrong


def run(
    arguments: argparse.Namespace,
    task: Task,
    folder: Path,
    made: Made,
    pedigree: str,
    command: str,
) -> Path:
    """Phase or impute the target; returns the output."""
    out = folder / f"{command}-{pedigree}.vcf.gz"
    words = [arguments.vcfbert, command, folder / "target.vcf", "-o", out, "-w", task.workspace,
             "--threads", arguments.threads, "--force", "--quiet"]  # fmt: skip
    if pedigree != "none":
        fam = folder / f"{pedigree}.fam"
        fam.write_text(pedigree_text(made, has_fathers=pedigree == "trios"), encoding="utf-8")
        words += ["--trios", fam]
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
    return out


def pedigree_text(made: Made, *, has_fathers: bool) -> str:
    lines = []
    for first in range(0, len(made.names), 3):
        child, father, mother = made.names[first : first + 3]
        lines.append(f"F{first} {child} {father if has_fathers else 0} {mother} 0 -9\n")
    return "".join(lines)


def write(
    path: Path, made: Made, alleles: NDArray[np.uint8], columns: Sequence[int], separator: str
) -> None:
    """A VCF of some samples, also compressed.

    alleles    (S, N, 2)
    separator  `|` or `/`
    """
    names = [made.names[n] for n in columns]
    text = genotype_files.text(made.keys, names, alleles[:, columns], separator)
    path.write_text(text, encoding="utf-8")
    with open(f"{path}.gz", "wb") as out:
        subprocess.run(["bgzip", "-c", str(path)], check=True, stdout=out)


if __name__ == "__main__":
    main()
