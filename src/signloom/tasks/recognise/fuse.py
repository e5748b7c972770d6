"""Late fusion of trained recognisers: weights from validation clips, and the fusion measured beside each stream alone.

What goes in are run folders, of whatever recipe and architecture, that were trained on the same split; what comes out
are results like those of one recogniser, and a fused model that can be saved, loaded and used.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom.data.corpus import ClipList, ClipRef, describe_corpus, split_hash_of
from signloom.data.leaks import refuse_leaks
from signloom.data.manifest import Manifest, Record
from signloom.data.seen import Overlap, overlap
from signloom.data.splits import read_split, split_in_use, write_split
from signloom.data.stream import Stream
from signloom.errors import CheckpointError, InputError, LeakError, SignloomError, SignloomWarning
from signloom.metrics.classification import row_blocks
from signloom.metrics.intervals import paired_difference, share_interval, signer_groups
from signloom.runtime.atomic import atomic_write, write_json
from signloom.runtime.hashing import fingerprint_hash
from signloom.tasks.recognise.evaluate import Scores, results_of, score_corpus
from signloom.tasks.recognise.fusion import Fusion, equal_fusion, fit_fusion, on_labels
from signloom.tasks.recognise.open_set import Answers
from signloom.tasks.recognise.predict import Recogniser, RecogniserSession, prediction
from signloom.training.checkpoint import (
    Checkpoint,
    checkpoint_hash,
    load_checkpoint,
    refuse_overlap,
    run_folder,
    seen_by,
)
from signloom.training.task import Prediction

FORMAT = "signloom-fusion"
FORMAT_VERSION = 1
FILE_NAME = "fusion.json"


@dataclass(frozen=True)
class Run:
    """A trained recogniser among others: ``name`` tells it from them, ``folder`` holds its checkpoint."""

    name: str
    folder: Path
    checkpoint: Checkpoint

    @cached_property
    def recogniser(self) -> Recogniser:
        """Ready to use."""
        return Recogniser(self.checkpoint)


@dataclass(frozen=True)
class FusedRecogniser:
    """Recognisers with the fusion that joins them; ``labels`` is the union of what they know, sorted.

    Implements :class:`signloom.training.task.Predictor`.
    """

    runs: tuple[Run, ...]
    fusion: Fusion

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(s for run in self.runs for s in run.checkpoint.streams))

    @property
    def streams(self) -> Mapping[str, Stream]:
        """What makes and reads the streams it needs. Raises CheckpointError where the runs want different ones."""
        found: dict[str, Stream] = {}
        for run in self.runs:
            for name, stream in run.recogniser.streams.items():
                if name in found and found[name].fingerprint() != stream.fingerprint():
                    raise CheckpointError(
                        f"run '{run.name}' was trained on another '{name}' than the runs before it; prepare a corpus "
                        "for each, and evaluate them one by one"
                    )
                found[name] = stream
        return found

    @property
    def tells_unknown(self) -> bool:
        """Whether its answers have an unknown score."""
        return any(run.recogniser.tells_unknown for run in self.runs)

    def scores(self, clips: Sequence[ClipRef]) -> np.ndarray:
        """Fused log-probabilities of many clips, (N, K)."""
        return self.answers(clips).logits_NK

    def answers(self, clips: Sequence[ClipRef]) -> Answers:
        """Fused log-probabilities and unknown scores of many clips: each is judged by the runs whose streams it has."""
        scored: list[Scores | None] = []
        records = tuple(Record(clip.id) for clip in clips)
        for run in self.runs:
            able = [k for k, clip in enumerate(clips) if all(clip.has(s) for s in run.checkpoint.streams)]
            own = tuple(records[k] for k in able)
            some = ClipList(tuple(clips[k] for k in able))
            found = run.recogniser.answers(some) if able else None
            scored.append(Scores(own, run.checkpoint.known, found.logits_NK, found.unknown_N) if found else None)
        fused = self.combine(scored, records)
        return Answers(fused.logits_NK, fused.unknown_N)

    def __call__(self, clip: ClipRef) -> Prediction:
        """What is signed in ``clip``."""
        return prediction(clip, self.labels, self.answers([clip]))

    @property
    def fps(self) -> float:
        """The usual rate of the clips that its first run learnt from; 25 where that is not on record."""
        return self.runs[0].checkpoint.fps

    def session(self, fps: float | None = None) -> RecogniserSession:
        """As :meth:`Recogniser.session`."""
        return RecogniserSession(self, fps)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({label for run in self.runs for label in run.checkpoint.known}))

    def combine(self, scored: Sequence[Scores | None], records: Sequence[Record] | None = None) -> Scores:
        """The fused scores of ``records`` (default: of every clip that any run scored), clips matched by id.

        ``scored`` has one entry per run: its scores, of all or some of the clips, or None. A clip is judged by the
        runs that scored it. Raises InputError naming a clip that no run scored.
        """
        if len(scored) != len(self.runs):
            raise InputError(f"fusion: want the scores of {len(self.runs)} runs; got {len(scored)}")
        if records is None:
            records = list({r.id: r for s in scored if s is not None for r in s.records}.values())
        labels = self.labels
        present_SN = _present(scored, records)
        nobody = np.flatnonzero(~present_SN.any(axis=0))
        if len(nobody):
            streams = " and ".join(f"{run.name} needs {', '.join(run.checkpoint.streams)}" for run in self.runs)
            have = ", ".join(sorted(records[nobody[0]].streams)) or "none"
            raise InputError(
                f"clip '{records[nobody[0]].id}' ({len(nobody)} in all) has no stream that a fused model reads: "
                f"{streams}; it has {have}. Prepare it: signloom prepare … --streams"
            )
        known_SK = np.array([[label in set(run.checkpoint.known) for label in labels] for run in self.runs])
        fused_NK = np.empty((len(records), len(labels)), np.float32)
        for rows in row_blocks(fused_NK):
            log_p_SNK = aligned(scored, records[rows], labels)[0]
            # What nobody who judged a clip knows cannot be its answer, nor has it a likelihood.
            can_NK = (present_SN[:, rows, None] & known_SK[:, None, :]).any(axis=0)
            fused_NK[rows] = np.where(can_NK, self.fusion(list(log_p_SNK), present_SN[:, rows]), -np.inf)
        unknown_SN = [_unknown_of(own, records) for own in scored]
        return Scores(tuple(records), labels, fused_NK, self.fusion.unknown(unknown_SN, present_SN))


def _unknown_of(own: Scores | None, records: Sequence[Record]) -> np.ndarray | None:
    """The unknown scores of ``records`` (N,), .5 of those that were not judged; None where there are none."""
    if own is None or own.unknown_N is None:
        return None
    found = {record.id: score for record, score in zip(own.records, own.unknown_N)}
    return np.array([found.get(record.id, 0.5) for record in records])


def _present(scored: Sequence[Scores | None], records: Sequence[Record]) -> np.ndarray:
    """Which of ``records`` each run scored, (S, N) bool."""
    ids = [{record.id for record in own.records} if own is not None else set() for own in scored]
    return np.array([[record.id in own for record in records] for own in ids], bool).reshape(len(scored), len(records))


def aligned(
    scored: Sequence[Scores | None], records: Sequence[Record], labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities (S, N, K) of ``records`` over ``labels``, and which of them (S, N) there are."""
    log_p_SNK = np.zeros((len(scored), len(records), len(labels)))
    present_SN = np.zeros((len(scored), len(records)), bool)
    for s, own in enumerate(scored):
        if own is None or not own.records:
            continue
        place = {record.id: row for row, record in enumerate(own.records)}
        rows = [place.get(record.id, -1) for record in records]
        there = np.array([row >= 0 for row in rows])
        present_SN[s] = there
        chosen = own.logits_NK[[row for row in rows if row >= 0]]
        log_p_SNK[s, there] = on_labels(chosen, own.labels, labels)
    return log_p_SNK, present_SN


