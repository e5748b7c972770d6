"""The procedural signer's body: who they are, how their hands bend, and where their joints lie.

World frame: metres, origin between the resting shoulders, x to the image's right (the signer's left), y down, z away
from the camera. The signer faces the camera, so "in front of the chest" is negative z. A hand's own frame is
(towards the thumb, towards the fingertips, out of the palm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

FINGERS = ("index", "middle", "ring", "pinky")

# Right hand of an adult, metres, own frame; after the anthropometry that hand atlases agree on (length 0.185).
_KNUCKLES = np.array([[0.0265, 0.090, 0.0], [0.0050, 0.093, -0.002], [-0.0155, 0.087, -0.001], [-0.0335, 0.077, 0.002]])
_BONES = np.array([[0.044, 0.026, 0.018], [0.048, 0.030, 0.019], [0.044, 0.028, 0.019], [0.034, 0.020, 0.017]])
_THUMB_ROOT = np.array([0.022, 0.020, 0.010])
_THUMB_BONES = np.array([0.044, 0.033, 0.023])

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Signer:
    """One procedural person: proportions in metres (or as factors of an average adult), looks, and signing style."""

    name: str
    left_handed: bool = False
    # proportions
    scale: float = 1.0
    shoulder_m: float = 0.345  # joint to joint
    upper_arm_m: float = 0.285
    forearm_m: float = 0.250
    hand: float = 1.0
    finger_width: float = 1.0
    head: float = 1.0
    face_width: float = 1.0
    jaw: float = 1.0
    nose: float = 1.0
    girth: float = 1.0
    # looks
    skin: RGB = (224, 180, 150)
    hair: RGB = (60, 42, 32)
    hair_style: str = "short"  # short, bob, long, bun, bald, scarf
    brows: float = 1.0
    lips: RGB = (186, 110, 104)
    eyes: RGB = (92, 66, 44)
    beard: float = 0.0
    glasses: bool = False
    clothes: RGB = (58, 82, 120)
    sleeve: float = 0.45  # share of the whole arm that is covered; 1 = to the wrist
    neckline: float = 0.05  # metres below the collar bone
    stripes: float = 0.0
    # style
    amplitude: float = 1.0
    speed: float = 1.0
    smoothing_s: float = 0.035
    rest: str = "lap"  # lap, sides, belly
    elbow_out: float = 0.5
    jitter: float = 1.0
    sway: float = 1.0
    head_motion: float = 1.0


_SKINS: tuple[tuple[RGB, RGB], ...] = (
    ((226, 184, 156), (190, 112, 106)),
    ((150, 103, 74), (132, 74, 66)),
    ((240, 206, 184), (202, 124, 118)),
    ((192, 143, 108), (164, 94, 84)),
    ((112, 76, 55), (110, 62, 56)),
    ((212, 166, 132), (178, 104, 94)),
)
_HAIRS: tuple[RGB, ...] = ((52, 38, 30), (28, 24, 24), (150, 112, 66), (70, 44, 30), (24, 22, 24), (110, 70, 44))
_HAIR_STYLES = ("short", "bun", "long", "short", "bob", "scarf", "short", "bald")
_CLOTHES: tuple[RGB, ...] = (
    (44, 66, 108),
    (150, 40, 46),
    (52, 96, 70),
    (212, 208, 198),
    (36, 36, 42),
    (112, 76, 132),
    (196, 142, 52),
    (92, 128, 150),
)


def make_signer(index: int, seed: int = 0, *, left_handed: bool = False) -> Signer:
    """The ``index``-th signer (from 0) of the cast that ``seed`` gives; independent of how many others there are."""
    rng = np.random.default_rng([seed, 101, index])
    skin, lips = _SKINS[index % len(_SKINS)]
    tint = rng.uniform(0.95, 1.04)
    scale = rng.uniform(0.93, 1.06)
    style = _HAIR_STYLES[index % len(_HAIR_STYLES)]
    beard = float(rng.uniform(0.3, 0.8)) if style in ("short", "bald") and rng.random() < 0.45 else 0.0
    return Signer(
        name=f"signer{index + 1:02d}",
        left_handed=left_handed,
        scale=scale,
        shoulder_m=0.345 * scale * rng.uniform(0.93, 1.08),
        upper_arm_m=0.285 * scale * rng.uniform(0.96, 1.04),
        forearm_m=0.250 * scale * rng.uniform(0.96, 1.04),
        hand=scale * rng.uniform(0.98, 1.08),
        finger_width=rng.uniform(0.95, 1.1),
        head=rng.uniform(0.97, 1.04),
        face_width=rng.uniform(0.95, 1.05),
        jaw=rng.uniform(0.9, 1.1),
        nose=rng.uniform(0.9, 1.15),
        girth=rng.uniform(0.92, 1.15),
        skin=_tinted(skin, tint),
        hair=_HAIRS[int(rng.integers(len(_HAIRS)))] if index >= len(_HAIRS) else _HAIRS[index],
        hair_style=style,
        brows=rng.uniform(0.8, 1.3),
        lips=_tinted(lips, tint),
        eyes=((92, 66, 44), (70, 50, 36), (88, 108, 120))[int(rng.integers(3))],
        beard=beard,
        glasses=bool(rng.random() < 0.2),
        clothes=_CLOTHES[(index * 5 + int(rng.integers(2))) % len(_CLOTHES)],
        sleeve=float(rng.choice([0.3, 0.42, 0.75, 0.95])),
        neckline=rng.uniform(0.02, 0.07),
        stripes=float(rng.random() < 0.25) * rng.uniform(0.15, 0.35),
        amplitude=rng.uniform(0.85, 1.2),
        speed=rng.uniform(0.85, 1.2),
        smoothing_s=rng.uniform(0.025, 0.045),
        rest=("lap", "belly", "sides")[(index + int(rng.integers(2))) % 3],
        elbow_out=rng.uniform(0.3, 0.8),
        jitter=rng.uniform(0.7, 1.3),
        sway=rng.uniform(0.5, 1.5),
        head_motion=rng.uniform(0.5, 1.5),
    )


def _tinted(colour: RGB, factor: float) -> RGB:
    r, g, b = (int(min(255, c * factor)) for c in colour)
    return r, g, b


def mirror_signer(signer: Signer) -> Signer:
    """The same person with the other hand dominant."""
    return replace(signer, left_handed=not signer.left_handed)


# --- rotations --------------------------------------------------------------------------------------------------


def unit(v: np.ndarray) -> np.ndarray:
    """``v`` (..., 3) scaled to length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def rotation(vector: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) about ``vector`` (..., 3), whose length is the angle in radians (Rodrigues)."""
    vector = np.asarray(vector, float)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(unit(vector), -1, 0)
    zero = np.zeros_like(x)
    k = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """The inverse of :func:`rotation`: vectors (..., 3) of length 0..π."""
    q = _quaternion(np.asarray(matrix, float))
    length = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, q[..., :1])
    return np.where(length > 1e-9, q[..., 1:] / np.maximum(length, 1e-9) * angle, 0.0)


def _quaternion(m: np.ndarray) -> np.ndarray:
    # The four estimates differ in which component they divide by; the largest is the best conditioned.
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    square = np.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], -1)
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    w2, x2, y2, z2 = np.moveaxis(square, -1, 0)
    rows = np.stack(
        [
            np.stack([w2, a, b, c], -1),
            np.stack([a, x2, d, e], -1),
            np.stack([b, d, y2, f], -1),
            np.stack([c, e, f, z2], -1),
        ],
        -2,
    )
    best = np.argmax(square, -1)[..., None, None]
    q = unit4(np.take_along_axis(rows, np.broadcast_to(best, (*best.shape[:-1], 4)), -2)[..., 0, :])
    return q * np.where(q[..., :1] < 0, -1.0, 1.0)


def unit4(q: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) scaled to length 1."""
    return q / np.maximum(np.linalg.norm(q, axis=-1, keepdims=True), 1e-12)


