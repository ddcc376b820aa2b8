"""Errors as one line on stderr and an exit code: 1 explained, 2 usage, 130 or 143 stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from vcfbert.errors import VcfbertError

EXPLAINED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells count
TERMINATED = 143  # 128 + SIGTERM, with which schedulers and `timeout` stop a command


class _TerminationError(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C: unfinished files are removed."""


@contextmanager
def reporting_errors(*, as_json: bool = False) -> Iterator[None]:
    """Turn errors that the user can fix into a message, as JSON if asked, and an exit code."""
    try:
        with _raising_on_termination():
            yield
        if sys.stdout is not None:  # closed when the process was started
            sys.stdout.flush()  # so that a closed pipe shows here and not at exit
    except VcfbertError as error:
        raise _fail(str(error), as_json=as_json) from error
    except BrokenPipeError as error:
        # The reader closed the pipe. Python flushes stdout again at exit: give it a sink.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXPLAINED) from error
    except OSError as error:
        raise _fail(_of_system(error), as_json=as_json) from error
    except MemoryError as error:
        raise _fail(
            "Not enough memory. vcfbert audit-dims shows which batch and preset fit.",
            as_json=as_json,
        ) from error
    except KeyboardInterrupt as error:
        kept = "no unfinished file was kept under its final name"
        _tell("interrupted", kept, as_json=as_json)
        was_terminated = isinstance(error, _TerminationError)
        raise typer.Exit(TERMINATED if was_terminated else INTERRUPTED) from error


@contextmanager
def _raising_on_termination() -> Iterator[None]:
    """Let SIGTERM unwind the command instead of ending the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return

    def unwind(number: int, frame: FrameType | None) -> None:
        raise _TerminationError

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message: str, *, as_json: bool) -> typer.Exit:
    _tell("error", message, as_json=as_json)
    return typer.Exit(EXPLAINED)


def _tell(event: str, message: str, *, as_json: bool) -> None:
    line = json.dumps({"event": event, "text": message}) if as_json else f"{event}: {message}"
    typer.echo(line, err=True)


def _of_system(error: OSError) -> str:
    """The error of the operating system, with the path."""
    reason = error.strerror or str(error)
    if error.filename is None:
        return f"{reason}."
    return f"{reason}: {error.filename}. Check the path and its permissions."


def print_lines(lines: list[str]) -> None:
    """Print results on stdout."""
    for line in lines:
        typer.echo(line)
