"""The square that a generator paints: a signer always as large and always in the same place, told by the shoulders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from signloom.data.skeleton import INDEX, SURE, Joints
from signloom.data.stream import ClipInfo, Stream, Timed
from signloom.errors import InputError, MediaError
from signloom.streams.frames import PRESET, H264Stream
from signloom.streams.holistic.networks import find_network
from signloom.streams.person_mask import PersonMask
from signloom.streams.pose import PoseStream
from signloom.transforms.geometry import scaling, translation, warp_frames
from signloom.transforms.pose_map import CHANNELS, pose_map_of_picture

BACKGROUNDS = {"black": (0, 0, 0), "white": (255, 255, 255)}


@dataclass(frozen=True)
class SignerCrop:
    """A square ``shoulders`` times as wide as the signer's, ``size_px`` a side, the same for a whole clip.

    The middle between the shoulders stands at ``across`` of the square's width (0 is the left) and at ``height`` of its
    height (0 is the top), where head and hands fit. So the same build stands on the same pixels in training and in use.
    What lies outside the picture repeats its edge. ``background`` ``"keep"``s what is behind the signer, or paints it
    ``"black"``, ``"white"`` or in a colour as ``"#00ff00"``, by MediaPipe's selfie segmentation network.
    """

    size_px: int = 512
    shoulders: float = 3.0
    height: float = 0.42
    background: str = "keep"
    across: float = 0.5
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not 32 <= self.size_px <= 4096 or self.size_px % 2:
            raise InputError(f"SignerCrop.size_px: got {self.size_px}, expected an even number from 32 to 4096")
        if not 1 <= self.shoulders <= 20:
            raise InputError(f"SignerCrop.shoulders: got {self.shoulders}, expected 1 to 20 shoulder widths")
        if not 0 <= self.height <= 1:
            raise InputError(f"SignerCrop.height: got {self.height}, expected 0 (top) to 1 (bottom)")
        if not 0 <= self.across <= 1:
            raise InputError(f"SignerCrop.across: got {self.across}, expected 0 (left) to 1 (right)")
        if self.background != "keep":
            _colour(self.background)

    def fingerprint(self) -> dict[str, Any]:
        """What made the crop; ``SignerCrop(**fingerprint["crop"])`` cuts the same way."""
        return {"extractor": "signer-crop", "size_px": self.size_px, "crop": asdict(self), "version": self.version}

    def matrix(self, joints: Joints) -> np.ndarray:
        """The 3×3 matrix from the pixels of ``joints`` to those of the square.

        Raises MediaError(reason="no-shoulders") when both shoulders are never seen together.
        """
        pair = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
        seen = joints.present_TJ[:, pair].all(1)
        if joints.confidence_TJ is not None:
            sure = seen & (joints.confidence_TJ[:, pair] >= SURE).all(1)
            seen = sure if sure.any() else seen
        return self.matrix_of_shoulders(joints.xy_TJC[seen, pair[0]], joints.xy_TJC[seen, pair[1]])

    def matrix_of_shoulders(self, left_TC: np.ndarray, right_TC: np.ndarray) -> np.ndarray:
        """:meth:`matrix` of the shoulders alone, in pixels, each (T, 2), of the frames in which both are seen.

        Position is a median over the clip, so that the signer's own movement stays. Width is near the largest (90th
        percentile): a signer who turns looks narrower and never wider.
        """
        left, right = np.asarray(left_TC, np.float64), np.asarray(right_TC, np.float64)
        width = float(np.percentile(np.linalg.norm(left - right, axis=1), 90)) if len(left) else 0.0
        if not width > 1:
            raise MediaError(
                "both shoulders are never seen together, so there is no telling where the signer stands; leave these "
                "clips out, or prepare them without 'signer' among --streams",
                "no-shoulders",
            )
        x, y = np.median((left + right) / 2, axis=0)
        place = translation(self.size_px * self.across, self.size_px * self.height)
        return place @ scaling(self.size_px / (self.shoulders * width)) @ translation(-x, -y)

    def outside(self, matrix: np.ndarray, width: int, height: int) -> float:
        """The share of the square, cut by ``matrix``, that lies outside a picture of ``width`` × ``height``."""
        x0, y0 = matrix[:2, 2]
        x1, y1 = matrix[:2, :2] @ (width, height) + (x0, y0)
        inside = [max(min(end, self.size_px) - max(start, 0), 0) for start, end in ((x0, x1), (y0, y1))]
        return 1 - inside[0] * inside[1] / self.size_px**2

    def cutter(self, matrix: np.ndarray) -> Cutter:
        """Begin a clip, to cut one frame after the other by ``matrix``."""
        return Cutter(self, matrix)

    def pictures(self, frames: Iterable[np.ndarray], matrix: np.ndarray) -> Iterator[np.ndarray]:
        """Each of ``frames`` (uint8 (H, W, 3) RGB) cut by ``matrix``, uint8 (size_px, size_px, 3), one at a time."""
        cutter = self.cutter(matrix)
        try:
            for frame in frames:
                yield cutter.cut(frame)
        finally:
            cutter.close()


class Cutter:
    """Cuts the frames of one clip, the same way each."""

    def __init__(self, crop: SignerCrop, matrix: np.ndarray):
        self._crop, self._matrix = crop, matrix
        self._masks: PersonMask | None = None
        if crop.background != "keep":
            self._colour = np.array(_colour(crop.background), np.float32)
            self._masks = PersonMask()

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The square of ``frame`` (uint8 (H, W, 3) RGB), uint8 (size_px, size_px, 3)."""
        square = warp_frames(np.asarray(frame)[None], self._matrix, self._crop.size_px)[0]
        if self._masks is None:
            return square
        mask = self._masks.of(square)[..., None]
        return (square * mask + self._colour * (1 - mask)).round().astype(np.uint8)

    def close(self) -> None:
        """Hand the segmentation network back."""
        if self._masks is not None:
            self._masks.close()
            self._masks = None


