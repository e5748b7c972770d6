"""A clip: the aligned streams of one sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.errors import MissingStreamError

if TYPE_CHECKING:
    from pose_format import Pose


@dataclass(frozen=True)
class Clip:
    """The aligned streams of one sign; each stream is optional.

    Shapes: ``video`` uint8 (T, H, W, 3) RGB; ``flow`` float32 (T, H, W, 2) in pixels per frame; ``pose`` a
    ``pose_format.Pose`` of T frames; ``imu`` float32 (N, S) at ``imu_rate_hz``. ``fps`` holds for video, flow and pose.
    """

    id: str
    label: str | None = None
    signer: str | None = None
    fps: float | None = None
    video: np.ndarray | None = None
    flow: np.ndarray | None = None
    pose: Pose | None = None
    imu: np.ndarray | None = None
    imu_rate_hz: float | None = None

    def need(self, stream: str, needed_by: str) -> Any:
        """The stream called ``stream``. Raises MissingStreamError that names the clip, the stream and ``needed_by``."""
        value = getattr(self, stream)
        if value is None:
            have = ", ".join(s for s in ("video", "flow", "pose", "imu") if getattr(self, s) is not None) or "none"
            raise MissingStreamError(
                f"clip '{self.id}': {needed_by} needs stream '{stream}'; it has {have}. "
                f"Run: signloom prepare … --streams {stream}"
            )
        return value
