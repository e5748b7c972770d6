"""Where faces are in a whole picture, anybody's: MediaPipe's two face detectors, run here."""

from __future__ import annotations

import numpy as np

from signloom.streams.holistic.crop import crop
from signloom.streams.holistic.detector import FACE_DETECTOR, FAR_FACE_DETECTOR
from signloom.streams.holistic.networks import open_network
from signloom.streams.holistic.regions import whole_picture

NETWORKS_OF_FACES = ("face_detection", "far_face_detection")
Box = tuple[float, float, float, float]


class FaceBoxes:
    """Finds all faces in pictures, with the detector for near and the one for far ones.

    Raises InputError or MissingExtraError with the way to get the networks.
    """

    def __init__(self, least_score: float = 0.5):
        self._least_score = least_score
        networks = map(open_network, NETWORKS_OF_FACES)
        self._detectors = tuple(zip(networks, (FACE_DETECTOR, FAR_FACE_DETECTOR)))

    def find(self, frame: np.ndarray) -> list[Box]:
        """The boxes (x0, y0, x1, y1), in pixels, of the faces in ``frame``, uint8 (H, W, 3) RGB; one seen by both
        detectors comes twice."""
        frame = np.ascontiguousarray(frame)
        region = whole_picture(frame.shape[1], frame.shape[0])
        found: list[Box] = []
        for network, detector in self._detectors:
            raw, logits = network(crop(frame, region, network.size_px, "zero"), 2 / 255, -1.0)
            for one in detector.all(raw, logits[:, 0], self._least_score):
                (x0, y0), (x1, y1) = region.place(one.box.reshape(2, 2)).tolist()
                found.append((x0, y0, x1, y1))
        return found
