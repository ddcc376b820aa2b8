"""The end of the process, without the third of a second in which Python frees its memory."""

from __future__ import annotations

import logging
import os
import sys
import threading

_WITH_PROCESSES = ("torch", "distributed", "multiprocessing.util")
"""Modules that may have started processes or threads, whose end is left to them."""


def leave(code: int) -> None:
    """End the process at once if there is only memory to free; return if there is more to do.

    Everything that was opened is closed by then, except the standard streams.
    """
    threads = (one for one in threading.enumerate() if one is not threading.main_thread())
    if any(not one.daemon for one in threads) or any(
        map(sys.modules.__contains__, _WITH_PROCESSES)
    ):
        return
    logging.shutdown()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # closed when the process was started
                stream.flush()
    except (OSError, ValueError):  # a closed pipe, which Python reports
        return
    os._exit(code)
