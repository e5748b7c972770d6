"""Reading small text tables as they are found: any delimiter, a BOM, a header at the top, in the middle or nowhere."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from signloom.errors import InputError
from signloom.sources.listing import MEDIA_SUFFIXES, SPLIT_NAMES

DELIMITERS = ",;\t|"
_NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
_SUFFIX = "|".join(re.escape(s) for s in sorted(MEDIA_SUFFIXES))
_FILE_AND_REST = re.compile(rf"(?i)(.*?(?:{_SUFFIX}))[ \t]+(\S.*)")


@dataclass(frozen=True)
class Table:
    """Rows of text cells, all of one width. ``header`` is None where the file has none; ``lines`` are line numbers.

    ``header_line`` says where the header stands.
    """

    path: Path
    header: tuple[str, ...] | None
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    delimiter: str
    header_line: int | None = None


def read_text(path: Path) -> str:
    """The file's text: UTF-8 with or without a BOM, UTF-16 with one. Raises InputError naming file and position."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}' is not {encoding.removesuffix('-sig')} text: byte {error.start} is "
            f"0x{content[error.start]:02x}; save it as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(
            f"'{path}' holds zero bytes, as text in UTF-16 or UTF-32 without its mark does; save it as UTF-8"
        )
    return text


def plain(name: str) -> str:
    """A column's name as it is compared: lower case, letters and digits alone."""
    return "".join(c for c in name.lower() if c.isalnum())


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def is_media(cell: str) -> bool:
    """Whether a cell ends like the name of a video or a ``.pose`` file."""
    return os.path.splitext(cell)[1].lower() in MEDIA_SUFFIXES


def read_table(
    path: str | Path, *, delimiter: str | None = None, header: bool | None = None, known: frozenset[str] = frozenset()
) -> Table:
    """Read a delimited text file.

    A spreadsheet's line ``sep=;`` says the delimiter; else it is the one that cuts all lines evenly. Lines
    ``path label`` with a space between are cut behind the suffix of the path, so that both may hold spaces.
    ``header`` None decides by itself: a row that holds a ``known`` column name (see :func:`plain`) is the header
    wherever it stands, since shuffled lists carry it along in their middle; otherwise a first row of words over a
    column of numbers or of files is one. Raises InputError for an empty file, for text that is not UTF-8, for rows of
    different widths (with their lines), and where several delimiters would do.
    """
    path = Path(path)
    text = read_text(path)
    if delimiter is not None and len(delimiter) != 1:
        delimiter = _NAMED.get(delimiter, delimiter)
        if len(delimiter) != 1:
            raise InputError(f"delimiter '{delimiter}' must be one character, or tab, comma, semicolon, space")
    before = 0
    if (said := _SEPARATOR_LINE.match(text)) is not None:
        delimiter = delimiter or said.group(1)
        text, before = text[said.end() :], 1
    if delimiter in (None, " ") and (cut := _cut_behind_the_file(path, text, delimiter)):
        delimiter, rows, lines = " ", [row for _, row in cut], [line for line, _ in cut]
    else:
        delimiter = delimiter or _sniff_delimiter(path, text, known)
        rows, lines = _rows(path, text, delimiter)
    if not rows:
        raise InputError(f"'{path}' holds no rows")
    lines = [line + before for line in lines]
    rows = _of_one_width(path, rows, lines, delimiter)
    at = _header_row(rows, header, known)
    if at is None:
        return Table(path, None, tuple(rows), tuple(lines), delimiter)
    names, line = rows.pop(at), lines.pop(at)
    repeated = [n for n, count in Counter(n for n in names if n).items() if count > 1]
    if repeated:
        raise InputError(f"'{path}': column '{repeated[0]}' stands more than once in the header {list(names)}")
    if not rows:
        raise InputError(f"'{path}' holds a header and no rows")
    return Table(path, names, tuple(rows), tuple(lines), delimiter, line)


