"""Encoding of windows by several processes, each with its own device.

Each process writes its windows into the folder of an unfinished store. An embedding depends on the
encoder, its window and the kind of device alone, so the bytes are those that one process writes.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vcfbert.errors import DeviceError, VcfbertError
from vcfbert.model.embedding import Encoder
from vcfbert.storage.zarr import embeddings, stores
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training import devices
from vcfbert.training.systems import encoding

_SECONDS = 0.2  # between two looks at whether all workers are alive
_DONE = None


@dataclass(frozen=True)
class Task:
    """What every worker encodes.

    weights               of the encoder, by name
    reference_haplotypes  (R,) rows of the dense layout
    is_masked             (W, L) of the dense layout; None writes codebooks alone
    """

    panel: Path
    weights: dict[str, NDArray[np.float32]]
    reference_haplotypes: NDArray[np.int64]
    is_masked: NDArray[np.bool_] | None


def devices_for(name: str, count: int) -> list[str]:
    """Names of `count` devices of a kind; DeviceError if there are fewer GPUs.

    name  auto, cpu or cuda, as in `devices.choose_device`

    >>> devices_for("cpu", 2)
    ['cpu', 'cpu']
    """
    kind = devices.choose_device(name).type
    if kind == "cpu":
        return [kind] * count
    found = torch.cuda.device_count()
    if count > found:
        raise DeviceError(
            f"--devices {count}: PyTorch finds {found} CUDA devices on this machine. Pass "
            f"--devices {found}, or --device cpu."
        )
    return [f"{kind}:{number}" for number in range(count)]


def task_of(
    panel: Path,
    encoder: Encoder,
    reference_haplotypes: NDArray[np.int64],
    is_masked: NDArray[np.bool_] | None,
) -> Task:
    """The task of an encoder in eval mode on the CPU."""
    # Arrays, because the shared memory of PyTorch's tensors would have to outlive this process.
    weights = {name: value.float().cpu().numpy() for name, value in encoder.state_dict().items()}
    return Task(panel, weights, reference_haplotypes, is_masked)


def encode(
    task: Task,
    names: list[str],
    num_windows: int,
    folder: Path,
    *,
    advance: Callable[[], None],
) -> None:
    """Write all windows into the folder of an unfinished store.

    names    a device for each worker
    advance  called after each window

    Raises the VcfbertError of a worker that fails, DeviceError if one ends without a message. When
    this function returns or raises, no worker is left.
    """
    context = multiprocessing.get_context("spawn")
    messages: Queue[Any] = context.Queue()
    names = names[:num_windows]
    workers: list[BaseProcess] = [
        context.Process(
            target=_work,
            args=(
                task,
                name,
                range(number, num_windows, len(names)),
                folder,
                messages,
                os.getpid(),
            ),
            name=f"encode-refs {name}",
            daemon=True,
        )
        for number, name in enumerate(names)
    ]
    try:
        for worker in workers:
            worker.start()
        remaining = num_windows
        while remaining:
            message = _next(messages, workers)
            if message is not _DONE:
                raise message
            remaining -= 1
            advance()
    finally:
        _stop(workers)


def _next(messages: Queue[Any], workers: list[BaseProcess]) -> Any:
    """The next message; DeviceError if a worker has ended without sending one."""
    while True:
        ended = [worker for worker in workers if worker.exitcode not in (None, 0)]
        try:
            return messages.get(timeout=_SECONDS)
        except queue.Empty:
            if ended:
                raise DeviceError(
                    f"A process of encode-refs --devices {len(workers)} ended with exit code "
                    f"{ended[0].exitcode}. If the system stopped it for lack of memory, use fewer "
                    "--devices."
                ) from None


def _stop(workers: list[BaseProcess]) -> None:
    for worker in workers:
        if worker.pid is not None:
            worker.terminate()
            worker.join()


def _work(
    task: Task, device: str, windows: range, folder: Path, messages: Queue[Any], parent: int
) -> None:
    """Encode some windows; sends _DONE after each, or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    try:
        for _ in _written(task, device, windows, folder):
            messages.put(_DONE)
            if os.getppid() != parent:  # it was killed, so the store will not be finished
                return
    except VcfbertError as error:
        messages.put(error)
    except (RuntimeError, OSError) as error:
        messages.put(DeviceError(f"Encoding on {device} failed: {error}"))


def _written(task: Task, device: str, windows: range, folder: Path) -> Any:
    """Yield after each window."""
    encoder = Encoder(task.weights["token.weight"].shape[1])
    encoder.load_state_dict({name: torch.tensor(value) for name, value in task.weights.items()})
    encoder.eval().to(device)
    with (
        open_panel(task.panel) as panel,
        stores.open_unfinished(folder) as root,
        devices.one_thread(),
    ):
        for window in windows:
            embeddings.write_window(
                root,
                window,
                encoding.window_codebook(encoder, panel, window),
                lambda window, rows: panel.tokens(window, task.reference_haplotypes[rows]),
                None if task.is_masked is None else task.is_masked[window],
            )
            yield window
