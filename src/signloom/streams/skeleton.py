"""Stick figures in OpenPose's colours, as pairs of drawing and photograph bring them. Read, never made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from signloom import media
from signloom.data.stream import ClipInfo, File, Stream
from signloom.errors import InputError


@dataclass(frozen=True)
class SkeletonStream(Stream):
    """Stick figures that were imported with ``--source pairs``: folders of PNG. Samples are uint8 (H, W, 3) RGB.

    ``made`` is the fingerprint on record.
    """

    made: Mapping[str, Any] = field(default_factory=lambda: {"extractor": "openpose-drawing"})
    name = "skeleton"
    suffix = ""

    @classmethod
    def of_fingerprint(cls, made: Mapping[str, Any], others: Mapping[str, Stream]) -> SkeletonStream:
        """The stream whose fingerprint is ``made``."""
        return cls(made)

    @property
    def requires(self) -> tuple[str, ...]:
        return ()

    def fingerprint(self) -> dict[str, Any]:
        return dict(self.made)

    def open(self, info: ClipInfo) -> NoReturn:
        raise InputError(
            f"clip '{info.id}': stick figures come with pairs and are not made of video. Run: signloom prepare pairs/ "
            "--source pairs --out …"
        )

    def writer(self, file: Path, info: ClipInfo) -> AbstractContextManager[Callable[[np.ndarray], None]]:
        self.open(info)

    def read(self, file: File, rows: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """uint8 (T, H, W, 3) RGB."""
        return media.read_frames(file, rows)

    def read_of(self, file: File, rows: np.ndarray | Sequence[int] | None, n_frames: int | None) -> np.ndarray:
        return media.read_frames(file, rows, n_frames=n_frames)
