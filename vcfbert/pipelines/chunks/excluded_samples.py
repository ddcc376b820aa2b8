"""Samples of a panel that one run of `impute` or `phase` leaves out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vcfbert import plurals
from vcfbert.errors import InputError
from vcfbert.storage import sample_lists
from vcfbert.storage.zarr.panel import PanelReader, open_panel
from vcfbert.storage.zarr.panel_without import PanelWithout

logger = logging.getLogger(__name__)

_NAMED = 5


class ExcludesSamples(Protocol):
    """Options of a command that leaves samples of the panel out."""

    @property
    def exclude_samples(self) -> str | None:
        """A file of names, or names separated by commas; None for no sample."""

    @property
    def force_samples(self) -> bool:
        """Ignore names that the panel lacks."""


@contextmanager
def open_without(path: Path, options: ExcludesSamples) -> Iterator[PanelReader]:
    """Open a panel without some samples.

    Raises InputError if a name is not in the panel, unless these are ignored, or no sample stays.
    """
    with open_panel(path, takes_haploid=True) as panel:
        excluded = options.exclude_samples
        yield panel if excluded is None else _without(panel, excluded, options.force_samples)


def header_lines(panel: PanelReader) -> list[str]:
    """Header lines of an output about the samples that are left out; without their names."""
    if not isinstance(panel, PanelWithout):
        return []
    about = f"<Number={len(panel.excluded)},Panel={panel.whole_fingerprint}>"
    return [f"##vcfbert_excluded_samples={about}"]


def record(panel: PanelReader) -> dict[str, Any]:
    """The samples that are left out as JSON types, for summary.json."""
    if not isinstance(panel, PanelWithout):
        return {"samples": [], "whole_panel_fingerprint": panel.fingerprint}
    return {"samples": panel.excluded, "whole_panel_fingerprint": panel.whole_fingerprint}


def _without(panel: PanelReader, excluded: str, ignores_unknown: bool) -> PanelReader:
    place = {name: number for number, name in enumerate(panel.samples.names)}
    names = sample_lists.read(excluded, place.keys())
    unknown = [name for name in names if name not in place]
    if unknown:
        more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
        shown = f"{', '.join(name[:60] for name in unknown[:_NAMED])}{more}"
        if not ignores_unknown:
            raise InputError(
                f"--exclude-samples: {panel.path} has no sample {shown}. Correct the name (or the "
                "path, if a file is meant), or ignore such names with --force-samples."
            )
        about = "excluded sample is", "excluded samples are"
        logger.warning("%s not in the panel: %s.", plurals.of(len(unknown), *about), shown)
    samples = np.unique(np.array([place[name] for name in names if name in place], np.int64))
    if len(samples) == 0:
        return panel
    if len(samples) == len(panel.samples):
        raise InputError(
            f"--exclude-samples leaves no sample of {panel.path}. Exclude fewer samples."
        )
    return PanelWithout(panel, samples)
