"""Depth video as pictures: without background, near is bright."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from signloom import media
from signloom.data.stream import ClipInfo, File, Stream, Timed
from signloom.errors import InputError

MILLIMETRES = "depth_mm"
"""What is pushed: a depth picture, uint16 (H, W), millimetres from the camera, 0 is background."""
SHARES = (0.5, 99.5)
"""The percentiles of a clip's foreground that are its nearest and its farthest."""


@dataclass(frozen=True)
class DepthStream(Stream):
    """Depth in 8 bits without loss after that: 0 is background, 255 near, 1 far. Samples are uint8 (H, W, 1).

    From ``near_mm`` to ``far_mm``; where those are 0, the clip's own range (:data:`SHARES` of its foreground), so that
    it does not matter how far away the signer stands. What lies beyond is cut to it.
    """

    near_mm: float = 0.0
    far_mm: float = 0.0
    name = "depth"
    suffix = ".mp4"
    lossless = True
    version: ClassVar[int] = 1

    def __post_init__(self):
        if (self.near_mm, self.far_mm) != (0, 0) and not 0 < self.near_mm < self.far_mm < np.inf:
            raise InputError(
                f"depth.near_mm and far_mm: got {self.near_mm} and {self.far_mm}, expected 0 < near < far, or 0 and 0 "
                "for each clip's own range"
            )

    @property
    def requires(self) -> tuple[str, ...]:
        return (MILLIMETRES,)

    def fingerprint(self) -> dict[str, Any]:
        return {
            "extractor": "depth-8bit",
            "near_mm": self.near_mm,
            "far_mm": self.far_mm,
            "shares": list(SHARES),
            "version": self.version,
        }

    def open(self, info: ClipInfo) -> _Fixed | _OwnRange:
        return _Fixed(self.near_mm, self.far_mm) if self.near_mm else _OwnRange()

    @contextmanager
    def writer(self, file: Path, info: ClipInfo) -> Iterator[Callable[[np.ndarray], None]]:
        with media.open_lossless_writer(file, info.fps) as add:
            yield lambda sample: add(sample[..., 0])

    def read(self, file: File, rows: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """uint8 (T, H, W, 1)."""
        return media.read_planes(file, rows)[0][..., None]

    def read_of(self, file: File, rows: np.ndarray | Sequence[int] | None, n_frames: int | None) -> np.ndarray:
        return media.read_planes(file, rows, n_frames=n_frames)[0][..., None]


def depth_picture(depth_mm: np.ndarray, near_mm: float, far_mm: float) -> np.ndarray:
    """uint16 (…, H, W) millimetres as uint8 (…, H, W, 1): 0 where there is nothing, 255 at ``near_mm``, 1 at
    ``far_mm``."""
    span = max(far_mm - near_mm, 1.0)
    level = 1 + np.rint((far_mm - depth_mm.astype(np.float32)) * np.float32(254 / span))
    return np.where(depth_mm > 0, np.clip(level, 1, 255), 0).astype(np.uint8)[..., None]


class _Fixed:
    def __init__(self, near_mm: float, far_mm: float):
        self._range = near_mm, far_mm

    def push(self, time_s: float, samples: Mapping[str, np.ndarray]) -> list[Timed]:
        return [Timed(time_s, depth_picture(samples[MILLIMETRES], *self._range))]

    def close(self) -> list[Timed]:
        return []


class _OwnRange:
    """The range is known when the clip is over."""

    def __init__(self):
        self._held: list[Timed] = []

    def push(self, time_s: float, samples: Mapping[str, np.ndarray]) -> list[Timed]:
        self._held.append(Timed(time_s, samples[MILLIMETRES]))
        return []

    def close(self) -> list[Timed]:
        there = np.concatenate([t.sample[t.sample > 0] for t in self._held]) if self._held else np.zeros(0)
        near_mm, far_mm = np.percentile(there, SHARES) if len(there) else (0.0, 1.0)
        return [Timed(t.time_s, depth_picture(t.sample, near_mm, far_mm)) for t in self._held]
