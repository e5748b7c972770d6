"""The only code that opens media: video, pictures and ``.pose`` files, read exactly and safely.

*Exactly*: every frame once, in presentation order, in the colours and the orientation that were recorded, with the
time at which it was shown. *Safely*: only regular local files, only formats on a list, never a file that another file
names; caps on bytes, picture size, frames and time; and one exception, :class:`~signloom.errors.MediaError`, whose
``reason`` is one of :data:`REASONS`. A clip that ends before its container says so is ``truncated``: half a sign never
passes for a sign. Decisions are explained in docs/decisions/0002-reading-video.md.
"""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import re
import stat
import struct
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from signloom.errors import InputError, MediaError
from signloom.media.headers import Header, read_header
from signloom.media.pixels import Look, import_cv2, plain, plane_samples, resize_shorter_side, to_yuv420
from signloom.runtime.atomic import atomic_write
from signloom.runtime.capped import run_capped

if TYPE_CHECKING:
    from pose_format import Pose

__all__ = [
    "DEFAULT_FPS",
    "PLAUSIBLE_FPS",
    "REASONS",
    "HeldFile",
    "Limits",
    "Video",
    "VideoInfo",
    "constant_rate",
    "content_hash",
    "exact_rate",
    "import_cv2",
    "iter_frames",
    "list_pictures",
    "open_lossless_writer",
    "open_video_writer",
    "probe",
    "read_frames",
    "read_picture",
    "read_planes",
    "read_pose",
    "read_video",
    "resize_shorter_side",
    "run_capped",
    "write_picture",
    "write_pose",
    "write_video",
]

REASONS = (
    "missing",  # no such file, a broken or circular link
    "directory",  # a folder stands where a file was expected
    "permission",  # the file may not be read
    "empty",  # zero bytes
    "not-media",  # text, noise, a playlist, a pipe or device: not a clip
    "no-video",  # media, but without a picture track
    "truncated",  # the container promises more than the file holds
    "no-frames",  # a picture track without (the wanted) frames
    "too-large",  # more bytes or pixels than the limits allow
    "too-long",  # more frames than the limits allow
    "bad-header",  # the header contradicts itself or the file
    "timeout",  # reading took longer than the limits allow
    "crashed",  # the process that read the file died
    "out-of-memory",  # the process that read the file hit its memory cap
    "decode-error",  # the data is there but damaged
)

DEFAULT_FPS = 25.0
PLAUSIBLE_FPS = (0.5, 1000.0)

# Demuxers that read one self-contained file. Everything else is refused by name before it sees a byte: playlists
# (hls, concat, dash, sdp …) that open other files or addresses, devices, and the ones that take text for pictures.
_DEMUXERS = (
    "mov,matroska,avi,gif,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,dv,rm,ivf,obu,h264,hevc,vvc,m4v,mjpeg,apng,"
    "yuv4mpegpipe,png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,ppm_pipe,pgm_pipe,tiff_pipe,wav,mp3,flac,aac"
)
_PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})

# Fewer frames than this short of the container's count is tolerated: containers count frames that no decoder shows.
_SHORT_FRAMES = 2
_SHORT_SHARE = 0.05

_LONGEST_GAP_S = 600.0  # between two frames; more is a broken clock, not a pause

_BITEXACT = 0x0400  # AVFMT_FLAG_BITEXACT: no version of the writing library in the file


@dataclass(frozen=True)
class Limits:
    """What one clip may cost. ``max_seconds`` is wall clock spent reading and decoding, not the clip's duration."""

    max_frames: int = 20_000
    max_side_px: int = 8192
    max_seconds: float = 600.0
    max_bytes: int = 4 << 30
    max_decoded_bytes: int = 2 << 30


@dataclass(frozen=True)
class VideoInfo:
    """What a clip's header says, as the frames will come out: ``width`` × ``height`` after rotation and pixel aspect.

    ``rotation_deg`` is the clockwise turn (0, 90, 180, 270) that reading applies to the stored picture, after swapping
    its left and right where ``mirrored``. ``n_frames`` and ``duration_s`` are None where the container does not say.
    ``fps`` is nominal; see :func:`read_video`.
    """

    width: int
    height: int
    fps: float
    n_frames: int | None
    rotation_deg: int
    codec: str
    duration_s: float | None
    mirrored: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Video:
    """Decoded frames. ``frames_THWC`` uint8 RGB, display orientation; ``times_s`` float64 (T,), starting at 0."""

    frames_THWC: np.ndarray
    times_s: np.ndarray
    fps: float


