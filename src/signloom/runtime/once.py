"""Work that several processes need and one does."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from signloom.runtime.atomic import atomic_write

PREFIX = ".tmp-once-"
"""Of the files that this keeps in a folder. A killed run leaves them, and the next one, which knows them by their
names, uses them."""


def once(folder: Path | None, name: str, make: Callable[[], Any]) -> Any:
    """``make()``, which gives JSON, by one of the processes that share ``folder``; the others wait for it and read it.

    Where there is no such folder, each makes it for itself. What fails is tried again by the next that asks.
    """
    if folder is None or not folder.is_dir():
        return make()
    file = folder / f"{PREFIX}{name}.json"
    with open(folder / f"{PREFIX}{name}.lock", "w") as lock:
        with suppress(OSError):  # a network disk may have no locks: several then make the same
            fcntl.flock(lock, fcntl.LOCK_EX)  # it is free again when its process ends, however it ends
        if not file.exists():
            made = make()
            with atomic_write(file) as tmp:
                tmp.write_text(json.dumps(made), encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8"))


def clear(folder: Path) -> None:
    """Remove what :func:`once` kept in ``folder``."""
    for file in folder.glob(f"{PREFIX}*"):
        file.unlink(missing_ok=True)
