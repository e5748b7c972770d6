"""Which pixels of a picture are a person: MediaPipe's selfie segmentation network, run here."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from signloom.streams.holistic.crop import crop
from signloom.streams.holistic.networks import Network, open_network
from signloom.streams.holistic.regions import Region


class PersonMask:
    """Masks of people, one picture after the other. It has a network for itself, which the next one gets.

    Raises InputError or MissingExtraError with the way to get the network.
    """

    def __init__(self) -> None:
        network = _waiting.pop() if _waiting else open_network("person_mask")
        self._network = network
        self.close: Callable[[], Any] = weakref.finalize(self, _waiting.append, network)
        """Hands the network back."""

    def of(self, picture: np.ndarray) -> np.ndarray:
        """How surely each pixel of ``picture``, uint8 (H, W, 3) RGB, is a person's: float32 (H, W), from 0 to 1.

        The network sees the whole picture as a square of 256 pixels; its answer is stretched back, linearly.
        """
        from signloom.media import import_cv2

        cv2 = import_cv2()
        height, width = picture.shape[:2]
        whole = Region(width / 2, height / 2, width, height)
        (small,) = self._network(crop(np.ascontiguousarray(picture), whole, self._network.size_px, "zero"))
        return np.clip(cv2.resize(small[..., 0], (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


_waiting: list[Network] = []


def person_mask(picture: np.ndarray) -> np.ndarray:
    """How surely each pixel of one ``picture``, uint8 (H, W, 3) RGB, is a person's: float32 (H, W), from 0 to 1."""
    masks = PersonMask()
    try:
        return masks.of(picture)
    finally:
        masks.close()
