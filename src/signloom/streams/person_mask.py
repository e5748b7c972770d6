"""Where the person is in a picture, by the selfie model inside MediaPipe's wheel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from signloom.streams.pose import import_mediapipe

VERSION = 1
"""Part of what names a file that a mask has shaped."""


@contextmanager
def person_masks() -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Give a function from a picture, uint8 (H, W, 3) RGB, to where the person is, float32 (H, W) from 0 to 1.

    The model is loaded when the first mask is asked for. Raises MissingExtraError where MediaPipe is not there.
    """
    held: list = []
    try:
        yield partial(_mask, held)
    finally:
        for model in held:
            model.close()


def _mask(held: list, frame_HWC: np.ndarray) -> np.ndarray:
    if not held:
        held.append(import_mediapipe().solutions.selfie_segmentation.SelfieSegmentation(model_selection=0))
    return np.clip(held[0].process(np.ascontiguousarray(frame_HWC)).segmentation_mask, 0, 1)
