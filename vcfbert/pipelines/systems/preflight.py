"""The eight checks that `train` runs on the real stores before it starts.

`audit-dims --strict` runs the same checks on a workspace. A check that cannot open what it needs
fails; none is skipped.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from vcfbert.errors import StoreError, VcfbertError
from vcfbert.pipelines.systems import preflight_network, preflight_stores
from vcfbert.pipelines.systems.preflight_inputs import PreflightInputs
from vcfbert.progress import Progress

ALIGNMENT = "data alignment"
CHECKS: dict[str, Callable[[PreflightInputs], str]] = {
    "dataset": preflight_stores.dataset,
    "pre-encoding": preflight_stores.pre_encoding,
    "FAISS retrieval": preflight_stores.retrieval,
    "batch collation": preflight_network.collation,
    "model forward and backward": preflight_network.step,
    "memory": preflight_network.memory,
    "embedding refresh": preflight_network.refresh,
    ALIGNMENT: preflight_network.alignment,
}
"""Each returns its figures, or raises a VcfbertError with the problem and the remedy."""


@dataclass(frozen=True)
class Outcome:
    """Result of one check.

    figures  what was measured, or what is wrong
    """

    name: str
    passed: bool
    figures: str
    seconds: float

    def line(self) -> str:
        """One line of the report."""
        word = "passed" if self.passed else "FAILED"
        return f"{word}  {self.name:28}{self.figures} ({self.seconds:.1f} s)"


@dataclass(frozen=True)
class Preflight:
    """Results of all checks."""

    outcomes: list[Outcome]

    @property
    def failed(self) -> list[Outcome]:
        """The checks that failed."""
        return [outcome for outcome in self.outcomes if not outcome.passed]

    def lines(self) -> list[str]:
        """The report as text."""
        seconds = sum(outcome.seconds for outcome in self.outcomes)
        passed = len(self.outcomes) - len(self.failed)
        return [
            *(outcome.line() for outcome in self.outcomes),
            f"{passed} of {len(self.outcomes)} checks passed in {seconds:.1f} s.",
        ]

    def to_json(self) -> str:
        """The report as JSON."""
        checks = [dataclasses.asdict(outcome) for outcome in self.outcomes]
        return json.dumps({"passed": not self.failed, "checks": checks}, indent=1)

    def raise_mismatch(self) -> None:
        """Raise StoreError naming every check that failed."""
        if self.failed:
            raise refusal(self.failed)


def refusal(failed: list[Outcome]) -> StoreError:
    """The error that these checks failed, with the reason of each."""
    named = "; ".join(f"{outcome.name}: {outcome.figures}" for outcome in failed)
    return StoreError(f"{len(failed)} of {len(CHECKS)} pre-flight checks failed. {named}")


def before_training(inputs: PreflightInputs, progress: Progress) -> None:
    """Run every check and raise StoreError if one fails.

    With `masks.align` off the user has asked for misaligned data, so that failure is only reported.
    """
    for outcome in (done := run(inputs)).outcomes:
        progress.note(f"pre-flight: {outcome.line()}")
    failed = [one for one in done.failed if inputs.settings.masks.align or one.name != ALIGNMENT]
    if failed:
        raise refusal(failed)


def run(inputs: PreflightInputs) -> Preflight:
    """Run every check; leaves nothing on the disk.

    If the check of the panel fails, all others fail with it. Checks that fail for the same reason,
    such as a store that cannot be opened, refer to the first of them.
    """
    outcomes: list[Outcome] = []
    causes: dict[str, str] = {}
    for name, check in CHECKS.items():
        begun = time.perf_counter()
        try:
            if outcomes and not outcomes[0].passed:
                raise StoreError(outcomes[0].figures)  # of the panel, which every check reads
            figures, passed = check(inputs), True
        except (VcfbertError, OSError) as error:
            figures, passed = str(error), False
            first = causes.setdefault(figures, name)
            if first != name:
                figures = f"not run, because of what the check {first!r} found"
        outcomes.append(Outcome(name, passed, figures, time.perf_counter() - begun))
    return Preflight(outcomes)
