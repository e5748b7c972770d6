"""How results are put into words: the same phrases in the page and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from signloom.runtime.numbers import number_of

Results = Mapping[str, Any]

FEW_CLIPS = 100


def percent(value: float | None, digits: int = 1) -> str:
    """``.9704`` as ``97.0%``; a dash where there is no value. A miss never rounds up to 100%, nor a hit down to 0%."""
    if value is None or not math.isfinite(value):
        return "–"
    shown = f"{100 * value:.{digits}f}"
    step = 10.0**-digits
    if value < 1 and float(shown) >= 100:
        shown = f"{100 - step:.{digits}f}"
    elif value > 0 and float(shown) <= 0:
        return f"<{step:.{digits}f}%"
    return f"{shown}%"


def interval(entry: Mapping[str, Any] | None) -> str:
    """``93.1–99.0%`` from ``{"low", "high"}``; empty where there is none."""
    if not entry or entry.get("low") is None or entry.get("high") is None:
        return ""
    low, high = percent(entry["low"]).rstrip("%"), percent(entry["high"])
    return f"{low}–{high}"


def entry_of(entry: Any) -> dict[str, Any]:
    """``entry`` as ``{"value", "low", "high"}``, whether it was that, a number or None."""
    if isinstance(entry, Mapping):
        return {"value": number_of(entry), "low": entry.get("low"), "high": entry.get("high")}
    return {"value": number_of(entry), "low": None, "high": None}


def count(n: int, one: str, many: str | None = None) -> str:
    """``1 clip``, ``1,200 clips``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def signers_are_new(results: Results) -> bool | None:
    """Whether the model never learnt from any signer measured; None where that was not found out.

    It is what ``overlap`` computed from the clips themselves. What a split is called proves nothing.
    """
    new = (results.get("overlap") or {}).get("new_signers")
    return None if new is None else bool(new)


def split_phrase(results: Results) -> str:
    """What was measured on: ``split test · signer-disjoint · held out: user01``."""
    split = results.get("split") or {}
    parts = [f"split {split['name']}" if split.get("name") else "split not stated"]
    parts += [str(split[key]) for key in ("scheme", "detail") if split.get(key)]
    return " · ".join(parts)


def signer_names(results: Results) -> list[str]:
    """The signers measured on, in the order of the per-signer table."""
    return [str(r["signer"]) for r in results.get("per_signer") or [] if r.get("signer") is not None]


def whose_clips(results: Results, n_clips: int) -> str:
    """``100 clips by signers it had never seen``, as far as that was computed."""
    clips, seen = count(n_clips, "clip"), results.get("overlap") or {}
    if not seen or seen["known"] == "not known":
        return f"{clips} (what it was trained on is not on record)"
    trained, validated = seen["trained_on"], seen["validated_on"]
    if trained == n_clips:
        return f"{clips} that it was trained on"
    if trained:
        return f"{clips}, {trained:,} of which it was trained on"
    if validated == n_clips:
        return f"{clips} that were used to choose the model"
    if validated:
        return f"{clips}, {validated:,} of which were used to choose the model"
    new = signers_are_new(results)
    if new:
        return f"{clips} by {'a signer' if len(signer_names(results)) == 1 else 'signers'} it had never seen"
    if new is False and seen["same_signer"] == n_clips:
        return f"{count(n_clips, 'new clip')} by signers it knew from training"
    if new is False:
        return f"{count(n_clips, 'new clip')}, {seen['same_signer']:,} of them by signers it knew from training"
    known = "is known to have been" if seen["known"] == "partly" else "was"
    return f"{clips} that are not among those it {known} trained on"


def overlap_lines(results: Results) -> list[str]:
    """How much of what was measured the model had learnt from, in a sentence or two; empty where none was computed."""
    seen = results.get("overlap") or {}
    if not seen:
        return []
    if seen["known"] == "not known":
        return ["What the model was trained on is not on record, so nobody can say whether these clips were among it."]
    n = seen["n_clips"]
    parts = [
        f"{seen[key]:,} {words}"
        for key, words in (
            ("trained_on", "were trained on"),
            ("validated_on", "chose the model"),
            ("derived", "come from one original with such clips"),
            ("same_source", "come from a recording that it learnt from"),
            ("same_signer", "are by signers that it learnt from"),
        )
        if seen[key] or key in ("trained_on", "same_signer")
    ]
    so_far = ", as far as is on record," if seen["known"] == "partly" else ""
    said = [f"Of the {count(n, 'clip')} measured{so_far} {', '.join(parts[:-1])} and {parts[-1]}."]
    if seen["same_name"]:
        said.append(
            f"{count(seen['same_name'], 'clip')} of other content bear the name of a clip that it learnt from: another "
            "encoding of the same?"
        )
    if seen["known"] == "partly":
        said.append(f"Not on record: {'; '.join(seen['not_known'])}.")
    return said


def n_classes(results: Results) -> int:
    """How many signs the recogniser knows."""
    return int((results.get("metrics") or {}).get("n_classes") or 0) or len(results.get("labels") or ())