@dataclass(frozen=True)
class HeldFile:
    """A file whose bytes are in memory (from an archive, say). All that reads a path here reads this too.

    ``name`` stands for the path in errors.
    """

    name: str
    data: bytes = field(repr=False)

    def __fspath__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


# --- reading video ------------------------------------------------------------------------------------------------


def probe(path: str | os.PathLike[str], limits: Limits = Limits()) -> VideoInfo:
    """What the header says, checked against the file's size; one frame is decoded, for its orientation.

    Raises MediaError, also for a file that ends before its container says, whichever frames it still holds.
    """
    pictures = _pictures(path)
    if pictures:
        first = probe(pictures[0], limits)
        n = len(pictures)
        return replace(first, fps=DEFAULT_FPS, n_frames=n, duration_s=n / DEFAULT_FPS, metadata={})
    with _open_clip(path, limits) as clip:
        if clip.ends_early:
            raise clip.fail("truncated", clip.ends_early)
        clip.check_length(0, None)
        look = None
        for _, frame in clip.timed():
            look = Look(clip, frame)
            break
        if look is None:
            raise clip.fail("no-frames", "no frame can be decoded")
        return VideoInfo(
            width=look.width,
            height=look.height,
            fps=clip.fps or round(1 / clip.step_s, 6),
            n_frames=clip.promised_frames,
            rotation_deg=look.rotation_deg,
            codec=clip.stream.codec_context.name,
            duration_s=clip.duration_s,
            mirrored=look.mirrored,
            metadata=dict(clip.container.metadata),
        )