# --- opening ----------------------------------------------------------------------------------------------------


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Load the checkpoints of several runs and name each by what tells its folder from the others.

    Raises InputError for a run given twice and for a saved fusion, which is evaluated alone.
    """
    for folder in folders:
        if is_fusion(folder):
            raise InputError(f"'{folder}' is a fusion already; give the runs it is made of, or evaluate it alone")
    runs = [Run(name, Path(f), load_checkpoint(f)) for name, f in zip(names_of(folders), folders)]
    return runs


def names_of(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the folders' paths that are all different."""
    paths = [Path(f).resolve() for f in folders]
    paths = [p.parent if p.name == "checkpoint" else p for p in paths]
    for n in range(1, max(len(p.parts) for p in paths) + 1):
        names = ["/".join(p.parts[-n:]) for p in paths]
        if len(set(names)) == len(names):
            return names
    twice = next(f for f, p in zip(folders, paths) if paths.count(p) > 1)
    raise InputError(f"'{twice}' was given twice; each run can be fused or compared once")


def crossval_runs(folder: Path) -> dict[tuple[str, int], Path]:
    """(fold, seed) → run folder of every finished run below ``folder``, as `signloom crossval` lays them out."""
    found = {}
    for run in sorted(Path(folder).glob("*/seed*/run.json")):
        seed = run.parent.name.removeprefix("seed")
        if seed.isdigit():
            found[run.parent.parent.name, int(seed)] = run.parent
    return found


