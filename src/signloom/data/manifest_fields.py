"""What a manifest may hold: one line of a table for each field of a clip, and of the header.

A manifest may come from anywhere. What the fields hold is checked once, here, so that nothing behind has to ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from signloom.runtime.text import plain

SPLITS = ("train", "val", "test")
_MOST = 2**53  # beyond it, a float is no longer exact

Check = Callable[[Any], None]
"""Raises ValueError, saying what was expected, for a value that a field may not hold."""


def _text(value: Any) -> None:
    _expect(isinstance(value, str) and not re.search("[\ud800-\udfff]", value), "text")


def _id(value: Any) -> None:
    """Ids are listed a line each, and shown; as file names they are made safe (``runtime/names.py``)."""
    fine = (
        isinstance(value, str) and value != "" and not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", value)
    )
    _expect(fine, "text without control characters, and not empty")


def _file(value: Any) -> None:
    """A path: absolute, or from the manifest's folder. Bytes that are no UTF-8 stand as U+DC80 to U+DCFF."""
    fine = isinstance(value, str) and value != "" and not re.search("[\0\ud800-\udc7f\udd00-\udfff]", value)
    _expect(fine, "the path of a file")


def _split(value: Any) -> None:
    _expect(value in SPLITS if isinstance(value, str) else False, f"one of {', '.join(SPLITS)}")


def _count(value: Any) -> None:
    _expect(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST, "a whole number from 0 on")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_MOST < value < _MOST


def _seconds(value: Any) -> None:
    _expect(_is_number(value) and value >= 0, "a number from 0 on")


def _rate(value: Any) -> None:
    _expect(_is_number(value) and value > 0, "a number above 0")


def _box(value: Any) -> None:
    fine = isinstance(value, (list, tuple)) and len(value) == 4 and all(map(_is_number, value))
    _expect(fine and value[0] < value[2] and value[1] < value[3], "x0, y0, x1, y1 with x0 < x1 and y0 < y1")


def _shares(value: Any) -> None:
    fine = isinstance(value, Mapping) and all(map(_is_number, value.values()))
    _expect(fine, "a number for each part of the body")


def _number(value: Any) -> None:
    _expect(_is_number(value), "a number")


def _matrix(value: Any) -> None:
    rows = value if isinstance(value, (list, tuple)) else ()
    fine = len(rows) == 3 and all(
        isinstance(r, (list, tuple)) and len(r) == 3 and all(map(_is_number, r)) for r in rows
    )
    _expect(fine, "3 rows of 3 numbers")


def _whole_range(value: Any) -> None:
    fine = isinstance(value, (list, tuple)) and len(value) == 2
    _expect(fine and all(v is None or _is_number(v) for v in value), "first and end")


def _texts(value: Any) -> None:
    _expect(isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value), "a list of texts")


def _mapping(value: Any) -> None:
    _expect(isinstance(value, Mapping), "an object")


def _files(value: Any) -> None:
    _mapping(value)
    for name, file in value.items():
        _named(name, _file, file)


def _made(value: Any) -> None:
    _mapping(value)
    for name, fingerprint in value.items():
        _named(name, _mapping, fingerprint)


def _maybe(check: Check) -> Check:
    def checked(value: Any) -> None:
        if value is not None:
            check(value)

    return checked


def _timed_signs(value: Any) -> None:
    rows = value if isinstance(value, (list, tuple)) else (None,)
    for row in rows:
        fine = isinstance(row, (list, tuple)) and len(row) == 3 and all(map(_is_number, row[:2]))
        _expect(fine and 0 <= row[0] < row[1] and isinstance(row[2], str), "a list of [start_s, end_s, label]")


def _extra(value: Any) -> None:
    _mapping(value)
    for name, check in _OF_EXTRA.items():
        if value.get(name) is not None:
            _named(name, check, value[name])


def _sensor(value: Any) -> None:
    """What a record says of its sensor (:class:`signloom.streams.imu.ImuStream`)."""
    _mapping(value)
    for name, check in (("rate_hz", _rate), ("offset_s", _number), ("drift", _number), ("worn_on", _text)):
        if value.get(name) is not None:
            _named(name, check, value[name])


CONSENT_USES = ("training", "display", "synthesis")
WITHDRAWN = "withdrawn"


def _consent(value: Any) -> None:
    """What signers allow, by signer (:mod:`signloom.data.consent`)."""
    _made(value)
    for said in value.values():
        for name in CONSENT_USES:
            if said.get(name) is not None:
                _named(name, _yes_or_no, said[name])
        if said.get(WITHDRAWN) is not None:
            _named(WITHDRAWN, _text, said[WITHDRAWN])


def _yes_or_no(value: Any) -> None:
    _expect(isinstance(value, bool), "true or false")


_OF_EXTRA: Mapping[str, Check] = {
    "seen": _shares,
    "crop": _matrix,
    "crop_outside": _number,
    "signs": _timed_signs,
    "source_frames": _whole_range,
    "imu": _sensor,
}
"""What signloom itself reads of ``extra``; all else there is the corpus's own."""

CLIP: Mapping[str, Check] = {
    "id": _id,
    "label": _maybe(_text),
    "signer": _maybe(_text),
    "source": _maybe(_text),
    "split": _maybe(_split),
    "parent": _maybe(_id),
    "streams": _files,
    "first_frame": _count,
    "end_frame": _maybe(_count),
    "start_s": _maybe(_seconds),
    "end_s": _maybe(_seconds),
    "box_px": _maybe(_box),
    "n_frames": _maybe(_count),
    "fps": _maybe(_rate),
    "content": _maybe(_text),
    "licence": _maybe(_text),
    "consent": _maybe(_text),
    "extra": _extra,
}
HEADER: Mapping[str, Check] = {
    "clips": _count,
    "name": _maybe(_text),
    "source": _maybe(_text),
    "streams": _made,
    "split": _maybe(_mapping),
    "notes": _texts,
    "published": _maybe(_made),
    "skipped": _maybe(_mapping),
    "consent": _maybe(_consent),
}
"""What signloom itself reads of the header; other entries are the corpus's own."""
RANGES = (("first_frame", "end_frame"), ("start_s", "end_s"))


def check_clip(row: Any) -> None:
    """Raise ValueError unless ``row`` is an object whose fields are all those of a clip."""
    if not isinstance(row, dict):
        raise ValueError(f"got {_short(row)}, expected an object with the fields of a clip")
    unknown = sorted(set(row) - set(CLIP))
    if unknown:
        raise ValueError(f"unknown fields {_short(unknown)}; known are {sorted(CLIP)}")
    if "id" not in row:
        raise ValueError("a clip without 'id'")
    for name, value in row.items():
        _named(name, CLIP[name], value)
    for first, end in RANGES:
        if row.get(end) is not None and not (row.get(first) or 0) < row[end]:
            raise ValueError(f"'{first}' is {row.get(first) or 0}, '{end}' {row[end]}: nothing lies between them")


def check_header(header: Mapping[str, Any]) -> None:
    """Raise ValueError where the header holds something else than is read of it."""
    for name, check in HEADER.items():
        if name in header:
            _named(name, check, header[name])


def _named(name: str, check: Check, value: Any) -> None:
    try:
        check(value)
    except _Expected as expected:
        raise _Expected(f"'{plain(name)}': got {_short(value)}, expected {expected}") from None


class _Expected(ValueError):
    pass


def _expect(fine: bool, what: str) -> None:
    if not fine:
        raise _Expected(what)


def _short(value: Any) -> str:
    text = plain(repr(value))
    return text if len(text) <= 60 else f"{text[:59]}…"
