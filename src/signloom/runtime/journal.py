"""What is already done: a line for each finished clip, so that a killed run continues where it was."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from signloom.errors import InputError


@contextmanager
def open_journal(path: Path | None) -> Iterator[tuple[Mapping[str, dict], Callable[[dict], None]]]:
    if path is None:
        yield {}, lambda row: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = (
                f"'{path.parent}' is being written by another signloom process; wait for it or choose another --out"
            )
            raise InputError(message) from error
        for left_over in path.parent.rglob(".tmp-*"):
            left_over.unlink(missing_ok=True)  # only now: whoever holds the journal may be writing them
        known: dict[str, dict] = {}
        file.seek(0)
        whole = 0
        for line in file:
            try:
                row = json.loads(line)
                known[row["id"]] = row
            except (ValueError, KeyError, TypeError):
                break  # torn by a kill in mid-write: this row and what follows is done again
            if not line.endswith(b"\n"):
                break
            whole += len(line)
        file.truncate(whole)

        def write(row: dict) -> None:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            file.flush()

        try:
            yield known, write
        finally:
            os.fsync(file.fileno())
