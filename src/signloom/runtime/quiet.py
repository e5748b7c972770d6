"""Native libraries that write to the terminal by themselves, kept from it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_messages_dropped() -> Iterator[None]:
    """What native code writes to standard error is dropped meanwhile; what Python writes there is not."""
    try:
        number = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # somebody has taken it: there is no terminal to be kept clean
        yield
        return
    before = sys.stderr
    before.flush()
    kept = os.dup(number)
    dropped = os.open(os.devnull, os.O_WRONLY)
    sys.stderr = io.TextIOWrapper(io.FileIO(kept, "w", closefd=False), errors="backslashreplace", line_buffering=True)
    os.dup2(dropped, number)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = before
        os.dup2(kept, number)
        os.close(kept)
        os.close(dropped)
