"""Faces of a procedural signer that do what they are told: for learning a face that belongs to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from signloom.synthetic.body import FACE_NUMBERS, Signer, rotation
from signloom.synthetic.exact import exact_points
from signloom.synthetic.motion import Motion
from signloom.synthetic.render import Camera, Scene, render
from signloom.synthetic.session import at_rest

NOBODY = Signer("nobody", skin=(214, 170, 142), hair=(60, 44, 34), hair_style="short")
SIZE_PX = 192
_SCENE_FRAMES = 40  # then the light changes
_FACE = slice(33, 33 + len(FACE_NUMBERS))


def told_faces(
    expression_TE: np.ndarray, turned_deg_T2: np.ndarray, rng: np.random.Generator, signer: Signer = NOBODY
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A frame, uint8 (:data:`SIZE_PX`, :data:`SIZE_PX`, 3), and its face points in pixels (128, 2), by the numbers
    of ``FACE_NUMBERS``, for each of ``expression_TE`` (T, 5; see EXPRESSIONS) with the head turned aside and nodded by
    ``turned_deg_T2``. The light follows from ``rng``."""
    resting = at_rest(signer, 0.1, rng, sway_m=0.0)
    for first in range(0, len(expression_TE), _SCENE_FRAMES):
        part = expression_TE[first : first + _SCENE_FRAMES]
        turns = np.radians(turned_deg_T2[first : first + _SCENE_FRAMES])
        motion = _held(resting, len(part))
        turn = rotation(np.stack([turns[:, 1], turns[:, 0], np.zeros(len(part))], -1))
        motion = replace(motion, expression=part, head_turn=turn)
        scene = Scene(
            distance_m=rng.uniform(1.4, 2.2),
            height_m=0.36,
            shift_m=(float(motion.head[0, 0]), float(motion.head[0, 1]) + 0.015),
            light=(rng.uniform(-0.6, 0.6), rng.uniform(-0.9, -0.5), -0.9),
            light_strength=rng.uniform(0.40, 0.55),
            ambient=rng.uniform(0.46, 0.55),
            noise=0.5,
        )
        points, _ = exact_points(motion, signer, Camera(scene, SIZE_PX, SIZE_PX))
        for k, frame in enumerate(render(motion, signer, scene, (SIZE_PX, SIZE_PX), rng)):
            yield frame, points[k, _FACE, :2].astype(np.float64)


def told_points(expression_TE: np.ndarray, turned_deg_T2: np.ndarray, signer: Signer = NOBODY) -> np.ndarray:
    """The points alone, (T, 128, 2), as a far camera sees them."""
    resting = at_rest(signer, 0.1, np.random.default_rng(0), sway_m=0.0)
    motion = _held(resting, len(expression_TE))
    turns = np.radians(turned_deg_T2)
    turn = rotation(np.stack([turns[:, 1], turns[:, 0], np.zeros(len(turns))], -1))
    motion = replace(motion, expression=expression_TE, head_turn=turn)
    camera = Camera(Scene(height_m=0.36, shift_m=(0.0, float(motion.head[0, 1]))), SIZE_PX, SIZE_PX)
    return exact_points(motion, signer, camera)[0][:, _FACE, :2].astype(np.float64)


def _held(motion: Motion, n: int) -> Motion:
    """The first moment of ``motion``, ``n`` times."""
    from dataclasses import fields

    values = {f.name: np.repeat(getattr(motion, f.name)[:1], n, 0) for f in fields(Motion) if f.name != "rate_hz"}
    return Motion(25.0, **values)
