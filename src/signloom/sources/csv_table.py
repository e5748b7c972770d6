"""A corpus described by a table with any columns: CSV, TSV, with or without a header."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError
from signloom.sources.listing import MEDIA_SUFFIXES, Wanted, as_bool, present, split_name, stream_of
from signloom.sources.tables import Table, read_table

# Column names that mean a field, best first. Everything is compared in lower case without spaces, '_' and '-'.
GUESSES: dict[str, tuple[str, ...]] = {
    "file": ("video", "file", "path", "filename", "filepath", "videopath", "videofile", "clip", "pose", "videoname"),
    "label": ("label", "gloss", "glosses", "sign", "class", "word", "classname", "classid", "labelid", "target"),
    "signer": ("signer", "signerid", "subject", "user", "person", "participant", "actor", "speaker", "userid"),
    "source": ("source", "session", "recording", "broadcast", "videosource"),
    "split": ("split", "subset", "partition", "fold", "set"),
    "id": ("id", "clipid", "uid"),
    "parent": ("parent",),
    "licence": ("licence", "license"),
    "consent": ("consent",),
    "fps": ("fps", "framerate"),
    "first_frame": ("firstframe",),
    "end_frame": ("endframe",),
}
_NUMBERS = {"fps": float, "first_frame": int, "end_frame": int}


def read_csv(
    path: str | Path,
    columns: str | Mapping[str, str | int] | None = None,
    *,
    folder: str | Path | None = None,
    suffix: str = "",
    split: str | None = None,
    delimiter: str | None = None,
    header: bool | str | None = None,
    keep_missing: bool | str = False,
) -> Manifest:
    """One record per row of a table.

    ``columns`` says which column is what: ``label=gloss,signer=user,file=path``, by header name or by number from 0.
    Fields: file, label, signer, source, split, id, parent, licence, consent, fps, first_frame and end_frame (0-based,
    half-open); columns that are not named go to ``extra``. What is not given is guessed from names and contents, and
    ``meta["notes"]`` says how. File names are relative to ``folder`` (the table's unless given); ``suffix`` is
    added to each (``_color.mp4``). ``split`` holds for all rows. Rows whose file is not there are left out and counted
    in ``meta["missing"]`` unless ``keep_missing``.

    Raises InputError naming the table, and the line or the column, with a preview where a guess is not possible.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"'{path}' {'is a folder' if path.is_dir() else 'does not exist'}; wanted a CSV or TSV file")
    asked = _parse_columns(columns)
    known = frozenset(_plain(n) for names in GUESSES.values() for n in names) | {str(v).lower() for v in asked.values()}
    table = read_table(
        path,
        delimiter=delimiter,
        header=None if header is None else as_bool(header, "header"),
        known=known | frozenset(n.lower() for names in GUESSES.values() for n in names),
    )
    where, notes = _columns(table, asked)
    root = Path(folder) if folder is not None else path.parent
    wanted = []
    for line, row in zip(table.lines, table.rows):
        wanted.append(_entry(table, line, row, where, suffix, split))
    records, meta = present(wanted, root, keep_missing=as_bool(keep_missing, "keep_missing"), what=f"'{path}'")
    meta = {"name": path.stem, "source": "csv", "table": path.name, **meta}
    if notes:
        meta["notes"] = notes
    return Manifest(records, root, meta)


def _entry(
    table: Table, line: int, row: Sequence[str], where: Mapping[str, int], suffix: str, split: str | None
) -> Wanted:
    fields: dict[str, Any] = {}
    for name, column in where.items():
        text = row[column]
        if name == "file" or not text:
            continue
        if name in _NUMBERS:
            try:
                fields[name] = _NUMBERS[name](text)
            except ValueError as error:
                raise InputError(
                    f"'{table.path}' line {line}: {name} is '{text}'; wanted a {_NUMBERS[name].__name__}"
                ) from error
        elif name == "split":
            fields[name] = split_name(text, f"'{table.path}' line {line}")
        else:
            fields[name] = text
    file = row[where["file"]].replace("\\", "/")
    if not file:
        raise InputError(f"'{table.path}' line {line}: the file name is empty")
    file += suffix
    named = set(where.values())
    names = table.header or tuple(f"column_{k}" for k in range(len(row)))
    extra = {n or f"column_{k}": row[k] for k, n in enumerate(names) if k not in named and row[k] and n}
    if split is not None:
        fields["split"] = split_name(split, "option 'split'")
    given = fields.pop("id", None)
    stem = os.path.splitext(file)[0] if os.path.splitext(file)[1].lower() in MEDIA_SUFFIXES else file
    parts = [given] if given else [p for p in PurePosixPath(stem).parts if p not in ("/", "..", ".")]
    if not given and "first_frame" in fields:
        parts.append(str(fields["first_frame"]))
    return Wanted(Record(id=clip_id(parts), extra=extra, **fields), (file,), stream_of(file))


