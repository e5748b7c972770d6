"""One file, looked at in a process of its own."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.signal_files import read_signal
from signloom.data.skeleton import joints_of
from signloom.errors import InputError, MediaError
from signloom.media import Limits, VideoInfo, content_hash, cut_at, frame_times, list_pictures, probe_pose, read_pose
from signloom.media.headers import read_header
from signloom.media.recording import Recording
from signloom.media.sensor_files import read_sensor_file
from signloom.sources.dgs_landmarks import landmarks_to_pose
from signloom.sources.picture_names import odd_names
from signloom.streams.imu import reading
from signloom.streams.pose_cleaning import clean_pose

if TYPE_CHECKING:
    from pose_format import Pose

_SUFFIXES = {
    "MP4": ".mp4 .m4v .mov .3gp",
    "Matroska/WebM": ".mkv .webm",
    "AVI": ".avi",
    "GIF": ".gif",
    "MPEG": ".mpg .mpeg .mpe .vob",
    "MPEG-TS": ".ts .mts .m2ts",
    "ASF/WMV": ".wmv",
    "FLV": ".flv",
    "Ogg": ".ogv",
}
_RECENT_BYTES = 1 << 26  # of frames, for parts that overlap
_THUMBNAIL_PX = 48  # frames are compared at about this size
_BLACK = 24  # no brighter than this anywhere
_STILL = 0.5  # mean difference to the first frame

Part = tuple[int, int | None]
"""Frames of a file, 0-based and half-open."""
WHOLE: Part = (0, None)


@dataclass(frozen=True)
class Facts:
    """What one file is like. ``found`` holds (kind, message) of what is wrong with it, though it can be read.

    ``dropped`` frames are those that its camera left out. ``pose_found`` counts what
    :func:`~signloom.streams.pose_cleaning.clean_pose` finds in a pose.
    """

    how: str
    fps: float | None = None
    frames: int | None = None
    size_px: tuple[int, int] | None = None
    rotation_deg: int = 0
    codec: str | None = None
    uneven: bool = False
    dropped: int = 0
    content: str | None = None
    pose_found: Mapping[str, int] = field(default_factory=dict)
    sensor_notes: tuple[str, ...] = ()
    found: tuple[tuple[str, str], ...] = ()


def examine(
    path: str,
    how: str,
    full: bool,
    hashed: bool,
    limits: Limits,
    person: str = "auto",
    ranges: Sequence[tuple[Any, ...]] = (WHOLE,),
    fps: float | None = None,
    sensors: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The :class:`Facts` of one file as a dict; ``how`` is video, pose, landmarks, sensor or bytes, ``person`` who is
    to be read from a pose of several people, ``fps`` what the record says of the rate, for files that do not, and
    ``sensors`` what each record that uses a sensor's file says of it.

    Only the ``ranges`` that clips are cut from are read, and limits are for each of them. Raises MediaError with why it
    is broken.
    """
    found: list[tuple[str, str]] = []
    facts: dict[str, Any] = {"how": how}
    parts = _in_frames(path, how, ranges, limits, fps)
    if how == "video":
        facts |= _examine_video(path, full, limits, found, parts)
    elif how == "pose":
        n_frames, rate, poses = _poses_of(path, limits, parts, fps)
        facts |= {"fps": rate, "frames": n_frames} | _examine_poses(poses, path, person, found)
    elif how == "landmarks":
        pose = landmarks_to_pose(path)
        facts |= {"frames": len(pose.body.data)} | _examine_poses([pose], path, person, found)
    elif how == "sensor":
        facts |= _examine_sensor(path, sensors, found)
    if facts.get("frames") == 1:
        found.append(("one-frame", f"'{path}': it has a single frame"))
    if hashed or how == "bytes":  # of which it is only known whether they can be read
        content = content_hash(path)
        facts |= {"content": content} if hashed else {}
    return asdict(Facts(**facts, found=tuple(found)))


def _examine_sensor(path: str, sensors: Sequence[Mapping[str, Any]], found: list[tuple[str, str]]) -> dict[str, Any]:
    """Every recording that clips take from the file, each once."""
    notes: dict[str, None] = {}
    rates, lengths = [], []
    for about in {repr(sorted(about.items())): about for about in sensors or ({},)}.values():
        try:
            taken: Any = read_signal(path) if about.get("prepared") else read_sensor_file(path, **reading(about))
        except (MediaError, InputError) as error:
            if len(sensors) < 2:
                raise
            found.append((getattr(error, "reason", "error"), f"'{path}': {error}"))
            continue
        notes |= dict.fromkeys(getattr(taken, "notes", ()))
        rates.append(taken.rate_hz)
        lengths.append(len(taken.values_TC))
    if not rates:
        return {}
    return {"fps": round(rates[0], 3), "frames": lengths[0], "sensor_notes": tuple(notes)}


def _in_frames(path: str, how: str, ranges: Sequence[tuple[Any, ...]], limits: Limits, fps: float | None) -> list[Part]:
    """``ranges`` in frames and in order of start; those in seconds that the file does not have are left out, since
    they are a finding of their own."""
    parts: set[Part] = set()
    for first, end, *seconds in ranges:
        if not seconds or how not in ("video", "pose"):
            parts.add((first, end))
            continue
        n_frames, rate = probe_pose(path, limits, fps=fps) if how == "pose" else (0, 1.0)
        times_s = np.arange(n_frames) / rate if how == "pose" else frame_times(path, limits)
        with suppress(MediaError):
            parts.add(cut_at(times_s, seconds[0], seconds[1], path))
    return sorted(parts, key=lambda part: (part[0], part[1] or 0))