def iter_frames(
    path: str | os.PathLike[str],
    *,
    first_frame: int = 0,
    end_frame: int | None = None,
    box_px: tuple[float, float, float, float] | None = None,
    limits: Limits = Limits(),
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (time_s, frame) for every frame once, in presentation order, holding two at a time.

    Frames are uint8 (H, W, 3) RGB in display orientation, each its own array. ``first_frame``/``end_frame`` are
    0-based, half-open, and count decoded frames: the clip is decoded from its start, so they are exact in every
    format. ``box_px`` (x0, y0, x1, y1) in display pixels is rounded outwards and clamped to the picture. Times are in
    seconds since the first frame yielded.

    Raises InputError for a range or box that selects nothing, MediaError for a file that cannot be read in full.
    """
    _check_range(first_frame, end_frame)
    return _iterate(path, first_frame, end_frame, box_px, limits)


def read_video(
    path: str | os.PathLike[str],
    *,
    first_frame: int = 0,
    end_frame: int | None = None,
    box_px: tuple[float, float, float, float] | None = None,
    limits: Limits = Limits(),
) -> Video:
    """Read a clip whole; arguments and errors as :func:`iter_frames`, plus the cap ``limits.max_decoded_bytes``.

    ``fps`` is the container's average rate where that lies within :data:`PLAUSIBLE_FPS`, else one over the median
    spacing of the timestamps, else (a single frame, no usable timestamps) :data:`DEFAULT_FPS`.
    """
    _check_range(first_frame, end_frame)
    facts: dict[str, Any] = {}
    frames = np.empty((0, 0, 0, 3), np.uint8)
    times: list[float] = []
    for time_s, frame in _iterate(path, first_frame, end_frame, box_px, limits, facts):
        n = len(times)
        if (n + 1) * frame.nbytes > limits.max_decoded_bytes:
            raise _fail(
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
    path: str | os.PathLike[str], rows: Sequence[int] | np.ndarray | None = None, limits: Limits = Limits()
) -> np.ndarray:
    """The frames ``rows`` (all, where None) of a clip as uint8 (T, H, W, 3) RGB: the same as picking from the whole.

    Rows may repeat and come in any order. In a file of :func:`write_video` only what is needed is decoded: from the
    last key frame before each row. Others (with B-frames, or no index) are decoded from their start. One thread, for
    loaders that read many clips side by side. Of a folder of pictures only those wanted are opened. Raises InputError
    for rows the clip does not have, MediaError for a file that cannot be read.
    """
    if rows is None:
        return read_video(path, limits=limits).frames_THWC
    if pictures := _pictures(path):
        rows = [int(row) for row in rows]
        if not rows or min(rows) < 0 or max(rows) >= len(pictures):
            wanted = f"rows {min(rows)}–{max(rows)}" if rows else "no rows"
            raise InputError(f"'{path}': asked for {wanted}; it has {len(pictures)} pictures, counted from 0")
        once = {
            row: next(_iterate_pictures(pictures, path, row, row + 1, None, limits))[1] for row in sorted(set(rows))
        }
        return np.stack([once[row] for row in rows])
    with _open_clip(path, limits) as clip:
        look: Look | None = None

        def picture(frame: Any) -> np.ndarray:
            nonlocal look
            look = look or Look(clip, frame)
            return look.picture(frame)

        return _read_rows(clip, rows, picture)


def read_planes(
    path: str | os.PathLike[str], rows: Sequence[int] | np.ndarray | None = None, limits: Limits = Limits()
) -> tuple[np.ndarray, VideoInfo]:
    """The samples of ``rows`` (all, where None) as stored, first plane only: uint8 (T, H, W), and the header.

    For what :func:`open_lossless_writer` wrote; rows and errors as in :func:`read_frames`.
    """
    with _open_clip(path, limits) as clip:

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


def _read_rows(clip: _Clip, rows: Sequence[int] | np.ndarray, picture: Callable[[Any], np.ndarray]) -> np.ndarray:
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
    even = np.abs(times_s - (start + step * np.arange(n))).max() <= 0.25 * step
    if even and abs(step * fps - 1) <= 0.02:
        return np.arange(n)
    count = int((times_s[-1] - times_s[0]) * fps + 0.5) + 1
    if count > 20_000 and count > 100 * n:
        raise InputError(f"{n} frames span {times_s[-1] - times_s[0]:.0f} s: {count} grid points at {fps} fps")
    grid = times_s[0] + np.arange(count) / fps
    after = np.searchsorted(times_s, grid).clip(1, n - 1)
    nearer_before = grid - times_s[after - 1] <= times_s[after] - grid + 1e-6  # a tie goes to the frame still on screen
    return after - nearer_before


def _iterate(path, first_frame, end_frame, box_px, limits, facts=None) -> Iterator[tuple[float, np.ndarray]]:
    pictures = _pictures(path)
    if pictures:
        if facts is not None:
            facts.update(fps=DEFAULT_FPS, n_frames=len(pictures[first_frame:end_frame]) or 1)
        yield from _iterate_pictures(pictures, path, first_frame, end_frame, box_px, limits)
        return
    with _open_clip(path, limits) as clip:
        if clip.ends_early and end_frame is None:
            raise clip.fail("truncated", clip.ends_early)
        clip.check_length(first_frame, end_frame)
        if facts is not None:
            promised = clip.promised_frames
            stop = end_frame if promised is None else min(promised, end_frame or promised)
            facts["n_frames"] = None if stop is None else min(max(stop - first_frame, 1), limits.max_frames)
        look: Look | None = None
        start_s, n = 0.0, 0
        for time_s, frame in clip.timed():
            if n >= first_frame:
                if n - first_frame >= limits.max_frames:
                    raise clip.fail("too-long", f"more than {limits.max_frames} frames. Cut it, or raise max_frames")
                if look is None:
                    look, start_s = Look(clip, frame, box_px), time_s
                    if facts is not None:
                        facts["fps"] = clip.fps
                picture = look.picture(frame)
                clip.watch.pause()
                yield time_s - start_s, picture
                clip.watch.go_on()
            n += 1
            if end_frame is not None and n >= end_frame:
                return
        clip.check_end(n, first_frame, end_frame)


def _check_range(first_frame: int, end_frame: int | None) -> None:
    if first_frame < 0 or (end_frame is not None and end_frame <= first_frame):
        raise InputError(
            f"frames {first_frame}–{end_frame} select nothing; first_frame counts from 0 and end_frame is one past the "
            "last frame (None = to the end)"
        )


class _Watch:
    """Wall clock spent on one clip, without the time its consumer takes between frames."""

    def __init__(self, max_seconds: float):
        self.left_s = max_seconds
        self.since = time.monotonic()

    def pause(self) -> None:
        self.left_s -= time.monotonic() - self.since

    def go_on(self) -> None:
        self.since = time.monotonic()

    @property
    def over(self) -> bool:
        return time.monotonic() - self.since > self.left_s


class _Clip:
    """An opened file: its container, its picture track, and what the two promise."""

    def __init__(self, path, header: Header, size: int, container, stream, limits: Limits):
        self.path, self.size, self.container, self.stream, self.limits = path, size, container, stream, limits
        self.watch = _Watch(limits.max_seconds)
        self.fps = next((float(r) for r in (stream.average_rate, stream.guessed_rate) if _plausible(r)), None)
        self.step_s = 1 / (self.fps or DEFAULT_FPS)
        self.ends_early = header.ends_early
        self.indexed = header.indexed
        self.promised_frames: int | None = stream.frames or None
        if header.indexed:
            # The index names every frame that is there. Those that an edit list hides are decoded but never shown.
            index = [(entry.pos + entry.size, entry.is_discard) for entry in stream.index_entries]
            self.promised_frames = sum(not hidden for _, hidden in index) or self.promised_frames
            beyond = sum(end > size for end, _ in index)
            if beyond:
                self.ends_early = f"cut off: the data of {beyond} of its {len(index)} frames is missing"

    @property
    def duration_s(self) -> float | None:
        stream, container = self.stream, self.container
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return container.duration / 1e6 if container.duration else None

    def fail(self, reason: str, what: str) -> MediaError:
        return _fail(self.path, reason, what)

    def check_size(self, width: int, height: int) -> None:
        _check_size(self.path, width, height, self.limits)

    def check_length(self, first_frame: int, end_frame: int | None) -> None:
        """Refuse by the header alone what would break the frame cap, before any frame is decoded."""
        if self.promised_frames is None:
            return
        wanted = min(self.promised_frames, end_frame or self.promised_frames) - first_frame
        if wanted > self.limits.max_frames:
            raise self.fail(
                "too-long", f"{wanted:,} frames; at most {self.limits.max_frames:,}. Cut it, or raise max_frames"
            )

    def check_end(self, n: int, first_frame: int, end_frame: int | None) -> None:
        """Called when the file ran out after ``n`` frames: was that what was promised and asked for?"""
        if self.ends_early:
            raise self.fail("truncated", f"{self.ends_early}; {n} frames can be decoded")
        if n == 0:
            raise self.fail("no-frames", f"a {self.stream.codec_context.name} track in which no frame can be decoded")
        if _clearly_short(n, self.promised_frames):
            raise self.fail("truncated", f"it promises {self.promised_frames} frames, of which {n} can be decoded")
        if n <= first_frame:
            raise self.fail("no-frames", f"it has {n} frames; the clip should start at frame {first_frame}")
        if end_frame is not None and _clearly_short(n - first_frame, end_frame - first_frame):
            raise self.fail("truncated", f"it has {n} frames; the clip should end at frame {end_frame}")

    def decode(self) -> Iterator[tuple[float | None, Any]]:
        """(presentation time or None, frame) for every frame the decoder gives, flushed at the end."""
        import av

        shown = 0
        # AVI stores no presentation times, only an even grid in decoding order: the n-th frame shown has the n-th slot.
        slots: deque[int | None] | None = deque() if self.container.format.name == "avi" else None
        try:
            for packet in self.container.demux(self.stream):
                if self.watch.over:
                    raise self.fail("timeout", f"not read within {self.limits.max_seconds:g} s ({shown} frames so far)")
                if slots is not None and packet.size:
                    slots.append(packet.dts)
                if packet.is_corrupt and packet.size:
                    at_end = packet.pos is not None and packet.pos + packet.size >= self.size
                    reason = "truncated" if at_end or self.ends_early else "decode-error"
                    raise self.fail(reason, f"the data of frame {shown} or of one soon after it is not whole")
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self.fail("decode-error", f"frame {shown} is damaged")
                    pts = frame.pts if slots is None else slots.popleft() if slots else None
                    yield None if pts is None else float(pts * self.stream.time_base), frame
                    shown += 1
        except (av.error.FFmpegError, OSError) as error:
            reason = "truncated" if self.ends_early else "decode-error" if self.stream.width else "bad-header"
            raise self.fail(reason, f"damaged at frame {shown}: {plain(error)}") from error

    def timed(self) -> Iterator[tuple[float, Any]]:
        """(time_s, frame): timestamps that increase and are sensible, whatever the file says. Settles ``fps``."""
        frames = self.decode()
        head = list(islice(frames, 2))
        stamps = [pts_s for pts_s, _ in head if pts_s is not None]
        gap_s = stamps[1] - stamps[0] if len(stamps) == 2 else None
        believe = True
        if gap_s is not None and gap_s <= 0:  # a clock that stands still; the codec may have a rate of its own
            believe = False
            rate = self.stream.codec_context.framerate
            self.fps = float(rate) if _plausible(rate) else DEFAULT_FPS
        elif self.fps is None:
            believe = gap_s is not None and _plausible(1 / gap_s)
            self.fps = None if believe else DEFAULT_FPS
        self.step_s = 1 / self.fps if self.fps else gap_s or 1 / DEFAULT_FPS
        previous_s: float | None = None
        for pts_s, frame in chain(head, frames):
            if previous_s is None:
                time_s = pts_s if believe and pts_s is not None else 0.0
            elif believe and pts_s is not None and 0 < pts_s - previous_s < _LONGEST_GAP_S:
                time_s = pts_s
            else:
                time_s = previous_s + self.step_s
            yield time_s, frame
            previous_s = time_s


def _plausible(rate: Any) -> bool:
    return rate is not None and PLAUSIBLE_FPS[0] <= float(rate) <= PLAUSIBLE_FPS[1]


def _clearly_short(n: int, promised: int | None) -> bool:
    return promised is not None and promised - n >= _SHORT_FRAMES and promised - n > _SHORT_SHARE * promised


@contextmanager
def _open_clip(path: str | os.PathLike[str], limits: Limits) -> Iterator[_Clip]:
    import av

    with _open_regular(path, limits.max_bytes) as file:
        header = read_header(file, path)
        if header.size_px:
            _check_size(path, *header.size_px, limits)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            container = av.open(
                _Source(file, _name_for_ffmpeg(path)),
                mode="r",
                container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": ""},
                options={"max_pixels": str(limits.max_side_px**2)},
                metadata_errors="replace",
                buffer_size=1 << 18,
                io_open=_refuse_other_files,
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _not_opened(path, header, error) from error
        with container:
            stream = _picture_track(path, container)
            _check_size(path, stream.width, stream.height, limits)
            # One thread a clip: corpora are mapped over processes, and the bytes never depend on timing.
            stream.codec_context.thread_count = 1
            yield _Clip(path, header, size, container, stream, limits)


def _name_for_ffmpeg(path: str | os.PathLike[str]) -> str:
    """The file's name, a picture's without its suffix: by that, FFmpeg would take it for one of a numbered series."""
    root, suffix = os.path.splitext(os.fspath(path))
    return root if suffix.lower() in _PICTURE_SUFFIXES else root + suffix


def _check_size(path, width: int, height: int, limits: Limits) -> None:
    if max(width, height) > limits.max_side_px:
        raise _fail(path, "too-large", f"{width}x{height} pixels; at most {limits.max_side_px} a side")


class _Source:
    """What FFmpeg may do with the file. A damaged file sends it to impossible places: that is refused, not raised."""

    def __init__(self, file: BinaryIO, name: str):
        self.name, self.read, self.tell, self._file = name, file.read, file.tell, file

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -errno.EINVAL


def _refuse_other_files(url, flags, options):
    raise PermissionError(f"refused to open '{url}': a clip may not open other files or addresses")


def _picture_track(path, container):
    import av

    tracks = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not tracks:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise _fail(path, "no-video", f"no picture track; it holds {kinds}")
    tracks.sort(key=lambda s: (not s.disposition & av.stream.Disposition.default, s.index))
    stream = tracks[0]
    if stream.codec_context is None:
        raise _fail(path, "decode-error", "the picture track's codec has no decoder here. Convert it to H.264")
    return stream


def _not_opened(path, header: Header, error: Exception) -> MediaError:
    if header.ends_early:
        return _fail(path, "truncated", header.ends_early)
    if header.kind is None:
        return _fail(path, "not-media", f"not a video in any format that signloom reads ({plain(error)})")
    return _fail(path, "bad-header", f"a {header.kind} file whose header cannot be read: {plain(error)}")


# --- pictures, and folders of them --------------------------------------------------------------------------------


def read_picture(path: str | os.PathLike[str], limits: Limits = Limits()) -> np.ndarray:
    """One picture (PNG, JPEG …, told by its bytes, whatever its name) as uint8 (H, W, 3) RGB. Raises MediaError."""
    if os.path.isdir(path):
        raise _fail(path, "directory", "a folder; wanted a picture")
    return next(_iterate(path, 0, 1, None, limits))[1]


def write_picture(path: str | os.PathLike[str], picture_HWC: np.ndarray) -> None:
    """Write a uint8 (H, W, 3) RGB picture as PNG: whole or not at all, the same bytes each time."""
    picture = _checked_frame(picture_HWC, 0)
    done, data = import_cv2().imencode(".png", picture[..., ::-1])
    assert done
    with atomic_write(Path(path)) as tmp:
        tmp.write_bytes(data.tobytes())


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures that lie in ``folder`` in natural order (2 before 10), as reading it as a clip takes them."""
    return _pictures(folder)


def _pictures(path: str | os.PathLike[str]) -> list[Path]:
    """The pictures in a folder in natural order (2 before 10); empty where ``path`` is no folder or has none."""
    if isinstance(path, HeldFile):
        return []
    try:
        names = [entry.name for entry in os.scandir(path) if Path(entry.name).suffix.lower() in _PICTURE_SUFFIXES]
    except (OSError, ValueError):
        return []

    def natural(name: str) -> list[tuple[int, str]]:
        return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", name)]

    return [Path(path) / name for name in sorted(names, key=lambda n: (natural(n), n)) if not name.startswith(".")]


def _iterate_pictures(pictures, path, first_frame, end_frame, box_px, limits) -> Iterator[tuple[float, np.ndarray]]:
    n = len(pictures)
    chosen = pictures[first_frame:end_frame]
    if not chosen:
        raise _fail(path, "no-frames", f"it has {n} pictures; the clip should start at frame {first_frame}")
    if end_frame is not None and _clearly_short(n - first_frame, end_frame - first_frame):
        raise _fail(path, "truncated", f"it has {n} pictures; the clip should end at frame {end_frame}")
    if len(chosen) > limits.max_frames:
        raise _fail(path, "too-long", f"{len(chosen):,} pictures; at most {limits.max_frames:,}")
    watch, size = _Watch(limits.max_seconds), None
    for number, picture in enumerate(chosen):
        if watch.over:
            raise _fail(path, "timeout", f"not read within {limits.max_seconds:g} s ({number} pictures so far)")
        with _open_clip(picture, limits) as clip:
            if clip.ends_early:
                raise clip.fail("truncated", clip.ends_early)
            first = next(clip.decode(), None)
            if first is None:
                raise clip.fail("no-frames", "no picture can be decoded")
            look = Look(clip, first[1], box_px)
            size = size or (look.width, look.height)
            if (look.width, look.height) != size:
                raise clip.fail(
                    "decode-error", f"{look.width}x{look.height}; its folder began with {size[0]}x{size[1]}"
                )
            frame = look.picture(first[1])
        watch.pause()
        yield number / DEFAULT_FPS, frame
        watch.go_on()


# --- writing video ------------------------------------------------------------------------------------------------


def exact_rate(fps: float | Fraction) -> Fraction:
    """The frame rate that ``fps`` stands for: 29.97 is 30000/1001. Raises InputError when it is no sensible rate."""
    if not (math.isfinite(fps) and 0 < fps <= PLAUSIBLE_FPS[1]):
        raise InputError(f"fps must be above 0 and at most {PLAUSIBLE_FPS[1]:g}; got {fps}")
    for base in (24, 30, 48, 60, 120):
        if abs(float(fps) * 1001 / 1000 / base - 1) < 2e-4:
            return Fraction(base * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    metadata: Mapping[str, str] | None = None,
    crf: int = 18,
    keyframe_every: int = 12,
    preset: str = "medium",
) -> None:
    """Write uint8 (H, W, 3) RGB frames as an H.264 mp4 (yuv420p, BT.709) that browsers play; the same bytes each time.

    ``frames`` may be an iterator. An odd width or height gets its last column or row repeated, since 4:2:0 pictures
    have even sides. ``metadata`` keys are kept as given; ``preset`` is x264's. The file appears whole or not at all.
    Raises InputError for no frames, frames that differ in shape, or a rate that makes no sense.
    """
    with open_video_writer(path, fps, metadata=metadata, crf=crf, keyframe_every=keyframe_every, preset=preset) as add:
        for frame in frames:
            add(frame)


@contextmanager
def open_video_writer(
    path: str | os.PathLike[str],
    fps: float,
    *,
    metadata: Mapping[str, str] | None = None,
    crf: int = 18,
    keyframe_every: int = 12,
    preset: str = "medium",
) -> Iterator[Callable[[np.ndarray], None]]:
    """:func:`write_video` for frames that come one at a time: gives ``add(frame)``."""
    if not 0 <= crf <= 51 or keyframe_every < 1 or preset not in _PRESETS:
        raise InputError(
            f"crf must be 0–51, keyframe_every at least 1, preset one of {', '.join(_PRESETS)}; "
            f"got {crf}, {keyframe_every} and '{preset}'"
        )
    options = {"crf": str(crf), "preset": preset}

    def new_stream(container, rate: Fraction, shape) -> Any:
        height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        return _new_stream(container, rate, (height, width), "yuv420p", keyframe_every, options)

    with _open_mp4(path, fps, metadata, new_stream) as put:

        def add(frame: np.ndarray) -> None:
            put(frame, (3,), to_yuv420)

        yield add


@contextmanager
def open_lossless_writer(
    path: str | os.PathLike[str], fps: float, *, metadata: Mapping[str, str] | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """Give ``add(samples)`` for uint8 (H, W) planes, kept bit for bit; :func:`read_planes` reads them.

    Grey H.264 without loss and with key frames alone, so that any row is read by decoding that row. The same bytes
    each time; whole or not at all. Errors as in :func:`write_video`.
    """
    options = {"qp": "0", "preset": "veryfast", "coder": "cavlc"}

    def new_stream(container, rate: Fraction, shape) -> Any:
        return _new_stream(container, rate, shape, "gray", 1, options)

    def grey(samples: np.ndarray) -> Any:
        import av

        return av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), format="gray")

    with _open_mp4(path, fps, metadata, new_stream) as put:

        def add(samples: np.ndarray) -> None:
            put(samples, (), grey)

        yield add


