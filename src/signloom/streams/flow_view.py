"""A view of the flow: each clip's optical flow as a video in colours, to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from signloom import media
from signloom.data.stream import ClipInfo, File, Stream, Timed
from signloom.media.flow_files import flow_of_codes
from signloom.streams.flow import FlowStream, colour_wheel

FULL_PX_S = 200.0
"""Pixels per second (8 a frame at 25 frames/s), or fiftieths of the shoulder width, that are fully saturated."""


@dataclass(frozen=True)
class FlowViewStream(Stream):
    """Flow in the colours of :func:`colour_wheel`, in H.264. Samples are uint8 (H, W, 3) RGB.

    Fully saturated is what moves :data:`FULL_PX_S` a second, so that one movement has one colour at any frame rate.
    """

    flow: FlowStream = field(default_factory=FlowStream)
    name = "flow_view"
    suffix = ".mp4"
    version: ClassVar[int] = 2

    @property
    def requires(self) -> tuple[str, ...]:
        return ("flow",)

    def fingerprint(self) -> dict[str, Any]:
        return {"extractor": "colour-wheel", "flow": self.flow.fingerprint(), "version": self.version}

    def open(self, info: ClipInfo) -> _Colouring:
        return _Colouring(self.flow.limit_px, FULL_PX_S / info.fps)

    @contextmanager
    def writer(self, file: Path, info: ClipInfo) -> Iterator[Callable[[np.ndarray], None]]:
        with media.open_video_writer(file, info.fps) as add:
            yield add

    def read(self, file: File, rows: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """uint8 (T, H, W, 3) RGB."""
        return media.read_frames(file, rows)

    def read_of(self, file: File, rows: np.ndarray | Sequence[int] | None, n_frames: int | None) -> np.ndarray:
        return media.read_frames(file, rows, n_frames=n_frames)


class _Colouring:
    def __init__(self, limit_px: float, full_px: float):
        self._limit_px, self._full_px = limit_px, full_px

    def push(self, time_s: float, samples: Mapping[str, np.ndarray]) -> list[Timed]:
        return [Timed(time_s, colour_wheel(flow_of_codes(samples["flow"], self._limit_px), self._full_px))]

    def close(self) -> list[Timed]:
        return []