def is_crossval(folder: Path) -> bool:
    """Whether ``folder`` is what `signloom crossval` wrote, not a single run."""
    folder = Path(folder)
    single = any((folder / name / "config.json").exists() for name in (".", "checkpoint"))
    return not single and bool(crossval_runs(folder))


def is_fusion(folder: Path) -> bool:
    """Whether ``folder`` holds a saved fusion."""
    return (Path(folder) / FILE_NAME).exists()


# --- scoring ----------------------------------------------------------------------------------------------------


def cached_scores(run: Run, manifest: Manifest, split: str) -> Scores | None:
    """The scores of all clips of ``manifest`` that have ``run``'s streams; None when none has.

    They are kept in the run folder as ``scores-<split>.npz`` and used again as long as the checkpoint, the clips, and
    the files and fingerprints of their streams are the same. Raises as :func:`score_corpus` does.
    """
    needed = tuple(run.checkpoint.streams)
    for stream in needed:
        manifest.fingerprint(stream)  # a stream that was never prepared is an error; one that some clips lack is not
    clips = manifest.where(lambda r: all(stream in r.streams for stream in needed))
    if not clips.records:
        return None
    file = _cache_file(run, split)
    if file is None:
        return score_corpus(run.recogniser, clips)
    key = _scores_key(run, clips)
    kept = _read_scores(file, key, clips, run.checkpoint.known)
    if kept is not None:
        return kept
    scores = score_corpus(run.recogniser, clips)
    try:
        with atomic_write(file) as tmp:
            more = {} if scores.unknown_N is None else {"unknown_N": scores.unknown_N}
            np.savez(tmp, key=np.array(key), ids=np.array([r.id for r in clips]), logits_NK=scores.logits_NK, **more)
    except SignloomError as error:  # a run that is somebody else's, say: it is measured all the same
        warnings.warn(f"scores are not kept: {error}", SignloomWarning, stacklevel=2)
    return scores


def _cache_file(run: Run, split: str) -> Path | None:
    """Where a run's scores are kept; nowhere for a checkpoint on its own, which is for use and stays as it is."""
    folder = run_folder(run.folder)
    return folder / f"scores-{split}.npz" if (folder / "run.json").exists() else None


def _scores_key(run: Run, clips: Manifest) -> str:
    files: list[tuple[Any, ...]] = []
    for record in clips:
        for stream in run.checkpoint.streams:
            path = clips.root / record.streams[stream]
            try:
                info = os.stat(path)
            except OSError:
                files.append((record.id, stream, None))
                continue
            files.append((record.id, stream, record.streams[stream], info.st_size, info.st_mtime_ns))
    fingerprints = {stream: clips.fingerprint(stream) for stream in run.checkpoint.streams}
    return fingerprint_hash(
        signloom.__version__, checkpoint_hash(run.checkpoint), clips.corpus_hash(), fingerprints, sorted(files, key=str)
    )