_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


@contextmanager
def _open_mp4(path, fps: float, metadata: Mapping[str, str] | None, new_stream) -> Iterator[Callable[..., None]]:
    import av

    rate = exact_rate(fps)
    path = Path(os.path.abspath(path))
    with atomic_write(path) as tmp:
        options = {"movflags": "+faststart+use_metadata_tags"}
        container = av.open(str(tmp), mode="w", format="mp4", options=options)
        with container:
            container.flags |= _BITEXACT
            container.metadata.update({str(k): str(v) for k, v in (metadata or {}).items()})
            stream, shape, number = None, None, 0

            def put(frame: np.ndarray, channels: tuple[int, ...], as_picture: Callable[[np.ndarray], Any]) -> None:
                nonlocal stream, shape, number
                frame = _checked_frame(frame, number, channels)
                if stream is None:
                    shape = frame.shape
                    stream = new_stream(container, rate, shape)
                elif frame.shape != shape:
                    raise InputError(f"frame {number} has shape {frame.shape}; frame 0 has {shape}")
                picture = as_picture(frame)
                picture.pts = number
                picture.time_base = 1 / rate
                container.mux(stream.encode(picture))
                number += 1

            yield put
            if stream is None:
                raise InputError(f"no frames to write to '{path}'")
            container.mux(stream.encode(None))