# --- hands and arms ---------------------------------------------------------------------------------------------


def hand_joints(bends_deg: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """The 21 joints of a hand in its own frame, metres: (..., 20) finger angles -> (..., 21, 3).

    Angles: for index, middle, ring, pinky flexion at the three joints (12), then the four fingers' spread towards the
    thumb (4), then the thumb's radial and palmar angle and its flexion at two joints (4). Order of joints: MediaPipe's.
    """
    a = np.radians(np.asarray(bends_deg, float))
    shape = a.shape[:-1]
    joints = np.zeros((*shape, 21, 3))
    for k in range(4):
        flex = np.cumsum(a[..., 3 * k : 3 * k + 3], -1)
        spread = a[..., 12 + k] * np.clip(np.cos(a[..., 3 * k]), 0, 1)  # a bent knuckle cannot spread
        at = np.broadcast_to(_KNUCKLES[k], (*shape, 3))
        joints[..., 5 + 4 * k, :] = at
        for j in range(3):
            along = np.cos(flex[..., j])
            step = np.stack([np.sin(spread) * along, np.cos(spread) * along, np.sin(flex[..., j])], -1)
            at = at + _BONES[k, j] * step
            joints[..., 6 + 4 * k + j, :] = at
    radial, palmar, mcp, ip = np.moveaxis(a[..., 16:20], -1, 0)
    d = np.stack([np.sin(radial) * np.cos(palmar), np.cos(radial) * np.cos(palmar), np.sin(palmar)], -1)
    # The thumb bends across the palm: towards the little finger and a little out of the palm.
    across = np.broadcast_to(np.array([-0.85, 0.12, 0.5]), d.shape)
    across = unit(across - d * (across * d).sum(-1, keepdims=True))
    at = np.broadcast_to(_THUMB_ROOT, (*shape, 3))
    joints[..., 1, :] = at
    turn = np.zeros(shape)
    for j, bend in enumerate((np.zeros(shape), mcp, ip)):
        turn = turn + bend
        at = at + _THUMB_BONES[j] * (np.cos(turn)[..., None] * d + np.sin(turn)[..., None] * across)
        joints[..., 2 + j, :] = at
    return joints * scale


def bend_elbow(
    shoulder: np.ndarray, wrist: np.ndarray, upper_m: float, fore_m: float, towards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two-bone inverse kinematics: ``(elbow, wrist)`` (..., 3), the elbow pointing ``towards``.

    A wrist out of reach is pulled in along the line to the shoulder.
    """
    reach = wrist - shoulder
    far = np.linalg.norm(reach, axis=-1, keepdims=True)
    longest, shortest = (upper_m + fore_m) * 0.995, abs(upper_m - fore_m) + 0.05
    span = np.clip(far, shortest, longest)
    line = reach / np.maximum(far, 1e-9)
    wrist = shoulder + line * span
    along = (upper_m**2 - fore_m**2 + span**2) / (2 * span)
    out = np.sqrt(np.maximum(upper_m**2 - along**2, 0))
    side = unit(towards - line * (towards * line).sum(-1, keepdims=True))
    return shoulder + line * along + side * out, wrist


# --- the face ---------------------------------------------------------------------------------------------------
# The 128 contour points of MediaPipe's face mesh, by its numbers, in millimetres of an average head: origin between
# the ears, x to the signer's left, y down. Only the left half and the middle line are listed; the right is mirrored.

_OVAL_LEFT = (
    (10, 0, -80), (338, 17, -79), (297, 33, -74), (332, 46, -66), (284, 57, -54), (251, 63, -41), (389, 66.5, -27),
    (356, 69, -11), (454, 69.5, 5), (323, 68.5, 22), (361, 66, 39), (288, 62, 55), (397, 55, 70), (365, 46, 84),
    (379, 37, 94), (378, 28, 102), (400, 19, 108), (377, 9, 111.5), (152, 0, 113),
)  # fmt: skip
_OVAL_RIGHT = (109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148)
_EYE = (  # of the left eye: outer corner, the lower lid inwards, inner corner, the upper lid outwards
    (263, 45.5, -1), (249, 43, 2), (390, 40, 4), (373, 36, 5.2), (374, 32, 5.6), (380, 27.5, 5), (381, 23, 3.6),
    (382, 19.5, 2.4), (362, 16.5, 2), (398, 19, -0.8), (384, 22.5, -3.6), (385, 26.5, -5.4), (386, 31.5, -6.1),
    (387, 36, -5.7), (388, 40, -4.4), (466, 43, -2.6),
)  # fmt: skip
_EYE_RIGHT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
_BROW = (  # left brow: upper edge from the outer end, then the lower edge back
    (300, 55, -22), (293, 48, -29), (334, 37, -33), (296, 25, -31.5), (336, 13, -27),
    (285, 14, -21.5), (295, 25, -25), (282, 36, -26.5), (283, 45.5, -23), (276, 53, -17),
)  # fmt: skip
_BROW_RIGHT = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_LIPS_OUTER = (  # from the middle of the upper lip over the left corner to the middle of the lower lip
    (0, 0, 58), (267, 5, 56.8), (269, 11, 58), (270, 17, 61), (409, 22, 64), (291, 26, 67),
    (375, 22.5, 71), (321, 18, 74.5), (405, 12.5, 77), (314, 6.5, 78.4), (17, 0, 78.8),
)  # fmt: skip
_LIPS_OUTER_RIGHT = (37, 39, 40, 185, 61, 146, 91, 181, 84)
_LIPS_INNER = (
    (13, 0, 66), (312, 5, 66), (311, 10, 66), (310, 15, 66.2), (415, 19, 66.6), (308, 22.5, 67),
    (324, 19, 67.2), (318, 15, 67.3), (402, 10, 67.4), (317, 5, 67.4), (14, 0, 67.4),
)  # fmt: skip
_LIPS_INNER_RIGHT = (82, 81, 80, 191, 78, 95, 88, 178, 87)


def _both_sides(left: Sequence[tuple[int, float, float]], right: Sequence[int]) -> list[tuple[int, float, float]]:
    mirrored = [p for p in left if p[1] != 0]
    return [*left, *((n, -x, y) for n, (_, x, y) in zip(right, mirrored, strict=True))]


def _outline(left: Sequence[tuple[int, float, float]], right: Sequence[int]) -> tuple[int, ...]:
    """Mesh numbers once around a shape that crosses the middle line."""
    return (*(n for n, *_ in left), *reversed(right))


_FACE_MM = [
    *_both_sides(_OVAL_LEFT, _OVAL_RIGHT),
    *_both_sides(_EYE, _EYE_RIGHT),
    *_both_sides(_BROW, _BROW_RIGHT),
    *_both_sides(_LIPS_OUTER, _LIPS_OUTER_RIGHT),
    *_both_sides(_LIPS_INNER, _LIPS_INNER_RIGHT),
]
FACE_NUMBERS = tuple(sorted(n for n, *_ in _FACE_MM))
"""The face-mesh numbers the signer has: MediaPipe's contour points (oval, eyes, brows, lips), 128."""

FACE_INDEX = {n: k for k, n in enumerate(FACE_NUMBERS)}
_REST_FACE = np.zeros((len(FACE_NUMBERS), 2))
for _n, _x, _y in _FACE_MM:
    _REST_FACE[FACE_INDEX[_n]] = _x / 1000, _y / 1000

OUTLINES = {
    "left_eye": tuple(n for n, *_ in _EYE),
    "right_eye": _EYE_RIGHT,
    "left_brow": tuple(n for n, *_ in _BROW),
    "right_brow": _BROW_RIGHT,
    "lips": _outline(_LIPS_OUTER, _LIPS_OUTER_RIGHT),
    "mouth": _outline(_LIPS_INNER, _LIPS_INNER_RIGHT),
    "oval": _outline(_OVAL_LEFT, _OVAL_RIGHT),
}
EXPRESSIONS = ("brow_raise", "brow_furrow", "mouth_open", "mouth_wide", "blink")


def _columns(name: str) -> np.ndarray:
    return np.array([FACE_INDEX[n] for n in OUTLINES[name]])


def face_points(expression_TE: np.ndarray, signer: Signer) -> np.ndarray:
    """Face contour points in the head's plane, metres: (T, 5) expressions (0..1, see EXPRESSIONS) -> (T, 128, 2)."""
    raise_, furrow, open_, wide, blink = (expression_TE[:, k, None] for k in range(5))
    points = np.repeat(_REST_FACE[None], len(expression_TE), 0)
    x, y = points[..., 0], points[..., 1]
    for side, sign in (("left", 1), ("right", -1)):
        brow = _columns(f"{side}_brow")
        y[:, brow] += -0.007 * raise_ + 0.004 * furrow
        x[:, brow] -= sign * 0.003 * furrow
        eye = _columns(f"{side}_eye")
        middle = 0.0025
        upper = eye[9:]
        y[:, upper] += (middle - y[:, upper]) * blink - 0.0012 * raise_
    lips, mouth = _columns("lips"), _columns("mouth")
    lower_lips, lower_mouth = lips[6:15], mouth[6:15]
    y[:, lower_lips] += 0.016 * open_
    y[:, lower_mouth] += 0.017 * open_
    y[:, np.r_[lips[:5], lips[16:]]] -= 0.002 * open_
    oval = _columns("oval")
    low = y[:, oval] > 0.06
    y[:, oval] += np.where(low, (y[:, oval] - 0.06) / 0.053 * 0.010, 0) * open_
    for part in (lips, mouth):
        x[:, part] *= 1 + 0.18 * wide - 0.12 * open_
    return points * (signer.head * np.array([signer.face_width, 1.0]))
