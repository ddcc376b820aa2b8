"""Notes and warnings about one contig of a genome, which name it, and those that concern all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vcfbert.pipelines.chunks import excluded_samples

_SOURCES = ("vcfbert.pipelines.imputing.impute", excluded_samples.__name__)
"""Loggers of warnings about samples, which are the same for all contigs."""


def named(contig: str | None, messages: Sequence[str]) -> list[str]:
    """Sentences that name their contig.

    contig  None if there is only one

    >>> named("chr5", ["2 records are strand flips; dropped."])
    ['Contig chr5: 2 records are strand flips; dropped.']
    """
    return [text if contig is None else f"Contig {contig}: {text}" for text in messages]


class _Once(logging.Filter):
    """Lets each message through once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """True for a message that is new."""
        text = record.getMessage()
        is_new = text not in self._seen
        self._seen.add(text)
        return is_new


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Log each warning of `impute` once in this block, however often a target is opened."""
    once = _Once()
    loggers = [logging.getLogger(name) for name in _SOURCES]
    for one in loggers:
        one.addFilter(once)
    try:
        yield
    finally:
        for one in loggers:
            one.removeFilter(once)