def _poses_of(path: str, limits: Limits, parts: Sequence[Part], fps: float | None) -> tuple[int, float, list[Pose]]:
    """How many frames the file has, their rate, and the poses of the parts."""
    if WHOLE in parts:
        pose = read_pose(path, limits, fps=fps)
        return len(pose.body.data), float(pose.body.fps), [pose]
    n_frames, rate = probe_pose(path, limits, fps=fps)
    there = [(first, _within(end, n_frames)) for first, end in parts if first < n_frames]
    poses = [read_pose(path, limits, first_frame=first, end_frame=end, fps=fps) for first, end in there]
    return n_frames, rate, poses


def _examine_poses(poses: Sequence[Pose], path: str, person: str, found: list[tuple[str, str]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    seen = False
    try:
        for pose in poses:
            clean = clean_pose(pose, person=person)
            counts.update(clean.found)
            seen = seen or bool(joints_of(clean.pose).present_TJ.any())
    except InputError as error:
        found.append(("skeleton", f"'{path}': {error}"))
        return {}
    except MediaError as error:
        found.append((error.reason, f"'{path}': {error}"))
        return {}
    if poses and not seen:
        found.append(("still", f"'{path}': no point was ever found in it"))
    return {"pose_found": dict(counts)}


def _within(end: int | None, n_frames: int | None) -> int | None:
    """A part that goes on behind the end of its file is a finding of its own; what there is of it is read."""
    return end if end is None or n_frames is None else min(end, n_frames)


def _examine_video(
    path: str, full: bool, limits: Limits, found: list[tuple[str, str]], parts: Sequence[Part]
) -> dict[str, Any]:
    with Recording(path, limits, part=WHOLE not in parts, recent_bytes=_RECENT_BYTES, near=0) as recording:
        return _examine_recording(path, recording, full, found, parts)


def _examine_recording(
    path: str, recording: Recording, full: bool, found: list[tuple[str, str]], parts: Sequence[Part]
) -> dict[str, Any]:
    info = recording.info(0, None if WHOLE in parts else 1)
    if recording.ends_early:
        found.append(("truncated", f"'{path}': {recording.ends_early}; clips that lie before it can be read"))
    parts = [(first, _within(end, info.n_frames)) for first, end in parts if first < (info.n_frames or first + 1)]
    for part in parts:
        recording.info(*part)
    if pictures := list_pictures(path):
        found += [("numbering", f"'{path}': {what}") for what in odd_names(pictures)]
    elif os.path.isfile(path):
        with open(path, "rb") as file:
            kind = read_header(file, path).kind
        suffix = os.path.splitext(path)[1].lower()
        if kind in _SUFFIXES and suffix not in _SUFFIXES[kind].split():
            found.append(("extension", f"'{path}': it is {kind}, not what '{suffix}' says"))
    frames, dropped = info.n_frames, 0
    if frames and info.duration_s and frames > 2:
        rate = frames / info.duration_s
        missing = rate < info.fps and not recording.ends_early
        dropped = _dropped(path, info, recording.limits) if missing else 0
        if (
            abs((frames + dropped) / info.duration_s / info.fps - 1) > 0.1
            and abs(frames - info.fps * info.duration_s) > 2
        ):
            message = (
                f"'{path}': {frames} frames in {info.duration_s:.2f} s make {rate:.2f} frames/s, the container says "
                f"{info.fps:.2f}"
            )
            found.append(("lying", message))
    facts = {
        "fps": info.fps,
        "frames": frames,
        "size_px": (info.width, info.height),
        "rotation_deg": info.rotation_deg,
        "codec": info.codec,
        "dropped": dropped,
    }
    return facts | _decode(path, recording, info, found, parts) if full else facts


def _dropped(path: str, info: VideoInfo, limits: Limits) -> int:
    """How many frames are missing between those that are there, which else keep to the container's rate.

    Phones and webcams leave frames out when the light or the processor is weak: nothing is wrong with such a file.
    """
    steps_s = np.diff(frame_times(path, limits))
    usual_s = float(np.median(steps_s)) if len(steps_s) else 0.0
    if abs(usual_s * info.fps - 1) > 0.1:
        return 0
    return int(np.maximum(np.rint(steps_s / usual_s) - 1, 0).sum())


def _decode(
    path: str, recording: Recording, info: VideoInfo, found: list[tuple[str, str]], parts: Sequence[Part]
) -> dict[str, Any]:
    """What only decoding every frame shows: how many there are, whether anything moves, whether time is even."""
    decoded, first, moved, brightest = 0, None, 0.0, 0
    steps: list[float] = []
    last_s = None
    for time_s, frame in itertools.chain.from_iterable(recording.part(*part) for part in parts):
        every = [max(1, n // _THUMBNAIL_PX) for n in frame.shape[:2]]
        small = frame[:: every[0], :: every[1]].astype(np.int16)
        first = small if first is None else first
        moved = max(moved, float(np.abs(small - first).mean()))
        brightest = max(brightest, int(small.max()))
        if last_s is not None and time_s > last_s:  # each part starts at 0
            steps.append(time_s - last_s)
        last_s = time_s
        decoded += 1
    # Fewer, but not so few that it would be cut off: cameras count frames that they drop.
    whole = WHOLE in parts
    if whole and info.n_frames is not None and decoded > info.n_frames + 1:
        found.append(("lying", f"'{path}': the container says {info.n_frames} frames, decoding gives {decoded}"))
    if decoded and brightest < _BLACK:
        found.append(("still", f"'{path}': every frame is black"))
    elif decoded > 1 and moved < _STILL:
        found.append(("still", f"'{path}': nothing moves in its {decoded} frames"))
    n_frames = decoded if whole else info.n_frames
    return {"frames": n_frames, "uneven": bool(steps) and max(steps) > 1.5 * sorted(steps)[len(steps) // 2]}
