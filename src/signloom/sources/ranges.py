"""Which columns of a table cut clips out of longer recordings, and what their numbers mean.

Frames are counted from 0 or from 1, with the end or without it, at the rate of the file or at one of the list; times
are seconds or milliseconds. A name tells part of that. What it does not tell is asked for, and what is taken is said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signloom.errors import InputError
from signloom.sources.tables import Table, plain

COUNTING = {
    "from-0": "counted from 0, the end not included",
    "from-0-inclusive": "counted from 0, the end included",
    "from-1": "counted from 1, the end included",
}
FIELDS = {
    "first_frame": ("start", "frames"),
    "end_frame": ("end", "frames"),
    "start_s": ("start", "s"),
    "end_s": ("end", "s"),
    "start_ms": ("start", "ms"),
    "end_ms": ("end", "ms"),
}
"""Fields that ``columns`` may name → which end of a range they are, and its unit."""

_SIDES = {"start": "start begin first onset", "end": "end stop last until"}
_UNITS = {
    "frames": "frames frame frm",
    "ms": "milliseconds millisecond millis msecs msec ms",
    "s": "timestamps timestamp times time seconds second secs sec s",
}
_FILLERS = "video clip sign segment seg action index idx number num nr no pos position of the in at"
_TOKENS = (
    *((word, "side", side) for side, words in _SIDES.items() for word in words.split()),
    *((word, "unit", unit) for unit, words in _UNITS.items() for word in words.split()),
    *((word, "filler", "") for word in _FILLERS.split()),
)
_WRITTEN_AS = re.compile(r"(?i)\b(?:h+:)?m+:s+(?:[.,]\w+)?\b(?!:)|\bs+[.,]\w+\b")
"""How a column's name says that its times are seconds: ``hh:mm:ss.ms``, ``ss.msec``."""
_NUMBER_LIKE = re.compile(r"[\d.,:; ]*\d[\d.,:; ]*")
_SHORT = {"from": ("start", None), "to": ("end", None), "tstart": ("start", "s"), "tend": ("end", "s")}
_LEXICON = frozenset({"path", "signedlanguage", "start", "end", "priority"})


@dataclass(frozen=True)
class Bound:
    """A column that looks like one end of a range. ``unit`` None: its name does not say."""

    column: int
    name: str
    side: str
    unit: str | None
    unit_first: bool = False  # frame_start, as WLASL has it
    last: bool = False  # the last that is included, not the one behind


@dataclass(frozen=True)
class Range:
    """How the range of a clip is read from a row."""

    start: int | None
    end: int | None
    unit: str
    counting: str = "from-0"
    rate: float | None = None  # frames per second of the list; None: a column's, or the file's
    rate_column: int | None = None
    zero_is_whole: bool = False  # an end of 0 is the end of the file

    @property
    def columns(self) -> tuple[int, ...]:
        return tuple(k for k in (self.start, self.end, self.rate_column) if k is not None)

    def of_row(self, row: Sequence[str], where: str) -> dict[str, Any]:
        """The record's fields: frames, or seconds. Raises InputError saying ``where`` for what is no range."""
        start = self._value(row, self.start, where)
        end = self._value(row, self.end, where)
        if self.unit == "frames":
            return self._frames(start, end, row, where)
        scale = 1000 if self.unit == "ms" else 1
        if self.zero_is_whole:
            start, end = start or None, end or None
        return _seconds(start and start / scale, end and end / scale, where)

    def _frames(self, start: float | None, end: float | None, row: Sequence[str], where: str) -> dict[str, Any]:
        for number in (start, end):
            if number is not None and not number.is_integer():
                raise InputError(f"{where}: frame {number:g} is not a whole number")
        base = 1 if self.counting == "from-1" else 0
        first = 0 if start is None else int(start) - base
        stop = None if end is None or end == -1 else int(end) + (self.counting == "from-0-inclusive")
        if first < 0 or (stop is not None and stop <= first):
            raise InputError(
                f"{where}: frames {_text(start)} to {_text(end)}, {COUNTING[self.counting]}, select nothing. "
                f"--option frames= says how they count: {', '.join(COUNTING)}"
            )
        rate = self.rate
        if self.rate_column is not None and row[self.rate_column]:
            rate = fps_of(row[self.rate_column], where)
        if rate is None:
            return {"first_frame": first, "end_frame": stop}
        return _seconds(first / rate if first else None, None if stop is None else stop / rate, where)

    def _value(self, row: Sequence[str], column: int | None, where: str) -> float | None:
        text = "" if column is None else row[column]
        if not text:
            return None
        value = number_of(text, clock=self.unit == "s")
        if value is None:
            wanted = {"frames": "a frame number", "s": "seconds (1.5), or h:mm:ss", "ms": "milliseconds"}[self.unit]
            raise InputError(f"{where}: '{text}' is no end of a range; wanted {wanted}")
        return value


