"""Boxes and points out of a single-shot detector: anchors, decoding, and boxes that overlap made one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np


class Detected(NamedTuple):
    """One thing that was seen: its ``box`` (x0, y0, x1, y1) and ``points`` (n_points, 2) in shares of the input."""

    box: np.ndarray
    points: np.ndarray
    score: float


@dataclass(frozen=True)
class Detector:
    """How to read what a detector of one kind of thing says, for a square input ``size_px`` wide.

    ``strides``: of the feature maps; ``per_cell`` anchors for each of their cells and each of the maps of one stride.
    Boxes and points are offsets from an anchor's middle, in input pixels. Source: Liu et al. 2016; Bazarevsky et al.
    2019.
    """

    size_px: int
    strides: tuple[int, ...]
    n_points: int
    per_cell: int = 2
    least_overlap: float = 0.3

    @cached_property
    def anchors(self) -> np.ndarray:
        """The middles (x, y) of the anchors, in shares of the input, (N, 2)."""
        rows = []
        for stride in dict.fromkeys(self.strides):
            cells, each = -(-self.size_px // stride), self.per_cell * self.strides.count(stride)
            middles = (np.arange(cells) + 0.5) / cells
            y, x = np.meshgrid(middles, middles, indexing="ij")
            rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), each, axis=0))
        return np.concatenate(rows)

    def best(self, raw_NC: np.ndarray, logits_N: np.ndarray, least_score: float) -> np.ndarray | None:
        """The points (n_points, 2) of what is seen most surely, in shares of the input; None where nothing is."""
        found = next(self.all(raw_NC, logits_N, least_score), None)
        return None if found is None else found.points

    def all(self, raw_NC: np.ndarray, logits_N: np.ndarray, least_score: float) -> Iterator[Detected]:
        """All that is seen, the surest first.

        ``raw_NC``: x, y, width, height, then the points, for each anchor. Detections that overlap the surest one by
        more than ``least_overlap`` (of their union) are averaged with it, by score; so on with those that are left.
        """
        scores = 1 / (1 + np.exp(-np.clip(logits_N.astype(np.float64), -100, 100)))
        seen = np.nonzero(scores >= least_score)[0]
        raw, anchors, scores = raw_NC[seen].astype(np.float64) / self.size_px, self.anchors[seen], scores[seen]
        sizes = raw[:, 2:4]
        real = (sizes >= 0).all(1)  # a box may come out inside out
        raw, anchors, scores, sizes = raw[real], anchors[real], scores[real], sizes[real]
        boxes = np.concatenate([anchors + raw[:, :2] - sizes / 2, anchors + raw[:, :2] + sizes / 2], 1)
        points = raw[:, 4 : 4 + 2 * self.n_points].reshape(len(raw), self.n_points, 2) + anchors[:, None]
        while len(scores):
            first = int(np.argmax(scores))
            together = _overlap(boxes, boxes[first]) > self.least_overlap
            if together.any():
                weights = scores[together]
                yield Detected(
                    np.average(boxes[together], axis=0, weights=weights),
                    np.average(points[together], axis=0, weights=weights),
                    float(scores[first]),
                )
            else:  # a box without area overlaps nothing, not even itself
                together[first] = True
                yield Detected(boxes[first], points[first], float(scores[first]))
            boxes, points, scores = boxes[~together], points[~together], scores[~together]


def _overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The share of each union of ``boxes`` (N, 4) and ``box`` that both cover."""
    sides = np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None)
    shared = sides.prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - shared
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(union > 0, shared / union, 0)


BODY_DETECTOR = Detector(224, (8, 16, 32, 32, 32), n_points=4)
FACE_DETECTOR = Detector(128, (8, 16, 16, 16), n_points=6)
FAR_FACE_DETECTOR = Detector(192, (4,), n_points=6, per_cell=1)
