"""Bytes of the tensors that are alive during a computation, by part of the network."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

# PyTorch has no public module for it, but "Extending PyTorch" documents this import.
from torch.utils._python_dispatch import TorchDispatchMode

ALIVE = -1


@dataclass
class Storage:
    """One storage of a tensor.

    part   part of the network that allocated it
    shape  of its first tensor
    birth  time of the allocation, counted in allocations and releases
    death  time of the release; ALIVE before
    """

    part: str
    shape: tuple[int, ...]
    dtype: str
    size: int
    birth: int
    death: int = ALIVE

    def is_alive(self, time: int) -> bool:
        """True from allocation to release."""
        return self.birth <= time and (self.death == ALIVE or self.death > time)


class LiveBytes(TorchDispatchMode):
    """Follows every storage that is allocated inside the block until its release.

    time       number of allocations and releases so far
    peak       largest number of live bytes, at the time `peak_time`
    part       part of the network that new storages are recorded under
    """

    def __init__(self) -> None:
        """Start with nothing allocated."""
        super().__init__()
        self.time = 0
        self.peak = 0
        self.peak_time = 0
        self.part = "inputs"
        self.born: list[Storage] = []
        self._now = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def alive_at(self, time: int) -> list[Storage]:
        """The storages alive at a time."""
        return [storage for storage in self.born if storage.is_alive(time)]

    @contextmanager
    def naming_parts(self, parts: Iterable[tuple[str, nn.Module]]) -> Iterator[None]:
        """Record storages under the innermost of these modules that is running."""
        outer: list[str] = []
        handles = []

        def enter(name: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any) -> None:
                outer.append(self.part)
                self.part = name

            return hook

        def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            self.part = outer.pop()

        for name, part in parts:
            handles.append(part.register_forward_pre_hook(enter(name)))
            handles.append(part.register_forward_hook(leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator and record the storages it allocates."""
        before = {_key(tensor) for tensor in _tensors_in((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors_in(out):
            if _key(tensor) not in before:  # a view allocates nothing
                self._add(tensor)
        return out

    def _add(self, tensor: Tensor) -> None:
        held, key = tensor.untyped_storage(), _key(tensor)
        if key in self._known:
            return
        self.time += 1
        dtype = str(tensor.dtype).removeprefix("torch.")
        storage = Storage(self.part, tuple(tensor.shape), dtype, held.nbytes(), self.time)
        self.born.append(storage)
        self._known[key] = weakref.ref(held, lambda _: self._remove(key, storage))
        self._now += storage.size
        if self._now > self.peak:
            self.peak, self.peak_time = self._now, self.time

    def _remove(self, key: int, storage: Storage) -> None:
        self.time += 1
        storage.death = self.time
        self._now -= storage.size
        del self._known[key]


def _tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list, dict)):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _tensors_in(value)


def _key(tensor: Tensor) -> int:
    return id(tensor.untyped_storage())  # one object for all views, alive as long as the storage
