"""Where face and hands are in a picture, told from the pose map alone: the same for drawn skeletons and for poses."""

from __future__ import annotations

import numpy as np

from signloom.errors import InputError
from signloom.media import import_cv2
from signloom.transforms.pose_map import CHANNELS, FINGER_ROWS

Box = tuple[int, int, int, int]

_GRID = 64  # parts are found on a grid of so many cells a side
_LEAST_CELL = 0.08 * 255  # what a cell must hold
_LEAST_SPECK = 0.5 * 255  # a connected piece with less than half a full cell is none
_LEAST_FACE, _LEAST_HAND = 0.75 * 255, 1.5 * 255
_SAME_HAND = 0.6  # two halves of the fingers' mass nearer than this, in sides of a box, are one hand


def part_boxes(pose_map_HWL: np.ndarray) -> dict[str, Box]:
    """Squares around the parts of a picture that matter most: "face", "hand_1" and "hand_2", in so far as there.

    ``pose_map_HWL`` uint8 (S, S, L). Boxes are (x0, y0, x1, y1) with sides of S // 4, wholly inside the picture. The
    face is in the middle of its outlines, a hand in the middle of its fingers; hand_1 is further left in the picture.
    Hands that overlap, so that a square holds both, are hand_1 alone; one whose fingers all lie on body limbs is not
    found.
    Raises InputError for another shape.
    """
    x = np.asarray(pose_map_HWL)
    if x.dtype != np.uint8 or x.ndim != 3 or x.shape[0] != x.shape[1] or x.shape[2] != len(CHANNELS):
        raise InputError(f"a pose map must be uint8 (S, S, {len(CHANNELS)}); got {x.dtype} {x.shape}")
    size = len(x)
    face, body, fingers = _cells(x)
    # The edges of limbs in a drawn skeleton are darker and, in a JPEG, of other hues than the limb: those of fingers.
    beside_body = import_cv2().boxFilter(body, -1, (3, 3), normalize=False)
    face, fingers = (_without_specks(np.where(c > np.maximum(beside_body, _LEAST_CELL), c, 0)) for c in (face, fingers))
    middles: dict[str, np.ndarray] = {}
    if face.sum() >= _LEAST_FACE:
        middles["face"] = np.array([_middle(face.sum(0)), _middle(face.sum(1))])
    middles |= {f"hand_{n}": middle for n, middle in enumerate(_hands(fingers), 1)}
    side = size // 4
    corners = {name: np.clip(np.rint(m * size / _GRID - side / 2), 0, size - side) for name, m in middles.items()}
    return {name: (int(x), int(y), int(x) + side, int(y) + side) for name, (x, y) in corners.items()}


def _cells(pose_map_HWL: np.ndarray) -> list[np.ndarray]:
    """The means of face, body limbs and fingers in each cell of the grid, three float32 (_GRID, _GRID)."""
    cv2 = import_cv2()
    kinds_KL = np.zeros((3, len(CHANNELS)), np.float32)
    kinds_KL[0, 0] = kinds_KL[1, 1 : FINGER_ROWS.start] = kinds_KL[2, FINGER_ROWS] = 1
    kinds_HWK = cv2.transform(np.ascontiguousarray(pose_map_HWL), kinds_KL)  # sums, at most 255
    cells = cv2.resize(kinds_HWK, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
    return list(np.moveaxis(cells, -1, 0).copy())


def _without_specks(cells: np.ndarray) -> np.ndarray:
    cv2 = import_cv2()
    n, piece = cv2.connectedComponents(cv2.dilate((cells > 0).astype(np.uint8), np.ones((3, 3), np.uint8)))
    mass = np.bincount(piece.ravel(), cells.ravel(), n)
    return np.where(mass[piece] >= _LEAST_SPECK, cells, 0)


def _middle(mass: np.ndarray) -> float:
    """Halfway between the 5th and the 95th percentile of ``mass`` along an axis, in cells: strays do not count."""
    share = np.cumsum(mass) / mass.sum()
    return float(np.interp([0.05, 0.95], share, np.arange(len(mass)) + 1.0).mean())


def _hands(cells: np.ndarray) -> list[np.ndarray]:
    """The middles (x, y) of the hands in cells, from left to right: of two by two means, of one where they are near."""
    rows, columns = np.nonzero(cells)
    mass = cells[rows, columns]
    if mass.sum() < _LEAST_HAND:
        return []
    place = np.stack([columns, rows], 1) + 0.5
    whole = np.average(place, 0, mass)
    away = place - whole
    longest = np.linalg.eigh((away * mass[:, None]).T @ away)[1][:, 1]
    second = away @ longest > 0
    for _ in range(10):
        if second.all() or not second.any():
            return [whole]
        two = [np.average(place[half], 0, mass[half]) for half in (~second, second)]
        nearer = np.square(place - two[1]).sum(1) < np.square(place - two[0]).sum(1)
        if (nearer == second).all():
            break
        second = nearer
    if np.linalg.norm(two[0] - two[1]) < _SAME_HAND * _GRID / 4:
        return [whole]
    big = [middle for half, middle in zip((~second, second), two) if mass[half].sum() >= _LEAST_HAND]
    return sorted(big, key=lambda m: m[0]) or [whole]
