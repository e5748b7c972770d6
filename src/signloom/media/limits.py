"""What reading a file may cost, the reasons for which it is refused, and the error that says so."""

from __future__ import annotations

import os
from dataclasses import dataclass

from signloom.errors import MediaError

REASONS = (
    "missing",  # no such file, a broken or circular link
    "directory",  # a folder stands where a file was expected
    "permission",  # the file may not be read
    "empty",  # zero bytes
    "not-media",  # text, noise, a playlist, a pipe or device: not a clip
    "no-video",  # media, but without a picture track
    "truncated",  # the container promises more than the file holds
    "no-frames",  # a picture track without (the wanted) frames
    "too-large",  # more bytes or pixels than the limits allow
    "too-long",  # more frames than the limits allow
    "bad-header",  # the header contradicts itself or the file
    "no-rate",  # a sensor's samples, and nothing that says how many a second
    "timeout",  # reading took longer than the limits allow
    "crashed",  # the process that read the file died
    "out-of-memory",  # the process that read the file hit its memory cap
    "decode-error",  # the data is there but damaged
)

DEFAULT_FPS = 25.0
PLAUSIBLE_FPS = (0.5, 1000.0)

SENSOR_SUFFIXES = frozenset({".mat", ".csv", ".tsv", ".txt", ".npy", ".npz"})
"""Of files that are neither video nor ``.pose``: what a sensor measured or, ``.mat``, what a Kinect did."""


@dataclass(frozen=True)
class Limits:
    """What one clip may cost. ``max_seconds`` is wall clock spent reading and decoding, not the clip's duration.
    ``max_samples`` is for sensors, which take more a second than cameras."""

    max_frames: int = 20_000
    max_side_px: int = 8192
    max_seconds: float = 600.0
    max_bytes: int = 4 << 30
    max_decoded_bytes: int = 2 << 30
    max_samples: int = 4_000_000


DEFAULT_LIMITS = Limits()


def other_length(path: str | os.PathLike[str], n: int, n_frames: int) -> MediaError:
    """What is raised for a stored stream of ``n`` frames of a clip that has ``n_frames``."""
    return fail(path, "bad-header", f"it has {n} frames, its clip {n_frames}; delete it and prepare the corpus again")


def fail(path, reason: str, what: str) -> MediaError:
    """The MediaError for the file ``path``: ``reason`` is one of :data:`REASONS`, ``what`` says it in words."""
    return MediaError(f"'{os.fspath(path)}': {what}", reason)