def _seconds(start_s: float | None, end_s: float | None, where: str) -> dict[str, Any]:
    if (start_s or 0) < 0 or (end_s is not None and end_s <= (start_s or 0)):
        raise InputError(f"{where}: {_text(start_s)} s to {_text(end_s)} s select nothing; wanted 0 ≤ start < end")
    return {"start_s": start_s, "end_s": end_s}


def _text(value: float | None) -> str:
    return "nothing" if value is None else f"{value:g}"


def number_of(text: str, *, clock: bool = False) -> float | None:
    """A finite number, or with ``clock`` also [h:]mm:ss[.fff] in seconds; None for anything else.

    A comma is a decimal one in a clock's time alone: elsewhere it may also part thousands.
    """
    if clock and re.fullmatch(r"(\d+:)?\d{1,2}:\d{2}([.,]\d+)?", text):
        seconds = 0.0
        for part in text.replace(",", ".").split(":"):
            seconds = 60 * seconds + float(part)
        return seconds
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        return None
    return float(text) if math.isfinite(float(text)) else None


def fps_of(text: str, where: str) -> float:
    """Frames per second. Raises InputError for what is none."""
    value = number_of(text)
    if value is None or value <= 0:
        raise InputError(f"{where}: fps is '{text}'; wanted a positive number")
    return value


def bound_of(column: int, name: str) -> Bound | None:
    """What a column's name says of a range; None where it says nothing of one, or something else besides."""
    if (short := _SHORT.get(plain(name))) is not None:
        return Bound(column, name, *short)
    tokens = _tokens(plain(_WRITTEN_AS.sub("seconds", name)))
    if tokens is None:
        return None
    sides = [value for _, kind, value in tokens if kind == "side"]
    units = [value for _, kind, value in tokens if kind == "unit"]
    if len(sides) != 1:
        return None
    unit = "ms" if "ms" in units else units[0] if len(set(units)) == 1 else None
    order = [kind for _, kind, _ in tokens if kind != "filler"]
    return Bound(column, name, sides[0], unit, order[0] == "unit", any(word == "last" for word, _, _ in tokens))


def _tokens(text: str) -> list[tuple[str, str, str]] | None:
    """``text`` as words of which a range's name is made, (word, kind, meaning); None where it is not."""
    if not text:
        return []
    for token in _TOKENS:
        if text.startswith(token[0]) and (rest := _tokens(text[len(token[0]) :])) is not None:
            return [token, *rest]
    return None


def asked_range(
    table: Table, where: Mapping[str, int], frames: str | None, rate: str | float | None
) -> tuple[Range | None, list[str]]:
    """The range of which ``columns`` named the ends (``where``: field → column). Raises InputError for a mixture."""
    named = {field: k for field, k in where.items() if field in FIELDS}
    if not named:
        return None, []
    units = {FIELDS[field][1] for field in named}
    if len(units) > 1:
        raise InputError(f"'{table.path}': columns names {', '.join(named)}; wanted both ends of a range in one unit")
    sides = {FIELDS[field][0]: k for field, k in named.items()}
    return _range(table, sides.get("start"), sides.get("end"), units.pop(), frames or "from-0", rate, where.get("fps"))


def guessed_range(
    table: Table, free: Sequence[int], frames: str | None, rate: str | float | None, fps_column: int | None
) -> tuple[Range | None, list[str]]:
    """The range that the header names, and notes on what is taken. Raises InputError with the question where in doubt.

    Of a range in time and one in frames the former is taken, since it holds at any rate.
    """
    if table.header is None:
        return None, []
    bounds, notes = _bounds(table, free)
    if not bounds:
        return None, notes
    if {plain(name) for name in table.header} >= _LEXICON:
        start, end = (next(b.column for b in bounds if b.side == side) for side in ("start", "end"))
        return Range(start, end, "ms", zero_is_whole=True), [
            *notes,
            "'start' and 'end' are milliseconds, as lexicons of .pose files have them, and an end of 0 is the file's "
            "end; columns=range= reads none",
        ]
    for units in (("s",), ("ms",), ("frames",)):
        ends = [b for b in bounds if b.unit in units]
        if sorted(b.side for b in ends) == ["end", "start"]:
            first, last = sorted(ends, key=lambda b: b.side == "end")
            counting = "from-0" if units != ("frames",) else frames or _counting(table, first, last)
            found, more = _range(table, first.column, last.column, units[0], counting, rate, fps_column)
            return found, [*notes, *more]
    raise InputError(_question(table, bounds))


