"""Small copies of clips to embed in a page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data.manifest import Record
from signloom.errors import SignloomError
from signloom.runtime.machine import machine_fault

SHORTER_SIDE_PX = 200
MAX_CLIP_BYTES = 320_000
MAX_SECONDS = 10.0
MAX_FPS = 25.0
# From good to merely legible: (x264 quality, share of the wanted size); the first that fits is taken.
_QUALITIES = ((25, 1.0), (33, 1.0), (38, 0.7))


@dataclass(frozen=True)
class SmallClip:
    """An mp4 to embed (``data``), or the reason why there is none (``message``)."""

    data: bytes | None = None
    message: str = ""
    cut_to_s: float | None = None


def footage_of(record: Record, root: Path) -> dict[str, Any]:
    """Where the footage of a clip lies, as entries of a result: ``video``, and the range and box that are the clip's.

    What else a recording shows stays out of a report: whoever stands beside the signer, and what went before. The
    stream ``frames``, taken where the video is gone, is cut already, and so is ``depth``, of clips without either.
    """
    names = ("video", "frames", "depth")
    video, frames, depth = (root / record.streams[s] if s in record.streams else None for s in names)
    frames = frames or depth
    if video is not None and (frames is None or video.exists()):
        cut = {"first_frame": record.first_frame, "end_frame": record.end_frame, "box_px": record.box_px}
        return {"video": str(video.resolve()), **cut}
    return {"video": str(frames.resolve()) if frames else None, "first_frame": 0, "end_frame": None, "box_px": None}


def sensor_of(record: Record, root: Path) -> dict[str, str]:
    """Where the recording of a clip's sensors lies, as the entry ``sensor`` of a result; nothing where it has none."""
    return {"sensor": str((root / record.streams["imu"]).resolve())} if "imu" in record.streams else {}


def source_of(clip: Mapping[str, Any], clip_videos: Callable[[Mapping[str, Any]], Any] | None) -> Path | None:
    """The file a clip's footage lies in, or None where nobody knows one."""
    found = clip_videos(clip) if clip_videos else clip.get("video")
    return Path(found) if found else None


def small_copy(
    clip: Mapping[str, Any], source: Path | None, *, shorter_px: int = SHORTER_SIDE_PX, max_bytes: int = MAX_CLIP_BYTES
) -> SmallClip:
    """``clip`` as a small H.264 mp4 without sound, ``shorter_px`` on its shorter side, at most ``max_bytes``.

    Never raises for footage that cannot be read: the result then says why.
    """
    if source is None:
        return SmallClip(message="No footage is recorded for this clip.")
    if max_bytes <= 0:
        return SmallClip(message="Left out: the page has reached its size limit.")
    cut: list[float] = []
    try:
        with tempfile.TemporaryDirectory(prefix="signloom-report-") as folder:
            for crf, scale in _QUALITIES:
                file = Path(folder) / "clip.mp4"
                cut.clear()
                _write(clip, source, file, crf, round(shorter_px * scale), cut)
                if file.stat().st_size <= max_bytes:
                    return SmallClip(data=file.read_bytes(), cut_to_s=cut[0] if cut else None)
    except (SignloomError, OSError) as error:
        if (fault := machine_fault(error)) is not None:
            raise fault from error  # no clip's own
        reason = getattr(error, "reason", None) or (
            type(error).__name__ if isinstance(error, OSError) else "not usable"
        )
        return SmallClip(message=f"The footage could not be read ({reason}).")
    return SmallClip(message="Left out: it does not fit into what is left of the page's size limit.")


def _write(clip: Mapping[str, Any], source: Path, file: Path, crf: int, shorter_px: int, cut: list[float]) -> None:
    from signloom.media import Limits, iter_frames, probe, resize_shorter_side, write_video

    limits = Limits(max_seconds=60)
    box = clip.get("box_px")
    first, end = int(clip.get("first_frame") or 0), clip.get("end_frame")
    fps = min(probe(source, limits, first_frame=first, end_frame=end).fps, MAX_FPS)
    frames = iter_frames(
        source,
        first_frame=first,
        end_frame=end,
        box_px=tuple(box) if box else None,
        limits=limits,
    )

    def evenly_timed() -> Iterator[np.ndarray]:
        written = 0
        for time_s, frame in frames:
            if time_s >= MAX_SECONDS:
                cut.append(MAX_SECONDS)
                return
            due = int(time_s * fps + 0.5) + 1
            if written < due:
                small = frame if min(frame.shape[:2]) <= shorter_px else resize_shorter_side(frame, shorter_px)
                for _ in range(due - written):
                    yield small
                written = due

    write_video(file, evenly_timed(), fps, crf=crf, keyframe_every=50)
