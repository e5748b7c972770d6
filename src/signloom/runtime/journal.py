"""What is already done: a line for each finished clip, so that a killed run continues where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from signloom.errors import MachineError
from signloom.runtime.atomic import remove_unfinished
from signloom.runtime.locks import hold
from signloom.runtime.machine import cannot_write
from signloom.runtime.text import json_line


@contextmanager
def open_journal(path: Path | None) -> Iterator[tuple[Mapping[str, dict], Callable[[dict], None]]]:
    """What the journal at ``path`` knows, by id, and how to add a row. Without a path: nothing, and nowhere.

    Raises InputError when another process holds it, MachineError where it cannot be written or was removed.
    """
    if path is None:
        yield {}, lambda row: None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b", buffering=0)  # noqa: SIM115 - closed below; a row is there once it is written
    except OSError as error:
        raise cannot_write(error, path) or error from error
    with file:
        hold(file.fileno(), path.parent)
        remove_unfinished(path.parent)  # only now: whoever holds the journal may be writing them
        file.seek(0)
        known, whole = _whole_rows(file.read())
        file.truncate(whole)

        def write(row: dict) -> None:
            rest = json_line(row).encode() + b"\n"
            try:
                if not os.fstat(file.fileno()).st_nlink:
                    raise MachineError(f"'{path}' was removed while it was written: is '{path.parent}' still there?")
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError as error:
                raise cannot_write(error, path) or error from error

        try:
            yield known, write
        except BaseException:
            remove_unfinished(path.parent)  # workers were stopped in mid-write, and the room may be needed
            raise
        finally:
            os.fsync(file.fileno())


def _whole_rows(content: bytes) -> tuple[dict[str, dict], int]:
    """The rows by id, and how many bytes they take: one torn by a kill in mid-write, and what follows, is left out."""
    known: dict[str, dict] = {}
    whole = 0
    for line in content.split(b"\n")[:-1]:
        try:
            row = json.loads(line)
            known[row["id"]] = {"id": row["id"], "stamp": row["stamp"], "value": row["value"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            break
        whole += len(line) + 1
    return known, whole
