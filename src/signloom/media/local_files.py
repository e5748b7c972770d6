"""Regular local files and folders of pictures: opened without ever waiting or touching a device, listed, hashed."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from signloom.media.limits import fail

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})


@dataclass(frozen=True)
class HeldFile:
    """A file whose bytes are in memory (from an archive, say). All that reads a path here reads this too.

    ``name`` stands for the path in errors.
    """

    name: str
    data: bytes = field(repr=False)

    def __fspath__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


@contextmanager
def open_regular(path: str | os.PathLike[str], max_bytes: int | None) -> Iterator[BinaryIO]:
    """Open a regular file for reading, without ever waiting on a pipe or touching a device."""
    if isinstance(path, HeldFile):
        if not path.data:
            raise fail(path, "empty", "the file has no bytes")
        if max_bytes is not None and len(path.data) > max_bytes:
            raise fail(path, "too-large", f"{len(path.data):,} bytes; at most {max_bytes:,}")
        yield io.BytesIO(path.data)
        return
    try:
        info = os.stat(path)
        if stat.S_ISDIR(info.st_mode):
            raise fail(path, "directory", "a folder, not a file")
        if not stat.S_ISREG(info.st_mode):
            raise fail(path, "not-media", "a pipe, socket or device; only regular files are read")
        if info.st_size == 0:
            raise fail(path, "empty", "the file has no bytes")
        if max_bytes is not None and info.st_size > max_bytes:
            raise fail(path, "too-large", f"{info.st_size:,} bytes; at most {max_bytes:,}")
        file = open(path, "rb", opener=_opener)  # noqa: SIM115 (closed below)
    except PermissionError as error:
        raise fail(path, "permission", f"may not be read ({error.strerror})") from error
    except OSError as error:
        where = f" (a link to '{os.readlink(path)}')" if os.path.islink(path) else ""
        raise fail(path, "missing", f"no such file{where}: {error.strerror}") from error
    except ValueError as error:  # a NUL character in the name
        raise fail(path, "missing", f"no such file: {error}") from error
    with file:
        yield file


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures that lie in ``folder`` in natural order (2 before 10, whatever the case of letters), as reading it
    as a clip takes them.

    Empty where it is no folder or has none.
    """
    if isinstance(folder, HeldFile):
        return []
    try:
        names = [entry.name for entry in os.scandir(folder) if Path(entry.name).suffix.lower() in PICTURE_SUFFIXES]
    except (OSError, ValueError):
        return []

    def natural(name: str) -> list[tuple[int, str]]:
        return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", name)]

    return [
        Path(folder) / name
        for name in sorted(names, key=lambda n: (natural(n.casefold()), n))
        if not name.startswith(".")
    ]


def content_hash(path: str | os.PathLike[str]) -> str:
    """BLAKE2b-128 of the file's bytes, in hex; of a folder of pictures, of all of them. Raises MediaError."""
    digest = hashlib.blake2b(digest_size=16)
    parts: list[Any] = [*list_pictures(path)] or [path]
    for part in parts:
        with open_regular(part, None) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
