"""From raw clips to the streams that models read: poses, and frames resized once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data import files
from signloom.data.manifest import Manifest, Record, atomic_write, clip_id, write_manifest
from signloom.data.mapping import Outcome, Task, file_stamp, fingerprint_hash, map_clips
from signloom.data.skeleton import PARTS, joints_of
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.steps.pose import HolisticPose

STREAMS = ("pose", "frames")
SOURCES_OF_POSE = ("video", "pose", "landmarks")
FRAMES_VERSION = 1
FAILURES_FILE = "failures.jsonl"


@dataclass(frozen=True)
class Preparation:
    """What to make of each clip.

    ``streams`` of :data:`STREAMS`. ``frames`` are H.264 with the shorter side ``shorter_px`` at quality ``crf`` and a
    key frame every ``keyframe_every`` frames, for quick random access. ``pose`` comes from ``estimator`` where the
    clip is video, and is imported where it is a ``.pose`` file or a landmark table.
    """

    streams: tuple[str, ...] = ("pose",)
    estimator: HolisticPose = field(default_factory=HolisticPose)
    shorter_px: int = 256
    crf: int = 18
    keyframe_every: int = 12
    limits: files.Limits = field(default_factory=files.Limits)

    def __post_init__(self):
        unknown = [s for s in self.streams if s not in STREAMS]
        if unknown or not self.streams:
            raise InputError(f"streams: got {', '.join(unknown) or 'none'}, expected some of {', '.join(STREAMS)}")

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """For each stream made from video, what makes it."""
        made: dict[str, dict[str, Any]] = {}
        if "pose" in self.streams:
            made["pose"] = self.estimator.fingerprint()
        if "frames" in self.streams:
            made["frames"] = {
                "extractor": "frames-h264",
                "shorter_px": self.shorter_px,
                "crf": self.crf,
                "keyframe_every": self.keyframe_every,
                "version": FRAMES_VERSION,
            }
        return made


def prepare_corpus(
    manifest: Manifest,
    out: Path,
    preparation: Preparation,
    *,
    workers: int | None = None,
    timeout_s: float = 600.0,
    ray_address: str | None = None,
    quiet: bool = False,
) -> tuple[Manifest, list[Outcome]]:
    """Prepare every clip of ``manifest`` into the folder ``out`` and return the new corpus and all outcomes.

    Resumable: what a killed run finished is kept, and the result is the same bytes. Clips that fail are left out of
    the new manifest and listed with their reasons in ``failures.jsonl``. Inputs are never changed.
    Raises InputError when no clip could be prepared.
    """
    if not manifest.records:
        raise InputError(f"'{manifest.root}' has no clip to prepare")
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() == manifest.root.resolve() and (out / "manifest.jsonl").exists():
        raise InputError(f"--out '{out}' is the corpus itself; inputs are never changed, so choose another folder")
    made = preparation.fingerprints() if any("video" in r.streams for r in manifest) else {}
    tasks = [
        Task(r.id, (r, manifest.root, out, preparation), stamp=_stamp(r, manifest.root, made, preparation))
        for r in manifest
    ]
    outcomes = map_clips(
        prepare_clip,
        tasks,
        workers=workers,
        timeout_s=timeout_s,
        journal=out / "journal.jsonl",
        ray_address=ray_address,
        whole=lambda value: all((out / p).exists() for p in value["streams"].values()),
        title="prepare",
        quiet=quiet,
    )
    outcomes = _same_estimator_only(outcomes)
    records, failures, streams = [], [], {}
    for record, outcome in zip(manifest, outcomes):
        if outcome.value is not None and outcome.ok:
            value = outcome.value
            streams |= value["fingerprints"]
            kept = {n: str((manifest.root / p).resolve()) for n, p in record.streams.items() if n not in STREAMS}
            records.append(
                replace(
                    record,
                    streams={**kept, **{n: str((out / p).resolve()) for n, p in value["streams"].items()}},
                    n_frames=value["n_frames"],
                    fps=value["fps"],
                    content=value["content"],
                    extra={**record.extra, "seen": value["seen"]},
                )
            )
        else:
            source = next(iter(record.streams.values()), None)
            failures.append({"id": record.id, "file": source, "reason": outcome.reason, "message": outcome.message})
    with atomic_write(out / FAILURES_FILE) as tmp:
        tmp.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in failures), encoding="utf-8")
    if not records:
        reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(f["reason"] for f in failures).most_common())
        raise InputError(
            f"none of the {len(failures)} clips of '{manifest.root}' could be prepared ({reasons}); "
            f"the first: {failures[0]['message']}"
        )
    meta = {k: v for k, v in manifest.meta.items() if k not in ("streams", "failed")}
    prepared = Manifest(tuple(records), out, {**meta, "streams": streams, "failed": len(failures)})
    write_manifest(prepared, out)
    return prepared, outcomes


def read_failures(corpus: Path) -> list[dict[str, str]]:
    """The clips that could not be prepared: rows with ``id``, ``file``, ``reason`` and ``message``."""
    file = corpus / FAILURES_FILE
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _stamp(record: Record, root: Path, made: Mapping[str, Any], preparation: Preparation) -> str:
    source = _source(record)
    return fingerprint_hash(
        file_stamp(root / record.streams[source]) if source else "",
        record.first_frame,
        record.end_frame,
        record.box_px,
        made,
        sorted(preparation.streams),
        # How long a clip may take does not shape what is made of it.
        {k: v for k, v in asdict(preparation.limits).items() if k != "max_seconds"},
    )


def _source(record: Record) -> str | None:
    return next((s for s in SOURCES_OF_POSE if s in record.streams), None)


def prepare_clip(record: Record, root: Path, out: Path, preparation: Preparation) -> dict[str, Any]:
    """Make the streams of one clip; the unit of work of :func:`prepare_corpus`.

    Raises MediaError for what cannot be read and MissingStreamError when the clip has nothing to start from.
    """
    source = _source(record)
    if source is None:
        have = ", ".join(sorted(record.streams)) or "none"
        raise MissingStreamError(f"clip '{record.id}': prepare needs stream 'video' or 'pose'; it has {have}")
    path = root / record.streams[source]
    if source == "video":
        return _prepare_video(record, path, out, preparation)
    if "frames" in preparation.streams:
        raise MediaError(
            f"clip '{record.id}': frames need stream 'video'; it has only {source}. Leave out 'frames' from --streams",
            reason="missing-stream",
        )
    return _import_pose(record, path, out, source)


def _prepare_video(record: Record, path: Path, out: Path, preparation: Preparation) -> dict[str, Any]:
    fingerprints = preparation.fingerprints()
    info = files.probe(path, preparation.limits)
    content = files.content_hash(path)
    read = partial(
        files.iter_frames,
        path,
        first_frame=record.first_frame,
        end_frame=record.end_frame,
        box_px=record.box_px,
        limits=preparation.limits,
    )

    def name(stream: str, suffix: str) -> str:
        cut = (record.first_frame, record.end_frame, record.box_px)
        return f"{stream}/{record.id}-{fingerprint_hash(content, cut, fingerprints[stream])}{suffix}"

    streams: dict[str, str] = {}
    times: list[float] = []
    seen: dict[str, float] = {}

    def timed() -> Iterator[np.ndarray]:
        for time_s, frame in read():
            times.append(time_s)
            yield frame

    if "pose" in preparation.streams:
        pose = preparation.estimator.extract(timed(), info.fps)
        kept = files.constant_rate(np.array(times), info.fps)
        pose.body = pose.body.select_frames(list(map(int, kept)))
        seen = _seen(pose)
        if not any(seen.values()):
            raise MediaError(f"clip '{record.id}': no person was found in any of {len(times)} frames", "no-signer")
        streams["pose"] = name("pose", ".pose")
        files.write_pose(out / streams["pose"], pose)
    else:
        for _ in timed():
            pass
        kept = files.constant_rate(np.array(times), info.fps)
    if "frames" in preparation.streams:
        streams["frames"] = name("frames", ".mp4")
        files.write_video(
            out / streams["frames"],
            (files.resize_shorter_side(f, preparation.shorter_px) for f in _picked((f for _, f in read()), kept)),
            info.fps,
            crf=preparation.crf,
            keyframe_every=preparation.keyframe_every,
        )
    return {
        "streams": streams,
        "content": content,
        "n_frames": len(kept),
        "fps": info.fps,
        "seen": seen,
        "fingerprints": fingerprints,
    }


def _picked(frames: Iterator[np.ndarray], rows: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames at ``rows`` (ascending; a row may repeat), streaming."""
    wanted = Counter(int(r) for r in rows)
    for number, frame in enumerate(frames):
        for _ in range(wanted[number]):
            yield frame


