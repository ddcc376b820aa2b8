"""Versions of vcfbert, Python and the dependencies, and facts about the machine.

Versions are read from package metadata, so that no heavy library is imported.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata

__version__ = "0.1.0"

DEPENDENCIES = (
    "cyvcf2", "deflate", "faiss-cpu", "faiss-gpu", "google-crc32c", "jaxtyping", "llvmlite",
    "matplotlib", "msprime", "numba", "numcodecs", "numpy", "pysam", "rich", "safetensors",
    "tensorboard", "tomli-w", "torch", "typer", "zarr",
)  # fmt: skip
"""Dependencies in pyproject.toml, and llvmlite, which compiles the kernels."""


def packages() -> dict[str, str]:
    """Versions of vcfbert, Python and the dependencies that are installed."""
    found = {"vcfbert": __version__, "python": platform.python_version()}
    for name in DEPENDENCIES:
        try:
            found[name] = _version(metadata.distribution(name))
        except metadata.PackageNotFoundError:
            continue  # only one of faiss-cpu and faiss-gpu is installed
    return found


def _version(package: metadata.Distribution) -> str:
    """The version, from its line, because `metadata.version` parses all of the README."""
    head = (package.read_text("METADATA") or "").partition("\n\n")[0]
    found = re.search(r"^Version: (\S+)", head, re.MULTILINE)
    return found[1] if found else package.version


def machine() -> dict[str, str | int]:
    """Platform, processor and the number of cores this process may use."""
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


def bytes_of_peak(maxrss: int) -> int:
    """Bytes of `ru_maxrss`, which is in bytes on macOS and in kilobytes elsewhere."""
    return maxrss if sys.platform == "darwin" else 1024 * maxrss


def _processor() -> str:
    """Model name of the processor on Linux, else the architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not on Linux
    return platform.machine()
