"""Files of the network of `mosaic`: safetensors with its inputs and origin in the metadata.

PyTorch is not needed, so that `vcfbert impute` starts quickly on a CPU.
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
from vcfbert.copying.network import Network
from vcfbert.copying.parameter_sets import SIZES_AND_ERRORS
from vcfbert.errors import StoreError
from vcfbert.files import bounded
from vcfbert.storage.zarr import stores

KIND = "vcfbert-mosaic"
FORMAT_VERSION = "2"
METADATA_KEY = "vcfbert"
FILE = "mosaic.safetensors"
"""Name of the file in a run's folder and in the package."""

MAX_BYTES = 2_000_000_000
"""Larger files are refused."""

SHIPPED = "shipped"

SHIPPED_SHA256 = "d782c22e458321fd3628fb898a2b0856e67253f0d833c3cb924e27509fe97cc1"
"""Of the shipped file; `just pretrain` prints that of the file it writes."""


def save(
    path: Path,
    arrays: Mapping[str, NDArray[np.float32]],
    facts: Mapping[str, Any],
) -> str:
    """Write a network; returns the SHA-256 of the file.

    facts  how it was made, of JSON types; stored in the file's metadata
    """
    metadata = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "inputs": json.dumps(inputs.NAMES),
        "parameter_sets": json.dumps(SIZES_AND_ERRORS),
        "facts": json.dumps(facts, sort_keys=True),
    }
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()},
        # One key, because safetensors writes several keys in random order.
        metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)},
    )
    stores.write_file(path, content)
    return hashlib.sha256(content).hexdigest()


def load(path: Path, *, name: str) -> Network:
    """Read and check a network; `name` is shown in outputs.

    Raises StoreError if the file is missing, damaged, of another kind, or made for other inputs.
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
    return network.from_arrays(arrays, name=name, fingerprint=fingerprint, source=str(path))


def shipped_path() -> Path:
    """Path of the network that comes with vcfbert."""
    return Path(str(resources.files("vcfbert"))) / "weights" / FILE


def shipped() -> Network:
    """The network that comes with vcfbert, trained on simulated panels (docs/decisions/mosaic.md).

    Raises StoreError if it is missing or has been changed.
    """
    path = shipped_path()
    found = load(path, name=SHIPPED)
    if found.fingerprint != SHIPPED_SHA256:
        raise StoreError(
            f"{path} is not the network that comes with this version: its SHA-256 is "
            f"{found.fingerprint}. Install vcfbert again."
        )
    return found


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as stream:
        text = (stream.metadata() or {}).get(METADATA_KEY, "{}")
    metadata = bounded.json_of(text)
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise ValueError("its metadata is not a table of strings")
    return metadata


def _check(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("kind") != KIND:
        raise StoreError(
            f"{path} holds {metadata.get('kind', 'unnamed weights')!r}, not {KIND!r}. "
            "Train one with: vcfbert train --preset mosaic"
        )
    expected = {
        "format_version": FORMAT_VERSION,
        "inputs": json.dumps(inputs.NAMES),
        "parameter_sets": json.dumps(SIZES_AND_ERRORS),
    }
    for key, value in expected.items():
        if metadata.get(key) != value:
            raise StoreError(
                f"{path} was written by another version of vcfbert (different "
                f"{key.replace('_', ' ')}). Train again with: vcfbert train --preset mosaic"
            )
