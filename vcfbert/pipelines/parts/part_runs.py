"""Makes the parts of an imputation, and uses those that are finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.sites import whole_frequency
from vcfbert.pipelines.chunks import chunk_imputation
from vcfbert.pipelines.chunks.chunk_imputation import ImputationSource
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.chunks.chunk_references import ChunkReferences
from vcfbert.pipelines.chunks.joint_phases import JointPhases
from vcfbert.pipelines.parts import batches, part, parts_folder
from vcfbert.pipelines.parts.part import ChunkPart, Wanted
from vcfbert.pipelines.parts.parts_folder import PartsFolder


@dataclass(frozen=True)
class PartRuns:
    """What parts are made from, and where they are kept.

    size    samples of a batch
    folder  None keeps parts in memory
    """

    source: ImputationSource
    chunks: Sequence[ChunkPlan]
    wanted: Wanted
    size: int
    folder: PartsFolder | None

    @cached_property
    def frequency(self) -> NDArray[np.float64]:
        """(S,) of ALT in the panel."""
        return whole_frequency(self.source.sites, self.source.panel.samples)

    @property
    def num_samples(self) -> int:
        """N, of the target."""
        return len(self.source.samples.names)

    def shared(self, number: int) -> NDArray[np.int64]:
        """(P,) typed sites that a chunk of the plan shares with its neighbours."""
        before = self.chunks[number - 1] if number else None
        after = self.chunks[number + 1] if number + 1 < len(self.chunks) else None
        return part.shared_sites(self.chunks[number], before, after)

    def make(
        self,
        number: int,
        samples: slice,
        references: ChunkReferences,
        advance: Callable[[int], None],
        joint: JointPhases | None,
    ) -> ChunkPart:
        """Impute one part, in memory; `joint` is of `chunk_imputation.joint_phases`."""
        chunk = self.chunks[number]
        batch = chunk_imputation.impute(self.source, chunk, samples, references, advance, joint)
        is_imputed = chunk_imputation.is_imputed(self.source, chunk)
        frequency = self.frequency[chunk.written]
        return part.of_batch(batch, chunk, is_imputed, frequency, self.shared(number), self.wanted)

    def run(
        self, number: int, advance: Callable[[int], None]
    ) -> tuple[list[ChunkPart], ChunkReferences | None]:
        """All parts of a chunk, in order, and its references if some had to be imputed.

        Finished parts are read from the folder, and new ones are written there.
        """
        chunk, is_typed = self.chunks[number], self.chunks[number].is_typed
        found = self.folder.read(chunk.number, is_typed) if self.folder else []
        advance(sum(one.samples.stop - one.samples.start for one in found))
        missing = [
            samples
            for gap in parts_folder.gaps(found, self.num_samples)
            for samples in batches.cut(gap, self.size)
        ]
        if not missing:
            return found, None
        references = chunk_imputation.read_references(self.source, chunk, missing)
        joint = chunk_imputation.joint_phases(self.source, chunk)
        is_alone = len(missing) == 1 and not found  # it stays in memory, too
        for samples in missing:
            made = self.make(number, samples, references, advance, joint)
            if self.folder is not None and is_alone:
                self.folder.write(made, is_typed)
            elif self.folder is not None:
                made = self.folder.stored(made, is_typed)
            found.append(made)
        return sorted(found, key=lambda one: one.samples.start), references
