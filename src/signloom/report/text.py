"""Results as a few lines of plain text, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signloom.report.words import (
    Results,
    count,
    cross_validation,
    curve_sentences,
    entry_of,
    fusion_sentences,
    headline_sentences,
    interval,
    n_classes,
    overlap_lines,
    percent,
    points,
    points_interval,
    remark_on,
    split_phrase,
    warnings,
)
from signloom.runtime.numbers import number_of
from signloom.runtime.text import plain

MAX_SIGNERS = 15
MAX_PAIRS = 5


def generated_lines(found: Mapping[str, Any]) -> list[str]:
    """How near generated features come to the true ones."""
    apart = found["difference"]
    sure = f" [{apart['low']:.3f}, {apart['high']:.3f}]" if apart["low"] is not None else ""
    return [
        f"Generated features beside the true ones of {count(found['n_clips'], 'clip')}, and of other clips (control):",
        f"  cosine {found['cosine']:.3f}, of other clips {found['cosine_shuffled']:.3f}: {apart['value']:+.3f}{sure}",
        f"  R² {found['r2']:.3f}, of other clips {found['r2_shuffled']:.3f}",
    ]


def summary_lines(results: Results) -> list[str]:
    """What an evaluation found, in lines for a terminal: the split beside the accuracy, warnings last."""
    metrics = results.get("metrics") or {}
    lines = [str(results.get("title") or "Evaluation"), split_phrase(results), ""]
    lines += [f"  {sentence}" for sentence in (*headline_sentences(results), *overlap_lines(results)[:1])] + [""]
    folds = cross_validation(results)
    if folds:
        lines += [
            _line(
                "mean over folds", folds.get("top1"), f"{folds['n_folds']} folds × {count(folds['n_seeds'], 'seed')}"
            ),
            _line(
                "worst fold", (folds.get("worst") or {}).get("top1"), str((folds.get("worst") or {}).get("held_out"))
            ),
        ]
        if folds.get("seed_spread") is not None:
            lines.append(f"  {'spread over seeds':<18} ±{percent(folds['seed_spread'])}")
    for k in (1, 5, 10):
        if metrics.get(f"top{k}") is not None and (k == 1 or k < n_classes(results)):
            beside = _beside(results) if k == 1 else ""
            lines.append(_line(f"top-{k}", metrics[f"top{k}"], beside))
    for name, key in (("top-1 per class", "top1_per_class"), ("macro F1", "macro_f1")):
        if metrics.get(key) is not None:
            lines.append(_line(name, metrics[key]))
    if metrics.get("ece") is not None:
        lines.append(f"  {'calibration error':<18} {percent(metrics['ece'])}")
    open_set = results.get("open_set") or {}
    if open_set.get("lost"):
        lines.append(_line("called none of them", open_set["lost"], "of the clips whose sign the model knows"))
    if open_set.get("found"):
        note = f"of {count(open_set['n_unknown'], 'clip')} of other signs; AUROC {open_set['auroc']:.3f}"
        lines.append(_line("called none of them", open_set["found"], note))
    for row in results.get("without") or []:
        note = f"{count(row['n_clips'], 'clip')}; {100 * row['difference']['value']:+.1f} points against all streams"
        lines.append(_line(f"without {row['stream']}", row["top1"], note))
    for curve in results.get("learning_curve") or []:
        lines += ["", *(f"  {sentence}" for sentence in curve_sentences(curve))]
    if results.get("generated"):
        lines += ["", *generated_lines(results["generated"])]
    if results.get("fusion"):
        lines += ["", *stream_lines(results["fusion"], fused=True)]
    signers = sorted(results.get("per_signer") or [], key=lambda r: number_of(r.get("top1")) or 0.0)
    if len(signers) > 1:
        lines += ["", f"By signer, lowest first ({count(len(signers), 'signer')}):"]
        for row in signers[:MAX_SIGNERS]:
            note = f"{row.get('n_clips', 0):,} clips" + (f", {remark_on(row)}" if remark_on(row) else "")
            lines.append(
                _line(str(row["signer"]) if row["signer"] is not None else "not stated", row.get("top1"), note)
            )
        if len(signers) > MAX_SIGNERS:
            lines.append(f"  … and {len(signers) - MAX_SIGNERS} more, all at least as good")
    mixed: dict[tuple[str, str], int] = {}
    for clip in results.get("clips") or []:
        if clip["label"] != clip["predicted"]:
            pair = (str(clip["label"]), str(clip["predicted"]))
            mixed[pair] = mixed.get(pair, 0) + 1
    if mixed:
        lines += ["", "Most frequent mix-ups (signed → taken for):"]
        for (true, predicted), n in sorted(mixed.items(), key=lambda item: (-item[1], item[0]))[:MAX_PAIRS]:
            lines.append(f"  {true} → {predicted}  {count(n, 'clip')}")
    lines += ["", *(f"Note: {warning}" for warning in warnings(results))]
    return [plain(line) for line in lines[: -1 if lines[-1] == "" else None]]


def comparison_lines(comparison: Results) -> list[str]:
    """Several runs on the same clips, in lines for a terminal, best first."""
    lines = [str(comparison["title"]), split_phrase(comparison), ""]
    lines += [*(f"  {sentence}" for sentence in overlap_lines(comparison)), ""] if comparison.get("overlap") else []
    lines += stream_lines(comparison, fused=False)
    lines += ["", f"  Intervals: {comparison['interval']}"] if comparison.get("interval") else []
    lines += [f"Note: {warning}" for warning in comparison.get("warnings") or []]
    return [plain(line) for line in lines]


def stream_lines(fusion: Mapping[str, Any], *, fused: bool) -> list[str]:
    """A table of streams (weight, top-1 with its interval, difference), then one of runs where there are any."""
    streams = list(fusion.get("streams") or [])
    names = [str(row["name"]) for row in streams]
    wide = max([len("stream"), *map(len, names)])
    last = "fused minus it" if fused else "minus the best"
    weight = f"{'weight':>6}  " if fused else ""
    lines = [f"  {'stream':<{wide}}  {weight}{'top-1':>6}  {'95% interval':<14}  {last}"]
    for row in streams:
        entry, gain = entry_of(row.get("top1")), row.get("difference")
        weight = f"{row['weight']:>6.2f}  " if fused else ""
        spread = f"[{interval(entry)}]" if interval(entry) else ""
        change = f"{points(gain)} points" + (f" [{points_interval(gain)}]" if points_interval(gain) else "")
        missing = f", {count(row['n_missing'], 'clip')} without it" if row.get("n_missing") else ""
        change = change if gain else ""
        lines.append(
            f"  {row['name']:<{wide}}  {weight}{percent(entry['value']):>6}  {spread:<14}  {change}{missing}".rstrip()
        )
    if fused:
        entry = entry_of(fusion.get("top1"))
        spread = f"[{interval(entry)}]" if interval(entry) else ""
        lines.append(f"  {'fused':<{wide}}  {'':>6}  {percent(entry['value']):>6}  {spread}".rstrip())
    per_run = [r for r in fusion.get("per_run") or [] if r.get("streams")]
    if per_run:
        head = [*names, "fused"] if fused else names
        first = max(len("run"), *(len(str(r["name"])) for r in per_run))
        lines += ["", f"  {'run':<{first}}  " + "  ".join(f"{name:>{max(6, len(name))}}" for name in head)]
        for run in per_run:
            values = {**run["streams"], **({"fused": run["fused"]} if fused else {})}
            cells = "  ".join(f"{percent(values[name]):>{max(6, len(name))}}" for name in head)
            lines.append(f"  {run['name']:<{first}}  {cells}")
    return [*lines, "", *(f"  {sentence}" for sentence in fusion_sentences(fusion))] if fused else lines


def _beside(results: Results) -> str:
    return f"on {split_phrase(results)}"


def _line(name: str, entry, note: str = "") -> str:
    entry = entry_of(entry)
    spread = f"[{interval(entry)}]" if interval(entry) else ""
    return f"  {name:<18} {percent(entry['value']):>6}  {spread:<14} {note}".rstrip()


def generator_lines(results: Results) -> list[str]:
    """How well a signer is painted, in a few lines: each measure beside what it has to beat."""
    figures = results["figures"]
    others = [who for who in figures if who not in ("painted", "real")]

    def value(who: str, area: str, name: str) -> float | None:
        return number_of(figures.get(who, {}).get(area, {}).get(name))

    lines = [f"{results['n_clips']} clips, {results['n_frames']} frames; {split_phrase(results)}"]
    lines += overlap_lines(results)
    for area, name, title, digits in (
        ("full", "psnr", "PSNR, whole frame", 2),
        ("full", "ssim", "SSIM, whole frame", 3),
        ("face", "psnr", "PSNR, face", 2),
        ("hands", "psnr", "PSNR, hands", 2),
        ("full", "lpips", "LPIPS, whole frame", 3),
        ("face", "lpips", "LPIPS, face", 3),
        ("hands", "lpips", "LPIPS, hands", 3),
        ("full", "fid", "FID, whole frame", 1),
    ):
        ours = value("painted", area, name)
        if ours is None:
            continue
        beside = [f"{who} {v:.{digits}f}" for who in others if (v := value(who, area, name)) is not None]
        if name == "fid":
            beside.append(f"of {count(figures['painted'][area][name]['n'], 'frame')}; few bias it upwards")
        lines.append(f"{title:<24} {ours:.{digits}f}" + (f"   ({', '.join(beside)})" if beside else ""))
    for area, name, title in (
        ("face", "gradient_ratio", "sharpness of the face"),
        ("hands", "gradient_ratio", "sharpness of the hands"),
        ("motion", "warp_ratio", "flow-warp error"),
        ("motion", "flicker_ratio", "flicker"),
    ):
        ours = value("painted", area, name)
        if ours is not None:
            lines.append(f"{title:<24} {ours:.2f} × the real frames'")
    for area, name, title in (
        ("hands", "lattice", "lattice in the hands"),
        ("pose", "hand_rate", "hands found again"),
        ("pose", "pck_20", "hand keypoints, PCK .2"),
    ):
        ours, real = value("painted", area, name), value("real", area, name)
        if ours is not None and real is not None:
            lines.append(f"{title:<24} {ours:.3f}   (real frames {real:.3f})")
    return lines
