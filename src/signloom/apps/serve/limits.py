"""What one visitor may ask of the server, and how it says no."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from signloom.media.limits import Limits


@dataclass(frozen=True)
class ServeLimits:
    """Sizes in bytes, times in seconds. ``waiting`` predictions queue behind ``workers`` that run; of finished jobs
    ``kept_jobs`` are remembered for ``kept_s``. A sender has ``head_s`` for a request's head and, of its body, may be
    silent for ``silent_s``, and take ``upload_s`` for all of it."""

    upload_bytes: int = 256 << 20
    upload_s: float = 120.0
    silent_s: float = 10.0
    head_s: float = 10.0
    uploads: int = 4
    frames: int = 3000
    side_px: int = 4096
    answer_s: float = 300.0
    frame_bytes: int = 8 << 20
    stream_idle_s: float = 30.0
    workers: int = 1
    waiting: int = 8
    kept_jobs: int = 100
    kept_s: float = 600.0
    connections: int = 64
    memory_bytes: int = 4 << 30
    """What a worker may take beyond what its models do."""

    @property
    def media(self) -> Limits:
        """For what reads the file."""
        return Limits(max_frames=self.frames, max_side_px=self.side_px, max_seconds=self.answer_s)

    def as_json(self) -> dict[str, Any]:
        """All of them by name."""
        return asdict(self)


class Refused(Exception):
    """A request that is not done: an HTTP ``status``, a stable word, what is wrong, where, and what was wanted."""

    def __init__(self, status: int, reason: str, error: str, *, where: str, wanted: str, retry_s: int | None = None):
        super().__init__(error)
        self.status, self.reason, self.error, self.where, self.wanted = status, reason, error, where, wanted
        self.retry_s = retry_s

    def as_json(self) -> dict[str, str]:
        """The body of the answer."""
        return {"error": self.error, "reason": self.reason, "where": self.where, "wanted": self.wanted}

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the status."""
        return {} if self.retry_s is None else {"Retry-After": str(self.retry_s)}
