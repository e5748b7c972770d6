"""How well a recogniser does: its answers for the clips of a corpus, and the results that reports are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

import signloom
from signloom.data.consent import allows
from signloom.data.corpus import ClipList, Without, clips_of, describe_corpus
from signloom.data.failures import read_failures
from signloom.data.leaks import refuse_leaks, root_parents
from signloom.data.manifest import Manifest, Record
from signloom.data.seen import Overlap, overlap
from signloom.data.splits import split_in_use
from signloom.errors import InputError
from signloom.metrics.classification import auroc, softmax
from signloom.metrics.evaluation import evaluate_scores
from signloom.metrics.features import feature_match
from signloom.metrics.intervals import paired_difference, share_interval, signer_groups
from signloom.report.footage import footage_of, sensor_of
from signloom.tasks.recognise.open_set import Answers
from signloom.tasks.recognise.predict import Recogniser
from signloom.training.checkpoint import Checkpoint, refuse_overlap, seen_by
from signloom.training.task import NONE_OF_THESE, Evaluation


@dataclass(frozen=True)
class Scores:
    """What a checkpoint says of some clips: ``logits_NK`` divided by its temperature, in the order of ``records``, and
    the unknown score of each where it can tell."""

    records: tuple[Record, ...]
    labels: tuple[str, ...]
    logits_NK: np.ndarray
    unknown_N: np.ndarray | None = None

    @property
    def probabilities_NK(self) -> np.ndarray:
        return softmax(self.logits_NK)


def score_corpus(recogniser: Recogniser, manifest: Manifest) -> Scores:
    """Score every clip of a prepared corpus. Raises CheckpointError when its streams were made otherwise."""
    checkpoint = recogniser.checkpoint
    there = [s for s in checkpoint.streams if s in manifest.meta.get("streams", {})]
    for stream in there if there and getattr(recogniser, "one_will_do", False) else checkpoint.streams:
        checkpoint.check_stream(stream, manifest.fingerprint(stream), str(manifest.root))
    clips = clips_of(manifest, "the checkpoint")
    answers = recogniser.answers(clips) if hasattr(recogniser, "answers") else Answers(recogniser.scores(clips))
    return Scores(manifest.records, recogniser.labels, answers.logits_NK, answers.unknown_N)


def evaluate_run(
    recogniser: Recogniser,
    manifest: Manifest,
    split: str,
    *,
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
    against: Recogniser | None = None,
) -> Evaluation:
    """Measure ``recogniser`` on one split of a prepared corpus; ``about`` says more of the split.

    The results tell the scheme of the split that ``manifest`` carries, and in ``overlap`` how much of what is measured
    the model has learnt from. ``against`` is the network whose features it was taught to give: ``generated`` then says
    how near they come, on the clips that have what that network reads.

    Clips whose label the model does not know count as missed, in any top-k; ``unknown`` counts them.
    Raises LeakError when a measured clip, or what it was derived from, was learnt from although the split says
    otherwise, and where the corpus' own split leaks.
    """
    chosen = manifest.measured(split)
    checkpoint = recogniser.checkpoint
    found = overlap(seen_by(checkpoint, manifest), manifest, chosen.records)
    refuse_overlap(found, split, checkpoint, manifest)
    if split == "test" and manifest.where(lambda r: r.split in ("train", "val")).records:
        refuse_leaks(manifest)
    scores = score_corpus(recogniser, chosen)
    results = results_of(
        [scores],
        split={"name": split, **split_in_use(manifest), **(about or {})},
        checkpoint=checkpoint,
        manifest=manifest,
        seed=seed,
        found=found,
    )
    if getattr(recogniser, "one_will_do", False) and len(recogniser.needs) > 1:
        results["without"] = without_each(recogniser, chosen, scores, seed)
    if against is not None:
        results["generated"] = compare_features(recogniser, against, chosen, seed)
    return evaluation_of(results)


def without_each(recogniser: Recogniser, manifest: Manifest, scores: Scores, seed: int = 0) -> list[dict[str, Any]]:
    """What a model of several streams makes of the clips without each of them, where the others are there.

    A row a stream: ``top1`` without it, ``n_clips``, and ``difference`` to what it makes of the same clips with it.
    """
    rows = []
    clips = clips_of(manifest, "the checkpoint")
    for stream in recogniser.needs:
        others = [s for s in recogniser.needs if s != stream]
        has_both = [stream in r.streams and any(s in r.streams for s in others) for r in manifest]
        able = np.flatnonzero(has_both).tolist()
        if not able:
            continue
        logits = recogniser.scores(ClipList(tuple(Without(clips[k], stream) for k in able)))
        hits, whole = (
            np.array([recogniser.labels[at] == manifest.records[k].label for k, at in zip(able, found.argmax(1))])
            for found in (logits, scores.logits_NK[able])
        )
        signers = [manifest.records[k].signer for k in able]
        rows.append(
            {
                "stream": stream,
                "n_clips": len(able),
                "top1": share_interval(hits, signer_groups(signers), seed=seed),
                "difference": paired_difference(hits, whole, signers=signers, seed=seed),
            }
        )
    return rows


def compare_features(own: Recogniser, against: Recogniser, manifest: Manifest, seed: int = 0) -> dict[str, Any]:
    """How near the features of ``own`` come to those of ``against``, by :func:`feature_match`.

    Raises InputError where they are not as many, or no clip has what both read.
    """
    if own.checkpoint.recipe.get("loss") != "generate":
        raise InputError(
            "--against compares generated features, and this run generates none; give one of a recipe imu-from-…"
        )
    wanted = own.checkpoint.recipe.get("auxiliary_streams") or ()
    if set(against.needs) != set(wanted):
        raise InputError(
            f"--against: that run reads {', '.join(against.needs)}; the teacher of this one reads {', '.join(wanted)}. "
            "Give the run that was its --teacher"
        )
    split = manifest.records[0].split or "test"
    refuse_overlap(
        overlap(seen_by(against.checkpoint, manifest), manifest, manifest.records),
        split,
        against.checkpoint,
        manifest,
        "the run of --against",
    )
    for stream in against.needs:
        against.checkpoint.check_stream(stream, manifest.fingerprint(stream), str(manifest.root))
    paired = manifest.where(lambda r: all(s in r.streams for s in (*own.needs, *against.needs)))
    if len(paired) < 2:
        raise InputError(
            f"--against: {len(paired)} clips of '{manifest.root}' have the streams "
            f"{', '.join((*own.needs, *against.needs))}; at least 2 are needed to compare features"
        )
    clips = clips_of(paired, "the checkpoint")
    mine, true = own.features(clips), against.features(clips)
    if mine.shape != true.shape:
        raise InputError(
            f"--against: that network has {true.shape[1]} features, and this one gives {mine.shape[1]}; give the run "
            "that was its --teacher"
        )
    return feature_match(mine, true, signer_groups([r.signer for r in paired]), seed=seed)


SHOWN = (
    "metrics",
    "generated",
    "without",
    "unknown",
    "open_set",
    "interval",
    "per_signer",
    "split",
    "overlap",
    "fusion",
    "cross_validation",
    "runs",
)
COMPARED = ("split", "overlap", "n_clips", "streams", "interval", "per_run", "warnings")


def evaluation_of(results: dict[str, Any]) -> Evaluation:
    """``results``, of one recogniser, a fusion, a cross-validation or a comparison, with its words and its page."""
    from signloom.report.page import write_report
    from signloom.report.text import comparison_lines, summary_lines

    if results["kind"] != "evaluation":
        return Evaluation(results, comparison_lines(results), COMPARED)
    return Evaluation(
        results,
        summary_lines(results),
        SHOWN,
        lambda file, embed_clips: write_report(results, file, embed_clips=embed_clips),
    )


def results_of(
    scored: Sequence[Scores],
    *,
    split: Mapping[str, Any],
    checkpoint: Checkpoint,
    manifest: Manifest,
    seed: int = 0,
    title: str | None = None,
    found: Overlap | None = None,
) -> dict[str, Any]:
    """The results document of one or several sets of scores (folds and seeds); of a clip with several, their mean."""
    labels, logits_NK = one_table(scored)
    records = [r for s in scored for r in s.records]
    unknown = sorted({label_of(r) for r in records} - set(labels))
    index = {label: k for k, label in enumerate((*labels, *unknown))}
    y_N = np.array([index[label_of(r)] for r in records])
    # A label that the models that answered never met has no score at all.
    asked_N = np.minimum(y_N, len(labels) - 1)
    known_N = (y_N < len(labels)) & np.isfinite(logits_NK[np.arange(len(y_N)), asked_N])
    signers = [r.signer for r in records]
    root = root_parents(manifest)
    measured = evaluate_scores(
        logits_NK,
        y_N,
        labels,
        signers if any(signers) else None,
        [r.id for r in records],
        known_N=known_N,
        unknown_labels=unknown,
        units=[root.get(r.id, r.id) for r in records],
        seed=seed,
    )
    by_id = {r.id: r for r in records}
    clips = [
        {**clip, **(footage_of(r, manifest.root) if allows(manifest, r.signer, "display") else {})}
        for clip in measured["clips"]
        for r in (by_id[clip["id"]],)
    ]
    if "imu" in checkpoint.streams:
        clips = [{**clip, **sensor_of(by_id[clip["id"]], manifest.root)} for clip in clips]
    corpus = describe_corpus(manifest)
    return {
        "kind": "evaluation",
        "title": title or f"{checkpoint.recipe.get('name', checkpoint.architecture)} on {corpus['name']}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "signloom_version": signloom.__version__,
        "unknown_labels": measured["unknown"]["labels"],
        "split": dict(split),
        "overlap": found.as_dict() if found is not None else None,
        "checkpoint": {k: v for k, v in checkpoint.config().items() if k not in ("recipe", "corpus", "labels")},
        "corpus": corpus,
        "settings": dict(checkpoint.recipe),
        **measured,
        "clips": clips,
        "failures": read_failures(manifest.root),
        "open_set": open_set_results(scored, seed),
    }


def open_set_results(scored: Sequence[Scores], seed: int = 0) -> dict[str, Any] | None:
    """How well known signs are told from others; None of models that do not tell.

    ``lost``: the share of clips of signs that the model knows which it calls none of these; ``found``: the share of
    clips of other signs of which it says so, and ``auroc``, both None where there are no such clips.
    """
    if any(s.unknown_N is None for s in scored):
        return None
    unknown_N = np.concatenate([s.unknown_N for s in scored if s.unknown_N is not None])
    known_N = np.array([label_of(r) in s.labels for s in scored for r in s.records], bool)
    signers = np.array([r.signer for s in scored for r in s.records], object)
    called_N = unknown_N > NONE_OF_THESE

    def share(which_N: np.ndarray) -> dict[str, Any] | None:
        if not which_N.any():
            return None
        return share_interval(called_N[which_N], signer_groups(signers[which_N].tolist()), seed=seed)

    return {
        "n_known": int(known_N.sum()),
        "n_unknown": int((~known_N).sum()),
        "lost": share(known_N),
        "found": share(~known_N),
        "auroc": auroc(unknown_N[known_N], unknown_N[~known_N]),
    }


def label_of(record: Record) -> str:
    """The label of a clip. Raises InputError where it has none."""
    if record.label is None:
        raise InputError(f"clip '{record.id}' has no label; give one (a --pattern with {{label}}) or leave it out")
    return record.label


def one_table(scored: Sequence[Scores]) -> tuple[tuple[str, ...], np.ndarray]:
    """The scores of several models over the labels that any of them knows, (labels, logits (N, K)).

    What a model does not know (a fold may lack a rare label in training) has -infinity in its rows: it is never chosen.
    """
    if len(scored) == 1:
        return scored[0].labels, scored[0].logits_NK
    labels = tuple(sorted({label for s in scored for label in s.labels}))
    place = {label: k for k, label in enumerate(labels)}
    table_NK = np.full((sum(len(s.records) for s in scored), len(labels)), -np.inf, np.float32)
    start = 0
    for s in scored:
        columns = [place[label] for label in s.labels]
        table_NK[start : start + len(s.records), columns] = s.logits_NK
        start += len(s.records)
    return labels, table_NK
