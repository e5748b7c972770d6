"""Reading small text tables as they are found: any delimiter, a BOM, a header at the top, in the middle or nowhere."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from signloom.errors import InputError
from signloom.sources.listing import MEDIA_SUFFIXES

DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Table:
    """Rows of text cells, all of one width. ``header`` is None where the file has none; ``lines`` are line numbers."""

    path: Path
    header: tuple[str, ...] | None
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    delimiter: str


def read_text(path: Path) -> str:
    """The file's text: UTF-8 with or without a BOM, UTF-16 with one. Raises InputError naming file and position."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}' is not {encoding.removesuffix('-sig')} text: byte {error.start} is "
            f"0x{content[error.start]:02x}; save it as UTF-8"
        ) from error


def sniff_delimiter(lines: Sequence[str]) -> str:
    """The delimiter that cuts most lines into the same number of cells, more than one; ``,`` where none does."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        if width > 1 and (count / sum(widths.values()), width) > best_score:
            best, best_score = delimiter, (count / sum(widths.values()), width)
    return best


def read_table(
    path: str | Path, *, delimiter: str | None = None, header: bool | None = None, known: frozenset[str] = frozenset()
) -> Table:
    """Read a delimited text file.

    ``header`` None decides by itself: a row that holds a ``known`` column name (lower case) is the header wherever it
    stands, since shuffled lists carry it along in their middle; otherwise a first row of words over columns of numbers
    is one. Raises InputError for an empty file, for text that is not UTF-8, and for rows of different widths (with
    their lines).
    """
    path = Path(path)
    text = read_text(path)
    if delimiter is not None and len(delimiter) != 1:
        delimiter = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}.get(delimiter, delimiter)
        if len(delimiter) != 1:
            raise InputError(f"delimiter '{delimiter}' must be one character, or tab, comma, semicolon, space")
    delimiter = delimiter or sniff_delimiter(text.splitlines()[:200])
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(tuple(cell.strip() for cell in cells))
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"'{path}' line {reader.line_num}: {error}") from error
    if not rows:
        raise InputError(f"'{path}' holds no rows")
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    ragged = [
        (n, row) for n, row in zip(lines, rows) if len(row) != width and not (len(row) > width and not any(row[width:]))
    ]
    if ragged:
        number, row = ragged[0]
        raise InputError(
            f"'{path}' line {number} has {len(row)} cells where most have {width} ({len(ragged)} such lines, delimiter "
            f"'{delimiter}'); quote cells that hold the delimiter, or give --option delimiter=…"
        )
    rows = [row[:width] for row in rows]
    at = _header_row(rows, header, known)
    if at is None:
        return Table(path, None, tuple(rows), tuple(lines), delimiter)
    names = rows.pop(at)
    lines.pop(at)
    repeated = [n for n, count in Counter(n for n in names if n).items() if count > 1]
    if repeated:
        raise InputError(f"'{path}': column '{repeated[0]}' stands more than once in the header {list(names)}")
    if not rows:
        raise InputError(f"'{path}' holds a header and no rows")
    return Table(path, names, tuple(rows), tuple(lines), delimiter)


def _header_row(rows: Sequence[tuple[str, ...]], header: bool | None, known: frozenset[str]) -> int | None:
    if header is not None:
        return 0 if header else None
    if any(cell.lower() in known for cell in rows[0]) and not any(_is_file(cell) for cell in rows[0]):
        return 0
    shuffled = [i for i, row in enumerate(rows) if sum(cell.lower() in known for cell in row) >= 2]
    if len(shuffled) == 1:
        return shuffled[0]
    if len(rows) > 1 and not any(_is_number(cell) for cell in rows[0]):
        numeric = [all(_is_number(row[k]) for row in rows[1:]) for k in range(len(rows[0]))]
        if any(numeric):
            return 0
    return None


def _is_file(cell: str) -> bool:
    return "/" in cell or os.path.splitext(cell)[1].lower() in MEDIA_SUFFIXES | {".npy", ".mat"}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