def n_answers(results: Results, n: int) -> str:
    """``1,200 clips``, or ``3,600 answers`` where each clip was answered by models of several seeds."""
    return count(n, "clip" if float(results.get("answers_per_clip") or 1) == 1 else "answer")


def headline_sentences(results: Results) -> list[str]:
    """What the numbers mean, for someone who has never heard of top-1: one to three sentences."""
    metrics = results.get("metrics") or {}
    said: list[str] = []
    folds = cross_validation(results)
    if folds and folds["top1"]["value"] is not None:
        said.append(
            f"Over {count(folds['n_folds'], 'fold')}, each kept out of training in turn, "
            f"{percent(folds['top1']['value'])} of the clips were recognised on average; "
            f"the hardest, {folds['worst']['held_out']}, reached {percent(folds['worst']['top1'])}."
        )
    top1, n_clips = number_of(metrics.get("top1")), int(metrics.get("n_clips") or 0)
    if top1 is not None and n_clips:
        right = round(top1 * n_clips)
        per_hundred = "" if n_clips <= 100 or folds else f": {_of_hundred(top1)}"
        several = float(results.get("answers_per_clip") or 1) > 1
        mean = ", on average over the seeds" if several else ""
        said.append(
            f"Of {whose_clips(results, n_clips)}, {right:,} {'was' if right == 1 else 'were'} recognised{mean}"
            f"{per_hundred}."
        )
    chance, k = number_of(metrics.get("chance")), n_classes(results)
    if said and chance is not None and k:
        said.append(f"Guessing among its {count(k, 'sign')} would get {_of_hundred(chance)}.")
    return said


def _of_hundred(share: float) -> str:
    if 0 < share < 0.01:
        return f"1 in {round(1 / share):,}"
    if 0.995 <= share < 1:
        return f"over {math.floor(1000 * share) / 10:g} in 100"
    return f"{100 * share:.0f} in 100"


def warnings(results: Results) -> list[str]:
    """What a reader must know before trusting the numbers; the run's own ``warnings`` come first."""
    found = [str(w) for w in results.get("warnings") or []]
    metrics = results.get("metrics") or {}
    split = results.get("split") or {}
    name, scheme = str(split.get("name") or "").lower(), split.get("scheme")
    n_clips = int(metrics.get("n_clips") or 0)
    found += _about_overlap(results, name, scheme, n_clips)
    if 0 < n_clips < FEW_CLIPS:
        found.append(f"Only {count(n_clips, 'clip')} were measured; look at the interval, not at the single number.")
    if len(results.get("per_signer") or ()) == 1 and not results.get("runs"):
        found.append("One signer only: another may be recognised much better or worse.")
    found += _about_unknown(results.get("unknown") or {})
    empty = sum(1 for row in results.get("per_class") or [] if not row.get("n_clips"))
    if empty:
        found.append(
            f"{count(empty, 'sign')} of {len(results['per_class']):,} had no clip in this split and "
            f"{'was' if empty == 1 else 'were'} not measured."
        )
    failed = len(results.get("failures") or [])
    if failed:
        found.append(
            f"{count(failed, 'clip')} could not be used and {'is' if failed == 1 else 'are'} not in any number here."
        )
    missing = (results.get("cross_validation") or {}).get("missing") or []
    if missing:
        found.append(f"{count(len(missing), 'run')} of the cross-validation gave no result: {', '.join(missing[:5])}.")
    return found


def _about_overlap(results: Results, name: str, scheme: Any, n_clips: int) -> list[str]:
    """What follows from how much of this the model had learnt from."""
    seen, new = results.get("overlap") or {}, signers_are_new(results)
    trained, validated = int(seen.get("trained_on") or 0), int(seen.get("validated_on") or 0)
    if (trained and trained == seen["n_clips"]) or (name == "train" and not seen):
        return ["Measured on the clips the model was trained on: this says nothing about new clips."]
    if trained:
        return [f"The model was trained on {trained:,} of the clips measured: expect less on new ones."]
    if validated or (name == "val" and not seen):
        return ["Measured on clips that chose the model: expect less on new ones."]
    found = overlap_lines(results)[1:] if seen.get("same_name") or seen.get("known") == "partly" else []
    if new is False:
        some = seen.get("same_signer") != seen.get("n_clips")
        found.append(
            f"{'Some signers measured' if some else 'The signers measured'} are in training as well"
            + (f" (split scheme “{scheme}”)" if scheme else "")
            + ". A signer the model has never seen is recognised less well; measure that with a signer-disjoint split."
        )
    elif new is None and n_clips:
        found.append(
            "It is not on record whether the signers measured were kept out of training; if they were not, expect less "
            "on new signers."
        )
    return found


def _about_unknown(unknown: Mapping[str, Any]) -> list[str]:
    n, labels = int(unknown.get("n_clips") or 0), list(unknown.get("labels") or [])
    if not n:
        return []
    named = ", ".join(map(str, labels[:5])) + (" …" if len(labels) > 5 else "")
    return [
        f"{count(n, 'clip')} {'has a label' if n == 1 else 'have labels'} that the model does not know ({named}): "
        "missed in every top-k, and left out of the likelihood and the calibration."
    ]


