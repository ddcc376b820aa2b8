"""Encoding of windows by several processes, each with its own device.

Each process writes its windows into the folder of an unfinished store. An embedding depends on the
encoder, its window and the kind of device alone, so the bytes are those that one process writes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vcfbert.errors import DeviceError, VcfbertError
from vcfbert.model.embedding import Encoder
from vcfbert.storage.zarr import embeddings, stores
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.training import devices
from vcfbert.training.systems import encoding

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
    names = names[:num_windows]
    workers: list[BaseProcess] = []
    readers: list[Connection] = []
    try:
        for number, name in enumerate(names):
            # A pipe each: a queue would leave semaphores behind if this process is killed.
            reader, writer = context.Pipe(duplex=False)
            windows = range(number, num_windows, len(names))
            worker = context.Process(
                target=_work,
                args=(task, name, windows, folder, writer, os.getpid()),
                name=f"encode-refs {name}",
                daemon=True,
            )
            workers.append(worker)
            readers.append(reader)
            worker.start()
            writer.close()  # so that the pipe ends if the worker does
        for _ in _messages(workers, readers, num_windows):
            advance()
    finally:
        _stop(workers)


def _messages(
    workers: list[BaseProcess], readers: list[Connection], num_windows: int
) -> Iterator[None]:
    """Yield once for each window that is written.

    Raises the error that a worker sends; DeviceError if one ends without sending all.
    """
    left = [len(range(number, num_windows, len(workers))) for number in range(len(workers))]
    while any(left):
        ready = wait([reader for reader, windows in zip(readers, left, strict=True) if windows])
        for number, reader in enumerate(readers):
            if reader not in ready:
                continue
            try:
                message = reader.recv()
            except EOFError as error:
                workers[number].join()
                raise _ended(len(workers), workers[number].exitcode) from error
            if message is not _DONE:
                raise message
            left[number] -= 1
            yield


def _ended(num_workers: int, exitcode: int | None) -> DeviceError:
    return DeviceError(
        f"A process of encode-refs --devices {num_workers} ended with exit code {exitcode}. If the "
        "system stopped it for lack of memory, use fewer --devices. A Python script of yours must "
        'call encode_refs below if __name__ == "__main__":, because each process imports the '
        "script."
    )


def _stop(workers: list[BaseProcess]) -> None:
    for worker in workers:
        if worker.pid is not None:
            worker.terminate()
            worker.join()


def _work(
    task: Task, device: str, windows: range, folder: Path, messages: Connection, parent: int
) -> None:
    """Encode some windows; sends _DONE after each, or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that Python frees what it holds
    try:
        for _ in _written(task, device, windows, folder):
            messages.send(_DONE)
            if os.getppid() != parent:  # it was killed, so the store will not be finished
                return
    except BrokenPipeError:  # the same
        return
    except VcfbertError as error:
        messages.send(error)
    except (RuntimeError, OSError) as error:
        messages.send(DeviceError(f"Encoding on {device} failed: {error}"))


def _written(task: Task, device: str, windows: range, folder: Path) -> Iterator[int]:
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
