"""Naming the sign in raw files: each prepared exactly as the model's training corpus was, then answered for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.corpus import ClipRef, HeldClip
from signloom.data.manifest import Manifest, manifest_of_files
from signloom.data.signal import Signal
from signloom.data.skeleton import Joints, joints_of
from signloom.data.stream import ClipInfo, fingerprint_diff
from signloom.errors import CheckpointError, InputError, MediaError, NothingPreparedError, SignloomError
from signloom.media.limits import SENSOR_SUFFIXES
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.workers import Outcome
from signloom.streams import streams_of
from signloom.streams.pose import PoseStream, components_of
from signloom.streams.pose_cleaning import clean_pose
from signloom.streams.runner import Runner
from signloom.tasks.recognise.evaluate import Scores, score_corpus
from signloom.tasks.recognise.fuse import FusedRecogniser
from signloom.tasks.recognise.predict import Recogniser
from signloom.training.checkpoint import Checkpoint, checkpoint_hash
from signloom.training.task import NONE_OF_THESE


def predict_files(
    predictor: Recogniser | FusedRecogniser,
    paths: Sequence[Path],
    cache: Path,
    *,
    workers: int | None = None,
    timeout_s: float = 600.0,
    quiet: bool = False,
    sensor: Mapping[str, Any] | None = None,
) -> tuple[Scores | None, list[Outcome]]:
    """Prepare raw files exactly as the model's training corpus was, and score them.

    ``cache`` receives the prepared streams; the same file is not prepared twice. Returns the scores (None when every
    file failed) and the outcome of each file. A file that only some members of a fusion can read (a ``.pose`` file
    holds no picture) is judged by those. ``sensor`` says how the files of sensors are to be read, as in a record.
    """
    pool: dict[str, Any] = {"workers": workers, "timeout_s": timeout_s, "quiet": quiet, "sensor": sensor}
    if not isinstance(predictor, FusedRecogniser):
        return _predict_one(predictor, paths, cache, **pool)
    scored, outcomes = [], []
    for run in predictor.runs:
        name = "-".join(sorted(run.checkpoint.streams))
        scores, own = _predict_one(run.recogniser, paths, cache / name, **pool)
        scored.append(scores)
        outcomes.append(own)
    best = [next((o for o in of_file if o.ok), of_file[0]) for of_file in zip(*outcomes)]
    return (predictor.combine(scored) if any(s is not None for s in scored) else None), best


def answer_rows(
    predictor: Recogniser | FusedRecogniser, paths: Sequence[Path], cache: Path, *, top: int = 5, **how: Any
) -> tuple[list[dict[str, Any]], list[Outcome]]:
    """A row for each of ``paths``, and what became of them; ``how`` as in :func:`predict_files`.

    A row has ``file``, ``label``, ``confidence`` and ``top`` (pairs of a label and its probability), ``unknown`` (the
    unknown score, None where the model has none) and ``none_of_these``; or ``file``, ``error`` and ``reason``.
    """
    scores, outcomes = predict_files(predictor, paths, cache, **how)
    found = {}
    if scores is not None:
        unknown_N = [None] * len(scores.records) if scores.unknown_N is None else scores.unknown_N
        for record, p_K, unknown in zip(scores.records, scores.probabilities_NK, unknown_N):
            best = [[scores.labels[k], float(p_K[k])] for k in np.argsort(-p_K, kind="stable")[:top]]
            found[record.id] = {
                "label": best[0][0],
                "confidence": best[0][1],
                "unknown": None if unknown is None else float(unknown),
                "none_of_these": None if unknown is None else bool(unknown > NONE_OF_THESE),
                "top": best,
            }
    failed = {o.id: {"error": o.message, "reason": o.reason} for o in outcomes if not o.ok}
    records = manifest_of_files(paths, tables_of(predictor))
    return [{"file": str(p), **(found.get(r.id) or failed[r.id])} for p, r in zip(paths, records)], outcomes


def identity_of(predictor: Any) -> str:
    """Changes with what a trained model, or a fusion, is: weights, settings, and what it was taught."""
    runs = predictor.runs if isinstance(predictor, FusedRecogniser) else [predictor]
    parts: list[Any] = [checkpoint_hash(run.checkpoint) for run in runs]
    return fingerprint_hash(*parts, asdict(predictor.fusion) if isinstance(predictor, FusedRecogniser) else "")


def _predict_one(
    recogniser: Recogniser, paths: Sequence[Path], cache: Path, *, sensor: Mapping[str, Any] | None, **pool: Any
) -> tuple[Scores | None, list[Outcome]]:
    checkpoint = recogniser.checkpoint
    files = manifest_of_files(paths, tables_of(recogniser), sensor)
    try:
        prepared, outcomes = prepare_corpus(files, cache, preparation_of(checkpoint), **pool)
    except NothingPreparedError as error:
        return None, [Outcome(row["id"], reason=row["reason"], message=row["message"]) for row in error.failures]
    return score_corpus(recogniser, as_trained(checkpoint, prepared)), outcomes


def tables_of(predictor: Any) -> str:
    """Which stream a table, or a ``.mat`` file, is to a model: the first that it needs and that there are such of."""
    return next((need for need in predictor.needs if need in ("imu", "pose", "depth")), "imu")


def as_trained(checkpoint: Checkpoint, prepared: Manifest) -> Manifest:
    """``prepared`` with lone ``.pose`` files, which have no record of their estimator, taken for the model's own.

    Raises CheckpointError where they hold other points.
    """
    streams = {**prepared.meta["streams"]}
    if "pose" in checkpoint.streams:
        for record in prepared:
            if "video" not in record.streams and "pose" in record.streams:
                _check_points(checkpoint, record.path("pose", prepared.root, "predict"), record.id)
        if not any("video" in r.streams for r in prepared):
            streams["pose"] = checkpoint.streams["pose"]
    return replace(prepared, meta={**prepared.meta, "streams": streams})


def preparation_of(checkpoint: Checkpoint) -> Preparation:
    """How to make the streams that ``checkpoint`` was trained on. Raises CheckpointError when this machine cannot."""
    try:
        preparation = Preparation(streams_of(checkpoint.streams))
        imported = {s for s, made in checkpoint.streams.items() if made.get("extractor") == "imported"}
        made = {name: s.fingerprint() for name, s in preparation.streams.items() if name not in imported}
    except SignloomError as error:
        raise CheckpointError(f"cannot make the streams this model was trained on: {error}") from error
    for stream, wanted in checkpoint.streams.items():
        if stream in imported:
            continue  # only .pose files will do; checked per file
        differences = fingerprint_diff(wanted, made[stream])
        if differences:
            raise CheckpointError(
                f"the model was trained on another '{stream}' than this installation makes: {'; '.join(differences)}. "
                "Install what it was trained with (for poses mediapipe==0.10.21), or train again on a corpus made here"
            )
    return preparation


def _check_points(checkpoint: Checkpoint, file: Path, clip: str, fps: float | None = None) -> None:
    """A lone ``.pose`` file has no record of its estimator; the points it holds must at least be the same."""
    got = components_of(media.read_pose(file, fps=fps))
    wanted = checkpoint.streams["pose"].get("components")
    if wanted is None:
        face = 468 if checkpoint.streams["pose"].get("face") == "mesh" else 128
        wanted = {
            "POSE_LANDMARKS": 33,
            "FACE_LANDMARKS": face,
            "LEFT_HAND_LANDMARKS": 21,
            "RIGHT_HAND_LANDMARKS": 21,
        }
    if got != wanted:
        raise CheckpointError(f"clip '{clip}': its pose has points {got}, the model was trained on {wanted}")


# --- one clip, for programs ---------------------------------------------------------------------------------------


def read_clip(source: Any, predictor: Any, fps: float | None = None) -> ClipRef:
    """See :func:`signloom.read_clip`."""
    if isinstance(source, Mapping):
        if fps is None and "imu" in source and not isinstance(source["imu"], Signal):
            raise InputError("samples of a sensor need their rate: read_clip({'imu': …}, predictor, fps=50)")
        return _clip_of_arrays(source, predictor, fps or predictor.fps)
    path = Path(source)
    if not path.exists():
        raise MediaError(f"'{path}': no such file", "missing")
    if path.suffix.lower() in SENSOR_SUFFIXES and tables_of(predictor) == "imu":
        if "imu" not in predictor.streams:
            raise InputError(f"'{path}' is a table, and the model reads {', '.join(predictor.needs)}; give it a video")
        how = {} if fps is None else {"rate_hz": fps}
        taken = predictor.streams["imu"].import_file(path, how, ClipInfo(path.stem, predictor.fps), None, cut=False)
        return HeldClip(path.stem, {"imu": taken.samples}, taken.fps)
    if path.suffix == ".pose" or (path.suffix.lower() == ".mat" and tables_of(predictor) == "pose"):
        if "pose" not in predictor.streams:
            raise InputError(f"'{path}' is a pose, and the model reads {', '.join(predictor.needs)}; give it a video")
        for checkpoint in _checkpoints(predictor):
            _check_points(checkpoint, path, path.stem, fps)
        joints = _joints_of_file(path, predictor.streams["pose"], fps)
        return HeldClip(path.stem, {"pose": joints}, joints.fps)
    info = media.probe(path)
    samples = ((time_s, {"video": frame}) for time_s, frame in media.iter_frames(path))
    return _pushed(path.stem, samples, predictor, info.fps)


def _joints_of_file(path: Path, stream: PoseStream, fps: float | None) -> Joints:
    """The joints of somebody's ``.pose`` file, cleaned as ``prepare`` would."""
    return joints_of(clean_pose(media.read_pose(path, fps=fps), ghosts=stream.ghosts).pose)


