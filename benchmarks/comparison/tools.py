"""Beagle, Minimac4 and vcfbert as commands: how a panel is prepared and how a target is imputed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .processes import Command, Measured, command, measure, median
from .tasks import Task

JAR = Path("/usr/share/beagle/beagle.jar")
PACKAGES = {
    "java": "default-jre-headless",
    "bcftools": "bcftools",
    "tabix": "tabix",
    "minimac4": "minimac4",
    "beagle.jar": "beagle",
}
"""Debian's and Ubuntu's package of each program."""

KINDS = ("beagle", "minimac4", "copying", "vcfbert", "trained")
ON_REQUEST = ("profiled",)
"""Kinds that are measured only if they are named."""

Imputes = Callable[[Task, Path, Path, int], Command]  # of task, target, file to write, threads


@dataclass(frozen=True)
class Tool:
    """A way to impute, and the file it writes in a task's folder."""

    name: str
    file: str
    is_peer: bool
    impute: Imputes


@dataclass(frozen=True)
class Programs:
    """Where the programs are; `run` names the run that was trained on the panel."""

    vcfbert: Path
    jar: Path = JAR
    run: str = "mosaic"


def tools(kinds: Iterable[str], programs: Programs | None = None) -> list[Tool]:
    """The tools of some kinds, in order; without programs they cannot be run."""
    programs = programs or Programs(Path("vcfbert"))
    copying, trained = ours(programs, "--no-network"), ours(programs, "--run", programs.run)
    everything = {
        "beagle": Tool("Beagle", "beagle.vcf.gz", True, beagle(programs)),
        "minimac4": Tool("Minimac4", "minimac4.vcf.gz", True, minimac4),
        "copying": Tool("vcfbert no network", "vcfbert-no-network.vcf.gz", False, copying),
        "vcfbert": Tool("vcfbert", "vcfbert.vcf.gz", False, ours(programs)),
        "profiled": Tool(
            "vcfbert profiled", "vcfbert-profiled.vcf.gz", False, ours(programs, is_profiled=True)
        ),
        "trained": Tool("vcfbert trained", "vcfbert-trained.vcf.gz", False, trained),
    }
    return [everything[kind] for kind in kinds]


def beagle(programs: Programs) -> Imputes:
    def impute(task: Task, target: Path, out: Path, threads: int) -> Command:
        return command(
            *("java", "-Xmx8g", "-jar", programs.jar, f"ref={task.reference}", f"gt={target}"),
            *(f"map={task.map}", f"out={str(out).removesuffix('.vcf.gz')}"),
            *(f"nthreads={threads}", "ap=true", "gp=true"),
        )

    return impute


def beagle_phase(task: Task, jar: Path, target: Path, out: Path, threads: int) -> Command:
    """Beagle without imputation; `out` is a .vcf.gz."""
    return command(
        *("java", "-Xmx8g", "-jar", jar, f"ref={task.reference}", f"gt={target}"),
        *(f"map={task.map}", f"out={str(out).removesuffix('.vcf.gz')}"),
        *("impute=false", f"nthreads={threads}"),
    )


def ours(programs: Programs, *words: str, is_profiled: bool = False) -> Imputes:
    """Vcfbert with some options.

    is_profiled  keep the array profile of the run before; otherwise each run makes its own, and has
                 what `prepare` made
    """

    def impute(task: Task, target: Path, out: Path, threads: int) -> Command:
        if not is_profiled:
            shutil.rmtree(task.workspace / "profiles", ignore_errors=True)
            if _prepared_profiles(task).exists():
                shutil.copytree(_prepared_profiles(task), task.workspace / "profiles")
        where = ("--out", out, "-w", task.workspace, "--threads", threads)
        return command(programs.vcfbert, "impute", target, *where, *words, "--force")

    return impute


def _prepared_profiles(task: Task) -> Path:
    """What `prepare` computed for imputation, in large panels."""
    return task.folder / "prepared-profiles"


