"""Which frames a video file has, and where decoding may begin: found by walking through its packets, decoding none.

A range deep inside a recording then costs what it is long, not what lies before it. Only what is certain is used: the
walk gives nothing for files whose packets do not say which frames come of them, and a key frame counts only where the
standard promises the same pictures as decoding from the file's start.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from signloom.media.clip import LONGEST_GAP_S, Clip, Key, open_clip, plausible_rate
from signloom.media.limits import Limits

_REMEMBERED = 8  # files; that of a recording of two hours takes a few MB


@dataclass(frozen=True)
class Index:
    """``stamps``: when each frame is shown, in the track's units, in the order in which they are; ``keys``: the frames
    that decoding may begin at."""

    stamps: tuple[int, ...]
    keys: tuple[Key, ...]
    _numbers: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", tuple(key.number for key in self.keys))

    def key_before(self, number: int) -> Key | None:
        """The last key at or before the frame ``number``."""
        place = bisect_right(self._numbers, number)
        return self.keys[place - 1] if place else None

    def as_json(self) -> dict[str, Any]:
        return {"stamps": self.stamps, "keys": self.keys}

    @staticmethod
    def of_json(content: dict[str, Any]) -> Index:
        return Index(tuple(content["stamps"]), tuple(Key(*key) for key in content["keys"]))


def index_of(path: str | os.PathLike[str], limits: Limits) -> Index | None:
    """The index of a video file; None where its packets do not settle it. Remembered for the files used last.

    Raises MediaError for a file that cannot be opened, and ``timeout``.
    """
    key = _identity(path)
    if key not in _known:
        remember_index(path, read_index(path, limits))
    _known.move_to_end(key)
    return _known[key]


def remember_index(path: str | os.PathLike[str], index: Index | None) -> None:
    """Tell :func:`index_of` what :func:`read_index` gave for ``path`` in another process."""
    _known[_identity(path)] = index
    while len(_known) > _REMEMBERED:
        _known.popitem(last=False)


_known: OrderedDict[tuple[str, int, int], Index | None] = OrderedDict()


def _identity(path: str | os.PathLike[str]) -> tuple[str, int, int]:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return os.fspath(path), -1, -1  # opening it says what is wrong
    return os.fspath(path), info.st_size, info.st_mtime_ns


def read_index(path: str | os.PathLike[str], limits: Limits) -> Index | None:
    """As :func:`index_of`, by walking through the file."""
    with open_clip(path, limits, part=True) as clip:
        # AVI stores no times of presentation; a file that was cut off does not hold all that it should.
        if clip.ends_early or clip.container.format.name == "avi":
            return None
        codec = _CODECS.get(clip.stream.codec_context.codec.canonical_name)
        found = None if codec is None else _walk(clip, codec)
        if found is None:
            return None
        stamps, keys = found
        return _checked(clip, stamps, keys)


def _walk(clip: Clip, codec: _Codec) -> tuple[list[int], list[tuple[int, int | None]]] | None:
    """When the frames are shown, and (stamp, decoding time) of the keys, in the order of the file."""
    length_bytes = _nal_length_bytes(clip)
    stamps: list[int] = []
    keys: list[tuple[int, int | None]] = []
    first: int | None = None
    for packet in clip.container.demux(clip.stream):
        if clip.watch.over:
            raise clip.fail("timeout", f"not read within {clip.limits.max_seconds:g} s")
        if not packet.size:
            continue
        if packet.is_corrupt or packet.pts is None:
            return None
        data = memoryview(packet)  # type: ignore[arg-type]
        begins = packet.is_keyframe and codec.begins(data, length_bytes)
        if first is None:
            if not begins:
                return None
            first = packet.pts
        if packet.pts < first:
            return None  # what is shown before the first key frame may not decode
        if packet.is_discard or not codec.shown(data):
            continue
        stamps.append(packet.pts)
        if begins:
            keys.append((packet.pts, packet.dts))
    return stamps, keys


def _checked(clip: Clip, stamps: list[int], keys: list[tuple[int, int | None]]) -> Index | None:
    stamps = sorted(stamps)
    if not stamps or (clip.indexed and len(stamps) != clip.promised_frames):
        return None
    base = clip.stream.time_base
    longest = LONGEST_GAP_S / base
    if any(not 0 < after - before < longest for before, after in pairwise(stamps)):
        return None  # a broken clock: reading from the start replaces such times, one after the other
    if clip.fps is None and (len(stamps) < 2 or not plausible_rate(1 / ((stamps[1] - stamps[0]) * base))):
        return None
    number = {stamp: n for n, stamp in enumerate(stamps)}
    return Index(tuple(stamps), tuple(Key(number[pts], pts, dts) for pts, dts in sorted(keys)))


# --- what the bytes of a packet say ---------------------------------------------------------------------------------


class _Codec(NamedTuple):
    """``begins``: whether decoding may begin at a packet that is marked as a key; ``shown``: whether a frame comes of
    a packet."""

    begins: Callable[[memoryview, int], bool] = lambda data, length_bytes: True
    shown: Callable[[memoryview], bool] = lambda data: True


def _is_idr(data: memoryview, length_bytes: int) -> bool:
    """H.264: after an IDR picture nothing refers to what lies before it. Other key frames promise less."""
    return next((head & 31 for head in _nal_heads(data, length_bytes) if 1 <= head & 31 <= 5), 0) == 5


def _is_irap(data: memoryview, length_bytes: int) -> bool:
    """HEVC: no picture that is shown after one of these refers to what lies before it."""
    kinds = (head >> 1 & 63 for head in _nal_heads(data, length_bytes))
    return 16 <= next((kind for kind in kinds if kind < 32), 0) <= 21


def _nal_heads(data: memoryview, length_bytes: int) -> Iterator[int]:
    """The first byte of each unit of an H.264 or HEVC packet; ``length_bytes`` is 0 where start codes part them."""
    at = 0
    if length_bytes:
        while at + length_bytes < len(data):
            yield data[at + length_bytes]
            at += length_bytes + int.from_bytes(data[at : at + length_bytes], "big")
        return
    held = bytes(data)
    while 0 <= (at := held.find(b"\0\0\1", at)) < len(held) - 3:
        at += 3
        yield held[at]


def _nal_length_bytes(clip: Clip) -> int:
    extra = clip.stream.codec_context.extradata or b""
    if clip.stream.codec_context.codec.canonical_name == "h264":
        return (extra[4] & 3) + 1 if len(extra) > 6 and extra[0] == 1 else 0
    return (extra[21] & 3) + 1 if len(extra) > 22 and extra[0] == 1 else 0


def _vp9_shown(data: memoryview) -> bool:
    if data[-1] & 0xE0 == 0xC0:  # several frames in one, the last of which is shown
        return True
    bits = data[0] << 1 if data[0] & 0x30 == 0x30 else data[0]
    return bool(bits & 0x08 or bits & 0x02)


_CODECS = {
    "h264": _Codec(_is_idr),
    "hevc": _Codec(_is_irap),
    "mpeg1video": _Codec(),
    "mpeg2video": _Codec(),
    "vp8": _Codec(shown=lambda data: bool(data[0] & 0x10)),
    "vp9": _Codec(shown=_vp9_shown),
    "av1": _Codec(),
    "mjpeg": _Codec(),
    "prores": _Codec(),
    "dnxhd": _Codec(),
    "ffv1": _Codec(),
    "rawvideo": _Codec(),
}
