"""Choice of a panel's samples, their splits, and close relatives.

N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import sites, splits
from vcfbert.domain.sites import TRAIN, Samples
from vcfbert.errors import InputError
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.progress import Progress
from vcfbert.storage import tables
from vcfbert.storage.vcf.reading import VcfFile


def choose(
    file: VcfFile, options: PrepareOptions, progress: Progress
) -> tuple[NDArray[np.int64], Samples, dict[str, int]]:
    """Columns (N,) of the samples to keep, their table, and counts of those left out."""
    names = file.samples
    rows = _rows(names, options.samples)
    columns = np.array([n for n, name in enumerate(names) if name in rows], dtype=np.int64)
    if len(columns) == 0:
        raise InputError(
            f"{options.samples} names none of the {plurals.of(len(names), 'sample')} of "
            f"{file.path} ({names[0]}, ...). Give the table of this panel."
        )
    left_out = {
        "not_in_table": len(names) - len(columns),
        "not_in_panel": len(rows) - len(columns),
    }
    if any(left_out.values()):
        progress.note(
            plurals.of(
                left_out["not_in_table"],
                "sample of the panel is not in the sample table and is left out; ",
                "samples of the panel are not in the sample table and are left out; ",
            )
            + plurals.of(
                left_out["not_in_panel"],
                "sample of the table is not in the panel.",
                "samples of the table are not in the panel.",
            )
        )
    kept = [names[column] for column in columns.tolist()]
    split, pairs = _splits(kept, rows, options)
    stays = ~splits.leaking(split, pairs)
    left_out["close_relatives_left_out"] = int((~stays).sum())
    if not stays.all():
        removed = [kept[n] for n in np.flatnonzero(~stays).tolist()]
        progress.note(
            f"{plurals.of(len(removed), 'train sample is', 'train samples are')} left out because "
            f"{options.relatives} lists held-out close relatives: "
            f"{', '.join(removed[:5])}{' ...' if removed[5:] else ''}."
        )
    number = np.cumsum(stays) - 1
    samples = _table(
        [kept[n] for n in np.flatnonzero(stays).tolist()],
        rows,
        split[stays],
        number[pairs[stays[pairs].all(axis=1)]],
    )
    if len(samples.in_splits(TRAIN)) == 0:
        raise InputError(
            f"No sample of {file.path} is left to train on. Lower --validation-fraction and "
            "--test-fraction, or give more train samples in the sample table."
        )
    return columns[stays], samples, left_out


def listed_pairs(names: Sequence[str], path: Path | None) -> NDArray[np.int64]:
    """(n, 2) pairs of a table of relatives as indexes of `names`; other pairs are ignored.

    Raises InputError if none of the names is in the table: it belongs to another panel.
    """
    if path is None:
        return np.empty((0, 2), np.int64)
    index = {name: number for number, name in enumerate(names)}
    pairs = tables.read_relatives(path)
    if pairs and not any(name in index for pair in pairs for name in pair):
        raise InputError(
            f"{path} names none of the {plurals.of(len(names), 'sample')} to read ({names[0]}, "
            "...). Give the list of this panel."
        )
    known = sorted({(index[a], index[b]) for a, b in pairs if a in index and b in index})
    return np.array(known, dtype=np.int64).reshape(-1, 2)


def _rows(names: list[str], path: Path | None) -> dict[str, tables.SampleRow]:
    """The sample table; without one, all samples with nothing known about them."""
    if path is None:
        return dict.fromkeys(names, tables.SampleRow(".", ".", splits.UNKNOWN))
    return tables.read_samples(path)


def _splits(
    kept: list[str], rows: dict[str, tables.SampleRow], options: PrepareOptions
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """(N,) splits, and (n, 2) pairs of close relatives."""
    split = splits.complete(
        np.array([rows[name].split for name in kept], dtype=np.int8),
        sites.labels(
            [rows[name].population for name in kept], [rows[name].superpopulation for name in kept]
        ),
        validation_fraction=options.validation_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
    )
    return split, listed_pairs(kept, options.relatives)


def _table(
    kept: list[str],
    rows: dict[str, tables.SampleRow],
    split: NDArray[np.int8],
    relatives: NDArray[np.int64],
) -> Samples:
    population = [rows[name].population for name in kept]
    superpopulation = [rows[name].superpopulation for name in kept]
    label = sites.labels(population, superpopulation)
    trained = {label[n] for n in np.flatnonzero(split == TRAIN).tolist()} - {"."}
    return Samples(
        names=kept,
        population=population,
        superpopulation=superpopulation,
        split=split,
        populations=tuple(sorted(trained)),
        relatives=relatives,
    )
