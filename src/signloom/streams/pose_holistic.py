"""Poses by MediaPipe's Holistic networks, run here: the same points, faster, on any Python, with the frames' true
times.

The networks are read from MediaPipe's wheel (:mod:`signloom.streams.holistic.networks`), and the graph around them is
:mod:`signloom.streams.holistic.graph`. MediaPipe itself is :mod:`signloom.streams.pose_mediapipe`.
"""

from __future__ import annotations

import multiprocessing
import os
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from signloom.data.holistic_points import N_FACE, N_POINTS
from signloom.runtime.workers import default_workers
from signloom.streams.estimator import Estimator, check_face
from signloom.streams.holistic.graph import Beside, Found, Hand, HandNetworks, Networks, Tracker
from signloom.streams.holistic.networks import HOLISTIC, find_network, models_hash


@dataclass(frozen=True)
class HolisticPose(Estimator):
    """MediaPipe's Holistic networks: 33 body, 21 + 21 hand and 128 (or 468) face points.

    Points are in pixels of the frames given, z in picture widths; confidence is the network's visibility for the body
    and 1 for a hand or face that was found. What was not found has confidence 0. Every clip begins anew, so that its
    pose depends on its own frames alone. Source: Grishchenko & Bazarevsky 2020.
    """

    face: str = "contours"  # 128 points that outline lips, eyes, brows and oval; "mesh" is all 468
    least_detection: float = 0.5
    least_tracking: float = 0.5
    regain: bool = True  # look twice for a hand or face that is not where it was; MediaPipe does not
    version: ClassVar[int] = 1

    def __post_init__(self):
        check_face(self.face)

    def fingerprint(self) -> dict[str, Any]:
        """Extractor, settings and the networks: the same whichever way these came, and where they are not at all."""
        return {"extractor": "holistic", **asdict(self), "version": self.version, "models": models_hash()}

    def check(self) -> None:
        """Raises as :func:`~signloom.streams.holistic.networks.find_network`."""
        for name in HOLISTIC:
            find_network(name)

    def finder(self) -> HolisticFinder:
        """Begin a clip, to find the points of one frame after the other."""
        return HolisticFinder(self)

    def right_hands(self, points_TPC: np.ndarray) -> np.ndarray | None:
        """As the hand's network says; None for samples that were found elsewhere."""
        if points_TPC.shape[1] != N_POINTS + 2:
            return None
        notes_TSC = points_TPC[:, N_POINTS:]
        return np.where(notes_TSC[..., 3] > 0, notes_TSC[..., 1], np.nan)


class HolisticFinder:
    """Finds the points of one clip's frames. It has networks for itself, which the next clip gets.

    Implements :class:`~signloom.streams.estimator.Finder`. Its notes are a row for the left and one for the right hand:
    how surely it is a hand, how surely a right one, 0, and 1 where it was found.
    """

    def __init__(self, settings: HolisticPose):
        try:
            loaded = _waiting.pop()
        except IndexError:
            loaded = Networks.opened(), HandNetworks.opened() if _has_two_cores() else None
        networks, of_hand = loaded
        # A process that was forked has its parent's networks, and not its thread.
        beside = Beside(of_hand, _other_thread()) if of_hand is not None and _has_two_cores() else None
        self._tracker = Tracker(networks, settings.least_detection, settings.least_tracking, settings.regain, beside)
        self.close: Callable[[], Any] = weakref.finalize(self, _waiting.append, loaded)
        """Hands the networks back."""

    def find(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """The points of ``frame``, uint8 (H, W, 3) RGB, filmed at ``time_s``: float32 (545, 4)."""
        return rows_of(self._tracker.find(frame, time_s))


_waiting: list[tuple[Networks, HandNetworks | None]] = []  # loading them costs more than a few frames


def _has_two_cores() -> bool:
    """Whether this process may take a second core. A worker has one for itself, ours or Ray's, which says so."""
    alone = multiprocessing.parent_process() is None and os.environ.get("OMP_NUM_THREADS") != "1"
    return alone and default_workers() > 1


@cache
def _other_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="left-hand")


def rows_of(found: Found) -> np.ndarray:
    """What was found in a frame as the rows of a sample, float32 (545, 4)."""
    rows = np.zeros((N_POINTS + 2, 4), np.float32)
    if found.body is not None:
        rows[:33] = found.body
    if found.face is not None:
        rows[33 : 33 + N_FACE, :3], rows[33 : 33 + N_FACE, 3] = found.face, 1
    for side, hand in enumerate((found.left, found.right)):
        if hand is not None:
            points = slice(33 + N_FACE + 21 * side, 33 + N_FACE + 21 * (side + 1))
            rows[points, :3], rows[points, 3] = hand.points, 1
            rows[N_POINTS + side] = _note(hand)
    return rows


def _note(hand: Hand) -> tuple[float, float, float, float]:
    return hand.presence, hand.right, 0.0, 1.0
