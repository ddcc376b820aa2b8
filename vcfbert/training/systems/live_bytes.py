"""Which tensors live when: every storage born in a block, with its part and its end."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ALIVE = -1


@dataclass
class Storage:
    """One storage that was born.

    part   what was running then
    shape  of the tensor that brought it
    birth  time by the counter of births and deaths; `death` likewise, ALIVE while it lives
    """

    part: str
    shape: tuple[int, ...]
    dtype: str
    size: int
    birth: int
    death: int = ALIVE

    def is_alive(self, time: int) -> bool:
        """True where it had been born and had not died."""
        return self.birth <= time and (self.death == ALIVE or self.death > time)


class LiveBytes(TorchDispatchMode):
    """Follows the bytes of every storage born inside the block for as long as it lives.

    time       counts births and deaths
    peak       most bytes at once, at the time `peak_time`
    part       what storages are written down under
    """

    def __init__(self) -> None:
        """Start from nothing."""
        super().__init__()
        self.time = 0
        self.peak = 0
        self.peak_time = 0
        self.part = "inputs"
        self.born: list[Storage] = []
        self._now = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def alive_at(self, time: int) -> list[Storage]:
        """The storages that lived at a time."""
        return [storage for storage in self.born if storage.is_alive(time)]

    @contextmanager
    def naming_parts(self, parts: Iterable[tuple[str, nn.Module]]) -> Iterator[None]:
        """Write storages down under the module that is running."""
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
        """Run one operator and look at what it returned."""
        before = {_key(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and _key(leaf) not in before:  # a view brings nothing new
                self._add(leaf)
        return out

    def _add(self, tensor: Tensor) -> None:
        held = tensor.untyped_storage()
        key = held._cdata
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


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