def warp_drawing(picture_HWC: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """A stick figure through ``matrix`` as (size, size, 3): black outside, and no colour that it did not have."""
    import cv2

    affine = (translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5))[:2]
    return cv2.warpAffine(picture_HWC, affine, (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)


def shoulders_in_drawing(picture_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The signer's left and right shoulder in an OpenPose-coloured stick figure, (x, y) in its pixels; None without.

    ``picture_HWC`` uint8 (H, W, 3) RGB. They are the outer ends of the two lines that meet between them.
    """
    height, width = picture_HWC.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    square[:height, :width] = picture_HWC
    return shoulders_in_pose_map(pose_map_of_picture(square, side))


def shoulders_in_pose_map(pose_map_HWL: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The same from a pose map, uint8 (H, W, L)."""
    lines = []
    for name in ("left_shoulder", "right_shoulder"):
        channel = pose_map_HWL[..., CHANNELS.index(name)]
        y, x = np.nonzero(channel > max(64, channel.max() // 2))
        if len(x) < 8:
            return None
        lines.append(np.stack([x, y], 1) + 0.5)
    left, right = lines
    across = left.mean(0) - right.mean(0)
    along_left, along_right = left @ across, right @ across
    outer_left = left[along_left >= np.quantile(along_left, 0.97)]
    outer_right = right[along_right <= np.quantile(along_right, 0.03)]
    return outer_left.mean(0), outer_right.mean(0)


def _colour(name: str) -> tuple[int, int, int]:
    if name in BACKGROUNDS:
        return BACKGROUNDS[name]
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", name):
        raise InputError(f"background '{name}': expected keep, {', '.join(BACKGROUNDS)} or a colour such as '#00ff00'")
    return int(name[1:3], 16), int(name[3:5], 16), int(name[5:7], 16)


# --- the stream -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignerStream(H264Stream):
    """The signer cut out as :class:`SignerCrop` does, in H.264; for painting, hence finer (``crf``) than frames are.

    ``pairs`` is the fingerprint of pictures that came cut, with stick figures: those are read, never made. Samples are
    uint8 (size_px, size_px, 3) RGB.
    """

    size_px: int = 512
    shoulders: float = 3.0
    height: float = 0.42
    background: str = "keep"
    across: float = 0.5
    crf: int = 12
    keyframe_every: int = 12
    pose: PoseStream = field(default_factory=PoseStream)
    pairs: Mapping[str, Any] = field(default_factory=dict)
    name = "signer"
    extra_fields = ("crop", "crop_outside")

    def __post_init__(self):
        if not self.pairs:
            _ = self.crop

    @classmethod
    def of_fingerprint(cls, made: Mapping[str, Any], others: Mapping[str, Stream]) -> SignerStream:
        """The stream whose fingerprint is ``made``."""
        if "pairs" in made or "pose" not in made:
            return cls(size_px=made.get("size_px", 512), pairs=made)
        return cls(
            **{**made["crop"], **{k: made[k] for k in ("crf", "keyframe_every") if k in made}},
            pose=PoseStream.of_fingerprint(made["pose"], {}),
        )

    @property
    def crop(self) -> SignerCrop:
        """What cuts."""
        return SignerCrop(self.size_px, self.shoulders, self.height, self.background, self.across)

    @property
    def requires(self) -> tuple[str, ...]:
        return () if self.pairs else ("video",)

    @property
    def requires_whole(self) -> tuple[str, ...]:
        return () if self.pairs else ("pose",)

    def fingerprint(self) -> dict[str, Any]:
        if self.pairs:
            return dict(self.pairs)
        return {
            **self.crop.fingerprint(),
            "crf": self.crf,
            "keyframe_every": self.keyframe_every,
            "preset": PRESET,
            "pose": self.pose.fingerprint(),
        }

    def check(self) -> None:
        if not self.pairs and self.background != "keep":
            find_network("person_mask")

    def open(self, info: ClipInfo) -> _Cutting:
        """Raises MediaError(reason="no-shoulders")."""
        if self.pairs:
            raise InputError(
                f"clip '{info.id}': its pictures came cut, with stick figures; they cannot be made of video"
            )
        return _Cutting(self.crop.cutter(self._matrix(info)))

    def extra(self, info: ClipInfo) -> dict[str, Any]:
        """The matrix that cuts, and the share of the square that lies outside the picture."""
        matrix = self._matrix(info)
        outside = self.crop.outside(matrix, *info.complete["pose"].size_px)
        return {"crop": matrix.tolist(), "crop_outside": round(outside, 3)}

    def _matrix(self, info: ClipInfo) -> np.ndarray:
        try:
            return self.crop.matrix(info.complete["pose"])
        except MediaError as error:
            raise MediaError(f"clip '{info.id}': {error}", error.reason) from error


class _Cutting:
    def __init__(self, cutter: Cutter):
        self._cutter = cutter

    def push(self, time_s: float, samples: Mapping[str, np.ndarray]) -> list[Timed]:
        return [Timed(time_s, self._cutter.cut(samples["video"]))]

    def close(self) -> list[Timed]:
        self._cutter.close()
        return []
