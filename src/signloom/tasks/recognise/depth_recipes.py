"""Recipes for depth video."""

from __future__ import annotations

from dataclasses import replace

from signloom.tasks.recognise.recipes import Recipe, rgb
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput


def depth() -> Recipe:
    """The light 3-D CNN on depth video, from nothing; clips stay as filmed, since to the left is not to the right."""
    return replace(
        rgb(),
        name="depth",
        streams=("depth",),
        inputs=VideoInput(n_frames=16, size_px=64, resize_px=68, handedness="as-filmed", per="second"),
        augment=VideoAugment(mirror=0.0),
        model={"stem_size": 5, "stem_stride": 2},
        schedule=replace(rgb().schedule, epochs=40),
    )
