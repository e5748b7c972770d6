"""Settings put into a recipe by name: what they change, what is refused, and the names of earlier versions."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest

from signloom.errors import InputError
from signloom.tasks import recipe_named, recipes
from signloom.training.settings import FIXED, OLD_NAMES, changed


def test_settings_are_put_in_and_nothing_else_changes():
    before = recipe_named("rgb")
    recipe = changed(
        before,
        [
            "inputs.n_frames=8", "inputs.sampling=window", "inputs.mirror_votes=true", "schedule.learning_rate=1e-4",
            "schedule.weight_decay=0", "model.widths=[8, 16, 16]", "model.dropout=0.1", "loss_weight=2",
            "schedule.epochs=3", "schedule.epochs=5",
        ],
    )  # fmt: skip
    assert (recipe.inputs.n_frames, recipe.inputs.sampling, recipe.inputs.mirror_votes) == (8, "window", True)
    assert (recipe.schedule.learning_rate, recipe.schedule.weight_decay) == (1e-4, 0)
    assert recipe.schedule.epochs == 5  # the last one counts
    assert recipe.model == {"widths": (8, 16, 16), "dropout": 0.1}
    assert recipe.loss_weight == 2
    assert recipe.augment == before.augment
    assert recipe.inputs.size_px == before.inputs.size_px
    assert before == recipe_named("rgb")
    assert changed(before, []) == before


def test_values_that_only_fit_together_are_put_in_together():
    recipe = changed(recipe_named("rgb-hands"), ["inputs.size_px=48", "inputs.hands_px=24", "inputs.resize_px=50"])
    assert (recipe.inputs.size_px, recipe.inputs.hands_px) == (48, 24)
    with pytest.raises(InputError, match=r"hands_px: got \d+, expected 0 or half of size_px 48"):
        changed(recipe_named("rgb-hands"), ["inputs.size_px=48"])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("inputs.n_frames", ["'inputs.n_frames': expected NAME=VALUE"]),
        ("inputs.n_frame=8", ["no setting 'inputs.n_frame'", "n_frames", "size_px", "flow_limit_px"]),
        ("input.n_frames=8", ["no setting 'input.n_frames'", "inputs", "augment", "schedule", "model"]),
        ("inputs.n_frames.x=8", ["no setting 'inputs.n_frames.x'"]),
        ("=8", ["no setting ''"]),
        ("inputs.n_frames=many", ["inputs.n_frames: got 'many', expected a int such as 16"]),
        ("inputs.n_frames=8.5", ["inputs.n_frames: got 8.5, expected a int"]),
        ("inputs.n_frames=true", ["inputs.n_frames: got True, expected a int"]),
        ("inputs.n_frames=[8]", ["inputs.n_frames: got (8,), expected a int"]),
        ("inputs.n_frames=null", ["inputs.n_frames: got None, expected a int"]),
        ("inputs.n_frames=0", ["n_frames 0", "expected at least 1"]),
        ("inputs.sampling=8", ["inputs.sampling: got 8, expected a str such as 'uniform'"]),
        ("inputs.sampling=sometimes", ["sampling: got 'sometimes'", "uniform", "window"]),
        ("inputs.mirror_votes=1", ["inputs.mirror_votes: got 1, expected a bool"]),
        ("schedule.learning_rate=fast", ["schedule.learning_rate: got 'fast', expected a float such as 0.003"]),
        ("schedule.learning_rate=-1", ["learning_rate: got -1, expected more than 0"]),
        ("schedule.optimizer=lion", ["optimizer: got 'lion'", "adamw"]),
        ("inputs=8", ["inputs: that is a group of settings", "inputs.NAME=VALUE"]),
        ('model={"widths":[8]}', ["model: that is a group of settings", "model.NAME=VALUE"]),
        ("streams=pose", ["no setting 'streams'"]),
        ("architecture=i3d", ["no setting 'architecture'"]),
        (
            "loss=distil",
            ["no setting 'loss'", "is not one of inputs, augment, loss_weight, teacher_recipe, model, schedule"],
        ),
        ("task=distil", ["no setting 'task'"]),
        ("lesson_streams=pose", ["no setting 'lesson_streams'"]),
        ("schedule.warmup_steps=soon", ["schedule.warmup_steps: got 'soon', expected a int | None"]),
    ],
)
def test_a_setting_that_cannot_be(setting, says):
    with pytest.raises(InputError) as caught:
        changed(recipe_named("rgb"), [setting])
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize("name", list(recipes()))
def test_every_setting_can_be_given_its_own_value(name):
    """And what says float takes a fraction, even where it holds a whole number now."""

    def near(recipe, where):
        for part in where.split("."):
            recipe = getattr(recipe, part)
        return recipe

    def check(part, path):
        for f in fields(part):
            value = getattr(part, f.name)
            where = f"{path}{f.name}"
            if is_dataclass(value):
                check(value, f"{where}.")
            elif isinstance(value, int | float | str) and f.name not in ("name", "loss", "architecture"):
                words = f.type.split(" | ")
                assert type(value).__name__ in words or ("float" in words and type(value) is int), where
                text = str(value).lower() if isinstance(value, bool) else str(value)
                assert changed(recipe_named(name), [f"{where}={text}"]) == recipe_named(name)
                if "float" in words:
                    assert near(changed(recipe_named(name), [f"{where}={value + 0.001}"]), where) == value + 0.001

    check(recipe_named(name), "")


# --- what may be None, and what was called otherwise ------------------------------------------------------------


def test_what_is_none_can_be_given_a_value_and_taken_away_again():
    recipe = changed(recipe_named("pose"), ["schedule.warmup_steps=50", "schedule.history_steps=10"])
    assert (recipe.schedule.warmup_steps, recipe.schedule.history_steps) == (50, 10)
    assert changed(recipe, ["schedule.warmup_steps=null"]).schedule.warmup_steps is None


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("mars", "lesson_weight=2", "loss_weight=2"),
        ("pose", "schedule.least_steps=5", "schedule.min_steps=5"),
        ("paint", "schedule.critic_learning_rate=1e-3", "schedule.discriminator_learning_rate=1e-3"),
        ("paint", "losses.critic=0.5", "losses.discriminator=0.5"),
        ("paint", "losses.face_critic=0.5", "losses.face_discriminator=0.5"),
        ("paint", "losses.hand_critic=0.5", "losses.hand_discriminator=0.5"),
        ("paint", "losses.critic_from=0.5", "losses.discriminators_from=0.5"),
        ("paint", "losses.bent=0.5", "losses.warped=0.5"),
        ("paint-512", "inputs.limbs_px=128", "inputs.pose_map_px=128"),
    ],
)
def test_settings_by_the_names_of_signloom_0_1_still_work(name, old, new):
    recipe = changed(recipe_named(name), [old])
    assert recipe == changed(recipe_named(name), [new]) != recipe_named(name)


def test_each_old_name_stands_for_a_name_that_there_is():
    """And no recipe has a setting of an old name, which would then mean two things."""
    known = set()

    def collect(part):
        for f in fields(part):
            known.add(f.name)
            if is_dataclass(getattr(part, f.name)):
                collect(getattr(part, f.name))

    for make in recipes().values():
        collect(make())
    assert set(OLD_NAMES.values()) <= known
    assert set(FIXED) <= known
    assert not set(OLD_NAMES) & known


def test_a_models_own_settings_keep_the_names_they_are_given():
    assert changed(recipe_named("rgb"), ["model.critic=1"]).model == {"critic": 1}
