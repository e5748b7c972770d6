"""Single pictures as RGB arrays: any usual format read, PNG written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from signloom.media.limits import DEFAULT_LIMITS, Limits, fail
from signloom.media.pixels import checked_frame, import_cv2
from signloom.media.read import iter_frames
from signloom.runtime.atomic import atomic_write


def read_picture(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """One picture (PNG, JPEG …, told by its bytes, whatever its name) as uint8 (H, W, 3) RGB. Raises MediaError."""
    if os.path.isdir(path):
        raise fail(path, "directory", "a folder; wanted a picture")
    return next(iter_frames(path, end_frame=1, limits=limits))[1]


def write_picture(path: str | os.PathLike[str], picture_HWC: np.ndarray) -> None:
    """Write a uint8 (H, W, 3) RGB picture as PNG: whole or not at all, the same bytes each time."""
    picture = checked_frame(picture_HWC, 0)
    done, data = import_cv2().imencode(".png", picture[..., ::-1])
    assert done
    with atomic_write(Path(path)) as tmp:
        tmp.write_bytes(data.tobytes())
