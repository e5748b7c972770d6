"""Which picture of one folder goes with which of another, by their names alone.

What all names of a folder have in common says nothing (``pose_v2_0001``, ``0001_1080p``): the rest must agree. Where it
could agree in two ways, with the second way a frame later, nobody is asked to trust a guess: that is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from signloom.errors import InputError

HOW = ("auto", "name", "order")
Key = tuple[int | str, ...]


@dataclass(frozen=True)
class Partners:
    """``together`` in the order of ``numbers``, which count frames; ``alone`` have no partner."""

    together: tuple[tuple[Path, Path], ...]
    numbers: tuple[int, ...]
    alone: tuple[Path, ...] = ()


def partners(first: Sequence[Path], second: Sequence[Path], how: str = "auto") -> Partners:
    """The pictures of two folders that belong together; both in natural order.

    ``how`` "auto" goes by names and refuses where they could be meant otherwise; "name" takes the names at their word,
    whatever is left alone; "order" the first with the first. Raises InputError with the question, and for an order of
    unequal lengths.
    """
    if how == "order" or len(first) == len(second) == 1:
        if len(first) != len(second):
            raise InputError(
                f"option pair=order: {_counted(first)}, {_counted(second)}; wanted equally many, since one that is "
                "missing in the middle would shift all after it"
            )
        return Partners(tuple(zip(first, second)), tuple(range(1, len(first) + 1)))
    readings = _readings(first, second)
    readings = [(a, b) for a, b in readings if a.keys() == b.keys()] or readings
    if not readings:
        raise _question(first, second, _twice(first) or _twice(second) or "no name of one has its like in the other.")
    if how == "auto" and len({frozenset((a[k], b[k]) for k in a.keys() & b.keys()) for a, b in readings}) > 1:
        raise _question(first, second, "their names can be matched in more than one way.")
    mine, other = readings[0]
    doubt = _doubt(mine, other)
    if how == "auto" and doubt:
        raise _question(first, second, doubt)
    places = {path: k for k, path in enumerate(first, 1)}
    both = mine.keys() & other.keys()
    numbers = {key: _number(key) if _counts(key) else places[mine[key]] for key in both}
    order = sorted(both, key=lambda key: numbers[key])
    alone = [path for own, others in ((mine, other), (other, mine)) for key, path in own.items() if key not in others]
    return Partners(tuple((mine[key], other[key]) for key in order), tuple(numbers[key] for key in order), tuple(alone))


def frame_numbers(pictures: Sequence[Path]) -> dict[int, Path]:
    """What the names count, with each picture, in that order; their places from 1, where names do not tell them apart.

    The one number that differs from name to name; the last, where several do.
    """
    keys = _keys(pictures)
    if keys is not None and all(map(_counts, keys)):
        return dict(sorted((_number(key), path) for key, path in keys.items()))
    last = {int(found[-1]): path for path in pictures if (found := re.findall(r"\d+", path.stem))}
    return dict(sorted(last.items() if len(last) == len(pictures) else enumerate(pictures, 1)))


# --- names --------------------------------------------------------------------------------------------------------


def _keys(pictures: Sequence[Path]) -> dict[Key, Path] | None:
    """What tells each name from the others of its folder; None where two names differ in form only (1 and 01)."""
    stems = [unicodedata.normalize("NFC", path.stem).casefold() for path in pictures]
    if len(stems) == 1:
        number = re.findall(r"\d+", stems[0])
        return {("", int(number[-1]), ""): pictures[0]} if number else {(stems[0],): pictures[0]}
    start = re.sub(r"\d+$", "", _common_start(stems))
    stems = [stem.removeprefix(start) for stem in stems]
    end = re.sub(r"^\d+", "", _common_start([stem[::-1] for stem in stems])[::-1])
    keys = [_parts(stem.removesuffix(end)) for stem in stems]
    return dict(zip(keys, pictures)) if len(set(keys)) == len(keys) else None


def _common_start(texts: Sequence[str]) -> str:
    least, most = min(texts), max(texts)
    return least[: next((k for k, (a, b) in enumerate(zip(least, most)) if a != b), len(least))]


def _parts(text: str) -> Key:
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text))


def _counts(key: Key) -> bool:
    """Whether a number is all there is to the key."""
    return len(key) == 3 and not key[0] and not key[2]


def _number(key: Key) -> int:
    return int(key[1])


def _readings(first: Sequence[Path], second: Sequence[Path]) -> list[tuple[Mapping[Key, Path], Mapping[Key, Path]]]:
    """The ways to read the names of both folders alike, the whole of what differs first."""
    whole, others = _keys(first), _keys(second)
    found = [(whole, others)] if whole is not None and others is not None else []
    found += [(a, b) for a in _fields(first) for b in _fields(second)]
    return [(a, b) for a, b in found if a.keys() & b.keys()]


def _fields(pictures: Sequence[Path]) -> list[dict[Key, Path]]:
    """Each number in the names that is another in every one of them, by itself; none where names differ in form."""
    every = [_parts(path.stem) for path in pictures]
    if len({len(key) for key in every}) != 1:
        return []
    columns = [[int(key[k]) for key in every] for k in range(1, len(every[0]), 2)]
    return [{("", n, ""): path for n, path in zip(c, pictures)} for c in columns if len(set(c)) == len(c)]


# --- doubts -------------------------------------------------------------------------------------------------------


def _doubt(mine: Mapping[Key, Path], other: Mapping[Key, Path]) -> str | None:
    """Why the names need not mean what they say; None where they can only be meant so."""
    if mine.keys() == other.keys():
        return None
    fewer, more = sorted((mine.keys(), other.keys()), key=len)
    subset = fewer <= more
    if not all(map(_counts, (*mine, *other))):
        return None if subset else "each has names that the other lacks."
    if 2 * len(fewer & more) < len(fewer):  # 0.04 (a second's parts) and 04 (a frame) have the same digits
        return "most have no partner: do their names count the same?"
    starts = [min(map(_number, keys)) for keys in (mine, other)]
    if starts[0] == starts[1] or (subset and len(more) - len(fewer) > 1):
        return None
    ends = [max(map(_number, keys)) for keys in (mine, other)]
    return (
        f"one counts from {starts[0]} to {ends[0]}, the other from {starts[1]} to {ends[1]}: is a picture missing, or "
        "do they count from different starts?"
    )


def _question(first: Sequence[Path], second: Sequence[Path], why: str) -> InputError:
    return InputError(
        f"which pictures belong together? {_counted(first)}, {_counted(second)}; {why} Say it: --option pair=name "
        "(what is called alike), or --option pair=order (the first with the first, of equally many); or rename them"
    )


def _twice(pictures: Sequence[Path]) -> str | None:
    return f"'{pictures[0].parent}' has two that are called alike." if _keys(pictures) is None else None


def _counted(pictures: Sequence[Path]) -> str:
    return f"'{pictures[0].parent}' has {len(pictures)}, from '{pictures[0].name}' to '{pictures[-1].name}'"
