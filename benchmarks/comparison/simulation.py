"""Tasks from a simulated panel, with samples divided into references and targets."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from . import tasks
from .tasks import Task
from .tools import Programs

TYPED_PER_MB = 395  # the OmniExpress array on chr20
VARYING = ("-c", "1:minor", "-m2", "-M2")
"""Sites that vary among the references and have one ALT."""


def task(
    folder: Path, programs: Programs, haplotypes: int, *, length: int, num_targets: int, seed: int
) -> Task:
    """A panel of `haplotypes` over `length` bases, and targets with all true genotypes.

    One that was made with the same arguments is kept.
    """
    facts = json.dumps([haplotypes, length, num_targets, seed])
    note = folder / "made.json"
    if note.exists() and note.read_text(encoding="utf-8") == facts:
        return tasks.task_in(folder)
    source, samples = folder / "simulated", haplotypes // 2 + num_targets
    words = ("--num-samples", samples, "--length", length, "--seed", seed)
    simulate = [programs.vcfbert, "simulate", source, *words, "--force"]
    subprocess.run(list(map(str, simulate)), check=True, stdout=subprocess.DEVNULL)
    panel = source / "panel.vcf.gz"
    names = tasks.samples_of(panel)
    targets = tasks.draw(names, num_targets, seed)
    others = sorted(set(names) - set(targets))
    tasks.cut(panel, folder / "ref.vcf.gz", others, filters=VARYING)
    typed = (source / "typed.tsv").read_text(encoding="utf-8").splitlines()
    wanted = round(TYPED_PER_MB * length / 1e6)
    listed = folder / "typed.tsv"
    listed.write_text("\n".join(tasks.draw(typed, wanted, seed)) + "\n", encoding="utf-8")
    sites = ("-T", str(listed), "-m2", "-M2")
    tasks.cut(panel, folder / "target.vcf.gz", targets, filters=sites)
    tasks.cut(panel, folder / "truth.vcf.gz", targets, filters=("-m2", "-M2"))
    shutil.copy(source / "genetic.map", folder / "beagle.map")
    shutil.copy(source / "samples.tsv", folder / "samples.tsv")
    shutil.rmtree(folder / "work", ignore_errors=True)
    note.write_text(facts, encoding="utf-8")
    return tasks.task_in(folder)
