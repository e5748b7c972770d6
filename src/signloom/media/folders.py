"""A folder of pictures, read as a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from signloom.media.clip import Watch, clearly_short, open_clip
from signloom.media.limits import DEFAULT_FPS, Limits, fail
from signloom.media.pixels import Look


def iterate_pictures(
    pictures: Sequence[Path], path, first_frame, end_frame, box_px, limits, facts=None
) -> Iterator[tuple[float, np.ndarray]]:
    """The ``pictures`` of a folder as a clip; arguments as of :meth:`~signloom.media.recording.Recording.part`."""
    n = len(pictures)
    chosen = pictures[first_frame:end_frame]
    if facts is not None:
        facts.update(fps=DEFAULT_FPS, n_frames=len(chosen) or 1)
    if not chosen:
        raise fail(path, "no-frames", f"it has {n} pictures; the clip should start at frame {first_frame}")
    if end_frame is not None and clearly_short(n - first_frame, end_frame - first_frame):
        raise fail(path, "truncated", f"it has {n} pictures; the clip should end at frame {end_frame}")
    if len(chosen) > limits.max_frames:
        raise fail(path, "too-long", f"{len(chosen):,} pictures; at most {limits.max_frames:,}")
    watch, size = Watch(limits.max_seconds), None
    for number, picture in enumerate(chosen):
        if watch.over:
            raise fail(path, "timeout", f"not read within {limits.max_seconds:g} s ({number} pictures so far)")
        frame, size = picture_of_folder(picture, size, box_px, limits)
        watch.pause()
        yield number / DEFAULT_FPS, frame
        watch.go_on()


def picture_of_folder(
    picture: Path, size: tuple[int, int] | None, box_px: Any, limits: Limits
) -> tuple[np.ndarray, tuple[int, int]]:
    """The picture, upright and cut to the box, and its size before that. Raises MediaError unless that is ``size``."""
    with open_clip(picture, limits) as clip:
        if clip.ends_early:
            raise clip.fail("truncated", clip.ends_early)
        first = next(clip.decode(), None)
        if first is None:
            raise clip.fail("no-frames", "no picture can be decoded")
        look = Look(clip, first[1], box_px)
        own = look.width, look.height
        if size is not None and own != size:
            turned = " once it is turned as its EXIF says" if look.rotation_deg % 180 else ""
            raise clip.fail(
                "decode-error",
                f"{own[0]}x{own[1]}{turned}; its folder began with {size[0]}x{size[1]}. All must be alike",
            )
        return look.picture(first[1]), own
