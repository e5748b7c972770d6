"""A view of the pose: drawn on the footage, as a video to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from signloom import media
from signloom.data.skeleton import PARENT, PARTS, Joints, shoulder_width_px
from signloom.data.stream import ClipInfo, Stream, Timed
from signloom.streams.frames import PRESET, H264Stream
from signloom.streams.pose import PoseStream

COLOURS = {"body": (255, 255, 255), "left_hand": (255, 140, 0), "right_hand": (0, 190, 255), "face": (120, 230, 120)}
"""Of bones and points, RGB. Left and right are the signer's own."""


@dataclass(frozen=True)
class PoseViewStream(H264Stream):
    """The footage with the pose drawn on it, in H.264. Samples are uint8 (H, W, 3) RGB; no model reads it."""

    crf: int = 20
    keyframe_every: int = 12
    pose: PoseStream = field(default_factory=PoseStream)
    name = "pose_view"
    version: ClassVar[int] = 1

    @classmethod
    def of_fingerprint(cls, made: Mapping[str, Any], others: Mapping[str, Stream]) -> PoseViewStream:
        """The stream whose fingerprint is ``made``."""
        settings = {k: made[k] for k in ("crf", "keyframe_every") if k in made}
        return cls(**settings, pose=PoseStream.of_fingerprint(made.get("pose", {}), {}))

    @property
    def requires_whole(self) -> tuple[str, ...]:
        return ("pose",)

    def fingerprint(self) -> dict[str, Any]:
        return {
            "extractor": "pose-view",
            "crf": self.crf,
            "keyframe_every": self.keyframe_every,
            "preset": PRESET,
            "pose": self.pose.fingerprint(),
            "version": self.version,
        }

    def open(self, info: ClipInfo) -> _Drawing:
        return _Drawing(info.complete["pose"])


class _Drawing:
    def __init__(self, joints: Joints):
        self._joints, self._next = joints, 0
        self._shoulders_px = shoulder_width_px(joints) or 100.0

    def push(self, time_s: float, samples: Mapping[str, np.ndarray]) -> list[Timed]:
        row, self._next = self._next, self._next + 1
        return [Timed(time_s, draw_pose(samples["video"], self._joints, row, self._shoulders_px))]

    def close(self) -> Sequence[Timed]:
        return []


def draw_pose(picture: np.ndarray, joints: Joints, row: int, shoulders_px: float) -> np.ndarray:
    """``picture``, uint8 (H, W, 3) RGB, with the joints of frame ``row`` on it, as a new one of that size.

    Lines are as thick as suits a signer whose shoulders are ``shoulders_px`` wide.
    """
    cv2 = media.import_cv2()
    drawn = np.array(picture)
    places = np.round(joints.xy_TJC[row]).astype(int)
    present = joints.present_TJ[row]
    thick = max(1, round(shoulders_px / 60))
    for part, where in PARTS.items():
        for joint in range(where.start, where.stop):
            if not present[joint]:
                continue
            above = PARENT[joint]
            if part != "face" and above != joint and present[above]:
                cv2.line(drawn, tuple(map(int, places[above])), tuple(map(int, places[joint])), COLOURS[part], thick)
            cv2.circle(drawn, tuple(map(int, places[joint])), thick, COLOURS[part], -1)
    return drawn
