"""Changes of whole clips: one draw, done alike to frames, flow, points, boxes and pose maps; offline and in training.

``policy.py`` holds the table of what there is and reads policies; ``draw.py`` is one clip's draw and what it does.
"""

from signloom.transforms.augment.draw import ClipDraw, Facts
from signloom.transforms.augment.points import Points, points_of_joints, points_of_pose
from signloom.transforms.augment.policy import NAMED, TRANSFORMS, Policy, describe_policies, policy_named, read_policy

__all__ = [
    "NAMED",
    "TRANSFORMS",
    "ClipDraw",
    "Facts",
    "Points",
    "Policy",
    "describe_policies",
    "points_of_joints",
    "points_of_pose",
    "policy_named",
    "read_policy",
]
