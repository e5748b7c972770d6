"""Recipes for sensors, and for networks that give what a sensor would have said."""

from __future__ import annotations

from dataclasses import replace

from signloom.tasks.recognise.recipe import Recipe
from signloom.training.schedule import Schedule
from signloom.transforms.sensor_augment import SensorAugment
from signloom.transforms.sensor_input import SensorInput
from signloom.transforms.skeleton_augment import SkeletonAugment
from signloom.transforms.skeleton_input import SkeletonInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

UNCHANGED = SensorAugment(
    rotate_deg=0.0,
    turn_deg=0.0,
    scale=0.0,
    warp=0.0,
    shift=0.0,
    speed=0.0,
    trim=0.0,
    jitter=0.0,
    drop_sensor=0.0,
    drop_channels=0.0,
    drop_span=0.0,
)


def imu() -> Recipe:
    """The default for sensors: random kernels on what was measured and on the level frame; for few clips and a CPU."""
    return Recipe(
        name="imu",
        architecture="sensor_net",
        streams=("imu",),
        inputs=SensorInput(n_steps=96, orientation="levelled", channels=("*", "!*emg_*", "!*orientation_*")),
        augment=SensorAugment(),
        schedule=Schedule(epochs=30, min_steps=300, steps_per_class=0, weight_decay=0.5, warmup=0.1),
    )


def imu_virtual() -> Recipe:
    """The recipe imu on virtual sensors, computed from poses: to go on from it with real ones."""
    return replace(imu(), name="imu-virtual", streams=("virtual_imu",))


def imu_ridge() -> Recipe:
    """Random kernels and a ridge classifier in closed form: seconds for hundreds of clips."""
    return replace(
        imu(),
        name="imu-ridge",
        architecture="kernel_ridge",
        augment=SensorAugment(drop_channels=0.0, drop_span=0.0),
        schedule=Schedule(epochs=1, min_steps=0, steps_per_class=0, warmup=0.0),
    )


def inception_time() -> Recipe:
    """One InceptionTime on what was measured, stretched; Adam 1e-3 and batch 64 as its authors, 100 epochs of ours.

    Theirs: no augmentation, smoothing, averaging or weight decay. They train 1500 epochs and halve the rate on
    plateaus; ours falls as a cosine.
    """
    return Recipe(
        name="inception-time",
        architecture="inception_time",
        streams=("imu",),
        inputs=SensorInput(n_steps=128, channels=("*", "!*emg_*", "!*orientation_*")),
        augment=UNCHANGED,
        schedule=Schedule(
            epochs=100,
            min_steps=0,
            steps_per_class=0,
            batch_size=64,
            learning_rate=1e-3,
            weight_decay=0.0,
            warmup=0.0,
            label_smoothing=0.0,
            clip_norm=0.0,
            ema=0.0,
            optimizer="adam",
        ),
    )


_PUBLISHED_STEPS = Schedule(
    epochs=60,
    min_steps=0,
    steps_per_class=0,
    batch_size=16,
    learning_rate=1e-4,
    weight_decay=0.0,
    warmup=0.0,
    label_smoothing=0.0,
    optimizer="adam",
    betas=(0.5, 0.999),
    decay="constant",
)
"""Of the published generator: Adam 1e-4 with betas .5 and .999, batches of 16."""


def imu_from_skeleton() -> Recipe:
    """A skeleton network that gives what a sensor's network would have said; use needs no sensor."""
    return Recipe(
        name="imu-from-skeleton",
        architecture="feature_generator",
        streams=("pose",),
        loss="generate",
        inputs=SkeletonInput(),
        augment=SkeletonAugment(),
        auxiliary_streams=("imu",),
        teacher_recipe="imu",
        model={"base": "skeleton_net"},
        schedule=Schedule(epochs=40, min_steps=600, steps_per_class=0),
    )


def imu_from_depth() -> Recipe:
    """The light 3-D CNN on depth video that gives what a sensor's network would have said; use needs no sensor."""
    return replace(
        imu_from_skeleton(),
        name="imu-from-depth",
        streams=("depth",),
        inputs=VideoInput(n_frames=16, size_px=64, resize_px=68, handedness="as-filmed", per="second"),
        augment=VideoAugment(mirror=0.0),
        model={"base": "light3d"},
        schedule=Schedule(epochs=40, batch_size=16, learning_rate=3e-3, ema=0.99),
    )


def imu_from_video() -> Recipe:
    """The light 3-D CNN on RGB frames that gives what a sensor's network would have said; use needs no sensor."""
    return replace(
        imu_from_depth(),
        name="imu-from-video",
        streams=("frames",),
        inputs=VideoInput(n_frames=16, size_px=112, resize_px=116, handedness="as-filmed", per="second"),
        augment=VideoAugment(mirror=0.0),
        model={"base": "light3d"},
    )


def imu_from_video_published() -> Recipe:
    """I3D that gives an InceptionTime's features, with the published optimiser: 1e-4, betas .5 and .999, batch 16."""
    return replace(
        imu_from_video(),
        name="imu-from-video-published",
        teacher_recipe="inception-time",
        model={"base": "i3d"},
        schedule=_PUBLISHED_STEPS,
    )


SENSOR_RECIPES = {
    make().name: make
    for make in (
        imu,
        imu_ridge,
        imu_virtual,
        inception_time,
        imu_from_skeleton,
        imu_from_depth,
        imu_from_video,
        imu_from_video_published,
    )
}
