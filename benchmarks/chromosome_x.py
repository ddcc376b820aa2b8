"""r2 of males and females on a simulated X chromosome, compared with Beagle.

    python benchmarks/chromosome_x.py FOLDER [--samples 1112] [--length 5000000] [--beagle COMMAND]

The males are haploid outside the pseudo-autosomal region (PAR), which is the first fifth. Of every
ten samples, one is imputed from the rest. `vcfbert impute` takes the whole chromosome in one run;
Beagle wants one ploidy for each sample and gets the PAR and the rest one after the other. Without
Beagle on the machine, vcfbert is shown alone. Writes benchmarks/results/chromosome_x.csv.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pysam
from comparison import tables
from cyvcf2 import VCF
from numpy.typing import NDArray

from vcfbert.pipelines.preparing.simulate import PAR_SHARE
from vcfbert.storage import sex_tables

EDGES = (0.0, 0.005, 0.01, 0.05, 0.5)
RESULTS = Path(__file__).parent / "results"

Key = tuple[int, str, str]
Rows = dict[Key, NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=1_112)
    parser.add_argument("--length", type=int, default=5_000_000)
    parser.add_argument("--vcfbert", default=str(Path(sys.executable).with_name("vcfbert")))
    parser.add_argument("--beagle", default="beagle", help="command that runs Beagle")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    border = int(PAR_SHARE * arguments.length) + 1
    simulate(arguments, folder)
    imputed = {"vcfbert": run_vcfbert(arguments.vcfbert, folder)}
    if shutil.which(arguments.beagle):
        imputed["Beagle"] = run_beagle(arguments.beagle, folder, border, arguments.length)
    found = list(rows(folder, border, imputed))
    print(tables.text_table(list(found[0]), [[str(v) for v in row.values()] for row in found]))
    tables.write_csv(RESULTS / "chromosome_x.csv", found)


def simulate(arguments: argparse.Namespace, folder: Path) -> None:
    """Simulate, and cut the panel into references and truth."""
    run([arguments.vcfbert, "simulate", folder / "sim", "--chromosome", "X", "--force", "-q",
         "--num-samples", arguments.samples, "--length", arguments.length])  # fmt: skip
    names = folder / "new.txt"
    names.write_text("\n".join(VCF(str(folder / "sim" / "target.vcf.gz")).samples) + "\n")
    for name, chosen in (("panel", f"^{names}"), ("truth", str(names))):
        out = folder / f"{name}.vcf.gz"
        run(["bcftools", "view", "-S", chosen, "-Oz", "-o", out, folder / "sim" / "panel.vcf.gz"])
        pysam.tabix_index(str(out), preset="vcf", force=True)


def run_vcfbert(program: str, folder: Path) -> list[Path]:
    run([program, "prepare", folder / "panel.vcf.gz", "--map", folder / "sim" / "genetic.map",
         "-w", folder / "work", "--force", "-q"])  # fmt: skip
    begun = time.perf_counter()
    out = folder / "vcfbert.vcf.gz"
    run([program, "impute", folder / "sim" / "target.vcf.gz", "-w", folder / "work", "-o", out,
         "--force", "-q", "--threads", "1"])  # fmt: skip
    print(f"vcfbert {time.perf_counter() - begun:.1f} s")
    return [out]


def run_beagle(command: str, folder: Path, border: int, length: int) -> list[Path]:
    outputs = []
    begun = time.perf_counter()
    for name, region in (("par", f"X:1-{border - 1}"), ("rest", f"X:{border}-{length}")):
        paths = [folder / f"{name}-{kind}.vcf.gz" for kind in ("gt", "ref")]
        sources = folder / "sim" / "target.vcf.gz", folder / "panel.vcf.gz"
        for source, path in zip(sources, paths, strict=True):
            run(["bcftools", "view", "-r", region, "-Oz", "-o", path, source])
        outputs.append(folder / f"beagle-{name}")
        run([command, f"gt={paths[0]}", f"ref={paths[1]}", f"out={outputs[-1]}",
             f"map={folder / 'sim' / 'genetic.map'}", "nthreads=1"])  # fmt: skip
    print(f"Beagle {time.perf_counter() - begun:.1f} s")
    return [path.with_name(f"{path.name}.vcf.gz") for path in outputs]


def rows(folder: Path, border: int, imputed: dict[str, list[Path]]) -> Iterator[dict[str, object]]:
    """r2 by part of the chromosome, sex and minor allele frequency in the panel."""
    sexes = sex_tables.read(folder / "sim" / "sex.tsv")
    names = VCF(str(folder / "truth.vcf.gz")).samples
    is_male = np.array([sexes[name] == "male" for name in names])
    typed = set(copies([folder / "sim" / "target.vcf.gz"]))
    truth = {key: row for key, row in copies([folder / "truth.vcf.gz"]).items() if key not in typed}
    minor = frequencies(folder / "panel.vcf.gz")
    dosages = {name: copies(paths, field="DS") for name, paths in imputed.items()}
    for part, inside in (("PAR", True), ("rest", False)):
        for sex, columns in (("male", is_male), ("female", ~is_male)):
            for low, high in itertools.pairwise(EDGES):
                keys = [key for key in truth
                        if (key[0] < border) == inside and low < minor[key] <= high]  # fmt: skip
                true = np.stack([truth[key][columns] for key in keys]).ravel()
                row: dict[str, object] = {
                    "part": part, "sex": sex, "maf": f"({low:g},{high:g}]", "sites": len(keys)
                }  # fmt: skip
                for name, found in dosages.items():
                    answer = np.stack([found[key][columns] for key in keys]).ravel()
                    row[name] = f"{np.corrcoef(true, answer)[0, 1] ** 2:.4f}"
                yield row


def copies(paths: Sequence[Path], field: str | None = None) -> Rows:
    """ALT copies, or a FORMAT field, of the biallelic records by position and alleles."""
    found: Rows = {}
    for record in (record for path in paths for record in VCF(str(path))):
        if len(record.ALT) == 1:
            if field is None:
                values = np.maximum(record.genotype.array()[:, :2], 0).sum(axis=1)
            else:
                values = record.format(field)[:, 0]
            found[record.POS, record.REF, record.ALT[0]] = values.astype(np.float64)
    return found


def frequencies(path: Path) -> dict[Key, float]:
    """Minor allele frequency among the haplotypes that exist."""
    found = {}
    for record in VCF(str(path)):
        calls = record.genotype.array()[:, :2]
        share = calls[calls >= 0].mean() if len(record.ALT) == 1 else 0.0
        found[record.POS, record.REF, record.ALT[0]] = float(min(share, 1 - share))
    return found


def run(command: Sequence[object]) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
