"""One process a folder: two that write into the same run would delete each other's unfinished files."""

from __future__ import annotations

import errno
import fcntl
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from signloom.errors import InputError
from signloom.runtime.machine import cannot_write
from signloom.runtime.text import plain

P = ParamSpec("P")
T = TypeVar("T")

LOCK_FILE = ".lock"
"""What is locked where a disk cannot lock folders (NFS wants a file opened for writing)."""


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` (made if need be) for this process; it is free again when the process ends, however it ends.

    A folder that was made and stayed empty, since what was asked for was refused, is removed again. Raises InputError
    when another process holds it or ``folder`` is a file, MachineError where it may not be written.
    """
    made = not folder.exists()
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            if not hold(handle, folder):
                handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(os.close, handle)
                if not hold(handle, folder):
                    said = f"note: the disk of '{folder}' has no locks; see that no other signloom process writes there"
                    print(plain(said), file=sys.stderr)
        except OSError as error:
            raise cannot_write(error, folder) or error from error
        try:
            yield
        except BaseException:
            with suppress(OSError):
                if made:
                    folder.rmdir()
            raise


def locking_out(function: Callable[P, T]) -> Callable[P, T]:
    """``function`` with a lock on the folder that is its argument ``out``, from beginning to end."""
    signature = inspect.signature(function)

    @wraps(function)
    def locked(*args: P.args, **kwargs: P.kwargs) -> T:
        with folder_lock(signature.bind(*args, **kwargs).arguments["out"]):
            return function(*args, **kwargs)

    return locked


def hold(handle: int, folder: Path) -> bool:
    """Lock an open file or folder; False where its disk cannot. Raises InputError when another process holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return False
        raise InputError(
            f"'{folder}' is being written by another signloom process; wait for it or choose another folder (another "
            "--out or --cache)"
        ) from error
    return True
