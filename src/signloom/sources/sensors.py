"""Corpora of sensor recordings: a tree of files whose paths say what each is, or one table that holds them all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError, MediaError
from signloom.media.limits import SENSOR_SUFFIXES
from signloom.media.sensor_columns import plain_unit
from signloom.media.sensor_files import (
    Names,
    looks_like_sensor,
    parse_channels,
    parse_units,
    side_by_side,
)
from signloom.media.sensor_tables import TextTable, read_text_table
from signloom.sources.columns import GUESSES, parse_columns
from signloom.sources.listing import as_bool, list_media, split_name, unique_ids
from signloom.sources.tree import fitting, suggest_pattern

STREAM = "imu"
_ROW_FIELDS = ("id", "label", "signer", "source", "split")
_ROW_IDS = (
    *GUESSES["id"],
    "recordingid",
    "recording",
    "clip",
    "file",
    "filename",
    "take",
    "trial",
    "sequence",
    "sampleid",
)


def read_sensors(
    root: str | Path,
    *,
    pattern: str | None = None,
    columns: str | Mapping[str, str | int] | None = None,
    rate_hz: float | str | None = None,
    worn_on: str | None = None,
    channels: Names = None,
    units: str | Mapping[str, str] | None = None,
    delimiter: str | None = None,
    header: bool | str | None = None,
    time: str | None = None,
    key: str | None = None,
) -> Manifest:
    """One record per sensor recording, stream ``imu``.

    Of a folder, every ``.mat``, ``.csv``, ``.tsv``, ``.txt``, ``.npy`` or ``.npz`` file whose path fits ``pattern``, as
    of :func:`signloom.sources.tree.read_tree`: ``{signer}/{label}_{take}.csv``. Of a table, a record per value of its
    id column, with the label, signer, source and split that its rows give: ``columns=id=take,label=gloss,signer=user``;
    what is not given is found by name. Its recordings have a row per sample, or a row each.

    ``rate_hz`` and ``worn_on`` (a joint, such as right_wrist), and how the files are read
    (:func:`signloom.media.sensor_files.read_sensor_file`), go to each record's ``extra["imu"]``. Raises InputError for
    options that cannot be meant, a folder without a pattern (with one that would fit), and a table whose recordings
    cannot be told apart.
    """
    root = Path(root)
    how = sensor_options(
        rate_hz=rate_hz,
        worn_on=worn_on,
        channels=channels,
        units=units,
        delimiter=delimiter,
        header=header,
        time=time,
        key=key,
    )
    if root.is_file():
        if pattern is not None:
            raise InputError(f"'{root}' is a file; a pattern is for the files of a folder")
        return _of_table(root, columns, how)
    if columns is not None:
        raise InputError(f"option columns is for a table that holds many recordings; '{root}' is a folder")
    listing = list_media(root, SENSOR_SUFFIXES)
    if pattern is None:
        raise InputError(ask_for_pattern(root, listing.files))
    matched, meta = fitting(pattern, listing, SENSOR_SUFFIXES, "sensor file")
    records = []
    for path, fields in matched:
        extra = {**fields.pop("extra", {}), **({"imu": how} if how else {})}
        name = clip_id(PurePosixPath(os.path.splitext(path)[0]).parts)
        records.append(Record(id=name, streams={STREAM: path}, extra=extra, **fields))
    return Manifest(unique_ids(records), listing.root, {**meta, "source": "sensors"})


def sensor_options(**options: Any) -> dict[str, Any]:
    """What ``extra["imu"]`` says of how a file is read: the options that are given, as numbers where they are some.

    Raises InputError for one that is not known or cannot be meant.
    """
    known = ("rate_hz", "worn_on", "channels", "units", "delimiter", "header", "time", "key")
    if unknown := sorted(set(options) - set(known)):
        raise InputError(f"sensor option '{unknown[0]}' is not known; wanted one of {', '.join(known)}")
    how = {name: value for name, value in options.items() if value is not None}
    if "rate_hz" in how:
        try:
            how["rate_hz"] = float(how["rate_hz"])
        except (TypeError, ValueError):
            how["rate_hz"] = 0.0
        if not 0 < how["rate_hz"] < float("inf"):
            raise InputError(f"rate_hz is '{options['rate_hz']}'; wanted samples per second, above 0")
    if "channels" in how:
        how["channels"] = parse_channels(how["channels"])
    if "units" in how:
        how["units"] = parse_units(how["units"])
    if "header" in how:
        how["header"] = as_bool(how["header"], "header")
    return how


def ask_for_pattern(root: Path, files: Sequence[str]) -> str:
    """What is said of a folder of sensor files that came without a pattern, with one that would fit."""
    if not files:
        return f"there is no sensor file below '{root}'; wanted {', '.join(sorted(SENSOR_SUFFIXES))}"
    return (
        f"'{root}' holds {len(files)} sensor files, the first is '{files[0]}'; say what their paths mean and, where "
        f"they have no time stamps, their rate: --source sensors --pattern '{_suggest(files)}' --option rate_hz=50"
    )


def sensor_files(root: Path) -> tuple[str, ...]:
    """Files below ``root`` that look like sensor recordings by their kind and number: not a list or two of clips."""
    files = list_media(root, SENSOR_SUFFIXES - {".txt"}).files
    arrays = any(not f.lower().endswith((".csv", ".tsv")) for f in files)
    return files if arrays or len(files) > 3 or any(looks_like_sensor(root / f) for f in files) else ()


def _suggest(files: Sequence[str]) -> str:
    """A pattern for ``files``; folders that hold all of them, and names that say what a file is (``_inertial``), keep
    standing for themselves."""
    named = [f for f in files if os.path.splitext(f)[0].lower().endswith(("_inertial", "_imu"))]
    word = "_" + os.path.splitext(named[0])[0].rpartition("_")[2] if named else ""
    chosen = [f for f in named or files if os.path.splitext(f)[0].endswith(word)]
    above = os.path.commonpath([os.path.dirname(f) for f in chosen])
    stems = [os.path.splitext(os.path.relpath(f, above or ".")) for f in chosen]
    pattern = suggest_pattern([stem.removesuffix(word) + suffix for stem, suffix in stems]) or "{take}.*"
    stem, suffix = os.path.splitext(pattern)
    return f"{above}/{stem}{word}{suffix}".lstrip("/")


# --- one table of many recordings -----------------------------------------------------------------------------------


def _of_table(path: Path, columns: str | Mapping[str, str | int] | None, how: dict[str, Any]) -> Manifest:
    try:
        table = read_text_table(path, delimiter=how.get("delimiter"), header=how.get("header"))
    except MediaError as error:
        raise InputError(str(error)) from error
    if table.names is None:
        raise InputError(f"'{path}' has no header; a table of many recordings needs one, with a column for their ids")
    where, notes = _fields_of(path, table, columns)
    rows = table.rows_by(where["id"])
    id_name = table.names[where["id"]]
    if "" in rows:
        raise InputError(f"'{path}' line {table.lines[rows[''][0]]}: no value in its id column '{id_name}'")
    if len(rows) > len(table.rows) / 2 and side_by_side(table, 0) is None:
        raise InputError(
            f"'{path}': column '{id_name}' has another value in most rows, so it tells samples apart and not "
            "recordings; say which does, e.g. --option columns=id=take"
        )
    records = []
    for value, some in rows.items():
        fields: dict[str, Any] = {}
        for field, column in where.items():
            texts = {table.rows[k][column] for k in some}
            if len(texts) > 1:
                raise InputError(
                    f"'{path}': recording '{value}' has {len(texts)} values of {field} ('{table.names[column]}'): "
                    f"{', '.join(sorted(texts)[:3])}; its id must be another for each recording"
                )
            if text := texts.pop():
                fields[field] = text
        del fields["id"]
        if "split" in fields:
            fields["split"] = split_name(fields["split"], f"'{path}' line {table.lines[some[0]]}")
        extra = {"imu": {**how, "row_id": [id_name, value]}}
        records.append(Record(id=clip_id([value]), streams={STREAM: path.name}, extra=extra, **fields))
    meta = {"name": path.stem, "source": "sensors", "table": path.name, "notes": notes}
    return Manifest(unique_ids(records), path.parent, meta)


def _fields_of(path: Path, table: TextTable, columns) -> tuple[dict[str, int], list[str]]:
    """Which column holds which field, as asked and else by name, and a note on what was found by name."""
    names = list(table.names or ())
    where: dict[str, int] = {}
    asked = parse_columns(columns)
    for field, column in asked.items():
        if field not in _ROW_FIELDS:
            raise InputError(f"columns: '{field}' is no field of a recording; wanted one of {', '.join(_ROW_FIELDS)}")
        if column == "":
            continue
        if str(column) not in names:
            raise InputError(f"'{path}': there is no column '{column}' for {field}; it has {', '.join(names)}")
        where[field] = names.index(str(column))
    plain = [plain_unit(name) for name in names]
    found = []
    for field in _ROW_FIELDS:
        wanted = _ROW_IDS if field == "id" else GUESSES[field]
        at = next((plain.index(n) for n in wanted if n in plain and plain.index(n) not in where.values()), None)
        if field not in asked and at is not None:
            where[field] = at
            found.append(f"{field} = '{names[at]}'")
    if "id" not in where:
        raise InputError(
            f"'{path}': which column tells its recordings apart? Say --option columns=id=NAME, one of "
            f"{', '.join(names)}. Where each recording is a file of its own, give their folder and a --pattern"
        )
    notes = [f"'{path.name}': read {', '.join(found)}; say otherwise with --option columns=…"] if found else []
    return where, notes
