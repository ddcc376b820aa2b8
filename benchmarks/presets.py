"""Parameters, memory of a training step and largest batch of each preset.

    python benchmarks/presets.py [GPU_MEMORY_IN_GB]

Prints the numbers of `vcfbert audit-dims --preset NAME` in one table; nothing is trained.
"""

from __future__ import annotations

import sys

from vcfbert.config import presets
from vcfbert.pipelines.auditing import audit, estimates
from vcfbert.pipelines.auditing.audit_report import PUBLISHED_PARAMETERS, USABLE_SHARE


def main() -> None:
    gpu_memory_gb = float(sys.argv[1]) if len(sys.argv) > 1 else 80.0
    print(f"GPU of {gpu_memory_gb:g} GB, of which {USABLE_SHARE:.0%} can be used")
    print(
        f"{'preset':13}{'parameters':>12}{'published':>11}{'24 D^2 layers':>15}"
        f"{'batch':>7}{'step, GB':>10}{'fits':>6}{'largest batch':>15}"
    )
    for name in presets.of_system("retrieval"):
        report = audit.audit(
            presets.get(name), None, audit.AuditOptions(gpu_memory_gb=gpu_memory_gb)
        )
        memory = report.memory
        print(
            f"{name:13}{sum(report.parameters.values()):12,}"
            f"{PUBLISHED_PARAMETERS.get(name, '-'):>11}{2 * report.block_parameters:15,}"
            f"{memory.batch_size:7}{memory.step.total / estimates.GB:10.2f}"
            f"{'yes' if memory.fits else 'no':>6}{memory.largest_batch:15,}"
        )


if __name__ == "__main__":
    main()