def _read_scores(file: Path, key: str, clips: Manifest, labels: Sequence[str]) -> Scores | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["key"]) != key:
                return None
            ids, logits_NK = [str(i) for i in kept["ids"]], kept["logits_NK"]
            unknown_N = kept.get("unknown_N")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # absent, or not whole: scored again
    row = {i: n for n, i in enumerate(ids)}
    if logits_NK.shape != (len(clips), len(labels)) or set(row) != {r.id for r in clips}:
        return None
    rows = [row[r.id] for r in clips]
    return Scores(clips.records, tuple(labels), logits_NK[rows], None if unknown_N is None else unknown_N[rows])


# --- guards -----------------------------------------------------------------------------------------------------


def refuse_other_splits(runs: Sequence[Run], manifest: Manifest) -> None:
    """Raise LeakError, naming the run, unless all were trained on one split: the one that ``manifest`` carries.

    Of a corpus whose clips are all measured, :func:`overlap_of_runs` tells what they have seen.
    """
    first = runs[0]
    for run in runs:
        own = run.checkpoint.split.get("hash")
        if not own:
            raise CheckpointError(
                f"run '{run.name}' does not say which clips it was trained on (its config has no split hash); train "
                "it again: signloom train"
            )
        if own != first.checkpoint.split["hash"]:
            raise LeakError(
                f"run '{run.name}' was trained on another split than '{first.name}' ({own} against "
                f"{first.checkpoint.split['hash']}): one would be measured on clips it has seen. Train both on the "
                "same split: signloom train … --split FILE"
            )
    if any(r.split in ("train", "val") for r in manifest):
        got = split_hash_of(manifest)
        if got != first.checkpoint.split["hash"]:
            raise LeakError(
                f"run '{first.name}' was trained on another split ({first.checkpoint.split['hash']}) than the one "
                f"asked for ({got}): it may have seen what would be measured. Leave --split out, or give the run's own"
            )


def overlap_of_runs(runs: Sequence[Run], manifest: Manifest, split: str) -> Overlap:
    """How much of one split of ``manifest`` any of ``runs`` has learnt from.

    Raises LeakError, naming the run, where that belies the split (:func:`signloom.data.seen.refuse_seen`).
    """
    records = [r for r in manifest if r.split == split]
    together = Overlap()
    for run in runs:
        found = overlap(seen_by(run.checkpoint, manifest), manifest, records)
        refuse_overlap(found, split, run.checkpoint, manifest, f"run '{run.name}'")
        together += found
    return together


# --- fusing -----------------------------------------------------------------------------------------------------


def fit_runs(runs: Sequence[Run], manifest: Manifest) -> FusedRecogniser:
    """Fuse ``runs`` with weights fitted on the validation clips of ``manifest``'s split, never on any other.

    Only validation clips that were filmed, and have every run's streams and a label that some run knows, are used;
    without any the streams weigh the same. Raises InputError for a single run, LeakError as
    :func:`refuse_other_splits`.
    """
    if len(runs) < 2:
        raise InputError(f"fusion needs at least two runs; got {', '.join(r.name for r in runs) or 'none'}")
    refuse_other_splits(runs, manifest)
    unfitted = FusedRecogniser(tuple(runs), equal_fusion(len(runs)))
    index = {label: k for k, label in enumerate(unfitted.labels)}
    val = manifest.where(lambda r: r.split == "val" and r.label in index and not r.augmented)
    if not val.records:
        return unfitted
    scored = [cached_scores(run, val, "val") for run in runs]
    log_p_SNK, present_SN = aligned(scored, val.records, unfitted.labels)
    whole = present_SN.all(axis=0)
    if not whole.any():
        return unfitted
    y = np.array([index[r.label] for r in val if r.label is not None])
    return replace(unfitted, fusion=fit_fusion(list(log_p_SNK[:, whole]), y[whole]))


