"""Train systems on your own panel, from a VCF to scores.

    python benchmarks/own_panel.py VCF [OPTION]...            (or: just panel VCF)
    python benchmarks/own_panel.py VCF --compare [OPTION]...  (or: just compare-systems VCF)

Runs `prepare`, then for each preset `encode-refs` and `build-index` if it reads them, and `train`;
then `eval` if there is one preset, `compare` if there are several. Each command is printed before
it runs. Other options are those of the commands, and each goes to the commands that take it.
Networks are small and trained for minutes unless --full is given.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.errors import VcfbertError

VCFBERT = Path(sys.executable).with_name("vcfbert")

PREPARE = (
    "--samples", "--relatives", "--map", "--region", "--min-maf", "--min-mac", "--window-size",
    "--flank", "--windows", "--validation-fraction", "--test-fraction", "--missing", "--unphased",
    "--max-dropped",
)  # fmt: skip
SCORE = ("--typed", "--rate", "--split", "--edges", "--rare-maf")
TRAIN = ("--config",)
"""Options with a value that are passed on, by command; `--set` and the others below go to more."""

SMALL = (
    "model.width=32",
    "model.num_layers=2",
    "model.num_heads=2",
    "training.batch_size=8",
    "training.accumulation=1",
    "training.learning_rate=2e-3",
    "training.warmup_steps=20",
    "training.max_epochs=3",
    "training.batches_per_epoch=150",
    "training.validation_batches=26",
)
"""Settings of the systems of retrieval without --full."""

SMALL_OF = {"tiny": (), "mosaic": ("mosaic.steps=500",)}
"""Those of other presets."""

COMPARED = ("v13", "v17-published", "v17", "v18-published", "v18-current")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("vcf", type=Path, help="phased panel: .vcf, .vcf.gz or .bcf")
    parser.add_argument("--preset", action="append", metavar="NAME", choices=presets.PRESETS,
                        help="system to train; can be repeated (default: tiny)")  # fmt: skip
    parser.add_argument("--compare", action="store_true",
                        help=f"train and compare {', '.join(COMPARED)}")  # fmt: skip
    parser.add_argument("--full", action="store_true", help="sizes and epochs of the presets")
    parser.add_argument("--workspace", "-w", type=Path, metavar="DIR",
                        help="(default: the panel's name and -work, in this folder)")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="setting of every system; can be repeated")  # fmt: skip
    parser.add_argument("--device", metavar="NAME", help="of train and eval")
    parser.add_argument("--threads", metavar="N", help="of train")
    parser.add_argument("--seed", metavar="N", help="of every command")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")
    parser.add_argument("--force", action="store_true", help="replace the workspace's results")
    for title, names in (("prepare", PREPARE), ("train", TRAIN), ("eval or compare", SCORE)):
        group = parser.add_argument_group(f"options of {title}")
        for name in names:
            group.add_argument(name, metavar="VALUE")
    arguments = parser.parse_args(words)
    if arguments.workspace is None:
        arguments.workspace = Path(f"{name_of(arguments.vcf)}-work")
    if arguments.preset is None:
        arguments.preset = list(COMPARED) if arguments.compare else ["tiny"]
    if len(set(arguments.preset)) < len(arguments.preset):
        parser.error("a --preset is given twice")
    return arguments


def main() -> None:
    arguments = parsed()
    try:
        commands = plan(arguments)
    except VcfbertError as error:
        raise SystemExit(f"error: {error}") from None
    for number, words in enumerate(commands, 1):
        shown = shlex.join(["vcfbert", *words])
        print(f"\n[{number}/{len(commands)}] {shown}", flush=True)
        done = subprocess.run([VCFBERT, *words], check=False)
        if done.returncode:  # the command has said why
            raise SystemExit(done.returncode)
    print(f"\nResults: {results(arguments)}\nWorkspace: {arguments.workspace}")


def plan(arguments: argparse.Namespace) -> list[list[str]]:
    """The commands to run, in order.

    >>> for words in plan(parsed(["my panel.vcf.gz", "--map", "a.map", "--typed", "t.tsv"])):
    ...     print(*words[:3])
    prepare my panel.vcf.gz --map
    encode-refs --preset tiny
    build-index --workspace my panel-work
    train --preset tiny
    eval --run tiny
    """
    names: list[str] = arguments.preset
    systems = [resolved(arguments, name) for name in names]
    commands = [["prepare", str(arguments.vcf), *given(arguments, PREPARE), *seed(arguments)]]
    of_retrieval = [one for one in systems if one.system == "retrieval"]
    # Of several systems, each encodes for itself in training.
    if len(systems) == 1 and any(one.reads_embeddings for one in of_retrieval):
        commands.append(["encode-refs", *settings(arguments, names[0])])
    if any(one.retrieval.space != "none" for one in of_retrieval):
        commands.append(["build-index"])
    for name in names:
        words = ["train", *settings(arguments, name), "--run", name]
        commands.append([*words, *given(arguments, ("--device", "--threads"))])
    scored = [*given(arguments, SCORE), *given(arguments, ("--device",))]
    if len(names) == 1:
        commands.append(["eval", "--run", names[0], *scored])
    else:
        commands.append(["compare", *names, *scored, "--out", str(results(arguments))])
    common = ["--workspace", str(arguments.workspace)]
    common += ["--force"] * arguments.force + ["--quiet"] * arguments.quiet
    return [[*words, *common] for words in commands]


def resolved(arguments: argparse.Namespace, preset: str) -> Config:
    """The settings that `train` will use; ConfigError before anything has run."""
    chosen = presets.get(preset)
    if arguments.config is not None:
        path = Path(arguments.config)
        chosen = config.merge(chosen, config.load(path), source=str(path))
    changes = config.assignments(changed(arguments, preset))
    return config.merge(chosen, changes, source=f"--set, for {preset}")


def changed(arguments: argparse.Namespace, preset: str) -> list[str]:
    """The changes of a preset's settings; those of the user come last and win."""
    sizes = () if arguments.full else SMALL_OF.get(preset, SMALL)
    return [*sizes, *arguments.set]


def settings(arguments: argparse.Namespace, preset: str) -> list[str]:
    """Options that choose the settings of a system."""
    words = ["--preset", preset, *given(arguments, TRAIN)]
    for text in changed(arguments, preset):
        words += ["--set", text]
    return words + seed(arguments)


def seed(arguments: argparse.Namespace) -> list[str]:
    return given(arguments, ("--seed",))


def given(arguments: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """The options of these names that were given, with their values."""
    found = ((name, getattr(arguments, name[2:].replace("-", "_"))) for name in names)
    return [word for name, value in found if value is not None for word in (name, value)]


def results(arguments: argparse.Namespace) -> Path:
    """Folder of the scores."""
    workspace: Path = arguments.workspace
    if len(arguments.preset) == 1:
        return workspace / "runs" / arguments.preset[0] / "eval"
    return workspace / "comparison"


def name_of(vcf: Path) -> str:
    """The file's name without the endings of a VCF.

    >>> name_of(Path("data/chr 20.panel.vcf.gz"))
    'chr 20.panel'
    """
    name = vcf.name
    for ending in (".gz", ".bgz", ".vcf", ".bcf"):
        name = name.removesuffix(ending)
    return name or "panel"


if __name__ == "__main__":
    main()
