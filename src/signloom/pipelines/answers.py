"""Answers for many raw files, written as they come: JSON lines or CSV, gone on with where a killed run stopped."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from signloom.errors import InputError
from signloom.runtime.atomic import atomic_write
from signloom.runtime.hashing import file_stamp, fingerprint_hash
from signloom.runtime.locks import hold
from signloom.runtime.machine import cannot_write
from signloom.runtime.text import json_line

SUFFIXES = (".csv", ".jsonl")
Row = dict[str, Any]


def check_answers(out: Path) -> None:
    """Raise InputError for a name whose ending says no format."""
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out '{out}': got the ending '{out.suffix}', expected one of {', '.join(SUFFIXES)}")


def write_answers(
    paths: Sequence[Path],
    out: Path,
    answer: Callable[[Sequence[Path]], Sequence[Row]],
    *,
    settings: Mapping[str, Any],
    top: int,
    block: int,
    on_rows: Callable[[Sequence[Row]], None] = lambda rows: None,
) -> list[Row]:
    """Write a row for each of ``paths`` to ``out`` as ``answer`` gives them, ``block`` files at a time; all the rows.

    A file that ``out`` has an answer for, by the same ``settings`` (the model and the options), is not done again as
    long as it is unchanged; one that failed is tried again. Each block is on the disk before the next one begins; a
    row that a kill tore is dropped. ``on_rows`` is told of the rows that are done. Raises InputError where ``out``
    holds something else or another process writes it, MachineError where it cannot be written.
    """
    check_answers(out)
    form: Any = _Table(top) if out.suffix.lower() == ".csv" else _Lines()
    run = fingerprint_hash(settings)[:12]
    stamps = {str(path): f"{run}-{_stamp(path)}" for path in paths}
    with _held(out):
        kept = _kept(out, form, stamps, run)
        with atomic_write(out) as tmp:
            tmp.write_bytes(form.head() + b"".join(form.line(row) for row in kept.values()))
        on_rows([*kept.values()])
        todo = [path for path in paths if str(path) not in kept]
        for start in range(0, len(todo), block):
            rows = [{**row, "stamp": stamps[row["file"]]} for row in answer(todo[start : start + block])]
            _append(out, b"".join(form.line(row) for row in rows))
            kept |= {row["file"]: row for row in rows}
            on_rows(rows)
    return [kept[str(path)] for path in paths]


def _stamp(path: Path) -> str:
    try:
        return fingerprint_hash(file_stamp(path))[:12]
    except OSError:
        return "none"


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Keep other processes from writing ``out``, whose file changes: the lock is beside it."""
    lock = out.with_name(f".{out.name}.lock")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(error, out) or error from error
    try:
        hold(handle, out)
        yield
        lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _append(out: Path, lines: bytes) -> None:
    try:
        with open(out, "ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(error, out) or error from error


def _kept(out: Path, form: Any, stamps: Mapping[str, str], run: str) -> dict[str, Row]:
    """The rows that stand in ``out`` and still hold, by file."""
    if not out.exists():
        return {}
    rows = form.rows(out)
    if any(row["stamp"].partition("-")[0] != run for row in rows):
        raise InputError(
            f"--out '{out}' holds answers of another model, or by other options; choose another --out, or delete it"
        )
    return {
        row["file"]: row for row in rows if "error" not in row and stamps.get(row["file"], row["stamp"]) == row["stamp"]
    }


def _whole_lines(out: Path) -> str:
    content = out.read_bytes()
    return content[: content.rfind(b"\n") + 1].decode("utf-8", "surrogateescape")


def _none_of_ours(out: Path) -> InputError:
    return InputError(f"--out '{out}' holds something else than answers of `signloom predict`; choose another --out")


class _Lines:
    """JSON lines: the rows as they are."""

    def head(self) -> bytes:
        return b""

    def line(self, row: Row) -> bytes:
        return json_line(row).encode("utf-8") + b"\n"

    def rows(self, out: Path) -> list[Row]:
        try:
            rows = [json.loads(line) for line in _whole_lines(out).split("\n") if line]
            if all(isinstance(row["file"], str) and isinstance(row["stamp"], str) for row in rows):
                return rows
        except (ValueError, KeyError, TypeError):
            pass
        raise _none_of_ours(out)


class _Table:
    """CSV with a column for each of the ``top`` likeliest labels and its probability; of a row read again, these are
    not looked at."""

    def __init__(self, top: int):
        ranks = [name for k in range(2, top + 1) for name in (f"label_{k}", f"confidence_{k}")]
        self.columns = ["file", "label", "confidence", "unknown", "none_of_these", *ranks, "error", "reason", "stamp"]

    def head(self) -> bytes:
        return self._text(self.columns)

    def line(self, row: Row) -> bytes:
        flat = {k: v for k, v in row.items() if k != "top"}
        if isinstance(row.get("none_of_these"), bool):
            flat["none_of_these"] = str(row["none_of_these"]).lower()
        for rank, (label, p) in enumerate(row.get("top", ())[1:], start=2):
            flat |= {f"label_{rank}": label, f"confidence_{rank}": p}
        return self._text([flat.get(c, "") for c in self.columns])

    def rows(self, out: Path) -> list[Row]:
        rows = list(csv.reader(io.StringIO(_whole_lines(out), newline="")))
        if not rows or "stamp" not in rows[0] or rows[0][:2] != ["file", "label"]:
            raise _none_of_ours(out)
        if rows[0] != self.columns:
            raise InputError(f"--out '{out}' has other columns; give the same --top, or choose another --out")
        found = [dict(zip(self.columns, row)) for row in rows[1:] if len(row) == len(self.columns)]
        return [{k: v for k, v in row.items() if v != ""} for row in found]

    def _text(self, cells: Sequence[Any]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        return text.getvalue().encode("utf-8", "surrogateescape")
