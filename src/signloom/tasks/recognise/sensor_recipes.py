"""The recipes of recognisers that read sensors: ours, and the published one."""

from __future__ import annotations

from signloom.tasks.recognise.recipes import Recipe
from signloom.training.schedule import Schedule
from signloom.transforms.sensor_augment import SensorAugment
from signloom.transforms.sensor_input import SensorInput

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
        inputs=SensorInput(n_steps=96, orientation="levelled", channels=("*", "!*_emg_*", "!*_orientation_*")),
        augment=SensorAugment(),
        schedule=Schedule(epochs=30, min_steps=300, steps_per_class=0, weight_decay=0.5, warmup=0.1),
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
        inputs=SensorInput(n_steps=128, channels=("*", "!*_emg_*", "!*_orientation_*")),
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


SENSOR_RECIPES = {make().name: make for make in (imu, inception_time)}
