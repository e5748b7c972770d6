"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from signloom.errors import InputError, SignloomError
from signloom.runtime.machine import FAULTS, cannot_write

_UNFINISHED = re.compile(r"\.tmp-[a-z0-9_]{8}(?:\..*)?")  # as mkstemp names them
_PROBE = bytes(1 << 16)


@contextmanager
def atomic_write(file: Path, *, private: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``file``; on success fsync it and rename it onto ``file``.

    A reader sees the old content or the whole new one, never a part. On an exception the temporary file is removed.
    The temporary name keeps the suffix, since writers choose formats by it. With ``private`` nobody but the owner can
    ever read it.

    Raises MachineError where the disk is full or may not be written, whatever the writer made of that, and InputError
    where ``file`` is a folder, or lies below a file.
    """
    file = Path(file)
    handle, tmp = _begin(file)
    try:
        yield tmp
        with open(tmp, "rb+") as done:
            os.fsync(done.fileno())
        if not private:
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(tmp, 0o666 & ~umask)  # mkstemp makes files private; outputs follow the user's umask
        os.replace(tmp, file)
    except SignloomError:
        raise
    except Exception as error:
        raise _fault(error, tmp, file) or error from error
    finally:
        with suppress(OSError):
            tmp.unlink(missing_ok=True)
        os.close(handle)


def _begin(file: Path) -> tuple[int, Path]:
    """A temporary file, held by this process as long as its handle is open (see :func:`remove_unfinished`)."""
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder", str(file))
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=file.suffix, dir=file.parent)
    except OSError as error:
        raise cannot_write(error, file) or error from error
    with suppress(OSError):  # a network disk may have no locks
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle, Path(name)


def _fault(error: Exception, tmp: Path, file: Path) -> SignloomError | None:
    """What kept ``file`` from being written, where that was the disk: many writers tell it in words of their own."""
    try:
        written = tmp.stat().st_size
    except OSError:
        written = 0
    if isinstance(error, OSError) and (error.errno in FAULTS or error.filename in (str(tmp), tmp, str(file))):
        return cannot_write(error, file, written)
    for number in FAULTS:  # a library that is not written in Python tells it in its message
        if os.strerror(number) in str(error):
            return cannot_write(OSError(number, os.strerror(number)), file, written)
    try:  # the disk is as full as it was; a writer that failed for another reason leaves room for this
        with open(tmp, "ab", buffering=0) as probe:
            probe.write(_PROBE)
            os.fsync(probe.fileno())
    except OSError as of_disk:
        return cannot_write(of_disk, file, written)
    return None


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left half-written in ``folder`` and below, and nothing that one is writing now."""
    for place, _, names in os.walk(folder):
        for name in names:
            if _UNFINISHED.fullmatch(name):
                _remove_unless_held(Path(place, name))


def _remove_unless_held(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:  # gone meanwhile, or another user's
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    except OSError:
        pass  # no locks there
    finally:
        os.close(handle)
    path.unlink(missing_ok=True)


def write_json(file: str | os.PathLike[str], value: Any) -> Path:
    """Write ``value`` as indented JSON, atomically."""
    path = Path(file)
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_write(path) as tmp:
        tmp.write_text(text, encoding="utf-8")
    return path


def read_json(file: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a file that signloom wrote. Raises InputError for what is none, FileNotFoundError for no file."""
    try:
        value = json.loads(Path(file).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{file}' is damaged: {error}; make it again, or delete it") from error
    if not isinstance(value, dict):
        raise InputError(f"'{file}' is damaged: it holds a {type(value).__name__}, expected an object")
    return value
