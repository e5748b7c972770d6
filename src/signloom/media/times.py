"""When the frames of a file are shown, and so which of them lie between two times."""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np

from signloom.media.clip import Clip, clearly_short, open_clip
from signloom.media.index import index_of
from signloom.media.limits import DEFAULT_FPS, DEFAULT_LIMITS, Limits, fail
from signloom.media.local_files import list_pictures


def frames_between(
    path: str | os.PathLike[str], start_s: float | None, end_s: float | None, limits: Limits = DEFAULT_LIMITS
) -> tuple[int, int | None]:
    """The frames of a clip between two times in seconds since its first frame, as ``(first_frame, end_frame)``.

    Raises MediaError for a file that cannot be read and as :func:`cut_at`.
    """
    return cut_at(frame_times(path, limits), start_s, end_s, path)


def cut_at(
    times_s: np.ndarray, start_s: float | None, end_s: float | None, path: str | os.PathLike[str]
) -> tuple[int, int | None]:
    """The frames, 0-based and half-open, of which ``times_s`` (T,) says when each is shown.

    A cut falls on the boundary between two frames that is nearest to it, on the earlier one where two are equally near:
    at a constant rate that is time × rate, rounded. So stretches that touch share no frame and lose none, and times
    that a container rounded to milliseconds do no harm. None is the start or the end of the file.
    Raises MediaError naming ``path``: ``no-frames`` where no frame lies between, ``truncated`` where the file ends
    clearly before ``end_s``.
    """
    n = len(times_s)
    step_s = float(np.median(np.diff(times_s))) if n > 1 else 1 / DEFAULT_FPS
    duration_s = float(times_s[-1]) + step_s
    first = 0 if start_s is None else _boundary(times_s, step_s, start_s)
    end = None if end_s is None else _boundary(times_s, step_s, end_s)
    asked = f"{start_s or 0:g} s to {'the end' if end_s is None else f'{end_s:g} s'}"
    if first >= n:
        raise fail(path, "no-frames", f"the clip should be {asked}; the file is {duration_s:.2f} s long")
    if end is not None and end <= first:
        raise fail(path, "no-frames", f"the clip should be {asked}, in which no frame of it lies")
    if end is not None and clearly_short(n - first, end - first):
        raise fail(path, "truncated", f"the clip should be {asked}; the file is {duration_s:.2f} s long")
    return first, None if end is None else min(end, n)


def frame_times(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """When each frame that :func:`~signloom.media.iter_frames` gives is shown: float64 (T,), seconds from the first.

    Pictures are decoded only where the file has no index of its frames, or one that its frames might not keep to.
    Do not change the result: it is remembered for the clips of a recording that are read one after the other.
    """
    try:
        info = os.stat(path)
        stamp = (info.st_size, info.st_mtime_ns)
    except (OSError, ValueError):
        stamp = (-1, -1)  # opening it says what is wrong
    return _times(os.fspath(path), stamp, limits)


@lru_cache(maxsize=4)
def _times(path: str, stamp: tuple[int, int], limits: Limits) -> np.ndarray:
    pictures = list_pictures(path)
    if pictures:
        return np.arange(len(pictures)) / DEFAULT_FPS
    with open_clip(path, limits, part=True) as clip:
        if clip.ends_early:
            raise clip.fail("truncated", clip.ends_early)
        times = _by_index(clip)
    if times is None:
        with open_clip(path, limits, part=True) as clip:
            times = [time_s for time_s, _ in clip.timed()]
            clip.check_end(len(times), 0, None)
    times_s = np.array(times, np.float64)
    return times_s - times_s[0]


def _by_index(clip: Clip) -> list[float] | None:
    """The times that the packets state, where they are those that decoding would give; else None."""
    index = index_of(clip.path, clip.limits) if clip.indexed else None
    return None if index is None else [float(stamp * clip.stream.time_base) for stamp in index.stamps]


def _boundary(times_s: np.ndarray, step_s: float, at_s: float) -> int:
    """The number of the frame before which a cut at ``at_s`` falls; frames after the last come in even steps."""
    end_s = times_s[-1] + step_s
    if at_s >= end_s:
        return len(times_s) + int(np.ceil((at_s - end_s) / step_s - 0.5 - 1e-6))
    edges = np.append(times_s, end_s)
    after = int(np.searchsorted(edges, at_s).clip(1, len(edges) - 1))
    return after - int(at_s - edges[after - 1] <= edges[after] - at_s + 1e-6)
