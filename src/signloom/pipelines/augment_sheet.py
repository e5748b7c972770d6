"""Copies to look at beside what they were made of: one picture, and one video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np

from signloom import media
from signloom.data.manifest import Manifest, Record
from signloom.data.skeleton import joints_of, shoulder_width_px
from signloom.errors import SignloomError
from signloom.runtime.machine import machine_fault
from signloom.streams.footage import Footage
from signloom.streams.pose_view import draw_pose

SHEET, VIDEO = "sheet.png", "side_by_side.mp4"
_WIDE_PX = 320
_MOST_FRAMES = 300


def write_sheets(corpus: Manifest, originals: Manifest, folder: Path, *, rows: int = 6, columns: int = 4) -> list[Path]:
    """Write ``sheet.png``, a row a clip with its copies beside it at the middle of each, and ``side_by_side.mp4``, the
    same playing. What cannot be shown is left out; nothing is written where nothing can."""
    families = _families(corpus, originals, rows, columns)
    lines, clips = [], []
    for family in families:
        shown = [found for r, root in family if (found := _shown(r, root)) is not None]
        if len(shown) > 1:
            lines.append([_titled(pictures[len(pictures) // 2], title) for title, pictures, _ in shown])
            clips.append(shown)
    if not lines:
        return []
    high = max(cell.shape[0] for line in lines for cell in line)
    wide = max(len(line) for line in lines)
    sheet = np.concatenate([_padded(np.concatenate([_tall(c, high) for c in line], 1), wide) for line in lines])
    media.write_picture(folder / SHEET, sheet)
    fps = max(fps for shown in clips for _, _, fps in shown)
    media.write_video(folder / VIDEO, _playing(clips[:4], fps, high, wide), fps, crf=23)
    return [folder / SHEET, folder / VIDEO]


def _families(corpus: Manifest, originals: Manifest, rows: int, columns: int) -> list[list[tuple[Record, Path]]]:
    """Clips, each followed by its copies; spread over the corpus."""
    parents = {r.id: r for r in originals}
    copies: dict[str, list[Record]] = {}
    for record in corpus:
        if record.augmented and record.parent in parents:
            copies.setdefault(record.parent, []).append(record)
    names = list(copies)
    spread = np.unique(np.linspace(0, len(names) - 1, min(rows, len(names))).round().astype(int)) if names else []
    return [
        [(parents[names[k]], originals.root), *((r, corpus.root) for r in copies[names[k]][: columns - 1])]
        for k in spread
    ]


def _shown(record: Record, root: Path) -> tuple[str, list[np.ndarray], float] | None:
    """A clip's name, its frames at a small size with its joints on them, and their rate; None where it has none."""
    try:
        return _pictures(record, root)
    except SignloomError:
        return None
    except Exception as error:  # a sheet is worth no failure; a full disk is
        if (fault := machine_fault(error)) is not None:
            raise fault from error
        return None


def _pictures(record: Record, root: Path) -> tuple[str, list[np.ndarray], float] | None:
    cv2 = media.import_cv2()
    joints = joints_of(media.read_pose(root / record.streams["pose"])) if "pose" in record.streams else None
    stream = next((s for s in ("video", "frames") if s in record.streams), None)
    frames: list[np.ndarray] = []
    if stream is None:
        if joints is None or joints.size_px is None:
            return None
        wide, high = joints.size_px
        frames = [np.zeros((max(1, round(high * _WIDE_PX / wide)), _WIDE_PX, 3), np.uint8) for _ in range(len(joints))]
    else:
        with closing(Footage(record, root, stream, media.Limits(), None).frames()) as filmed:
            for frame in islice(filmed, _MOST_FRAMES):
                size = _WIDE_PX, max(1, round(frame.shape[0] * _WIDE_PX / frame.shape[1]))
                frames.append(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    if joints is not None and joints.size_px:
        small = replace(joints, xy_TJC=joints.xy_TJC * np.float32(_WIDE_PX / joints.size_px[0]))
        shoulders_px = shoulder_width_px(small) or _WIDE_PX / 5
        frames = [draw_pose(f, small, t, shoulders_px) if t < len(small) else f for t, f in enumerate(frames)]
    fps = float(record.fps or media.DEFAULT_FPS)
    made = record.extra.get("augmented") or {}
    return (", ".join(step["do"] for step in made.get("draw", ())) or record.id), frames, fps


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    cv2 = media.import_cv2()
    strip = np.full((18, picture.shape[1], 3), 20, np.uint8)
    text = title.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    text = text if len(text) <= 52 else text[:49] + "..."
    cv2.putText(strip, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


def _tall(cell: np.ndarray, high: int) -> np.ndarray:
    return np.pad(cell, ((0, high - cell.shape[0]), (0, 4), (0, 0)))


def _padded(line: np.ndarray, columns: int) -> np.ndarray:
    return np.pad(line, ((0, 4), (0, columns * (_WIDE_PX + 4) - line.shape[1]), (0, 0)))


def _playing(
    clips: Sequence[Sequence[tuple[str, list[np.ndarray], float]]], fps: float, high: int, wide: int
) -> Iterator[np.ndarray]:
    """Clip after clip, each beside its copies; who ends first stands still."""
    for shown in clips:
        timed = [_at_rate(pictures, own, fps) for _, pictures, own in shown]
        for row in zip_longest(*timed):
            cells = []
            for (title, pictures, _), picture in zip(shown, row):
                cells.append(_tall(_titled(pictures[-1] if picture is None else picture, title), high))
            yield _padded(np.concatenate(cells, 1), wide)


def _at_rate(pictures: list[np.ndarray], own: float, fps: float) -> Iterator[np.ndarray]:
    for k in range(round(len(pictures) * fps / own)):
        yield pictures[min(int(k * own / fps), len(pictures) - 1)]
