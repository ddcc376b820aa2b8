"""Progress of the imputation of a genome, in sites of the panel."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from vcfbert import plurals
from vcfbert.progress import Progress

IMPUTING = "imputing"


class GenomeProgress:
    """One stage for all contigs; a line for each that is finished."""

    def __init__(self, progress: Progress, sizes: Mapping[str, int], num_samples: int) -> None:
        """`sizes` has the number of sites of each contig."""
        self._progress = progress
        self._sizes = sizes
        self._num_samples = num_samples
        self._notes: set[str] = set()
        progress.start(f"{IMPUTING} {plurals.of(len(sizes), 'contig')}", sum(sizes.values()))

    def skip(self, contig: str) -> None:
        """The contig is not imputed."""
        self._progress.advance(self._sizes[contig])

    @contextmanager
    def of(self, contig: str) -> Iterator[Progress]:
        """The progress of one contig."""
        begun = time.monotonic()
        shown = _ContigProgress(self._progress, self._sizes[contig], self._notes)
        yield shown
        shown.finish()
        seconds = time.monotonic() - begun
        self._progress.note(
            f"{contig}: {plurals.of(shown.num_steps // self._num_samples, 'chunk')}, "
            f"{plurals.of(self._num_samples, 'sample')}, {seconds:.1f} s, "
            f"{self._num_samples / seconds:.1f} samples a second"
        )


class _ContigProgress:
    """Turns steps of chunks and samples into sites."""

    def __init__(self, progress: Progress, size: int, notes: set[str]) -> None:
        self._progress = progress
        self._size = size
        self._notes = notes
        self._done = self._passed = 0
        self._is_imputing = False
        self.num_steps = 0

    def start(self, stage: str, total: int | None) -> None:
        """Note how many steps the imputation has; other stages are short."""
        self._is_imputing = stage == IMPUTING
        if self._is_imputing and total is not None:
            self.num_steps, self._done = total, 0

    def advance(self, steps: int = 1) -> None:
        """Pass on the sites that these steps are worth."""
        if self._is_imputing and self.num_steps:
            self._done += steps
            self._pass(self._size * self._done // self.num_steps)

    def note(self, message: str) -> None:
        """Pass the line on, unless another contig had it: it is about the samples."""
        if message not in self._notes:
            self._notes.add(message)
            self._progress.note(message)

    def finish(self) -> None:
        """All sites are done."""
        self._pass(self._size)

    def _pass(self, sites: int) -> None:
        if sites > self._passed:
            self._progress.advance(sites - self._passed)
            self._passed = sites
