"""Poses for other programs: a table of joints over time, and a skeleton that moves (BVH)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from signloom.data.skeleton import HAND_SIDES, INDEX, JOINTS, PARENT, Joints, shoulder_width_px
from signloom.errors import InputError
from signloom.runtime.atomic import atomic_write

SHOULDERS_CM = 40.0
"""How wide the signer's shoulders are in a BVH file, which is in centimetres: footage does not tell."""
_ROOT = "mid_shoulder"


def write_pose_csv(file: Path, joints: Joints) -> Path:
    """Write a row for each frame: ``time_s``, and ``NAME_x``, ``NAME_y`` in pixels and ``NAME_confidence`` of each
    joint.

    What was not found has empty cells.
    """
    sure_TJ = joints.present_TJ.astype(np.float32) if joints.confidence_TJ is None else joints.confidence_TJ
    with atomic_write(file) as tmp, open(tmp, "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["time_s", *(f"{name}_{of}" for name in JOINTS for of in ("x", "y", "confidence"))])
        for row in range(len(joints)):
            cells = [f"{row / joints.fps:.6f}"]
            for joint in range(len(JOINTS)):
                if joints.present_TJ[row, joint]:
                    x, y = joints.xy_TJC[row, joint]
                    cells += [f"{x:.3f}", f"{y:.3f}", f"{sure_TJ[row, joint]:.3f}"]
                else:
                    cells += ["", "", ""]
            table.writerow(cells)
    return file


def write_bvh(file: Path, joints: Joints) -> Path:
    """Write a BVH file: a skeleton from between the shoulders outwards, and where each joint is from its parent, by
    frame.

    x is to the right, y up, z 0 (a picture has no depth); centimetres, the shoulders :data:`SHOULDERS_CM` wide. Every
    joint has position channels, since bones of a picture change their lengths. A joint that was not found stays, from
    its parent, where it was last; before it is found, where it usually is. Raises InputError where shoulders are
    never seen.
    """
    shoulders_px = shoulder_width_px(joints)
    if shoulders_px is None:
        raise InputError(
            f"'{file.name}': both shoulders are never seen together, so there is no size to give a skeleton"
        )
    place_TJC, known_TJ = joints.xy_TJC * (1, -1) * (SHOULDERS_CM / shoulders_px), joints.present_TJ
    pair = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
    middle_TC = _held(place_TJC[:, pair].mean(1), known_TJ[:, pair].all(1))
    above = _above()
    offsets = {}
    for joint, parent in enumerate(above):
        start_TC = middle_TC if parent is None else place_TJC[:, parent]
        seen_T = known_TJ[:, joint] & (True if parent is None else known_TJ[:, parent])
        offsets[joint] = _held(place_TJC[:, joint] - start_TC, seen_T)
    order: list[int] = []
    lines = ["HIERARCHY", *_hierarchy(above, offsets, order), "MOTION", f"Frames: {len(joints)}"]
    lines.append(f"Frame Time: {1 / joints.fps:.8f}")
    moves_TC = [middle_TC, *(offsets[joint] for joint in order)]
    for row in range(len(joints)):
        lines.append(" ".join(f"{move[row, 0]:.4f} {move[row, 1]:.4f} 0" for move in moves_TC))
    with atomic_write(file) as tmp:
        tmp.write_text("\n".join(lines) + "\n", encoding="ascii")
    return file


def _above() -> list[int | None]:
    """What each joint hangs on in a skeleton that is one: a hand on its wrist; None: on the middle of the shoulders."""
    above: list[int | None] = [None if parent == joint else int(parent) for joint, parent in enumerate(PARENT)]
    for side in HAND_SIDES:
        above[INDEX[f"{side}_root"]] = INDEX[f"{side}_wrist"]
    return above


def _held(values_TC: np.ndarray, seen_T: np.ndarray) -> np.ndarray:
    """``values_TC`` with what was last seen where there is none; before that the median; 0 where it is never seen."""
    if not seen_T.any():
        return np.zeros_like(values_TC)
    last_T = np.maximum.accumulate(np.where(seen_T, np.arange(len(seen_T)), -1))
    return np.where(last_T[:, None] >= 0, values_TC[last_T], np.median(values_TC[seen_T], 0))


def _hierarchy(above: list[int | None], offsets: dict[int, np.ndarray], order: list[int]) -> Iterator[str]:
    """The lines of the skeleton; ``order`` gets the joints in the order of their channels."""
    channels = "CHANNELS 3 Xposition Yposition Zposition"

    def branch(joint: int, depth: int) -> Iterator[str]:
        order.append(joint)
        tab, rest = "\t" * depth, np.median(offsets[joint], 0)
        yield f"{tab}JOINT {JOINTS[joint]}"
        yield f"{tab}{{"
        yield f"{tab}\tOFFSET {rest[0]:.4f} {rest[1]:.4f} 0"
        yield f"{tab}\t{channels}"
        below = [other for other, parent in enumerate(above) if parent == joint]
        for other in below:
            yield from branch(other, depth + 1)
        if not below:
            yield from (f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET 0 0 0", f"{tab}\t}}")
        yield f"{tab}}}"

    yield from (f"ROOT {_ROOT}", "{", "\tOFFSET 0 0 0", f"\t{channels}")
    for joint, parent in enumerate(above):
        if parent is None:
            yield from branch(joint, 1)
    yield "}"


FORMATS = {"csv": write_pose_csv, "bvh": write_bvh}
"""How poses go out, by suffix."""
