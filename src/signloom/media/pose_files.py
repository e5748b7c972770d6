"""``.pose`` files: read after checking that their claims fit their size, written whole or not at all."""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from signloom.errors import InputError
from signloom.media.clip import clearly_short
from signloom.media.limits import DEFAULT_LIMITS, PLAUSIBLE_FPS, Limits, fail
from signloom.media.local_files import open_regular
from signloom.media.skeleton_files import read_skeleton_mat
from signloom.runtime.atomic import atomic_write

if TYPE_CHECKING:
    from pose_format import Pose

_HEAD_BYTES = 1 << 22  # a header names points; it does not come near


def read_pose(
    path: str | os.PathLike[str],
    limits: Limits = DEFAULT_LIMITS,
    *,
    first_frame: int = 0,
    end_frame: int | None = None,
    fps: float | None = None,
) -> Pose:
    """Read a ``.pose`` file (pose-format 0.0, 0.1 or 0.2), after checking that its claims fit its size; or a ``.mat``
    of a Kinect's skeleton, which does not say its rate: ``fps``.

    Of a range of frames (0-based, half-open) only those are read, and limits are for them. Raises MediaError:
    ``not-media`` for anything else, ``truncated``, ``no-frames``, ``bad-header``, ``too-long`` …
    """
    part = bool(first_frame) or end_frame is not None
    if _is_mat(path):
        pose = read_skeleton_mat(path, fps, limits)
        return _cut(path, pose, first_frame, end_frame) if part else pose
    with _opened(path, limits, part) as (file, claims):
        n = claims.frames
        if part and n is not None:
            _check_range(path, n, first_frame, end_frame)
        stop = n if end_frame is None or n is None else min(end_frame, n)
        if stop is not None and stop - first_frame > limits.max_frames:
            raise fail(path, "too-long", f"{stop - first_frame:,} frames; at most {limits.max_frames:,}")
        cut = None if not part or stop is None else claims.cut(file, first_frame, stop)
        pose = _parsed(path, cut if cut is not None else claims.whole(file))
    if part and cut is None:
        pose = _cut(path, pose, first_frame, end_frame)
    if not len(pose.body.data):
        raise fail(path, "no-frames", "a .pose file of no frames")
    return pose


def _is_mat(path: str | os.PathLike[str]) -> bool:
    return os.fspath(path).lower().endswith(".mat")


def _cut(path: str | os.PathLike[str], pose: Pose, first_frame: int, end_frame: int | None) -> Pose:
    n = len(pose.body.data)
    _check_range(path, n, first_frame, end_frame)
    pose.body = pose.body.select_frames(list(range(first_frame, n if end_frame is None else min(end_frame, n))))
    return pose


def probe_pose(
    path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS, *, fps: float | None = None
) -> tuple[int, float]:
    """How many frames a file that :func:`read_pose` reads has, of whatever length, and its rate. Raises MediaError."""
    if _is_mat(path):
        pose = read_skeleton_mat(path, fps, limits)
        return len(pose.body.data), float(pose.body.fps)
    with _opened(path, limits, part=True) as (_, claims):
        if claims.frames is not None:
            return claims.frames, claims.fps
    pose = read_pose(path, limits)
    return len(pose.body.data), float(pose.body.fps)


@dataclass(frozen=True)
class _Claims:
    """What a file says of itself. ``frames`` is None where only reading tells (pose-format 0.0); ``head`` are its first
    bytes, with the whole header."""

    head: bytes
    version: float
    body_at: int
    frames: int | None
    fps: float
    people: int
    points: int
    values: int

    @property
    def data_at(self) -> int:
        return self.body_at + (10 if self.version == 0.2 else 6)

    def whole(self, file: BinaryIO) -> bytes:
        file.seek(0)
        return file.read()

    def cut(self, file: BinaryIO, first: int, end: int) -> bytes | None:
        """The bytes of a file that holds only those frames; None where its version cannot say how many they are."""
        assert self.frames is not None
        n, each = end - first, self.people * self.points * 4
        if self.version != 0.2 and n > 0xFFFF:
            return None
        numbers = (
            struct.pack("<fIH", self.fps, n, self.people)
            if self.version == 0.2
            else struct.pack("<HHH", int(self.fps), n, self.people)
        )
        parts = [self.head[: self.body_at], numbers]
        confidence_at = self.data_at + self.frames * each * (self.values - 1)
        for at, size in ((self.data_at, each * (self.values - 1)), (confidence_at, each)):
            file.seek(at + first * size)
            parts.append(file.read(n * size))
        return b"".join(parts)