@dataclass(frozen=True)
class Measured:
    """What several runs, and maybe their fusion, say of the same clips."""

    records: tuple[Record, ...]
    alone: tuple[Scores | None, ...]
    fused: Scores | None
    model: FusedRecogniser | None
    overlap: Overlap

    def hits_SN(self) -> np.ndarray:
        """Whether each run recognised each clip, (S, N) bool; a clip whose stream is missing was not recognised."""
        hits = np.zeros((len(self.alone), len(self.records)), bool)
        for s, own in enumerate(self.alone):
            hits[s] = _hits(own, self.records)
        return hits

    def fused_hits_N(self) -> np.ndarray:
        return _hits(self.fused, self.records)


def _hits(scores: Scores | None, records: Sequence[Record]) -> np.ndarray:
    right: dict[str, bool] = {}
    if scores is not None:
        best = scores.logits_NK.argmax(axis=1)
        right = {r.id: scores.labels[k] == r.label for r, k in zip(scores.records, best)}
    return np.array([right.get(r.id, False) for r in records])


def measure(runs: Sequence[Run], manifest: Manifest, split: str, model: FusedRecogniser | None) -> Measured:
    chosen = manifest.measured(split)
    for record in chosen:
        if record.label is None:
            raise InputError(f"clip '{record.id}' has no label; give one or leave it out")
    found = overlap_of_runs(runs, manifest, split)
    if split == "test" and manifest.where(lambda r: r.split in ("train", "val")).records:
        refuse_leaks(manifest)
    alone = tuple(cached_scores(run, chosen, split) for run in runs)
    fused = model.combine(alone, chosen.records) if model else None
    return Measured(chosen.records, alone, fused, model, found)


def describe_run(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "recipe": run.checkpoint.recipe.get("name"),
        "architecture": run.checkpoint.architecture,
        "streams": sorted(run.checkpoint.streams),
    }


def proportion(hits_N: np.ndarray, signers: Sequence[str | None], seed: int) -> dict[str, Any]:
    """The share of hits with its interval: over whole signers where there are enough, else over clips."""
    return share_interval(hits_N, signer_groups(signers), seed=seed)


def _resampled(signers: Sequence[str | None]) -> str:
    """What the intervals of a comparison are over, in words."""
    over = "clips" if signer_groups(signers) is None else f"{len(set(signers))} signers"
    return f"95 %, percentile bootstrap over {over}; differences: each clip drawn with both answers"


def evaluate_fused(
    model: FusedRecogniser, manifest: Manifest, split: str, *, about: Mapping[str, Any] | None = None, seed: int = 0
) -> dict[str, Any]:
    """Measure a fused model on one split: the results document of :func:`results_of`, with ``fusion``.

    ``fusion`` has ``streams`` (per run: ``name``, ``recipe``, ``architecture``, ``streams``, ``weight``, ``val_top1``,
    ``top1`` on the clips measured, ``n_missing`` clips it could not score, and ``difference``: how much more the
    fusion recognises than it, with a paired bootstrap interval over clips), ``best`` (the run that is best on the clips
    measured: the strictest comparison), ``difference`` (fused minus that one), ``top1``, ``rule``, ``temperature``,
    ``shrinkage``, ``step`` and ``validation``. Raises LeakError as :func:`refuse_other_splits` does.
    """
    refuse_other_splits(model.runs, manifest)
    measured = measure(model.runs, manifest, split, model)
    assert measured.fused is not None
    checkpoint = model.runs[0].checkpoint
    results = results_of(
        [measured.fused],
        split={"name": split, **split_in_use(manifest), **(about or {})},
        found=measured.overlap,
        checkpoint=replace(checkpoint, labels=measured.fused.labels),
        manifest=manifest,
        seed=seed,
        title=fusion_title(model.runs, manifest),
    )
    hits_SN, fused_N = measured.hits_SN(), measured.fused_hits_N()
    signers = [record.signer for record in measured.records]
    validation = model.fusion.validation or {}
    streams = []
    for s, run in enumerate(model.runs):
        own = measured.alone[s]
        streams.append(
            {
                **describe_run(run),
                "weight": model.fusion.weights[s],
                "val_top1": validation["top1_S"][s] if validation else None,
                "top1": proportion(hits_SN[s], signers, seed),
                "n_missing": len(measured.records) - (len(own.records) if own else 0),
                "difference": paired_difference(fused_N, hits_SN[s], signers=signers, seed=seed),
            }
        )
    best = max(streams, key=lambda row: row["top1"]["value"])
    results["fusion"] = {
        "streams": streams,
        "top1": results["metrics"]["top1"],
        "best": best["name"],
        "difference": best["difference"],
        "rule": model.fusion.rule,
        "temperature": model.fusion.temperature,
        "shrinkage": model.fusion.shrinkage,
        "step": model.fusion.step,
        "validation": {k: v for k, v in validation.items() if k != "top1_S"},
        "interval": _resampled(signers),
    }
    return about_fusion(results, model.runs)