def how_resampled(how: Mapping[str, Any]) -> str:
    """What the intervals were drawn over, and so what they speak of."""
    if how.get("resampled") == "signer":
        return f"{how.get('resamples')} resamples of whole signers: how other signers would do"
    return f"{how.get('resamples')} resamples of clips: how other clips of these signers would do"


def cross_validation(results: Results) -> dict[str, Any] | None:
    """The folds in figures: ``results["cross_validation"]``, else plain means of ``results["runs"]``."""
    if results.get("cross_validation"):
        return dict(results["cross_validation"])
    runs = [r for r in results.get("runs") or [] if number_of(r.get("top1")) is not None]
    if not runs:
        return None

    def mean(values: Sequence[float | None]) -> float | None:
        there = [v for v in values if v is not None]
        return sum(there) / len(there) if there else None

    per_fold: list[dict[str, Any]] = []
    for fold in dict.fromkeys(str(r.get("held_out")) for r in runs):
        own = [number_of(r.get("top1")) for r in runs if str(r.get("held_out")) == fold]
        per_fold.append({"held_out": fold, "top1": mean(own)})
    return {
        "n_runs": len(runs),
        "n_folds": len(per_fold),
        "n_seeds": len({r.get("seed") for r in runs}),
        "top1": {"value": mean([f["top1"] for f in per_fold]), "low": None, "high": None},
        "macro_f1": {"value": mean([number_of(r.get("macro_f1")) for r in runs]), "low": None, "high": None},
        "worst": min(per_fold, key=lambda f: f["top1"]),
        "best": max(per_fold, key=lambda f: f["top1"]),
        "per_fold": per_fold,
    }


def headline(results: Results) -> dict[str, Any]:
    """The number that stands first: ``{"value", "low", "high", "what"}``; the mean over folds where there are folds."""
    folds = cross_validation(results)
    if folds:
        return entry_of(folds.get("top1")) | {"what": f"top-1, mean over {count(folds['n_folds'], 'fold')}"}
    return entry_of((results.get("metrics") or {}).get("top1")) | {"what": "top-1"}


def points(entry: Mapping[str, Any] | None) -> str:
    """A difference of shares in percentage points: ``+3.2``; a dash where there is none."""
    value = number_of(entry)
    return "–" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def points_interval(entry: Mapping[str, Any] | None) -> str:
    """``−0.4 to +2.1`` from ``{"low", "high"}``; empty where there is none."""
    if not entry or entry.get("low") is None or entry.get("high") is None:
        return ""
    return f"{points({'value': entry['low']})} to {points({'value': entry['high']})}"


def fusion_sentences(fusion: Mapping[str, Any]) -> list[str]:
    """How the weights came about, and whether fusing is worth it, in words."""
    said, rule = [], str(fusion.get("rule") or "")
    n_clips = (fusion.get("validation") or {}).get("n_clips")
    whose = f"{count(n_clips, 'validation clip')}" if n_clips else "validation clips"
    if rule == "equal":
        said.append("There were no validation clips to weigh the streams on: they weigh the same.")
    else:
        said.append(f"The weights come from {whose} alone, never from the clips measured here.")
    if "towards the best stream" in rule:
        said.append(
            "Where the fitted weights recognised fewer validation clips than the best single stream, they were moved "
            "towards it until they did not."
        )
    gain = fusion.get("difference") or {}
    value, low, high = number_of(gain), gain.get("low"), gain.get("high")
    if value is not None and fusion.get("best"):
        spread = f" (95% interval {points_interval(gain)})" if points_interval(gain) else ""
        said.append(
            f"Against {fusion['best']}, the best single stream on these clips, fusing changes top-1 by {points(gain)} "
            f"percentage points{spread}."
        )
        if low is not None and high is not None and low <= 0 <= high:
            said.append("The interval holds zero: these clips do not settle whether fusing helps.")
    return said


def remark_on(signer_row: Mapping[str, Any]) -> str:
    """What the corpus says about a signer (``remark``, ``left_handed`` or ``handedness``), or nothing."""
    if signer_row.get("remark"):
        return str(signer_row["remark"])
    if signer_row.get("left_handed") or str(signer_row.get("handedness") or "").lower().startswith("left"):
        return "left-handed"
    return ""


def curve_sentences(curve: Mapping[str, Any]) -> list[str]:
    """A learning curve in words: what was measured, and what more would bring, with how sure that is."""
    by = {"takes": "takes of each sign by each signer", "signers": "signers"}[curve["by"]]
    measured = ", ".join(f"{p['n']:g}: {percent(p['value'])}" for p in curve["points"])
    lines = [f"Top-1 by number of {by}: {measured}"]
    for point in curve["ahead"]:
        sure = (
            f"95 % interval {percent(point['low'])} to {percent(point['high'])}, over {curve['n_folds']} folds"
            if point["low"] is not None
            else "how sure that is cannot be said: it takes three folds or more"
        )
        lines.append(f"With {point['n']:g} it would be about {percent(point['value'])} ({sure})")
    return lines