def _bounds(table: Table, free: Sequence[int]) -> tuple[list[Bound], list[str]]:
    """The columns that could be an end of a range, and notes on those whose cells are none.

    Raises InputError for cells that are numbers written in a way that is not read (``1,5``, ``00:00:01:12``).
    """
    bounds, notes = [], []
    for k in free:
        bound = bound_of(k, (table.header or ())[k])
        cells = [row[k] for row in table.rows if row[k]]
        if bound is None or not cells:
            continue
        if any(number_of(cell, clock=True) is not None for cell in cells):
            bounds.append(bound)
        elif any(map(_NUMBER_LIKE.fullmatch, cells)):
            raise InputError(
                f"'{table.path}': column '{bound.name}' seems to be an end of a range, and '{cells[0]}' is no number "
                "that signloom reads. Write 1.5 with a point, or times as h:mm:ss.fff; or say --option columns=range= "
                "for no range"
            )
        else:
            notes.append(f"column '{bound.name}' is no end of a range: it holds '{cells[0]}'")
    return bounds, notes


def _counting(table: Table, start: Bound, end: Bound) -> str:
    """How frames count, by the way in which the columns are named. Raises InputError where that does not tell."""
    doubt = None
    if end.last or start.unit_first != end.unit_first:
        doubt = "their names do not say whether they count from 0 or 1, and whether the end is included"
    elif not start.unit_first:
        return "from-0"
    elif any(row[start.column] and number_of(row[start.column]) == 0 for row in table.rows):
        doubt = "lists that name them so count from 1, and here is a 0"
    if doubt is None:
        return "from-1"
    ways = "; ".join(f"frames={name} ({text})" for name, text in COUNTING.items())
    raise InputError(f"'{table.path}': columns '{start.name}' and '{end.name}': {doubt}. Say it with --option: {ways}")


def _range(
    table: Table,
    start: int | None,
    end: int | None,
    unit: str,
    counting: str,
    rate: str | float | None,
    fps_column: int | None,
) -> tuple[Range, list[str]]:
    header = table.header or tuple(f"column {k}" for k in range(len(table.rows[0])))
    named = " and ".join(f"'{header[k]}'" for k in (start, end) if k is not None)
    if unit != "frames":
        if rate is not None:
            raise InputError(f"'{table.path}': option rate goes with ranges in frames; {named} are times")
        what = "milliseconds" if unit == "ms" else "seconds"
        return Range(start, end, unit), [f"clips are cut by {named}, in {what}; columns=range= reads none"]
    if counting not in COUNTING:
        raise InputError(f"option 'frames' is '{counting}'; wanted one of {', '.join(COUNTING)}")
    fixed = None if rate in (None, "file") else fps_of(str(rate), "option 'rate'")
    column = fps_column if rate is None else None
    if fixed is not None:
        at = f"at {fixed:g} frames/s"
    elif column is not None:
        at = f"at the rate in column '{header[column]}' (rate=file: in frames of the file)"
    else:
        at = "in frames of the file that is there (rate=25: at 25 frames/s)"
    note = f"clips are cut by {named}, frames {COUNTING[counting]}, {at}; --option frames= and rate= say otherwise"
    return Range(start, end, unit, counting, fixed, column), [note]


def _question(table: Table, bounds: Sequence[Bound]) -> str:
    named = ", ".join(f"'{b.name}'" for b in bounds)
    start, end = (next((b.name for b in bounds if b.side == side), "…") for side in ("start", "end"))
    cells = ", ".join(f"{b.name}: {table.rows[0][b.column]!r}" for b in bounds)
    return (
        f"'{table.path}': {named}: is that a range, and in which unit? Say it with --option columns="
        f"start_s={start},end_s={end} (seconds), start_ms=…,end_ms=… (milliseconds), first_frame=…,end_frame=… "
        f"(frames), or columns=range= for none. First row: {cells}"
    )
