"""Small panels and targets for tests of `impute`."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import cyvcf2
import numpy as np
from numpy.typing import NDArray

from tests import panels
from vcfbert.pipelines.imputing import impute
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.imputing.qc_files import ImputeSummary
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace

NUM_SITES = 300
PANEL_SAMPLES = 230  # enough haplotypes that not all of them are candidates
TYPED = np.arange(2, NUM_SITES, 4)
HIDDEN_SITES = np.setdiff1d(np.arange(NUM_SITES), TYPED)


def workspace(root: Path) -> Workspace:
    """230 samples, 300 sites 1 kb apart on contig 20."""
    made = Workspace(root)
    panels.write_small_panel(made.panel, num_samples=PANEL_SAMPLES, num_sites=NUM_SITES)
    return made


def panel_alleles() -> NDArray[np.uint8]:
    """(S, H) of the panel."""
    return panels.mosaic_alleles(NUM_SITES, 2 * PANEL_SAMPLES)


def samples_alleles(num_samples: int, *, seed: int = 3) -> NDArray[np.uint8]:
    """(S, 2 N) other mosaics of the panel's own haplotypes."""
    rng = np.random.default_rng(seed)
    alleles = panel_alleles()
    out = np.empty((NUM_SITES, 2 * num_samples), np.uint8)
    for haplotype in range(2 * num_samples):
        for first in range(0, NUM_SITES, 50):
            out[first : first + 50, haplotype] = alleles[
                first : first + 50, rng.integers(alleles.shape[1])
            ]
    return out


def write_target(
    path: Path,
    alleles: NDArray[np.uint8],
    *,
    typed: NDArray[np.int64] = TYPED,
    names: Sequence[str] | None = None,
    contig: str = "20",
) -> Path:
    """A target that is typed at some of the panel's sites.

    alleles  (S, 2 N); more than 1 is missing
    """
    text = np.array(["0", "1", ".", ".", "."])[alleles[typed]]
    records = [
        (contig, 1000 * (site + 1), "A", "G", ["|".join(pair) for pair in row.reshape(-1, 2)])
        for site, row in zip(typed.tolist(), text, strict=True)
    ]
    names = names or [f"t{n}" for n in range(alleles.shape[1] // 2)]
    return panels.write_vcf(path, records, names)


def unphased_records(
    truth: NDArray[np.uint8], *, alleles: tuple[str, str] = ("A", "G"), contig: str = "20"
) -> list[panels.Record]:
    """Unphased records at the typed sites.

    truth  (T, N, 2); more than 1 is missing
    """
    return [
        (contig, 1000 * (site + 1), *alleles,
         ["/".join("." if one > 1 else str(one) for one in sorted(pair)) for pair in row])
        for site, row in zip(TYPED.tolist(), truth.tolist(), strict=True)
    ]  # fmt: skip


def run(
    home: Workspace, target: Path, out: Path, *, overwrite: bool = False, **options: object
) -> ImputeSummary:
    """Impute without the network, unless an option says otherwise."""
    chosen = ImputeOptions(**({"no_network": True, "threads": 2} | options))  # type: ignore[arg-type]
    return impute.impute(home, target, out, chosen, progress=Silent(), overwrite=overwrite)


def lines(path: Path) -> list[list[str]]:
    """The records of a file, split at tabs."""
    return [str(record).rstrip("\n").split("\t") for record in cyvcf2.VCF(str(path))]


def cells(path: Path) -> list[list[str]]:
    """Position and FORMAT cells of each record."""
    return [[line[1], *line[9:]] for line in lines(path)]


def formats(path: Path) -> list[list[dict[str, str]]]:
    """FORMAT fields of each record and sample of a `.vcf.gz`, as they are written."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return [
        [dict(zip(row[8].split(":"), cell.split(":"), strict=True)) for cell in row[9:]]
        for row in rows
    ]


def field(path: Path, name: str) -> NDArray[np.str_]:
    """(S, N) texts of a FORMAT field; `.` if a record lacks it."""
    return np.array([[cell.get(name, ".") for cell in row] for row in formats(path)])


def dosages(path: Path) -> NDArray[np.float64]:
    """(S, N) of a file."""
    return np.stack([record.format("DS")[:, 0] for record in cyvcf2.VCF(str(path))]).astype(float)
