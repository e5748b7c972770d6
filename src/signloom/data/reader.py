"""Reading clips with what was read before kept in memory, as far as it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from signloom.data.corpus import ClipRef
from signloom.data.frame_cache import FrameCache
from signloom.data.stream import Samples, Stream


@dataclass(frozen=True)
class Reader:
    """Reads streams of clips; whole clips stay in ``cache`` until it is full, then only wanted rows are read."""

    streams: Mapping[str, Stream]
    cache: FrameCache = field(default_factory=lambda: FrameCache(0))

    def __call__(self, clip: ClipRef, stream: str, rows: np.ndarray | None = None) -> Samples:
        """The samples of ``stream`` at ``rows``, whole without."""
        key = clip.key(stream)
        held = self.cache.get(key)
        if held is None:
            if self.cache.full:
                return clip.read(self.streams[stream], rows)
            held = clip.read(self.streams[stream])
            self.cache.put(key, held)
        return held if rows is None else held[rows]
