"""From a pose to what a pose recogniser sees; the same in training, evaluation, prediction and live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom.data.skeleton import INDEX, MIRROR, PARENT, PARTS, Joints, body_frame, joints_of, resample
from signloom.errors import InputError

if TYPE_CHECKING:
    from pose_format import Pose

    from signloom.data.corpus import ClipRef
    from signloom.data.reader import Reader

HANDEDNESS = ("as-filmed", "dominant-right")
RESTING_HEIGHT = 1.3
"""How far below the shoulders resting hands hang, in shoulder widths; only above that they work."""


@dataclass(frozen=True)
class PoseInput:
    """Joints in body units, on ``n_frames`` evenly spaced instants, with the busier hand on the right.

    ``handedness="dominant-right"`` mirrors clips in which the left hand does more, so that left-handed signers look
    like right-handed ones, in training and in use alike. "as-filmed" leaves them.
    """

    n_frames: int = 48
    handedness: str = "dominant-right"
    version: ClassVar[int] = 1
    keeps_clips: ClassVar[bool] = True
    """Whether what a model sees of a clip is small enough (.03 MB at 32 frames) to be made once and kept in memory."""

    def __post_init__(self):
        if self.n_frames < 2:
            raise InputError(f"PoseInput.n_frames: got {self.n_frames}, expected at least 2")
        if self.handedness not in HANDEDNESS:
            raise InputError(f"PoseInput.handedness: got {self.handedness!r}, expected one of {HANDEDNESS}")

    def model_fields(self, streams: tuple[str, ...]) -> dict[str, Any]:
        """What a model's config has to know of this input."""
        parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
        return {"parents": tuple(int(p) for p in PARENT), **parts}

    def shapes(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Shape and type of each array of :meth:`of_clip`."""
        shape = (self.n_frames, len(PARENT))
        return {"pose": ((*shape, 2), np.float32), "present": (shape, np.bool_)}

    def of_clip(self, clip: ClipRef, read: Reader, streams: tuple[str, ...], **_: Any) -> dict[str, np.ndarray]:
        """``pose`` (T, J, 2) float32 and ``present`` (T, J) bool of a clip."""
        joints = read(clip, streams[0])
        if len(joints) == 0:
            raise InputError(f"clip '{clip.id}': its pose has no frame")
        xy, present = self.from_joints(joints)
        return {"pose": xy, "present": present}

    def __call__(self, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """``(xy_TJC float32, present_TJ bool)`` with T = ``n_frames``."""
        joints = joints_of(pose)
        if len(joints) == 0:
            raise InputError("the pose has no frame")
        return self.from_joints(joints)

    def from_joints(self, joints: Joints) -> tuple[np.ndarray, np.ndarray]:
        """As calling it, from :class:`Joints`."""
        xy, present = body_frame(joints)
        if self.handedness == "dominant-right" and left_is_busier(xy, present):
            xy, present = (xy * np.array([-1, 1], np.float32))[:, MIRROR], present[:, MIRROR]
        return resample(xy, present, self.n_frames)


def left_is_busier(xy_TJC: np.ndarray, present_TJ: np.ndarray) -> bool:
    """Whether the signer's left hand does more of the signing: it is raised higher and detected longer.

    Height counts above a line :data:`RESTING_HEIGHT` below the shoulders; ties (neither hand seen, say) are right.
    """
    work = []
    for side in ("left", "right"):
        root, wrist = INDEX[f"{side}_root"], INDEX[f"{side}_wrist"]
        in_sight = present_TJ[:, root]
        place = np.where(in_sight[:, None], xy_TJC[:, root], xy_TJC[:, wrist])
        known = in_sight | present_TJ[:, wrist]
        raised = np.where(known, np.clip(RESTING_HEIGHT - place[:, 1], 0, None), 0)
        work.append(float(raised.mean() + in_sight.mean()))
    return work[0] > work[1]
