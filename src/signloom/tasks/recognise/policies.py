"""A recipe that trains with a policy: the changes of ``signloom augment``, drawn anew each time a clip is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from signloom.errors import InputError
from signloom.tasks.recognise.recipe import Recipe
from signloom.transforms.augment.online import PolicyPoseAugment, PolicyVideoAugment
from signloom.transforms.augment.policy import Policy
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_input import VideoInput


def with_policy(recipe: Any, policy: Policy) -> Any:
    """``recipe`` with ``policy`` in place of its own augmentation. Raises InputError for recipes of neither poses nor
    video, and for policies that cannot be done while training."""
    if isinstance(recipe, Recipe) and isinstance(recipe.inputs, PoseInput):
        return replace(recipe, augment=PolicyPoseAugment(policy.name, policy.steps, policy.pick))
    if isinstance(recipe, Recipe) and isinstance(recipe.inputs, VideoInput):
        return replace(recipe, augment=PolicyVideoAugment(policy.name, policy.steps, policy.pick))
    raise InputError(
        f"recipe '{recipe.name}' takes no policy while training: policies change poses, frames and flow. Make copies "
        "first (signloom augment), or leave out --policy"
    )
