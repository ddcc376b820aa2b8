"""Who of a panel trains, validates or is tested, and who is left out as a relative of those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites, splits
from vcfbert.pipelines.preparing import relatedness
from vcfbert.progress import Progress
from vcfbert.storage import tables

if TYPE_CHECKING:
    from vcfbert.pipelines.preparing.prepare import PrepareOptions


def draw(
    names: list[str],
    columns: NDArray[np.int64],
    rows: dict[str, tables.SampleRow],
    options: PrepareOptions,
    unknown: dict[str, int],
    progress: Progress,
) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64]]:
    """Columns of the samples who stay, their splits, and pairs of them who are relatives.

    columns  of the samples to keep
    unknown  gets the number of train samples who are left out because a relative is held out
    """
    kept = [rows[names[column]] for column in columns.tolist()]
    superpopulation = [row.superpopulation for row in kept]
    has_labels = sites.has_labels(superpopulation)
    split = splits.complete(
        np.array([row.split for row in kept], dtype=np.int8),
        superpopulation if has_labels else [row.population for row in kept],
        validation_fraction=options.validation_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
    )
    pairs = relatedness.listed([names[column] for column in columns.tolist()], options.relatives)
    stays = ~splits.leaking(split, pairs)
    unknown["relatives_left_out"] = int((~stays).sum())
    if not stays.all():
        left = [names[column] for column in columns[~stays].tolist()]
        progress.note(
            f"{len(left)} train samples are left out, as {options.relatives} lists relatives of "
            f"theirs who are held out: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}."
        )
    number = np.cumsum(stays) - 1
    return columns[stays], split[stays], number[pairs[stays[pairs].all(axis=1)]]
