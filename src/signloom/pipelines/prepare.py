"""From raw clips to the streams that models read: poses, frames resized once, optical flow, the signer cut out."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.manifest import FILE_NAME, Manifest, Record, clip_id, read_manifest, write_manifest
from signloom.data.skeleton import PARTS, joints_of, shoulder_width_px
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.media import flow_files as flow_file
from signloom.runtime.atomic import atomic_write
from signloom.runtime.hashing import file_stamp, fingerprint_hash
from signloom.runtime.workers import Job, Outcome, map_clips
from signloom.streams.flow import Flow, colour_wheel
from signloom.streams.pose import HolisticPose
from signloom.streams.signer_crop import SignerCrop

STREAMS = ("pose", "frames", "flow", "flow_view", "signer")
SUFFIXES = {"pose": ".pose", "frames": ".mp4", "flow": ".mp4", "flow_view": ".mp4", "signer": ".mp4"}
SOURCES_OF_POSE = ("video", "pose", "landmarks")
FRAMES_VERSION = 2
FLOW_VIEW_VERSION = 1
FAILURES_FILE = "failures.jsonl"

# x264's "veryfast" halves the time of "medium" for files as large, .6 dB further from the source.
_FRAMES_PRESET = "veryfast"
# What a painter is to reproduce is kept finer than what a recogniser looks at.
_SIGNER_CRF = 12
# Resized frames of a clip up to this size wait in memory until its constant rate is known; longer clips are decoded
# again.
_WAITING_BYTES = 1 << 27


@dataclass(frozen=True)
class Preparation:
    """What to make of each clip.

    ``streams`` of :data:`STREAMS`. ``frames`` are H.264 with the shorter side ``shorter_px`` at quality ``crf`` and a
    key frame every ``keyframe_every`` frames, for quick random access. ``pose`` comes from ``estimator`` where the
    clip is video, and is imported where it is a ``.pose`` file or a landmark table. ``flow`` is that of the resized
    frames before they are compressed, 8-bit between ±its limit (:mod:`signloom.media.flow_files`); ``flow_view`` shows
    it in colours. ``signer`` is the square that ``crop`` cuts around the signer, for painting. Flow in body units and
    ``signer`` need ``pose`` among the streams.
    """

    streams: tuple[str, ...] = ("pose",)
    estimator: HolisticPose = field(default_factory=HolisticPose)
    flow: Flow = field(default_factory=Flow)
    crop: SignerCrop = field(default_factory=SignerCrop)
    shorter_px: int = 256
    crf: int = 18
    keyframe_every: int = 12
    limits: media.Limits = field(default_factory=media.Limits)

    def __post_init__(self):
        unknown = [s for s in self.streams if s not in STREAMS]
        if unknown or not self.streams:
            raise InputError(f"streams: got {', '.join(unknown) or 'none'}, expected some of {', '.join(STREAMS)}")
        if "flow_view" in self.streams and "flow" not in self.streams:
            raise InputError("a view of the flow needs the flow: add 'flow' to --streams")
        if "flow" in self.streams and self.flow.units == "body" and "pose" not in self.streams:
            raise InputError("flow in body units needs the signer's pose: add 'pose' to --streams")
        if "signer" in self.streams and "pose" not in self.streams:
            raise InputError("the signer is cut out by the pose: add 'pose' to --streams")

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
                "preset": _FRAMES_PRESET,
                "version": FRAMES_VERSION,
            }
        if "flow" in self.streams:
            made["flow"] = {**self.flow.fingerprint(), "shorter_px": self.shorter_px}
            if self.flow.units == "body":
                made["flow"]["pose"] = made["pose"]
        if "flow_view" in self.streams:
            made["flow_view"] = {"extractor": "colour-wheel", "flow": made["flow"], "version": FLOW_VIEW_VERSION}
        if "signer" in self.streams:
            made["signer"] = {
                **self.crop.fingerprint(),
                "crf": _SIGNER_CRF,
                "keyframe_every": self.keyframe_every,
                "preset": _FRAMES_PRESET,
                "pose": made["pose"],
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

    Resumable: what a killed run finished is kept, and the result is the same bytes. Streams that ``out`` already has
    are not made again, and those not asked for now stay in the manifest. Clips that fail are left out of the new
    manifest and listed with their reasons in ``failures.jsonl``. Inputs are never changed.
    Raises InputError when no clip could be prepared.
    """
    if not manifest.records:
        raise InputError(f"'{manifest.root}' has no clip to prepare")
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() == manifest.root.resolve() and (out / "manifest.jsonl").exists():
        raise InputError(f"--out '{out}' is the corpus itself; inputs are never changed, so choose another folder")
    earlier = read_manifest(out) if (out / FILE_NAME).exists() else None
    made = preparation.fingerprints() if any("video" in r.streams for r in manifest) else {}
    tasks = [
        Job(r.id, (r, manifest.root, out, preparation, made), stamp=_stamp(r, manifest.root, made, preparation))
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
                    extra={**record.extra, "seen": value["seen"], **value.get("extra", {})},
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
    if earlier is not None:
        records, streams = _with_earlier(records, streams, earlier)
    prepared = Manifest(tuple(records), out, {**meta, "streams": streams, "failed": len(failures)})
    write_manifest(prepared, out)
    return prepared, outcomes


def _with_earlier(
    records: Sequence[Record], streams: Mapping[str, Any], earlier: Manifest
) -> tuple[list[Record], dict[str, Any]]:
    """``records`` and fingerprints with the streams that the corpus had before and that were not made now.

    Only for the same clip: the same bytes, cut and number of frames. A stream made now in another way takes the place
    of the earlier one.
    """

    def same_clip(a: Record, b: Record) -> bool:
        return all(
            getattr(a, f) == getattr(b, f) for f in ("content", "first_frame", "end_frame", "box_px", "n_frames", "fps")
        )

    before = {r.id: r for r in earlier}
    also = {s: made for s, made in earlier.meta.get("streams", {}).items() if s in STREAMS and s not in streams}
    if "flow" in streams and also.get("flow_view", {}).get("flow") != streams["flow"]:
        also.pop("flow_view", None)  # it shows another flow
    merged, used = [], set()
    for record in records:
        old = before.get(record.id)
        if old is not None and same_clip(record, old):
            paths = {s: (earlier.root / old.streams[s]).resolve() for s in also if s in old.streams}
            kept = {s: str(path) for s, path in paths.items() if path.exists()}
            about = {"seen": record.extra.get("seen") or old.extra.get("seen") or {}}
            if "signer" in kept:
                about |= {k: old.extra[k] for k in ("crop", "crop_outside") if k in old.extra}
            record = replace(record, streams={**record.streams, **kept}, extra={**record.extra, **about})
            used |= set(kept)
        merged.append(record)
    together = {**{s: made for s, made in also.items() if s in used}, **streams}
    return merged, {s: together[s] for s in sorted(together, key=STREAMS.index)}


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


def prepare_clip(
    record: Record, root: Path, out: Path, preparation: Preparation, fingerprints: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Make the streams of one clip that are not there yet; the unit of work of :func:`prepare_corpus`.

    ``fingerprints`` are those of ``preparation``, where they are at hand: the pose's costs loading its estimator.
    Raises MediaError for what cannot be read and MissingStreamError when the clip has nothing to start from.
    """
    source = _source(record)
    if source is None:
        have = ", ".join(sorted(record.streams)) or "none"
        raise MissingStreamError(f"clip '{record.id}': prepare needs stream 'video' or 'pose'; it has {have}")
    path = root / record.streams[source]
    if source == "video":
        return _prepare_video(record, path, out, preparation, fingerprints or preparation.fingerprints())
    unmakeable = next((s for s in preparation.streams if s != "pose"), None)
    if unmakeable:
        raise MediaError(
            f"clip '{record.id}': {unmakeable} need stream 'video'; it has only {source}. "
            f"Leave out '{unmakeable}' from --streams",
            reason="missing-stream",
        )
    return _import_pose(record, path, out, source)


def _prepare_video(
    record: Record, path: Path, out: Path, preparation: Preparation, fingerprints: Mapping[str, Any]
) -> dict[str, Any]:
    if multiprocessing.parent_process() is not None:
        media.import_cv2().setNumThreads(1)  # there is a worker for every core
    info = media.probe(path, preparation.limits)
    content = media.content_hash(path)
    cut = (record.first_frame, record.end_frame, record.box_px)
    names = {
        s: f"{s}/{record.id}-{fingerprint_hash(content, cut, fingerprints[s])}{SUFFIXES[s]}"
        for s in preparation.streams
    }
    # Names hold all that shapes a file, and files appear whole: one that is there is the one that would be made.
    missing = {s for s in names if not (out / names[s]).exists()}
    clip = _Footage(record, path, preparation, keep={"frames", "flow"} & missing)
    if "pose" in missing:
        pose = preparation.estimator.extract(clip.first_reading(), info.fps)
        kept = media.constant_rate(np.array(clip.times_s), info.fps)
        pose.body = pose.body.select_frames(list(map(int, kept)))
        if not any(_seen(pose).values()):
            message = f"clip '{record.id}': no person was found in any of {len(clip.times_s)} frames"
            raise MediaError(message, "no-signer")
        media.write_pose(out / names["pose"], pose)
    elif missing - {"flow_view"}:  # for the frames' times
        for _ in clip.first_reading():
            pass
    pose = media.read_pose(out / names["pose"]) if "pose" in names else None
    if clip.times_s:
        n_frames = len(media.constant_rate(np.array(clip.times_s), info.fps))
    else:
        n_frames = len(pose.body.data) if pose else int(media.probe(out / next(iter(names.values()))).n_frames or 0)
    if pose is not None and len(pose.body.data) != n_frames:
        raise MediaError(
            f"clip '{record.id}': '{out / names['pose']}' has {len(pose.body.data)} frames, the clip {n_frames}; "
            "delete that file and prepare again",
            "bad-header",
        )
    extra: dict[str, Any] = {}
    if "signer" in names:
        matrix = _crop_matrix(record.id, preparation.crop, pose)
        size = pose.header.dimensions
        outside = round(preparation.crop.outside(matrix, size.width, size.height), 3)
        extra = {"crop": matrix.tolist(), "crop_outside": outside}
    if "signer" in missing:
        frames = preparation.crop.pictures(clip.as_filmed(info.fps), np.array(extra["crop"]))
        media.write_video(
            out / names["signer"],
            frames,
            info.fps,
            crf=_SIGNER_CRF,
            keyframe_every=preparation.keyframe_every,
            preset=_FRAMES_PRESET,
        )
    if missing & {"frames", "flow"}:
        _write_pictures(clip, {s: out / names[s] for s in missing}, info.fps, preparation, pose)
    if "flow_view" in missing:
        _write_flow_view(out / names["flow"], out / names["flow_view"], info.fps)
    return {
        "streams": names,
        "content": content,
        "n_frames": n_frames,
        "fps": info.fps,
        "seen": _seen(pose) if pose is not None else {},
        "fingerprints": fingerprints,
        "extra": extra,
    }


class _Footage:
    """The frames of one clip: read once, and again only where they are too many to wait in memory."""

    def __init__(self, record: Record, path: Path, preparation: Preparation, *, keep: Any):
        self._record, self._path, self._preparation = record, path, preparation
        self.id = record.id
        self.times_s: list[float] = []
        self._waiting: list[np.ndarray] | None = [] if keep else None
        self._bytes = 0

    def _read(self) -> Iterator[tuple[float, np.ndarray]]:
        record = self._record
        return media.iter_frames(
            self._path,
            first_frame=record.first_frame,
            end_frame=record.end_frame,
            box_px=record.box_px,
            limits=self._preparation.limits,
        )

    def first_reading(self) -> Iterator[np.ndarray]:
        """Every frame as it is; notes their times, and keeps them resized where that is wanted."""
        for time_s, frame in self._read():
            self.times_s.append(time_s)
            if self._waiting is not None:
                small = media.resize_shorter_side(frame, self._preparation.shorter_px)
                self._bytes += small.nbytes
                if self._bytes > _WAITING_BYTES:
                    self._waiting = None
                else:
                    self._waiting.append(small)
            yield frame

    def resized(self, fps: float) -> Iterator[np.ndarray]:
        """The frames at a constant rate, resized. After :meth:`first_reading`."""
        rows = media.constant_rate(np.array(self.times_s), fps)
        if self._waiting is not None:
            yield from (self._waiting[int(row)] for row in rows)
            return
        for frame in _picked((f for _, f in self._read()), rows):
            yield media.resize_shorter_side(frame, self._preparation.shorter_px)

    def as_filmed(self, fps: float) -> Iterator[np.ndarray]:
        """The frames at a constant rate, as large as they are; decoded again. After :meth:`first_reading`."""
        return _picked((f for _, f in self._read()), media.constant_rate(np.array(self.times_s), fps))


def _write_pictures(
    clip: _Footage, missing: Mapping[str, Path], fps: float, preparation: Preparation, pose: Any
) -> None:
    """Those of frames and flow that are missing, in one pass over the resized frames."""
    flow = preparation.flow
    stream = None
    with ExitStack() as open_files:
        add_frame: Callable[[np.ndarray], None] | None = None
        add_flow: Callable[[np.ndarray], None] | None = None
        if "frames" in missing:
            add_frame = open_files.enter_context(
                media.open_video_writer(
                    missing["frames"],
                    fps,
                    crf=preparation.crf,
                    keyframe_every=preparation.keyframe_every,
                    preset=_FRAMES_PRESET,
                )
            )
        if "flow" in missing:
            add_flow = open_files.enter_context(
                flow_file.open_flow_writer(missing["flow"], fps, flow.limit_px, units=flow.units)
            )
        for frame in clip.resized(fps):
            if add_frame:
                add_frame(frame)
            if add_flow:
                if stream is None:
                    stream = flow.stream(shoulder_px=_shoulders(clip.id, pose, frame) if flow.units == "body" else None)
                add_flow(stream.push(frame))


def _crop_matrix(clip_id: str, crop: SignerCrop, pose: Any) -> np.ndarray:
    try:
        return crop.matrix(joints_of(pose))
    except MediaError as error:
        raise MediaError(f"clip '{clip_id}': {error}", error.reason) from error


def _shoulders(clip_id: str, pose: Any, frame: np.ndarray) -> float:
    """The signer's shoulder width in pixels of ``frame``, which shows what ``pose`` was found in at another size."""
    width = shoulder_width_px(joints_of(pose))
    if not width:
        raise MediaError(
            f"clip '{clip_id}': both shoulders are never seen, so its flow has no body units; use pixels",
            "no-shoulders",
        )
    return width * frame.shape[1] / pose.header.dimensions.width


def _picked(frames: Iterator[np.ndarray], rows: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames at ``rows`` (ascending; a row may repeat), streaming."""
    wanted = Counter(int(r) for r in rows)
    for number, frame in enumerate(frames):
        for _ in range(wanted[number]):
            yield frame


def _write_flow_view(flow: Path, view: Path, fps: float) -> None:
    n_frames = flow_file.probe_flow(flow).n_frames
    with media.open_video_writer(view, fps) as add:
        for start in range(0, n_frames, 64):
            for picture in colour_wheel(flow_file.read_flow(flow, range(start, min(start + 64, n_frames)))):
                add(picture)


def _import_pose(record: Record, path: Path, out: Path, source: str) -> dict[str, Any]:
    content = media.content_hash(path)
    if source == "landmarks":
        from signloom.sources.dgs_landmarks import landmarks_to_pose

        pose = landmarks_to_pose(path)
    else:
        pose = media.read_pose(path)
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
    media.write_pose(out / name, pose)
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
