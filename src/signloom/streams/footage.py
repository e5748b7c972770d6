"""The pictures of a clip that another one is made of: decoded once, at a constant rate, however its file keeps time."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.manifest import Record
from signloom.errors import MediaError
from signloom.media.recording import Recording
from signloom.streams import recordings
from signloom.transforms.augment.draw import Facts


class Footage:
    """The frames of ``stream`` ("video" or "frames") of a clip; ``facts`` are their size, number and rate, ``content``
    is the hash of the file.

    ``record`` has its paths relative to ``root``. Raises MediaError for what cannot be read.
    """

    def __init__(self, record: Record, root: Path, stream: str, limits: media.Limits, shared: Path | None):
        self.record, self.limits, self.shared, self.stream = record, limits, shared, stream
        self.path = root / record.streams[stream]
        first, end = (record.first_frame, record.end_frame) if stream == "video" else (0, None)
        if record.timed and stream == "video":
            first, end = media.frames_between(self.path, record.start_s, record.end_s, limits)
        self._range = first, end, record.box_px if stream == "video" else None
        with self._opened() as recording:
            info = recording.info(first, end)
        fps = float(record.fps or info.fps)
        times_s = media.frame_times(self.path, limits)[first:end]
        if not len(times_s):
            raise MediaError(f"clip '{record.id}' has no frame", "no-frames")
        self._shown = np.bincount(media.constant_rate(times_s - times_s[0], fps), minlength=len(times_s))
        n_frames = int(self._shown.sum())
        if n_frames > limits.max_frames:
            raise MediaError(f"clip '{record.id}': {n_frames} frames; at most {limits.max_frames}", "too-long")
        with self._opened() as recording:
            _, frame = next(recording.part(first, first + 1, self._range[2]))
        self.facts = Facts((frame.shape[1], frame.shape[0]), n_frames, fps)
        self.content = recordings.content_of(self.path, shared)

    def _opened(self) -> Any:
        whole = self._range[:2] == (0, None)
        return recordings.opened(self.path, self.limits, part=not whole, shared=self.shared)

    def frames(self) -> Generator[np.ndarray, None, None]:
        """Its pictures at a constant rate. Raises MediaError where there are fewer than the file promised."""
        with self._opened() as recording:
            assert isinstance(recording, Recording)
            number = -1
            for number, (_, frame) in enumerate(recording.part(*self._range)):
                if number >= len(self._shown):
                    break
                for _ in range(int(self._shown[number])):
                    yield frame
        if number + 1 < len(self._shown):
            raise MediaError(
                f"clip '{self.record.id}': '{self.path}' holds {number + 1} of {len(self._shown)} frames", "truncated"
            )
