"""What a stream is: one kind of data of a clip, how it is made, stored and read. A file in ``streams/`` each.

``prepare``, ``predict`` and live sessions push samples through the same stages, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from signloom.media import HeldFile

Samples = Any
"""What :meth:`Stream.read` gives: an array with time first, or something that is indexed like one (``Joints``)."""

File = Path | str
"""Where a stream of a clip is stored: a file, a folder of pictures, or (in shards) a :class:`~signloom.media.HeldFile`."""


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
    """Width and height of the pictures as displayed, where they are known."""
    complete: Mapping[str, Samples] = field(default_factory=dict)


class Stage(Protocol):
    """A stream being made of one clip, sample by sample."""

    def push(self, time_s: float, samples: Mapping[str, Any]) -> Sequence[Timed]:
        """Take the samples that the stream requires, by name; give what is finished, which may be of earlier times."""
        ...

    def close(self) -> Sequence[Timed]:
        """What smoothing or resampling still holds."""
        ...


@runtime_checkable
class Stream(Protocol):
    """One kind of data of a clip. A frozen dataclass of its settings, in a file of ``streams/``.

    ``requires`` are the streams whose samples its stage is pushed; ``"video"`` is the footage itself, uint8 (H, W, 3)
    RGB frame by frame. ``requires_whole`` are streams that must be complete before the stage opens (the place of the
    shoulders over a whole clip, say); they stand in ``ClipInfo.complete``. ``clock`` is ``"frames"`` where there is one
    sample for each frame of the clip, ``"own"`` for sensors, whose rate, offset and drift stand in the record.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    requires: ClassVar[tuple[str, ...]]
    requires_whole: ClassVar[tuple[str, ...]]
    clock: ClassVar[Literal["frames", "own"]]

    def fingerprint(self) -> dict[str, Any]:
        """What makes the stream: method, settings, version. Models refuse a corpus with another one."""
        ...

    def open(self, info: ClipInfo) -> Stage:
        """Begin a clip. Raises MediaError or InputError where it cannot be made of this one."""
        ...

    def write(self, file: Path, samples: Iterable[Any], info: ClipInfo) -> None:
        """Store the samples of a whole clip, atomically, the same bytes each time."""
        ...

    def read(self, file: File | HeldFile, rows: np.ndarray | Sequence[int] | None = None) -> Samples:
        """What is stored, at ``rows`` (None: all). Raises MediaError for what cannot be read."""
        ...

    def gather(self, samples: Sequence[Any], info: ClipInfo) -> Samples:
        """Samples that were pushed, as :meth:`read` would give them once they were written."""
        ...


StreamMaker = Callable[..., Stream]