def _import_pose(record: Record, path: Path, out: Path, source: str) -> dict[str, Any]:
    content = files.content_hash(path)
    if source == "landmarks":
        from signloom.sources.dgs_landmarks import landmarks_to_pose

        pose = landmarks_to_pose(path)
    else:
        pose = files.read_pose(path)
    if record.first_frame or record.end_frame is not None:
        stop = len(pose.body.data) if record.end_frame is None else min(record.end_frame, len(pose.body.data))
        pose.body = pose.body.select_frames(list(range(record.first_frame, stop)))
    if not len(pose.body.data):
        raise MediaError(f"clip '{record.id}': '{path}' has no frame", reason="no-frames")
    fingerprint = imported_fingerprint(pose)
    try:
        seen = _seen(pose)
    except InputError as error:
        raise MediaError(f"clip '{record.id}': '{path}': {error}", reason="unknown-skeleton") from error
    if not any(seen.values()):
        raise MediaError(f"clip '{record.id}': '{path}' holds no point with confidence", reason="no-signer")
    cut = (record.first_frame, record.end_frame)
    name = f"pose/{record.id}-{fingerprint_hash(content, cut, fingerprint)}.pose"
    files.write_pose(out / name, pose)
    return {
        "streams": {"pose": name},
        "content": content,
        "n_frames": len(pose.body.data),
        "fps": float(pose.body.fps),
        "seen": seen,
        "fingerprints": {"pose": fingerprint},
    }