def prepare_panel(task: Task, programs: Programs, workspace: Path) -> Command:
    samples = ("--samples", task.samples) if task.samples else ()
    words = ("prepare", task.reference, "--map", task.map, *samples, "-w", workspace)
    return command(programs.vcfbert, *words, "--force")


def train(task: Task, programs: Programs) -> Command:
    words = ("--preset", "mosaic", "--run", programs.run, "-w", task.workspace)
    return command(programs.vcfbert, "train", *words)


def compressed(task: Task) -> Path:
    return task.folder / "ref.msav"


def compress(task: Task) -> Command:
    return command("minimac4", "--compress-reference", task.reference, stdout=compressed(task))


def minimac4(task: Task, target: Path, out: Path, threads: int) -> Command:
    words = ("-o", out, "-f", "GT,DS,HDS,GP", "-t", threads)
    return command("minimac4", compressed(task), target, *words)


def find_or_install(jar: Path) -> None:
    """Install missing programs of the peers if possible; otherwise stop and say how to."""
    missing = _missing(jar)
    packages = [PACKAGES[program] for program in missing]
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {', '.join(packages)} ...", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(install, check=False, stdout=subprocess.DEVNULL)
        missing = _missing(jar)
    if missing:
        raise SystemExit(
            f"error: {', '.join(missing)} not found.\n"
            f"On Debian or Ubuntu: sudo {' '.join(install)}\n"
            "Elsewhere: put java, bcftools, tabix and minimac4 on PATH "
            "(conda install -c bioconda bcftools htslib minimac4 beagle) "
            "and name Beagle's jar with --beagle."
        )


def _missing(jar: Path) -> list[str]:
    absent = [
        program for program in PACKAGES if program != "beagle.jar" and not shutil.which(program)
    ]
    return absent if jar.exists() else [*absent, "beagle.jar"]


def prepare(task: Task, programs: Programs, chosen: Sequence[Tool]) -> dict[str, Measured]:
    """Prepare the panel for the tools that need it, timed; an existing workspace is kept."""
    found: dict[str, Measured] = {}
    log = task.folder / "prepare.stderr"
    if any(tool.impute is minimac4 for tool in chosen):
        found["Minimac4 --compress-reference"] = measure(compress(task), log)
    if any(not tool.is_peer for tool in chosen):
        fresh = task.folder / "fresh-work"
        shutil.rmtree(fresh, ignore_errors=True)
        found["vcfbert prepare"] = measure(prepare_panel(task, programs, fresh), log)
        shutil.rmtree(_prepared_profiles(task), ignore_errors=True)
        if (fresh / "profiles").exists():
            shutil.copytree(fresh / "profiles", _prepared_profiles(task))
        if task.workspace.exists():
            shutil.rmtree(fresh)
        else:
            fresh.rename(task.workspace)
    return found


def time_all(
    task: Task,
    chosen: Sequence[Tool],
    *,
    target: Path,
    folder: Path,
    threads: int,
    repeats: int,
) -> dict[str, Measured]:
    """Impute with each tool in turn, `repeats` times over; the outputs lie in `folder`."""
    found: dict[str, list[Measured]] = {tool.name: [] for tool in chosen}
    for _ in range(repeats):
        for tool in chosen:
            out = folder / tool.file
            for path in (out, *folder.glob(f"{out.name}.*")):
                path.unlink(missing_ok=True)
            wanted = tool.impute(task, target, out, threads)
            log = folder / f"{tool.file.removesuffix('.vcf.gz')}.stderr"
            found[tool.name].append(measure(wanted, log))
            if tool.is_peer:  # they write no index, and their headers lack the contigs
                subprocess.run(["tabix", "-f", "-p", "vcf", str(out)], check=True)
    return {name: median(measured) for name, measured in found.items()}


def first_run(task: Task, chosen: Sequence[Tool], threads: int) -> dict[str, Measured]:
    """A run of vcfbert that compiles its kernels, as the first after an installation."""
    ours_first = [tool for tool in chosen if not tool.is_peer][:1]
    found = time_all(
        task, ours_first, target=task.target, folder=task.folder, threads=threads, repeats=1
    )
    return {f"{name}, first run here": measured for name, measured in found.items()}
