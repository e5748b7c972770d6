"""What WLASL's JSON lists say of each instance, every field checked: a list may have gone through any program."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from signloom.errors import InputError
from signloom.runtime.text import plain
from signloom.sources.listing import split_name
from signloom.sources.ranges import fps_of

RANGE_FPS = 25.0
_YOUTUBE = re.compile(r"(?:youtube\.com/(?:watch\?(?:.*&)?v=|embed/|v/)|youtu\.be/)([\w-]{11})")
_MOST_FRAMES = 1 << 40  # far beyond any video, and exact as a float
_MOST_PX = 1 << 20

Instance = dict[str, Any]


def instances_of_glosses(file: Path, content: list[Any]) -> Iterator[Instance]:
    """The instances of a whole list, ``[{gloss, instances}]``. Raises InputError naming gloss, instance and field."""
    for g, group in enumerate(content):
        where = f"'{file}' entry {g}"
        _check(isinstance(group, dict), where, group, "{gloss, instances}")
        gloss = _field(group, "gloss", where, _name)
        where = f"'{file}' gloss '{gloss}'"
        for i, item in enumerate(_field(group, "instances", where, _list)):
            yield _instance(item, g, gloss, f"{where} instance {i}")


def _instance(item: Any, g: int, gloss: str, where: str) -> Instance:
    _check(isinstance(item, dict), where, item, "{video_id, split, frame_start, frame_end, …}")
    found = _YOUTUBE.search(_field(item, "url", where, _text, ""))
    youtube = found.group(1) if found else None
    start, last = (_field(item, name, where, _whole, usual) for name, usual in (("frame_start", 1), ("frame_end", -1)))
    fps = _field(item, "fps", where, lambda value: fps_of(_name(value), where), None)
    extra = ("variation_id", "instance_id", "source", "url")
    return {
        "video_id": _field(item, "video_id", where, _name),
        "class": g,
        "label": gloss,
        "signer": _field(item, "signer_id", where, _signer, None),
        "split": split_name(_field(item, "split", where, _name), where),
        "youtube": youtube,
        "source": youtube,
        "range": _range(start, last, where),
        "from_zero": start == 0,
        "fps": RANGE_FPS if fps is None else fps,
        "has_fps": fps is not None,
        "box": _field(item, "bbox", where, _box, None),
        "extra": {k: _field(item, k, where, _plain, None) for k in extra if k in item},
    }


def instances_of_subset(file: Path, content: dict[str, Any], names: Mapping[int, str]) -> Iterator[Instance]:
    """The instances of an ``nslt_*.json``, ``{video id: {subset, action: [class, start, end]}}``; ``names`` are the
    glosses of its classes, where there is a list of them. Raises InputError naming video and field."""
    for video_id, item in content.items():
        where = f"'{file}' video '{plain(video_id)}'"
        _check(isinstance(item, dict) and video_id != "", where, item, "{subset, action: [class, start, end]}")
        number, start, last = _field(item, "action", where, _action)
        if names and number not in names:
            raise InputError(f"{where}: class {number} is not in the class list")
        yield {
            "video_id": video_id,
            "class": number,
            "label": names[number] if names else f"{number:04d}",
            "signer": None,
            "split": split_name(_field(item, "subset", where, _name), where),
            "youtube": None,
            "source": None,
            "range": _range(start, last, where),
            "from_zero": start == 0,
            "fps": RANGE_FPS,
            "has_fps": False,
            "box": None,
            "extra": {"class": number},
        }


def _range(start: int, last: int, where: str) -> tuple[int, int | None]:
    """1-based inclusive to 0-based half-open; a start of 0 is one of 1."""
    if start < 0 or (last > 0 and last < start):
        raise InputError(
            f"{where}: frame_start {start}, frame_end {last}; wanted 1 ≤ start ≤ end, or end −1 for the last"
        )
    return max(start - 1, 0), None if last <= 0 else last


# --- fields -------------------------------------------------------------------------------------------------------

_NEEDED = object()


class _Wanted(ValueError):
    pass


def _field(item: Mapping[str, Any], name: str, where: str, read: Callable[[Any], Any], usual: Any = _NEEDED) -> Any:
    """``item[name]`` as ``read`` takes it; ``usual`` where it is not there or null. Raises InputError."""
    value = item.get(name)
    if value is None and usual is not _NEEDED:
        return usual
    if name not in item:
        raise InputError(f"{where}: wanted '{name}', it has {', '.join(map(repr, item)) or 'nothing'}")
    try:
        return read(value)
    except _Wanted as wanted:
        raise InputError(f"{where}: '{name}' is {_short(value)}; wanted {wanted}") from None


def _check(fine: bool, where: str, got: Any, wanted: str) -> None:
    if not fine:
        raise InputError(f"{where}: got {_short(got)}, wanted {wanted}")


def _expect(fine: bool, what: str) -> None:
    if not fine:
        raise _Wanted(what)


def _is_number(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _text(value: Any) -> str:
    _expect(isinstance(value, str), "text")
    return value


def _name(value: Any) -> str:
    """Text that may have become a number on its way through a table program."""
    _expect(isinstance(value, str) or _is_number(value), "text")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    _expect(text.strip() != "", "text that is not empty")
    return text


def _signer(value: Any) -> str | None:
    """None where the list knows of none: -1, or nothing."""
    return None if value == "" else None if (name := _name(value)) == "-1" else name


def _whole(value: Any) -> int:
    try:
        number = float(value) if isinstance(value, str) or _is_number(value) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    _expect(abs(number) < _MOST_FRAMES and number.is_integer(), "a whole number")
    return int(number)


def _list(value: Any) -> list[Any]:
    _expect(isinstance(value, list), "a list")
    return value


def _action(value: Any) -> tuple[int, int, int]:
    wanted = "[class, start, end], whole numbers"
    _expect(isinstance(value, list) and len(value) == 3, wanted)
    try:
        number, start, last = map(_whole, value)
    except _Wanted:
        raise _Wanted(wanted) from None
    return number, start, last


def _box(value: Any) -> tuple[float, float, float, float]:
    fine = isinstance(value, list) and len(value) == 4
    fine = fine and all(_is_number(v) and abs(v) < _MOST_PX for v in value)
    _expect(fine and value[0] < value[2] and value[1] < value[3], "[xmin, ymin, xmax, ymax]")
    x0, y0, x1, y1 = map(float, value)
    return x0, y0, x1, y1


def _plain(value: Any) -> Any:
    _expect(isinstance(value, str | bool) or _is_number(value), "text or a number")
    return value


def _short(value: Any) -> str:
    text = plain(repr(value))
    return text if len(text) <= 60 else f"{text[:59]}…"