def _checkpoints(predictor: Any) -> list[Checkpoint]:
    """The checkpoints, of one model or of the members of a fusion, that read poses."""
    every = [run.checkpoint for run in predictor.runs] if hasattr(predictor, "runs") else [predictor.checkpoint]
    return [checkpoint for checkpoint in every if "pose" in checkpoint.streams]


def _clip_of_arrays(source: Mapping[str, Any], predictor: Any, fps: float) -> ClipRef:
    lengths = {name: len(samples) for name, samples in source.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"streams of one clip have equally many samples; got {lengths or 'none'}")
    if set(predictor.needs) <= source.keys():
        return HeldClip("arrays", {name: _checked(name, source[name], predictor, fps) for name in predictor.needs}, fps)
    rows = range(next(iter(lengths.values())))
    samples = ((row / fps, {name: values[row] for name, values in source.items()}) for row in rows)
    return _pushed("arrays", samples, predictor, fps)


def _checked(name: str, samples: Any, predictor: Any, fps: float) -> Any:
    if name == "imu" and not isinstance(samples, Signal):
        return Signal(np.asarray(samples, np.float32), fps, predictor.streams[name].channels)
    if name == "frames" and (np.ndim(samples) != 4 or np.shape(samples)[-1] != 3 or samples.dtype != np.uint8):
        raise InputError(f"frames: got {samples.dtype} {np.shape(samples)}; wanted uint8 (T, H, W, 3) RGB")
    return samples


def _pushed(name: str, samples: Any, predictor: Any, fps: float) -> ClipRef:
    makeable = {need: predictor.streams[need] for need in predictor.needs if predictor.streams[need].requires}
    # A generator that learnt from stick figures, which nothing makes, takes poses as well.
    runner = Runner(makeable or {"pose": predictor.streams["pose"]}, ClipInfo(name, fps))
    for time_s, sample in samples:
        runner.push(time_s, sample)
    return HeldClip(name, runner.close(), fps)
