"""The parts of an output: what they have, how many samples they are of, and where they are kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vcfbert.pipelines.chunks.chunk_imputation import ImputationSource
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.pipelines.imputing import contig_messages, output_files
from vcfbert.pipelines.imputing.impute_options import ImputeOptions
from vcfbert.pipelines.parts import batches, part_key
from vcfbert.pipelines.parts.part import Wanted
from vcfbert.pipelines.parts.part_runs import PartRuns
from vcfbert.pipelines.parts.parts_folder import PartsFolder

logger = logging.getLogger(__name__)


def of(
    source: ImputationSource,
    chunks: Sequence[ChunkPlan],
    target: Path,
    out: Path,
    options: ImputeOptions,
    contig: str | None,
) -> PartRuns:
    """The parts of an output; a single one stays in memory, unless an option keeps it.

    contig  of a genome, for messages; None if there is only one

    Raises ConfigError if there is not enough memory, StoreError if the folder cannot be made.
    """
    memory = None if options.memory is None else batches.parse_size(options.memory)
    runs = PartRuns(
        source, chunks, wanted(source, options), batches.size(source, chunks, memory), None
    )
    where = options.parts or output_files.parts_folder(out)
    is_one = len(chunks) == 1 and runs.size >= runs.num_samples
    if is_one and options.parts is None and not options.keep_parts and not where.exists():
        return runs
    made = made_from(source, target, options)
    folder = PartsFolder(where, made, runs.num_samples)
    # The default folder has the name of the contig.
    about = None if options.parts is None else contig
    for message in contig_messages.named(about, folder.open()):
        logger.warning("%s", message)
    return replace(runs, folder=folder)


def wanted(source: ImputationSource, options: ImputeOptions) -> Wanted:
    """What the parts have besides the probabilities."""
    return Wanted(
        dr2=len(source.samples.names) >= output_files.FEWEST_FOR_DR2,
        er2=options.er2 or options.empirical,
        left_out=options.empirical,
        order=not source.keeps_phase,
    )


def made_from(source: ImputationSource, target: Path, options: ImputeOptions) -> dict[str, object]:
    """What the parts are made from, see `part_key.made_from`."""
    return part_key.made_from(
        panel=source.panel.fingerprint,
        target=target,
        network=source.network.fingerprint or source.network.name,
        device="cpu" if source.device is None else "gpu",
        num_samples=len(source.samples.names),
        contigs=source.sites.contigs,
        options=options,
    )