def _checked_frame(frame: np.ndarray, number: int, channels: tuple[int, ...] = (3,)) -> np.ndarray:
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 2 + len(channels) or frame.shape[2:] != channels or 0 in frame.shape:
        wanted = "(H, W, 3) RGB" if channels else "(H, W)"
        raise InputError(f"frame {number} is {frame.dtype} {frame.shape}; wanted uint8 {wanted}")
    return frame


def _new_stream(container, rate: Fraction, size, pix_fmt: str, keyframe_every: int, options: Mapping[str, str]):
    import av

    height, width = size
    # No B-frames: presentation order is decoding order, so every reader sees frame n at n / fps, without edit lists.
    stream = container.add_stream("libx264", rate=rate, options={**options, "threads": "1", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
    context = stream.codec_context
    context.time_base = 1 / rate
    context.gop_size = keyframe_every
    context.thread_count = 1
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # limited
    try:
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"frames of {width}x{height} at {rate} fps cannot be encoded: {plain(error)}") from error
    return stream


# --- any file -----------------------------------------------------------------------------------------------------


def content_hash(path: str | os.PathLike[str]) -> str:
    """BLAKE2b-128 of the file's bytes, in hex; of a folder of pictures, of all of them. Raises MediaError."""
    digest = hashlib.blake2b(digest_size=16)
    parts: list[Any] = [*_pictures(path)] or [path]
    for part in parts:
        with _open_regular(part, None) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _fail(path, reason: str, what: str) -> MediaError:
    return MediaError(f"'{os.fspath(path)}': {what}", reason)


@contextmanager
def _open_regular(path: str | os.PathLike[str], max_bytes: int | None) -> Iterator[BinaryIO]:
    """Open a regular file for reading, without ever waiting on a pipe or touching a device."""
    if isinstance(path, HeldFile):
        if not path.data:
            raise _fail(path, "empty", "the file has no bytes")
        if max_bytes is not None and len(path.data) > max_bytes:
            raise _fail(path, "too-large", f"{len(path.data):,} bytes; at most {max_bytes:,}")
        yield io.BytesIO(path.data)
        return
    try:
        info = os.stat(path)
        if stat.S_ISDIR(info.st_mode):
            raise _fail(path, "directory", "a folder, not a file")
        if not stat.S_ISREG(info.st_mode):
            raise _fail(path, "not-media", "a pipe, socket or device; only regular files are read")
        if info.st_size == 0:
            raise _fail(path, "empty", "the file has no bytes")
        if max_bytes is not None and info.st_size > max_bytes:
            raise _fail(path, "too-large", f"{info.st_size:,} bytes; at most {max_bytes:,}")
        file = open(path, "rb", opener=_opener)  # noqa: SIM115 (closed below)
    except PermissionError as error:
        raise _fail(path, "permission", f"may not be read ({error.strerror})") from error
    except OSError as error:
        where = f" (a link to '{os.readlink(path)}')" if os.path.islink(path) else ""
        raise _fail(path, "missing", f"no such file{where}: {error.strerror}") from error
    except ValueError as error:  # a NUL character in the name
        raise _fail(path, "missing", f"no such file: {error}") from error
    with file:
        yield file


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


# --- .pose files --------------------------------------------------------------------------------------------------


def read_pose(path: str | os.PathLike[str], limits: Limits = Limits()) -> Pose:
    """Read a ``.pose`` file (pose-format 0.0, 0.1 or 0.2), after checking that its claims fit its size.

    Raises MediaError: ``not-media`` for anything else, ``truncated``, ``no-frames``, ``bad-header``, ``too-long`` …
    """
    from pose_format import Pose
    from pose_format.pose_header import PoseHeader, PoseHeaderCache
    from pose_format.utils.reader import BufferReader

    with _open_regular(path, min(limits.max_bytes, limits.max_decoded_bytes)) as file:
        data = file.read()
    number = struct.unpack_from("<f", data)[0] if len(data) >= 4 else math.nan
    version = round(number, 3) if number == 0 or number > 0.01 else math.nan
    if version not in (0.0, 0.1, 0.2) or not data.strip(b"\0"):
        raise _fail(path, "not-media", "not a .pose file (pose-format 0.0, 0.1 or 0.2)")
    # The library hands the same header object to every file with the same header; a change in one would show in all.
    PoseHeaderCache.clear_cache()
    try:
        reader = BufferReader(data)
        header = PoseHeader.read(reader)
        _check_pose(path, header, version, memoryview(data)[reader.read_offset :], limits)
        PoseHeaderCache.clear_cache()
        pose = Pose.read(data)
    except (struct.error, TypeError, IndexError, EOFError) as error:  # what running out of bytes looks like
        raise _fail(path, "truncated", f"cut off: its {len(data):,} bytes end too early") from error
    except (ValueError, ArithmeticError, NotImplementedError) as error:  # the last is pose-format's "Unknown version"
        raise _fail(path, "bad-header", f"a .pose file whose header cannot be read: {error}") from error
    if not len(pose.body.data):
        raise _fail(path, "no-frames", "a .pose file of no frames")
    return pose


def _check_pose(path, header, version: float, body: memoryview, limits: Limits) -> None:
    points, values = header.total_points(), header.num_dims() + 1
    if not points or values < 2:
        raise _fail(path, "bad-header", f"{points} points of {values - 1} dimensions")
    fps, claimed, people = struct.unpack_from("<fIH" if version == 0.2 else "<HHH", body)
    if not 0 < fps <= PLAUSIBLE_FPS[1]:
        raise _fail(path, "bad-header", f"{fps} frames a second")
    if claimed > limits.max_frames:
        raise _fail(path, "too-long", f"it claims {claimed:,} frames; at most {limits.max_frames:,}")
    if version == 0.0:  # people vary from frame to frame: only reading tells
        return
    if not people:
        raise _fail(path, "bad-header", f"{claimed} frames of no people")
    rest = len(body) - (10 if version == 0.2 else 6)
    frames, left_over = divmod(rest, people * points * values * 4)
    if version == 0.1:  # it counts frames in 16 bits, so a long file's count has wrapped around
        claimed += 65536 * round((frames - claimed) / 65536)
    if frames < claimed or (left_over and frames == claimed == 0):
        raise _fail(path, "truncated", f"cut off: {frames} of {claimed} frames are there")
    if frames > claimed or left_over:
        raise _fail(path, "bad-header", f"it claims {claimed} frames and holds {frames}, and {left_over} bytes more")


def write_pose(path: str | os.PathLike[str], pose: Pose) -> None:
    """Write ``pose`` as a ``.pose`` file (pose-format 0.2): whole or not at all, the same bytes each time.

    Raises InputError for a pose that the format cannot hold.
    """
    buffer = io.BytesIO()
    try:
        pose.write(buffer)
    except (ValueError, struct.error) as error:
        raise InputError(f"'{path}': the .pose format cannot hold this pose: {error}") from error
    with atomic_write(Path(path)) as tmp:
        tmp.write_bytes(buffer.getvalue())
