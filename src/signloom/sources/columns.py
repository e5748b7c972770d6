"""Which column of a table holds which field of a clip: as asked, else by names and contents, and what was not used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from signloom.errors import InputError
from signloom.sources.listing import SPLIT_NAMES
from signloom.sources.ranges import FIELDS as RANGE_FIELDS
from signloom.sources.ranges import Range, asked_range, bound_of, guessed_range, number_of
from signloom.sources.spelling import nfc
from signloom.sources.tables import Table, is_media, plain

# Column names that mean a field, best first, compared as :func:`plain` gives them.
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
}
FIELDS = (*GUESSES, *RANGE_FIELDS, "box")
KNOWN = frozenset(name for names in GUESSES.values() for name in names)
# Words in a column's name that could change what a clip is, so that leaving it out is worth a note.
_TELLING = re.compile(
    "start|begin|end|stop|first|last|onset|offset|frame|time|durat|length|sec|fps|rate|box|crop|roi|xmin|xmax|ymin|"
    "ymax|fold|split|set|train|test|valid|partition|range|interval|segment"
)
_MOST_DIGITS = 18  # of a row's number
_NONE = frozenset({"nan", "none", "null", "n/a", "#n/a", "<na>"})


@dataclass(frozen=True)
class Columns:
    """Which column holds which field, how its range is read, and what is to be said of that."""

    where: Mapping[str, int]
    range: Range | None
    notes: tuple[str, ...]

    @property
    def used(self) -> set[int]:
        return {*self.where.values(), *(self.range.columns if self.range else ())}


def parse_columns(columns: str | Mapping[str, str | int] | None) -> dict[str, str | int]:
    """``label=gloss,signer=3,split=`` as a mapping. Raises InputError for what is no field."""
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
        if name not in (*FIELDS, "range"):
            raise InputError(f"columns: field '{name}' is not known; wanted one of {sorted(FIELDS)}")
        if column == "" and name == "file":
            raise InputError("columns: 'file=' names no column; each clip needs a file")
        if name == "range" and column != "":
            raise InputError(f"columns: 'range={column}': wanted range= (no range), or {', '.join(RANGE_FIELDS)}")
        out[name] = column
    return out


def find_columns(
    table: Table, asked: Mapping[str, str | int], frames: str | None = None, rate: str | float | None = None
) -> Columns:
    """Which column holds which field. ``asked`` goes before all guesses; a field asked for as '' is not looked for.

    ``frames`` and ``rate`` say how frames of a range are counted, see :mod:`signloom.sources.ranges`. Raises InputError
    with a preview of the table where it cannot be told.
    """
    where = {name: _asked_column(table, name, column) for name, column in asked.items() if column != ""}
    notes: list[str] = []
    guessed: list[str] = []
    free = [k for k in range(len(table.rows[0])) if k not in where.values()]

    def take(name: str, column: int, what: str) -> None:
        where[name] = column
        free.remove(column)
        guessed.append(f"{name} = {what}")

    if table.header is not None:
        for name in GUESSES:
            if name not in asked and (k := _by_name(table, name, free, notes)) is not None:
                take(name, k, f"'{table.header[k]}'")
    if "file" not in where:
        if (found := _file_column(table, free)) is None:
            raise InputError(f"'{table.path}': no column looks like file names. {_how_to(table)}")
        take("file", found, _named(table, found))
    if "label" not in asked and "label" not in where and table.header is None:
        if (found := _label_column(table, free)) is None:
            raise InputError(f"'{table.path}': cannot tell which column is the label. {_how_to(table)}")
        if found >= 0:
            take("label", found, _named(table, found))
    if guessed:
        notes.insert(0, f"'{table.path.name}': read {', '.join(guessed)}; say otherwise with --option columns=…")
    if "label" not in where:
        notes.append(f"'{table.path.name}' has no column for labels: clips are unlabelled. {_how_to(table)}")
    cut, more = asked_range(table, where, frames, rate)
    if cut is None and "range" not in asked and not set(asked) & set(RANGE_FIELDS):
        cut, more = guessed_range(table, free, frames, rate, where.get("fps"))
    if cut is None and (frames, rate) != (None, None):
        raise InputError(f"'{table.path}': options frames and rate go with a range in frames, and there is none")
    notes += more
    notes += _empty(table, where)
    used = {*where.values(), *(cut.columns if cut else ())}
    said = (
        [k for k in free if any(f"'{(table.header or ())[k]}' is n" in note for note in notes)] if table.header else []
    )
    notes += _left_over(table, [k for k in free if k not in used and k not in said])
    return Columns({n: k for n, k in where.items() if n not in RANGE_FIELDS}, cut, tuple(notes))


def _asked_column(table: Table, name: str, column: str | int) -> int:
    width, text = len(table.rows[0]), str(column)
    names = [nfc(n) for n in table.header or ()]
    if nfc(text) in names:
        return names.index(nfc(text))
    if text.lstrip("-").isdecimal() and len(text) <= _MOST_DIGITS and -width <= int(text) < width:
        return int(text) % width
    have = list(table.header) if table.header is not None else f"no header, and columns 0 to {width - 1}"
    raise InputError(f"'{table.path}': there is no column '{text}' for {name}; the table has {have}")


def _by_name(table: Table, field: str, free: Sequence[int], notes: list[str]) -> int | None:
    """The column that is ``field`` by its name, and by its cells; ``notes`` tell of those whose cells do not fit."""
    names = [plain(n) for n in table.header or ()]
    found = [names.index(n) for n in GUESSES[field] if n in names and names.index(n) in free]
    if field == "file":  # a number of the video often stands beside its path
        found.sort(key=lambda k: not any(is_media(row[k]) for row in table.rows))
    for k in found:
        cells = [row[k] for row in table.rows if row[k]]
        if field == "id" and len(set(cells)) < len(table.rows):
            notes.append(f"column '{(table.header or ())[k]}' is not read as id: its values repeat or are missing")
        elif field in _FITS and cells and not any(map(_FITS[field], cells)):
            notes.append(
                f"column '{(table.header or ())[k]}' is not read as {field}: it holds '{cells[0]}'. --option "
                f"columns={'source' if field == 'split' else field}={(table.header or ())[k]} takes it as "
                f"{'the recording' if field == 'split' else field}"
            )
        else:
            return k
    return None


_FITS: dict[str, Callable[[str], bool]] = {
    "split": lambda cell: cell.lower() in SPLIT_NAMES,
    "fps": lambda cell: number_of(cell) is not None,
}


def _empty(table: Table, where: Mapping[str, int]) -> list[str]:
    """Notes on rows without a label or signer, or with what table programs write for none."""
    notes = []
    for field in ("label", "signer"):
        cells = Counter(row[where[field]] for row in table.rows) if field in where else Counter()
        if cells[""]:
            notes.append(f"{cells['']} of {len(table.rows)} rows have no {field}")
        notes += [
            f"{n} rows have the {field} '{cell}': if that stands for none, leave the cell empty"
            for cell, n in cells.items()
            if cell.lower() in _NONE
        ]
    return notes


def _left_over(table: Table, free: Sequence[int]) -> list[str]:
    """A note on the columns that are not used though their names mean something."""
    header = table.header or ()
    told = []
    for k in free:
        if not header or not any(row[k] for row in table.rows):
            continue
        name = plain(header[k])
        field = next((f for f, names in GUESSES.items() if name in names), None)
        if field is None and (bound := bound_of(k, header[k])) is not None:
            field = next((f for f, end in RANGE_FIELDS.items() if end == (bound.side, bound.unit or "s")), None)
        if field is None and re.search("box|crop|roi", name):
            field = "box"
        if field is not None or _TELLING.search(name):
            told.append(f"'{header[k]}'" + (f" (columns={field}={header[k]} uses it)" if field else ""))
        elif not name and not _is_running(table, k):
            told.append(f"column {k}, which has no name")
    if not told:
        return []
    return [f"not used, but kept in each clip's extra: {', '.join(told)}"]


def _named(table: Table, column: int) -> str:
    return f"'{table.header[column]}'" if table.header is not None and table.header[column] else f"column {column}"


def _file_column(table: Table, free: Sequence[int]) -> int | None:
    """The column whose cells have media suffixes, else the one whose cells contain folders or a dot or many values."""

    def share(k: int, test: Callable[[str], object]) -> float:
        return sum(bool(test(row[k])) for row in table.rows) / len(table.rows)

    for test in (is_media, lambda c: "/" in c or "\\" in c):
        fitting = [k for k in free if share(k, test) > 0.9]
        if len(fitting) == 1:
            return fitting[0]
    unique = [
        k
        for k in free
        if len({row[k] for row in table.rows}) == len(table.rows) and share(k, lambda c: not c.isdecimal()) > 0.9
    ]
    return unique[0] if len(unique) == 1 and len(table.rows) > 1 else None


def _label_column(table: Table, free: Sequence[int]) -> int | None:
    """The one column left that is not a running number; -1 where none is left, None where several are."""
    left = [k for k in free if any(row[k] for row in table.rows) and not _is_running(table, k)]
    return left[0] if len(left) == 1 else None if left else -1


def _is_running(table: Table, column: int) -> bool:
    """Whether a column numbers the rows: whole numbers, each once, in the first column or without gaps."""
    cells = [row[column] for row in table.rows]
    if len(cells) < 2 or not all(c.isascii() and c.isdecimal() for c in cells):
        return False
    if max(map(len, cells)) > _MOST_DIGITS:
        return False
    numbers = set(map(int, cells))
    return len(numbers) == len(cells) and (column == 0 or max(numbers) - min(numbers) == len(numbers) - 1)


def _how_to(table: Table) -> str:
    names = list(table.header) if table.header is not None else [f"{k}" for k in range(len(table.rows[0]))]
    preview = "; ".join(f"{n or k}: {c!r}" for k, (n, c) in enumerate(zip(names, table.rows[0])))
    return f"Say which is what, e.g. --option columns=file={names[0] or 0},label={names[-1]}. First row: {preview}"
