"""Options that several verbs share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def whole(least: int = 0, most: int = 2**63 - 1) -> Callable[[str], int]:
    """A type for options that are whole numbers from ``least`` on."""

    def value(text: str) -> int:
        with suppress(ValueError):
            if least <= (number := int(text)) <= most:
                return number
        raise argparse.ArgumentTypeError(f"got {text}, expected {least} or more (a whole number)")

    return value


def above(least: float = 0) -> Callable[[str], float]:
    """A type for options that are numbers above ``least``."""

    def value(text: str) -> float:
        with suppress(ValueError):
            if least < (number := float(text)) < math.inf:
                return number
        raise argparse.ArgumentTypeError(f"got {text}, expected more than {least:g}")

    return value


def between(least: float, most: float) -> Callable[[str], float]:
    """A type for options that are numbers from ``least`` to ``most``."""

    def value(text: str) -> float:
        with suppress(ValueError):
            if least <= (number := float(text)) <= most:
                return number
        raise argparse.ArgumentTypeError(f"got {text}, expected {least:g} to {most:g}")

    return value


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """``--recipe`` and ``--set``."""
    parser.add_argument(
        "--recipe", type=recipe_name, default="pose", help="what to train (default: pose); `--recipe help` lists them"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="override settings, e.g. inputs.n_frames=24"
    )
    parser.add_argument(
        "--policy",
        type=or_help(policies),
        metavar="NAME|FILE",
        help="change clips by this policy while training, in place of the recipe's own augmentation; `--policy help` "
        "lists what there is, 'none' changes nothing",
    )


def policies() -> str:
    """What ``--policy help`` prints."""
    from signloom.transforms.augment.policy import describe_policies

    return describe_policies()


def or_help(describe: Callable[[], str]) -> Callable[[str], str]:
    """A type for options whose value "help" prints ``describe()`` and ends, whatever else is given or lacks."""

    def value(text: str) -> str:
        if text == "help":
            print(describe(), flush=True)
            raise SystemExit(0)
        return text

    return value


def _recipes() -> str:
    from signloom.tasks import describe_recipes

    return describe_recipes()


recipe_name = or_help(_recipes)


def add_split(parser: argparse.ArgumentParser) -> None:
    """``--split``: how a corpus is divided."""
    parser.add_argument(
        "--split",
        default="auto",
        help="a split file, 'given' (the corpus's own), or a scheme: signer, source, random (default: the corpus's own "
        "if it has one, else signer; random where one signer is painted)",
    )


def add_budget(parser: argparse.ArgumentParser) -> None:
    """``--epochs``, ``--steps`` and ``--minutes``: how long to train."""
    parser.add_argument(
        "--epochs", type=whole(1), help="make just so many epochs (a recipe's are prolonged for few clips)"
    )
    parser.add_argument("--steps", type=whole(1), help="make just so many steps")
    parser.add_argument("--minutes", type=above(), help="train for so long")


def chosen_recipe(args: argparse.Namespace) -> Any:
    """The recipe that was asked for, with budget, overrides and ``--set`` put in. Raises InputError."""
    from dataclasses import replace

    from signloom.errors import InputError
    from signloom.tasks import recipe_named
    from signloom.training.settings import changed

    recipe = recipe_named(args.recipe)
    budget = {n: v for n in ("epochs", "steps", "minutes") if (v := getattr(args, n, None)) is not None}
    if len(budget) > 1:
        raise InputError(f"--{' and --'.join(budget)} both say how long to train; give one of them")
    changes: dict[str, Any] = dict(budget)
    if budget:
        changes |= {"min_steps": 0, "steps_per_class": 0, **{n: 0 for n in ("steps", "minutes") if n not in budget}}
    for name in ("batch_size", "learning_rate", "precision"):
        if getattr(args, name, None) is not None:
            changes[name] = getattr(args, name)
    if getattr(args, "compile", False):
        changes["compile"] = True
    if getattr(args, "policy", None) is not None:
        from signloom.tasks.recognise.policies import with_policy
        from signloom.transforms.augment.policy import policy_named

        recipe = with_policy(recipe, policy_named(args.policy))
    return changed(replace(recipe, schedule=replace(recipe.schedule, **changes)), args.set)