def fuse_runs(
    runs: Sequence[Run],
    manifest: Manifest,
    split: str = "test",
    *,
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> tuple[dict[str, Any], FusedRecogniser]:
    """Fit the fusion of ``runs`` on the validation clips of ``manifest`` and measure it on ``split``.

    Returns the results (see :func:`evaluate_fused`) and the fused model.
    """
    model = fit_runs(runs, manifest)
    return evaluate_fused(model, manifest, split, about=about, seed=seed), model


def compare_runs(
    runs: Sequence[Run],
    manifest: Manifest,
    split: str = "test",
    *,
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure several runs on the same clips: ``streams`` with ``top1`` and its interval each, best first."""
    refuse_other_splits(runs, manifest)
    measured = measure(runs, manifest, split, None)
    hits_SN = measured.hits_SN()
    signers = [record.signer for record in measured.records]
    best = int(hits_SN.mean(axis=1).argmax())
    rows = [
        {
            **describe_run(run),
            "top1": proportion(hits_SN[s], signers, seed),
            "n_missing": len(measured.records) - (len(own.records) if (own := measured.alone[s]) else 0),
            "difference": paired_difference(hits_SN[s], hits_SN[best], signers=signers, seed=seed)
            if s != best
            else None,
        }
        for s, run in enumerate(runs)
    ]
    return {
        "kind": "comparison",
        "title": f"{len(runs)} runs on {describe_corpus(manifest)['name']}",
        "split": {"name": split, **split_in_use(manifest), **(about or {})},
        "overlap": measured.overlap.as_dict(),
        "n_clips": len(measured.records),
        "streams": sorted(rows, key=lambda row: -row["top1"]["value"]),
        "interval": _resampled(signers),
    }


def fusion_title(runs: Sequence[Run], manifest: Manifest) -> str:
    return f"{' + '.join(run.name for run in runs)}, fused, on {describe_corpus(manifest)['name']}"


def about_fusion(results: dict[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """The results with settings and record of all fused runs in place of the first one's."""
    own: dict[str, Any] = {}
    for run in runs:
        own[run.name] = {k: v for k, v in run.checkpoint.config().items() if k not in ("recipe", "corpus", "labels")}
    fused = {"fusion_of": [run.name for run in runs]}
    results["settings"] = {**fused, **{run.name: dict(run.checkpoint.recipe) for run in runs}}
    results["checkpoint"] = {"architecture": "fusion", **own}
    return results


# --- a fused model on disk --------------------------------------------------------------------------------------


def save_fusion(model: FusedRecogniser, folder: str | os.PathLike[str]) -> Path:
    """Write ``fusion.json`` (weights, and where the runs are, relative to it) and the runs' ``split.json``.

    The runs stay where they are: the folder goes with them, and is refused when one of them has changed since.
    Raises InputError where ``folder`` holds something else already.
    """
    folder = Path(folder)
    refuse_occupied(folder)
    split_file = run_folder(model.runs[0].folder) / "split.json"
    if split_file.exists():
        write_split(read_split(split_file), folder / "split.json")
    members = [
        {
            "name": run.name,
            "path": Path(os.path.relpath(run.folder.resolve(), folder.resolve())).as_posix(),
            "weight": weight,
            "checkpoint": checkpoint_hash(run.checkpoint),
        }
        for run, weight in zip(model.runs, model.fusion.weights)
    ]
    fusion = model.fusion
    write_json(
        folder / FILE_NAME,
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "signloom": signloom.__version__,
            "members": members,
            "temperature": fusion.temperature,
            "rule": fusion.rule,
            "shrinkage": fusion.shrinkage,
            "step": fusion.step,
            "validation": fusion.validation,
        },
    )
    return folder


_OTHERS = {
    "checkpoint": "a run",
    "config.json": "a checkpoint",
    "run.json": "a run",
    "state.pt": "an unfinished run",
    "manifest.jsonl": "a corpus",
    "shards.json": "shards",
}
"""What stands in a folder that no fusion may be written into, by the file that tells it."""


def refuse_occupied(folder: str | os.PathLike[str]) -> None:
    """Raise InputError where ``folder`` holds a run, a corpus or else that a fusion's files would overwrite."""
    folder = Path(folder)
    if is_fusion(folder):
        return
    held = next((what for name, what in _OTHERS.items() if (folder / name).exists()), None)
    if held is None and is_crossval(folder):
        held = "a cross-validation"
    if held:
        raise InputError(f"--save '{folder}' holds {held}, whose files a fusion would overwrite; choose a new folder")


def load_fusion(folder: str | os.PathLike[str]) -> FusedRecogniser:
    """Load what :func:`save_fusion` wrote, with all its runs.

    Raises CheckpointError naming the file and what is wrong with it, or the run that is gone or has changed.
    """
    file = Path(folder) / FILE_NAME
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        if config.get("format") != FORMAT or config.get("version") != FORMAT_VERSION:
            raise CheckpointError(
                f"'{file}' is {config.get('format')!r} version {config.get('version')!r}; this signloom reads "
                f"'{FORMAT}' version {FORMAT_VERSION}"
            )
        members: list[Mapping[str, Any]] = config["members"]
        weights = tuple(float(m["weight"]) for m in members)
        fusion = Fusion(
            weights,
            float(config["temperature"]),
            config["rule"],
            config.get("shrinkage", config.get("pull")),
            config["step"],
            config["validation"],
        )
        wanted = [(str(m["name"]), Path(folder) / m["path"], m["checkpoint"]) for m in members]
    except FileNotFoundError as error:
        raise CheckpointError(f"no fusion at '{folder}': '{file}' does not exist") from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"'{file}' is broken: {type(error).__name__}: {error}") from error
    if not members or min(weights) < 0 or abs(sum(weights) - 1) > 1e-6 or not fusion.temperature > 0:
        raise CheckpointError(f"'{file}' is broken: weights {weights}, temperature {fusion.temperature}")
    runs = []
    for name, path, checkpoint in wanted:
        run = Run(name, path, load_checkpoint(path))
        if checkpoint_hash(run.checkpoint) != checkpoint:
            raise CheckpointError(
                f"'{file}': run '{name}' at '{path}' has changed since its weight was fitted; fuse again: "
                "signloom evaluate … --fuse --save"
            )
        runs.append(run)
    return FusedRecogniser(tuple(runs), fusion)


def score_fused(model: FusedRecogniser, manifest: Manifest) -> Scores:
    """Score every clip of a prepared corpus with a fused model, as :func:`score_corpus` does with one recogniser.

    A clip is judged by the runs whose streams it has. Raises InputError naming a clip that has none of them.
    """
    scored: list[Scores | None] = []
    for run in model.runs:
        needed = tuple(run.checkpoint.streams)
        clips = replace(manifest, records=tuple(r for r in manifest if all(s in r.streams for s in needed)))
        scored.append(score_corpus(run.recogniser, clips) if clips.records else None)
    return model.combine(scored, manifest.records)
