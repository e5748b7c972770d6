from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from signloom.tasks.recognise.skeleton_recipes import SKELETON_RECIPES, skeleton, skeleton_imu
from signloom.tasks.recognise.task import untrained
from signloom.transforms.sensor_input import SensorInput

CHANNELS = tuple(f"right_wrist_acceleration_{axis}_g" for axis in "xyz")


def settled(recipe):
    """``recipe`` with inputs as training leaves them."""
    if recipe.name != "skeleton-imu":
        return recipe
    imu = SensorInput(channels=CHANNELS, mean=(0.0,) * 3, std=(1.0,) * 3)
    return replace(recipe, inputs=replace(recipe.inputs, parts=(recipe.inputs.parts[0], imu)))


@pytest.mark.parametrize("name", list(SKELETON_RECIPES))
def test_its_model_takes_what_its_input_gives(name):
    recipe = settled(SKELETON_RECIPES[name]())
    assert recipe.name == name
    model = untrained(recipe, 5).eval()
    t = skeleton().inputs.n_frames
    made = {
        "skeleton": torch.randn(2, t, 20, 3),
        "skeleton_mask": torch.ones(2, t, dtype=torch.bool),
        "imu": torch.randn(2, 3, 96),
        "imu_mask": torch.ones(2, 96, dtype=torch.bool),
        "has_pose": torch.ones(2, dtype=torch.bool),
        "has_imu": torch.ones(2, dtype=torch.bool),
    }
    assert model(*(made[n] for n in model.reads)).shape == (2, 5)


@pytest.mark.parametrize("name", list(SKELETON_RECIPES))
def test_it_can_be_written_down(name):
    assert json.loads(json.dumps(settled(SKELETON_RECIPES[name]()).as_dict()))["name"] == name


def test_both_see_a_skeleton_alike():
    assert skeleton_imu().inputs.parts[0] == skeleton().inputs
    assert skeleton_imu().augment.parts[0] == skeleton().augment
