"""Recordings of sensors as they are found: ``.mat``, text tables of many layouts, ``.npy``, ``.npz``, wide tables.

What is read is what the file says, converted to g, degrees per second and degrees. Nothing is guessed in silence: what
was done, what was left out and what looks odd stand in ``notes``, and what cannot be told is refused with the option
that says it. Files are never changed.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signloom.errors import InputError, MediaError
from signloom.media.array_files import read_npy, read_npz
from signloom.media.limits import DEFAULT_LIMITS, Limits, fail
from signloom.media.local_files import HeldFile, open_regular
from signloom.media.mat_files import list_mat, read_mat
from signloom.media.sensor_clock import Clock, clock_of, evened, filled
from signloom.media.sensor_columns import FACTORS, KEPT, Column, column_of, plain_unit
from signloom.media.sensor_doubts import doubts
from signloom.media.sensor_tables import TextTable, read_text_table

UTD_KEY = "d_iner"
_UTD_CHANNELS = tuple(f"{q}_{axis}_{KEPT[q]}" for q in ("acceleration", "rotation") for axis in "xyz")
_EXAMPLE = "channels=ax,ay,az,gx,gy,gz"
_ALONG = ("rows", "columns")
_IMPOSSIBLE = 1e7  # in g or degrees per second: no measurement, whatever the unit

Names = str | Sequence[str] | Mapping[str, str] | None
"""``"ax,ay,az"``, ``"temp=other_t_raw,label="``, or the same as a list or mapping."""


@dataclass(frozen=True)
class SensorRecording:
    """What a sensor file holds: ``values_TC`` float64 (T, C) at ``times_s`` (T,) from the first sample, evenly spaced.

    ``channels`` are named PLACE_QUANTITY_AXIS_UNIT; ``notes`` say what was done, and what looks odd.
    """

    times_s: np.ndarray
    values_TC: np.ndarray
    channels: tuple[str, ...]
    rate_hz: float
    notes: tuple[str, ...] = ()


def read_sensor_file(
    path: str | os.PathLike[str],
    *,
    rate_hz: float | None = None,
    channels: Names = None,
    units: str | Mapping[str, str] | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    time: str | int | None = None,
    key: str | None = None,
    row_id: Sequence[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> SensorRecording:
    """Read one recording; its suffix says how: ``.mat``, ``.npy``, ``.npz``, and a text table for all others.

    ``rate_hz`` is needed where no time stamps say it. ``channels`` names the columns: all of them in order (``""``
    leaves one out), some by name or number (``{"temp": "other_temp_raw", "AX": ""}``), or those of the file's channels
    that are wanted; names are read as a header's are (``ax``, ``gyro_x [rad/s]``, ``time_ms``). ``units`` says what a
    quantity is in, whatever the header says: ``{"acceleration": "m/s²", "time": "ms"}``. ``time`` is the column of the
    time stamps by name or number, ``"none"`` where none is to be used; for an array without names, along which way time
    runs: ``"rows"`` or ``"columns"``. ``key`` chooses an array of a ``.mat`` or ``.npz`` file. ``row_id`` = (column,
    value) takes the rows of one recording out of a table of many, or the one row that holds its samples side by side
    (``ax_0, ax_1, …``). ``delimiter`` is one character, or tab, comma, semicolon, bar, space.

    Missing values of up to .1 s are interpolated and uneven time stamps resampled, and noted. Raises InputError for
    options that cannot be meant, MediaError: ``no-rate``; ``bad-header`` for time stamps that go back or contradict
    ``rate_hz``, and for columns or units that are not known; ``decode-error`` for what is no number and for longer
    gaps (a value above 1e7 counts as none); ``not-media``, ``truncated``, ``no-frames``, ``too-long``, ``too-large``.
    """
    if rate_hz is not None and not (np.isfinite(rate_hz) and rate_hz > 0):
        raise InputError(f"rate_hz is {rate_hz}; wanted samples per second, above 0")
    asked, said_units = parse_channels(channels), parse_units(units)
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix in (".mat", ".npy", ".npz"):
        for option, value in (("row_id", row_id), ("delimiter", delimiter), ("header", header)):
            if value is not None:
                raise InputError(f"'{os.fspath(path)}': option {option} is for text tables, not for a {suffix} file")
        source: _Array | _Text = _of_array(path, suffix, key, asked, time, limits)
        time = None if time in _ALONG else time
    else:
        if key is not None:
            raise InputError(f"'{os.fspath(path)}': option key is for .mat and .npz files; a table has row_id")
        source = _of_text(path, _table(path, delimiter, header, limits), row_id)
    layout = _layout(path, source, asked, time)
    notes = [*source.notes, *layout.notes]
    values = np.empty((len(source), len(layout.columns)))
    for k, (at, column) in enumerate(layout.columns):
        values[:, k] = source.numbers(path, at) * _factor(path, source.name(at), column, said_units)
    names = tuple(column.channel for _, column in layout.columns)
    measured = [c.quantity in ("acceleration", "rotation", "orientation", "magnetic") for _, c in layout.columns]
    impossible = (np.abs(values) > _IMPOSSIBLE) & measured  # memory that nobody wrote to, as in some Myo recordings
    if impossible.any():
        row, at = np.argwhere(impossible)[0]
        notes.append(
            f"{int(impossible.sum())} values that no sensor measures count as missing, the first in '{names[at]}': "
            f"{values[row, at]:.3g}"
        )
        values[impossible] = np.nan
    clock = Clock(None, None if rate_hz is None else float(rate_hz))
    if layout.time is not None:
        at, column = layout.time
        stamps, dated = source.stamps(path, at)
        unit = "s" if dated else said_units.get("time") or column.unit
        clock, said = clock_of(path, source.name(at), stamps, unit, rate_hz, sure=column.axis == "asked")
        notes += said
    if clock.rate_hz is None:
        raise fail(
            path,
            "no-rate",
            "nothing says how many samples there are a second: give it, rate_hz=50, or the column of its time stamps, "
            "time=NAME",
        )
    if len(values) < 2:
        raise fail(path, "no-frames", f"{len(values)} sample; at least 2 are needed")
    values, said = filled(path, values, names, clock, impossible)
    notes += said
    values, rate, said = evened(path, values, clock)
    notes += [*said, *doubts(values, names, rate)]
    return SensorRecording(np.arange(len(values)) / rate, values, names, rate, tuple(notes))


def describe_sensor(path: str | os.PathLike[str], **how: Any) -> dict[str, Any]:
    """What a sensor file holds, in plain values: samples, rate_hz, duration_s, channels, notes; read as
    :func:`read_sensor_file` does with the options ``how``, and raising what it raises."""
    found = read_sensor_file(path, **how)
    return {
        "samples": len(found.times_s),
        "rate_hz": found.rate_hz,
        "duration_s": len(found.times_s) / found.rate_hz,
        "channels": list(found.channels),
        "notes": list(found.notes),
    }


def looks_like_sensor(path: str | os.PathLike[str]) -> bool:
    """Whether a file's header says that it is a sensor's: three channels or more among a table's names, or UTD-MHAD's
    array in a ``.mat`` file. Only its beginning is read."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    try:
        if suffix == ".mat":
            return any(array.name == UTD_KEY for array in list_mat(path))
        if suffix not in (".csv", ".tsv", ".txt"):
            return False
        with open_regular(path, None) as file:
            start = file.read(1 << 16)
        cut = start[: start.rfind(b"\n") + 1] or start
        names = read_text_table(HeldFile(os.fspath(path), cut)).names or ()
    except MediaError:  # whatever it is: no sensor's
        return False
    return sum(column is not None and column.quantity in KEPT for column in map(column_of, names)) >= 3


