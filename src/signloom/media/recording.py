"""A video file, or a folder of pictures, that is read in parts: opened once, and each frame decoded once where it can.

A part begins where the last one ended, or at the key frame before it, whichever is nearer. Frames decoded last are
held, so that parts may overlap. Where seeking is not exact, parts in order of start cost one decoding of the file.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.media.clip import Key, NotSought, Watch, open_clip
from signloom.media.folders import iterate_pictures
from signloom.media.index import Index, index_of
from signloom.media.limits import DEFAULT_FPS, DEFAULT_LIMITS, Limits
from signloom.media.local_files import HeldFile, list_pictures
from signloom.media.pixels import Look

NEAR = 48  # frames further on are decoded rather than sought: finding the key frames takes a walk through the file


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


class Recording:
    """Close it after use, or use it as a context. One part is read at a time.

    ``part``: a part of it will be asked for, so that the file may be of any size. ``recent_bytes``: what it may hold of
    the frames decoded last. Within ``near`` frames nothing is sought, unless key frames are known by then.
    Raises MediaError for what cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        limits: Limits = DEFAULT_LIMITS,
        *,
        part: bool = True,
        recent_bytes: int = 0,
        near: int = NEAR,
    ):
        self.path, self.limits = path, limits
        self._part, self._recent_bytes, self._near = part, recent_bytes, near
        self._pictures = list_pictures(path)
        self._stack = ExitStack()
        self._seekable = not isinstance(path, HeldFile)  # whose index nothing remembers
        self._index: Index | None = None
        self._info: VideoInfo | None = None
        if not self._pictures:
            self._open()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()
        self._recent: deque[tuple[float, Any]] = deque()

    def _open(self) -> None:
        self.close()
        self._clip = self._stack.enter_context(open_clip(self.path, self.limits, part=self._part))
        self._begin(self._clip.timed(), 0)

    def _begin(self, frames: Iterator[tuple[float, Any]], number: int) -> None:
        self._frames, self._coming, self._broken = frames, number, False
        self._recent.clear()

    # --- what it is ---

    @property
    def ends_early(self) -> str | None:
        """How the file is cut off, where it is."""
        return None if self._pictures else self._clip.ends_early

    def info(self, first_frame: int = 0, end_frame: int | None = None) -> VideoInfo:
        """What the header says, checked against the file's size; one frame is decoded, for its orientation.

        Raises MediaError where what is asked for is not there, or too long.
        """
        if self._pictures:
            check_range(first_frame, end_frame)
            if self._info is None:
                with Recording(self._pictures[0], self.limits, part=False) as first:
                    self._info = first.info()
            n = len(self._pictures)
            return replace(self._info, fps=DEFAULT_FPS, n_frames=n, duration_s=n / DEFAULT_FPS, metadata={})
        self._check(first_frame, end_frame)
        if self._info is None:
            self._info = self._look()
        return self._info

    def _look(self) -> VideoInfo:
        if self._broken or self._coming:
            self._open()
        clip = self._clip
        clip.watch = Watch(self.limits.max_seconds)
        first = self._at(0)
        if first is None:
            raise clip.fail("no-frames", "no frame can be decoded")
        look = Look(clip, first[1])
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

    def _check(self, first_frame: int, end_frame: int | None) -> None:
        """By the header alone, before any frame is decoded."""
        check_range(first_frame, end_frame)
        clip = self._clip
        if clip.ends_early and end_frame is None:
            raise clip.fail("truncated", clip.ends_early)
        clip.check_length(first_frame, end_frame)
        if clip.indexed and clip.promised_frames is not None and clip.container.format.name != "avi":
            clip.check_range(clip.promised_frames, first_frame, end_frame)

    # --- its frames ---

    def part(
        self,
        first_frame: int = 0,
        end_frame: int | None = None,
        box_px: tuple[float, float, float, float] | None = None,
        facts: dict[str, Any] | None = None,
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Frames as :func:`~signloom.media.iter_frames` gives them; ``facts`` is told ``n_frames`` and ``fps``."""
        if self._pictures:
            check_range(first_frame, end_frame)
            yield from iterate_pictures(self._pictures, self.path, first_frame, end_frame, box_px, self.limits, facts)
            return
        self._check(first_frame, end_frame)
        if self._broken:
            self._open()
        limits = self.limits
        self._clip.watch = Watch(limits.max_seconds)
        if facts is not None:
            promised = self._clip.promised_frames
            stop = end_frame if promised is None else min(promised, end_frame or promised)
            facts["n_frames"] = None if stop is None else min(max(stop - first_frame, 1), limits.max_frames)
        look: Look | None = None
        start_s = 0.0
        for number in count(first_frame):
            found = self._at(number)
            clip = self._clip
            if found is None:
                clip.check_end(self._coming, first_frame, end_frame)
                return
            if number - first_frame >= limits.max_frames:
                raise clip.fail("too-long", f"more than {limits.max_frames} frames. Cut it, or raise max_frames")
            time_s, frame = found
            if look is None:
                look, start_s = Look(clip, frame, box_px), time_s
                if facts is not None:
                    facts["fps"] = clip.fps
            picture = look.picture(frame)
            clip.watch.pause()
            yield time_s - start_s, picture
            clip.watch.go_on()
            if end_frame is not None and number + 1 >= end_frame:
                return

    def _at(self, number: int) -> tuple[float, Any] | None:
        """(time_s, frame) of the frame ``number``; None where the file has fewer."""
        held = number - self._coming + len(self._recent)
        if 0 <= held < len(self._recent):
            return self._recent[held]
        if number != self._coming:
            self._go_to(number)
        while self._coming <= number:
            if not self._advance():
                return None
        return self._recent[-1]

    def _go_to(self, number: int) -> None:
        """Stand where decoding leads to the frame ``number`` by the shortest way."""
        back = number < self._coming
        if self._index is None and self._seekable and (back or number - self._coming >= self._near):
            self._index = index_of(self.path, self.limits)
            self._seekable = self._index is not None
        key = self._index.key_before(number) if self._index is not None else None
        if self._index is not None and key is not None and key.number and (back or key.number > self._coming):
            self._begin(self._sought(key, self._index.stamps), key.number)
        elif back:
            self._reopen()

    def _reopen(self) -> None:
        watch = self._clip.watch
        self._open()
        self._clip.watch = watch

    def _advance(self) -> bool:
        """Decode one frame."""
        try:
            found = next(self._frames, None)
        except NotSought:
            self._seekable, self._index = False, None
            wanted = self._coming
            self._reopen()
            while self._coming < wanted:
                if not self._advance():
                    return False
            return self._advance()
        except BaseException:
            self._broken = True
            raise
        if found is None:
            return False
        self._recent.append(found)
        most = 1 + (self._recent_bytes and self._recent_bytes // sum(p.buffer_size for p in found[1].planes))
        while len(self._recent) > most:
            self._recent.popleft()
        self._coming += 1
        return True

    def _sought(self, key: Key, stamps: Sequence[int]) -> Iterator[tuple[float, Any]]:
        """The frames from ``key`` on, as long as they are those that the index says."""
        number = key.number
        for time_s, frame in self._clip.decode(key):
            if number >= len(stamps) or frame.pts != stamps[number] or time_s is None:
                raise NotSought
            yield time_s, frame
            number += 1
        if number < len(stamps):
            raise NotSought


def check_range(first_frame: int, end_frame: int | None) -> None:
    """Raises InputError for a range of no frames."""
    if first_frame < 0 or (end_frame is not None and end_frame <= first_frame):
        raise InputError(
            f"frames {first_frame}–{end_frame} select nothing; first_frame counts from 0 and end_frame is one past the "
            "last frame (None = to the end)"
        )
