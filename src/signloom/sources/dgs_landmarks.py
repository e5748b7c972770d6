"""Landmark tables of German signs: MediaPipe's early multi-hand tracking written as ``;``-separated text.

What the files hold (30 signs, 1,755 sequences, 82,424 rows; found by measuring them and reading the program that
wrote them, ``DetectionsToCSVCalculator`` of Tachionstrahl/SignLanguageRecognition):

- A folder per sign, a gzipped file per take, a header of 128 names: ``face_x;face_y``, then ``landmark_x_i``,
  ``landmark_y_i``, ``landmark_z_i`` for i = 1 … 42, which are two hands of 21 points in MediaPipe's order.
- **Rows are ragged.** 49,711 rows have 65 values (the face and one hand), 32,713 have 128 (two hands). Nothing is
  padded. A frame without a face or without any hand was not written at all, so rows are consecutive *seen* frames;
  how many are missing between two of them cannot be known.
- **The hands' order is the tracker's, not left and right**: in rows with two hands the first is left of the second in
  51 %. When one hand is lost the other moves to the first place. :func:`hand_sides` decides which is which.
- 492 rows have a first hand of zeros (the tracker's answer when it lost the hand): that hand is missing, as one of -1
  or NaN would be.
- **The face point is the signer's right eye**, key point 0 of MediaPipe's face detection, and not the nose.
- x and y are divided by the picture's width and height. The picture's shape is not recorded; hands keep their
  proportions in every orientation at a width:height of 1.35–1.40 (fitted on flat hands), so 4:3. Points outside the
  picture (x −0.21 … 1.33) are real. z is relative to the wrist, in units of about the width.
- The pictures are not mirrored (a hand on the picture's left has the shape of a right hand in 80 % of rows).
- There are no signer names and no times. Webcam footage; 30 frames/s is assumed, which makes the median take 1.5 s.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.data.pose_points import sentinel_places
from signloom.errors import InputError, MediaError
from signloom.runtime.text import lines_of
from signloom.sources.listing import unique_ids

if TYPE_CHECKING:
    from pose_format import Pose

SUFFIXES = (".csv.gz", ".csv")
HAND_POINTS = 21
ONE_HAND, TWO_HANDS = 2 + 3 * HAND_POINTS, 2 + 6 * HAND_POINTS
WIDTH_PX, HEIGHT_PX = 640, 480
FPS = 30.0

_WRIST, _THUMB_MCP, _INDEX_MCP, _PINKY_MCP = 0, 2, 5, 17
_KNUCKLES, _TIPS = [5, 9, 13, 17], [8, 12, 16, 20]


def read_dgs_landmarks(root: str | Path) -> Manifest:
    """One record per landmark table below ``root``, labelled by the folder it lies in; stream ``landmarks``.

    Raises InputError when there is no such table.
    """
    root = Path(root)
    files = sorted(p for p in root.rglob("*") if p.name.endswith(SUFFIXES) and not p.name.startswith("."))
    if not files:
        raise InputError(
            f"no landmark table ({', '.join(SUFFIXES)}) below '{root}'; wanted <sign>/<take>.csv.gz at any depth"
        )
    if any(p.parent == root for p in files):
        raise InputError(f"'{root}' holds landmark tables itself; give the folder above, since folders name the signs")
    records = []
    for file in files:
        take = file.name.removesuffix(".gz").removesuffix(".csv")
        records.append(
            Record(
                id=clip_id([*file.parent.relative_to(root).parts, take]),
                label=file.parent.name,
                streams={"landmarks": str(file.relative_to(root))},
                fps=FPS,
            )
        )
    return Manifest(unique_ids(records), root, {"name": "dgs_landmarks", "source": "dgs_landmarks"})


def read_landmarks(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one table as it stands.

    Returns ``face_T2`` and ``hands_T2J3`` (T, 2 slots, 21 points, xyz), both float64 in the file's normalised units,
    NaN where a hand is missing. Raises MediaError (``missing``, ``empty``, ``truncated``, ``bad-header``,
    ``no-frames``, ``decode-error``) naming the file and the line.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"'{path}': there is no such file", "directory" if path.is_dir() else "missing")
    if path.stat().st_size == 0:
        raise MediaError(f"'{path}': the file is empty (0 bytes)", "empty")
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    except EOFError as error:
        raise MediaError(f"'{path}': the gzip data stops in the middle; fetch the file again", "truncated") from error
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        raise MediaError(f"'{path}': not a text table ({error})", "decode-error") from error
    lines = lines_of(text)
    names = lines[0].split(";") if lines else []
    if names[:2] != ["face_x", "face_y"] or len(names) != TWO_HANDS:
        raise MediaError(
            f"'{path}': line 1 has {len(names)} names starting {names[:3]}; wanted {TWO_HANDS}: "
            "face_x;face_y;landmark_x_1;landmark_y_1;landmark_z_1 … landmark_z_42 (the 3D_full variant)",
            "bad-header",
        )
    rows = [(n, line) for n, line in enumerate(lines[1:], start=2) if line.strip()]
    if not rows:
        raise MediaError(f"'{path}': a header and no rows", "no-frames")
    table = np.full((len(rows), TWO_HANDS), np.nan)
    for i, (number, line) in enumerate(rows):
        cells = line.split(";")
        if len(cells) not in (ONE_HAND, TWO_HANDS):
            last = i == len(rows) - 1
            raise MediaError(
                f"'{path}' line {number}: {len(cells)} values; wanted {ONE_HAND} (one hand) or {TWO_HANDS} (two)",
                "truncated" if last else "decode-error",
            )
        try:
            table[i, : len(cells)] = np.array(cells, dtype=float)
        except ValueError as error:
            raise MediaError(f"'{path}' line {number}: {error}", "decode-error") from error
    hands = table[:, 2:].reshape(-1, 2, HAND_POINTS, 3)
    x, y = hands[..., 0], hands[..., 1]
    with_place = np.isfinite(hands).all((2, 3))
    lost = sentinel_places(x, y, np.isfinite(x) & np.isfinite(y), near=0).any(2) | ~with_place
    hands[lost] = np.nan
    return table[:, :2], hands


def hand_sides(face_T2: np.ndarray, hands_T2J3: np.ndarray) -> np.ndarray:
    """Decide for every frame which of the two slots is the signer's right hand.

    Input as :func:`read_landmarks` gives it. Returns bool (T,): True where slot 0 is the right hand (and slot 1, if
    present, the left). Evidence per frame: the hand's chirality (fingers bend and the thumb lies to the palm's side of
    the plane through wrist and outer knuckles, which has a sign for each hand); with two hands, that the right hand is
    further to the picture's left; and weakly that a hand stays on its side of the face. A two-state Viterbi search
    joins the frames: a hand that stays in place keeps its side.

    There is no truth to measure this against; naming hands this way instead of by slot lifts ExtraTrees on 16 resampled
    frames from .855 to .877 (5-fold).
    """
    shape = np.array([WIDTH_PX / HEIGHT_PX, 1.0, WIDTH_PX / HEIGHT_PX])
    hands = hands_T2J3 * shape
    n = len(hands)
    here = ~np.isnan(hands[:, :, 0, 0])  # (T, slot)
    centre = hands[:, :, :, :2].mean(2)  # (T, slot, xy)
    apart = np.where(here.all(1), centre[:, 1, 0] - centre[:, 0, 0], 0.0)
    off_face = np.nan_to_num(centre[:, :, 0] - (face_T2[:, :1] * shape[0] + 0.04))  # the eye is right of the middle
    looks_right = np.nan_to_num(_chirality(hands)) - np.tanh(off_face / 0.2)
    # Log-odds that slot 0 is the right hand.
    evidence = looks_right[:, 0] - looks_right[:, 1] + 4.0 * np.tanh(apart / 0.15)
    score = np.zeros(2)  # states: 0 = slot 0 is the left hand, 1 = slot 0 is the right hand
    back = np.zeros((n, 2), int)
    for t in range(n):
        if t:
            kept = _continuity(centre[t - 1], here[t - 1], centre[t], here[t])
            same, crossed = max(kept, 0.0), max(-kept, 0.0)
            total = score[:, None] + np.array([[same, crossed], [crossed, same]])
            back[t] = total.argmax(0)
            score = total.max(0)
        score = score + np.array([-evidence[t], evidence[t]]) / 2
    states = np.zeros(n, int)
    if n:
        states[-1] = int(score.argmax())
    for t in range(n - 1, 0, -1):
        states[t - 1] = back[t, states[t]]
    return states.astype(bool)


def _chirality(hands_T2J3: np.ndarray) -> np.ndarray:
    """Log-odds (about −1.4 … 1.4) that a hand is a right one, from its shape; NaN for a missing hand."""
    wrist = hands_T2J3[:, :, _WRIST]
    palm = np.cross(hands_T2J3[:, :, _INDEX_MCP] - wrist, hands_T2J3[:, :, _PINKY_MCP] - wrist)
    size = np.linalg.norm(hands_T2J3[:, :, 9] - wrist, axis=-1) + 1e-9
    palm = palm / (np.linalg.norm(palm, axis=-1, keepdims=True) + 1e-9)
    bend = hands_T2J3[:, :, _TIPS].mean(2) - hands_T2J3[:, :, _KNUCKLES].mean(2)
    thumb = hands_T2J3[:, :, _THUMB_MCP] - wrist
    flexed = (palm * bend).sum(-1) / size
    opposed = (palm * thumb).sum(-1) / size
    return 1.4 * np.tanh(2 * (flexed + opposed))


def _continuity(before, here_before, now, here_now) -> float:
    """How strongly the tracker kept its order between two frames; negative when the hands changed slots."""

    def likeness(a: int, b: int) -> float:
        if not (here_before[a] and here_now[b]):
            return 0.0
        return float(np.exp(-np.square(np.linalg.norm(now[b] - before[a]) / 0.12)))

    return 10.0 * (likeness(0, 0) + likeness(1, 1) - likeness(0, 1) - likeness(1, 0))


def landmarks_to_pose(path: str | Path, *, fps: float = FPS) -> Pose:
    """One landmark table as a ``pose_format.Pose`` of one person, in pixels of a 640×480 picture.

    Components, named as MediaPipe Holistic's are: ``POSE_LANDMARKS`` with the single point ``RIGHT_EYE`` (all that the
    files know of the head), ``LEFT_HAND_LANDMARKS`` and ``RIGHT_HAND_LANDMARKS`` with 21 points each. ``body.data`` is
    masked (T, 1, 43, 3); x and y in pixels, z as MediaPipe gives it; confidence 1 where a hand was seen, else 0 and
    masked. ``fps`` is assumed, see the module's notes. Raises MediaError as :func:`read_landmarks` does.
    """
    import numpy.ma as ma
    from pose_format import Pose
    from pose_format.numpy.pose_body import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    face, hands = read_landmarks(path)
    first_is_right = hand_sides(face, hands)
    t = np.arange(len(hands))
    right = hands[t, np.where(first_is_right, 0, 1)]
    left = hands[t, np.where(first_is_right, 1, 0)]
    eye = np.concatenate([face, np.zeros((len(face), 1))], axis=1)[:, None]
    points = np.concatenate([eye, left, right], axis=1) * np.array([WIDTH_PX, HEIGHT_PX, 1.0])
    seen = np.isfinite(points).all(-1)
    data: ma.MaskedArray = ma.masked_array(
        np.nan_to_num(points).astype(np.float32)[:, None], mask=np.repeat(~seen[:, None, :, None], 3, axis=3)
    )

    def component(name: str, names: list[str], limbs: list[tuple[int, int]], colour: tuple[int, int, int]):
        return PoseHeaderComponent(name=name, points=names, limbs=limbs, colors=[colour], point_format="XYZC")

    header = PoseHeader(
        version=0.2,
        dimensions=PoseHeaderDimensions(width=WIDTH_PX, height=HEIGHT_PX, depth=0),
        components=[
            component("POSE_LANDMARKS", ["RIGHT_EYE"], [], (255, 0, 0)),
            component("LEFT_HAND_LANDMARKS", list(HAND_NAMES), HAND_LIMBS, (0, 255, 0)),
            component("RIGHT_HAND_LANDMARKS", list(HAND_NAMES), HAND_LIMBS, (0, 0, 255)),
        ],
    )
    return Pose(header, NumPyPoseBody(fps=fps, data=data, confidence=seen.astype(np.float32)[:, None]))


HAND_NAMES = (
    "WRIST",
    *(f"THUMB_{part}" for part in ("CMC", "MCP", "IP", "TIP")),
    *(f"{finger}_FINGER_{part}" for finger in ("INDEX", "MIDDLE", "RING") for part in ("MCP", "PIP", "DIP", "TIP")),
    *(f"PINKY_{part}" for part in ("MCP", "PIP", "DIP", "TIP")),
)
HAND_LIMBS = [(0 if k % 4 == 1 else k - 1, k) for k in range(1, HAND_POINTS)] + [(5, 9), (9, 13), (13, 17)]
