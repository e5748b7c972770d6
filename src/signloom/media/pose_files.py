"""``.pose`` files: read after checking that their claims fit their size, written whole or not at all."""

from __future__ import annotations

import io
import math
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from signloom.errors import InputError
from signloom.media.limits import DEFAULT_LIMITS, PLAUSIBLE_FPS, Limits, fail
from signloom.media.local_files import open_regular
from signloom.runtime.atomic import atomic_write

if TYPE_CHECKING:
    from pose_format import Pose


def read_pose(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> Pose:
    """Read a ``.pose`` file (pose-format 0.0, 0.1 or 0.2), after checking that its claims fit its size.

    Raises MediaError: ``not-media`` for anything else, ``truncated``, ``no-frames``, ``bad-header``, ``too-long`` …
    """
    from pose_format import Pose
    from pose_format.pose_header import PoseHeader, PoseHeaderCache
    from pose_format.utils.reader import BufferReader

    with open_regular(path, min(limits.max_bytes, limits.max_decoded_bytes)) as file:
        data = file.read()
    number = struct.unpack_from("<f", data)[0] if len(data) >= 4 else math.nan
    version = round(number, 3) if number == 0 or number > 0.01 else math.nan
    if version not in (0.0, 0.1, 0.2) or not data.strip(b"\0"):
        raise fail(path, "not-media", "not a .pose file (pose-format 0.0, 0.1 or 0.2)")
    # The library hands the same header object to every file with the same header; a change in one would show in all.
    PoseHeaderCache.clear_cache()
    try:
        reader = BufferReader(data)
        header = PoseHeader.read(reader)
        _check_pose(path, header, version, memoryview(data)[reader.read_offset :], limits)
        PoseHeaderCache.clear_cache()
        pose = Pose.read(data)
    except (struct.error, TypeError, IndexError, EOFError) as error:  # what running out of bytes looks like
        raise fail(path, "truncated", f"cut off: its {len(data):,} bytes end too early") from error
    except (ValueError, ArithmeticError) as error:
        raise fail(path, "bad-header", f"a .pose file whose header cannot be read: {error}") from error
    if not len(pose.body.data):
        raise fail(path, "no-frames", "a .pose file of no frames")
    return pose


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


def _check_pose(path, header, version: float, body: memoryview, limits: Limits) -> None:
    points, values = header.total_points(), header.num_dims() + 1
    if not points or values < 2:
        raise fail(path, "bad-header", f"{points} points of {values - 1} dimensions")
    fps, claimed, people = struct.unpack_from("<fIH" if version == 0.2 else "<HHH", body)
    if not 0 < fps <= PLAUSIBLE_FPS[1]:
        raise fail(path, "bad-header", f"{fps} frames a second")
    if claimed > limits.max_frames:
        raise fail(path, "too-long", f"it claims {claimed:,} frames; at most {limits.max_frames:,}")
    if version == 0.0:  # people vary from frame to frame: only reading tells
        return
    if not people:
        raise fail(path, "bad-header", f"{claimed} frames of no people")
    rest = len(body) - (10 if version == 0.2 else 6)
    frames, left_over = divmod(rest, people * points * values * 4)
    if version == 0.1:  # it counts frames in 16 bits, so a long file's count has wrapped around
        claimed += 65536 * round((frames - claimed) / 65536)
    if frames < claimed or (left_over and frames == claimed == 0):
        raise fail(path, "truncated", f"cut off: {frames} of {claimed} frames are there")
    if frames > claimed or left_over:
        raise fail(path, "bad-header", f"it claims {claimed} frames and holds {frames}, and {left_over} bytes more")