# --- what a file holds, column by column --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Array:
    """An array with time first, and what its columns are called (None: nothing says)."""

    values: np.ndarray
    names: tuple[str, ...] | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        return self.values.shape[1]

    def name(self, column: int) -> str:
        return self.names[column] if self.names else f"column {column}"

    def unit(self, column: int) -> str:
        return ""

    def numbers(self, path, column: int) -> np.ndarray:
        values = self.values[:, column].astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan)

    def stamps(self, path, column: int) -> tuple[np.ndarray, bool]:
        return self.numbers(path, column), False


@dataclass(frozen=True)
class _Text:
    """Some rows of a text table."""

    table: TextTable
    rows: Sequence[int]
    notes: tuple[str, ...] = ()
    without: str | None = None
    """The column that tells recordings apart."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...] | None:
        return self.table.names

    @property
    def width(self) -> int:
        return self.table.width

    def name(self, column: int) -> str:
        return self.names[column] if self.names else f"column {column}"

    def unit(self, column: int) -> str:
        return self.table.units[column]

    def numbers(self, path, column: int) -> np.ndarray:
        return self.table.numbers(path, column, self.rows)

    def stamps(self, path, column: int) -> tuple[np.ndarray, bool]:
        return self.table.times(path, column, self.rows)


def _table(path, delimiter: str | None, header: bool | None, limits: Limits) -> TextTable:
    if isinstance(path, HeldFile):
        return read_text_table(path, delimiter=delimiter, header=header, limits=limits)
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return read_text_table(path, delimiter=delimiter, header=header, limits=limits)  # which says why not
    return _kept_table(os.fspath(path), info.st_mtime_ns, info.st_size, delimiter, header, limits)


@functools.lru_cache(maxsize=1)  # the recordings of a wide table are read one after the other
def _kept_table(path: str, changed_ns: int, size: int, delimiter, header, limits: Limits) -> TextTable:
    return read_text_table(path, delimiter=delimiter, header=header, limits=limits)


def _of_text(path, table: TextTable, row_id: Sequence[str] | None) -> _Text:
    if row_id is None:
        return _Text(table, range(len(table.rows)), table.notes)
    column, value = (str(part) for part in row_id)
    if table.names is None or column not in table.names:
        have = ", ".join(f"'{n}'" for n in table.names) if table.names else "no header"
        raise fail(path, "bad-header", f"no column '{column}' to tell its recordings apart; it has {have}")
    at = table.names.index(column)
    rows = table.rows_by(at).get(value)
    if not rows:
        raise fail(path, "no-frames", f"no row has '{value}' in its column '{column}'")
    if len(rows) == 1 and (unfolded := side_by_side(table, rows[0])) is not None:
        return _Text(unfolded, range(len(unfolded.rows)), table.notes)
    return _Text(table, rows, table.notes, column)


def side_by_side(table: TextTable, row: int) -> TextTable | None:
    """The samples that stand side by side in one row under ``ax_0, ax_1, … ay_0, …``; None where they do not."""
    series: dict[str, dict[int, int]] = {}
    for column, name in enumerate(table.names or ()):
        if (found := re.fullmatch(r"(.*?)[^0-9A-Za-z]?(\d+)", name)) is not None and column_of(found[1]) is not None:
            series.setdefault(found[1], {})[int(found[2])] = column
    series = {stem: columns for stem, columns in series.items() if len(columns) > 1}
    numbers = {tuple(sorted(columns)) for columns in series.values()}
    if len(numbers) != 1:
        return None
    order = numbers.pop()
    if order != tuple(range(order[0], order[0] + len(order))):
        return None
    cells = table.rows[row]
    rows = tuple(tuple(cells[columns[k]] for columns in series.values()) for k in order)
    units = tuple(table.units[columns[order[0]]] for columns in series.values())
    return TextTable(tuple(series), units, rows, (table.lines[row],) * len(rows), table.decimal)


def _of_array(path, suffix: str, key: str | None, asked, time, limits: Limits) -> _Array:
    names = None
    if suffix == ".npy":
        if key is not None:
            raise InputError(f"'{os.fspath(path)}': option key is for .mat and .npz files; a .npy file has one array")
        values = read_npy(path, limits)
    elif suffix == ".npz":
        arrays = read_npz(path, limits)
        if key is None and len(arrays) != 1:
            raise fail(path, "bad-header", f"which array? It holds {_shapes(arrays)}; choose with key=NAME")
        if key is not None and key not in arrays:
            raise fail(path, "bad-header", f"no array '{key}'; it holds {_shapes(arrays)}")
        values = arrays[key] if key is not None else next(iter(arrays.values()))
    else:
        values = read_mat(path, key or UTD_KEY, limits)
        names = _UTD_CHANNELS if values.ndim == 2 and values.shape[1] == len(_UTD_CHANNELS) else None
        if key is None and names is None:
            raise fail(path, "bad-header", f"'{UTD_KEY}' is {values.shape}; wanted (T, 6): acceleration, rotation")
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2) or not values.size:
        raise fail(path, "bad-header", f"an array of {values.dtype} {values.shape}; wanted numbers, (T, C) or (C, T)")
    values = values.reshape(len(values), -1)
    if max(values.shape) > limits.max_samples:
        raise fail(path, "too-long", f"{max(values.shape):,} samples; at most {limits.max_samples:,}")
    if isinstance(asked, list):
        names = None
    if names is not None:
        said = () if key in (None, UTD_KEY) else (f"the columns of '{key}' are taken for those of {UTD_KEY}",)
        return _Array(values, names, said)
    if not isinstance(asked, list):
        raise fail(path, "bad-header", f"nothing says what the columns of its {values.shape} are: e.g. {_EXAMPLE}")
    n = len(asked)
    fits = [way for way, size in zip(_ALONG, reversed(values.shape)) if size == n]
    if time in _ALONG:
        fits = [way for way in fits if way == time]
    if not fits:
        raise fail(path, "bad-header", f"{n} channels are named and the array is {values.shape}: no side is {n} long")
    if len(fits) > 1:
        raise fail(
            path, "bad-header", f"does time run along its rows or columns? It is {values.shape}: time=rows (T, C)"
        )
    return _Array(values if fits == ["rows"] else values.T, None)


def _shapes(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"'{name}' {values.shape}" for name, values in arrays.items()) or "nothing"


# --- which column is what -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    columns: Sequence[tuple[int, Column]]
    time: tuple[int, Column] | None
    notes: Sequence[str]


def _layout(path, source: _Array | _Text, asked: list[str] | dict[str, str] | None, time: str | int | None) -> _Layout:
    names = source.names
    found: list[Column | None] = [column_of(name) for name in names] if names else [None] * source.width
    wanted = None
    if isinstance(asked, list):
        there = [c.channel for c in found if c is not None and c.quantity in KEPT]
        meant = [c.channel if (c := column_of(name)) is not None and c.quantity in KEPT else name for name in asked]
        if names and set(meant) <= set(there):
            wanted = meant
        elif len(asked) == source.width:
            found = [_named(path, name) for name in asked]
        else:
            have = f"{source.width} columns" + (f": {', '.join(names)}" if names else " and no header")
            raise fail(
                path,
                "bad-header",
                f"{len(asked)} channels are named and it has {have}; name every column in order (leave one out with "
                "nothing between the commas), or some as COLUMN=CHANNEL",
            )
    elif asked is not None:
        for column, name in asked.items():
            found[_column(path, source, column, "channels")] = _named(path, name)
    elif names is None:
        raise fail(
            path,
            "bad-header",
            f"no header says what its {source.width} columns are: name them in order, e.g. {_EXAMPLE}",
        )
    if isinstance(source, _Text) and source.without is not None:
        found[(names or ()).index(source.without)] = Column("count")
    found = [_with_unit(column, source.unit(k)) for k, column in enumerate(found)]
    clock = _time_column(path, source, found, time)
    columns = [
        (k, c) for k, c in enumerate(found) if c is not None and c.quantity in KEPT and (k != (clock or (-1,))[0])
    ]
    twice = [name for name, n in Counter(c.channel for _, c in columns).items() if n > 1]
    if twice:
        both = " and ".join(f"'{source.name(k)}'" for k, c in columns if c.channel == twice[0])
        raise fail(
            path, "bad-header", f"{both} are both read as {twice[0]}: say which is what with channels=NAME=CHANNEL"
        )
    if wanted is not None:
        columns = sorted(
            (entry for entry in columns if entry[1].channel in wanted), key=lambda e: wanted.index(e[1].channel)
        )
    if not columns:
        have = ", ".join(f"'{source.name(k)}'" for k in range(source.width))
        raise fail(path, "bad-header", f"none of its columns is a known channel: {have}. Say what they are: {_EXAMPLE}")
    return _Layout(columns, clock, _left_out(path, source, found, clock, asked))


def _left_out(path, source, found: Sequence[Column | None], clock, asked) -> list[str]:
    """Notes on columns that are no channel, and on a counter that jumps."""
    silent = set(asked) if isinstance(asked, dict) else set()
    notes = []
    unknown = [
        source.name(k)
        for k, column in enumerate(found)
        if (column is None or (column.quantity == "time" and k != (clock or (-1,))[0]))
        and not {source.name(k), str(k)} & silent
        and not (isinstance(asked, list) and source.names is None)
    ]
    if unknown:
        named = ", ".join(f"'{name}'" for name in unknown[:8]) + (" …" if len(unknown) > 8 else "")
        notes.append(f"not read, since it is not known what they hold: {named} (channels=NAME=CHANNEL takes one in)")
    for k, column in enumerate(found):
        if column is not None and column.quantity == "count" and source.name(k) != getattr(source, "without", None):
            try:
                steps = np.diff(source.numbers(path, k))
            except MediaError:  # names, not numbers
                notes.append(f"column '{source.name(k)}' is not read: it holds no numbers")
                continue
            if len(steps) and (steps > 0).all() and (jumps := np.flatnonzero(steps != np.median(steps))).size:
                notes.append(
                    f"'{source.name(k)}' leaves out numbers {jumps.size} times, first behind sample {jumps[0]}: are "
                    "samples missing?"
                )
    return notes


def _with_unit(column: Column | None, cell: str) -> Column | None:
    """``column`` with the unit that the header's second row gives."""
    unit = plain_unit(cell)
    return Column(column.quantity, column.place, column.axis, unit) if column is not None and unit else column


