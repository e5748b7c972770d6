"""How well a segmenter finds signs in footage that is put together from a split's clips, beside the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

import signloom
from signloom.data.corpus import clips_of
from signloom.data.leaks import refuse_leaks
from signloom.data.manifest import Manifest
from signloom.data.seen import overlap
from signloom.data.skeleton import Joints
from signloom.data.splits import split_in_use
from signloom.errors import InputError
from signloom.metrics.intervals import mean_interval
from signloom.metrics.segments import Found, compared, matched
from signloom.tasks.segment.data import MEASURED_MIXES, measured_footage, read_material
from signloom.tasks.segment.footage import Footage
from signloom.tasks.segment.predict import Segmenter, SignFinder
from signloom.training.checkpoint import refuse_overlap, seen_by
from signloom.training.task import Evaluation
from signloom.transforms.motion_input import N_JOINTS
from signloom.transforms.motion_segments import MotionSegmenter, Span

RULE = "rule"
RECORDED = "recordings"


class Finder(Protocol):
    """What finds signs as frames come."""

    def push(self, time_s: float, joints: Joints) -> Span | None: ...
    def close(self) -> Span | None: ...


class Told(NamedTuple):
    """A stretch that was found, and when it was told."""

    start_s: float
    end_s: float
    told_s: float


def found_in(footage: Footage, finder: Finder) -> list[Told]:
    """What ``finder`` finds in ``footage``, frame by frame."""
    told = []
    for t, time_s in enumerate(footage.times_T):
        joints = Joints(footage.xy_TJC[t : t + 1], footage.present_TJ[t : t + 1], 0.0)
        if (span := finder.push(float(time_s), joints)) is not None:
            told.append(Told(*span, float(time_s)))
    if (span := finder.close()) is not None:
        told.append(Told(*span, float(footage.times_T[-1])))
    return told


def latencies_s(footage: Footage, told: Sequence[Told]) -> list[float]:
    """How long after its last frame each sign that was found was told."""
    spans = footage.spans
    return [told[j].told_s - spans[i][1] for i, j in matched(spans, [(t.start_s, t.end_s) for t in told])]


def evaluate_segmenter(
    segmenter: Segmenter, manifest: Manifest, split: str, *, about: Mapping[str, Any] | None = None
) -> Evaluation:
    """Measure ``segmenter`` on one split of a prepared corpus, signer by signer; ``about`` says more of the split.

    Clips of single signs are put together in each of :data:`MEASURED_MIXES`; recordings whose signs have times are
    taken as they are. Raises LeakError when a measured clip was learnt from although the split says otherwise.
    """
    chosen = manifest.measured(split)
    checkpoint = segmenter.checkpoint
    checkpoint.check_stream("pose", manifest.fingerprint("pose"), str(manifest.root))
    seen = overlap(seen_by(checkpoint, manifest), manifest, chosen.records)
    refuse_overlap(seen, split, checkpoint, manifest, "the segmenter")
    if split == "test" and manifest.where(lambda r: r.split in ("train", "val")).records:
        refuse_leaks(manifest)
    clips = read_material(clips_of(chosen), segmenter.read, N_JOINTS)
    if not clips:
        raise InputError(f"no sign is found in any of the {len(chosen)} clips of split '{split}' of '{manifest.root}'")
    single, recorded = [c for c in clips if c.span is not None], [c for c in clips if c.span is None]
    ways = {name: (single, mix) for name, mix in MEASURED_MIXES.items() if single}
    if recorded:
        ways[RECORDED] = (recorded, next(iter(MEASURED_MIXES.values())))
    figures = {name: _measured(segmenter, *way) for name, way in ways.items()}
    results = {
        "kind": "segments",
        "signloom_version": signloom.__version__,
        "figures": figures,
        "n_clips": len(clips),
        "left_out": len(chosen) - len(clips),
        "split": {"name": split, **split_in_use(manifest), **(about or {})},
        "overlap": seen.as_dict(),
        "checkpoint": {k: v for k, v in checkpoint.config().items() if k not in ("recipe", "corpus", "labels")},
    }
    return Evaluation(results, _lines(results), ("figures", "n_clips", "left_out", "split", "overlap"))


def _measured(segmenter: Segmenter, clips: Sequence[Any], mix: Any) -> dict[str, Any]:
    """By ``learnt`` and ``rule``: the mean over signers of each figure, with its interval."""
    rows: dict[str, dict[str, Found]] = {"learnt": {}, RULE: {}}
    late: dict[str, list[float]] = {"learnt": [], RULE: []}
    for signer, footage in measured_footage(clips, mix):
        for name, finder in (("learnt", SignFinder(segmenter)), (RULE, MotionSegmenter())):
            told = found_in(footage, finder)
            found = compared(footage.times_T, footage.spans, [(t.start_s, t.end_s) for t in told])
            rows[name][signer] = rows[name].get(signer, Found()) + found
            late[name] += latencies_s(footage, told)
    return {name: _figures([*rows[name].values()], late[name]) for name in rows}


def _figures(rows: Sequence[Found], late: Sequence[float]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key in ("f1", "frame_iou"):
        values = np.array([v for row in rows if (v := getattr(row, key)) is not None])
        low, high = mean_interval(values) if len(values) else (None, None)
        shown[key] = {"value": float(values.mean()) if len(values) else None, "low": low, "high": high}
    total = sum(rows, Found())
    return {
        **shown,
        "signers": len(rows),
        "signs": total.real,
        "found": total.found,
        "latency_s": float(np.median(late)) if late else None,
    }


def _lines(results: Mapping[str, Any]) -> list[str]:
    split = results["split"]
    lines = [
        f"split '{split['name']}' ({split.get('scheme', 'given')}): {results['n_clips']} clips put together"
        + (
            f"; {results['left_out']} without a sign that begins and ends at rest left out"
            if results["left_out"]
            else ""
        ),
        "                            F1 at half overlap      frames in both / either   told after, s",
    ]
    for name, way in results["figures"].items():
        for who, row in way.items():
            late = "" if row["latency_s"] is None else f"{row['latency_s']:.2f}"
            lines.append(f"{name + ', ' + who:34} {_said(row['f1']):22} {_said(row['frame_iou']):22} {late}")
    return lines


def _said(interval: Mapping[str, float | None]) -> str:
    if interval["value"] is None:
        return "-"
    low, high = interval["low"], interval["high"]
    return f"{interval['value']:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
