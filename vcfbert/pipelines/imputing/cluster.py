"""`impute` on Dask workers: the parts of a plan run on a cluster and are joined here.

A part is a function of the plan and its number, and two workers that make it write the same bytes
under one name. So a worker that dies, or returns twice, loses nothing and changes nothing. What is
finished stays in the folder of parts: after a kill, the same command continues from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcfbert import plurals, versions
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.imputing import contig_messages, impute, separate_parts
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.imputing.qc_files import ImputeSummary
from vcfbert.pipelines.imputing.separate_parts import ImputationPlan
from vcfbert.progress import Progress, Silent
from vcfbert.storage.zarr.workspace import Workspace

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

PARTS_PER_WORKER = 4
"""Fewest parts for each worker if there are enough samples, so that all workers end together."""

FEWEST_SAMPLES = 8
"""Of a part: each reads the references of its chunk once."""

MOST_TRIES = 20
"""How often a part is tried if its workers die."""

CONNECTION_SECONDS = 20

_INSTALL = "Install it with: pip install 'vcfbert[cluster]'"


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where parts run.

    workers    number of processes to start on this machine, of one thread each
    scheduler  address of a Dask scheduler that exists, such as tcp://host:8786
    """

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.workers is not None and self.scheduler is not None:
            raise ConfigError(
                "--workers and --scheduler cannot be combined: the scheduler has its own workers. "
                "Give one of them."
            )
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers must be at least 1, got {self.workers}.")


@contextmanager
def opened(options: ClusterOptions) -> Iterator[Cluster]:
    """Yield a cluster for all imputations of a command; nothing is started before the first.

    Processes that were started here end with the block.
    """
    with ExitStack() as stack:
        yield Cluster(options, stack)


class Cluster:
    """Imputes on workers, to which the first imputation connects and all others keep."""

    def __init__(self, options: ClusterOptions, stack: ExitStack) -> None:
        """The stack closes the connection."""
        self._options = options
        self._stack = stack
        self._client: Client | None = None

    def impute(
        self,
        workspace: Workspace,
        target: Path,
        out: Path,
        options: ImputeOptions,
        *,
        progress: Progress,
        overwrite: bool = False,
    ) -> ImputeSummary:
        """Impute on the workers; the output is that of `impute.impute`.

        Raises as `impute.impute` does, and StoreError if the scheduler cannot be reached or runs
        another version.
        """
        impute.check_output(target, out, options, overwrite=overwrite)
        with contig_messages.each_warning_once():  # the target is opened twice
            client = self._connection()
            plan = _planned(client, workspace, target, out, options, progress)
            _run_parts(client, plan, progress)
            return separate_parts.join(
                plan, Path(plan.folder), out, progress=progress, threads=options.threads,
                overwrite=overwrite, keep_parts=options.keep_parts,
            )  # fmt: skip

    def _connection(self) -> Client:
        if self._client is None:
            self._client = self._stack.enter_context(_connected(self._options))
        return self._client


def _planned(
    client: Client,
    workspace: Workspace,
    target: Path,
    out: Path,
    options: ImputeOptions,
    progress: Progress,
) -> ImputationPlan:
    """A plan with enough parts for the workers, which are named in a note."""
    num_workers = _require_same_version(client)
    plan = separate_parts.make(
        workspace, target, out, options, progress,
        fewest_parts=PARTS_PER_WORKER * num_workers, fewest_samples=FEWEST_SAMPLES,
    )  # fmt: skip
    text = (
        f"{plurals.of(num_workers, 'worker')}, {plurals.of(len(plan.parts), 'part')}; "
        f"{client.dashboard_link}"
    )
    contig = None if plan.contig_store is None else plan.made["contigs"][0]
    for message in contig_messages.named(contig, [text]):
        progress.note(message)
    return plan


