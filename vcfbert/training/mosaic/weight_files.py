"""Networks of `mosaic` as safetensors files that say what they read and how they were made.

PyTorch is imported for those of `mosaic-large` alone, so that `vcfbert impute` starts at once on a
CPU.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vcfbert.copying import inputs, network
from vcfbert.copying.heads import SIZES_AND_ERRORS
from vcfbert.copying.network import Answer, Network
from vcfbert.errors import StoreError
from vcfbert.files import bounded
from vcfbert.storage.zarr import stores

SMALL, LARGE = "vcfbert-mosaic", "vcfbert-mosaic-large"
"""Kinds of networks."""

FORMAT_VERSION = "1"
METADATA_KEY = "vcfbert"
FILE = "mosaic.safetensors"
"""Name of the file in a run's folder, and of the shipped one."""

MAX_BYTES = 2_000_000_000
"""A file beyond this is no network of this kind and is not read."""

SHIPPED = "shipped"

SHIPPED_SHA256 = "e3e22aea5f14c73840467669fb3ea3629084d754985d85292e0c9600faef42df"
"""Of the shipped file; `just pretrain` prints that of the one it makes."""


def save(
    path: Path,
    arrays: Mapping[str, NDArray[np.float32]],
    facts: Mapping[str, Any],
    transformer: Mapping[str, int] | None = None,
) -> str:
    """Write a network; returns the SHA-256 of the file.

    facts        how it was made, fit for JSON; kept in the file's header
    transformer  sizes of that of a large network, see `mosaic_large.sizes`; None: it is small
    """
    metadata = {
        "kind": SMALL if transformer is None else LARGE,
        "format_version": FORMAT_VERSION,
        "inputs": json.dumps(inputs.NAMES),
        "heads": json.dumps(SIZES_AND_ERRORS),
        "facts": json.dumps(facts, sort_keys=True),
    }
    if transformer is not None:
        metadata["transformer"] = json.dumps(transformer, sort_keys=True)
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()},
        # One key, because safetensors writes several in random order.
        metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)},
    )
    stores.write_file(path, content)
    return hashlib.sha256(content).hexdigest()


def load(path: Path, *, name: str) -> Answer:
    """Read and check a network; `name` is what outputs call it.

    Raises StoreError where the file is missing, damaged, of another kind, or reads other inputs
    than this version makes.
    """
    try:
        content = bounded.read(path, MAX_BYTES)
        metadata = _metadata(path)
        arrays = safetensors.numpy.load(content)
    except FileNotFoundError as error:
        raise StoreError(
            f"There is no network at {path}. Train one with: vcfbert train --preset mosaic"
        ) from error
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise StoreError(
            f"{path} is damaged ({error}). Train it again with: vcfbert train --preset mosaic"
        ) from error
    _check(path, metadata)
    fingerprint = hashlib.sha256(content).hexdigest()
    if metadata["kind"] == SMALL:
        return network.from_arrays(arrays, name=name, fingerprint=fingerprint, source=str(path))
    from vcfbert.training.mosaic import mosaic_large

    sizes = metadata.get("transformer", "")
    return mosaic_large.from_arrays(
        arrays, sizes, name=name, fingerprint=fingerprint, source=str(path)
    )


def facts_of(path: Path) -> dict[str, Any]:
    """How a network was made."""
    try:
        facts = bounded.json_of(_metadata(path).get("facts", "{}"))
        if not isinstance(facts, dict):
            raise ValueError("its facts are no table")
    except (OSError, SafetensorError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error}). Train the run again.") from error
    return facts


def shipped_path() -> Path:
    """The network that comes with vcfbert."""
    return Path(str(resources.files("vcfbert"))) / "weights" / FILE


def shipped() -> Network:
    """The network that comes with vcfbert, trained on simulated panels (docs/decisions/mosaic.md).

    Raises StoreError where the installation lacks it, or where it is not the one that was shipped.
    """
    path = shipped_path()
    found = load(path, name=SHIPPED)
    if found.fingerprint != SHIPPED_SHA256:
        raise StoreError(
            f"{path} is not the network that comes with this version: its SHA-256 is "
            f"{found.fingerprint}. Install vcfbert again."
        )
    assert isinstance(found, Network)
    return found


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as stream:
        text = (stream.metadata() or {}).get(METADATA_KEY, "{}")
    metadata = bounded.json_of(text)
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise ValueError("its metadata is no table of texts")
    return metadata


def _check(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("kind") not in (SMALL, LARGE):
        raise StoreError(
            f"{path} holds {metadata.get('kind', 'unnamed weights')!r}, not {SMALL!r}. "
            "Train one with: vcfbert train --preset mosaic"
        )
    expected = {
        "format_version": FORMAT_VERSION,
        "inputs": json.dumps(inputs.NAMES),
        "heads": json.dumps(SIZES_AND_ERRORS),
    }
    for key, value in expected.items():
        if metadata.get(key) != value:
            raise StoreError(
                f"{path} has other {key.replace('_', ' ')} than this version of vcfbert reads. "
                "Train again with: vcfbert train --preset mosaic"
            )
