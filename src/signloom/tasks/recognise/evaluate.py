"""How well a recogniser does: its answers for the clips of a corpus, and the results that reports are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

import signloom
from signloom.data.corpus import clips_of, describe_corpus
from signloom.data.failures import read_failures
from signloom.data.leaks import refuse_leaks
from signloom.data.manifest import Manifest, Record
from signloom.errors import InputError
from signloom.metrics import classification as metrics
from signloom.tasks.recognise.predict import Recogniser
from signloom.training.checkpoint import Checkpoint
from signloom.training.task import Evaluation


@dataclass(frozen=True)
class Scores:
    """What a checkpoint says of some clips: ``logits_NK`` divided by its temperature, in the order of ``records``."""

    records: tuple[Record, ...]
    labels: tuple[str, ...]
    logits_NK: np.ndarray

    @property
    def probabilities_NK(self) -> np.ndarray:
        return metrics.softmax(self.logits_NK)


def score_corpus(recogniser: Recogniser, manifest: Manifest) -> Scores:
    """Score every clip of a prepared corpus. Raises CheckpointError when its streams were made otherwise."""
    checkpoint = recogniser.checkpoint
    for stream in checkpoint.streams:
        checkpoint.check_stream(stream, manifest.fingerprint(stream), str(manifest.root))
    return Scores(manifest.records, recogniser.labels, recogniser.scores(clips_of(manifest, "the checkpoint")))


def evaluate_run(
    recogniser: Recogniser, manifest: Manifest, split: str, *, about: Mapping[str, Any] | None = None, seed: int = 0
) -> Evaluation:
    """Measure ``recogniser`` on one split of a prepared corpus; ``about`` says more of the split.

    Clips whose label the model does not know count as wrong, and are counted in ``unknown_labels``.
    Raises LeakError when a measured clip, its parent or its signer was trained on although the split says otherwise.
    """
    chosen = manifest.only(split)
    checkpoint = recogniser.checkpoint
    scores = score_corpus(recogniser, chosen)
    detail = {**checkpoint.split, **(about or {})}
    if split == "test" and manifest.where(lambda r: r.split in ("train", "val")).records:
        refuse_leaks(manifest)
    results = results_of([scores], split={"name": split, **detail}, checkpoint=checkpoint, manifest=manifest, seed=seed)
    return evaluation_of(results)


SHOWN = ("metrics", "per_signer", "split", "fusion", "cross_validation", "runs")
COMPARED = ("split", "n_clips", "streams", "per_run", "warnings")


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
) -> dict[str, Any]:
    """The results document of one or several sets of scores (folds and seeds) that share their labels."""
    known = scored[0].labels
    records = [r for s in scored for r in s.records]
    unknown = sorted({label_of(r) for r in records} - set(known))
    labels = (*known, *unknown)
    index = {label: k for k, label in enumerate(labels)}
    logits = np.concatenate([s.logits_NK for s in scored]).astype(np.float64)
    if unknown:
        # A label never trained on cannot be chosen: it gets a score below all others.
        floor = np.full((len(logits), len(unknown)), logits.min() - 50.0)
        logits = np.concatenate([logits, floor], axis=1)
    truth = np.array([index[label_of(r)] for r in records])
    signers = [r.signer for r in records]
    measured = metrics.evaluate_scores(
        logits, truth, list(labels), signers if any(signers) else None, [r.id for r in records], seed=seed
    )
    probabilities = metrics.softmax(logits)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    clips = []
    for row, record in enumerate(records):
        video = record.streams.get("video") or record.streams.get("frames")
        clips.append(
            {
                "id": record.id,
                "label": record.label,
                "signer": record.signer,
                "predicted": labels[order[row, 0]],
                "confidence": round(float(probabilities[row, order[row, 0]]), 6),
                "top": [[labels[k], round(float(probabilities[row, k]), 6)] for k in order[row]],
                "video": str((manifest.root / video).resolve()) if video else None,
                "first_frame": record.first_frame,
                "end_frame": record.end_frame,
            }
        )
    corpus = describe_corpus(manifest)
    return {
        "kind": "evaluation",
        "title": title or f"{checkpoint.recipe.get('name', checkpoint.architecture)} on {corpus['name']}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "signloom_version": signloom.__version__,
        "labels": list(labels),
        "unknown_labels": unknown,
        "split": dict(split),
        "checkpoint": {k: v for k, v in checkpoint.config().items() if k not in ("recipe", "corpus", "labels")},
        "corpus": corpus,
        "settings": dict(checkpoint.recipe),
        **measured,
        "clips": clips,
        "failures": read_failures(manifest.root),
    }


def label_of(record: Record) -> str:
    """The label of a clip. Raises InputError where it has none."""
    if record.label is None:
        raise InputError(f"clip '{record.id}' has no label; give one (a --pattern with {{label}}) or leave it out")
    return record.label


def common_labels(scored: Sequence[Scores]) -> list[Scores]:
    """The same scores over the union of labels: a fold may lack a rare one in training."""
    labels = tuple(sorted({label for s in scored for label in s.labels}))
    aligned = []
    for s in scored:
        logits = np.full((len(s.logits_NK), len(labels)), s.logits_NK.min() - 50.0, np.float32)
        logits[:, [labels.index(label) for label in s.labels]] = s.logits_NK
        aligned.append(Scores(s.records, labels, logits))
    return aligned
