"""The key of parts: a digest of everything that determines their bytes.

The number of threads, the memory and the sizes of batches do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from vcfbert.errors import InputError
from vcfbert.files import digests
from vcfbert.pipelines.parts import part_file
from vcfbert.storage import map_files
from vcfbert.versions import __version__

FREE = frozenset({
    "run", "threads", "memory", "parts", "keep_parts", "fields", "all_typed_sites", "qc", "device",
    "exclude_samples", "force_samples",
})  # fmt: skip
"""Options of `impute` that change no part, or that another fact covers: the network, the device,
and the fingerprint of the panel without the excluded samples."""


def made_from(
    *,
    panel: str,
    target: Path,
    network: str,
    device: str,
    num_samples: int,
    contigs: Sequence[str],
    options: Any,
) -> dict[str, Any]:
    """What parts are made from, as JSON types.

    panel    fingerprint of the panel, without the excluded samples
    network  fingerprint of the network, or its name
    device   cpu or gpu: their sums differ in the last digit
    contigs  of the panel
    options  a dataclass; of a file, its content counts, of a file of each contig those of `contigs`
    """
    chosen = {
        field.name: _plain(getattr(options, field.name), contigs)
        for field in fields(options)
        if field.name not in FREE
    }
    return {
        "version": __version__,
        "format": part_file.FORMAT_VERSION,
        "panel": panel,
        "target": digest_of(target),
        "samples": num_samples,
        "contigs": list(contigs),
        "network": network,
        "device": device,
        "options": chosen,
    }


def key_of(made: Mapping[str, Any]) -> str:
    """The key, as hex."""
    return digests.of_bytes(json.dumps(made, sort_keys=True).encode())


def digest_of(path: Path) -> str:
    """SHA-256 of a file that the user named. Raises InputError if it cannot be read.

    Each contig of a genome asks for the digest of the same target, which is read once.
    """
    try:
        return digests.of_file_once(path)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error


def differences(made: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What differs between two records of `made_from`, as words for a message.

    >>> differences({"panel": "a", "options": {"seed": 1}}, {"panel": "a", "options": {"seed": 2}})
    ['--seed']
    """
    names = [name for name in made if name != "options" and made[name] != other.get(name)]
    mine, others = made.get("options", {}), other.get("options", {})
    options = [name for name in mine if mine[name] != others.get(name)]
    return names + [f"--{name.replace('_', '-')}" for name in options]


def _plain(value: Any, contigs: Sequence[str]) -> Any:
    if isinstance(value, Path):
        places = dict.fromkeys(map_files.of_contig(value, contig) for contig in contigs)
        return [{"sha256": digest_of(place)} for place in places]
    return list(value) if isinstance(value, tuple) else value
