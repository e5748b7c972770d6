"""What one clip needs to be prepared: its file read once, and every stream that is missing made of it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.manifest import Record
from signloom.data.skeleton import joints_of
from signloom.data.stream import ClipInfo, Stream
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.media.recording import Recording
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.names import file_name
from signloom.streams import recordings, with_parts
from signloom.streams.depth import MILLIMETRES
from signloom.streams.pose import PoseStream, components_of, imported_fingerprint, seen_parts
from signloom.streams.pose_cleaning import clean_pose
from signloom.streams.runner import Pushed, Runner

LIMITS = media.Limits()
STARTS = ("video", "pose", "landmarks", "depth")
"""What a clip can be prepared from, by preference."""
ALONE = ("imu",)
"""What a clip may be where it has none of those."""

_CHUNK = 64  # frames of a stored stream that are read at once


def start_of(record: Record) -> str | None:
    """Which of its streams a clip is prepared from; None where it has none of :data:`STARTS` and :data:`ALONE`."""
    return next((s for s in (*STARTS, *ALONE) if s in record.streams), None)


def prepare_clip(
    record: Record,
    root: Path,
    out: Path,
    streams: Mapping[str, Stream],
    limits: media.Limits = LIMITS,
    fingerprints: Mapping[str, Any] | None = None,
    shared: Path | None = None,
) -> dict[str, Any]:
    """Make those ``streams`` of one clip that are not there yet, as files below ``out``; tell what they are.

    ``record`` has its paths relative to ``root``. ``fingerprints`` are those of ``streams``, where they are at hand:
    the pose's costs loading its estimator. ``shared``, where several clips are cut from the file, is the folder in
    which processes tell each other of it (:mod:`signloom.streams.recordings`). Gives ``streams`` (name → path below
    ``out``), ``content``, ``n_frames``, ``fps``, ``first_frame`` and ``end_frame`` (a range given in seconds is now one
    of frames), ``seen``, ``fingerprints`` and ``extra``, for the clip's record.
    Raises MediaError for what cannot be read and MissingStreamError when the clip has nothing to start from.
    """
    start = start_of(record)
    if start is None:
        have = ", ".join(sorted(record.streams)) or "none"
        raise MissingStreamError(f"clip '{record.id}': prepare needs stream 'video' or 'pose'; it has {have}")
    files_of_their_own = {name: stream for name, stream in streams.items() if stream.imported}
    others = {name: stream for name, stream in streams.items() if not stream.imported}
    if start in ALONE:
        if others:
            raise MissingStreamError(
                f"clip '{record.id}': {', '.join(others)} need stream 'video'; it has only {start}. Leave them out of "
                f"--streams: --streams {start}"
            )
        return _imported(record, root, out, files_of_their_own, {})
    value = _prepare_seen(record, root, out, others, limits, fingerprints, shared, start)
    return _imported(record, root, out, files_of_their_own, value) if files_of_their_own else value


def _prepare_seen(
    record: Record,
    root: Path,
    out: Path,
    streams: Mapping[str, Stream],
    limits: media.Limits,
    fingerprints: Mapping[str, Any] | None,
    shared: Path | None,
    start: str,
) -> dict[str, Any]:
    """The streams of a clip that follow from its footage or its poses."""
    if of_depth := {name: stream for name, stream in streams.items() if MILLIMETRES in stream.requires}:
        return _with_depth(record, root, out, start, streams, of_depth, limits, fingerprints, shared)
    path = root / record.streams[start]
    if start == "video":
        known = fingerprints or {}
        made = {name: known.get(name) or stream.fingerprint() for name, stream in streams.items()}
        if record.timed:
            between = media.frames_between(path, record.start_s, record.end_s, limits)
            record = record.cut_to(*between)
        part = record.range != (0, None)
        with recordings.opened(path, limits, part=part, shared=shared) as recording:
            return _Filmed(record, path, recording, out, streams, shared).prepare(made)
    if start == "depth":
        raise MediaError(
            f"clip '{record.id}': {', '.join(streams)} need stream 'video' or 'pose'; it has only depth. Prepare it "
            "with --streams depth",
            reason="missing-stream",
        )
    unmakeable = next((n for n, s in streams.items() if n != "pose" and not _of_pose_alone(s)), None)
    if unmakeable:
        raise MediaError(
            f"clip '{record.id}': {unmakeable} need stream 'video'; it has only {start}. "
            f"Leave out '{unmakeable}' from --streams",
            reason="missing-stream",
        )
    ghosts = getattr(streams.get("pose"), "ghosts", "drop")
    made = _import_pose(record, path, out, start, ghosts, limits, shared)
    return _of_imported(record, made, out, {n: s for n, s in streams.items() if n != "pose"})


def _imported(
    record: Record, root: Path, out: Path, streams: Mapping[str, Any], value: dict[str, Any]
) -> dict[str, Any]:
    """``value``, what is made of a clip's footage or poses, with the ``streams`` that have files of their own.

    One that is missing or cannot be read fails a clip that is nothing else; of others it is told in the record.
    """
    if value:
        start_s = value["first_frame"] / value["fps"]
        span_s = (start_s, start_s + value["n_frames"] / value["fps"])
    info = ClipInfo(record.id, value["fps"] if value else record.fps or media.DEFAULT_FPS)
    for name, stream in streams.items():
        try:
            if name not in record.streams:
                have = ", ".join(sorted(record.streams))
                raise MissingStreamError(f"clip '{record.id}' has no file of stream '{name}'; it has {have}")
            how = record.extra.get(name, {})
            file = root / record.streams[name]
            taken = stream.import_file(file, how, info, span_s if value else None, cut=not record.whole)
        except (MediaError, MissingStreamError) as error:
            if not value:
                raise
            value["extra"][f"{name}_found"] = {"failed": str(error), "reason": getattr(error, "reason", "missing")}
            continue
        made = taken.stream.fingerprint()
        path = f"{name}/{file_name(record.id)}-{fingerprint_hash(taken.content, how, made)}{stream.suffix}"
        taken.stream.write(out / path, taken.samples)
        if not value:
            value = {
                "streams": {},
                "content": taken.content,
                "n_frames": taken.n_frames,
                "fps": taken.fps,
                "first_frame": 0,
                "end_frame": None,
                "seen": {},
                "fingerprints": {},
                "extra": {},
            }
        value["streams"][name] = path
        value["fingerprints"][name] = made
        value["extra"] |= taken.extra
    return value


@dataclass
class _Filmed:
    """A clip of video."""

    record: Record
    path: Path
    recording: Recording
    out: Path
    streams: Mapping[str, Stream]
    shared: Path | None

    def prepare(self, fingerprints: Mapping[str, Any]) -> dict[str, Any]:
        record = self.record
        if multiprocessing.parent_process() is not None:
            media.import_cv2().setNumThreads(1)  # there is a worker for every core
        header = self.recording.info(record.first_frame, record.end_frame)
        content = recordings.content_of(self.path, self.shared)
        cut = (record.first_frame, record.end_frame, record.box_px)
        names = {}
        for name, stream in self.streams.items():
            also = [worn_on(record)] if _of_pose_alone(stream) else []
            made = fingerprint_hash(content, cut, fingerprints[name], *also)
            names[name] = f"{name}/{file_name(record.id)}-{made}{stream.suffix}"
        files = {name: self.out / path for name, path in names.items()}
        # Names hold all that shapes a file, and files appear whole: one that is there is the one that would be made.
        there = {name for name, file in files.items() if file.exists()}
        wholes = {n for stream in self.streams.values() for n in stream.requires_whole}
        at_hand = [n for n, stream in self.streams.items() if n in there and (n in wholes or stream.small)]
        complete = {name: self.streams[name].read(files[name]) for name in at_hand}
        info = ClipInfo(record.id, header.fps, complete=complete, worn_on=worn_on(record))
        n_frames = None
        if missing := {name: s for name, s in self.streams.items() if name not in there}:
            info, n_frames = self._make(missing, files, there, info)
        if n_frames is None and not files:
            times_s = np.array([time_s for time_s, _ in self._footage()])
            n_frames = len(media.constant_rate(times_s, header.fps))
        if n_frames is None:
            some = next(name for name, stream in self.streams.items() if stream.clock == "frames")
            n_frames = (
                len(info.complete[some]) if some in info.complete else int(media.probe(files[some]).n_frames or 0)
            )
        extra: dict[str, Any] = {}
        for stream in self.streams.values():
            extra |= stream.extra(info)
        return {
            "streams": names,
            "content": content,
            "n_frames": n_frames,
            "fps": header.fps,
            "first_frame": record.first_frame,
            "end_frame": record.end_frame,
            "seen": extra.pop("seen", {}),
            "fingerprints": dict(fingerprints),
            "extra": extra,
        }

    def _make(
        self, missing: Mapping[str, Stream], files: Mapping[str, Path], there: set[str], info: ClipInfo
    ) -> tuple[ClipInfo, int | None]:
        """Make what is missing: of the footage or, where that is enough, of streams that were stored without loss.

        The number of frames is None where none was needed, since the rest is made of streams that are complete.
        """
        if all(not s.requires and set(s.requires_whole) <= info.complete.keys() for s in missing.values()):
            return Runner(missing, info, eager=False).write(files), None
        stored = {n for s in missing.values() for n in s.requires if n in there and self.streams[n].lossless}
        enough = all(set(s.requires) <= stored for s in missing.values())

        def pushed() -> Iterator[Pushed]:
            if enough:
                yield from _stored({name: (self.streams[name], files[name]) for name in stored}, info.fps)
            else:
                for time_s, frame in self._footage():
                    yield time_s, {"video": frame}

        runner = Runner(missing, info, eager=False, again=pushed)
        for time_s, samples in pushed():
            runner.push(time_s, samples)
        for name, whole in info.complete.items():
            if len(whole) != len(runner.rows):
                raise MediaError(
                    f"clip '{info.id}': '{files[name]}' has {len(whole)} frames, the clip {len(runner.rows)}; "
                    "delete that file and prepare again",
                    "bad-header",
                )
        return runner.write(files), len(runner.rows)

    def _footage(self) -> Iterator[tuple[float, np.ndarray]]:
        record = self.record
        return self.recording.part(record.first_frame, record.end_frame, record.box_px)


def _stored(parts: Mapping[str, tuple[Stream, Path]], fps: float) -> Iterator[Pushed]:
    n_frames = min(int(media.probe(file).n_frames or 0) for _, file in parts.values())
    for start in range(0, n_frames, _CHUNK):
        rows = range(start, min(start + _CHUNK, n_frames))
        read = {name: stream.read(file, rows) for name, (stream, file) in parts.items()}
        for k, row in enumerate(rows):
            yield row / fps, {name: samples[k] for name, samples in read.items()}


def _import_pose(
    record: Record, path: Path, out: Path, start: str, ghosts: str, limits: media.Limits, shared: Path | None
) -> dict[str, Any]:
    content = recordings.content_of(path, shared)
    if start == "landmarks":
        from signloom.sources.dgs_landmarks import landmarks_to_pose

        pose = landmarks_to_pose(path)
        record = _in_frames(record, len(pose.body.data), pose.body.fps, path)
        if record.first_frame or record.end_frame is not None:
            stop = len(pose.body.data) if record.end_frame is None else min(record.end_frame, len(pose.body.data))
            pose.body = pose.body.select_frames(list(range(record.first_frame, stop)))
    else:
        fps = record.fps  # of a .mat, which does not say its rate; a .pose does
        record = _in_frames(record, *media.probe_pose(path, limits, fps=fps), path) if record.timed else record
        pose = media.read_pose(path, limits, first_frame=record.first_frame, end_frame=record.end_frame, fps=fps)
    if not len(pose.body.data):
        raise MediaError(f"clip '{record.id}': '{path}' has no frame", reason="no-frames")
    person = str(record.extra.get("person", "auto"))
    try:
        clean = clean_pose(pose, person=person, ghosts=ghosts)
        seen = seen_parts(joints_of(clean.pose))
    except InputError as error:
        raise MediaError(f"clip '{record.id}': '{path}': {error}", reason="unknown-skeleton") from error
    except MediaError as error:
        raise MediaError(f"clip '{record.id}': '{path}': {error}", reason=error.reason) from error
    if not any(seen.values()):
        n = clean.found.get("no_confidence", 0)
        hint = f"; {n} points have a place: write confidence 1 for those that were found" if n else ""
        raise MediaError(f"clip '{record.id}': '{path}' holds no point with confidence{hint}", reason="no-signer")
    fingerprint = imported_fingerprint(components_of(pose), ghosts)
    cut = (record.first_frame, record.end_frame, *([] if person == "auto" else [person]))
    name = f"pose/{file_name(record.id)}-{fingerprint_hash(content, cut, fingerprint)}.pose"
    media.write_pose(out / name, clean.pose)
    return {
        "streams": {"pose": name},
        "content": content,
        "n_frames": len(pose.body.data),
        "fps": float(pose.body.fps),
        "first_frame": record.first_frame,
        "end_frame": record.end_frame,
        "seen": seen,
        "fingerprints": {"pose": fingerprint},
        # What is kept is one person's, so nobody is to be chosen from it again.
        "extra": ({"pose_found": dict(clean.found)} if clean.found else {})
        | ({"person": "auto", "person_taken": person} if person != "auto" else {}),
    }


def _with_depth(
    record: Record,
    root: Path,
    out: Path,
    start: str,
    streams: Mapping[str, Stream],
    of_depth: Mapping[str, Stream],
    limits: media.Limits,
    fingerprints: Mapping[str, Any] | None,
    shared: Path | None,
) -> dict[str, Any]:
    """A clip with its depth file: the streams ``of_depth``, and the others of what it starts from."""
    if "depth" not in record.streams:
        raise MediaError(
            f"clip '{record.id}': {', '.join(of_depth)} need stream 'depth'; it has "
            f"{', '.join(sorted(record.streams))}. Leave out '{next(iter(of_depth))}' from --streams",
            reason="missing-stream",
        )
    others = {name: stream for name, stream in streams.items() if name not in of_depth}
    made: dict[str, Any] = {"streams": {}, "fingerprints": {}, "seen": {}, "extra": {}}
    if others:
        some = None if fingerprints is None else {name: fingerprints[name] for name in others if name in fingerprints}
        made = prepare_clip(record, root, out, others, limits, some, shared)
    path = root / record.streams["depth"]
    content = recordings.content_of(path, shared)
    fps = media.depth_rate(path, (record.extra.get("depth") or {}).get("fps"))
    depth_THW = media.read_depth(path, limits)
    record = _in_frames(record, len(depth_THW), fps, path)
    cut = (record.first_frame, record.end_frame)
    depth_THW = depth_THW[slice(*cut)]
    if len(depth_THW) != made.get("n_frames", len(depth_THW)):
        raise MediaError(
            f"clip '{record.id}': its depth has {len(depth_THW)} frames, its {start} {made['n_frames']}; they should "
            "be of the same moments. Prepare depth by itself, or cut the clip",
            "bad-header",
        )
    if not len(depth_THW):
        raise MediaError(f"clip '{record.id}': '{path}' has no frame {record.first_frame}", "no-frames")
    prints = {name: stream.fingerprint() for name, stream in of_depth.items()}
    names = {
        name: f"{name}/{file_name(record.id)}-{fingerprint_hash(content, cut, fps, prints[name])}{stream.suffix}"
        for name, stream in of_depth.items()
    }
    if missing := {name: stream for name, stream in of_depth.items() if not (out / names[name]).exists()}:
        runner = Runner(missing, ClipInfo(record.id, fps, (depth_THW.shape[2], depth_THW.shape[1])), eager=False)
        for row, depth_mm in enumerate(depth_THW):
            runner.push(row / fps, {MILLIMETRES: depth_mm})
        runner.write({name: out / path for name, path in names.items()})
    whole = {
        "content": recordings.content_of(root / record.streams[start], shared),
        "n_frames": len(depth_THW),
        "fps": fps,
        "first_frame": record.first_frame,
        "end_frame": record.end_frame,
    }
    together = {name: {**made[name], **new} for name, new in (("streams", names), ("fingerprints", prints))}
    return {**whole, **made, **together}


def worn_on(record: Record) -> str:
    """The joint that wears the clip's sensor, where its record tells."""
    return str((record.extra.get("imu") or {}).get("worn_on") or "")


