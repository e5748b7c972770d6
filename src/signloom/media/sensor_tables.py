"""Sensor recordings as text: which character cuts the cells, where the samples start, and the header above them.

A table may have blank lines between its samples, decimal commas, a row of units below the names, lines of text above
them, text in columns that are no channel's, or no header at all.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import BinaryIO

import numpy as np

from signloom.media.limits import DEFAULT_LIMITS, Limits, fail
from signloom.media.local_files import open_regular
from signloom.media.sensor_columns import is_unit

DELIMITERS = {"tab": "\t", "semicolon": ";", "comma": ",", "bar": "|", "space": " "}
_MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none", "-", "--", "inf", "-inf", "+inf", "?"})
_LOOK = 24  # lines to tell a delimiter from
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)


@dataclass(frozen=True)
class TextTable:
    """Cells of text in rows of one width. ``names`` is None where there is no header, ``units`` has a cell a column
    (empty where nothing is said), ``lines`` are the rows' line numbers from 1, ``notes`` what was passed over."""

    names: tuple[str, ...] | None
    units: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    decimal: str
    notes: tuple[str, ...] = ()
    _places: dict[int, dict[str, list[int]]] = field(default_factory=dict, repr=False, compare=False)

    def rows_by(self, column: int) -> dict[str, list[int]]:
        """The rows of each value of a column, in their order."""
        if column not in self._places:
            places: dict[str, list[int]] = {}
            for k, cells in enumerate(self.rows):
                places.setdefault(cells[column], []).append(k)
            self._places[column] = places
        return self._places[column]

    @property
    def width(self) -> int:
        return len(self.units)

    def numbers(self, path, column: int, rows: Sequence[int]) -> np.ndarray:
        """A column as float64, NaN where a cell is missing or infinite. Raises MediaError naming line and cell."""
        out = np.empty(len(rows))
        if self.decimal == ".":
            with suppress(ValueError):
                out[:] = [float(self.rows[row][column]) for row in rows]
                return np.where(np.isfinite(out), out, np.nan)
        for k, row in enumerate(rows):
            value = _number(self.rows[row][column], self.decimal)
            if value is None:
                cell, named = self.rows[row][column], f"'{self.names[column]}'" if self.names else f"{column}"
                again = self.names is not None and self.rows[row][column] == self.names[column]
                raise fail(
                    path,
                    "decode-error",
                    f"line {self.lines[row]}, column {named}: '{cell[:40]}' is no number"
                    + ("; the header stands twice: are these two recordings? Cut them apart" if again else ""),
                )
            out[k] = value
        return out

    def times(self, path, column: int, rows: Sequence[int]) -> tuple[np.ndarray, bool]:
        """A column of time stamps, and whether they are dates or times of day (then in seconds)."""
        if rows and _stamp(self.rows[rows[0]][column]) is None:
            return self.numbers(path, column, rows), False
        stamps = [_stamp(self.rows[row][column]) for row in rows]
        if None in stamps:
            k = stamps.index(None)
            cell = self.rows[rows[k]][column]
            raise fail(path, "decode-error", f"line {self.lines[rows[k]]}: '{cell[:40]}' is no time like the others")
        return np.array(stamps, np.float64), True