def _rows(path: Path, text: str, delimiter: str) -> tuple[list[tuple[str, ...]], list[int]]:
    """The rows that are not empty, and their line numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(tuple(cell.strip() for cell in cells))
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"'{path}' line {reader.line_num}: {error}") from error
    return rows, lines


def _of_one_width(
    path: Path, rows: Sequence[tuple[str, ...]], lines: Sequence[int], delimiter: str
) -> list[tuple[str, ...]]:
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
    return [row[:width] for row in rows]


# --- the delimiter ------------------------------------------------------------------------------------------------


def _sniff_delimiter(path: Path, text: str, known: frozenset[str]) -> str:
    """The delimiter that cuts most lines into the same number of cells, more than one; ``,`` where none does.

    Where several cut all lines evenly, the one that makes a known header or a column of files. Raises InputError where
    that does not tell them apart.
    """
    lines = text.split("\n", 200)[:200]
    shares: dict[str, tuple[float, list[list[str]]]] = {}
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if any(cell.strip() for cell in row)]
        except csv.Error:
            continue
        widths = Counter(len(row) for row in rows)
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        if width > 1:
            shares[delimiter] = (count / len(rows), rows)
    if not shares:
        return ","
    most = max(share for share, _ in shares.values())
    best = [d for d, (share, _) in shares.items() if share == most]
    if len(best) > 1:
        told = [d for d in best if _makes_sense(shares[d][1], known)]
        if len(told) == 1:
            return told[0]
        named = {"\t": "tab"}
        raise InputError(
            f"'{path}': {' and '.join(repr(named.get(d, d)) for d in best)} both cut its lines evenly. Say which "
            f"divides the cells: --option delimiter={named.get(best[0], best[0])}"
        )
    return best[0]


def _makes_sense(rows: Sequence[Sequence[str]], known: frozenset[str]) -> bool:
    if any(plain(cell) in known for cell in rows[0]):
        return True
    return any(all(is_media(row[k].strip()) for row in rows if k < len(row)) for k in range(len(rows[0])))


def _cut_behind_the_file(path: Path, text: str, delimiter: str | None) -> list[tuple[int, tuple[str, ...]]] | None:
    """Lines ``path label`` → (line number, (path, label)); None where the text is no such list.

    Raises InputError where a line could be cut in several places.
    """
    lines = [(n, line.strip()) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if delimiter is None and any(c in line for _, line in lines for c in DELIMITERS):
        return None
    cut: list[tuple[int, tuple[str, ...]]] = []
    words = lines[0][1].split() if lines else []
    if len(words) == 2 and not any(map(_is_file, words)):
        cut.append((lines.pop(0)[0], (words[0], words[1])))
    for number, line in lines:
        found = _FILE_AND_REST.fullmatch(line)
        if found is None:
            return None
        if _FILE_AND_REST.match(found.group(2)) or is_media(found.group(2)):
            raise InputError(
                f"'{path}' line {number} names several files: '{line}'; write it as a table with a delimiter, quoted "
                "where needed"
            )
        cut.append((number, (found.group(1), found.group(2))))
    if not lines:
        return None
    behind = [row[1].split() for _, row in cut]
    several = [words for words in behind if len(words) > 1]
    numbered = any(is_number(word) or word.lower() in SPLIT_NAMES for words in several for word in words)
    if several and (numbered or len({len(words) for words in behind}) == 1):
        raise InputError(
            f"'{path}' line {cut[-1][0]}: is '{' '.join(behind[-1])}' one label, or several columns? Write the list as "
            "a table with commas or tabs"
        )
    return cut


# --- the header ---------------------------------------------------------------------------------------------------


def _header_row(rows: Sequence[tuple[str, ...]], header: bool | None, known: frozenset[str]) -> int | None:
    if header is not None:
        return 0 if header else None
    if any(plain(cell) in known for cell in rows[0]) and not any(_is_file(cell) for cell in rows[0]):
        return 0
    shuffled = [
        i
        for i, row in enumerate(rows)
        if sum(plain(cell) in known for cell in row) >= 2 and not any(_is_file(cell) for cell in row)
    ]
    if len(shuffled) == 1:
        return shuffled[0]
    if len(rows) > 1 and not any(is_number(cell) or _is_file(cell) for cell in rows[0]):
        below = [[row[k] for row in rows[1:]] for k in range(len(rows[0]))]
        if any(all(map(is_number, cells)) or all(map(is_media, cells)) for cells in below):
            return 0
    return None


def _is_file(cell: str) -> bool:
    return "/" in cell or os.path.splitext(cell)[1].lower() in MEDIA_SUFFIXES | {".npy", ".mat"}
