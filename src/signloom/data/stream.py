"""What a stream is: one kind of data of a clip, how it is made, stored and read. A file in ``streams/`` each.

``prepare``, ``predict`` and live sessions push samples through the same stages, so they cannot differ.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from signloom.media.limits import other_length

Samples = Any
"""What :meth:`Stream.read` gives: an array with time first, or something that is indexed like one (``Joints``)."""

File = str | os.PathLike[str]
"""Where a stream of a clip is stored: a file, a folder of pictures, or a :class:`~signloom.media.HeldFile`."""


class Timed(NamedTuple):
    """One sample with the time, in seconds from the clip's start, at which it holds."""

    time_s: float
    sample: Any


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip before its samples come.

    ``fps`` is nominal. ``complete`` holds streams of this clip that are finished already, as ``read`` gives them: what
    a stream with ``requires_whole`` starts from.
    """

    id: str
    fps: float
    size_px: tuple[int, int] | None = None
    """Width and height of the pictures as displayed and cut to the clip's box, where they are known."""
    complete: Mapping[str, Samples] = field(default_factory=dict)
    worn_on: str = ""
    """The joint that wears the clip's sensor, where its record tells (``extra["imu"]["worn_on"]``)."""


@dataclass(frozen=True)
class Imported:
    """A stream of one clip that was read from a file of its own.

    ``stream`` is the stream with what the file told of it (its channels); ``n_frames`` and ``fps`` are the clip's where
    it is nothing else; ``content`` identifies what was measured, and ``extra`` is for the clip's record.
    """

    stream: Stream
    samples: Samples
    n_frames: int
    fps: float
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)


class Stage(Protocol):
    """A stream being made of one clip, sample by sample."""

    def push(self, time_s: float, samples: Mapping[str, Any]) -> Sequence[Timed]:
        """Take the samples that the stream requires, by name; give what is finished, which may be of earlier times."""
        ...

    def close(self) -> Sequence[Timed]:
        """What smoothing or resampling still holds."""
        ...


class Stream(Protocol):
    """One kind of data of a clip: a frozen dataclass of its settings that derives from this, in a file of ``streams/``.

    A stream that is made of others holds those as fields of their names (``SignerStream.pose``), so that it knows how
    they are made; all its other fields are settings with plain defaults, and stand in its fingerprint by their names.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    """Of the files that :meth:`writer` writes."""
    clock: ClassVar[Literal["frames", "own"]] = "frames"
    """``"frames"``: one sample for each frame of the clip. ``"own"``: a sensor, whose rate, offset and drift stand in
    the record."""
    in_passing: ClassVar[bool] = False
    """Whether it is made for streams that require it though nobody asked for it."""
    lossless: ClassVar[bool] = False
    """Whether :meth:`read` gives the very samples that were written, so that others can be made of its files."""
    small: ClassVar[bool] = False
    """Whether a whole clip of it is little to hold: it waits in memory, is written first, and is at hand for others."""
    imported: ClassVar[bool] = False
    """Whether it is an :class:`ImportedStream`."""
    extra_fields: ClassVar[tuple[str, ...]] = ()
    """The names of what :meth:`extra` gives."""

    @property
    def requires(self) -> tuple[str, ...]:
        """The streams whose samples a stage is pushed; ``"video"`` is the footage, uint8 (H, W, 3) RGB. Empty where it
        is made of whole streams alone, or only read."""
        return ("video",)

    @property
    def requires_whole(self) -> tuple[str, ...]:
        """The streams that must be complete before the stage opens; they stand in ``ClipInfo.complete``."""
        return ()

    def fingerprint(self) -> dict[str, Any]:
        """What makes the stream: method, settings, version. Models refuse a corpus with another one."""
        ...

    def check(self) -> None:
        """Raise MissingExtraError or InputError where what makes it is not here, before a run begins."""
        return

    def open(self, info: ClipInfo) -> Stage:
        """Begin a clip. Raises MediaError or InputError where it cannot be made of this one."""
        ...

    def writer(self, file: Path, info: ClipInfo) -> AbstractContextManager[Callable[[Any], None]]:
        """Gives ``add(sample)``, to store a whole clip: at the end the file is there, the same bytes each time."""
        ...

    def read(self, file: File, rows: np.ndarray | Sequence[int] | None = None) -> Samples:
        """What is stored, at ``rows`` (None: all). Raises MediaError for what cannot be read."""
        ...

    def read_of(self, file: File, rows: np.ndarray | Sequence[int] | None, n_frames: int | None) -> Samples:
        """:meth:`read` for a clip of ``n_frames`` (None: not known). Raises MediaError for a file of more, or fewer:
        its frames would stand beside those of other moments."""
        samples = self.read(file, rows)
        if rows is None and n_frames is not None and self.clock == "frames" and len(samples) != n_frames:
            raise other_length(file, len(samples), n_frames)
        return samples

    def gather(self, samples: Sequence[Any], info: ClipInfo) -> Samples:
        """Samples of a clip as :meth:`read` would give them once they were written (but for lossy compression).

        Those of a stream with its own clock come as :class:`Timed`."""
        return np.stack([s.sample if isinstance(s, Timed) else s for s in samples])

    def extra(self, info: ClipInfo) -> dict[str, Any]:
        """What the clip's record says besides. ``info`` has the streams that it requires whole, and all small ones."""
        return {}


class ImportedStream(Stream, Protocol):
    """A stream that ``prepare`` takes from a file of its own, one that the record names as this stream."""

    imported: ClassVar[bool] = True

    def import_file(
        self, file: Path, how: Mapping[str, Any], info: ClipInfo, span_s: tuple[float, float] | None, *, cut: bool
    ) -> Imported:
        """What ``file`` holds, read as ``how`` says (the record's ``extra`` of this name).

        ``span_s`` is where the clip stands in its footage, None where it has none; with ``cut`` it is only a part of
        what was filmed, and the file is cut to it. Raises MediaError.
        """
        ...

    def write(self, file: Path, samples: Samples) -> None:
        """Store ``samples`` as :meth:`read` gives them, whole or not at all."""
        ...


def fingerprint_diff(expected: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """Where two fingerprints differ, as ``name: got … expected …``; empty when they agree."""
    keys = sorted(set(expected) | set(got))
    return [f"{k}: got {got.get(k)!r}, expected {expected.get(k)!r}" for k in keys if expected.get(k) != got.get(k)]