@contextmanager
def _opened(path, limits: Limits, part: bool) -> Iterator[tuple[BinaryIO, _Claims]]:
    """The file and what it claims, checked against its size."""
    from pose_format.pose_header import PoseHeader, PoseHeaderCache
    from pose_format.utils.reader import BufferReader

    with open_regular(path, None if part else min(limits.max_bytes, limits.max_decoded_bytes)) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        number = struct.unpack_from("<f", head)[0] if len(head) >= 4 else math.nan
        version = round(number, 3) if number == 0 or number > 0.01 else math.nan
        if version not in (0.0, 0.1, 0.2) or not head.strip(b"\0"):
            raise fail(path, "not-media", "not a .pose file (pose-format 0.0, 0.1 or 0.2)")
        # The library hands one header object to all files with the same header: a change in one would show in all.
        PoseHeaderCache.clear_cache()
        with _explained(path, size):
            reader = BufferReader(head)
            header = PoseHeader.read(reader)
            claims = _claims(path, header, version, head, reader.read_offset, size, None if part else limits)
        PoseHeaderCache.clear_cache()
        yield file, claims


def _parsed(path, data: bytes) -> Pose:
    from pose_format import Pose

    with _explained(path, len(data)):
        return Pose.read(data)


@contextmanager
def _explained(path, size: int) -> Iterator[None]:
    try:
        yield
    except (struct.error, TypeError, IndexError, EOFError) as error:  # what running out of bytes looks like
        raise fail(path, "truncated", f"cut off: its {size:,} bytes end too early") from error
    except (ValueError, ArithmeticError) as error:
        raise fail(path, "bad-header", f"a .pose file whose header cannot be read: {error}") from error


def _check_range(path, n: int, first_frame: int, end_frame: int | None) -> None:
    if n <= first_frame:
        raise fail(path, "no-frames", f"it has {n} frames; the clip should start at frame {first_frame}")
    if end_frame is not None and clearly_short(n - first_frame, end_frame - first_frame):
        raise fail(path, "truncated", f"it has {n} frames; the clip should end at frame {end_frame}")


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


def _claims(path, header: Any, version: float, head: bytes, body_at: int, size: int, limits: Limits | None) -> _Claims:
    points, values = header.total_points(), header.num_dims() + 1
    if not points or values < 2:
        raise fail(path, "bad-header", f"{points} points of {values - 1} dimensions")
    fps, claimed, people = struct.unpack_from("<fIH" if version == 0.2 else "<HHH", head, body_at)
    if not 0 < fps <= PLAUSIBLE_FPS[1]:
        raise fail(path, "bad-header", f"{fps} frames a second")
    if limits is not None and claimed > limits.max_frames:
        raise fail(path, "too-long", f"it claims {claimed:,} frames; at most {limits.max_frames:,}")
    found = _Claims(head, version, body_at, None, float(fps), people, points, values)
    if version == 0.0:  # people vary from frame to frame: only reading tells
        return found
    if not people:
        raise fail(path, "bad-header", f"{claimed} frames of no people")
    frames, left_over = divmod(size - found.data_at, people * points * values * 4)
    if version == 0.1:  # it counts frames in 16 bits, so a long file's count has wrapped around
        claimed += 65536 * round((frames - claimed) / 65536)
    if frames < claimed or (left_over and frames == claimed == 0):
        raise fail(path, "truncated", f"cut off: {frames} of {claimed} frames are there")
    if frames > claimed or left_over:
        raise fail(path, "bad-header", f"it claims {claimed} frames and holds {frames}, and {left_over} bytes more")
    return replace(found, frames=frames)
