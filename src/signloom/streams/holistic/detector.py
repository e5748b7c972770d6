"""Boxes and points out of a single-shot detector: anchors, decoding, and boxes that overlap made one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Detector:
    """How to read what a detector of one kind of thing says, for a square input ``size_px`` wide.

    ``strides``: of the feature maps; two anchors for each of their cells and each of the maps of one stride. Boxes and
    points are offsets from an anchor's middle, in input pixels. Source: Liu et al. 2016; Bazarevsky et al. 2019.
    """

    size_px: int
    strides: tuple[int, ...]
    n_points: int
    least_overlap: float = 0.3

    @cached_property
    def anchors(self) -> np.ndarray:
        """The middles (x, y) of the anchors, in shares of the input, (N, 2)."""
        rows = []
        for stride in dict.fromkeys(self.strides):
            cells, each = -(-self.size_px // stride), 2 * self.strides.count(stride)
            middles = (np.arange(cells) + 0.5) / cells
            y, x = np.meshgrid(middles, middles, indexing="ij")
            rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), each, axis=0))
        return np.concatenate(rows)

    def best(self, raw_NC: np.ndarray, logits_N: np.ndarray, least_score: float) -> np.ndarray | None:
        """The points (n_points, 2) of what is seen most surely, in shares of the input; None where nothing is.

        ``raw_NC``: x, y, width, height, then the points, for each anchor. Detections that overlap the surest one by
        more than ``least_overlap`` (of their union) are averaged with it, by score.
        """
        scores = 1 / (1 + np.exp(-np.clip(logits_N.astype(np.float64), -100, 100)))
        seen = np.nonzero(scores >= least_score)[0]
        raw, anchors, scores = raw_NC[seen].astype(np.float64) / self.size_px, self.anchors[seen], scores[seen]
        sizes = raw[:, 2:4]
        real = (sizes >= 0).all(1)  # a box may come out inside out
        if not real.any():
            return None
        raw, anchors, scores, sizes = raw[real], anchors[real], scores[real], sizes[real]
        least, most = anchors + raw[:, :2] - sizes / 2, anchors + raw[:, :2] + sizes / 2
        points = raw[:, 4 : 4 + 2 * self.n_points].reshape(len(raw), self.n_points, 2) + anchors[:, None]
        first = int(np.argmax(scores))
        sides = np.clip(np.minimum(most, most[first]) - np.maximum(least, least[first]), 0, None)
        shared = sides.prod(1)
        union = (most - least).prod(1) + (most[first] - least[first]).prod() - shared
        with np.errstate(invalid="ignore", divide="ignore"):
            together = np.where(union > 0, shared / union, 0) > self.least_overlap
        if not together.any():
            return points[first]
        return np.average(points[together], axis=0, weights=scores[together])


BODY_DETECTOR = Detector(224, (8, 16, 32, 32, 32), n_points=4)
FACE_DETECTOR = Detector(128, (8, 16, 16, 16), n_points=6)
