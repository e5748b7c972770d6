"""What is done to a clip: geometry, augmentation, smoothing, retargeting, and what models see."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

INPUTS = {
    # what a model takes: what is done to a clip before the model sees it
    "pose": "signloom.transforms.pose_input:PoseInput",
    "video": "signloom.transforms.video_input:VideoInput",
    "skeleton": "signloom.transforms.skeleton_input:SkeletonInput",
    "sensor": "signloom.transforms.sensor_input:SensorInput",
    "joined": "signloom.transforms.joined_input:JoinedInput",
    "face": "signloom.transforms.face_input:FaceInput",
    "pose_map": "signloom.transforms.generator_input:GeneratorInput",
    "motion": "signloom.transforms.motion_input:MotionInput",
}

RENAMED = {"limbs_px": "pose_map_px", "limb_levels": "channel_levels"}
"""Fields by the names that checkpoints of signloom 0.1 have them under."""


def inputs_of(takes: str, values: Mapping[str, Any]) -> Any:
    """The input of a model that takes ``takes``, from a checkpoint's config (lists become tuples, as JSON has none)."""
    module, _, name = INPUTS[takes].partition(":")
    values = {RENAMED.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return getattr(import_module(module), name)(**values)
