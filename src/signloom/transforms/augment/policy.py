"""Policies: which changes a copy of a clip gets, as a small readable file; those that have a name; the table of all.

A policy file is TOML: ``steps``, each with what to ``do``, the ``chance`` that a copy gets it, and its amounts::

    pick = "all"        # each step by its chance; "in-turn": the first copy gets the first step, the second the next …
    [[steps]]
    do = "rotate"
    chance = 0.5
    deg = 10
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.runtime.text import why
from signloom.transforms.augment.draw import ClipDraw, Facts, Placed, Timed, rounded

VERSION = 1
"""Part of what names a derived clip: with another, clips are made anew."""

TRANSFORMS = {
    # name: module:class, in the order in which they are listed
    "translate": "geometry:Translate",
    "rotate": "geometry:Rotate",
    "scale": "geometry:Scale",
    "homothety": "geometry:Homothety",
    "shear": "geometry:Shear",
    "mirror": "geometry:Mirror",
    "affine": "geometry:Affine",
    "speed": "time:Speed",
    "time-warp": "time:TimeWarp",
    "temporal-crop": "time:TemporalCrop",
    "frame-drop": "time:FrameDrop",
    "down-sample": "time:DownSample",
    "up-sample": "time:UpSample",
    "rate": "time:Rate",
    "salt": "picture:Salt",
    "pepper": "picture:Pepper",
    "mean-blur": "picture:MeanBlur",
    "median": "picture:Median",
    "blur": "picture:Blur",
    "light": "picture:Light",
    "colour": "picture:Colour",
    "noise": "picture:Noise",
    "compress": "picture:Compress",
    "occlude": "picture:Occlude",
    "background": "picture:Background",
    "clothes": "picture:Clothes",
    "omit-face": "picture:OmitFace",
    "joint-dropout": "pose:JointDropout",
    "joint-noise": "pose:JointNoise",
    "lost-hand": "pose:LostHand",
    "ghost-hand": "pose:GhostHand",
    "viewpoint": "pose:Viewpoint",
}

PICKS = ("all", "in-turn")
NAMED: dict[str, dict[str, Any]] = {
    "none": {"about": "nothing changes; for comparison", "steps": []},
    "published": {
        "about": "the nine published changes in their published order, salt and pepper before and after the rest",
        "steps": [
            {"do": "pepper", "share": 0.1},
            {"do": "salt", "share": 0.1},
            {"do": "affine"},
            {"do": "mean-blur", "size_px": 5},
            {"do": "median", "size_px": 5},
            {"do": "pepper", "share": 0.1},
            {"do": "salt", "share": 0.1},
            {"do": "down-sample", "share": 0.1},
            {"do": "up-sample", "share": 0.2},
        ],
    },
    "published-each": {
        "about": "the published changes, one a copy: --times 7 makes each (alone, before and after are the same)",
        "pick": "in-turn",
        "steps": [
            {"do": "affine"},
            {"do": "pepper", "share": 0.1},
            {"do": "salt", "share": 0.1},
            {"do": "mean-blur", "size_px": 5},
            {"do": "median", "size_px": 5},
            {"do": "down-sample", "share": 0.1},
            {"do": "up-sample", "share": 0.2},
        ],
    },
    "affine": {"about": "a random affine map alone, as published", "steps": [{"do": "affine"}]},
    "geometry": {
        "about": "where the signer stands and how large: moved, turned, scaled, leant",
        "steps": [
            {"do": "rotate", "deg": 10.0},
            {"do": "scale", "amount": 0.2, "aspect": 0.1},
            {"do": "shear", "amount": 0.1},
            {"do": "translate", "x": 0.1, "y": 0.1},
        ],
    },
    "time": {
        "about": "how fast is signed, where a clip begins and ends, frames that are lost",
        "steps": [
            {"do": "temporal-crop", "amount": 0.12},
            {"do": "speed", "amount": 0.25},
            {"do": "time-warp", "amount": 0.25},
            {"do": "frame-drop", "share": 0.05, "chance": 0.5},
        ],
    },
    "appearance": {
        "about": "light, colours, focus, grain and compression; nothing moves",
        "steps": [
            {"do": "light"},
            {"do": "colour"},
            {"do": "blur", "chance": 0.3},
            {"do": "noise", "chance": 0.5},
            {"do": "compress", "chance": 0.3},
            {"do": "occlude", "chance": 0.2},
        ],
    },
    "estimator": {
        "about": "what pose estimators get wrong: lost and shaky points, hands lost or found twice",
        "steps": [
            {"do": "joint-noise", "amount": 0.015},
            {"do": "joint-dropout", "share": 0.03},
            {"do": "lost-hand", "chance": 0.3},
            {"do": "ghost-hand", "chance": 0.1},
        ],
    },
    "signing": {
        "about": "geometry, time and appearance together, mild",
        "steps": [
            {"do": "temporal-crop", "amount": 0.1},
            {"do": "speed", "amount": 0.25},
            {"do": "time-warp", "amount": 0.2},
            {"do": "rotate", "deg": 8.0},
            {"do": "scale", "amount": 0.15, "aspect": 0.08},
            {"do": "shear", "amount": 0.08},
            {"do": "translate", "x": 0.08, "y": 0.08},
            {"do": "light", "chance": 0.8},
            {"do": "colour", "chance": 0.8},
            {"do": "noise", "chance": 0.3},
        ],
    },
    "viewpoint": {"about": "another camera, for poses with depth and without video", "steps": [{"do": "viewpoint"}]},
    "wardrobe": {
        "about": "another background and other clothes; needs poses, and finds the person in each frame",
        "steps": [{"do": "background"}, {"do": "clothes"}, {"do": "light"}],
    },
    "omit-face": {"about": "the face covered and its points lost: what a model makes of hands alone",
                  "steps": [{"do": "omit-face"}]},
}  # fmt: skip


def transform_type(name: str) -> type[Any]:
    """The class of a change. Raises InputError that names what there is."""
    if name not in TRANSFORMS:
        raise InputError(f"policy: there is no change '{name}'; there is {', '.join(TRANSFORMS)}")
    module, _, object_name = TRANSFORMS[name].partition(":")
    return getattr(import_module(f"signloom.transforms.augment.{module}"), object_name)


@dataclass(frozen=True)
class Policy:
    """What is done to each copy of a clip. ``steps`` are plain values: ``do`` (:data:`TRANSFORMS`), ``chance`` and the
    change's own amounts. ``pick`` "all" gives a copy each step by its chance; "in-turn" gives copy k the k-th step
    alone. Raises InputError for what is not known."""

    name: str
    steps: tuple[Mapping[str, Any], ...] = ()
    pick: str = "all"
    about: str = ""

    def __post_init__(self):
        if self.pick not in PICKS:
            raise InputError(f"policy '{self.name}': pick is '{self.pick}', expected {' or '.join(PICKS)}")
        object.__setattr__(self, "steps", tuple(dict(step) for step in self.steps))
        _ = self._changes

    @cached_property
    def _changes(self) -> tuple[tuple[str, Any], ...]:
        found = []
        for number, step in enumerate(self.steps, 1):
            try:
                found.append(_of_step(step))
            except InputError as error:
                raise InputError(f"policy '{self.name}', step {number}: {error}") from None
        return tuple(found)

    @property
    def changes(self) -> tuple[Any, ...]:
        """The changes, made of :attr:`steps`."""
        return tuple(change for _, change in self._changes)

    @property
    def names(self) -> tuple[str, ...]:
        """What the changes are called."""
        return tuple(name for name, _ in self._changes)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, from which the same policy is made again."""
        return {"name": self.name, "pick": self.pick, "steps": [dict(step) for step in self.steps]}

    def scaled(self, strength: float) -> Policy:
        """The same policy, ``strength`` times as strong: amounts are multiplied, and the chances of changes that have
        none. 0 changes nothing."""
        if not 0 <= strength <= 10:
            raise InputError(f"strength: got {strength:g}, expected 0 (nothing) to 10")
        steps = []
        for step in self.steps:
            made = _of_step(step)[1]
            names = made.amounts or ("chance",)
            values = {n: getattr(made, n) * strength for n in names}
            if "chance" in values:
                values["chance"] = min(values["chance"], 1.0)
            steps.append({**step, **values})
        return replace(self, steps=tuple(steps))

    def draw(self, seed: int | Sequence[int] | np.random.SeedSequence, facts: Facts, copy: int = 0) -> ClipDraw:
        """The draw of copy number ``copy`` of a clip, by ``seed`` and the facts alone."""
        rng = np.random.default_rng(seed)
        chosen = list(self._changes)
        if self.pick == "in-turn" and self.steps:
            chosen = [chosen[copy % len(chosen)]]
        now = facts
        steps: list[Any] = []
        about: list[dict[str, Any]] = []
        for name, change in chosen:
            own = np.random.default_rng(rng.integers(2**63))  # what one change draws shifts no other
            if rng.random() >= change.chance or (step := change.drawn(own, now)) is None:
                continue
            if isinstance(step, Timed):
                if len(step.at) == now.n_frames and step.fps == now.fps and _is_even(step.at):
                    continue
                now = replace(now, n_frames=len(step.at), fps=step.fps)
            elif isinstance(step, Placed) and np.array_equal(step.matrix, np.eye(3)):
                continue
            steps.append(step)
            about.append({"do": name, **_told(step)})
        return ClipDraw(facts, tuple(steps), tuple(about))

    @property
    def needs(self) -> tuple[str, ...]:
        """What pictures need besides frames, at most: "points", "mask"."""
        facts = Facts((64, 64), 8, 25.0)
        drawn = [change.drawn(np.random.default_rng(0), facts) for change in self.changes]
        return tuple(dict.fromkeys(need for step in drawn for need in getattr(step, "needs", ())))

    @property
    def parts_from_pictures(self) -> tuple[str, ...]:
        """Changes that move points where no picture can follow."""
        return tuple(name for name, change in self._changes if getattr(change, "leaves_pictures", False))


