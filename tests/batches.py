"""Small files as `impute` writes them, for tests of `merge`.

S sites, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysam
from numpy.typing import NDArray

from tests.targets import sites_of
from vcfbert.domain import dosage
from vcfbert.storage.vcf.output_header import FIELDS, HeaderFacts
from vcfbert.storage.vcf.prediction_writer import create_predictions

FACTS = HeaderFacts(
    checkpoint="none",
    panel_fingerprint="abc",
    extra=("##vcfbert_impute=chunk_cm=10 overlap_cm=2 seed=1",),
)
NUM_SITES = 12
TYPED = (0, 4, 8)


def eighths(num_samples: int, *, seed: int = 1) -> NDArray[np.float32]:
    """(S, N, 2) probabilities with at most three decimals; 0 or 1 at typed sites."""
    rng = np.random.default_rng(seed)
    alt = rng.integers(0, 9, (NUM_SITES, num_samples, 2)) / 8
    alt[rng.random(alt.shape) < 0.5] = 0
    alt[list(TYPED)] = alt[list(TYPED)] > 0.5
    return alt.astype(np.float32)


def write_batch(
    path: Path,
    alt: NDArray[np.float32],
    names: Sequence[str],
    *,
    typed: Sequence[int] = TYPED,
    panel_r2: float = 0.75,
    fields: Sequence[str] = FIELDS,
    facts: HeaderFacts = FACTS,
    is_haploid: NDArray[np.bool_] | None = None,
    has_dr2: bool | None = None,
    identifier: str = ".",
) -> Path:
    """Write what `impute` would write for these probabilities.

    has_dr2  None is the rule of `impute`
    """
    sites = sites_of([("20", 1000 * (site + 1), "A", "G") for site in range(len(alt))])
    sites = replace(sites, identifier=[identifier] * len(alt))
    is_imputed = ~np.isin(np.arange(len(alt)), typed)
    if is_haploid is not None:
        facts = replace(facts, has_haploids=bool(is_haploid.any()))
    if has_dr2 is None:
        has_dr2 = len(names) >= dosage.FEWEST_FOR_DR2
    exists = np.ones(2 * len(names), bool)
    if is_haploid is not None:
        exists[1::2] = ~is_haploid
    with create_predictions(
        path, sites, list(names), header=facts, fields=fields, decimals=3
    ) as writer:
        writer.write_haplotypes(
            0,
            alt,
            is_imputed,
            dr2=dosage.estimated_r2(alt.reshape(len(alt), -1, 1)[:, exists]) if has_dr2 else None,
            pr2=np.where(is_imputed, panel_r2, np.nan),
            is_haploid=is_haploid,
        )
    return path


def names_of(count: int, start: int = 0) -> list[str]:
    """Names of samples."""
    return [f"n{number}" for number in range(start, start + count)]


def text_of(path: Path) -> str:
    """The text of a compressed file."""
    with pysam.BGZFile(str(path)) as stream:
        return stream.read().decode()


def write_text(path: Path, text: str) -> Path:
    """A compressed file of this text."""
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(text.encode())
    return path


def records_of(path: Path) -> list[str]:
    """The lines below the header."""
    return [line for line in text_of(path).splitlines() if not line.startswith("#")]


def info_of(record: str) -> dict[str, str]:
    """The INFO keys of a line; a flag has the value `yes`."""
    fields = record.split("\t")[7].split(";")
    return {key: value or "yes" for key, _, value in (one.partition("=") for one in fields)}