@contextmanager
def _connected(cluster: ClusterOptions) -> Iterator[Client]:
    """A client of the scheduler, or of processes that are started here."""
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ConfigError(f"--workers and --scheduler need Dask. {_INSTALL}") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it logs every worker that dies
    with ExitStack() as stack:
        if cluster.scheduler is None:
            stack.enter_context(
                dask.config.set({"distributed.scheduler.allowed-failures": MOST_TRIES})
            )
            place: Any = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=cluster.workers, threads_per_worker=1, processes=True,
                    host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            )  # fmt: skip
        else:
            place = cluster.scheduler
        try:
            client = distributed.Client(place, timeout=CONNECTION_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            raise StoreError(
                f"There is no Dask scheduler at {cluster.scheduler} ({error}). Start one with: "
                "dask scheduler; or use processes of this machine with --workers N."
            ) from error
        yield stack.enter_context(client)


def _require_same_version(client: Client) -> int:
    """How many workers there are. Raises StoreError if there is none, or one of another version."""
    try:
        client.wait_for_workers(1, timeout=CONNECTION_SECONDS)
    except TimeoutError as error:
        raise StoreError(
            f"The Dask scheduler at {client.scheduler.address} has no worker. Start one with: "
            f"dask worker {client.scheduler.address}"
        ) from error
    found = client.run(_version, on_error="return")
    for address, version in found.items():
        if version != versions.__version__:
            has = f"vcfbert {version}" if isinstance(version, str) else f"no vcfbert ({version})"
            raise StoreError(
                f"The worker {address} has {has}, and this is {versions.__version__}. Install the "
                "same version on all machines."
            )
    return len(found)


def _version() -> str:
    return versions.__version__


def _run_parts(client: Client, plan: ImputationPlan, progress: Progress) -> None:
    """Run all parts that are not finished; the first error of a part ends all."""
    import distributed

    progress.start("imputing", sum(part.stop - part.first for part in plan.parts))
    shared = client.scatter(plan, broadcast=True, hash=False)
    numbers = range(1, len(plan.parts) + 1)
    made = {_submit(client, shared, number): number for number in numbers}
    tries = dict.fromkeys(numbers, 1)
    waiting = distributed.as_completed(list(made))
    for future in waiting:
        number = made[future]
        try:
            future.result()
        except (distributed.KilledWorker, distributed.client.FutureCancelledError):
            if tries[number] == MOST_TRIES:
                raise StoreError(
                    f"Part {number} was tried {MOST_TRIES} times, and its worker died each time: "
                    "perhaps it has too little memory. Give --memory, or fewer workers. Finished "
                    f"parts are kept in {plan.folder}."
                ) from None
            tries[number] += 1
            again = _submit(client, plan, number)  # all workers that had `shared` may have died
            made[again] = number
            waiting.add(again)
            continue
        part = plan.parts[number - 1]
        progress.advance(part.stop - part.first)


def _submit(client: Client, plan: Any, number: int) -> Any:
    return client.submit(_run_part, plan, number, pure=False)


def _run_part(plan: ImputationPlan, number: int) -> int:
    """Make one part on a worker."""
    with _SILENCE:  # the client has shown the warnings
        _HELD.of(plan).run(number)
    return number


class _Silence:
    """Shows errors only, while any thread of this process is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = logging.NOTSET

    def __enter__(self) -> None:
        ours = logging.getLogger("vcfbert")
        with self._lock:
            if self._inside == 0:
                self._level = ours.level
                ours.setLevel(logging.ERROR)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                logging.getLogger("vcfbert").setLevel(self._level)


_SILENCE = _Silence()


class _Held(threading.local):
    """The imputation that this thread of a worker has open, so that each part need not open it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._key: Any = None
        self._steps: separate_parts.OpenPlan | None = None

    def of(self, plan: ImputationPlan) -> separate_parts.OpenPlan:
        """The opened plan; another one is closed."""
        key = plan.made, plan.folder, plan.parts
        if self._steps is None or key != self._key:
            self._stack.close()
            self._steps, self._stack = None, ExitStack()
            opened = separate_parts.OpenPlan.of(plan, threads=1, progress=Silent())
            self._steps, self._key = self._stack.enter_context(opened), key
        return self._steps


_HELD = _Held()
