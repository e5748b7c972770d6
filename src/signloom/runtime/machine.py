"""What no clip is to blame for: a full disk, a quota, a folder that may not be written. Such a fault ends a run.

Taken for a fault of the clip at hand, it would fail the rest of a corpus one by one, and half a corpus would look done.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from signloom.errors import InputError, MachineError, SignloomError

FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than the disk or `ulimit -f` allows",
    errno.EROFS: "the disk is read-only",
    errno.EMFILE: "this process may not open more files (see `ulimit -n`)",
    errno.ENFILE: "the machine has no more files to open",
}
"""Errors of the operating system that are never a single file's, whether it was read or written."""
_OF_OUTPUTS = {
    errno.EACCES: "it may not be written",
    errno.EPERM: "it may not be written",
    errno.EIO: "the disk reports an error",
    errno.ENOENT: "its folder is gone",
    errno.ESTALE: "the network disk was lost",
}
_OF_NAMES = {
    errno.ENOTDIR: "a file stands where a folder is wanted",
    errno.EEXIST: "a file stands where a folder is wanted",
    errno.EISDIR: "a folder stands where a file is wanted",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "it is a link that leads nowhere",
    errno.EINVAL: "its name is not allowed on this disk",
}
_AGAIN = "What is done is kept: mend that, then give the same command again"


def machine_fault(error: BaseException) -> MachineError | None:
    """``error`` as a MachineError where it is one of :data:`FAULTS`; None for all others."""
    if isinstance(error, MachineError):
        return error
    if not isinstance(error, OSError) or error.errno not in FAULTS:
        return None
    file = error.filename
    where = f"'{os.fsdecode(file)}': " if isinstance(file, (str, bytes)) else ""
    room = _room(Path(os.fsdecode(file)).parent) if where else ""
    return MachineError(f"{where}{FAULTS[error.errno]}{room}. {_AGAIN}")


def cannot_use(error: OSError) -> SignloomError:
    """``error`` of a file that was named, in words; InputError, or SignloomError where no file is to blame."""
    if not isinstance(error.filename, (str, bytes)):
        return SignloomError(f"the system refused: {error.strerror or error}")
    said = _OF_NAMES.get(error.errno or 0, error.strerror)
    return InputError(f"'{os.fsdecode(error.filename)}' cannot be used: {said}")


def cannot_write(error: OSError, path: Path, written: int | None = None) -> SignloomError | None:
    """What ``error`` says of writing ``path``, of which so many bytes were ``written``; None where it says nothing.

    An InputError where the path itself cannot be used, else a MachineError.
    """
    number = error.errno or 0
    if number in _OF_NAMES:
        return InputError(f"'{path}' cannot be written: {_OF_NAMES[number]}; choose another name")
    fault = FAULTS.get(number) or _OF_OUTPUTS.get(number)
    if fault is None:
        return None
    done = f" after {_bytes(written)}" if written else ""
    return MachineError(f"'{path}' cannot be written{done}: {fault}{_room(path.parent)}. {_AGAIN}")


def check_out(path: Path | None, *, folder: bool) -> None:
    """Raise, before any work is done, what writing ``path``, a file or a ``folder``, would raise after it."""
    if path is None:
        return
    if path.exists() and path.is_dir() != folder:
        stands, wanted = ("a file", "a folder") if folder else ("a folder", "a file")
        raise InputError(f"'{path}' cannot be written: {stands} stands where {wanted} is wanted; choose another name")
    above = next(p for p in (path, *path.absolute().parents) if p.exists())
    if above != path and not above.is_dir():
        raise InputError(f"'{path}' cannot be written: '{above}' is a file; choose another name")
    if not os.access(above, os.W_OK):
        raise MachineError(f"'{path}' cannot be written: '{above}' may not be written")


def _room(folder: Path) -> str:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f" ({_bytes(shutil.disk_usage(folder).free)} free in '{folder}')"
    except OSError:
        return ""


def _bytes(n: int) -> str:
    return f"{n / 2**30:.1f} GiB" if n >= 2**30 else f"{n / 2**20:.1f} MiB" if n >= 2**20 else f"{n:,} bytes"