def read_text_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> TextTable:
    """Read a delimited text file of numbers; ``delimiter`` and ``header`` None are told from its lines.

    Raises MediaError: ``not-media`` for what is no table of numbers, ``decode-error`` for a row of another width (with
    its line), ``truncated`` where that is the last one, ``too-long``, ``too-large``.
    """
    with open_regular(path, min(limits.max_bytes, limits.max_decoded_bytes)) as file:
        text = _text(path, file)
    if (said := _SEPARATOR_LINE.match(text)) is not None:
        delimiter = delimiter or said.group(1)
        text = "\n" + text[said.end() :]
    lines = _not_blank(text)
    if not lines:
        raise fail(path, "no-frames", "no samples: all its lines are blank")
    if len(lines) > limits.max_samples + 1000:
        raise fail(path, "too-long", f"{len(lines):,} lines; at most {limits.max_samples:,} samples")
    cut, decimal = _how_cut(path, lines, delimiter)
    rows = [(n, _cells(line, cut)) for n, line in lines]
    counts = Counter(len(cells) for _, cells in rows)
    width = max(counts, key=lambda w: (counts[w], w))
    start = _start(path, rows, width, decimal, header)
    data = rows[start:]
    names, units, notes = _header(path, rows[:start], data, width)
    for k, (n, cells) in enumerate(data):
        while len(cells) > width and not cells[-1]:
            cells = cells[:-1]
        if len(cells) != width:
            last = k == len(data) - 1 and len(cells) < width
            raise fail(
                path,
                "truncated" if last else "decode-error",
                f"line {n} has {len(cells)} cells where most have {width}" + ("; it is the last one" if last else ""),
            )
        data[k] = (n, cells)
    if len(data) > limits.max_samples:
        raise fail(path, "too-long", f"{len(data):,} samples; at most {limits.max_samples:,}")
    if width > 1 and not (names and names[-1]) and not any(cells[-1] for _, cells in data):  # a delimiter at each end
        width -= 1
        data = [(n, cells[:-1]) for n, cells in data]
        names, units = names[:-1] if names else None, units[:-1]
    return TextTable(names, units, tuple(c for _, c in data), tuple(n for n, _ in data), decimal, notes)


def _not_blank(text: str) -> list[tuple[int, str]]:
    """Line numbers and lines that hold something. One of delimiters alone is a sample of which nothing is known, but
    before the first line and after the last one with a cell, where programs leave such behind."""
    lines = list(enumerate(text.split("\n"), 1))
    tabbed = 2 * sum("\t" in line for _, line in lines) > len(lines)
    lines = [(n, line) for n, line in lines if line.strip(" \r" if tabbed else None)]
    held = [k for k, (_, line) in enumerate(lines) if line.strip(" \r\t,;|")]
    return lines[held[0] : held[-1] + 1] if held else []


