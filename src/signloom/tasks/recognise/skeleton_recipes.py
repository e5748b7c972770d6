"""Recipes for skeletons that a depth camera measured, alone and with what sensors measured beside them."""

from __future__ import annotations

from signloom.tasks.recognise.recipe import Recipe
from signloom.tasks.recognise.sensor_recipes import imu
from signloom.training.schedule import Schedule
from signloom.transforms.joined_input import JoinedAugment, JoinedInput
from signloom.transforms.skeleton_augment import SkeletonAugment
from signloom.transforms.skeleton_input import SkeletonInput


def skeleton() -> Recipe:
    """Small convolutional networks that vote, over a Kinect's joints, bones and motion in space."""
    return Recipe(
        name="skeleton",
        architecture="skeleton_net",
        streams=("pose",),
        inputs=SkeletonInput(),
        augment=SkeletonAugment(),
        schedule=Schedule(epochs=40, min_steps=600, steps_per_class=0),
    )


def skeleton_imu() -> Recipe:
    """A Kinect's joints and sensors in one network whose features are joined; either will do in use."""
    return Recipe(
        name="skeleton-imu",
        architecture="joined",
        streams=("pose", "imu"),
        inputs=JoinedInput(("pose", "imu"), ("skeleton", "sensor"), (SkeletonInput(), imu().inputs)),
        augment=JoinedAugment((SkeletonAugment(), imu().augment)),
        model={"architectures": ("skeleton_net", "sensor_net")},
        schedule=skeleton().schedule,
    )


SKELETON_RECIPES = {make().name: make for make in (skeleton, skeleton_imu)}
