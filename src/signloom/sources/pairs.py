"""Pairs of a stick figure and a photograph, one a frame: which file goes with which. Opens none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from signloom.errors import InputError
from signloom.media import list_pictures
from signloom.sources.partners import frame_numbers, partners
from signloom.sources.picture_names import odd_names
from signloom.sources.spelling import Finder

LAYOUTS = ("auto", "photo-left", "photo-right", "folders")


@dataclass(frozen=True)
class Pair:
    """One frame: ``number`` as its name counts it, the file of the photograph and that of the stick figure.

    Both are the same file where they stand side by side in one picture.
    """

    folder: str
    number: int
    photo: Path
    skeleton: Path


@dataclass(frozen=True)
class PairList:
    """The pairs of each recording place (a folder, or folders whose numbers go on from one to the next), by number.

    ``alone`` are pictures whose other half is missing; ``notes`` tell what is odd about their numbers.
    """

    places: tuple[tuple[Pair, ...], ...]
    side_by_side: bool
    alone: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def list_pairs(
    root: Path,
    *,
    layout: str = "auto",
    skeleton: str = "skeleton",
    photo: str = "signer",
    folders: Sequence[str] = (),
    pair: str = "auto",
) -> PairList:
    """The pairs below ``root``: two folders named ``skeleton`` and ``photo``, or pictures that hold both halves.

    Side by side, they lie in ``root`` itself or in the folders in it, of which ``folders`` picks some. A clip may go on
    from one folder to the next, as when somebody split frames and not clips: where one folder's numbers go on where
    another's end, and no number stands in both, they are one place. ``pair`` is how the pictures of two folders find
    each other, as in :func:`~signloom.sources.partners.partners`. Raises InputError for what is not there, and where
    names leave open what belongs together.
    """
    if layout not in LAYOUTS:
        raise InputError(f"option layout: got '{layout}', expected one of {', '.join(LAYOUTS)}")
    if not root.is_dir():
        raise InputError(f"'{root}' is not a folder; source pairs wants one with pictures, or folders of them")
    finder = Finder(root)
    skeleton, photo = (finder.find(name) or name for name in (skeleton, photo))
    folders = [finder.find(name) or name for name in folders]
    if layout == "auto" and (root / skeleton).is_dir() and (root / photo).is_dir():
        layout = "folders"
    if layout == "folders":
        return _two_folders(root, root / skeleton, root / photo, pair)
    chosen = [root / name for name in folders] or [root, *sorted(p for p in root.iterdir() if p.is_dir())]
    numbered: dict[str, list[Pair]] = {}
    listed = []
    for folder in chosen:
        pictures = list_pictures(folder)
        if pictures:
            numbered[folder.name] = [Pair(folder.name, n, p, p) for n, p in frame_numbers(pictures).items()]
            listed.append(pictures)
        elif folders:
            raise InputError(f"there is no picture in '{folder}'")
    if not numbered:
        raise InputError(f"there is no picture in '{root}' or the folders in it; nor '{skeleton}' beside '{photo}'")
    return PairList(tuple(_places(list(numbered.values()))), side_by_side=True, notes=_notes(listed))


def _two_folders(root: Path, skeleton: Path, photo: Path, pair: str) -> PairList:
    drawn, taken = list_pictures(skeleton), list_pictures(photo)
    for folder, found in ((skeleton, drawn), (photo, taken)):
        if not found:
            raise InputError(f"there is no picture in '{folder}'; name the two with the options skeleton= and photo=")
    matched = partners(taken, drawn, pair)
    name = root.resolve().name
    pairs = tuple(Pair(name, n, a, b) for n, (a, b) in zip(matched.numbers, matched.together))
    return PairList((pairs,), side_by_side=False, alone=matched.alone, notes=_notes([taken, drawn]))


def _notes(folders: Sequence[Sequence[Path]]) -> tuple[str, ...]:
    return tuple(f"'{pictures[0].parent}': {what}" for pictures in folders for what in odd_names(pictures))


def _places(folders: list[list[Pair]]) -> list[tuple[Pair, ...]]:
    """Folders, joined where the numbers of one go on in another and none is in both."""
    places: list[list[Pair]] = []
    for folder in folders:
        joined = folder
        while True:
            ours = {p.number for p in joined}
            near = {n + 1 for n in ours} | {n - 1 for n in ours}
            other = next((p for p in places if not ours & (their := {q.number for q in p}) and near & their), None)
            if other is None:
                break
            places.remove(other)
            joined = [*other, *joined]
        places.append(joined)
    return [tuple(sorted(place, key=lambda pair: pair.number)) for place in places]