def _text(path, file: BinaryIO) -> str:
    content = file.read()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:  # m/s² and µs as older programs write them
            text = content.decode("cp1252", errors="replace")
    if "\0" in text:
        raise fail(path, "not-media", "no text: it holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    if delimiter == " ":
        return tuple(line.split())
    if '"' in line:
        with suppress(csv.Error):  # a cell of no end
            return tuple(cell.strip() for cell in next(csv.reader(io.StringIO(line), delimiter=delimiter), []))
    return tuple(cell.strip() for cell in line.split(delimiter))


def _how_cut(path, lines: Sequence[tuple[int, str]], delimiter: str | None) -> tuple[str, str]:
    """The delimiter and the decimal mark that make most cells numbers, in rows of one width."""
    if delimiter is not None:
        delimiter = DELIMITERS.get(delimiter, "\t" if delimiter == "\\t" else delimiter)
        if len(delimiter) != 1:
            raise fail(path, "bad-header", f"delimiter '{delimiter}': wanted one character, or {', '.join(DELIMITERS)}")
    behind = lines[min(len(lines) // 2, 20) :] if len(lines) > 4 else lines[1:] or lines  # any header
    some = [line for _, line in behind[:: max(1, len(behind) // _LOOK)]]
    best, most = None, 0.0
    for mark in [delimiter] if delimiter is not None else DELIMITERS.values():
        if delimiter is None and best is not None and not any(mark in line for line in some):
            continue
        rows = [_cells(line, mark) for line in some]
        width, count = Counter(map(len, rows)).most_common(1)[0]
        even = [cells for cells in rows if len(cells) == width]
        commas = mark != "," and any("," in cell for cells in even for cell in cells)
        for decimal in (".", ",") if commas else (".",):
            good = sum(_is_data(cell, decimal) for cells in even for cell in cells) / (len(even) * width)
            score = good * (count / len(rows)) + (1 if width > 1 else 0) * (good > 0.3)
            if score > most + 1e-9:
                best, most = (mark, decimal), score
    if best is None:
        raise fail(path, "not-media", "no table of numbers: no character cuts its lines into cells that are")
    return best


def _is_data(cell: str, decimal: str) -> bool:
    return _number(cell, decimal) is not None or _stamp(cell) is not None


def _number(cell: str, decimal: str) -> float | None:
    """The number in a cell, NaN where it is missing; None for any other text."""
    if not cell or (not cell[-1].isdigit() and cell.lower() in _MISSING):
        return np.nan
    if decimal == ",":
        if "." in cell:
            return None
        cell = cell.replace(",", ".")
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else np.nan


def _stamp(cell: str) -> float | None:
    """Seconds of an ISO date with time, or of a time of day; None for anything else."""
    if ":" not in cell or len(cell) > 40:
        return None
    cell = cell.replace(",", ".")
    try:
        if re.match(r"\d{1,2}:", cell):
            of_day = time.fromisoformat(cell.zfill(len(cell) + (cell[1] == ":")))
            return of_day.hour * 3600 + of_day.minute * 60 + of_day.second + of_day.microsecond * 1e-6
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _start(path, rows, width: int, decimal: str, header: bool | None) -> int:
    """Where the samples start."""
    if header is not None:
        at = 1 if header else 0
        if header and len(rows) > 1 and len(rows[1][1]) == width and all(map(is_unit, rows[1][1])) and any(rows[1][1]):
            at = 2
    else:
        at = next(
            (
                k
                for k, (_, cells) in enumerate(rows)
                if len(cells) >= width
                and any(cell.lower() not in _MISSING and _is_data(cell, decimal) for cell in cells)
            ),
            len(rows),
        )
        numbered = tuple(str(k) for k in range(width))
        if at == 0 and width > 2 and rows[0][1] in (numbered, ("", *numbered[:-1])):
            at = 1  # columns without names as table programs number them
    if at >= len(rows):
        raise fail(path, "not-media" if at else "no-frames", "no samples: none of its lines holds numbers")
    return at


def _header(path, rows, data, width: int) -> tuple[tuple[str, ...] | None, tuple[str, ...], tuple[str, ...]]:
    """Names, units and a note on what else stands above the samples."""
    above = [tuple(cells) for _, cells in rows]
    if above and above[0] and above[0][0][:1] in "#%" and len(above[-1]) == width + 1 and above[-1][0] in "#%":
        above[-1] = above[-1][1:]  # "# time ax ay", cut by spaces
    units = ("",) * width
    if len(above) > 1 and len(above[-1]) == width and any(above[-1]) and all(map(is_unit, above[-1])):
        units = above.pop()
    names = None
    if above:
        cells = above[-1]
        while len(cells) > width and not cells[-1]:
            cells = cells[:-1]
        if len(cells) == width - 1:
            if not any(row[-1] for _, row in data):  # a delimiter at the end of each row
                cells = (*cells, "")
            elif _names_rows([row[0] for _, row in data]):
                cells = ("", *cells)
            else:
                raise fail(path, "bad-header", f"its header has {width - 1} names, its rows {width} cells")
        if len(cells) == width:
            names = (cells[0].lstrip("#% "), *cells[1:])
            above.pop()
    notes: tuple[str, ...] = ()
    if above:
        notes = (f"{len(above)} lines above the samples are left out, the first: '{' '.join(above[0])[:60]}'",)
    return names, tuple(units), notes


def _names_rows(cells: Sequence[str]) -> bool:
    """Whether a column numbers the rows or names them."""
    if cells[0].isascii() and cells[0].isdecimal() and len(cells[0]) < 18:
        return all(cell == str(int(cells[0]) + k) for k, cell in enumerate(cells))
    return all(_number(cell, ".") is None for cell in cells)
