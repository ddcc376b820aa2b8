"""Accuracy of dosages: r2 by frequency, with bootstrap intervals over samples.

G groups of sites, S hidden sites, N samples. r2 is a function of six sums that add over samples, so
a draw of samples with replacement is a weighted sum of them, and sites are read only once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cyvcf2 import VCF
from numpy.typing import NDArray

from .genotype_files import Key, key_of
from .tasks import Task

Floats = NDArray[np.float64]
Scores = dict[str, dict[str, float]]  # by group of sites: sites, r2, IQS, NRC, F1

DR2_FIELDS = ("DR2", "R2")  # Beagle and vcfbert, Minimac4


@dataclass(frozen=True)
class Truth:
    """What the samples carry at the hidden sites, which are those the independent scorer scores.

    keys     (S) contig, position, REF, ALT
    maf      (S,) minor allele frequency in the panel
    alleles  (S, N, 2) REF 0, ALT 1
    samples   (N) names
    """

    keys: list[Key]
    maf: Floats
    alleles: NDArray[np.int8]
    samples: list[str]

    @property
    def copies(self) -> NDArray[np.int8]:
        """(S, N) ALT copies."""
        return self.alleles[..., 0] + self.alleles[..., 1]

    def at(self, members: NDArray[np.bool_]) -> Truth:
        """Of some sites alone."""
        keys = [self.keys[row] for row in np.flatnonzero(members)]
        return Truth(keys, self.maf[members], self.alleles[members], self.samples)


@dataclass(frozen=True)
class Imputed:
    """What a tool wrote for the same sites and samples.

    dosage         (S, N) expected ALT copies
    haplotypes     (S, N, 2) probability of ALT; half the dosage where the tool gives no more
    dr2            (S,) the tool's own estimate of r2; NaN where it gives none
    probabilities  (S, N, 3) of 0, 1 and 2 ALT copies
    """

    dosage: Floats
    haplotypes: NDArray[np.float32]
    dr2: Floats
    probabilities: NDArray[np.float32]

    def at(self, members: NDArray[np.bool_]) -> Imputed:
        """Of some sites alone."""
        return Imputed(
            self.dosage[members],
            self.haplotypes[members],
            self.dr2[members],
            self.probabilities[members],
        )


def read_truth(task: Task) -> Truth:
    frequency = {key: float(_alleles(record).mean()) for key, record in _records(task.reference)}
    typed = {key for key, _ in _records(task.target)}
    known = {key: _alleles(record).astype(np.int8) for key, record in _records(task.truth)}
    keys = [key for key in frequency if key not in typed and key in known]
    maf = np.array([min(frequency[key], 1 - frequency[key]) for key in keys])
    alleles = np.array([known[key] for key in keys])
    return Truth(keys, maf, alleles, VCF(str(task.truth)).samples)


def read_imputed(path: Path, truth: Truth) -> Imputed:
    """Stops where a hidden site is absent, as the scorer does."""
    row_of = {key: row for row, key in enumerate(truth.keys)}
    columns = [VCF(str(path)).samples.index(name) for name in truth.samples]
    shape = (len(truth.keys), len(truth.samples))
    dosage, dr2 = np.full(shape, np.nan), np.full(len(truth.keys), np.nan)
    haplotypes = np.full((*shape, 2), np.nan, dtype=np.float32)
    probabilities = np.full((*shape, 3), np.nan, dtype=np.float32)
    for key, record in _records(path):
        row = row_of.get(key)
        if row is None:
            continue
        dosage[row] = record.format("DS")[columns, 0]
        haplotypes[row] = _haplotypes(record)[columns]
        probabilities[row] = record.format("GP")[columns]
        estimates = [record.INFO.get(field) for field in DR2_FIELDS]
        dr2[row] = next((value for value in estimates if value is not None), np.nan)
    if np.isnan(dosage).any():
        raise SystemExit(f"error: {path} lacks a hidden site or a dosage")
    return Imputed(dosage, haplotypes, dr2, probabilities)


def _haplotypes(record: Any) -> NDArray[np.float32]:
    """P(ALT) of both haplotypes: HDS of Minimac4 and vcfbert, AP1 and AP2 of Beagle."""
    if "HDS" in record.FORMAT:
        return np.asarray(record.format("HDS"))
    if "AP1" in record.FORMAT:
        return np.hstack([record.format("AP1"), record.format("AP2")])
    return np.repeat(record.format("DS") / 2, 2, axis=1)


def score(task: Task, imputed: Path, scorer: Path) -> Scores:
    """The figures of the independent scorer."""
    report = imputed.with_name(imputed.name.removesuffix(".vcf.gz") + ".json")
    words = [sys.executable, str(scorer), str(task.folder), str(imputed), "--json", str(report)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def switches(task: Task, phased: Path, scripts: Path) -> dict[str, float]:
    """The counts of the independent switch.py at the typed sites of a task.

    scripts  folder of switch.py
    """
    words = [sys.executable, scripts / "switch.py", phased, task.truth, task.target]
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def sums_of_samples(
    copies: NDArray[np.integer], dosage: Floats, members: NDArray[np.bool_]
) -> Floats:
    """Sums of 1, t, d, t t, d d, t d over each group's sites; t true and d imputed dosage.

    copies   (S, N)
    dosage   (S, N)
    members  (G, S) which sites a group holds
    returns  (N, G, 6)
    """
    true = copies.astype(np.float64)
    terms = (np.ones_like(true), true, dosage, true * true, dosage * dosage, true * dosage)
    weights = members.astype(np.float64)
    return np.stack([(weights @ term).T for term in terms], axis=-1)


def r2(sums: Floats) -> Floats:
    """Squared correlation from the six sums in the last axis; NaN where a side does not vary."""
    n, t, d, tt, dd, td = np.moveaxis(sums, -1, 0)
    variances = (n * tt - t * t) * (n * dd - d * d)
    found = np.full(variances.shape, np.nan)
    np.divide((n * td - t * d) ** 2, variances, out=found, where=variances > 1e-9)
    return found


def draw_r2(sums: Floats, num_draws: int, seed: int) -> Floats:
    """r2 of draws of as many samples with replacement; a seed draws the same samples for each tool.

    sums     (N, G, 6)
    returns  (num_draws, G)
    """
    num_samples, num_groups, num_sums = sums.shape
    rng = np.random.default_rng(seed)
    times = rng.multinomial(num_samples, np.full(num_samples, 1 / num_samples), size=num_draws)
    drawn = times.astype(np.float64) @ sums.reshape(num_samples, -1)
    return r2(drawn.reshape(num_draws, num_groups, num_sums))


def _records(path: Path) -> Iterator[tuple[Key, Any]]:
    for record in VCF(str(path)):
        yield key_of(record), record


def _alleles(record: Any) -> NDArray[np.int16]:
    alleles: NDArray[np.int16] = record.genotype.array()[:, :2]
    return alleles
