"""From pairs of stick figure and photograph, as published ones come, to a corpus that a generator learns from.

Such pairs are frames without a video: of several clips in one folder, some twice, some out of order, one clip in two
folders, with text burned in below the photograph. Here they become clips in the order of time, each with the streams
``signer`` and ``skeleton``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from signloom import media
from signloom.data.failures import write_failures
from signloom.data.manifest import Manifest, Record, clip_id, write_manifest
from signloom.errors import InputError, MediaError
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.locks import locking_out
from signloom.runtime.progress import Progress
from signloom.sources.pairs import Pair, PairList, list_pairs
from signloom.sources.partners import HOW
from signloom.streams.signer_crop import SignerCrop, shoulders_in_drawing, warp_drawing
from signloom.transforms.continuity import Frames, clips_in_order
from signloom.transforms.geometry import fit_shorter_side, translation, warp_frames

VERSION = 1
CROPS = ("auto", "shoulders", "centre", "none")
Box = tuple[int, int, int, int]

_THUMB = 48  # frames are compared at so many pixels a side
_LIT = 16  # grey levels; darker is the black that text is burned into
_SEAM_PX = 2
_HALF_LIT = 0.5  # a row or column of the photograph is lit at least so far, in one frame or another


@dataclass(frozen=True)
class PairImport:
    """How to read pairs, and what to make of them.

    ``layout``, ``skeleton``, ``photo``, ``folders`` and ``pair`` as in
    :func:`~signloom.sources.pairs.list_pairs`. ``photo_box`` is where the photograph lies in its half,
    (x0, y0, x1, y1); by default the rows and columns of the half that are not black, and all of a picture that is no
    half. ``crop`` is ``"shoulders"`` (the square of :class:`~signloom.streams.signer_crop.SignerCrop`, by the shoulders
    of the stick figure), ``"centre"`` (the photograph's central square), ``"none"`` (it is square already); ``"auto"``
    takes ``none`` where it can and else ``shoulders``.
    ``size_px`` None is 512 where the source carries it, else 256. ``signers`` maps a clip's id, or "" for all, to who
    signs; by default the folder's name. Clips ``test`` are split test, the others train; ``test_last`` makes the last
    so many frames of every clip a test clip.
    """

    summary: ClassVar[str] = "pairs of stick figure and photograph, side by side or in two folders"

    layout: str = "auto"
    skeleton: str = "skeleton"
    photo: str = "signer"
    folders: tuple[str, ...] = ()
    pair: str = "auto"
    photo_box: Box | None = None
    crop: str = "auto"
    shoulders: float = 3.0
    size_px: int | None = None
    fps: float = media.DEFAULT_FPS
    signers: Mapping[str, str] = field(default_factory=dict)
    test: tuple[str, ...] = ()
    test_last: int = 0

    def __post_init__(self):
        if self.pair not in HOW:
            raise InputError(f"option pair: got '{self.pair}', expected one of {', '.join(HOW)}")
        if self.crop not in CROPS:
            raise InputError(f"option crop: got '{self.crop}', expected one of {', '.join(CROPS)}")
        if self.test and self.test_last:
            raise InputError("options test and test_last exclude each other: say which clips, or how many last frames")
        if self.test_last < 0:
            raise InputError(f"option test_last: got {self.test_last}, expected a number of frames")
        media.exact_rate(self.fps)
        SignerCrop(size_px=self.size_px or 256, shoulders=self.shoulders)

    @staticmethod
    def readers() -> dict[str, Callable[[str], Any]]:
        """The options of the command line, and how their values are read."""
        return {
            **dict.fromkeys(("layout", "skeleton", "photo", "pair", "crop"), str),
            **dict.fromkeys(("folders", "test"), _names),
            **dict.fromkeys(("shoulders", "fps"), float),
            **dict.fromkeys(("size", "test_last"), int),
            "photo_box": _box,
            "signer": lambda text: dict(part.rpartition(":")[::2] for part in _names(text)),
        }

    @classmethod
    def of_options(cls, options: Mapping[str, str]) -> PairImport:
        """From the command line's ``--option NAME=VALUE``. Raises InputError naming what is wrong."""
        readers = cls.readers()
        fields = {"size": "size_px", "signer": "signers"}
        values = {}
        for name, text in options.items():
            if name not in readers:
                raise InputError(f"source 'pairs' has no option '{name}'; it has {', '.join(readers)}")
            try:
                values[fields.get(name, name)] = readers[name](text)
            except ValueError as error:
                raise InputError(f"option {name}: cannot be read: '{text}' ({error})") from error
        return cls(**values)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _box(text: str) -> Box:
    numbers = [int(part) for part in text.split(",")]
    if len(numbers) != 4 or not (0 <= numbers[0] < numbers[2] and 0 <= numbers[1] < numbers[3]):
        raise ValueError("expected x0,y0,x1,y1 in pixels, x1 and y1 one past the last")
    return numbers[0], numbers[1], numbers[2], numbers[3]


@dataclass(frozen=True)
class _Halves:
    """How to get photograph and stick figure of a pair: from two files, or from a file's halves."""

    side_by_side: bool
    photo_left: bool = True

    def read(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        if not self.side_by_side:
            return media.read_picture(pair.photo), media.read_picture(pair.skeleton)
        left, right = _split(media.read_picture(pair.photo))
        return (left, right) if self.photo_left else (right, left)


@dataclass
class _Clip:
    """Pairs in the order of time. ``counted`` are the first and last number among them and the repeats left out."""

    pairs: list[Pair]
    counted: tuple[int, int]
    source: str
    matrix: np.ndarray | None = None  # from the half's pixels to those of a square of side 1; None: it is square

    @property
    def id(self) -> str:
        folder = Counter(p.folder for p in self.pairs).most_common(1)[0][0]
        return clip_id([folder.replace("_", "-"), f"{self.counted[0]}-{self.counted[1]}"])


@locking_out
def import_pairs(
    root: Path, out: Path, settings: PairImport, *, quiet: bool = False
) -> tuple[Manifest, list[dict[str, str]]]:
    """Make a corpus of streams ``signer`` and ``skeleton`` in the folder ``out``; return it and the failed pictures.

    Nothing that lies outside the photograph's box reaches ``signer``. Resumable: clips that are there are not written
    again, and the manifest comes last. Pictures that cannot be used are listed in ``failures.jsonl``. Raises InputError
    when no pair is left, and for settings that do not fit what is found.
    """
    listing = list_pairs(
        root,
        layout=settings.layout,
        skeleton=settings.skeleton,
        photo=settings.photo,
        folders=settings.folders,
        pair=settings.pair,
    )
    failures = [_failure(p, "no-partner", f"'{p}': its other half is missing") for p in listing.alone]
    halves, box, places = _survey(listing, settings, failures, quiet)
    clips: list[_Clip] = []
    crop = settings.crop
    square = (box[2] - box[0]) == (box[3] - box[1])
    if crop == "auto":
        crop = "none" if square and (not listing.side_by_side or box[0] == box[1] == 0) else "shoulders"
    if crop == "none" and not square:
        raise InputError(
            f"option crop=none: the photographs are {box[2] - box[0]}x{box[3] - box[1]}; wanted squares. Use "
            "crop=shoulders or crop=centre"
        )
    with Progress("compare", sum(map(len, places)), unit="pictures", quiet=quiet) as progress:
        for place in places:
            clips += _find_clips(place, halves, box, crop, settings, failures, progress)
    if not clips:
        raise InputError(f"none of the pictures of '{root}' could be used; the first: {failures[0]['message']}")
    size = settings.size_px or _carried_px(clips, box)
    cut = None if crop != "shoulders" else SignerCrop(size_px=size, shoulders=settings.shoulders)
    made = {
        "signer": {
            "extractor": "signer-crop",
            "size_px": size,
            # A pose can be cut in the same way only where the shoulders decided.
            "crop": cut.fingerprint()["crop"] if cut else None,
            "pairs": {"crop": crop, "photo_box": list(box), "version": VERSION},
        },
        "skeleton": {"extractor": "openpose-drawing", "pairs": {"crop": crop, "version": VERSION}},
    }
    records = []
    _remove_unfinished_folders(out)
    try:
        with Progress("write", sum(len(c.pairs) for c in clips), unit="pictures", quiet=quiet) as progress:
            for clip in clips:
                records += _records(clip, _write(clip, out, halves, box, size, made, progress), settings)
    except BaseException:
        _remove_unfinished_folders(out)  # the disk may be full
        raise
    _check_split(records, settings)
    write_failures(out, failures)
    meta: dict[str, Any] = {"name": root.resolve().name, "source": "pairs", "streams": made, "failed": len(failures)}
    if listing.notes:
        meta["notes"] = list(listing.notes)
    corpus = Manifest(tuple(records), out, meta)
    write_manifest(corpus, out)
    return corpus, failures


def _remove_unfinished_folders(out: Path) -> None:
    for folder in (*out.glob("signer/.tmp-*"), *out.glob("skeleton/.tmp-*")):
        shutil.rmtree(folder, ignore_errors=True)


def _failure(path: Path, reason: str, message: str) -> dict[str, str]:
    return {"id": path.stem, "file": str(path), "reason": reason, "message": message}


# --- what the pictures are ----------------------------------------------------------------------------------------


def _split(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = picture.shape[1] // 2
    return picture[:, :half], picture[:, -half:]


def _survey(
    listing: PairList, settings: PairImport, failures: list[dict[str, str]], quiet: bool
) -> tuple[_Halves, Box, list[list[Pair]]]:
    """Which half is which, where the photograph lies in its half, and the pairs that can be read."""
    lit: list[np.ndarray] = []  # for the one or two pictures of a pair, what was ever lit
    black = [0.0, 0.0]
    sizes: Counter[tuple[int, ...]] = Counter()
    readable: list[list[tuple[Pair, tuple[int, ...]]]] = []
    as_is = _Halves(listing.side_by_side)
    with Progress("read", sum(map(len, listing.places)), unit="pictures", quiet=quiet) as progress:
        for place in listing.places:
            readable.append([])
            for pair in place:
                try:
                    two = as_is.read(pair)
                except MediaError as error:
                    failures.append(_failure(pair.photo, error.reason, str(error)))
                    progress.step(failed=True)
                    continue
                size = (*two[0].shape[:2], *two[1].shape[:2])
                sizes[size] += 1
                readable[-1].append((pair, size))
                ever = [half.max(2) > _LIT for half in two]
                if not lit:
                    lit = ever
                if size == (*lit[0].shape, *lit[1].shape):
                    lit = [a | b for a, b in zip(lit, ever)]
                    black = [b + (1 - e.mean()) for b, e in zip(black, ever)]
                progress.step()
    if not sizes:
        first = f"; the first: {failures[0]['message']}" if failures else ""
        raise InputError(f"none of the pictures could be read{first}")
    usual = sizes.most_common(1)[0][0]
    places = []
    for of_place in readable:
        for pair, size in of_place:
            if size != usual:
                wanted = f"{usual[1]}x{usual[0]} and {usual[3]}x{usual[2]}"
                said = f"'{pair.photo}': halves of {size[1]}x{size[0]} and {size[3]}x{size[2]}; most are {wanted}"
                failures.append(_failure(pair.photo, "other-size", said))
        places.append([pair for pair, size in of_place if size == usual])
    if usual[:2] != usual[2:]:
        raise InputError(
            f"photographs are {usual[1]}x{usual[0]}, stick figures {usual[3]}x{usual[2]}; wanted both alike, pixel by "
            "pixel"
        )
    n = sizes[usual]
    halves = _Halves(listing.side_by_side, _photo_is_left(listing, settings, black[0] / n, black[1] / n))
    box = settings.photo_box or (0, 0, usual[1], usual[0])
    if listing.side_by_side and not settings.photo_box:
        photo_lit, drawing_lit = lit if halves.photo_left else lit[::-1]
        box = _photo_box(photo_lit, drawing_lit)
    if box[2] > usual[1] or box[3] > usual[0]:
        raise InputError(f"option photo_box: {box} reaches beyond the {usual[1]}x{usual[0]} pixels of a half")
    return halves, box, places


def _photo_is_left(listing: PairList, settings: PairImport, black_left: float, black_right: float) -> bool:
    if not listing.side_by_side:
        return True
    if settings.layout in ("photo-left", "photo-right"):
        return settings.layout == "photo-left"
    if max(black_left, black_right) < 0.7 or abs(black_left - black_right) < 0.1:
        raise InputError(
            f"cannot tell which half is the stick figure: {black_left:.0%} of the left and {black_right:.0%} of the "
            "right are black. Say it: --option layout=photo-left or photo-right"
        )
    return black_left < black_right


def _photo_box(photo_lit: np.ndarray, drawing_lit: np.ndarray) -> Box:
    """The largest block of rows, and of columns in it, of which at least half is ever lit.

    Burned-in text stands on constant black of which its letters, even if they change, light less. A dark photograph of
    which the box would be too small shows by a stick figure that does not fit in.
    """
    y0, y1 = _longest(photo_lit.mean(1) >= _HALF_LIT)
    x0, x1 = _longest(photo_lit[y0:y1].mean(0) >= _HALF_LIT) if y1 > y0 else (0, 0)
    drawn = np.flatnonzero(drawing_lit[y0:y1].sum(0) > 2)
    if y1 - y0 < 16 or x1 - x0 < 16 or (len(drawn) and (drawn[0] < x0 - 8 or drawn[-1] >= x1 + 8)):
        raise InputError("no photograph was found on the black; say where it lies: --option photo_box=x0,y0,x1,y1")
    # Where it ends in black, compression has mixed the two.
    height, width = photo_lit.shape
    x0, y0 = x0 + _SEAM_PX * (x0 > 0), y0 + _SEAM_PX * (y0 > 0)
    return x0, y0, x1 - _SEAM_PX * (x1 < width), y1 - _SEAM_PX * (y1 < height)


def _longest(lit: np.ndarray) -> tuple[int, int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lit.astype(int), [0]])))
    if not len(edges):
        return 0, 0
    spans = edges.reshape(-1, 2)
    first, end = spans[int(np.diff(spans, axis=1).argmax())]
    return int(first), int(end)


