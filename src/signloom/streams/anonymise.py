"""What one clip needs to be shared: its faces covered in every frame, or its movement on a body that is nobody's."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom import media
from signloom.data.manifest import Record
from signloom.data.skeleton import Joints, joints_of
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.names import file_name
from signloom.streams.face_finder import VERSION as FINDER_VERSION
from signloom.streams.face_finder import Faces, faces_of
from signloom.streams.face_layout import at_width, face_points
from signloom.streams.face_swap import VERSION as SWAP_VERSION
from signloom.streams.face_swap import SwappedClip, SwapSource, beside_covered
from signloom.streams.footage import Footage
from signloom.streams.holistic.faces import Box, FaceBoxes
from signloom.streams.pose import seen_parts
from signloom.streams.pose_holistic import HolisticPose
from signloom.streams.standard_body import SIZE_PX, pose_of_standard, standard_body
from signloom.synthetic.body import FACE_INDEX, OUTLINES
from signloom.transforms.avatar_face import avatar_of, draw_face
from signloom.transforms.face_cover import GREY, STRENGTHS, hand_pixels, inside, painted
from signloom.transforms.pose_anonymise import PoseAnonymiser, anonymise_joints

LIMITS = media.Limits()
COVERED = (*STRENGTHS, "swap")
"""The methods that hide faces in the footage."""
METHODS = (*COVERED, "skeleton", "pose")
VERSION = 1
CRF = 18
_OUTLINES = {name: tuple(FACE_INDEX[n] for n in numbers) for name, numbers in OUTLINES.items()}


@dataclass(frozen=True)
class Anonymisation:
    """How clips are anonymised.

    ``method``: one of :data:`METHODS`. ``strength`` of blur and pixelation in face widths (None: the method's own).
    ``hands`` "front" leaves hands before the face as filmed, "cover" covers them with it. ``movement`` is what becomes
    of poses, in ``skeleton`` and ``pose``. ``swap`` is the trained face swap of the method of that name. What is drawn
    follows from ``secret`` and the clip's id; who knows the secret can undo it, so it is written nowhere.
    """

    method: str = "avatar"
    strength: float | None = None
    hands: str = "front"
    movement: PoseAnonymiser = field(default_factory=PoseAnonymiser)
    secret: bytes = b""
    swap: SwapSource | None = None

    def __post_init__(self):
        if self.method not in METHODS:
            raise InputError(f"method: got '{self.method}', expected one of {', '.join(METHODS)}")
        if self.hands not in ("front", "cover"):
            raise InputError(f"hands: got '{self.hands}', expected front or cover")
        if self.strength is not None and not 0.02 <= self.strength <= 2:
            raise InputError(f"strength: got {self.strength}, expected .02 to 2 face widths")
        if self.strength is not None and self.method not in ("blur", "pixelate"):
            raise InputError(f"strength goes with blur and pixelate; method '{self.method}' has none")
        if (self.method == "swap") != (self.swap is not None):
            raise InputError(
                "method 'swap' needs a trained face swap: give --model RUN, a run of signloom train --recipe swap"
                if self.swap is None
                else f"a face swap goes with method 'swap', not '{self.method}'"
            )
        if self.method == "swap" and self.hands == "cover":
            raise InputError("hands: a face swap leaves them in front; use --hands front, or another method")

    @property
    def pictured(self) -> bool:
        """Whether it needs footage."""
        return self.method in COVERED

    def as_dict(self) -> dict[str, Any]:
        """What may be told of it: all but the secret."""
        made: dict[str, Any] = {"method": self.method, "version": VERSION, "signloom": signloom.__version__}
        if self.pictured:
            made |= {"hands": self.hands, "finder": FINDER_VERSION}
            if self.swap is not None:
                return {**made, "swap": {**self.swap.about(), "version": SWAP_VERSION}}
            return {**made, **({"strength": self.amount} if self.amount else {})}
        return {**made, "movement": self.movement.as_dict()}

    @property
    def amount(self) -> float:
        """The strength, in face widths; 0 of methods that have none."""
        return STRENGTHS.get(self.method, 0.0) if self.strength is None else self.strength

    @property
    def untold(self) -> tuple[str, ...]:
        """What shapes clips as well and is not to be told: whose face is painted. It goes into hashes, with the
        secret."""
        return () if self.swap is None else (self.swap.target,)

    def rng(self, clip_id: str) -> np.random.Generator:
        digest = hashlib.blake2b(clip_id.encode(), key=hashlib.sha256(self.secret).digest(), digest_size=16).digest()
        return np.random.default_rng(int.from_bytes(digest, "little"))


def anonymise_clip(
    record: Record,
    name: str,
    root: Path,
    out: Path,
    how: Anonymisation,
    limits: media.Limits = LIMITS,
    shared: Path | None = None,
) -> dict[str, Any]:
    """Make the anonymised files of one clip below ``out``, called ``name``; tell what they are: ``streams`` (name →
    path below ``out``), ``n_frames``, ``fps``, ``content``, ``seen``, and ``found``, in how many frames the head's
    place was known which way.

    ``record`` has its paths relative to ``root``. No frame leaves uncovered: where no face was found, it is covered
    where the head must be. Raises MediaError (reason "no-face") where nothing in the clip tells where that is, and for
    what cannot be read; MissingStreamError where it has no footage, or no pose, and the method needs one.
    """
    if multiprocessing.parent_process() is not None:
        media.import_cv2().setNumThreads(1)  # there is a worker for every core
    return (
        _covered(record, name, root, out, how, limits, shared)
        if how.pictured
        else _moved(record, name, root, out, how, limits)
    )


def _path(stream: str, name: str, mark: str) -> str:
    return f"{stream}/{file_name(name)}-{mark}{'.pose' if stream == 'pose' else '.mp4'}"


def _moved(
    record: Record, name: str, root: Path, out: Path, how: Anonymisation, limits: media.Limits
) -> dict[str, Any]:
    """Its movement on the standard body: as a pose, and drawn."""
    if "pose" not in record.streams:
        have = ", ".join(sorted(record.streams)) or "none"
        raise MissingStreamError(
            f"clip '{record.id}': method '{how.method}' needs stream 'pose'; it has {have}. Run: signloom prepare … "
            "--streams pose"
        )
    file = root / record.streams["pose"]
    joints = joints_of(media.read_pose(file, limits))
    try:
        moved = anonymise_joints(joints, standard_body(), how.movement, how.rng(record.id))
    except InputError as error:
        raise MediaError(f"clip '{record.id}': {error}", "no-signer") from error
    pose = pose_of_standard(moved)
    mark = fingerprint_hash(media.content_hash(file), how.as_dict(), record.id, how.secret.hex())
    paths = {"pose": _path("pose", name, mark)}
    media.write_pose(out / paths["pose"], pose)
    standard = joints_of(pose)
    if how.method == "skeleton":
        paths["video"] = _path("video", name, mark)
        with media.open_video_writer(out / paths["video"], moved.fps, metadata=_metadata(how), crf=CRF) as add:
            for t in range(len(standard)):
                add(_skeleton(standard, t))
    return _told(out, paths, len(standard), moved.fps, {"seen": seen_parts(standard)})


def _told(out: Path, paths: dict[str, str], n_frames: int, fps: float, more: dict[str, Any]) -> dict[str, Any]:
    first = next(paths[s] for s in ("video", "pose") if s in paths)
    content = media.content_hash(out / first)
    return {"streams": paths, "n_frames": n_frames, "fps": fps, "content": content, **more}


def _metadata(how: Anonymisation) -> dict[str, str]:
    what = {
        "mask": "faces are masked",
        "blur": "faces are blurred",
        "pixelate": "faces are pixelated",
        "avatar": "the face is drawn",
        "swap": "the face is swapped for a generated one",
        "skeleton": "drawn from an anonymised pose",
    }[how.method]
    return {
        "comment": f"anonymised by signloom, not as filmed: {what}; the sound is removed",
        "signloom_anonymised": json.dumps(how.as_dict(), sort_keys=True),
    }


# --- pictures -----------------------------------------------------------------------------------------------------


def _covered(
    record: Record,
    name: str,
    root: Path,
    out: Path,
    how: Anonymisation,
    limits: media.Limits,
    shared: Path | None,
) -> dict[str, Any]:
    stream = next((s for s in ("video", "frames") if s in record.streams), None)
    if stream is None:
        have = ", ".join(sorted(record.streams)) or "none"
        raise MissingStreamError(
            f"clip '{record.id}': method '{how.method}' needs its 'video' or 'frames'; it has {have}"
        )
    footage = Footage(record, root, stream, limits, shared)
    cut = (record.first_frame, record.end_frame, record.start_s, record.end_s, record.box_px)
    pose_file = root / record.streams["pose"] if "pose" in record.streams else None
    used = "" if pose_file is None else media.content_hash(pose_file)
    mark = fingerprint_hash(footage.content, stream, cut, used, how.as_dict(), record.id, how.secret.hex(), *how.untold)
    paths = {"video": _path("video", name, mark)}
    faces, points = faces_and_points(record, footage, pose_file, limits)
    fps = footage.facts.fps
    if not (out / paths["video"]).exists():
        painter = _Painter(faces, points, how, footage.facts.size_px, fps)
        n = 0
        with media.open_video_writer(out / paths["video"], fps, metadata=_metadata(how), crf=CRF) as add:
            for n, frame in enumerate(footage.frames(), 1):
                add(painter(n - 1, frame))
            if n != len(faces.heads):
                raise MediaError(f"clip '{record.id}': {n} of {len(faces.heads)} frames were there", "truncated")
    found = faces.count()
    if how.swap is not None:
        found["swapped"] = sum(_swapping(faces, points, how.swap, footage.facts.size_px, fps).usable)
    return _told(out, paths, len(faces.heads), fps, {"found": found})


def faces_in(record: Record, footage: Footage, pose_file: Path | None, limits: media.Limits) -> Faces:
    """:func:`faces_and_points` without the points."""
    return faces_and_points(record, footage, pose_file, limits)[0]


def faces_and_points(
    record: Record, footage: Footage, pose_file: Path | None, limits: media.Limits
) -> tuple[Faces, list[np.ndarray | None]]:
    """Where faces are in each frame, the signer's from the pose that the corpus has, else from one found now; and all
    points of the signer's face in each frame, in pixels, where they were found.

    Raises MediaError where nothing in the clip tells."""
    wide, _ = footage.facts.size_px
    fps = footage.facts.fps
    boxes: list[list[Box]] = []
    find = FaceBoxes().find
    if pose_file is not None:
        boxes = [find(frame) for frame in footage.frames()]
        joints = at_width(joints_of(media.read_pose(pose_file, limits)), wide)
    else:

        def looked_at() -> Iterator[np.ndarray]:
            for frame in footage.frames():
                boxes.append(find(frame))
                yield frame

        joints = joints_of(HolisticPose().extract(looked_at(), fps))
    if len(joints) != len(boxes):
        raise MediaError(
            f"clip '{record.id}': its pose has {len(joints)} frames, its footage {len(boxes)}", "bad-header"
        )
    faces = faces_of(joints, boxes)
    if faces is None:
        raise MediaError(
            f"clip '{record.id}': no face and no body was found in any of {len(boxes)} frames, so nothing tells where "
            "the head must be; it is left out rather than left as it is. Cut it, or use --method pose",
            "no-face",
        )
    # What was taken for somebody else's face, far from the body, is none of the signer's.
    points = [p if own is not None else None for p, own in zip(face_points(joints), faces.points)]
    return faces, points


def _swapping(
    faces: Faces, points: Sequence[np.ndarray | None], swap: SwapSource, size_px: tuple[int, int], fps: float
) -> SwappedClip:
    return SwappedClip.of(points, faces.hands, swap.painter(), size_px, fps)


class _Painter:
    """Hides the faces of one frame after the other."""

    def __init__(
        self,
        faces: Faces,
        points: Sequence[np.ndarray | None],
        how: Anonymisation,
        size_px: tuple[int, int],
        fps: float,
    ):
        self.faces, self.how, self.size_px = faces, how, size_px
        self.avatar = avatar_of(faces.points, standard_body(), fps) if how.method == "avatar" else None
        self.swap = None if how.swap is None else _swapping(faces, points, how.swap, size_px, fps)

    def __call__(self, t: int, frame: np.ndarray) -> np.ndarray:
        head, others = self.faces.heads[t], self.faces.others[t]
        new = self.swap(t, frame) if self.swap is not None else None
        if new is not None:
            assert self.swap is not None
            out = painted(beside_covered(new, self.swap.layout, t, self.faces.beside[t]), others, "mask", 0.0)
        else:  # a head whose face cannot be swapped is masked
            method = "mask" if self.how.method == "swap" else self.how.method
            out = painted(frame, (head, *others), method, self.how.amount)
        if self.avatar is not None and self.avatar.here_T[t]:
            drawn = out.copy()
            draw_face(drawn, self.avatar.points_TP2[t], _OUTLINES)
            here = inside([head], self.size_px) > 0
            out[here] = drawn[here]
        if self.how.hands == "front" and self.faces.hands[t]:
            front = hand_pixels(self.faces.hands[t], self.size_px) > 0
            out[front] = frame[front]
        return out


# --- skeletons ----------------------------------------------------------------------------------------------------

_LIMBS = (
    (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12),
)  # fmt: skip
_LINES = {"left": (90, 220, 120), "right": (90, 170, 255)}


def _skeleton(joints: Joints, t: int) -> np.ndarray:
    """The pose of one frame, drawn on grey."""
    cv2 = media.import_cv2()
    picture = np.full((SIZE_PX[1], SIZE_PX[0], 3), 236, np.uint8)
    xy, here = joints.xy_TJC[t], joints.present_TJ[t]

    def line(a: int, b: int, colour: tuple[int, int, int], thick: int) -> None:
        if here[a] and here[b]:
            ends = np.round(np.clip(xy[[a, b]], -(2**11), 2**11) * 16).astype(int).tolist()
            cv2.line(picture, ends[0], ends[1], colour, thick, cv2.LINE_AA, 4)

    for a, b in _LIMBS:
        line(a, b, GREY, 8)
    lines = joints.lines_TN2C
    if lines is not None and lines.shape[1] and here[55:].any():
        for (x0, y0, s0), (x1, y1, s1) in lines[t]:
            if s0 > 0 and s1 > 0:
                ends = np.round(np.array([[x0, y0], [x1, y1]]) * 16).astype(int).tolist()
                cv2.line(picture, ends[0], ends[1], (90, 60, 50), 1, cv2.LINE_AA, 4)
    for start, side in ((13, "left"), (34, "right")):
        for k in range(1, 21):
            above = 0 if k % 4 == 1 else k - 1
            line(start + above, start + k, _LINES[side], 3)
    return picture
