"""What is installed: vcfbert, Python, every dependency, and how the heavy ones were built.

Names and numbers come from the metadata of the installation, so nothing heavy is imported for them.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata

import vcfbert

DEPENDENCIES = (
    "cyvcf2", "deflate", "faiss-cpu", "faiss-gpu", "jaxtyping", "llvmlite", "matplotlib", "msprime",
    "numba", "numcodecs", "numpy", "pysam", "rich", "safetensors", "tensorboard", "tomli-w",
    "torch", "typer", "zarr",
)  # fmt: skip
"""What pyproject.toml names, and what compiles the kernels; what is not installed is left out."""


def packages() -> dict[str, str]:
    """Versions of vcfbert, Python and the dependencies that are installed."""
    found = {"vcfbert": vcfbert.__version__, "python": platform.python_version()}
    for name in DEPENDENCIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # faiss comes as one of two packages
    return found


def machine() -> dict[str, str | int]:
    """The platform, the processor and how many of its cores this process may use."""
    return {
        "platform": platform.platform(),
        "byte_order": sys.byteorder,
        "processor": _processor(),
        "cores": num_cores(),
    }


def num_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # not on Linux


def _processor() -> str:
    """The model's name where Linux tells it, else the architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # another system: the architecture is what it says
    return platform.machine()
