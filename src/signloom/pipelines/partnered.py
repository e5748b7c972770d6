"""Videos and ``.pose`` files that go together by name: whether they do in length and rate, and which nearly do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from signloom.data.manifest import Manifest, Record
from signloom.errors import MediaError
from signloom.media import probe_pose
from signloom.sources.spelling import nfc

_FRAMES = 2  # containers miscount by a frame or two
_SHARE = 0.1


def brought_together(manifest: Manifest) -> list[Record]:
    """The clips whose video and pose were partnered by a reader, and not made of each other by ``prepare``."""
    if "pose" in manifest.meta.get("streams", {}):
        return []
    return [r for r in manifest if {"video", "pose"} <= r.streams.keys()]


def apart(frames: int, fps: float | None, pose_frames: int, pose_fps: float | None) -> str | None:
    """How a video and a pose differ in length or rate by more than counting errors; None where they do not."""
    off = abs(frames - pose_frames)
    rates = fps and pose_fps and abs(fps / pose_fps - 1) > _SHARE
    if not rates and off <= _FRAMES and off <= max(1, _SHARE * min(frames, pose_frames)):
        return None
    return (
        f"the video has {frames} frames{_at(fps)}, the pose {pose_frames}{_at(pose_fps)}, so that frame n of one is "
        "not frame n of the other; are they of one recording?"
    )


def _at(fps: float | None) -> str:
    return f" at {fps:.2f} frames/s" if fps else ""


def apart_notes(manifest: Manifest, prepared: Iterable[Record]) -> list[str]:
    """One note on the clips of ``manifest`` whose pose differs from the video that was ``prepared``."""
    made: Mapping[str, Record] = {r.id: r for r in prepared}
    found: dict[str, str] = {}
    for record in brought_together(manifest):
        if record.whole and (video := made.get(record.id)) is not None and video.n_frames:
            with suppress(MediaError):  # a pose that cannot be read is doctor's to say: the video is what was used
                what = apart(video.n_frames, video.fps, *probe_pose(manifest.root / record.streams["pose"]))
                found |= {record.id: what} if what else {}
    if not found:
        return []
    first = next(iter(found))
    return [f"{len(found)} clips whose pose file does not fit their video, first '{first}': {found[first]}"]


def nearly_partners(manifest: Manifest) -> list[str]:
    """A note on videos and poses whose names differ in case or Unicode form alone, and so are two clips each."""
    alike: dict[str, dict[str, str]] = defaultdict(dict)
    for record in manifest:
        if len(record.streams) == 1 and (stream := next(iter(record.streams))) in ("video", "pose"):
            path = record.streams[stream]
            alike[nfc(str(PurePosixPath(path).with_suffix(""))).casefold()][stream] = path
    found = [names for names in alike.values() if len(names) == 2]
    if not found:
        return []
    names = ", ".join(f"'{Path(n['video'])}' and '{Path(n['pose'])}'" for n in found[:3])
    return [
        f"{len(found)} videos have a pose file whose name differs in upper and lower case or in Unicode form only, so "
        f"they were not brought together: {names}{' …' if len(found) > 3 else ''}. Rename one of each"
    ]
