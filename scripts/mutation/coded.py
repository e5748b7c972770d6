"""Frames that say which they are: clip and number stand in them as blocks, with a checksum.

So what comes out of a reader can be told frame by frame: the right one, another one, or one too damaged to say.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEIGHT = 192, 128
CLIP_BITS, NUMBER_BITS, CHECK_BITS = 5, 7, 12
COLUMNS, ROWS = 12, 2
DARK, LIGHT = 16, 235
_SURE = 70  # a block's mean must be so near to dark or light, else it says nothing


def _word(clip: int, number: int) -> int:
    check = zlib.crc32(bytes((clip, number))) % (1 << CHECK_BITS)
    return (((clip << NUMBER_BITS) | number) << CHECK_BITS) | check


def coded_frame(clip: int, number: int, *, blue: int = 90) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH, 3): frame ``number`` of ``clip``, in two rows of blocks over a texture and a square."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    frame = np.stack([columns * 255 // WIDTH, rows * 255 // HEIGHT, np.full_like(columns, blue)], -1).astype(np.uint8)
    x = (7 * number + 11 * clip) % (WIDTH - 24)
    frame[84:108, x : x + 24] = (250, 60, 60)
    word, wide, high = _word(clip, number), WIDTH // COLUMNS, HEIGHT // 4
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        value = LIGHT if word >> (COLUMNS * ROWS - 1 - bit) & 1 else DARK
        frame[row * high : (row + 1) * high, column * wide : (column + 1) * wide] = value
    return frame


def read_code(frame: np.ndarray) -> tuple[int, int] | None:
    """(clip, number) that ``frame`` (of any size, upright) says; None where it is damaged."""
    high, wide = frame.shape[0] / 4, frame.shape[1] / COLUMNS
    word = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        block = frame[
            int((row + 0.25) * high) : int((row + 0.75) * high) + 1,
            int((column + 0.3) * wide) : int((column + 0.7) * wide) + 1,
        ]
        mean = float(block.mean())
        if DARK + _SURE < mean < LIGHT - _SURE:
            return None
        word = word * 2 + (mean > 125)
    clip, number = word >> (NUMBER_BITS + CHECK_BITS), word >> CHECK_BITS & ((1 << NUMBER_BITS) - 1)
    return (clip, number) if _word(clip, number) == word else None


def read_turned(frame: np.ndarray) -> tuple[int, int] | None:
    """As :func:`read_code`, of a frame that may be turned or mirrored."""
    for quarter in range(4):
        turned = np.rot90(frame, quarter)
        code = read_code(turned) or read_code(turned[:, ::-1])
        if code is not None:
            return code
    return None


def decoded(path: Path) -> list[np.ndarray]:
    """The frames of a whole video, read by FFmpeg and nothing of signloom's."""
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def encode(
    path: Path,
    frames: Iterable[np.ndarray],
    codec: str,
    *,
    pix_fmt: str = "yuv420p",
    fps: int = 25,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    pts: list[int] | None = None,
    turned: bool = False,
) -> None:
    """Write ``frames`` with FFmpeg; ``pts`` in thousandths of a second, where they are not even.

    ``turned``: stored lying on their side, with a display matrix that sets them upright, as phones do.
    """
    import av

    frames = [np.rot90(frame) if turned else frame for frame in frames]
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"threads": "1", **(options or {})})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = 6
        base = Fraction(1, 1000) if pts else Fraction(1, fps)
        stream.codec_context.time_base = base
        if turned:
            stream.set_display_rotation(-90)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format=pix_fmt)
            picture.pts, picture.time_base = (pts[number] if pts else number), base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