def _named(path, name: str) -> Column | None:
    if name in ("", "-"):
        return None
    column = column_of(name)
    if column is None:
        raise InputError(
            f"'{os.fspath(path)}': channel '{name}' is not understood; wanted e.g. ax, gyro_z, right_emg_0, time_ms, "
            "or PLACE_QUANTITY_AXIS_UNIT such as right_wrist_acceleration_x_g"
        )
    return column


def _column(path, source: _Array | _Text, which: str | int, option: str) -> int:
    names = source.names or ()
    if str(which) in names:
        return names.index(str(which))
    if str(which).isascii() and str(which).isdecimal() and len(str(which)) < 9 and int(which) < source.width:
        return int(which)
    have = ", ".join(f"'{name}'" for name in names) if names else f"columns 0 to {source.width - 1}"
    raise fail(path, "bad-header", f"no column '{which}' for {option}; it has {have}")


def _time_column(path, source, found: Sequence[Column | None], time: str | int | None) -> tuple[int, Column] | None:
    if time == "none":
        return None
    if time is not None:
        at = _column(path, source, time, "time")
        known = found[at]
        unit = known.unit if known is not None and known.quantity == "time" else None
        return at, Column("time", axis="asked", unit=unit)
    return next(((k, c) for k, c in enumerate(found) if c is not None and c.quantity == "time"), None)


