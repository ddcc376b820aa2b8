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
    """Values of --device."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class EmbeddingsLayout(StrEnum):
    """Values of `encode-refs --layout`."""

    CODEBOOK = "codebook"
    DENSE = "dense"


class EmbeddingsDtype(StrEnum):
    """Values of `encode-refs --dtype`."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


class IndexKind(StrEnum):
    """Values of `build-index --kind`."""

    EXACT = "exact"
    FAST = "fast"
    DENSE = "dense"


class Missing(StrEnum):
    """Values of `prepare --missing`."""

    FILL = "fill"
    DROP = "drop"
    ERROR = "error"
    MAJOR = "major"


class Unphased(StrEnum):
    """Values of `prepare --unphased`."""

    ERROR = "error"
    DROP = "drop"


class TargetUnphased(StrEnum):
    """Values of `impute --unphased`."""

    PHASE = "phase"
    ERROR = "error"
    MISSING = "missing"
    AS_WRITTEN = "as-written"


class PhaseTrust(StrEnum):
    """Values of `impute --phase`."""

    KEEP = "keep"
    REFINE = "refine"
    REDO = "redo"


class TargetReferencesChoice(StrEnum):
    """Values of --target-references."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class TargetStrand(StrEnum):
    """Values of `impute --strand`."""

    FIX = "fix"
    DROP = "drop"
    ERROR = "error"


class Genotypes(StrEnum):
    """Values of `eval --genotypes`."""

    HAPLOTYPES = "haplotypes"
    HEAD = "head"


class Split(StrEnum):
    """Values of --split."""

    TEST = "test"
    VALIDATION = "validation"


class ProgressForm(StrEnum):
    """Values of --progress."""

    AUTO = "auto"
    JSON = "json"


class Chromosome(StrEnum):
    """Values of `simulate --chromosome`."""

    AUTOSOME = "1"
    X = "X"


Workspace = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        envvar="VCFBERT_WORKSPACE",
        metavar="DIR",
        help="Folder of the panel, masks, embeddings, indexes and runs.",
    ),
]
Sex = Annotated[
    Path | None,
    typer.Option(
        "--sex",
        metavar="TSV",
        help="Sex of the samples: a table with columns sample and sex, or PLINK's .fam, .psam or "
        ".sexcheck. Males are haploid on X outside the pseudo-autosomal regions.",
    ),
]
Par = Annotated[
    str | None,
    typer.Option(
        "--par",
        metavar="FROM-TO,FROM-TO",
        show_default="of GRCh37, GRCh38 or T2T-CHM13, by the length of X",
        help="Pseudo-autosomal regions of X (1-based, inclusive), or none.",
    ),
]
Trios = Annotated[
    Path | None,
    typer.Option(
        "--trios",
        metavar="FAM",
        help="Pedigree of the samples, such as PLINK's .fam: children are phased by their parents, "
        "and parents by their children.",
    ),
]
Mendel = Annotated[
    bool,
    typer.Option(
        "--mendel",
        help="Set the genotypes of a trio missing at its Mendelian errors. Otherwise they are only "
        "listed.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        show_default=f"preset of --config, or {DEFAULT_PRESET}",
        help=f"Preset to start from: {', '.join(presets.PRESETS)}.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file of settings that override the preset."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override one setting, such as training.batch_size=8. Can be repeated.",
    ),
]
SettingsSeed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", min=0, show_default="from the settings",
        help="Seed for weights, masks and batch order; short for --set seed=N.",
    ),
]  # fmt: skip
EncoderRun = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="NAME",
        show_default="initial weights",
        help="Use the settings and the best checkpoint of this run; other settings are refused.",
    ),
]
MaskVersion = Annotated[
    str | None,
    typer.Option(
        "--mask-version",
        metavar="N|PATH",
        show_default="newest",
        help="Mask version of the workspace, or the path of one that a run wrote.",
    ),
]
EmbeddingsVersion = Annotated[
    str | None,
    typer.Option(
        "--embeddings",
        metavar="N|PATH",
        show_default="newest",
        help="Embeddings version of the workspace, or the path of one that a run wrote.",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option("--device", help="Device to compute on; auto uses the GPU if there is one."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", min=1, show_default="all cores", help="Number of CPU threads."
    ),
]
ProgressOption = Annotated[
    ProgressForm,
    typer.Option(
        "--progress",
        help="Progress on stderr: as text, or as one JSON object per line for programs.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        show_default="half of what is free",
        help="Memory to use, such as 4G. It decides how many samples are imputed at once.",
    ),
]
Parts = Annotated[
    Path | None,
    typer.Option(
        "--parts",
        metavar="DIR",
        show_default="OUT.parts",
        help="Folder for finished parts, each of one chunk and some samples.",
    ),
]
KeepParts = Annotated[
    bool, typer.Option("--keep-parts", help="Keep the finished parts after success.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress, only warnings and errors.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log one line per stage, with counts and seconds.")
]
WrittenRegion = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="CHROM:FROM-TO", help="Write only this region (1-based, inclusive)."
    ),
]
TargetMap = Annotated[
    Path | None,
    typer.Option(
        "--map",
        metavar="FILE",
        show_default="the panel's",
        help="Genetic map of PLINK, SHAPEIT, Eagle, HapMap or others; may be gzipped.",
    ),
]
Trust = Annotated[
    PhaseTrust,
    typer.Option("--phase", help="Phase of the file: keep it, use it as a hint, or ignore it."),
]
TargetReferences = Annotated[
    TargetReferencesChoice,
    typer.Option(
        "--target-references",
        help="Phase with the haplotypes of the target's other samples, too; auto: if it has more "
        "samples than the panel.",
    ),
]
PhasingPasses = Annotated[
    int,
    typer.Option(
        "--phasing-passes",
        metavar="N",
        min=1,
        help="Passes of phasing: the first finds similar haplotypes by genotypes, the others by "
        "the phase of the pass before.",
    ),
]
Strand = Annotated[
    TargetStrand,
    typer.Option(
        "--strand", help="Strand flips: repair them, leave them out, or stop at the first."
    ),
]
ExcludeSamples = Annotated[
    str | None,
    typer.Option(
        "--exclude-samples",
        metavar="FILE|NAME,...",
        help="Leave these samples of the panel out: names, or a file with one name per line.",
    ),
]
ForceSamples = Annotated[
    bool,
    typer.Option("--force-samples", help="Ignore excluded samples that the panel lacks."),
]
MinTyped = Annotated[
    int,
    typer.Option("--min-typed", min=1, help="Skip contigs with fewer typed sites than this."),
]
OverlapCm = Annotated[
    float, typer.Option("--overlap-cm", help="Context read on either side of a chunk, in cM.")
]