def _of_pose_alone(stream: Stream) -> bool:
    return not stream.requires and stream.requires_whole == ("pose",)


def _of_imported(record: Record, made: dict[str, Any], out: Path, streams: Mapping[str, Stream]) -> dict[str, Any]:
    """``made``, an imported pose, with the ``streams`` that are made of it."""
    pose = made["streams"]["pose"]
    imported = PoseStream.of_fingerprint(made["fingerprints"]["pose"], {})
    parts: dict[str, Any] = {"pose": imported}
    streams = {name: with_parts(stream, parts) for name, stream in streams.items()}
    prints = {name: stream.fingerprint() for name, stream in streams.items()}
    names = {
        name: f"{name}/{file_name(record.id)}-{fingerprint_hash(pose, worn_on(record), prints[name])}{stream.suffix}"
        for name, stream in streams.items()
    }
    if missing := {name: stream for name, stream in streams.items() if not (out / names[name]).exists()}:
        complete = {"pose": imported.read(out / pose)}
        info = ClipInfo(record.id, made["fps"], complete=complete, worn_on=worn_on(record))
        Runner(missing, info, eager=False).write({name: out / path for name, path in names.items()})
    return {
        **made,
        "streams": {**made["streams"], **names},
        "fingerprints": {**made["fingerprints"], **prints},
    }


def _in_frames(record: Record, n_frames: int, fps: float, path: Path) -> Record:
    """The clip with its range in frames, where it is given in seconds of a file of ``n_frames``."""
    if not record.timed:
        return record
    return record.cut_to(*media.cut_at(np.arange(n_frames) / fps, record.start_s, record.end_s, path))
