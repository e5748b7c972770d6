"""From stored frames, flow or depth to what a video recogniser sees; the same in training, evaluation and live."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom.data.rates import times_as_fast
from signloom.errors import InputError
from signloom.media.flow_files import flow_of_codes
from signloom.transforms.geometry import about_centre, fit_shorter_side, scaling, translation, warp_flow, warp_frames
from signloom.transforms.hand_crops import (
    HAND_SHARE,
    LOCATED_MIRROR,
    cut_hands,
    hand_centres,
    located,
    shoulder_share,
)
from signloom.transforms.video_augment import Draw

if TYPE_CHECKING:
    from signloom.data.corpus import ClipRef
    from signloom.data.reader import Reader

CHANNELS = {"frames": 3, "flow": 2, "depth": 1}
"""Channels of the streams of pictures."""
HANDEDNESS = ("as-filmed", "dominant-right")
TIME_CROPS = ((0.0, 1.0), (0.06, 1.0), (0.0, 0.94), (0.06, 0.94))
"""The (start, stop) shares of a clip that vote in use, the whole clip first."""
SAMPLINGS = ("uniform", "window")
PER = ("frame", "second")


@dataclass(frozen=True)
class VideoInput:
    """``n_frames`` of a clip, scaled to a shorter side of ``resize_px`` and cut to the central ``size_px`` square.

    ``sampling="uniform"`` takes frame ``int(i·N/T)`` for i in 0 … T-1, so that any clip is seen whole. "window" takes T
    frames in a row: from anywhere in training, from the middle in use; a clip that is too short repeats its last frame.
    Values are in [-1, 1]: RGB (or depth) / 127.5 - 1, and flow / ``flow_limit_px`` at the size of the network's input.
    ``handedness="dominant-right"`` mirrors clips in which more moves on the signer's left (:func:`left_moves_more`), so
    that left-handed signers look like right-handed ones, in training and in use alike; "as-filmed" leaves them. Where
    ``mirror_votes`` is set, a clip and its mirror image vote in use; with ``time_votes`` also
    the clip cut a little at either end (:data:`TIME_CROPS`), since where a sign begins and ends in a clip is chance.

    Flow, and the frames of a window, are measured from frame to frame. ``per="second"`` brings them to the rate
    ``train_fps`` of the clips that the network learnt from, which training fills in: at twice that rate flow counts
    double, and a window takes every second frame. ``per="frame"`` leaves them as they are, as published recipes do.

    With ``hands_px``, both hands are cut out by the pose and stand enlarged beside the picture, the dominant one above
    (:mod:`signloom.transforms.hand_crops`); it is half of ``size_px``, and needs stream "pose" in use as well.
    """

    n_frames: int = 16
    size_px: int = 112
    resize_px: int = 120
    sampling: str = "uniform"
    flow_limit_px: float = 20.0
    hands_px: int = 0
    handedness: str = "dominant-right"
    mirror_votes: bool = False
    time_votes: bool = True
    per: str = "frame"
    train_fps: float | None = None
    version: ClassVar[int] = 1
    keeps_clips: ClassVar[bool] = False

    def __post_init__(self):
        if self.n_frames < 1 or self.size_px < 16 or self.resize_px < 16:
            raise InputError(
                f"VideoInput: got n_frames {self.n_frames}, size_px {self.size_px}, resize_px {self.resize_px}; "
                "expected at least 1, 16 and 16"
            )
        if self.hands_px and self.hands_px * 2 != self.size_px:
            raise InputError(f"VideoInput.hands_px: got {self.hands_px}, expected 0 or half of size_px {self.size_px}")
        if self.hands_px and self.mirror_votes:
            raise InputError(
                "VideoInput: hands beside the picture cannot be mirrored as a whole; leave out mirror_votes"
            )
        for name, known in (("sampling", SAMPLINGS), ("handedness", HANDEDNESS), ("per", PER)):
            if getattr(self, name) not in known:
                raise InputError(f"VideoInput.{name}: got {getattr(self, name)!r}, expected one of {known}")
        if self.train_fps is not None and not (math.isfinite(self.train_fps) and self.train_fps > 0):
            raise InputError(f"VideoInput.train_fps: got {self.train_fps}, expected frames per second, above 0")

    def model_fields(self, streams: tuple[str, ...]) -> dict[str, Any]:
        """What a model's config has to know of this input."""
        return {"channels": CHANNELS.get(streams[0], 3)} | ({"regions": self.regions} if self.hands_px else {})

    def counted(self, streams: tuple[str, ...]) -> str:
        """What of a clip's ``streams`` is measured from frame to frame, in words; "" where nothing is."""
        window = f"a window of {self.n_frames} frames" if self.sampling == "window" else ""
        return " and ".join(part for part in ("optical flow" if "flow" in streams else "", window) if part)

    def pace(self, clip: ClipRef, streams: tuple[str, ...]) -> float:
        """How many frames of ``clip`` make one of the clips that the network learnt from; 1 where that is to be so."""
        if self.per == "frame" or self.train_fps is None or not self.counted(streams):
            return 1.0
        return times_as_fast(clip.fps, self.train_fps)

    def of_clip(
        self,
        clip: ClipRef,
        read: Reader,
        streams: tuple[str, ...],
        *,
        draw: Draw | None = None,
        crop: tuple[float, float] = (0.0, 1.0),
        mirror: bool | None = None,
    ) -> dict[str, np.ndarray]:
        """What a model sees of a clip, by stream: ``frames`` (3, T, H, W), ``flow`` (2, …), ``depth`` (1, …).

        With stream ``pose`` also the places of the joints ``LOCATED`` in it, ``pose`` (T, J, 2) from -1 to 1, with
        ``present`` (T, J). Changed as ``draw`` says; without one, its part ``crop``. ``mirror`` None decides by itself
        whether the clip is mirrored (:meth:`mirrored`).
        """
        pace = self.pace(clip, streams)
        rows = self.rows(clip.n_frames, draw, crop, pace)
        mirror = self.mirrored(clip, read, streams) if mirror is None else mirror
        seen_TJ3 = None
        if "pose" in streams:  # first: hands are cut out of the pictures by it
            joints = read(clip, "pose")
            seen_TJ3 = located(joints, *joints.size_px)[rows]
        made: dict[str, np.ndarray] = {}
        size: tuple[int, ...] = (1, 1)
        for stream in streams:
            if stream == "pose":
                continue
            picked = read(clip, stream, rows)
            size = picked.shape[1:3]
            if stream == "flow":
                limit_px = read.streams[stream].fingerprint().get("limit_px", 20.0)
                made[stream] = self.flow(flow_of_codes(picked, limit_px * pace), draw, mirror=mirror)
            else:
                made[stream] = self.frames(picked, draw, mirror=mirror, seen_TJ3=seen_TJ3)
        if seen_TJ3 is not None:
            height, width = size
            made["pose"], made["present"] = self.joints(seen_TJ3, width, height, LOCATED_MIRROR, draw, mirror=mirror)
        return made

    def mirrored(self, clip: ClipRef, read: Reader, streams: tuple[str, ...]) -> bool:
        """Whether a clip is mirrored so that the dominant hand is the right one; from its whole first stream."""
        if self.handedness != "dominant-right":
            return False
        return left_moves_more(read(clip, next(s for s in streams if s != "pose"), np.arange(clip.n_frames)))

    def rows(
        self,
        n_stored: int,
        draw: Draw | None = None,
        crop: tuple[float, float] = (0.0, 1.0),
        pace: float = 1.0,
    ) -> np.ndarray:
        """Which of ``n_stored`` frames are seen, ``n_frames`` ascending indices.

        In use, without a ``draw``, those of the part of the clip between the shares ``crop`` (uniform sampling only).
        A window takes a frame every ``pace`` frames.
        """
        if n_stored < 1:
            raise InputError("the clip has no frame")
        i = np.arange(self.n_frames)
        if self.sampling == "window":
            taken = (i * pace + 1e-6).astype(int)
            spare = max(0, n_stored - 1 - int(taken[-1]))
            start = spare // 2 if draw is None else round(draw.when * spare)
            return np.minimum(start + taken, n_stored - 1)
        if draw is None and crop == (0.0, 1.0):
            return i * n_stored // self.n_frames
        if draw is None:
            begins, ends = crop
            # Whole numbers of frames are meant even where a product of fractions falls just short of one.
            return ((begins + i / self.n_frames * (ends - begins)) * n_stored + 1e-6).astype(int)
        return np.clip((draw.instants(self.n_frames) * n_stored).astype(int), 0, n_stored - 1)

    @property
    def regions(self) -> tuple[tuple[float, float, float, float], ...]:
        """Where the parts of the network's input stand, as shares (left, top, right, bottom): signer, hand, hand."""
        if not self.hands_px:
            return ((0.0, 0.0, 1.0, 1.0),)
        edge = self.size_px / (self.size_px + self.hands_px)
        return ((0.0, 0.0, edge, 1.0), (edge, 0.0, 1.0, 0.5), (edge, 0.5, 1.0, 1.0))

    def frames(
        self,
        picked_THWC: np.ndarray,
        draw: Draw | None = None,
        *,
        mirror: bool = False,
        seen_TJ3: np.ndarray | None = None,
    ) -> np.ndarray:
        """Float32 (3, T, size, size) from the uint8 frames that :meth:`rows` chose; wider by ``hands_px`` with hands.

        Depth, of one channel, is not changed in colour; what is erased is background there.

        ``seen_TJ3`` are the joints (:func:`~signloom.transforms.hand_crops.located`) of these frames: they tell where
        the hands are.
        """
        matrix = self._matrix(picked_THWC.shape, draw, mirror)
        warped = warp_frames(picked_THWC, matrix, self.size_px)
        if self.hands_px:
            assert seen_TJ3 is not None, "hands are cut out by the pose"
            height, width = picked_THWC.shape[1:3]
            side = HAND_SHARE * shoulder_share(seen_TJ3, width, height)
            change = scaling(-1, 1) if mirror else np.eye(3)
            if draw is not None:
                turn = np.eye(3)
                turn[:2, :2] = draw.linear
                change = translation(draw.shift[0] * self.hands_px, draw.shift[1] * self.hands_px) @ turn @ change
            swap = bool(np.linalg.det(matrix) < 0)
            hands = cut_hands(picked_THWC, hand_centres(seen_TJ3), side, self.hands_px, change, swap=swap)
            warped = np.concatenate([warped, np.concatenate(list(hands), axis=1)], axis=2)
        x = warped.transpose(3, 0, 1, 2).astype(np.float32)
        x *= 1 / 127.5
        x -= 1
        if draw is None:
            return x
        return draw.colour(x) if len(x) == 3 else draw.erased(x, -1.0)

    def flow(self, picked_THW2: np.ndarray, draw: Draw | None = None, *, mirror: bool = False) -> np.ndarray:
        """Float32 (2, T, size, size) from the flow (pixels of the stored frames, per frame) at :meth:`rows`."""
        warped = warp_flow(picked_THW2, self._matrix(picked_THW2.shape, draw, mirror), self.size_px)
        x = np.clip(warped.transpose(3, 0, 1, 2) / self.flow_limit_px, -1, 1)
        return np.ascontiguousarray(x) if draw is None else draw.erased(x, 0.0)

    def joints(
        self,
        seen_TJ3: np.ndarray,
        width: int,
        height: int,
        mirror_J: np.ndarray,
        draw: Draw | None = None,
        *,
        mirror: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where joints stand in what the network sees: (T, J, 2) from -1 to 1, and (T, J) whether they are in sight.

        ``seen_TJ3`` holds x and y as shares of a ``width`` × ``height`` picture, and 1 where the joint was found.
        ``mirror_J`` exchanges left and right, for clips that are mirrored.
        """
        matrix = self._matrix((len(seen_TJ3), height, width), draw, mirror)
        if np.linalg.det(matrix) < 0:
            seen_TJ3 = seen_TJ3[:, mirror_J]
        placed = (seen_TJ3[..., :2] * (width, height)) @ matrix[:2, :2].T + matrix[:2, 2]
        share = placed / self.size_px
        in_sight = (seen_TJ3[..., 2] > 0) & (share > 0).all(-1) & (share < 1).all(-1)
        share[..., 0] *= self.regions[0][2]  # with hands, the signer takes up only part of the width
        return (share * 2 - 1).astype(np.float32), in_sight

    def _matrix(self, shape: tuple[int, ...], draw: Draw | None, mirror: bool) -> np.ndarray:
        height, width = shape[1:3]
        matrix = fit_shorter_side(width, height, self.resize_px, self.size_px)
        if mirror:
            matrix = about_centre(scaling(-1, 1), self.size_px) @ matrix
        return matrix if draw is None else draw.matrix(self.size_px) @ matrix


def left_moves_more(clip_THWC: np.ndarray) -> bool:
    """Whether more moves on the signer's left, the picture's right half, over a whole clip.

    ``clip_THWC`` is uint8: frames (C = 3), depth (C = 1), or flow as stored (C = 2, 128 is no motion). Beside
    :func:`signloom.transforms.pose_input.left_is_busier` it needs no pose; it takes the signer to face the camera in
    the middle of the picture.
    """
    if clip_THWC.shape[3] == 2:
        moved = np.abs(clip_THWC.astype(np.int16) - 128)
    else:
        grey = clip_THWC[..., clip_THWC.shape[3] // 2].astype(np.int16)  # green is most of what is bright
        moved = np.abs(np.diff(grey, axis=0))[..., None]
    across = moved.sum((0, 1, 3), dtype=np.int64)
    half = len(across) // 2
    return bool(across[len(across) - half :].sum() > across[:half].sum())
