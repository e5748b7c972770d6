"""Poses by a whole-body network of a user's (RTMW, DWPose), through rtmlib: 133 points, as OpenPose's.

The person is where the points of the frame before were; else where the detector finds one, the largest; else anywhere
in the picture. Source: Jiang et al. 2023 (RTMPose, https://arxiv.org/abs/2303.07399); Yang et al. 2023 (DWPose,
https://arxiv.org/abs/2307.15880); the 133 points: Jin et al. 2020 (COCO-WholeBody, https://arxiv.org/abs/2007.11858).
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom.errors import MissingExtraError
from signloom.streams.estimator import Estimator, check_face
from signloom.streams.foreign_networks import kept_network, kept_networks

if TYPE_CHECKING:
    from pose_format import Pose

_BODY = 25
_FACE = 70
_HAND = 21
N_OPENPOSE = _BODY + _FACE + 2 * _HAND
"""Points of a frame: body, face, left hand, right hand, as OpenPose numbers them."""

# OpenPose's number of each of COCO-WholeBody's first 23 points: body and feet.
_OF_COCO = (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11, 19, 20, 21, 22, 23, 24)
_NECK, _SHOULDERS = 1, (5, 2)
_MIDDLE_HIP, _HIPS = 8, (12, 9)
_LEAST_SURE = 0.3  # rtmlib's own line between points that count and points that do not
_LEAST_POINTS = 5  # of the upper body; with fewer, nobody is there
_UPPER_BODY = slice(0, 11)


@dataclass(frozen=True)
class RtmlibPose(Estimator):
    """A whole-body network, with the boxes of a detector where one is there.

    ``network`` and ``detector`` are the first digits of their sha256; "" takes the only one there (and no detector,
    where there is none). Points are in pixels, z is 0; confidence is the network's, at most 1; a point below .3 was not
    found.
    """

    face: str = "contours"
    least_detection: float = 0.5
    least_tracking: float = 0.5
    network: str = ""
    detector: str = ""
    version: ClassVar[int] = 1

    def __post_init__(self):
        check_face(self.face)

    def fingerprint(self) -> dict[str, Any]:
        """Extractor, settings, the networks' hashes and what points there are."""
        network, detector = self.paths()
        return {
            "extractor": "rtmlib",
            "least_detection": self.least_detection,
            "network": network[0],
            "detector": detector[0] if detector else "none",
            "components": {name: len(points) for name, points in _openpose().items()},
            "version": self.version,
        }

    def paths(self) -> tuple[tuple[str, Path], tuple[str, Path] | None]:
        """Hash and file of the network, and of the detector. Raises InputError where one is not there."""
        network = kept_network("whole-body", self.network)
        detector = None
        if self.detector != "none" and (self.detector or kept_networks("detector")):
            detector = kept_network("detector", self.detector)
        return (network.sha, network.path), None if detector is None else (detector.sha, detector.path)

    def check(self) -> None:
        """Raises MissingExtraError where rtmlib is not installed, InputError as :meth:`paths`."""
        _import_rtmlib()
        self.paths()

    def finder(self) -> RtmlibFinder:
        """Begin a clip."""
        return RtmlibFinder(self)

    def pose_of(self, points_TPC: np.ndarray, size: tuple[int, int], fps: float) -> Pose:
        """What was found in frames of ``size`` (width, height), as a pose of OpenPose's four components."""
        from numpy import ma
        from pose_format import Pose
        from pose_format.numpy import NumPyPoseBody
        from pose_format.pose_header import PoseHeader, PoseHeaderDimensions
        from pose_format.utils.openpose import OpenPose_Components

        data, confidence = points_TPC[:, None, :, :2], points_TPC[:, None, :, 3]
        mask = np.repeat((confidence == 0)[..., None], 2, axis=-1)
        header = PoseHeader(0.2, PoseHeaderDimensions(*size), OpenPose_Components)
        return Pose(header, NumPyPoseBody(fps, ma.array(data, mask=mask), confidence))


