"""Reading video, and folders of pictures as video: every frame once, or chosen frames, each at its time.

A clip that ends before its container says so is ``truncated``: half a sign never passes for a sign.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.media.clip import Clip, open_clip
from signloom.media.folders import picture_of_folder
from signloom.media.limits import DEFAULT_FPS, DEFAULT_LIMITS, Limits, fail, other_length
from signloom.media.local_files import list_pictures
from signloom.media.pixels import Look, plane_samples
from signloom.media.recording import Recording, VideoInfo, check_range


@dataclass(frozen=True)
class Video:
    """Decoded frames. ``frames_THWC`` uint8 RGB, display orientation; ``times_s`` float64 (T,), starting at 0."""

    frames_THWC: np.ndarray
    times_s: np.ndarray
    fps: float


def probe(
    path: str | os.PathLike[str],
    limits: Limits = DEFAULT_LIMITS,
    *,
    first_frame: int = 0,
    end_frame: int | None = None,
) -> VideoInfo:
    """What the header says, checked against the file's size; one frame is decoded, for its orientation.

    A range is checked against the header, and limits are for it alone; what is told is of the file. Raises MediaError,
    without a range also for a file that ends before its container says, whichever frames it still holds.
    """
    with Recording(path, limits, part=(first_frame, end_frame) != (0, None)) as recording:
        return recording.info(first_frame, end_frame)


def iter_frames(
    path: str | os.PathLike[str],
    *,
    first_frame: int = 0,
    end_frame: int | None = None,
    box_px: tuple[float, float, float, float] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (time_s, frame) for every frame once, in presentation order, holding two at a time.

    Frames are uint8 (H, W, 3) RGB in display orientation, each its own array. ``first_frame``/``end_frame`` are
    0-based, half-open, and count decoded frames. They are exact in every format: decoding begins at a key frame only
    where that gives the same frames as from the start of the file, else there. ``box_px`` (x0, y0, x1, y1) in display
    pixels is rounded outwards and clamped to the picture. Times are in seconds since the first frame yielded. Limits
    are for what is read, not for the file that a range is cut from.

    Raises InputError for a range or box that selects nothing, MediaError for a file that cannot be read in full.
    """
    check_range(first_frame, end_frame)
    return _iterate(path, first_frame, end_frame, box_px, limits)


