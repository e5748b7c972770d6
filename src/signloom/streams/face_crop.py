"""The signer's face, upright and at one size, with the mask that says where it is: what a face swap learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from signloom.data.stream import ClipInfo, Timed
from signloom.errors import InputError, MediaError
from signloom.streams.face_layout import (
    FaceLayout,
    at_width,
    face_points,
    hands_of,
    judged,
    layout_of,
)
from signloom.streams.frames import PRESET, H264Stream
from signloom.streams.pose import PoseStream
from signloom.transforms.face_cover import hand_pixels


@dataclass(frozen=True)
class FaceStream(H264Stream):
    """The signer's face laid out as everybody's (:mod:`signloom.streams.face_layout`), ``size_px`` a side, in H.264.

    Samples are uint8 (size_px, 2 size_px, 3) RGB: on the left the face, on the right, in grey, where it is seen (its
    outline without hands that were found before it). Where no face was found both are black. The record's
    ``face_found`` has a letter a frame that says whether it is good to learn from, or why not
    (:data:`~signloom.streams.face_layout.REASONS`).
    """

    size_px: int = 128
    crf: int = 14
    keyframe_every: int = 12
    pose: PoseStream = field(default_factory=PoseStream)
    name = "faces"
    extra_fields = ("face_found",)
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not 32 <= self.size_px <= 1024 or self.size_px % 2:
            raise InputError(f"faces.size_px: got {self.size_px}, expected an even number from 32 to 1024")

    @property
    def requires_whole(self) -> tuple[str, ...]:
        return ("pose",)

    def fingerprint(self) -> dict[str, Any]:
        return {
            "extractor": "face-layout",
            "size_px": self.size_px,
            "crf": self.crf,
            "keyframe_every": self.keyframe_every,
            "preset": PRESET,
            "version": self.version,
            "pose": self.pose.fingerprint(),
        }

    def open(self, info: ClipInfo) -> _Cutting:
        """Raises MediaError(reason="no-face") for a clip in which none was found."""
        layout, hands = self._laid_out(info)
        if not layout.here_T.any():
            raise MediaError(
                f"clip '{info.id}': no face was found in any of {len(layout)} frames; leave it out, or prepare it "
                "without 'faces' among --streams",
                "no-face",
            )
        return _Cutting(layout, hands, self.size_px)

    def extra(self, info: ClipInfo) -> dict[str, Any]:
        layout, hands = self._laid_out(info)
        return {"face_found": judged(layout, hands, info.size_px or info.complete["pose"].size_px)}

    def _laid_out(self, info: ClipInfo) -> tuple[FaceLayout, list[tuple[np.ndarray, ...]]]:
        joints = info.complete["pose"]
        if info.size_px is not None:
            joints = at_width(joints, info.size_px[0])
        return layout_of(face_points(joints)), hands_of(joints)


class _Cutting:
    def __init__(self, layout: FaceLayout, hands: Sequence[Sequence[np.ndarray]], size_px: int):
        self._layout, self._hands, self._size_px = layout, hands, size_px
        self._next = 0

    def push(self, time_s: float, samples: Any) -> list[Timed]:
        t, self._next = self._next, self._next + 1
        return [Timed(time_s, face_and_mask(samples["video"], self._layout, t, self._hands[t], self._size_px))]

    def close(self) -> list[Timed]:
        return []


def face_and_mask(
    frame: np.ndarray, layout: FaceLayout, t: int, hands: Sequence[np.ndarray], size_px: int
) -> np.ndarray:
    """The face of frame ``t`` beside where it is seen, uint8 (S, 2 S, 3); black where none was found."""
    if not layout.here_T[t]:
        return np.zeros((size_px, 2 * size_px, 3), np.uint8)
    size = frame.shape[1], frame.shape[0]
    mask = layout.inside(t, size)
    if hands:
        mask[hand_pixels(hands, size) > 0] = 0
    face, seen = layout.crop(frame, t, size_px), layout.crop(mask[..., None], t, size_px)
    return np.concatenate([face, np.repeat(seen.reshape(size_px, size_px, 1), 3, 2)], 1)


BLURRED = "b"
"""Beside the letters of :data:`~signloom.streams.face_layout.REASONS`: told by the pictures, not by the points."""
LEAST_SHARP = 0.5


def blurred(faces_NHWC: Sequence[np.ndarray]) -> np.ndarray:
    """Which of one person's faces have less than half of the fine detail that they usually have, (N,) bool."""
    if not len(faces_NHWC):
        return np.zeros(0, bool)
    sharp = np.array([sharpness(face) for face in faces_NHWC])
    return sharp < LEAST_SHARP * np.median(sharp)


def sharpness(face_HWC: np.ndarray) -> float:
    """How much fine detail a face has: the spread of its Laplacian at 64 pixels over that of its brightness."""
    from signloom.media import import_cv2

    cv2 = import_cv2()
    grey = cv2.cvtColor(cv2.resize(face_HWC, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    inner = grey[10:58, 14:50].astype(np.float32)
    return float(cv2.Laplacian(inner, cv2.CV_32F).std() / max(float(inner.std()), 1.0))
