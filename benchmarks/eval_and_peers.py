"""Print the scores of a run and of other imputation programs on the same hidden sites.

    python benchmarks/eval_and_peers.py RUN_FOLDER PEERS_FOLDER TASK

RUN_FOLDER/eval contains the report of `vcfbert eval` whose name contains TASK. PEERS_FOLDER
contains one TASK.PROGRAM.json per program, written by an independent scorer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

METRICS = {"F1": "f1", "r2": "r2", "IQS_varying": "iqs", "NRC": "nrc"}


def main() -> None:
    run, peers, task = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    reports = sorted((run / "eval").glob(f"*{task}*.json"))
    if not reports:
        sys.exit(f"error: no report of {task} in {run / 'eval'}. Run vcfbert eval first.")
    systems = _ours(json.loads(reports[-1].read_text(encoding="utf-8")))
    for path in sorted(peers.glob(f"{task}.*.json")):
        systems[path.name.split(".")[1]] = json.loads(path.read_text(encoding="utf-8"))
    _print(systems)


def _ours(report: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Our report with the scorer's names of metrics."""
    return {
        f"vcfbert: {system}": {
            group: {"sites": scores["sites"], **{k: scores[v] for k, v in METRICS.items()}}
            for group, scores in groups.items()
        }
        for system, groups in report["systems"].items()
    }


def _print(systems: dict[str, dict[str, dict[str, float]]]) -> None:
    print(
        f"\n{'sites by MAF':16}{'sites':>8}  {'system':32}" + "".join(f"{m:>12}" for m in METRICS)
    )
    groups = dict.fromkeys(group for scores in systems.values() for group in scores)
    for group in groups:
        for system, scores in systems.items():
            if group in scores:
                _print_row(group, system, scores[group])


def _print_row(group: str, system: str, scores: dict[str, float]) -> None:
    if not scores["sites"]:
        return
    cells = "".join("           -" if scores[m] is None else f"{scores[m]:12.4f}" for m in METRICS)
    print(f"{group:16}{scores['sites']:8,}  {system:32}{cells}")


if __name__ == "__main__":
    main()
