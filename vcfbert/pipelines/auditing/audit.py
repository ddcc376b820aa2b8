"""`vcfbert audit-dims`: shapes, parameters, memory and disk of a system, and checks of its stores.

Letters as in docs/glossary.md: S sites, N samples, W windows, L sites in a window, R reference
haplotypes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from vcfbert.config import Config
from vcfbert.domain import sites as site_tables
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.auditing import audit_mosaic, estimates, inventory, stored_preflight
from vcfbert.pipelines.auditing.audit_mosaic import MosaicReport
from vcfbert.pipelines.auditing.audit_report import AuditReport, PanelSize
from vcfbert.pipelines.systems import store_checks
from vcfbert.pipelines.systems.preflight import Preflight
from vcfbert.pipelines.systems.store_checks import Check
from vcfbert.storage.zarr import schema
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.systems import memory

CHR20 = PanelSize(
    sites=25_000, samples=2_504, references=4_508, windows=26, length=1030,
    source="the size of the chr20 example",
)  # fmt: skip
"""Sizes that are assumed without a panel."""

_GPU_MEMORY_GB = 80.0


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """Options of `audit-dims`.

    run            run to check; None is the run named after the preset
    gpu_memory_gb  memory of the GPU that training should fit into
    haplotypes     R; None is the panel's, or that of the chr20 example
    windows        W; likewise
    window_size    L; likewise
    strict         run only the pre-flight checks of `train`, on the stores of the workspace
    """

    run: str | None = None
    gpu_memory_gb: float = _GPU_MEMORY_GB
    haplotypes: int | None = None
    windows: int | None = None
    window_size: int | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        sizes = {name: getattr(self, name) for name in ("haplotypes", "windows", "window_size")}
        for name, value in sizes.items():
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.strict and (any(sizes.values()) or self.gpu_memory_gb != _GPU_MEMORY_GB):
            raise ConfigError(
                "--strict checks existing stores on this machine, so sizes and GPU memory cannot "
                "be set. Leave them out."
            )
        if not self.gpu_memory_gb > 0:
            raise ConfigError(f"gpu_memory_gb must be above 0, got {self.gpu_memory_gb}")


def audit(
    settings: Config, workspace: Workspace | None, options: AuditOptions
) -> AuditReport | MosaicReport | Preflight:
    """Audit a system; reads the stores of the workspace, writes nothing.

    workspace  None, or a folder without a panel, if there are no stores to check

    Raises ConfigError if `strict` does not suit the system, StoreError if `options.run` is given
    and there is no panel or no such run.
    """
    if options.strict:
        return stored_preflight.check(settings, workspace or Workspace(Path()), options.run)
    size = _panel_size(workspace, options)
    if settings.system == "retrieval":
        return _of_retrieval(settings, size, workspace, options)
    counts = {"S": size.sites, "N": size.samples, "R": size.references}
    return audit_mosaic.report(settings, workspace, options.run, size=counts, source=size.source)


def _panel_size(workspace: Workspace | None, options: AuditOptions) -> PanelSize:
    """Sizes of the panel, or of the chr20 example, with those of the options replaced."""
    known = CHR20
    if workspace is not None and workspace.panel.exists():
        with open_panel(workspace.panel) as panel:
            known = PanelSize(
                sites=len(panel.sites),
                samples=len(panel.samples),
                references=len(panel.samples.haplotypes(site_tables.TRAIN)),
                windows=len(panel.windows),
                length=panel.length,
                source=str(workspace.panel),
            )
    sizes = {
        "references": options.haplotypes,
        "windows": options.windows,
        "length": options.window_size,
    }
    given = {name: value for name, value in sizes.items() if value is not None}
    if not given:
        return known
    return dataclasses.replace(known, **given, source=f"{known.source}, changed by options")


def _of_retrieval(
    settings: Config, size: PanelSize, workspace: Workspace | None, options: AuditOptions
) -> AuditReport:
    """Sizes of a system of retrieval, and checks of the stores if there is a panel."""
    found: list[Check] = []
    versions, space, unmeasured = None, None, "there is no panel"
    if workspace is not None and workspace.panel.exists():
        found = store_checks.of_workspace(settings, workspace, options.run)
        versions = inventory.take(settings, workspace)
        space, unmeasured = stored_preflight.feature_space(settings, workspace, options.run)
    elif workspace is not None and options.run is not None:
        raise StoreError.missing(workspace.panel, made_by=schema.MADE_BY["panel"])
    return AuditReport(
        settings=settings,
        size=size,
        shapes=estimates.shapes(settings, size),
        parameters=memory.count_parameters(settings.model),
        block_parameters=12 * settings.model.width**2 * settings.model.num_layers,
        memory=estimates.memory_report(settings, size.length, options.gpu_memory_gb),
        disk=estimates.disk_report(settings, size),
        checks=found,
        inventory=versions,
        feature_space=space,
        unmeasured=unmeasured,
    )
