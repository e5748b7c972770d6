"""The recipes of recognisers: published values stay published, and every model takes what its inputs give."""

from __future__ import annotations

import importlib.util
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from signloom.models import build
from signloom.tasks import recipe_named
from signloom.tasks.recognise.recipes import LOSSES, RECIPES, Recipe
from signloom.tasks.recognise.sensor_recipes import SENSOR_RECIPES
from signloom.tasks.recognise.skeleton_recipes import SKELETON_RECIPES
from signloom.tasks.recognise.task import model_config
from signloom.training.settings import changed
from signloom.transforms.hand_crops import LOCATED
from signloom.transforms.joined_input import JoinedInput
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.sensor_input import SensorInput
from signloom.transforms.skeleton_input import SkeletonInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import CHANNELS, VideoInput

PUBLISHED = ("two-phase", "chalearn", "chalearn-flow", "wlasl", "tal-ia")


# --- as published -----------------------------------------------------------------------------------------------


def only_crops(augment: VideoAugment, stored_px: int, mirror: float = 0.0) -> bool:
    """Whether clips are changed by nothing but a random 224 px square of ``stored_px``, and mirrored so often."""
    changes = {f.name: getattr(augment, f.name) for f in fields(augment)}
    assert changes.pop("shift") == pytest.approx((stored_px - 224) / 2 / 224)
    assert changes.pop("mirror") == mirror
    changes.pop("erase_size")  # of what is never erased
    return not any(changes.values())


@pytest.mark.parametrize("name", ["two-phase", "chalearn", "chalearn-flow"])
def test_two_phases_train_the_head_and_then_everything(name):
    recipe = recipe_named(name)
    s = recipe.schedule
    assert recipe.architecture == "i3d"
    assert recipe.loss == "classify"
    assert (s.head_epochs, s.head_learning_rate) == (3, 1e-3)
    assert (s.epochs - s.head_epochs, s.learning_rate) == (17, 1e-4)
    assert s.batch_size == 4
    assert recipe.model["dropout"] == 0.5
    assert (s.optimizer, s.decay, s.warmup, s.ema, s.label_smoothing) == ("adam", "constant", 0, 0, 0)
    assert (s.min_steps, s.steps_per_class) == (0, 0)  # else the number of epochs would be another
    assert (recipe.inputs.resize_px, recipe.inputs.size_px) == (240, 224)
    assert recipe.inputs.handedness == "as-filmed"
    assert not recipe.inputs.mirror_votes
    assert not recipe.inputs.time_votes
    assert only_crops(recipe.augment, 240)


@pytest.mark.parametrize("name", ["chalearn", "chalearn-flow"])
@pytest.mark.parametrize("n_stored", [9, 39, 40, 41, 100, 173])
def test_chalearn_sees_frame_int_i_n_over_40(name, n_stored):
    recipe = recipe_named(name)
    wanted = [int(i * n_stored / 40) for i in range(40)]
    assert recipe.inputs.n_frames == 40
    assert recipe.inputs.rows(n_stored).tolist() == wanted
    training = recipe.inputs.rows(n_stored, recipe.augment.draw(5))
    assert training.tolist() == wanted  # training differs by its crop alone


def test_chalearn_flow_is_cut_at_20_px():
    recipe = recipe_named("chalearn-flow")
    assert recipe.streams == ("flow",)
    assert recipe.inputs.flow_limit_px == 20
    assert model_config(recipe, 249)["channels"] == 2
    assert recipe_named("chalearn").streams == ("frames",)


def test_wlasl_asks_64_frames_and_the_clip():
    recipe = recipe_named("wlasl")
    assert (recipe.architecture, recipe.loss) == ("i3d", "classify-frames")
    assert (recipe.inputs.n_frames, recipe.inputs.sampling) == (64, "window")
    assert (recipe.inputs.resize_px, recipe.inputs.size_px) == (256, 224)
    assert recipe.model["pool"] == "max"
    s = recipe.schedule
    assert (s.optimizer, s.learning_rate, s.batch_size, s.head_epochs) == ("adam", 1e-4, 6, 0)
    assert only_crops(recipe.augment, 256, mirror=0.5)


def test_tal_ia_trains_60_epochs_at_1e_3_on_64_frames():
    recipe = recipe_named("tal-ia")
    s = recipe.schedule
    assert recipe.architecture == "i3d"
    assert (s.optimizer, s.learning_rate, s.batch_size, s.epochs, s.head_epochs) == ("adam", 1e-3, 10, 60, 0)
    assert (s.decay, s.min_steps, s.steps_per_class) == ("constant", 0, 0)
    assert (recipe.inputs.n_frames, recipe.inputs.sampling) == (64, "window")
    assert only_crops(recipe.augment, 240)


