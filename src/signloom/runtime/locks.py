"""One process a folder: two that write into the same run would delete each other's unfinished files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signloom.errors import InputError


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` (made if need be) for this process; it is free again when the process ends, however it ends.

    Raises InputError when another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"'{folder}' is being written by another signloom process; wait for it or choose another --out"
            ) from error
        yield
    finally:
        os.close(handle)
