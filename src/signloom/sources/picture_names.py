"""What is odd about the names of a folder of pictures that is read as frames, one after the other.

Nothing is left out of such a folder, so a picture that is missing, there twice, or a stranger's, shifts or interrupts
what follows, and no frame shows it. The names do.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from signloom.media import list_pictures

_NAMED = 10  # folders
_ALIKE = {".jpeg": ".jpg", ".tiff": ".tif"}


def odd_names(pictures: Sequence[Path]) -> list[str]:
    """All that is odd about the names of a folder's ``pictures``, in words; empty where nothing is."""
    if len(pictures) < 3:
        return []
    forms = [re.sub(r"\d+", "#", path.stem.casefold()) for path in pictures]
    usual, n = Counter(forms).most_common(1)[0]
    strangers = [path for path, form in zip(pictures, forms) if form != usual]
    if 2 * n < len(pictures):  # names that share nothing say nothing
        return []
    found = []
    if strangers:
        like = next(path for path, form in zip(pictures, forms) if form == usual)
        found.append(
            f"{len(strangers)} of {len(pictures)} pictures are not named like the rest ('{strangers[0].name}' beside "
            f"'{like.name}'): a copy, or no frame of it? All are read, in order of their names"
        )
    rest = [path for path, form in zip(pictures, forms) if form == usual]
    kinds = Counter(_ALIKE.get(suffix, suffix) for suffix in (path.suffix.lower() for path in pictures))
    if len(kinds) > 1:
        found.append("pictures are of several kinds: " + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))
    return [*found, *filter(None, (_padding(rest), numbering(rest)))]


def odd_folders(folders: Mapping[str, str | os.PathLike[str]]) -> list[str]:
    """What is odd about those of ``folders`` (clip's id → its video) that are folders of pictures, in one note a clip.

    A file costs one look at what it is.
    """
    told = {clip: odd_names(list_pictures(path)) for clip, path in folders.items() if os.path.isdir(path)}
    notes = [f"clip '{clip}': in '{folders[clip]}' {'; '.join(what)}" for clip, what in told.items() if what]
    more = len(notes) - _NAMED
    return [*notes[:_NAMED], f"{more} more folders of pictures are named oddly; signloom doctor names them"][
        : len(notes)
    ]


def _padding(pictures: Sequence[Path]) -> str | None:
    """Numbers with zeros before them and without, as where two series lie in one folder."""
    last = [found[-1] for path in pictures if (found := re.findall(r"\d+", path.stem))]
    padded = {len(number) for number in last if number[0] == "0" and len(number) > 1}
    plain = {len(number) for number in last if number[0] != "0"}
    if not padded or (len(padded) == 1 and min(plain, default=max(padded)) >= max(padded)):
        return None
    shortest, longest = min(last, key=len), max(last, key=len)
    return f"numbers are written with zeros before them and without ('{shortest}' and '{longest}')"


def numbering(pictures: Sequence[Path]) -> str | None:
    """What is odd about how the names of a folder count: numbers left out, or there twice. None: nothing is.

    Frames at an even step (every fifth) count as left out by nobody.
    """
    found = [(re.findall(r"\d+", path.stem) or [""])[-1] for path in pictures]
    if len(pictures) < 3 or not all(found):
        return None
    counts = Counter((re.sub(r"\d+(\D*)$", r"#\1", path.stem.casefold()), int(n)) for path, n in zip(pictures, found))
    twice = sorted(number for (_, number), n in counts.items() if n > 1)
    if twice:
        return f"number {twice[0]} is there twice" + (f", as are {len(twice) - 1} more" if len(twice) > 1 else "")
    if len({form for form, _ in counts}) > 1:
        return None
    numbers = sorted(number for _, number in counts)
    steps = Counter(b - a for a, b in pairwise(numbers))
    usual = steps.most_common(1)[0][0]
    gaps = [(a, b) for a, b in pairwise(numbers) if b - a != usual]
    if not gaps or len(gaps) > len(numbers) // 4:  # numbers that count something else
        return None
    left_out = sum((b - a) // usual - 1 for a, b in gaps)
    return f"of the numbers {numbers[0]} to {numbers[-1]}, {left_out} are left out, first after {gaps[0][0]}"