def read_video(
    path: str | os.PathLike[str],
    *,
    first_frame: int = 0,
    end_frame: int | None = None,
    box_px: tuple[float, float, float, float] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Video:
    """Read a clip whole; arguments and errors as :func:`iter_frames`, plus the cap ``limits.max_decoded_bytes``.

    ``fps`` is the container's average rate where that lies within :data:`PLAUSIBLE_FPS`, else one over the median
    spacing of the timestamps, else (a single frame, no usable timestamps) :data:`DEFAULT_FPS`.
    """
    check_range(first_frame, end_frame)
    facts: dict[str, Any] = {}
    frames = np.empty((0, 0, 0, 3), np.uint8)
    times: list[float] = []
    for time_s, frame in _iterate(path, first_frame, end_frame, box_px, limits, facts):
        n = len(times)
        if (n + 1) * frame.nbytes > limits.max_decoded_bytes:
            raise fail(
                path,
                "too-large",
                f"more than {limits.max_decoded_bytes:,} bytes of decoded frames ({n} of {frame.shape[1]}x"
                f"{frame.shape[0]} so far). Read it with iter_frames, cut it, or raise max_decoded_bytes",
            )
        if n == len(frames):
            wanted = (facts.get("n_frames") or 64) if n == 0 else 2 * n
            room = max(limits.max_decoded_bytes // frame.nbytes, n + 1)
            larger = np.empty((min(wanted, room), *frame.shape), np.uint8)  # pages that stay unused cost nothing
            larger[:n] = frames[:n].reshape(n, *frame.shape)
            frames = larger
        frames[n] = frame
        times.append(time_s)
    times_s = np.array(times, np.float64)
    fps = facts["fps"]
    if fps is None:
        fps = round(1 / float(np.median(np.diff(times_s))), 6) if len(times) > 1 else DEFAULT_FPS
    return Video(frames[: len(times)], times_s, float(fps))


def read_frames(
    path: str | os.PathLike[str],
    rows: Sequence[int] | np.ndarray | None = None,
    limits: Limits = DEFAULT_LIMITS,
    *,
    n_frames: int | None = None,
) -> np.ndarray:
    """The frames ``rows`` (all, where None) of a clip as uint8 (T, H, W, 3) RGB: the same as picking from the whole.

    Rows may repeat and come in any order. In a file of :func:`write_video` only what is needed is decoded: from the
    last key frame before each row. Others (with B-frames, or no index) are decoded from their start. One thread, for
    loaders that read many clips side by side. Of a folder of pictures only those wanted are opened. Raises InputError
    for rows the clip does not have, MediaError for a file that cannot be read, or has another number of frames than
    ``n_frames``, where that is known.
    """
    if rows is None:
        frames = read_video(path, limits=limits).frames_THWC
        if n_frames is not None and len(frames) != n_frames:
            raise other_length(path, len(frames), n_frames)
        return frames
    if pictures := list_pictures(path):
        if n_frames is not None and len(pictures) != n_frames:
            raise other_length(path, len(pictures), n_frames)
        rows = [int(row) for row in rows]
        if not rows or min(rows) < 0 or max(rows) >= len(pictures):
            wanted = f"rows {min(rows)}–{max(rows)}" if rows else "no rows"
            raise InputError(f"'{path}': asked for {wanted}; it has {len(pictures)} pictures, counted from 0")
        once, size = {}, None
        for row in sorted(set(rows)):
            once[row], size = picture_of_folder(pictures[row], size, None, limits)
        return np.stack([once[row] for row in rows])
    with open_clip(path, limits) as clip:
        clip.check_count(n_frames)
        look: Look | None = None

        def picture(frame: Any) -> np.ndarray:
            nonlocal look
            look = look or Look(clip, frame)
            return look.picture(frame)

        return _read_rows(clip, rows, picture)


def read_planes(
    path: str | os.PathLike[str],
    rows: Sequence[int] | np.ndarray | None = None,
    limits: Limits = DEFAULT_LIMITS,
    *,
    n_frames: int | None = None,
) -> tuple[np.ndarray, VideoInfo]:
    """The samples of ``rows`` (all, where None) as stored, first plane only: uint8 (T, H, W), and the header.

    For what :func:`open_lossless_writer` wrote; rows, ``n_frames`` and errors as in :func:`read_frames`.
    """
    with open_clip(path, limits) as clip:
        clip.check_count(n_frames)
        if clip.hidden_frames:  # no such file was written with an edit list that hides any
            held = clip.hidden_frames + (clip.promised_frames or 0)
            what = f"the header hides {clip.hidden_frames} of its {held} frames, so it was changed since it was written"
            raise clip.fail("bad-header", what)

        def samples(frame: Any) -> np.ndarray:
            if frame.format.name not in ("gray", "yuv420p", "yuv444p"):
                raise clip.fail("decode-error", f"pixel format {frame.format.name}; wanted 8-bit grey")
            return plane_samples(frame.planes[0])

        if rows is None:
            if clip.promised_frames is None:
                raise clip.fail("bad-header", "the file does not say how many frames it has")
            rows = range(clip.promised_frames)
        planes = _read_rows(clip, rows, samples)
        info = VideoInfo(
            width=planes.shape[2],
            height=planes.shape[1],
            fps=clip.fps or DEFAULT_FPS,
            n_frames=clip.promised_frames,
            rotation_deg=0,
            codec=clip.stream.codec_context.name,
            duration_s=clip.duration_s,
            metadata=dict(clip.container.metadata),
        )
        return planes, info


CLOCK = {"even_share": 0.25, "rate_share": 0.02, "tie_s": 1e-6}
"""What :func:`constant_rate` goes by."""


def constant_rate(times_s: np.ndarray, fps: float) -> np.ndarray:
    """Indices (int64) of the frames nearest to a constant grid of ``fps``, for clips of variable frame rate.

    ``arange(T)`` where the clip is constant already: no frame further than a quarter of a frame from an even spacing
    whose rate is within 2 % of ``fps`` (rates are rounded in headers, timestamps to milliseconds).
    Raises InputError when times do not increase or span so long that the grid would be mostly repeats.
    """
    times_s = np.asarray(times_s, np.float64)
    n = len(times_s)
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps must be a positive number; got {fps}")
    if n and (not np.isfinite(times_s).all() or (np.diff(times_s) <= 0).any()):
        raise InputError("times_s must be finite and increase from frame to frame")
    if n < 2:
        return np.arange(n)
    step, start = np.polyfit(np.arange(n), times_s, 1)
    even = np.abs(times_s - (start + step * np.arange(n))).max() <= CLOCK["even_share"] * step
    if even and abs(step * fps - 1) <= CLOCK["rate_share"]:
        return np.arange(n)
    count = int((times_s[-1] - times_s[0]) * fps + 0.5) + 1
    if count > 20_000 and count > 100 * n:
        raise InputError(f"{n} frames span {times_s[-1] - times_s[0]:.0f} s: {count} grid points at {fps} fps")
    grid = times_s[0] + np.arange(count) / fps
    after = np.searchsorted(times_s, grid).clip(1, n - 1)
    nearer_before = (
        grid - times_s[after - 1] <= times_s[after] - grid + CLOCK["tie_s"]
    )  # a tie goes to the frame still on screen
    return after - nearer_before


def _iterate(path, first_frame, end_frame, box_px, limits, facts=None) -> Iterator[tuple[float, np.ndarray]]:
    part = bool(first_frame) or end_frame is not None
    with Recording(path, limits, part=part) as recording:
        yield from recording.part(first_frame, end_frame, box_px, facts)


def _read_rows(clip: Clip, rows: Sequence[int] | np.ndarray, picture: Callable[[Any], np.ndarray]) -> np.ndarray:
    """``picture`` of each frame of ``rows``, stacked; seeks where a key frame lies between two wanted frames."""
    if clip.ends_early:
        raise clip.fail("truncated", clip.ends_early)
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(int(row), []).append(place)
    n = clip.promised_frames
    if not places or min(places) < 0 or (n is not None and max(places) >= n):
        wanted = f"rows {min(places)}–{max(places)}" if places else "no rows"
        raise InputError(f"'{clip.path}': asked for {wanted}; it has {'?' if n is None else n} frames, counted from 0")
    index = clip.stream.index_entries if clip.indexed else ()
    stamps = [entry.timestamp for entry in index]
    # Without B-frames the index stands in the order in which frames are shown, so a frame's number is known by it.
    direct = len(stamps) == n and clip.stream.codec_context.has_b_frames == 0
    keys = [k for k, entry in enumerate(index) if entry.is_keyframe] if direct else []
    out: np.ndarray | None = None
    frames, coming, sought = clip.decode(), 0, False
    for row in sorted(places):
        key = keys[bisect_right(keys, row) - 1] if keys and keys[0] <= row else 0
        if key > coming:
            clip.container.seek(stamps[key], stream=clip.stream)
            frames, coming, sought = clip.decode(), key, True
        for _, frame in frames:
            if sought and frame.pts != stamps[coming]:
                raise clip.fail("bad-header", f"frame {coming} is not where the index says; it cannot be sought")
            coming, sought = coming + 1, False
            if coming > row:
                break
        if coming <= row:
            raise clip.fail("truncated" if n else "no-frames", f"it has {coming} frames; frame {row} was asked for")
        samples = picture(frame)
        if out is None:
            nbytes = samples.nbytes * len(rows)
            if nbytes > clip.limits.max_decoded_bytes:
                raise clip.fail("too-large", f"{nbytes:,} bytes of frames; read fewer, or raise max_decoded_bytes")
            out = np.empty((len(rows), *samples.shape), np.uint8)
        elif samples.shape != out.shape[1:]:
            raise clip.fail("decode-error", "the picture's size changes midway")
        for place in places[row]:
            out[place] = samples
    assert out is not None
    return out
