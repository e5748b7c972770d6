"""Settings put into a recipe by name: ``--set inputs.n_frames=24``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from signloom.errors import InputError
from signloom.models import OLD_FIELDS

FIXED = ("name", "loss", "architecture", "streams", "auxiliary_streams")
"""What makes a recipe what it is: another recipe has other ones."""
OLD_NAMES = {
    "lesson_weight": "loss_weight",
    "lesson_streams": "auxiliary_streams",
    "least_steps": "min_steps",
    "critic": "discriminator",
    "face_critic": "face_discriminator",
    "hand_critic": "hand_discriminator",
    "critic_from": "discriminators_from",
    "critic_learning_rate": "discriminator_learning_rate",
    "bent": "warped",
    "limbs_px": "pose_map_px",
}
"""Settings by the names of signloom 0.1, where a recipe has none of the old name."""


AnyRecipe = TypeVar("AnyRecipe")


def changed(recipe: AnyRecipe, settings: Sequence[str]) -> AnyRecipe:
    """``recipe`` with settings such as ``inputs.n_frames=24`` or ``schedule.epochs=10`` put in.

    Values are JSON, or plain words. Raises InputError that lists the fields there are.
    """
    parsed: list[_Setting] = []
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set '{setting}': expected NAME=VALUE, e.g. inputs.n_frames=24")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        parsed.append((name.split("."), tuple(value) if isinstance(value, list) else value, name))
    return _with(recipe, parsed)


_Setting = tuple[list[str], Any, str]
"""What is left of a setting's path, its value, and its whole name."""


def _with(part: Any, settings: Sequence[_Setting]) -> Any:
    """``part`` with all of ``settings`` put in at once, as some values only fit together."""
    if isinstance(part, dict):  # the model's own settings are checked when it is built
        own = {".".join(path): value for path, value, _ in settings}
        return {**part, **{OLD_FIELDS.get(name, name): value for name, value in own.items()}}
    known = [f.name for f in fields(part)] if is_dataclass(part) else []
    new: dict[str, Any] = {}
    groups: dict[str, list[_Setting]] = {}
    annotated = {f.name: str(f.type) for f in fields(part)} if is_dataclass(part) else {}
    for (name, *deeper), value, whole in settings:
        if name not in known:
            name = OLD_NAMES.get(name, name)
        if name not in known or name in FIXED:
            there_are = ", ".join(k for k in known if k not in FIXED) or "any"
            raise InputError(f"--set: there is no setting '{whole}'; '{name}' is not one of {there_are}")
        old = getattr(part, name)
        if deeper:
            groups.setdefault(name, []).append((deeper, value, whole))
            continue
        if isinstance(old, dict) or is_dataclass(old):
            raise InputError(f"--set {whole}: that is a group of settings; give one of them, e.g. {whole}.NAME=VALUE")
        kinds = _kinds(old, annotated[name])
        if not _fits(value, kinds):
            wanted = " | ".join(kinds) + (f" such as {old!r}" if old is not None else "")
            raise InputError(f"--set {whole}: got {value!r}, expected a {wanted}")
        new[name] = value
    return replace(part, **new, **{name: _with(getattr(part, name), some) for name, some in groups.items()})


def _kinds(old: Any, annotated: str) -> tuple[str, ...]:
    """The kinds of value that a field takes, as its annotation says; else that of the value it has."""
    words = annotated.split(" | ")
    return tuple(words) if {*words} <= {"bool", "int", "float", "str", "None"} else (type(old).__name__,)


def _fits(value: Any, kinds: tuple[str, ...]) -> bool:
    kind = "None" if value is None else type(value).__name__
    return kind in kinds or (kind == "int" and "float" in kinds)