# --- clips --------------------------------------------------------------------------------------------------------


def _find_clips(
    place: Sequence[Pair],
    halves: _Halves,
    box: Box,
    crop: str,
    settings: PairImport,
    failures: list[dict[str, str]],
    progress: Progress,
) -> list[_Clip]:
    cv2 = media.import_cv2()
    x0, y0, x1, y1 = box

    def thumb(picture: np.ndarray) -> np.ndarray:
        return cv2.resize(picture, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).ravel()

    photos, drawings, shoulders = [], [], []
    for pair in place:
        photo, drawing = halves.read(pair)
        photos.append(thumb(photo[y0:y1, x0:x1]))
        drawings.append(thumb(drawing))
        shoulders.append(shoulders_in_drawing(drawing) if crop == "shoulders" else None)
        progress.step()
    if not place:
        return []
    clips: list[_Clip] = []
    order, repeats = clips_in_order(Frames(np.stack(photos), np.stack(drawings), [p.number for p in place]))
    for numbers in order:
        inside = set(numbers)
        counted = sorted(place[n].number for n in [*numbers, *(r for r, of in repeats.items() if of in inside)])
        clip = _Clip([place[n] for n in numbers], (counted[0], counted[-1]), "")
        # Pieces whose numbers interleave were filmed in one go.
        clip.source = clips[-1].source if clips and counted[0] < clips[-1].counted[1] else clip.id
        if crop == "shoulders":
            seen = [s for n in numbers if (s := shoulders[n]) is not None]
            try:
                left, right = (np.array([s[k] for s in seen]).reshape(-1, 2) for k in (0, 1))
                clip.matrix = _UNIT @ SignerCrop(256, settings.shoulders).matrix_of_shoulders(left, right)
            except MediaError as error:
                message = f"clip '{clip.id}': no stick figure of it has both shoulders; use --option crop=centre"
                failures.extend(_failure(p.photo, error.reason, message) for p in clip.pairs)
                continue
        elif crop == "centre":
            side = min(x1 - x0, y1 - y0)
            fit = fit_shorter_side(x1 - x0, y1 - y0, side, side) @ translation(-x0, -y0)
            clip.matrix = np.diag([1 / side, 1 / side, 1.0]) @ fit
        clips.append(clip)
    return clips


