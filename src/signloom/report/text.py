"""Results as a few lines of plain text, for the terminal."""

from __future__ import annotations

from signloom.report.words import (
    Results,
    count,
    cross_validation,
    entry_of,
    headline_sentences,
    interval,
    n_classes,
    number_of,
    percent,
    plain,
    remark_on,
    split_phrase,
    warnings,
)

MAX_SIGNERS = 15
MAX_PAIRS = 5


def summary_lines(results: Results) -> list[str]:
    """What an evaluation found, in lines for a terminal: the split beside the accuracy, warnings last."""
    metrics = results.get("metrics") or {}
    lines = [str(results.get("title") or "Evaluation"), split_phrase(results), ""]
    lines += [f"  {sentence}" for sentence in headline_sentences(results)] + [""]
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
            lines.append(f"  {plain(true)} → {plain(predicted)}  {count(n, 'clip')}")
    lines += ["", *(f"Note: {warning}" for warning in warnings(results))]
    return [plain(line) for line in lines[: -1 if lines[-1] == "" else None]]


def _beside(results: Results) -> str:
    return f"on {split_phrase(results)}"


def _line(name: str, entry, note: str = "") -> str:
    entry = entry_of(entry)
    spread = f"[{interval(entry)}]" if interval(entry) else ""
    return f"  {name:<18} {percent(entry['value']):>6}  {spread:<14} {note}".rstrip()
