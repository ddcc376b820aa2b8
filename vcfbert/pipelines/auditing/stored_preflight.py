"""`audit-dims --strict`: the pre-flight checks of `train`, run on the stores of a workspace."""

from __future__ import annotations

from contextlib import ExitStack

from vcfbert.config import Config
from vcfbert.errors import ConfigError, VcfbertError
from vcfbert.pipelines.systems import preflight
from vcfbert.pipelines.systems.preflight import Preflight
from vcfbert.pipelines.systems.start import TrainingStart
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.systems import alignment
from vcfbert.training.systems.alignment import FeatureSpace


def check(settings: Config, workspace: Workspace, run: str | None) -> Preflight:
    """Run the eight checks on what `train` would start with; leaves no files behind.

    run  check what `train --resume` of this run would continue with; None checks a new run

    Raises ConfigError for mosaic, which has no such checks, StoreError if the run is missing.
    """
    if settings.system != "retrieval":
        raise ConfigError(
            f"--strict checks the stores of systems trained on windows, but {settings.preset} is "
            f"of {settings.system}, which checks its inputs when it reads them. Leave out --strict "
            "or choose another preset."
        )
    if run is not None:
        runs.folder_of(workspace, run)
    with ExitStack() as stack:
        return preflight.run(_start(settings, workspace, run, stack))


def feature_space(
    settings: Config, workspace: Workspace, run: str | None
) -> tuple[FeatureSpace | None, str]:
    """Compare queries with their neighbours; None and the reason if that is not possible.

    run  embed with the last weights of this run; None with those that a new run starts with
    """
    if settings.retrieval.space == "none":
        return None, "this system retrieves nothing"
    with ExitStack() as stack:
        bench = _start(settings, workspace, run, stack)
        try:
            return alignment.measure(bench.state.model, bench.probed_batches(), bench.device), ""
        except VcfbertError as error:
            return None, str(error)


def _start(
    settings: Config, workspace: Workspace, run: str | None, stack: ExitStack
) -> TrainingStart:
    """What `train` would open."""
    folder = workspace.run(run or settings.preset)
    return TrainingStart(settings, workspace, folder, stack, is_resumed=run is not None)