_UNIT = np.diag([1 / 256, 1 / 256, 1.0])


def _carried_px(clips: Sequence[_Clip], box: Box) -> int:
    """512 where the squares cut out are about so large in the source, else 256."""
    sides = [box[2] - box[0] if c.matrix is None else 1 / c.matrix[0, 0] for c in clips]
    return 512 if np.median(sides) >= 384 else 256


def _write(
    clip: _Clip,
    out: Path,
    halves: _Halves,
    box: Box,
    size: int,
    made: Mapping[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """The folders of ``clip``'s streams, written unless they are there, and the hash of each frame's bytes."""
    cv2 = media.import_cv2()
    x0, y0, x1, y1 = box
    contents = [
        hashlib.blake2b("".join(media.content_hash(p) for p in {pair.photo: 0, pair.skeleton: 0}).encode()).hexdigest()
        for pair in clip.pairs
    ]
    mark = fingerprint_hash(contents, None if clip.matrix is None else clip.matrix.round(9).tolist(), made)
    folders = {stream: out / stream / f"{clip.id}-{mark}" for stream in ("signer", "skeleton")}
    if not all(folder.is_dir() for folder in folders.values()):
        unfinished = {stream: folder.with_name(f".tmp-{folder.name}") for stream, folder in folders.items()}
        for folder in unfinished.values():
            shutil.rmtree(folder, ignore_errors=True)
        for k, pair in enumerate(clip.pairs):
            photo, drawing = halves.read(pair)
            photo = photo[y0:y1, x0:x1]
            if clip.matrix is None:
                if photo.shape[0] != size:
                    how = cv2.INTER_AREA if photo.shape[0] > size else cv2.INTER_LINEAR
                    photo = cv2.resize(photo, (size, size), interpolation=how)
                drawing = drawing[y0:y1, x0:x1]
            else:
                photo = warp_frames(photo[None], np.diag([size, size, 1]) @ clip.matrix @ translation(x0, y0), size)[0]
                # A drawing keeps its colours and, at twice the size, its place to a quarter of a pixel.
                drawing = warp_drawing(drawing, np.diag([2 * size, 2 * size, 1]) @ clip.matrix, 2 * size)
            media.write_picture(unfinished["signer"] / f"{k:06d}.png", photo)
            media.write_picture(unfinished["skeleton"] / f"{k:06d}.png", drawing)
            progress.step()
        for stream, folder in folders.items():
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(unfinished[stream], folder)
    else:
        for _ in clip.pairs:
            progress.step()
    return {"streams": {s: str(f.resolve()) for s, f in folders.items()}, "contents": contents}


def _records(clip: _Clip, written: Mapping[str, Any], settings: PairImport) -> list[Record]:
    n, last = len(clip.pairs), settings.test_last
    if last and n <= last:
        raise InputError(f"option test_last={last}: clip '{clip.id}' has only {n} frames, so none is left to train on")
    folder = Counter(p.folder for p in clip.pairs).most_common(1)[0][0]
    numbers = [p.number for p in clip.pairs]
    whole = Record(
        clip.id,
        signer=settings.signers.get(clip.id, settings.signers.get("", folder)),
        source=clip.source,
        split=None if not settings.test else "test" if clip.id in settings.test else "train",
        streams=written["streams"],
        fps=settings.fps,
    )
    ranges = [(0, n - last, "train"), (n - last, n, "test")] if last else [(0, n, whole.split)]
    records = []
    for first, end, split in ranges:
        name = clip_id([folder.replace("_", "-"), f"{min(numbers[first:end])}-{max(numbers[first:end])}"])
        records.append(
            replace(
                whole,
                id=name if last else clip.id,
                split=split,
                first_frame=first,
                end_frame=end if last else None,
                n_frames=end - first,
                content=hashlib.blake2b("".join(written["contents"][first:end]).encode(), digest_size=16).hexdigest(),
                extra={"numbers": numbers[first:end]},
            )
        )
    return records


def _check_split(records: Sequence[Record], settings: PairImport) -> None:
    ids = {r.id for r in records}
    for option, names in (("test", settings.test), ("signer", tuple(settings.signers))):
        unknown = [name for name in names if name and name not in ids]
        if unknown and not (option == "signer" and settings.test_last):
            raise InputError(f"option {option}: there is no clip '{unknown[0]}'; there are {', '.join(sorted(ids))}")