def _of_step(step: Mapping[str, Any]) -> tuple[str, Any]:
    if not isinstance(step.get("do"), str):
        raise InputError(f"does not say what to do; 'do' is one of {', '.join(TRANSFORMS)}")
    return step["do"], _made(step["do"], {k: v for k, v in step.items() if k != "do"})


def _made(name: str, values: Mapping[str, Any]) -> Any:
    kind = transform_type(name)
    known = {f.name: f for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"'{name}' has no '{key}'; it has {', '.join(known)}")
        wanted = type(known[key].default)
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        if not fits or isinstance(value, bool) or (wanted is not str and not (math.isfinite(value) and value >= 0)):
            what = "text" if wanted is str else "a number from 0 on" if wanted is float else "a whole number from 0 on"
            raise InputError(f"'{name}': '{key}' is {value!r}, expected {what}")
    if not 0 <= values.get("chance", 1) <= 1:
        raise InputError(f"'{name}': 'chance' is {values['chance']}, expected 0 to 1")
    return kind(**values)


def _is_even(at: Sequence[float]) -> bool:
    return np.array_equal(at, np.arange(len(at)))


def _told(step: Any) -> dict[str, Any]:
    """What was drawn, short enough to stand in a record."""
    if isinstance(step, Timed):
        return {"frames": len(step.at), "fps": step.fps, "first": round(step.at[0], 2), "last": round(step.at[-1], 2)}
    if isinstance(step, Placed):
        return {"matrix": [rounded(row) for row in step.matrix[:2]]}
    values = {k: v for k, v in asdict(step).items() if k not in ("seed", "needs")}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