@pytest.mark.parametrize("name", ["wlasl", "tal-ia"])
def test_64_frames_start_anywhere_and_a_short_clip_repeats_its_last(name):
    recipe = recipe_named(name)
    starts = set()
    for seed in range(200):
        rows = recipe.inputs.rows(70, recipe.augment.draw(seed))
        assert (np.diff(rows) == 1).all()
        starts.add(int(rows[0]))
    assert starts == set(range(7))
    assert recipe.inputs.rows(70).tolist() == list(range(3, 67))  # in use: from the middle
    for draw in (None, recipe.augment.draw(0)):
        assert recipe.inputs.rows(5, draw).tolist() == [0, 1, 2, 3] + [4] * 60


def test_the_published_cnn_lstm_keeps_its_size_and_ours_is_compared_with_its_own_frame_average():
    published = model_config(recipe_named("cnn-lstm-published"), 10)
    assert published == {"n_classes": 10, "channels": 3}
    shape = build("cnn_lstm", published).config
    assert (shape.hidden, shape.layers, shape.pool, shape.grid, shape.differences) == (1024, 2, "last", 1, 0.0)
    ours, average = recipe_named("cnn-lstm"), recipe_named("cnn-average")
    assert replace(average, name=ours.name, model={**average.model, "pool": "mean"}) == ours


# --- every one of them --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_reads_streams_and_has_a_loss_that_there_is(name):
    recipe = recipe_named(name)
    assert recipe.loss in LOSSES
    kinds = {"pose": (PoseInput, SkeletonInput), "imu": SensorInput, "virtual_imu": SensorInput}
    wanted = kinds.get(recipe.streams[0], VideoInput)
    assert isinstance(recipe.inputs, JoinedInput if recipe.streams == ("pose", "imu") else wanted)
    assert set(PUBLISHED) <= set(RECIPES)


TINY = {
    "pose_transformer": ["model.width=16", "model.depth=1", "model.heads=2", "model.members=1", "inputs.n_frames=8"],
    "light3d": ["model.widths=[8,8,8]", "model.blocks=[1,1]", "model.memory=8"],
    "i3d": [],
    "cnn_lstm": ["model.frame_width=0.25", "model.hidden=8"],
    "video_transformer": [
        "model.patch_px=8", "model.width=32", "model.depth=1", "model.heads=2",
    ],
}  # fmt: skip
SMALL = ["inputs.size_px=32", "inputs.resize_px=32", "inputs.n_frames=4"]


def tiny(name) -> Recipe:
    recipe = recipe_named(name)
    video = SMALL if isinstance(recipe.inputs, VideoInput) else []
    hands = ["inputs.hands_px=16"] if video and recipe.inputs.hands_px else []
    return changed(recipe, TINY[recipe.architecture] + video + hands)


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in {**SENSOR_RECIPES, **SKELETON_RECIPES}])
def test_its_model_takes_what_its_inputs_give(name):
    recipe = tiny(name)
    if recipe.architecture == "video_transformer" and importlib.util.find_spec("transformers") is None:
        pytest.skip("'video-transformer' WAS NOT TESTED: it needs the library transformers")
    torch.manual_seed(0)
    model = build(recipe.architecture, model_config(recipe, 3)).eval()
    if model.takes == "pose":
        pose = torch.zeros(2, recipe.inputs.n_frames, len(model.config.parents), 2)
        seen = (pose, torch.ones(pose.shape[:3], dtype=torch.bool), torch.ones(pose.shape[:2], dtype=torch.bool))
    else:
        stored = np.zeros((6, 40, 50, CHANNELS[recipe.streams[0]]), np.uint8)
        picked = stored[recipe.inputs.rows(len(stored))]
        draws = (None, recipe.augment.draw(0))
        if recipe.streams == ("flow",):
            clips = [recipe.inputs.flow(picked.astype(np.float32), draw) for draw in draws]
        else:
            joints = np.full((len(picked), len(LOCATED), 3), 0.5, np.float32)
            clips = [recipe.inputs.frames(picked, draw, seen_TJ3=joints) for draw in draws]
        seen = (torch.from_numpy(np.stack(clips)),)
        assert seen[0].shape[-2:] == (32, 48 if "pose" in recipe.streams else 32)
    more = {
        "classify-frames": {"per_frame": True},
        "classify-and-locate": {"with_joints": True},
        "distil": {"with_features": True},
    }.get(recipe.loss, {})
    with torch.inference_mode():
        answer = model(*seen, **more)
        assert model(*seen).shape == (2, 3)
    logits = answer[0] if isinstance(answer, tuple) else answer
    assert logits.shape[-1] == 3


def test_a_network_that_learns_from_flow_sees_what_recipe_flow_sees_of_a_clip():
    """Else a teacher trained as the error message advises would be refused."""
    mars, teacher = recipe_named("mars"), recipe_named("flow")
    for name in ("n_frames", "sampling", "handedness"):
        assert getattr(mars.inputs, name) == getattr(teacher.inputs, name)
    one, other = (build(r.architecture, model_config(r, 2)).config for r in (mars, teacher))
    assert one.memory == other.memory  # features of one width