class RtmlibFinder:
    """Finds the points of one clip's frames: float32 (137, 4), x, y, 0 and confidence."""

    def __init__(self, settings: RtmlibPose):
        waiting = _waiting[settings, settings.paths()]
        try:
            networks = waiting.pop()
        except IndexError:
            networks = _open(settings)
        self._find, self._detect = networks
        self._box: np.ndarray | None = None
        self.close: Callable[[], Any] = weakref.finalize(self, waiting.append, networks)
        """Hands the networks back."""

    def find(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """The points of ``frame``, uint8 (H, W, 3) RGB."""
        picture = np.ascontiguousarray(frame[..., ::-1])  # rtmlib reads what OpenCV gives
        tried = self._box
        found = self._in(picture, tried) if tried is not None else None
        if found is None:
            found = self._in(picture, self._person(picture))
        if found is None:
            self._box = None
            return np.zeros((N_OPENPOSE, 4), np.float32)
        points, sure = found
        seen = points[sure >= _LEAST_SURE]
        self._box = np.concatenate([seen.min(0), seen.max(0)])
        return rows_of(points, sure)

    def _in(self, picture: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        points, sure = self._find(picture, [box])
        if (sure[0, _UPPER_BODY] >= _LEAST_SURE).sum() < _LEAST_POINTS:
            return None
        return points[0], sure[0]

    def _person(self, picture: np.ndarray) -> np.ndarray:
        whole = np.array([0, 0, picture.shape[1], picture.shape[0]], float)
        if self._detect is None:
            return whole
        boxes = np.asarray(self._detect(picture), float).reshape(-1, 4)
        if not len(boxes):
            return whole
        return boxes[np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))]


def rows_of(points_PC: np.ndarray, sure_P: np.ndarray) -> np.ndarray:
    """COCO-WholeBody's 133 points and how sure each is, as the 137 rows of a sample, float32 (137, 4)."""
    given = np.zeros((len(points_PC), 4), np.float32)
    given[:, :2] = points_PC
    given[:, 3] = np.where(sure_P >= _LEAST_SURE, np.minimum(sure_P, 1), 0)
    rows = np.zeros((N_OPENPOSE, 4), np.float32)
    rows[list(_OF_COCO)] = given[: len(_OF_COCO)]
    for middle, (left, right) in ((_NECK, _SHOULDERS), (_MIDDLE_HIP, _HIPS)):
        if rows[left, 3] and rows[right, 3]:
            rows[middle] = (rows[left] + rows[right]) / 2
    rows[_BODY : _BODY + 68] = given[23:91]  # pupils, OpenPose's last two, are not among them
    rows[_BODY + _FACE :] = given[91:]
    rows[rows[:, 3] == 0] = 0
    return rows


_waiting: dict[Any, list[tuple[Callable[..., Any], Callable[..., Any] | None]]] = defaultdict(
    list
)  # loading one costs more than a clip


def _open(settings: RtmlibPose) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    rtmlib = _import_rtmlib()
    (_, network), detector = settings.paths()
    find = _tool(
        rtmlib.RTMPose, network, to_openpose=False, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
    )
    if detector is None:
        return find, None
    more = {"det_mode": "human", "nms_thr": 0.45, "score_thr": settings.least_detection, "mean": None, "std": None}
    return find, _tool(rtmlib.YOLOX, detector[1], **more)


def _tool(kind: Any, path: Path, **settings: Any) -> Any:
    """rtmlib's ``kind`` on one thread: its own constructor takes all cores, so that figures would depend on them, and
    prints to stdout."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[2:]
    tool = object.__new__(kind)
    size = (width, height) if kind.__name__ == "RTMPose" else (height, width)
    tool.__dict__.update(
        session=session, onnx_model=str(path), model_input_size=size, backend="onnxruntime", device="cpu", **settings
    )
    return tool


def _import_rtmlib() -> Any:
    try:
        import onnxruntime  # noqa: F401
        import rtmlib
    except ImportError as error:
        raise MissingExtraError(
            f"--pose rtmlib needs rtmlib and onnxruntime ({error}). Run: pip install onnxruntime tqdm && pip install "
            "--no-deps rtmlib==0.0.16 (its dependencies would bring a second OpenCV)"
        ) from error
    return rtmlib


def _openpose() -> dict[str, list[str]]:
    from pose_format.utils.openpose import OpenPose_Components

    return {component.name: component.points for component in OpenPose_Components}
