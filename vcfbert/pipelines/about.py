"""`vcfbert version`: versions, builds and machine, for bug reports and for comparing results."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from vcfbert import versions
from vcfbert.retrieval import manifest
from vcfbert.retrieval.index import build_options
from vcfbert.storage.vcf.index_checks import htslib_version
from vcfbert.storage.zarr import schema
from vcfbert.training.mosaic import weight_files


@dataclass(frozen=True)
class About:
    """What is installed; --json prints `record`."""

    record: dict[str, Any]

    def lines(self) -> list[str]:
        """As a table."""
        rows = [(name, str(value)) for name, value in self.record["packages"].items()]
        for section in ("builds", "machine", "formats"):
            rows += [
                (name.replace("_", " "), str(value)) for name, value in self.record[section].items()
            ]
        rows.append(("shipped network", self.record["shipped_network"]))
        width = max(len(name) for name, _ in rows)
        return [f"{name:<{width}}  {value}" for name, value in rows]

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(self.record, indent=1)


def about() -> About:
    """Collect the facts, without importing PyTorch, which takes seconds.

    Raises OSError if the shipped network cannot be read.
    """
    packages = versions.packages()
    return About(
        {
            "packages": packages,
            "builds": {
                "faiss_build": build_options(),
                "htslib": htslib_version(),
                "blas": _blas(),
                "torch_build": _torch_build(packages.get("torch", "")),
            },
            "machine": versions.machine(),
            "formats": {
                **{f"{kind}_store": version for kind, version in schema.FORMAT_VERSION.items()},
                "index": manifest.FORMAT_VERSION,
                "checkpoint": schema.CHECKPOINT_FORMAT,
                "mosaic_network": int(weight_files.FORMAT_VERSION),
            },
            "shipped_network": _shipped(),
        }
    )


def _blas() -> str:
    built: Any = np.show_config(mode="dicts")
    found = built["Build Dependencies"]["blas"]
    return f"{found['name']} {found['version']}"


def _torch_build(version: str) -> str:
    """Whether PyTorch is built with CUDA, judged by its version and installed libraries."""
    if version.endswith("+cpu"):
        return "for the CPU"
    names = {str(one.metadata["Name"]).lower() for one in metadata.distributions()}
    found = any(name.startswith("nvidia-cuda-runtime") for name in names)
    return "with CUDA" if found else "for the CPU"


def _shipped() -> str:
    path = weight_files.shipped_path()
    if not path.exists():
        return "none"
    return f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