def _parse_columns(columns: str | Mapping[str, str | int] | None) -> dict[str, str | int]:
    if columns is None:
        return {}
    if isinstance(columns, str):
        pairs = [p for p in columns.split(",") if p.strip()]
        bad = [p for p in pairs if p.count("=") != 1]
        if bad:
            raise InputError(f"columns: '{bad[0]}' is not FIELD=COLUMN; wanted e.g. label=gloss,signer=3,file=path")
        columns = {k.strip(): v.strip() for k, v in (p.split("=") for p in pairs)}
    out: dict[str, str | int] = {}
    for name, column in columns.items():
        name = "file" if name in ("video", "path", "pose") else name
        if name not in GUESSES:
            raise InputError(f"columns: field '{name}' is not known; wanted one of {sorted(GUESSES)}")
        out[name] = column
    return out


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _columns(table: Table, asked: Mapping[str, str | int]) -> tuple[dict[str, int], list[str]]:
    """Which column holds which field, and notes on what was guessed."""
    width = len(table.rows[0])
    where: dict[str, int] = {}
    for name, column in asked.items():
        text = str(column)
        if table.header is not None and text in table.header:
            where[name] = table.header.index(text)
        elif text.lstrip("-").isdigit() and -width <= int(text) < width:
            where[name] = int(text) % width
        else:
            have = list(table.header) if table.header is not None else f"no header, and columns 0 to {width - 1}"
            raise InputError(f"'{table.path}': there is no column '{text}' for {name}; the table has {have}")
    notes: list[str] = []
    guessed: list[str] = []
    free = [k for k in range(width) if k not in where.values()]
    if table.header is not None:
        plain = [_plain(n) for n in table.header]
        for name, names in GUESSES.items():
            k = next((plain.index(n) for n in names if n in plain and plain.index(n) in free), None)
            if name not in where and k is not None:
                if name == "id" and len({row[k] for row in table.rows}) < len(table.rows):
                    continue
                where[name] = k
                free.remove(k)
                guessed.append(f"{name} = '{table.header[k]}'")
    if "file" not in where:
        found = _file_column(table, free)
        if found is None:
            raise InputError(f"'{table.path}': no column looks like file names. {_how_to(table)}")
        where["file"] = found
        free.remove(found)
        guessed.append(f"file = column {found}")
    if "label" not in where and table.header is None:
        found = _label_column(table, free)
        if found is None:
            raise InputError(f"'{table.path}': cannot tell which column is the label. {_how_to(table)}")
        if found >= 0:
            where["label"] = found
            guessed.append(f"label = column {found}")
    if guessed:
        notes.append(f"'{table.path.name}': read {', '.join(guessed)}; say otherwise with --option columns=…")
    if "label" not in where:
        notes.append(f"'{table.path.name}' has no column for labels: clips are unlabelled. {_how_to(table)}")
    return where, notes


def _file_column(table: Table, free: Sequence[int]) -> int | None:
    """The column whose cells have media suffixes, else the one whose cells contain folders or a dot or many values."""

    def share(k: int, test) -> float:
        return sum(bool(test(row[k])) for row in table.rows) / len(table.rows)

    for test in (lambda c: os.path.splitext(c)[1].lower() in MEDIA_SUFFIXES, lambda c: "/" in c or "\\" in c):
        fitting = [k for k in free if share(k, test) > 0.9]
        if len(fitting) == 1:
            return fitting[0]
    unique = [
        k
        for k in free
        if len({row[k] for row in table.rows}) == len(table.rows) and share(k, lambda c: not c.isdigit()) > 0.9
    ]
    return unique[0] if len(unique) == 1 and len(table.rows) > 1 else None


def _label_column(table: Table, free: Sequence[int]) -> int | None:
    """The one column left that is not a running number; -1 where none is left, None where several are."""
    rows = table.rows
    left = []
    for k in free:
        cells = [row[k] for row in rows]
        index = len(set(cells)) == len(cells) and all(c.isdigit() for c in cells) and len(cells) > 1
        if any(cells) and not index:
            left.append(k)
    return left[0] if len(left) == 1 else None if left else -1


def _how_to(table: Table) -> str:
    names = list(table.header) if table.header is not None else [f"{k}" for k in range(len(table.rows[0]))]
    preview = "; ".join(f"{n or k}: {c!r}" for k, (n, c) in enumerate(zip(names, table.rows[0])))
    return f"Say which is what, e.g. --option columns=file={names[0] or 0},label={names[-1]}. First row: {preview}"
