"""Poses into video of a signer: what drives a generator, how it is made to fit, and the corpus that comes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom import media
from signloom.data.failures import write_failures
from signloom.data.manifest import FILE_NAME, Manifest, Record, manifest_of_files, read_manifest, write_manifest
from signloom.data.skeleton import PARTS, Joints, joints_of, resample
from signloom.errors import InputError, MediaError, MissingStreamError, NothingPreparedError, SignloomError
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.runtime.hashing import file_stamp, fingerprint_hash
from signloom.runtime.locks import locking_out
from signloom.runtime.names import file_name
from signloom.runtime.progress import Progress
from signloom.runtime.workers import Job, Outcome, map_clips
from signloom.sources.listing import collect_files
from signloom.streams.pose_cleaning import CleanPose, clean_pose
from signloom.tasks.paint.data import resized
from signloom.tasks.paint.predict import GENERATED, GeneratorPredictor
from signloom.transforms import pose_map as drawn
from signloom.transforms import retarget as build
from signloom.transforms.geometry import scaling
from signloom.transforms.pose_smooth import PoseSmooth
from signloom.transforms.retarget import Proportions, common_proportions, face_motion, moved_lines, retarget

VERSION = 1
SOURCE = "generated"  # what the manifest of a generated corpus says where it comes from
_POSES = "poses"  # the folder, below the output's, of poses found in source videos
# OpenPose's confidence runs up to about .9 for a body and less for a hand; MediaPipe's, with which generators learn how
# bright a limb is, is near 1 for what is seen.
_OPENPOSE_SURE, _OPENPOSE_SEEN = 0.5, 0.1


@dataclass(frozen=True)
class Generation:
    """How poses become video.

    ``smooth`` is the strength of :class:`~signloom.transforms.pose_smooth.PoseSmooth`; ``retarget`` brings poses of
    others to the proportions of the signer who is painted, the generator's number ``identity``. ``fps`` None keeps the
    pose's rate. ``sharpen`` is how much of what a slight blur takes away is added again. ``side_by_side`` shows the
    pose on the left and the real picture, where there is one, on the right.
    """

    smooth: float = 0.4
    retarget: bool = True
    identity: int = 0
    fps: float | None = None
    sharpen: float = 0.0
    side_by_side: bool = False
    crf: int = 16

    def __post_init__(self):
        PoseSmooth(self.smooth)
        if not 0 <= self.sharpen <= 5:
            raise InputError(f"sharpen: got {self.sharpen}, expected 0 (off) to 5")
        if self.fps is not None and not 1 <= self.fps <= 120:
            raise InputError(f"fps: got {self.fps:g}, expected 1 to 120")


def identity_of(generator: GeneratorPredictor, wanted: str | None) -> int:
    """The number of the generator's signer who is called ``wanted``, or has that number; 0 where None.

    Raises InputError naming those it has.
    """
    if wanted is None:
        return 0
    if wanted in generator.signers:
        return generator.signers.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(generator.signers):
        return int(wanted)
    have = ", ".join(f"{k} ({name or 'no name'})" for k, name in enumerate(generator.signers))
    raise InputError(f"identity '{wanted}' is none of this generator's; it has {have}")


def read_inputs(arguments: Sequence[str], split: str | None = None) -> Manifest:
    """What is to be painted: the clips of corpora, and single ``.pose`` and video files, of folders and patterns too.

    ``split`` keeps those clips of corpora alone that are in it. Raises InputError naming what is not there.
    """
    records: list[Record] = []
    single: list[str] = []
    where: dict[str, str] = {}
    for argument in arguments:
        path = Path(argument)
        if path.name != FILE_NAME and not (path / FILE_NAME).is_file():
            single.append(argument)
            continue
        corpus = read_manifest(path)
        for record in corpus if split is None else corpus.only(split):
            if where.setdefault(record.id, argument) != argument:
                raise InputError(
                    f"clip '{record.id}' is in '{where[record.id]}' and in '{argument}', and one would take the place "
                    "of the other: paint them into a folder each"
                )
            records.append(
                replace(record, streams={s: str((corpus.root / p).resolve()) for s, p in record.streams.items()})
            )
    if split is not None and single:
        raise InputError(f"--split goes with a corpus; '{single[0]}' is none")
    for record in manifest_of_files(collect_files(single)) if single else ():
        if record.id in where:
            file = next(iter(record.streams.values()))
            raise InputError(
                f"'{file}' would be painted as '{record.id}', which is a clip of '{where[record.id]}': paint them into "
                "a folder each"
            )
        records.append(record)
    if not records:
        raise InputError(f"'{arguments[0]}' has no clip to paint")
    return Manifest(tuple(records), Path.cwd(), {"name": "inputs"})


@locking_out
def generate_corpus(
    generator: GeneratorPredictor,
    manifest: Manifest,
    out: Path,
    settings: Generation,
    *,
    model_hash: str,
    workers: int | None = None,
    quiet: bool = False,
) -> tuple[Manifest, list[Outcome]]:
    """Paint every clip of ``manifest`` into the folder ``out``; return the corpus that is there now and all outcomes.

    A clip is driven by its stream ``pose``, else ``skeleton`` (stick figures in the generator's own square), else by
    the pose that is found in its ``video``. Videos have names made of the clip's id and a hash of what it was driven
    by, the settings and the generator: those that are there are kept. A clip that fails is an outcome with its reason,
    and a line of ``failures.jsonl``. The corpus also has the clips that earlier runs painted. Raises InputError when
    ``out`` holds a corpus of another kind.
    """
    out.mkdir(parents=True, exist_ok=True)
    earlier = read_manifest(out) if (out / FILE_NAME).exists() else None
    if earlier is not None and earlier.meta.get("source") != SOURCE:
        raise InputError(f"--out '{out}' holds a corpus that was not generated; choose another folder")
    driven, failed = find_poses(manifest, out / _POSES, workers=workers, quiet=quiet)
    todo = [r for r in driven if r.id not in failed]
    job = _Job(generator, settings, model_hash, _source_builds(driven, generator, settings))
    one = len(todo) == 1
    done = map_clips(
        _paint_into,
        [Job(r.id, (r, out, job, quiet or not one), stamp=job.stamp(r)) for r in todo],
        workers=0,  # the generator is in this process, and has its cores or GPU to itself
        journal=out / "journal.jsonl",
        whole=lambda value: (out / value["video"]).exists(),
        title="generate",
        quiet=quiet or one,
    )
    outcomes = {o.id: o for o in (*failed.values(), *done)}
    records = [
        _generated(record, outcome.value, job)
        for record in driven
        if (outcome := outcomes[record.id]).value is not None
    ]
    made = {
        (r.parent, r.signer) for r in records
    }  # a clip painted anew, with other settings, takes the place of the old
    before = [r for r in earlier or () if (r.parent, r.signer) not in made and (out / r.streams["video"]).exists()]
    bad = [{"id": o.id, "reason": o.reason, "message": o.message} for o in outcomes.values() if not o.ok]
    meta = {"name": out.resolve().name, "source": SOURCE, "failed": len(bad)}
    corpus = Manifest((*before, *records), out, meta)
    write_failures(out, bad)
    if corpus.records:
        write_manifest(corpus, out)
    return corpus, [outcomes[r.id] for r in driven]


def generate_file(
    generator: GeneratorPredictor,
    record: Record,
    file: Path,
    settings: Generation,
    *,
    model_hash: str,
    quiet: bool = False,
) -> dict[str, Any]:
    """Paint one clip, which needs a stream ``pose`` or ``skeleton``, into ``file``, and say what was painted.

    Raises MediaError for what cannot be read, and MissingStreamError when the clip does not say how a signer stands.
    """
    job = _Job(generator, settings, model_hash, _source_builds([record], generator, settings))
    return _paint(record, file, job, quiet)


def find_poses(
    manifest: Manifest, folder: Path, *, workers: int | None = None, quiet: bool = False
) -> tuple[list[Record], dict[str, Outcome]]:
    """The clips of ``manifest``, those of video alone with the pose that is found in it, and those that fail.

    Poses are kept in ``folder``. Streams' paths come out absolute.
    """
    records = {
        r.id: replace(r, streams={s: str((manifest.root / p).resolve()) for s, p in r.streams.items()})
        for r in manifest
    }
    only_video = [r for r in records.values() if "video" in r.streams and not {"pose", "skeleton"} & r.streams.keys()]
    failed: dict[str, Outcome] = {}
    if only_video:
        try:
            found, outcomes = prepare_corpus(
                Manifest(tuple(only_video), manifest.root, {}),
                folder,
                Preparation(("pose",)),
                workers=workers,
                quiet=quiet,
            )
            with_pose, bad = found.records, [o for o in outcomes if not o.ok]
        except NothingPreparedError as error:
            with_pose, bad = (), [Outcome(r["id"], None, r["reason"], r["message"]) for r in error.failures]
        records |= {r.id: r for r in with_pose if r.id in records}
        failed = {o.id: o for o in bad}
    return list(records.values()), failed


# --- one clip -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """What is the same for all clips. ``builds`` are the source signers' proportions, by clip."""

    generator: GeneratorPredictor
    settings: Generation
    model_hash: str
    builds: Mapping[str, Proportions] = field(default_factory=dict)

    def shaped_by(self, record: Record) -> list[Any]:
        """What shapes a clip's video besides the file it is driven by."""
        versions = [VERSION, PoseSmooth.version, build.VERSION, drawn.VERSION, signloom.__version__]
        own = self.builds.get(record.id)
        cut: list[Any] = [record.first_frame, record.end_frame, record.n_frames]
        cut += [record.box_px] if record.box_px is not None else []
        return [asdict(self.settings), self.model_hash, own and asdict(own), cut, versions]

    def stamp(self, record: Record) -> str:
        return fingerprint_hash(
            {s: file_stamp(Path(p)) for s, p in record.streams.items()}, record.content, *self.shaped_by(record)
        )


@dataclass(frozen=True)
class _Drive:
    """What drives the generator through a clip: pose maps frame by frame; and which rows of the clip they come of.

    ``pose_found``: what had to be done to its pose, as of :func:`~signloom.streams.pose_cleaning.clean_pose`.
    """

    pose_maps: Iterator[np.ndarray]
    fps: float
    rows: np.ndarray
    matrix: np.ndarray | None
    pose_found: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


def _paint_into(record: Record, out: Path, job: _Job, quiet: bool) -> dict[str, Any]:
    mark = fingerprint_hash(_driving_content(record), *job.shaped_by(record))
    file = out / f"{file_name(record.id)}-{mark}.mp4"
    if file.exists():
        info = media.probe(file)
        about = {"n_frames": info.n_frames, "fps": info.fps}
    else:
        about = _paint(record, file, job, quiet)
    return {"video": file.name, "content": media.content_hash(file), **about}


def _paint(record: Record, file: Path, job: _Job, quiet: bool) -> dict[str, Any]:
    settings, generator = job.settings, job.generator
    drive = _drive(record, job)
    generator.warn_of_rate(drive.fps)
    about = {
        "generated": True,
        "signloom": signloom.__version__,
        "painter": job.model_hash,
        "signer": generator.signers[settings.identity] or None,
        "driven_by": record.id,
        "input": _driving_content(record),
        "settings": asdict(settings),
        "consent": record.consent,
    }
    metadata = {**GENERATED, "signloom_generated": json.dumps(about, ensure_ascii=False, sort_keys=True)}
    shown, driving = tee(drive.pose_maps) if settings.side_by_side else ((), drive.pose_maps)
    painted: Iterable[np.ndarray] = generator.paint(driving, settings.identity)
    if settings.sharpen:
        painted = (sharpened(frame, settings.sharpen) for frame in painted)
    if settings.side_by_side:
        real = _real(record, job, drive)
        figures = (resized(drawn.stick_figure(x)[None], generator.size_px)[0] for x in shown)
        panels = [figures, painted, *([real] if real is not None else [])]
        painted = (np.concatenate(row, 1) for row in zip(*panels, strict=True))
    with (
        Progress("generate", len(drive), unit="frames", quiet=quiet) as progress,
        media.open_video_writer(file, drive.fps, metadata=metadata, crf=settings.crf) as add,
    ):
        for frame in painted:
            add(frame)
            progress.step()
    about = {"n_frames": len(drive), "fps": drive.fps}
    return about | ({"pose_found": dict(drive.pose_found)} if drive.pose_found else {})


def sharpened(frame_HWC: np.ndarray, amount: float) -> np.ndarray:
    """An unsharp mask: ``frame_HWC`` (uint8) and ``amount`` times what a slight blur takes away."""
    cv2 = media.import_cv2()
    blurred = cv2.GaussianBlur(frame_HWC, (0, 0), max(0.8, len(frame_HWC) / 200))
    return cv2.addWeighted(frame_HWC, 1 + amount, blurred, -amount, 0)


def _drive(record: Record, job: _Job) -> _Drive:
    if "pose" in record.streams:
        return _drive_by_pose(record, job)
    if "skeleton" not in record.streams:
        have = ", ".join(sorted(record.streams)) or "none"
        raise MissingStreamError(
            f"clip '{record.id}': generate needs stream 'pose', 'skeleton' or 'video'; it has {have}"
        )
    path = record.streams["skeleton"]
    info = media.probe(path, end_frame=1)  # of a recording of whatever length
    fps = record.fps or info.fps
    rows = _resampled_rows(len(_own(record, info.n_frames or 0)), fps, job.settings.fps)
    figures = _picked(_frames(path, _own(record, info.n_frames or 0)), rows, record)
    pose_maps = (drawn.pose_map_of_picture(figure, job.generator.pose_map_px) for figure in figures)
    return _Drive(pose_maps, job.settings.fps or fps, rows, None)


def _drive_by_pose(record: Record, job: _Job) -> _Drive:
    settings = job.settings
    clean = _own_pose(record)
    pose, joints = clean.pose, PoseSmooth(settings.smooth)(joints_of(clean.pose))
    lines = joints.lines_TN2C
    assert lines is not None
    matrix = job.generator.square.matrix(joints)
    side = job.generator.pose_map_px
    onto = scaling(side / job.generator.size_px) @ matrix
    target = _target(job.generator, settings)
    if record.id in job.builds and target is not None:
        lines = moved_lines(lines, face_motion(joints, job.builds[record.id], target))
        joints = retarget(joints, job.builds[record.id], target)
    if any(c.name == "pose_keypoints_2d" for c in pose.header.components):
        joints, lines = _as_sure_as_mediapipe(joints, lines)
    taken = _resampled_rows(len(joints), joints.fps, settings.fps)
    if settings.fps is not None:
        joints, lines = _at_rate(joints, lines, len(taken), settings.fps)
    pose_maps = (drawn.draw_pose_map(joints, t, onto, side, lines[t]) for t in range(len(joints)))
    return _Drive(pose_maps, joints.fps, taken, matrix, clean.found)


def _own_pose(record: Record) -> CleanPose:
    """The clip's own part of the file that holds its pose, of the one person chosen; no other is read."""
    path = record.streams["pose"]
    n_frames, _ = media.probe_pose(path)
    own = _own(record, n_frames)
    if not len(own):
        raise MediaError(f"clip '{record.id}': its pose has {n_frames} frames, and none of the clip's", "no-frames")
    pose = media.read_pose(path, first_frame=own.start, end_frame=own.stop)
    return clean_pose(pose, person=str(record.extra.get("person", "auto")))


def _as_sure_as_mediapipe(joints: Joints, lines_TN2C: np.ndarray) -> tuple[Joints, np.ndarray]:
    """OpenPose's confidences on the scale that generators learn with: a hand or face that is seen is bright."""
    assert joints.confidence_TJ is not None
    sure = np.clip(joints.confidence_TJ / _OPENPOSE_SURE, 0, 1)
    for part in ("left_hand", "right_hand", "face"):
        sure[:, PARTS[part]] = joints.confidence_TJ[:, PARTS[part]] >= _OPENPOSE_SEEN
    seen_TN2C = (lines_TN2C[..., 2:] >= _OPENPOSE_SEEN).astype(lines_TN2C.dtype)
    lines_TN2C = np.concatenate([lines_TN2C[..., :2], seen_TN2C], -1)
    return replace(joints, confidence_TJ=sure.astype(np.float32)), lines_TN2C


def _at_rate(joints: Joints, lines_TN2C: np.ndarray, n_frames: int, fps: float) -> tuple[Joints, np.ndarray]:
    """Joints and outlines at another rate, interpolated."""
    xy, present = resample(joints.xy_TJC, joints.present_TJ, n_frames)
    confidence = None
    if joints.confidence_TJ is not None:
        confidence = resample(joints.confidence_TJ[..., None], joints.present_TJ, n_frames)[0][..., 0]
    n_lines = lines_TN2C.shape[1]
    points_TPC = lines_TN2C.reshape(len(joints), 2 * n_lines, 3)
    points_TPC = resample(points_TPC, points_TPC[..., 2] > 0, n_frames)[0]
    return Joints(xy, present, fps, confidence), points_TPC.reshape(n_frames, n_lines, 2, 3)


def _resampled_rows(n: int, fps: float, wanted: float | None) -> np.ndarray:
    """Which of ``n`` frames at ``fps`` is nearest to each at the ``wanted`` rate."""
    if wanted is None:
        return np.arange(n)
    return np.linspace(0, n - 1, round((n - 1) * wanted / fps) + 1).round().astype(int)


# --- the real picture ---------------------------------------------------------------------------------------------


def _real(record: Record, job: _Job, drive: _Drive) -> Iterator[np.ndarray] | None:
    """The signer's own pictures in the generator's square, frame by frame with ``drive``; None where there are none."""
    size = job.generator.size_px
    if "signer" in record.streams:
        path = record.streams["signer"]
        frames = _picked(_frames(path, _own(record, media.probe(path, end_frame=1).n_frames or 0)), drive.rows, record)
        return (resized(frame[None], size)[0] for frame in frames)
    if "video" in record.streams and drive.matrix is not None:
        footage = partial(
            media.iter_frames,
            record.streams["video"],
            first_frame=record.first_frame,
            end_frame=record.end_frame,
            box_px=record.box_px,
        )
        times_s = np.array([time_s for time_s, _ in footage()])
        even = media.constant_rate(times_s, media.probe(record.streams["video"], end_frame=1).fps)
        if drive.rows[-1] >= len(even):
            raise MediaError(f"clip '{record.id}': its video has {len(even)} frames and its pose more", "truncated")
        frames = _picked((frame for _, frame in footage()), even[drive.rows], record)
        return job.generator.square.pictures(frames, drive.matrix)
    return None


def _frames(path: str, own: range) -> Iterator[np.ndarray]:
    return (frame for _, frame in media.iter_frames(path, first_frame=own.start, end_frame=own.stop))


def _own(record: Record, n: int) -> range:
    """Which of a stream's ``n`` frames are the clip's: all, where the stream was made of the clip alone."""
    if record.n_frames == n:
        return range(n)
    end = record.end_frame if record.end_frame is not None else record.first_frame + (record.n_frames or n)
    return range(min(record.first_frame, n), min(end, n))


def _picked(frames: Iterable[np.ndarray], rows: Sequence[int] | np.ndarray, record: Record) -> Iterator[np.ndarray]:
    """The frames numbered ``rows``, which do not decrease."""
    coming, at, frame = iter(frames), -1, None
    for row in rows:
        while at < row:
            frame, at = next(coming, None), at + 1
        if frame is None:
            raise MediaError(
                f"clip '{record.id}': its pictures end at frame {at}, its pose goes on to {rows[-1]}", "truncated"
            )
        yield frame


# --- builds, and what comes out -----------------------------------------------------------------------------------


def _target(generator: GeneratorPredictor, settings: Generation) -> Proportions | None:
    kept = generator.inputs.proportions[settings.identity] if settings.retarget else None
    return Proportions.of(kept) if kept else None


def _source_builds(
    records: Sequence[Record], generator: GeneratorPredictor, settings: Generation
) -> dict[str, Proportions]:
    """The build of who signs in each clip that is to be retargeted, from all clips of the same signer.

    The generator's own signer needs none. A clip that cannot be read is left to fail when it is painted.
    """
    if _target(generator, settings) is None:
        return {}
    own = generator.signers[settings.identity]
    by_signer: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if "pose" in record.streams and not (record.signer and record.signer == own):
            by_signer.setdefault(("signer", record.signer) if record.signer else ("clip", record.id), []).append(record)
    builds: dict[str, Proportions] = {}
    for clips in by_signer.values():
        parts = []
        for record in clips:
            try:
                parts.append(joints_of(_own_pose(record).pose))
            except SignloomError:
                continue
        together = common_proportions(parts)
        builds |= {record.id: together for record in clips}
    return builds


def _driving_content(record: Record) -> str:
    """A hash of the bytes that a clip is driven by."""
    path = Path(record.streams.get("pose") or record.streams.get("skeleton") or "")
    return _content_of(path, file_stamp(path))


@lru_cache(maxsize=16)
def _content_of(path: Path, stamp: str) -> str:
    """The hash of a file that looks like ``stamp``: found once for all clips of a recording."""
    if path.is_dir():
        return fingerprint_hash([media.content_hash(p) for p in media.list_pictures(path)])
    return media.content_hash(path)


def _generated(record: Record, value: Mapping[str, Any], job: _Job) -> Record:
    extra = {k: v for k, v in record.extra.items() if k not in ("crop", "seen")}
    return Record(
        id=Path(value["video"]).stem,
        label=record.label,
        signer=job.generator.signers[job.settings.identity] or None,
        source=record.source,
        split=record.split,
        parent=record.id,
        streams={"video": value["video"]},
        n_frames=value["n_frames"],
        fps=value["fps"],
        content=value["content"],
        licence=record.licence,
        consent=record.consent,
        extra={**extra, "generated": True, "painter": job.model_hash, "driven_by": record.signer},
    )
