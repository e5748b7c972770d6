"""A policy while training: the same changes, drawn anew each time a clip is seen, done to what a model sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.skeleton import resample
from signloom.errors import InputError
from signloom.transforms.augment.draw import ClipDraw, Facts, Scene
from signloom.transforms.augment.points import points_of_arrays
from signloom.transforms.augment.policy import TRANSFORMS, Policy
from signloom.transforms.geometry import scaling, translation

if TYPE_CHECKING:
    import torch

_UNIT_PX = 100.0
"""How wide shoulders are in the picture that joints in body units are taken to stand in …"""
_SIZE_PX, _MIDDLE_PX = (400, 300), (200.0, 110.0)
"""… how large that is, and where the middle of the shoulders is."""
_SQUARE_PX, _FRAMES, _FPS = 1000, 64, 25.0
"""What a draw for video is made for; it is then scaled to what the model sees."""


_OF_POINTS = {name for name, where in TRANSFORMS.items() if not where.startswith("picture:")} | {"omit-face"}
"""Changes that points show."""


@dataclass(frozen=True)
class PolicyPoseAugment:
    """A policy for joints in body units; takes the place of :class:`~signloom.transforms.pose_augment.PoseAugment`.

    Shares of a picture are of one four shoulder widths wide and three high. Changes of pictures do nothing here.
    """

    name: str
    steps: tuple[Mapping[str, Any], ...] = ()
    pick: str = "all"

    def __post_init__(self):
        policy = self._policy
        if policy.parts_from_pictures:
            raise InputError(f"policy '{self.name}': {policy.parts_from_pictures[0]} needs depth; see signloom augment")

    @cached_property
    def _policy(self) -> Policy:
        policy = Policy(self.name, self.steps, self.pick)
        if self.pick == "in-turn":
            return policy
        # What only changes pictures need not be drawn.
        seen = tuple(step for step in policy.steps if step["do"] in _OF_POINTS)
        return Policy(self.name, seen, self.pick)

    def of_batch(self, inputs: Mapping[str, torch.Tensor], generator: torch.Generator, _: Any) -> dict[str, Any]:
        """A batch's ``inputs`` with the joints changed, as training asks for it."""
        import torch

        pose, present = inputs["pose"].numpy().copy(), inputs["present"].numpy().copy()
        seeds = torch.randint(2**62, (len(pose),), generator=generator).tolist()
        for row, seed in enumerate(seeds):
            pose[row], present[row] = self.of_clip(pose[row], present[row], seed)
        return {**inputs, "pose": torch.from_numpy(pose), "present": torch.from_numpy(present)}

    def of_clip(self, xy_TJC: np.ndarray, present_TJ: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Joints in body units, changed; as many frames as before."""
        n_frames = len(xy_TJC)
        rng = np.random.default_rng(seed)
        draw = self._policy.draw(
            int(rng.integers(2**62)), Facts(_SIZE_PX, n_frames, _FPS), copy=int(rng.integers(2**31))
        )
        middle = np.array(_MIDDLE_PX, np.float32)
        points = draw.points(points_of_arrays(xy_TJC * np.float32(_UNIT_PX) + middle, present_TJ), between=True)
        xy, here = resample((points.xy_TPC - middle) / np.float32(_UNIT_PX), points.here_TP, n_frames)
        return np.where(here[..., None], xy, 0), here


@dataclass(frozen=True)
class PolicyVideoAugment:
    """A policy for frames and flow; takes the place of :class:`~signloom.transforms.video_augment.VideoAugment`.

    Changes of pictures that need a pose or a mask are refused: they are made once, by ``signloom augment``.
    """

    name: str
    steps: tuple[Mapping[str, Any], ...] = ()
    pick: str = "all"

    def __post_init__(self):
        policy = Policy(self.name, self.steps, self.pick)
        if policy.needs or policy.parts_from_pictures:
            names = [n for n, c in zip(policy.names, policy.changes) if _is_costly(c)]
            raise InputError(
                f"policy '{self.name}': {', '.join(names)} cannot be done while training from video; make copies "
                "first: signloom augment"
            )

    def draw(self, seed: int | np.random.SeedSequence) -> PolicyVideoDraw:
        """The draw for one clip, which depends on ``seed`` alone."""
        rng = np.random.default_rng(seed)
        policy = Policy(self.name, self.steps, self.pick)
        facts = Facts((_SQUARE_PX, _SQUARE_PX), _FRAMES, _FPS)
        drawn = policy.draw(int(rng.integers(2**62)), facts, copy=int(rng.integers(2**31)))
        return PolicyVideoDraw(drawn, when=float(rng.random()))


def _is_costly(change: Any) -> bool:
    drawn = change.drawn(np.random.default_rng(0), Facts((64, 64), 8, 25.0))
    return bool(getattr(drawn, "needs", ())) or getattr(change, "leaves_pictures", False)


@dataclass(frozen=True)
class PolicyVideoDraw:
    """What :class:`~signloom.transforms.video_augment.Draw` is, of a policy."""

    drawn: ClipDraw
    when: float = 0.5
    _scene: Scene = field(default_factory=Scene, compare=False)

    @property
    def linear(self) -> tuple[tuple[float, float], ...]:
        return tuple(tuple(float(v) for v in row[:2]) for row in self.drawn.matrix[:2])  # type: ignore[misc]

    @property
    def shift(self) -> tuple[float, float]:
        """How far the picture's centre moves, in shares of its side."""
        centre = self.drawn.matrix @ (_SQUARE_PX / 2, _SQUARE_PX / 2, 1)
        return float(centre[0] / _SQUARE_PX - 0.5), float(centre[1] / _SQUARE_PX - 0.5)

    def matrix(self, size: int) -> np.ndarray:
        """What is done to the ``size`` × ``size`` picture."""
        factor = size / _SQUARE_PX
        linear = scaling(factor) @ self.drawn.matrix @ scaling(1 / factor)
        return translation(0, 0) @ linear

    def instants(self, n_frames: int) -> np.ndarray:
        """Ascending shares of the clip, in [0, 1), at which ``n_frames`` frames are taken."""
        at = self.drawn.at_T
        where = (np.arange(n_frames) + 0.5) / n_frames * len(at) - 0.5
        shares = (np.interp(where, np.arange(len(at)), at) + 0.5) / _FRAMES
        return np.clip(shares, 0, 1 - 1e-9)

    def colour(self, x_CTHW: np.ndarray) -> np.ndarray:
        """The pictures, RGB in [-1, 1], changed in look."""
        steps = [step for step in self.drawn.steps if hasattr(step, "paint")]
        if not steps:
            return np.ascontiguousarray(x_CTHW)
        frames = np.ascontiguousarray(np.round((x_CTHW.transpose(1, 2, 3, 0) + 1) * 127.5).astype(np.uint8))
        done = []
        for number, frame in enumerate(frames):
            for step in steps:
                frame = step.paint(frame, number, self._scene)
            done.append(frame)
        return np.ascontiguousarray(np.stack(done).transpose(3, 0, 1, 2).astype(np.float32) / 127.5 - 1)

    def erased(self, x_CTHW: np.ndarray, value: float) -> np.ndarray:
        """Nothing is erased from flow and depth."""
        return np.ascontiguousarray(x_CTHW)
