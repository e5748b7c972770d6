"""Changes of place. Sizes are shares of the picture, angles degrees; each is about the picture's centre unless said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from signloom.transforms.augment.draw import Facts, Placed
from signloom.transforms.geometry import rotation, scaling, shearing, translation


def _about(matrix: np.ndarray, facts: Facts, across: float = 0.5, down: float = 0.5) -> Placed:
    x, y = facts.size_px[0] * across, facts.size_px[1] * down
    return Placed.by(translation(x, y) @ matrix @ translation(-x, -y))


@dataclass(frozen=True)
class Translate:
    """Moves the picture by up to ``x`` of its width and ``y`` of its height."""

    chance: float = 1.0
    x: float = 0.1
    y: float = 0.1
    amounts: ClassVar[tuple[str, ...]] = ("x", "y")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Placed:
        u = rng.uniform(-1, 1, 2)
        return Placed.by(translation(u[0] * self.x * facts.size_px[0], u[1] * self.y * facts.size_px[1]))


@dataclass(frozen=True)
class Rotate:
    """Turns the picture by up to ``deg`` degrees."""

    chance: float = 1.0
    deg: float = 10.0
    amounts: ClassVar[tuple[str, ...]] = ("deg",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Placed:
        return _about(rotation(rng.uniform(-1, 1) * self.deg), facts)


@dataclass(frozen=True)
class Scale:
    """Enlarges or shrinks by a factor of up to exp(``amount``), and stretches the sides by up to exp(``aspect``)."""

    chance: float = 1.0
    amount: float = 0.2
    aspect: float = 0.0
    amounts: ClassVar[tuple[str, ...]] = ("amount", "aspect")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Placed:
        u = rng.uniform(-1, 1, 2)
        size, side = u[0] * self.amount, u[1] * self.aspect
        return _about(scaling(math.exp(size + side), math.exp(size - side)), facts)


@dataclass(frozen=True)
class Homothety:
    """Enlarges or shrinks by a factor of up to exp(``amount``) about a point drawn from the whole picture."""

    chance: float = 1.0
    amount: float = 0.2
    amounts: ClassVar[tuple[str, ...]] = ("amount",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Placed:
        across, down = rng.uniform(0, 1, 2)
        return _about(scaling(math.exp(rng.uniform(-1, 1) * self.amount)), facts, across, down)


@dataclass(frozen=True)
class Shear:
    """Leans the picture: x grows by up to ``amount`` times y."""

    chance: float = 1.0
    amount: float = 0.1
    amounts: ClassVar[tuple[str, ...]] = ("amount",)

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Placed:
        return _about(shearing(rng.uniform(-1, 1) * self.amount), facts)


@dataclass(frozen=True)
class Mirror:
    """Shows the clip in a mirror; left and right joints are exchanged."""

    chance: float = 0.5
    amounts: ClassVar[tuple[str, ...]] = ()

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Placed:
        return _about(scaling(-1, 1), facts)


@dataclass(frozen=True)
class Affine:
    """A random affine map: an area factor (determinant) from 1 - ``shrink`` to 1 + ``grow``, turned by up to ``deg``,
    stretched by up to exp(``aspect``), moved by up to ``shift`` of the picture."""

    chance: float = 1.0
    shrink: float = 0.3
    grow: float = 0.3
    deg: float = 17.0
    aspect: float = 0.05
    shift: float = 0.05
    amounts: ClassVar[tuple[str, ...]] = ("shrink", "grow", "deg", "aspect", "shift")

    def drawn(self, rng: np.random.Generator, facts: Facts) -> Placed:
        size = math.sqrt(rng.uniform(1 - min(self.shrink, 0.9), 1 + self.grow))
        u = rng.uniform(-1, 1, 4)
        side = math.exp(u[1] * self.aspect)
        placed = _about(rotation(u[0] * self.deg) @ scaling(size * side, size / side), facts)
        moved = translation(u[2] * self.shift * facts.size_px[0], u[3] * self.shift * facts.size_px[1])
        return Placed.by(moved @ np.array(placed.matrix))
