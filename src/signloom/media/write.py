"""Writing video: H.264 that browsers play, grey planes without loss; whole or not at all, the same bytes each time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from signloom.errors import InputError
from signloom.media.limits import PLAUSIBLE_FPS
from signloom.media.pixels import checked_frame, import_cv2, plain, to_yuv420
from signloom.runtime.atomic import atomic_write

_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_CPU_AVX_512F = 13  # OpenCV's number for the instruction set, which its Python module does not name
_BITEXACT = 0x0400  # AVFMT_FLAG_BITEXACT: no version of the writing library in the file


def exact_rate(fps: float | Fraction) -> Fraction:
    """The frame rate that ``fps`` stands for: 29.97 is 30000/1001. Raises InputError when it is no sensible rate."""
    if not (math.isfinite(fps) and 0 < fps <= PLAUSIBLE_FPS[1]):
        raise InputError(f"fps must be above 0 and at most {PLAUSIBLE_FPS[1]:g}; got {fps}")
    for base in (24, 30, 48, 60, 120):
        if abs(float(fps) * 1001 / 1000 / base - 1) < 2e-4:
            return Fraction(base * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    metadata: Mapping[str, str] | None = None,
    crf: int = 18,
    keyframe_every: int = 12,
    preset: str = "medium",
) -> None:
    """Write uint8 (H, W, 3) RGB frames as an H.264 mp4 (yuv420p, BT.709) that browsers play; the same bytes each time.

    ``frames`` may be an iterator. An odd width or height gets its last column or row repeated, since 4:2:0 pictures
    have even sides. ``metadata`` keys are kept as given; ``preset`` is x264's. The file appears whole or not at all.
    Raises InputError for no frames, frames that differ in shape, or a rate that makes no sense.
    """
    with open_video_writer(path, fps, metadata=metadata, crf=crf, keyframe_every=keyframe_every, preset=preset) as add:
        for frame in frames:
            add(frame)


@contextmanager
def open_video_writer(
    path: str | os.PathLike[str],
    fps: float,
    *,
    metadata: Mapping[str, str] | None = None,
    crf: int = 18,
    keyframe_every: int = 12,
    preset: str = "medium",
) -> Iterator[Callable[[np.ndarray], None]]:
    """:func:`write_video` for frames that come one at a time: gives ``add(frame)``."""
    if not 0 <= crf <= 51 or keyframe_every < 1 or preset not in _PRESETS:
        raise InputError(
            f"crf must be 0–51, keyframe_every at least 1, preset one of {', '.join(_PRESETS)}; "
            f"got {crf}, {keyframe_every} and '{preset}'"
        )
    options = {"crf": str(crf), "preset": preset}

    def new_stream(container, rate: Fraction, shape) -> Any:
        height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        return _new_stream(container, rate, (height, width), "yuv420p", keyframe_every, options)

    with _open_mp4(path, fps, metadata, new_stream) as put:

        def add(frame: np.ndarray) -> None:
            put(frame, (3,), to_yuv420)

        yield add


@contextmanager
def open_lossless_writer(
    path: str | os.PathLike[str], fps: float, *, metadata: Mapping[str, str] | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """Give ``add(samples)`` for uint8 (H, W) planes, kept bit for bit; :func:`read_planes` reads them.

    Grey H.264 without loss and with key frames alone, so that any row is read by decoding that row. The same bytes
    each time; whole or not at all. Errors as in :func:`write_video`.
    """
    options = {"qp": "0", "preset": "veryfast", "coder": "cavlc"}

    def new_stream(container, rate: Fraction, shape) -> Any:
        return _new_stream(container, rate, shape, "gray", 1, options)

    def grey(samples: np.ndarray) -> Any:
        import av

        return av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), format="gray")

    with _open_mp4(path, fps, metadata, new_stream) as put:

        def add(samples: np.ndarray) -> None:
            put(samples, (), grey)

        yield add


@contextmanager
def _open_mp4(path, fps: float, metadata: Mapping[str, str] | None, new_stream) -> Iterator[Callable[..., None]]:
    import av

    rate = exact_rate(fps)
    path = Path(os.path.abspath(path))
    with atomic_write(path) as tmp:
        options = {"movflags": "+faststart+use_metadata_tags"}
        container = av.open(str(tmp), mode="w", format="mp4", options=options)
        with container:
            container.flags |= _BITEXACT
            container.metadata.update({str(k): str(v) for k, v in (metadata or {}).items()})
            stream, shape, number = None, None, 0

            def put(frame: np.ndarray, channels: tuple[int, ...], as_picture: Callable[[np.ndarray], Any]) -> None:
                nonlocal stream, shape, number
                frame = checked_frame(frame, number, channels)
                if stream is None:
                    shape = frame.shape
                    stream = new_stream(container, rate, shape)
                elif frame.shape != shape:
                    raise InputError(f"frame {number} has shape {frame.shape}; frame 0 has {shape}")
                picture = as_picture(frame)
                picture.pts = number
                picture.time_base = 1 / rate
                container.mux(stream.encode(picture))
                number += 1

            yield put
            if stream is None:
                raise InputError(f"no frames to write to '{path}'")
            container.mux(stream.encode(None))


@cache
def _same_each_time() -> dict[str, str]:
    """x264 without its AVX-512 code: with that, the same small clip had other bytes up to one time in six."""
    return {"x264-params": "asm=avx2"} if import_cv2().checkHardwareSupport(_CPU_AVX_512F) else {}


def _new_stream(container, rate: Fraction, size, pix_fmt: str, keyframe_every: int, options: Mapping[str, str]):
    import av

    height, width = size
    # No B-frames: presentation order is decoding order, so every reader sees frame n at n / fps, without edit lists.
    options = {**options, **_same_each_time(), "threads": "1", "bf": "0"}
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
    context = stream.codec_context
    context.time_base = 1 / rate
    context.gop_size = keyframe_every
    context.thread_count = 1
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # limited
    try:
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"frames of {width}x{height} at {rate} fps cannot be encoded: {plain(error)}") from error
    return stream
