"""Batches of samples: how many are imputed at once in the memory that may be used.

S sites of a chunk, T typed sites, N samples, R reference haplotypes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vcfbert.copying.inputs import NUM_INPUTS, NUM_SETS
from vcfbert.errors import ConfigError
from vcfbert.files.spill import Spill
from vcfbert.pipelines.chunks.chunk_imputation import ImputationSource
from vcfbert.pipelines.chunks.chunk_plan import ChunkPlan
from vcfbert.training import host_memory

FAIR_SHARE = 0.5
"""Share of the machine's free memory that is used by default."""

SHARE_OF_TARGET = 8
"""The genotypes of the target may take one eighth of the memory; the rest of them is in files."""

LEAST = 1 << 20
"""Smallest --memory: fewer bytes are a number whose unit was forgotten."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_COPIES_OF_BITS = 4  # of the references: read, at typed sites, searched, and one being made
_SPARE = 112 << 20  # for all that does not grow


def parse_size(text: str) -> int:
    """Bytes of a size such as 4G, 500M or 1.5GiB, in powers of 1024; at least LEAST.

    >>> parse_size("4G"), parse_size("500 MiB")
    (4294967296, 524288000)
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * 2 ** _POWERS[match[2].upper()]) if match else 0
    if size < LEAST:
        of_unit = "" if size == 0 else f", which is {_shown(size)}"
        raise ConfigError(f"--memory must be a size such as 4G or 500M, got {text!r}{of_unit}.")
    return size


def spill(folder: Path, memory: str | None) -> Spill:
    """Where the target's genotypes are: in memory as far as a part of it allows, then in files."""
    limit = int(FAIR_SHARE * host_memory.free_bytes()) if memory is None else parse_size(memory)
    return Spill(folder, limit // SHARE_OF_TARGET)


def size(source: ImputationSource, chunks: Sequence[ChunkPlan], memory: int | None) -> int:
    """Samples of a batch, so that no chunk uses more memory than this; None for a fair share.

    Raises ConfigError if one sample needs more.
    """
    source.samples.release()
    used = host_memory.used_bytes()
    limit = memory or used + int(FAIR_SHARE * host_memory.free_bytes())
    # Kernels that were loaded since the first call are in _SPARE already.
    used -= min(_SPARE, max(0, used - _used_at_first()))
    num_samples = len(source.samples.names)
    needed = [_needed(source, chunk) for chunk in chunks]
    fixed, each = min(needed, key=lambda pair: (limit - used - pair[0]) / pair[1])
    fixed += used
    most = int((limit - fixed) // each)
    if most < 1:
        raise ConfigError(
            f"--memory {_shown(limit)} is not enough: the references of a chunk and one sample "
            f"need {_shown(fixed + each)}. Give more memory, fewer --threads or shorter chunks "
            "(--chunk-cm)."
            if memory
            else f"The machine has {_shown(host_memory.free_bytes())} of memory left, but the "
            f"references of a chunk and one sample need {_shown(fixed + each)}. Free some memory, "
            "or use fewer --threads or shorter chunks (--chunk-cm)."
        )
    if most >= num_samples:
        return num_samples
    return -(-num_samples // -(-num_samples // most))  # batches of about the same size


@cache
def _used_at_first() -> int:
    """Bytes that the process used before it imputed anything."""
    return host_memory.used_bytes()


def _needed(source: ImputationSource, chunk: ChunkPlan) -> tuple[int, int]:
    """Bytes for a chunk whatever the number of samples, and for each sample."""
    num_sites, num_typed = len(chunk.sites), len(chunk.typed)
    num_references = 2 * len(source.panel.samples)
    bits = _COPIES_OF_BITS * num_references * (num_sites + num_typed) // 8
    at_work = 2 * num_sites * 4 * (NUM_SETS + NUM_INPUTS + 4)
    # The engine's answers, those of the batch, and of draws their mean and one draw.
    copies = 4 if source.phasing.draws and not source.keeps_phase else 2
    each = 8 * copies * num_sites + 2 * num_typed * (16 + source.phasing.draws)
    return bits + source.threads * at_work + _SPARE, each


def cut(samples: slice, size: int) -> list[slice]:
    """A range of samples as batches.

    >>> cut(slice(3, 10), 4)
    [slice(3, 7, None), slice(7, 10, None)]
    """
    starts = range(samples.start, samples.stop, size)
    return [slice(first, min(first + size, samples.stop)) for first in starts]


def _shown(size: int) -> str:
    """A size for messages.

    >>> _shown(1), _shown(5 << 20)
    ('less than 1 MB', '5 MB')
    """
    return f"{size / 2**20:,.0f} MB" if size >= LEAST else "less than 1 MB"
