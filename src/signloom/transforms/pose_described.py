"""All that is done to the points of a clip before a network sees it, as plain JSON.

Another program that follows it, with no more than this and arithmetic, comes to the same tensors. It is written from
the constants that the code here uses; ``tests/transforms/test_pose_described.py`` is such a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signloom.data.holistic_points import BODY_POINTS, FACE_LINES, N_FACE, N_POINTS
from signloom.data.pose_points import COLLAPSED, NEAR, OUTSIDE, SENTINELS
from signloom.data.skeleton import (
    HAND_SIDES,
    HEADS,
    INDEX,
    JOINTS,
    LEAST_UNIT,
    MIRROR,
    PALM_PERCENTILE,
    PALMS,
    PALMS_PER_UNIT,
    PARENT,
    PARTS,
    SURE,
    WIDTH_PERCENTILE,
    joint_points,
)
from signloom.media.read import CLOCK
from signloom.transforms.generator_input import GeneratorInput
from signloom.transforms.ghost_hands import RULES
from signloom.transforms.pose_input import RESTING_HEIGHT, PoseInput
from signloom.transforms.pose_map import CHANNELS, WIDTH_PARTS, map_lines

POINT_ROWS = {
    "POSE_LANDMARKS": (0, 33),
    "FACE_LANDMARKS": (33, 33 + N_FACE),
    "LEFT_HAND_LANDMARKS": (33 + N_FACE, 33 + N_FACE + 21),
    "RIGHT_HAND_LANDMARKS": (33 + N_FACE + 21, N_POINTS),
}
"""Which of the 543 points of a frame are whose."""


def described(inputs: PoseInput, face_points: tuple[int, ...], ghosts: str, right_known: bool) -> dict[str, Any]:
    """From what an estimator finds in each frame to the tensors of a recogniser: numbers, and in ``rules`` how.

    ``face_points`` are those of the face's mesh that are kept, ``ghosts`` what is done with a hand found twice,
    ``right_known`` whether each hand's network tells which hand it sees.
    """
    told = _joints(face_points, ghosts, right_known)
    return {
        "n_frames": inputs.n_frames,
        "handedness": inputs.handedness,
        **told,
        "rules": {**told["rules"], **_rules_of_input()},
    }


def described_map(
    inputs: GeneratorInput, square: Mapping[str, Any], face_points: tuple[int, ...], ghosts: str, right_known: bool
) -> dict[str, Any]:
    """From what an estimator finds to the pose map of a generator; ``square`` are the settings of its square
    (:class:`signloom.streams.signer_crop.SignerCrop`)."""
    told = _joints(face_points, ghosts, right_known)
    ends_N2, limb_N, share_N = map_lines()
    places = {point: k for k, point in enumerate(face_points)}
    return {
        "size_px": inputs.size_px,
        "pose_map_px": inputs.side_px,
        "signers": list(inputs.signers),
        "proportions": [None if build is None else dict(build) for build in inputs.proportions],
        "square": dict(square),
        "channels": list(CHANNELS),
        "channel_levels": list(inputs.channel_levels),
        "lines": [
            {"from": int(a), "to": int(b), "channel": int(limb), "share": float(share)}
            for (a, b), limb, share in zip(ends_N2, limb_N, share_N)
        ],
        "face_lines": [[a, b] for a, b in FACE_LINES if a in places and b in places],
        "width_parts": dict(zip(("body", "finger", "face"), WIDTH_PARTS)),
        **told,
        "rules": {**told["rules"], **_rules_of_map()},
    }


def _joints(face_points: tuple[int, ...], ghosts: str, right_known: bool) -> dict[str, Any]:
    return {
        "joints": list(JOINTS),
        "joint_points": joint_points(),
        "parents": [int(p) for p in PARENT],
        "mirror": [int(m) for m in MIRROR],
        "parts": {name: [part.start, part.stop] for name, part in PARTS.items()},
        "face_kept": list(face_points),
        "point_rows": {name: list(rows) for name, rows in POINT_ROWS.items()},
        "shoulders": {side: INDEX[f"{side}_shoulder"] for side in HAND_SIDES},
        "roots": {side: INDEX[f"{side}_root"] for side in HAND_SIDES},
        "wrists": {side: INDEX[f"{side}_wrist"] for side in HAND_SIDES},
        "rules": {**_rules_of_points(), "ghosts": _ghosts(right_known) if ghosts == "drop" else None},
    }


def _rules_of_points() -> dict[str, Any]:
    """From what was found to joints."""
    return {
        "points": {
            "what": "Of each frame 543 rows of x, y (pixels of the picture as displayed, origin at its upper left "
            "corner), z (not used), confidence (0: not found; a hand or face that was found has 1), float32. In "
            "samples two rows more, of the left and the right hand: presence, how surely it is a right hand, 0, 1 "
            "where found. point_rows: first row and one past the last of each part; of the face those of face_kept "
            "alone are used.",
        },
        "clock": {
            "what": "The frames nearest to a constant rate fps make the clip: fps of the file or session; where none "
            "is told (n - 1) / (last time - first time). All frames as they came where a line fitted to their times "
            "by least squares is nowhere farther than even_share of its step from them, and its step times fps is "
            "within rate_share of 1. Else those nearest to first + k / fps, k = 0 … floor((last - first) · fps + "
            "0.5); the earlier one where both are as near, within tie_s.",
            **CLOCK,
        },
        "found": {
            "what": "A point is absent with confidence 0, and where its place is not finite. So is one of which x "
            "and y are both the same of sentinels, if two or more of its part stand there, or no other found point "
            "of its part is within near_share of the picture's larger side in x and in y; a part of which all points "
            "found, collapsed or more, lie on one place; and a point farther outside the picture than outside times "
            "its larger side, unless more than half of all are. Parts: body, kept points of the face, each hand.",
            "sentinels": list(SENTINELS),
            "near_share": NEAR,
            "collapsed": COLLAPSED,
            "outside": OUTSIDE,
        },
        "joints": {
            "what": "Joint j is the point in row joint_points[j]: xy float32, 0 where absent; present. parents: the "
            "joint at which its bone starts. mirror: joint j is joint mirror[j] in a mirror. parts: first joint and "
            "one past the last.",
        },
        "shoulder_width": {
            "what": "The percentile (linear between order statistics), over the frames in which both shoulders are "
            "present, of their distance in pixels.",
            "percentile": WIDTH_PERCENTILE,
        },
    }


def _ghosts(right_known: bool) -> dict[str, Any]:
    arm = ("ELBOW", "WRIST", "PINKY", "INDEX", "THUMB")
    return {
        "what": "A hand that is the other one found twice becomes absent. apart: over points present in both hands, "
        "the mean distance of the two, by the larger spread (root mean square distance from the hand's middle); "
        "infinite without such points or spread. near: apart < copy. astray: the distance of a hand's root from its "
        "arm's wrist, in shoulder widths, unknown where either is absent (or there is no shoulder width: then there "
        "are no ghosts). doubtful: near, astray > doubtful, and astray > times · the other's astray. plain: doubtful "
        "and astray > astray_least. Ghosts are the frames of every run of doubtful frames that has a plain one. "
        "Unknown compares as false.",
        "by_side": {
            "what": "Also, with right: how surely each hand's points are a right hand's, of frames where it was "
            "found. open: near, both told, neither a ghost yet; nothing is done without such a frame. For the left "
            "hand wrong and own are the means over open frames of right of the left and of the right hand; for the "
            "right hand 1 - right of the right and 1 - right of the left. told: wrong ≥ wrong_side and own ≥ "
            "right_side, or the hand is a ghost already in own_frames frames. by_itself: in how many frames it is of "
            "its own side (right > 0.5 of the right hand, 1 - right > 0.5 of the left; not where unknown) and apart "
            "> apart_least. few: the near, told frames are at most few_share of those in which the other is told. "
            "Where told, by_itself < own_frames and few, the hand is a ghost in all open frames. Both hands are "
            "judged by the same, earlier, ghosts.",
        }
        if right_known
        else None,
        "arms": {
            "what": "With by_side: where the wrist of a ghost's arm (its place, whether found or not, 0 where not) "
            "stands no farther than doubtful shoulder widths from the ghost's root, these points of the arm are "
            "absent.",
            "points": {side: [BODY_POINTS.index(f"{side.upper()}_{name}") for name in arm] for side in HAND_SIDES},
        }
        if right_known
        else None,
        **RULES,
    }


def _rules_of_input() -> dict[str, Any]:
    """From joints to the tensors."""
    return {
        "body_frame": {
            "what": "(xy - origin) / unit in float32, 0 where absent. origin: per coordinate the median over frames "
            "with both shoulders of the middle between them; unit: shoulder_width. Without such a frame: origin is "
            "the median of the first of heads that is ever present, without any that of all points present; unit is "
            "palms_per_unit times the palm_percentile of all distances from each hand's root to its middle finger's "
            "first joint (palms) where both are present, without hands half of the larger side of the box around all "
            "points present. All is 0 and absent where unit ≤ least_unit.",
            "heads": [INDEX[name] for name in HEADS],
            "palms": [list(palm) for palm in PALMS],
            "palms_per_unit": PALMS_PER_UNIT,
            "palm_percentile": PALM_PERCENTILE,
            "least_unit": LEAST_UNIT,
        },
        "handedness": {
            "what": "With dominant-right, a clip of which the left hand does more is mirrored: x negated, joints "
            "taken by mirror. A hand's work: the mean over all frames of max(0, resting - y), y of its root where "
            "present, else of its wrist, 0 without both; plus the share of frames with the root. Ties are right.",
            "resting": RESTING_HEIGHT,
        },
        "resample": {
            "what": "To n_frames instants, evenly from the first frame to the last, ends included (nothing is done "
            "where there are as many). Between frames before (floor) and after, share (float32) of the way: present "
            "as in before where share < 0.5, else as in after; where both are present before · (1 - share) + after · "
            "share, else as in the same frame; 0 where absent. float32.",
        },
        "tensors": {
            "what": "pose (1, T, J, 2) is xy, present (1, T, J) 1 or 0, both float32. The network tells frames "
            "without any joint by itself.",
        },
    }


def _rules_of_map() -> dict[str, Any]:
    """From joints to a pose map."""
    return {
        "matrix": {
            "what": "From the pose's pixels to the map's, once for a clip: x' = (x - mx) · k + pose_map_px · across, "
            "y' = (y - my) · k + pose_map_px · height, k = pose_map_px / (shoulders · width), with across, height "
            "and shoulders of square. Over the frames in which both shoulders are present, those with both "
            "confidences ≥ sure if there are any: mx, my the median of the middle between them, width the percentile "
            "of shoulder_width's rule of their distance. A program that paints as poses come fixes it by the frames "
            "that it has so far.",
            "sure": SURE,
        },
        "map": {
            "what": "One picture of bytes a channel, 0 at first. A joint's value is its confidence, at most 1, 0 "
            "where absent. lines: of joints from and to; behind the joints come the middles of the shoulders and of "
            "the hips, whose value is the smaller one's. A line's value is the smaller one of its ends times share. "
            "Face: the lines face_lines between points of the mesh (their numbers there), with their own "
            "confidences; without a face's points the face's joints as dots, twice as wide. Lines are drawn from the "
            "darkest to the brightest (equal ones in the order body and fingers, face), those of value 0 not at all, "
            "in brightness round(255 · value), max(1, round(pose_map_px / width_parts)) px wide (channels from thumb "
            "on: finger; face; else body), anti-aliased, from the map's pixels minus 0.5 (the first pixel's centre "
            "is 0), rounded to 1/16 px. Python draws with OpenCV's line(…, LINE_AA, shift 4); lines overwrite. At "
            "last no channel is brighter than its channel_levels.",
        },
        "tensors": {
            "what": "pose_map (1, L, s, s) float32, bytes / 255, channels first. identity (1,) int32: which of "
            "signers. Of a temporal generator first (1,) float32: 1 for the first frame of a clip, else 0; last (1, "
            "3, S, S): next of the frame before (anything where first is 1). picture (1, 3, S, S) from 0 to 1, RGB; "
            "as bytes round(255 · picture). Its pictures are generated, and whoever shows them says so.",
        },
    }
