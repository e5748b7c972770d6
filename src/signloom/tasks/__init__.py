"""What can be learnt, a folder each: a new task is a folder here and one line in the table."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from signloom.errors import InputError
from signloom.training.task import Given

TASKS = {
    # name in a checkpoint: "module:class"
    "recognise": "signloom.tasks.recognise.task:Recognise",
    "paint": "signloom.tasks.paint.task:Paint",
    "segment": "signloom.tasks.segment.task:Segment",
    "swap": "signloom.tasks.swap.task:Swap",
}

_USES = {
    "paint": "signloom generate {run} …",
    "segment": "signloom annotate MODEL … --segmenter {run}",
    "swap": "signloom anonymise … --method swap --model {run}",
}


def use_of(task: str | None, run: str | Path) -> str:
    """The command that a run of ``task`` is for."""
    return _USES.get(task or "", "signloom predict {run} …").format(run=run)


def task_named(name: str) -> Any:
    """The class of the task ``name``, imported now."""
    if name not in TASKS:
        raise InputError(f"there is no task '{name}'; there are {', '.join(TASKS)}")
    module, _, attribute = TASKS[name].partition(":")
    return getattr(import_module(module), attribute)


def recipes() -> dict[str, Callable[[], Any]]:
    """Every recipe of every task by name, as functions that make them."""
    return {name: make for task in TASKS for name, make in task_named(task).recipes.items()}


def recipe_named(name: str) -> Any:
    """The recipe called ``name``. Raises InputError that lists them all."""
    known = recipes()
    if name not in known:
        raise InputError(f"unknown recipe '{name}'. There are:\n{describe_recipes()}")
    return known[name]()


def describe_recipes() -> str:
    """A line for each recipe."""
    return "\n".join(f"  {name:18} {(make.__doc__ or '').splitlines()[0]}" for name, make in recipes().items())


def task_of(recipe: Any, given: Given | None = None) -> Any:
    """The task that trains ``recipe``."""
    for name in TASKS:
        kind = task_named(name)
        if isinstance(recipe, kind.recipe_type):
            return kind(recipe, given or Given())
    raise InputError(f"recipe '{recipe.name}' belongs to no task; there are {', '.join(TASKS)}")


def load_predictor(folder: str | Path) -> Any:
    """What a run folder, a checkpoint or a saved fusion holds, ready to use.

    Raises CheckpointError naming what is wrong with it.
    """
    from signloom.tasks.recognise.fuse import is_fusion, load_fusion
    from signloom.training.checkpoint import load_checkpoint

    if is_fusion(Path(folder)):
        return load_fusion(folder)
    checkpoint = load_checkpoint(folder)
    return task_named(checkpoint.task).predictor(checkpoint)


def task_of_run(folder: str | Path) -> str | None:
    """The name of the task of a run folder or checkpoint; None where there is no checkpoint (or a fusion)."""
    from signloom.errors import CheckpointError
    from signloom.training.checkpoint import read_config

    try:
        config = read_config(folder)
    except CheckpointError:
        return None
    return config.get("task") or ("recognise" if config.get("labels") else "paint")