def _factor(path, name: str, column: Column, said: Mapping[str, str]) -> float:
    """What the column's numbers are multiplied by for the unit their quantity is kept in."""
    unit = said.get(column.quantity) or column.unit
    if unit is None:
        return 1.0
    factors = FACTORS[column.quantity]
    if unit not in factors:
        if column.quantity in ("emg", "other"):
            return 1.0
        raise fail(
            path,
            "bad-header",
            f"'{name}': unit '{unit}' of {column.quantity} is not known; say units={column.quantity}=UNIT, one of "
            f"{', '.join(factors)}",
        )
    return factors[unit]


# --- options ------------------------------------------------------------------------------------------------------


def parse_channels(channels: Names) -> list[str] | dict[str, str] | None:
    """``"ax,ay,"`` as a list, ``"temp=other_t_raw"`` as a mapping. Raises InputError for a mixture."""
    if isinstance(channels, str):
        parts = [part.strip() for part in channels.split(",")]
        if not any("=" in part for part in parts):
            return parts
        if bad := [part for part in parts if "=" not in part]:
            raise InputError(f"channels: '{bad[0]}' is not COLUMN=CHANNEL")
        return {name.strip(): channel.strip() for name, _, channel in (part.rpartition("=") for part in parts)}
    if isinstance(channels, Mapping):
        return {str(name): str(channel) for name, channel in channels.items()}
    return None if channels is None else [str(name).strip() for name in channels]


def parse_units(units: str | Mapping[str, str] | None) -> dict[str, str]:
    """Quantity → unit in plain letters. Raises InputError for one that is not known."""
    if isinstance(units, str):
        pairs = [part.partition("=") for part in units.split(",")]
        units = {name.strip(): unit.strip() for name, _, unit in pairs}
    out = {}
    for quantity, unit in (units or {}).items():
        if quantity not in FACTORS:
            raise InputError(f"units: '{quantity}' is not known; wanted one of {', '.join(FACTORS)}")
        if plain_unit(unit) not in FACTORS[quantity]:
            raise InputError(
                f"units: {quantity} in '{unit}' is not known; wanted one of {', '.join(FACTORS[quantity])}"
            )
        out[quantity] = plain_unit(unit)
    return out
