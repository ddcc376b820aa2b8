"""Batches made in a background thread while the network computes.

This is a thread and not a process because FAISS hangs if it is searched after a fork. Its search,
NumPy's indexing and zstd all release the interpreter lock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from vcfbert.retrieval.index import search_in_one_thread
from vcfbert.training.systems.schedule import Work

AHEAD = 2
Made = TypeVar("Made")


@dataclass(frozen=True)
class Loaded(Generic[Made]):
    """A batch, or what else was made, and its cost.

    wait_seconds  time for which the consumer waited
    make_seconds  time for which the background thread worked
    """

    batch: Made
    wait_seconds: float
    make_seconds: float


def prefetch(plan: Sequence[Work], make: Callable[[Work], Made]) -> Iterator[Loaded[Made]]:
    """Yield the batches of a plan in order, making a few in advance."""

    def timed(work: Work) -> tuple[Made, float]:
        begun = time.perf_counter()
        return make(work), time.perf_counter() - begun

    waiting: deque[Future[tuple[Made, float]]] = deque()
    upcoming = iter(plan)
    with ThreadPoolExecutor(
        max_workers=1, thread_name_prefix="batches", initializer=search_in_one_thread
    ) as pool:
        try:
            for work in upcoming:
                waiting.append(pool.submit(timed, work))
                if len(waiting) > AHEAD:
                    yield _collect(waiting)
            while waiting:
                yield _collect(waiting)
        finally:
            for future in waiting:
                future.cancel()


def _collect(waiting: deque[Future[tuple[Made, float]]]) -> Loaded[Made]:
    begun = time.perf_counter()
    batch, make_seconds = waiting.popleft().result()
    return Loaded(batch, time.perf_counter() - begun, make_seconds)
