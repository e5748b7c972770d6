"""A corpus described by a table with any columns: CSV, TSV, with or without a header."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError
from signloom.sources.columns import KNOWN, Columns, find_columns, parse_columns
from signloom.sources.listing import MEDIA_SUFFIXES, Wanted, as_bool, present, split_name, stream_of
from signloom.sources.ranges import fps_of
from signloom.sources.tables import Table, plain, read_table

SPELLINGS = ("any", "exact")


def read_csv(
    path: str | Path,
    columns: str | Mapping[str, str | int] | None = None,
    *,
    folder: str | Path | None = None,
    suffix: str = "",
    split: str | None = None,
    delimiter: str | None = None,
    header: bool | str | None = None,
    frames: str | None = None,
    rate: str | float | None = None,
    spelling: str = "any",
    keep_missing: bool | str = False,
) -> Manifest:
    """One record per row of a table.

    ``columns`` says which column is what: ``label=gloss,signer=user,file=path``, by header name or by number from 0;
    ``split=`` (nothing) says that none is. Fields: file, label, signer, source, split, id, parent, licence, consent,
    fps, box (four numbers, x0 y0 x1 y1 in pixels), and the ends of a range: first_frame and end_frame, start_s and
    end_s, or start_ms and end_ms; ``range=`` says that there is none. What is not given is guessed from names and
    contents. ``meta["notes"]`` says how, and which columns were not used though their names mean something; all
    columns that are not used go to ``extra``.

    ``frames`` says how frames of a range count: ``from-0`` (the end not included), ``from-0-inclusive`` or ``from-1``
    (both with the end). ``rate`` is that at which they were counted: a number, or ``file`` for the file's own; unless
    given, what column fps says, else the file's. A range in time, or counted at a rate, becomes one in seconds.

    File names are relative to ``folder`` (the table's unless given); ``suffix`` is added to each (``_color.mp4``).
    ``spelling=exact`` takes names as they are, and not numbers without their leading zeros. ``split`` holds for all
    rows. Rows whose file is not there are left out and counted in ``meta["missing"]`` unless ``keep_missing``.

    Raises InputError naming the table, and the line or the column, with a preview where a guess is not possible.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"'{path}' {'is a folder' if path.is_dir() else 'does not exist'}; wanted a CSV or TSV file")
    if spelling not in SPELLINGS:
        raise InputError(f"option 'spelling' is '{spelling}'; wanted {' or '.join(SPELLINGS)}")
    asked = parse_columns(columns)
    table = read_table(
        path,
        delimiter=delimiter,
        header=None if header is None else as_bool(header, "header"),
        known=KNOWN | {plain(str(v)) for v in asked.values() if not str(v).lstrip("-").isdecimal()},
    )
    found = find_columns(table, asked, frames, rate)
    wanted = [_entry(table, line, row, found, suffix, split) for line, row in zip(table.lines, table.rows)]
    records, meta = present(
        wanted,
        Path(folder) if folder is not None else path.parent,
        keep_missing=as_bool(keep_missing, "keep_missing"),
        what=f"'{path}'",
        numbers=spelling == "any",
    )
    notes = [*found.notes, *meta.pop("notes", ())]
    if table.header_line is not None and table.lines[0] < table.header_line:
        notes.insert(0, f"'{path.name}': line {table.header_line} is taken for the header (header=no: it is a clip)")
    meta = {"name": path.stem, "source": "csv", "table": path.name, **meta}
    if notes:
        meta["notes"] = notes
    return Manifest(records, path.parent if folder is None else Path(folder), meta)


def _entry(table: Table, line: int, row: Sequence[str], columns: Columns, suffix: str, split: str | None) -> Wanted:
    where = f"'{table.path}' line {line}"
    fields: dict[str, Any] = {}
    for name, column in columns.where.items():
        text = row[column]
        if name == "file" or not text:
            continue
        if name == "fps":
            fields[name] = fps_of(text, where)
        elif name == "split":
            fields[name] = split_name(text, where)
        elif name == "box":
            fields["box_px"] = _box(text, where)
        else:
            fields[name] = text
    file = row[columns.where["file"]].replace("\\", "/")
    if not file:
        raise InputError(f"{where}: the file name is empty")
    file += suffix
    cut = columns.range.of_row(row, where) if columns.range is not None else {}
    fields |= cut
    if split is not None:
        fields["split"] = split_name(split, "option 'split'")
    given = fields.pop("id", None)
    stem = os.path.splitext(file)[0] if os.path.splitext(file)[1].lower() in MEDIA_SUFFIXES else file
    parts = [given] if given else [p for p in PurePosixPath(stem).parts if p not in ("/", "..", ".")]
    if not given and "first_frame" in cut:
        parts.append(str(cut["first_frame"]))
    elif not given and cut:
        parts.append(f"{cut['start_s'] or 0:g}s")
    return Wanted(Record(id=clip_id(parts), extra=_extra(table, row, columns, cut), **fields), (file,), stream_of(file))


def _extra(table: Table, row: Sequence[str], columns: Columns, cut: Mapping[str, Any]) -> dict[str, str]:
    """What is not used, by its column's name; and what a range in seconds was made of."""
    used = columns.used
    if columns.range is not None and "start_s" in cut:
        used -= set(columns.range.columns)
    names = table.header or tuple(f"column_{k}" for k in range(len(row)))
    return {name: row[k] for k, name in enumerate(names) if k not in used and row[k] and name}


def _box(text: str, where: str) -> tuple[float, float, float, float]:
    numbers = [float(n) for n in re.findall(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text)]
    if len(numbers) != 4 or not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        raise InputError(f"{where}: box is '{text}'; wanted x0 y0 x1 y1")
    if max(numbers) <= 1:
        raise InputError(f"{where}: box is '{text}', which are shares of a picture; wanted pixels")
    return numbers[0], numbers[1], numbers[2], numbers[3]