# --- files and names ----------------------------------------------------------------------------------------------


def policy_named(name: str) -> Policy:
    """A policy by its name in :data:`NAMED`, or from a TOML file. Raises InputError that names what there is."""
    if name in NAMED:
        values = NAMED[name]
        return Policy(name, tuple(values["steps"]), values.get("pick", "all"), values["about"])
    if Path(name).is_file():
        return read_policy(Path(name))
    raise InputError(f"policy '{name}' is neither a file nor one of {', '.join(NAMED)}")


def read_policy(file: Path) -> Policy:
    """A policy from a TOML file; pictures that it names by relative paths lie beside it. Raises InputError."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"'{file}' is not a policy: {why(error)}") from error
    known = {"name", "about", "pick", "steps"}
    if wrong := sorted(set(values) - known):
        raise InputError(f"'{file}': a policy has no '{wrong[0]}'; it has {', '.join(sorted(known))}")
    steps = values.get("steps", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise InputError(f"'{file}': steps are written as [[steps]], each with a line such as do = \"rotate\"")
    steps = [
        {**step, "pictures": str((file.parent / step["pictures"]).resolve())} if step.get("pictures") else step
        for step in steps
    ]
    texts = {key: values.get(key, usual) for key, usual in (("name", file.stem), ("pick", "all"), ("about", ""))}
    if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise InputError(f"'{file}': '{wrong[0]}' is no text")
    return Policy(steps=tuple(steps), **texts)


def as_toml(policy: Policy) -> str:
    """``policy`` as the file that :func:`read_policy` reads."""
    lines = [f"name = {json.dumps(policy.name)}", *([f"about = {json.dumps(policy.about)}"] if policy.about else [])]
    lines.append(f'pick = "{policy.pick}"')
    for step in policy.steps:
        own = [
            f"{key} = " + (json.dumps(value) if isinstance(value, str) else str(value)) for key, value in step.items()
        ]
        lines += ["", "[[steps]]", *own]
    return "\n".join(lines) + "\n"


def describe_policies() -> str:
    """The policies that have a name and all changes with their amounts, for ``--policy help``."""
    lines = [f"{name:<14} {values['about']}" for name, values in NAMED.items()]
    lines += ["", "or a TOML file; `--policy NAME --show` prints one to begin with. Changes (do = …):"]
    for name in TRANSFORMS:
        kind = transform_type(name)
        first = " ".join((kind.__doc__ or "").split())
        first = first.replace("``", "").split(": up to")[0].split(". ")[0].rstrip(".")
        own = ", ".join(f"{f.name}={f.default!r}" for f in fields(kind) if f.default != "")
        lines.append(f"  {name:<14} {first}\n  {'':<14} {own}")
    return "\n".join(lines)