def imported_fingerprint(pose: Any) -> dict[str, Any]:
    """The fingerprint of a pose whose estimator is not on record: the points it holds."""
    return {"extractor": "imported", "components": {c.name: len(c.points) for c in pose.header.components}}


def _seen(pose: Any) -> dict[str, float]:
    """The share of frames in which each part was found."""
    present = joints_of(pose).present_TJ
    return {part: round(float(present[:, where].any(1).mean()), 3) for part, where in PARTS.items()}


def _same_estimator_only(outcomes: list[Outcome]) -> list[Outcome]:
    """Fail the clips whose imported pose was made otherwise than most: one model cannot read both."""
    kinds = Counter(
        json.dumps(o.value["fingerprints"].get("pose"), sort_keys=True)
        for o in outcomes
        if o.ok and o.value is not None
    )
    if len(kinds) < 2:
        return outcomes
    usual = kinds.most_common(1)[0][0]
    checked = []
    for outcome in outcomes:
        kind = json.dumps(outcome.value["fingerprints"].get("pose"), sort_keys=True) if outcome.value else usual
        if outcome.ok and kind != usual:
            message = (
                f"clip '{outcome.id}': its pose is {kind}, most clips' is {usual}; prepare them as separate corpora"
            )
            outcome = Outcome(outcome.id, reason="other-estimator", message=message)
        checked.append(outcome)
    return checked


def manifest_of_files(paths: Sequence[Path]) -> Manifest:
    """An unlabelled corpus of single files, as ``predict`` is given them."""
    records = []
    for path in paths:
        stream = "pose" if path.suffix == ".pose" else "video"
        identity = clip_id([*path.resolve().parts[-3:-1], path.stem])
        records.append(Record(identity, streams={stream: str(path.resolve())}))
    counts = Counter(r.id for r in records)
    unique = tuple(
        replace(r, id=f"{r.id}-{fingerprint_hash(r.streams)[:8]}") if counts[r.id] > 1 else r for r in records
    )
    return Manifest(unique, Path.cwd(), {"name": "files"})
