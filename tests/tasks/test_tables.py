"""The tables of tasks and recipes: every line of them is there, keeps its word, and is found by its name."""

from __future__ import annotations

import json
from types import FunctionType
from typing import get_type_hints

import pytest

from signloom.errors import CheckpointError, InputError
from signloom.tasks import (
    TASKS,
    describe_recipes,
    load_predictor,
    recipe_named,
    recipes,
    task_named,
    task_of,
    task_of_run,
)
from signloom.training.checkpoint import FORMAT, FORMAT_VERSION
from signloom.training.schedule import Schedule
from signloom.training.task import Given, Task


@pytest.mark.parametrize("name", list(TASKS))
def test_a_task_keeps_the_protocol(name):
    kind = task_named(name)
    assert kind.name == name
    methods = [
        m for m, value in vars(Task).items() if isinstance(value, FunctionType | classmethod) and not m.startswith("_")
    ]
    assert {"check", "data", "build", "training_step", "validate", "checkpoint", "predictor", "export"} <= set(methods)
    assert [m for m in methods if not callable(getattr(kind, m, None))] == []
    told = [n for n, hint in get_type_hints(Task, include_extras=True).items() if "ClassVar" in str(hint)]
    assert {"name", "recipe_type", "recipes", "split", "has_preview"} <= set(told)
    assert [n for n in told if not hasattr(kind, n)] == []


@pytest.mark.parametrize("name", list(recipes()))
def test_a_recipe_is_called_what_it_says_has_a_line_and_belongs_to_one_task(name):
    recipe = recipe_named(name)
    assert recipe.name == name
    [line] = [line for line in describe_recipes().splitlines() if line.split()[0] == name]
    assert len(line.split()) > 4
    assert isinstance(recipe.schedule, Schedule)
    assert json.loads(json.dumps(recipe.as_dict()))["name"] == name
    [owner] = [t for t in TASKS if name in task_named(t).recipes]
    task = task_of(recipe)
    assert task.name == owner
    assert task.recipe == recipe
    assert task.given == Given()
    assert recipe_named(name) == recipe
    assert hash(recipe.name)


def test_an_unknown_name_lists_them_all():
    with pytest.raises(InputError, match="unknown recipe 'chalern'") as caught:
        recipe_named("chalern")
    for name in recipes():
        assert f"  {name} " in str(caught.value)
    with pytest.raises(InputError, match="no task 'sing'; there are recognise, paint"):
        task_named("sing")


def test_a_recipe_of_no_task_is_refused():
    class Stray:
        name = "stray"

    with pytest.raises(InputError, match="recipe 'stray' belongs to no task"):
        task_of(Stray())


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"task": "recognise", "labels": ["A"]}, "recognise"),
        ({"task": "paint", "labels": []}, "paint"),
        ({"labels": ["A"]}, "recognise"),  # of signloom 0.1
        ({"labels": []}, "paint"),
        (None, None),
    ],
)
def test_a_folder_says_what_was_learnt(tmp_path, config, task):
    if config is not None:
        about = {"format": FORMAT, "version": FORMAT_VERSION, "architecture": "light3d", **config}
        (tmp_path / "config.json").write_text(json.dumps(about))
    assert task_of_run(tmp_path) == task


def test_a_folder_without_anything_to_use_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_predictor(tmp_path)
