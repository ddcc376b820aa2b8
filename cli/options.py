"""Options that several commands share, as annotated types."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vcfbert.config import presets

DEFAULT_WORKSPACE = Path("work")
DEFAULT_PRESET = "v18-large"
EDGES = "0,0.0006,0.002,0.005,0.01,0.05,0.5"
FORMAT = "GT,DS,HDS,GP"


class Device(StrEnum):
    """Where tensors live."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Layout(StrEnum):
    """Layouts of the embeddings store."""

    CODEBOOK = "codebook"
    DENSE = "dense"


class IndexKind(StrEnum):
    """Kinds of index."""

    EXACT = "exact"
    DENSE = "dense"


class Missing(StrEnum):
    """What becomes of missing genotypes."""

    DROP = "drop"
    ERROR = "error"
    MAJOR = "major"


class Unphased(StrEnum):
    """What becomes of heterozygotes without phase."""

    ERROR = "error"
    DROP = "drop"


class TargetUnphased(StrEnum):
    """What becomes of a target's heterozygotes without phase."""

    ERROR = "error"
    MISSING = "missing"
    AS_WRITTEN = "as-written"


class Genotypes(StrEnum):
    """Where dosages come from."""

    HAPLOTYPES = "haplotypes"
    HEAD = "head"


class Split(StrEnum):
    """Samples that can be evaluated on."""

    TEST = "test"
    VALIDATION = "validation"


Workspace = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        envvar="VCFBERT_WORKSPACE",
        metavar="DIR",
        help="Folder that holds the panel, masks, embeddings, indexes and runs.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what this command has made before.")]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        show_default=f"the one --config names, else {DEFAULT_PRESET}",
        help=f"System to start from: {', '.join(presets.PRESETS)}.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file of settings, laid over the preset."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="One setting, laid over preset and file; repeat for more (training.batch_size=8).",
    ),
]
SettingsSeed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", min=0, show_default="from the settings",
        help="Seed of weights, masks and batch order; short for --set seed=N.",
    ),
]  # fmt: skip
EncoderRun = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="NAME",
        show_default="fresh weights from the seed",
        help="Encode with the best checkpoint of this run.",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option("--device", help="Where to compute; auto takes the GPU if there is one."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", min=1, show_default="all cores", help="CPU threads to use."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress on stderr, only warnings and errors.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Debugging lines on stderr.")]
