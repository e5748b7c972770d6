"""The report's sections: each takes results and gives HTML, or nothing where the results hold nothing for it.

``rows`` caps long tables; what is left out is said, and stays in the results file.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from signloom.report.confusions import Cells, confusion_cells, most_confused, ranked_confusions, row_totals
from signloom.report.figures import bar, curve, heatmap, reliability
from signloom.report.markup import (
    Column,
    Number,
    flat,
    folded,
    key_values,
    name_of,
    safe_json,
    share,
    share_with_interval,
    table,
    text_of,
    whole,
)
from signloom.report.words import (
    Results,
    count,
    cross_validation,
    curve_sentences,
    entry_of,
    fusion_sentences,
    how_resampled,
    interval,
    n_answers,
    n_classes,
    percent,
    points,
    points_interval,
    remark_on,
    split_phrase,
)
from signloom.runtime.numbers import number_of

MAX_HEATMAP_SIGNS = 40
MAX_OPEN_ROWS = 60


def scope(results: Results) -> str:
    """The line that says on what a section's numbers were measured."""
    return f'<p class="scope">Measured on {text_of(split_phrase(results))}</p>'


def curve_section(results: Results) -> str:
    """How accuracy grows with takes and signers, and what more would bring."""
    parts = []
    for found in results.get("learning_curve") or []:
        words = "".join(f"<p>{text_of(sentence)}.</p>" for sentence in curve_sentences(found))
        axis = {"takes": "takes of each sign by each signer", "signers": "signers learnt from"}[found["by"]]
        parts.append(words + curve(found["points"], found["ahead"], f"Accuracy by number of {axis}", axis))
    if not parts:
        return ""
    doubt = (
        "<p>Dashed: a power law through the points, error = a + b · n^(-c). Its band resamples the folds; it does not "
        "know of what no point shows, such as signs that more clips never part.</p>"
    )
    return scope(results) + "".join(parts) + doubt


def folds_section(results: Results) -> str:
    """Cross-validation: accuracy of every fold and seed, and what they come to."""
    folds = cross_validation(results)
    if not folds:
        return ""
    runs = results.get("runs") or []
    seeds = sorted({r.get("seed") for r in runs}, key=lambda s: (s is None, str(s).rjust(20)))
    tops = {(str(r.get("held_out")), r.get("seed")): number_of(r.get("top1")) for r in runs}
    most = max([0.02, *(1 - v for v in tops.values() if v is not None)])
    per_fold = folds.get("per_fold") or []

    def cell(value: float | None) -> Number:
        return Number(percent(value), value, heat=None if value is None else (1 - value) / most)

    rows: list[list[str | Number]] = [
        [name_of(f["held_out"]), *(cell(tops.get((str(f["held_out"]), seed))) for seed in seeds), share(f["top1"])]
        for f in sorted(per_fold, key=lambda f: str(f["held_out"]))
    ]
    columns = [Column("Held out"), *(Column(f"seed {seed}", True) for seed in seeds), Column("Mean", True)]
    top1, f1 = entry_of(folds.get("top1")), entry_of(folds.get("macro_f1"))
    said = [
        f"Mean {percent(top1['value'])}" + (f" (95% interval {interval(top1)})" if interval(top1) else ""),
        f"hardest {folds['worst']['held_out']} at {percent(folds['worst']['top1'])}",
        f"easiest {folds['best']['held_out']} at {percent(folds['best']['top1'])}",
    ]
    if f1["value"] is not None:
        said.append(f"macro F1 {percent(f1['value'])}")
    seconds = [float(r["seconds"]) for r in runs if r.get("seconds") is not None]
    took = f" One run took {min(seconds):,.0f} to {max(seconds):,.0f} seconds." if seconds else ""
    method = f'<p class="quiet after">How: {text_of(folds["method"])}.</p>' if folds.get("method") else ""
    caption = "Top-1 accuracy of what was held out; the stronger the shade, the more was missed"
    return (
        f"{scope(results)}<p>Each row was kept out of training in turn, then measured. "
        f"{text_of('; '.join(said))}.{text_of(took)}</p>"
        f"{table(columns, rows, caption=caption, sortable=True, narrow=len(seeds) < 6)}{method}"
    )


def fusion_section(results: Results) -> str:
    """Late fusion: the weight of every stream, each alone beside the fusion, and how much fusing gains."""
    fusion = results.get("fusion")
    if not fusion:
        return ""
    streams, chance = list(fusion.get("streams") or []), number_of((results.get("metrics") or {}).get("chance"))
    rows: list[list[str | Number]] = []
    for row in sorted(streams, key=lambda r: -(number_of(r.get("weight")) or 0.0)):
        gain, weight = row.get("difference"), number_of(row.get("weight"))
        missing = row.get("n_missing") or 0
        note = f'<span class="tag">{count(missing, "clip")} without it</span>' if missing else ""
        rows.append(
            [
                name_of(row.get("name", "")) + note,
                name_of(row.get("recipe") or row.get("architecture") or ""),
                Number("–" if weight is None else f"{weight:.2f}", weight),
                share(number_of(row.get("val_top1"))),
                bar(entry_of(row.get("top1")), chance),
                share_with_interval(entry_of(row.get("top1"))),
                Number(points(gain), number_of(gain), points_interval(gain)),
            ]
        )
    validation, top1 = fusion.get("validation") or {}, entry_of(fusion.get("top1"))
    rows.append(
        [
            "<strong>Fused</strong>",
            "",
            "",
            share(number_of(validation.get("top1"))),
            bar(top1, chance),
            share_with_interval(top1),
            "",
        ]
    )
    columns = [
        Column("Stream"),
        Column("Recipe", extra=True),
        Column("Weight", True),
        Column("On validation", True, extra=True),
        Column("0 to 100%", still=True),
        Column("Top-1", True),
        Column("Fused minus it", True),
    ]
    caption = (
        "Each stream alone, on the same clips; a clip whose stream is missing counts as missed. Last column: "
        "percentage points, small: 95% interval, each clip drawn with both answers."
    )
    per_run = [r for r in fusion.get("per_run") or [] if r.get("streams")]
    names = [str(row.get("name")) for row in streams]
    folded_runs = ""
    if per_run:
        run_columns = [Column("Run"), *(Column(name, True) for name in names), Column("Fused", True)]
        body: list[list[str | Number]] = []
        for run in per_run:
            weights = run.get("weights") or {}
            cells = [
                share(run["streams"].get(name), f"weight {weights[name]:.2f}" if name in weights else "")
                for name in names
            ]
            body.append([name_of(run.get("name", "")), *cells, share(number_of(run.get("fused")))])
        shown = table(run_columns, body, sortable=True)
        folded_runs = folded(f"All {count(len(body), 'run')}", shown, len(body) <= 12)
    return (
        f"{scope(results)}<p>{text_of(' '.join(fusion_sentences(fusion)))}</p>{table(columns, rows, caption=caption)}"
        f"{folded_runs}"
    )


def streams_section(results: Results) -> str:
    """A model of several streams without each of them; generated features beside the true ones."""
    chance = number_of((results.get("metrics") or {}).get("chance"))
    parts = []
    if without := results.get("without"):
        rows: list[list[str | Number]] = [
            [
                name_of(row["stream"]),
                bar(entry_of(row["top1"]), chance),
                share_with_interval(entry_of(row["top1"])),
                Number(points(row["difference"]), number_of(row["difference"]), points_interval(row["difference"])),
            ]
            for row in without
        ]
        columns = [
            Column("Without stream"),
            Column("0 to 100%", still=True),
            Column("Top-1", True),
            Column("Minus all", True),
        ]
        caption = "The same model, the same clips, as if they had not that stream. Last column: percentage points"
        parts.append(table(columns, rows, caption=caption))
    if found := results.get("generated"):
        pairs: list[list[str | Number]] = [
            ["Cosine", *(Number(f"{found[k]:.3f}", found[k]) for k in ("cosine", "cosine_shuffled"))],
            ["R²", *(Number(f"{found[k]:.3f}", found[k]) for k in ("r2", "r2_shuffled"))],
        ]
        heads = [Column("Generated features against"), Column("the true ones", True), Column("those of others", True)]
        caption = f"Over {count(found['n_clips'], 'clip')}, about the mean of the true features"
        parts.append(table(heads, pairs, caption=caption, narrow=True))
    return f"{scope(results)}{''.join(parts)}" if parts else ""


def signers_section(results: Results) -> str:
    """A bar with its interval for every signer, the lowest first."""
    signers = [r for r in results.get("per_signer") or [] if number_of(r.get("top1")) is not None]
    if not signers:
        return ""
    signers.sort(key=lambda r: (number_of(r["top1"]), str(r.get("signer"))))
    chance = number_of((results.get("metrics") or {}).get("chance"))
    worst, best = number_of(signers[0]["top1"]) or 0.0, number_of(signers[-1]["top1"]) or 0.0
    if len(signers) == 1:
        said = "Only one signer was measured."
    elif worst == best:
        said = "All signers are recognised equally well."
    else:
        said = (
            f"From the signer recognised least well to the one recognised best it is {100 * (best - worst):.1f} "
            "percentage points. A recogniser is only as fair as its lowest bar."
        )
    left = [str(r.get("signer")) for r in signers if "left" in remark_on(r).lower()]
    if left:
        said += f" Left-handed: {', '.join(left)}."

    rows: list[list[str | Number]] = []
    for row in signers:
        top1, f1 = entry_of(row["top1"]), number_of(row.get("macro_f1"))
        name = name_of(row["signer"]) if row.get("signer") is not None else "<em>not stated</em>"
        tag = f'<span class="tag">{name_of(remark_on(row))}</span>' if remark_on(row) else ""
        kind = "worst" if worst < best and top1["value"] == worst else ""
        drawing = bar(top1, chance, kind)
        rows.append([name + tag, whole(row.get("n_clips", 0)), drawing, share_with_interval(top1), share(f1)])
    columns = [
        Column("Signer"),
        Column("Clips", True),
        Column("0 to 100%", still=True),
        Column("Top-1", True),
        Column("Macro F1", True, extra=True),
    ]
    caption = "Top-1 accuracy, lowest first. Whisker: 95% interval over that signer’s clips." + (
        " Dashed line: chance." if chance is not None else ""
    )
    shown = rows if len(rows) <= 30 else rows[:20]
    html = table(columns, shown, caption=caption, sortable=True)
    if len(shown) < len(rows):
        html += folded(f"All {count(len(rows), 'signer')}", table(columns, rows, caption=caption, sortable=True))
    return f"{scope(results)}<p>{text_of(said)}</p>{html}"


def confusions_section(results: Results, rows: int) -> str:
    """The confusion matrix, and the mix-ups as a table."""
    labels = [str(label) for label in results.get("labels") or []]
    cells = confusion_cells(results)
    if not labels or not cells:
        return ""
    totals, ranked = row_totals(cells), ranked_confusions(cells)
    n, wrong = sum(totals.values()), sum(m for _, _, m in ranked)
    said = f"{wrong:,} of {n_answers(results, n)} {'was' if wrong == 1 else 'were'} taken for another sign"
    said += f", in {count(len(ranked), 'combination')}." if ranked else "."
    note, matrix = _matrix(labels, cells, totals, ranked)
    first = rest = ""
    if ranked:
        columns = [Column("Signed"), Column("Taken for"), Column("Clips", True), Column("Share of the sign", True)]
        body: list[list[str | Number]] = [
            [name_of(labels[r]), name_of(labels[c]), whole(m), share(m / totals[r])] for r, c, m in ranked[:rows]
        ]
        first = f'<div class="list"><h3>Most frequent mix-ups</h3>{table(columns, body[:10])}</div>'
        if len(body) > 10:
            left = f"; {len(ranked) - rows:,} rarer ones are in the results file" if len(ranked) > rows else ""
            line = f"{'The first' if left else 'All'} {len(body):,} mix-ups{left}"
            rest = folded(line, table(columns, body, sortable=True, narrow=True))
    return f'{scope(results)}<p>{said}</p>{note}<div class="beside">{matrix}{first}</div>{rest}'


def _matrix(
    labels: list[str], cells: Cells, totals: Counter[int], ranked: list[tuple[int, int, int]]
) -> tuple[str, str]:
    """What stands above the matrix, and the matrix."""
    chosen = list(range(len(labels)))
    note = ""
    if len(labels) > MAX_HEATMAP_SIGNS:
        chosen = most_confused(cells, MAX_HEATMAP_SIGNS)
        inside = sum(m for r, c, m in ranked if r in chosen and c in chosen)
        wrong = sum(m for _, _, m in ranked)
        note = (
            f"<p>The matrix shows the {len(chosen)} signs with the most frequent mix-ups, of {len(labels):,}; "
            f"{inside:,} of the {wrong:,} mix-ups lie within it. The table has the others too.</p>"
        )
    if not chosen:
        return "", ""
    place = {label: i for i, label in enumerate(chosen)}
    data = {
        "labels": [labels[i] for i in chosen],
        "totals": [totals[i] for i in chosen],
        "cells": [[place[r], place[c], m] for (r, c), m in cells.items() if r in place and c in place],
    }
    title = (
        f"Confusion matrix of {count(len(chosen), 'sign')}: a row for each sign that was signed, a column for each "
        "sign it was taken for. The arrow keys move from cell to cell."
    )
    return (
        f'{note}<ul class="legend"><li><span class="swatch own"></span>recognised</li>'
        '<li><span class="swatch off"></span>taken for another sign</li>'
        "<li>Rows: what was signed. Columns: what it was recognised as. Stronger: a larger share of the row.</li></ul>",
        f'<div class="matrix"><div class="scroll">{heatmap(labels, chosen, cells, totals, title)}</div>'
        '<p class="readout" id="heatmap-readout" role="status">Point at a cell, or focus the matrix and use the arrow '
        "keys, to read its count.</p></div>"
        f'<script type="application/json" id="heatmap-data">{safe_json(data)}</script>',
    )


def signs_section(results: Results, rows: int) -> str:
    """Top-k over clips and over signs, and a row for every sign."""
    metrics, k = results.get("metrics") or {}, n_classes(results)
    tops = [t for t in (1, 5, 10) if metrics.get(f"top{t}") is not None and (t == 1 or t < k)]
    per_class = list(results.get("per_class") or [])
    if not tops and not per_class:
        return ""
    parts = [scope(results)]
    if tops:
        what: list[list[str | Number]] = [
            [
                f"Top-{t} <small>{'the first guess' if t == 1 else f'among the first {t}'}</small>",
                share_with_interval(entry_of(metrics[f"top{t}"])),
                share_with_interval(entry_of(metrics.get(f"top{t}_per_class"))),
            ]
            for t in tops
        ]
        if metrics.get("macro_f1") is not None:
            what.append(["Macro F1", Number("–", None), share_with_interval(entry_of(metrics["macro_f1"]))])
        caption = "In the first column every clip weighs the same, in the second every sign. Small: 95% interval."
        columns = [Column("Measure"), Column("Over clips", True), Column("Over signs", True)]
        parts.append(table(columns, what, caption=caption, narrow=True))
    if not per_class:
        return "".join(parts)

    fives = k > 5 and any(row.get("top5") is not None for row in per_class)
    keys = ["top1", *(["top5"] if fives else []), "precision", "f1"]
    names = {"top1": "Top-1", "top5": "Top-5", "precision": "Precision", "f1": "F1"}
    columns = [
        Column("Sign"),
        Column("Clips", True),
        *(Column(names[key], True) for key in keys),
        Column("Mostly taken for"),
    ]
    per_class.sort(key=lambda r: (not r.get("n_clips"), number_of(r.get("top1")) or 0.0, number_of(r.get("f1")) or 0.0))
    taken = _commonest_mistakes(results)
    body: list[list[str | Number]] = [
        [
            name_of(row["label"]),
            whole(row.get("n_clips", 0)),
            *(share(number_of(row.get(key))) for key in keys),
            name_of(taken[str(row["label"])]) if str(row["label"]) in taken else "",
        ]
        for row in per_class
    ]
    caption = (
        "Hardest first. Top-1: the share of a sign’s clips that were recognised. Precision: of the clips called by its "
        "name, the share that were it. F1 joins the two. A dash: there were no clips to tell."
    )
    parts.append("<h3>Each sign</h3>")
    if len(body) <= MAX_OPEN_ROWS:
        return "".join([*parts, table(columns, body, caption=caption, sortable=True)])
    parts.append(table(columns, body[:15], caption=caption))
    line = f"All {len(body):,} signs" if len(body) <= rows else f"The {rows:,} hardest of {len(body):,} signs"
    parts.append(folded(line, table(columns, body[:rows], sortable=True)))
    return "".join(parts)


def _commonest_mistakes(results: Results) -> dict[str, str]:
    labels = [str(label) for label in results.get("labels") or []]
    found: dict[str, str] = {}
    for true, predicted, _ in ranked_confusions(confusion_cells(results)):
        found.setdefault(labels[true], labels[predicted])
    return found


def confidence_section(results: Results) -> str:
    """The reliability diagram with what it means."""
    bins = [b for b in results.get("calibration") or [] if b.get("n")]
    if not bins:
        return ""
    metrics = results.get("metrics") or {}
    n = sum(b["n"] for b in bins)
    sure = sum(b["n"] * b["confidence"] for b in bins) / n
    right = sum(b["n"] * b["accuracy"] for b in bins) / n
    ece, nll = number_of(metrics.get("ece")), number_of(metrics.get("nll"))
    if ece is None:
        ece = sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / n
    lean = "about as sure as it should be"
    if abs(sure - right) > 0.01:
        lean = "surer than it should be" if sure > right else "less sure than it could be"
    said = (
        f"On average it is {percent(sure)} sure and {percent(right)} right: {lean}. The calibration error (ECE) is "
        f"{percent(ece)}: the mean distance of the dots from the dashed line, weighted by clips."
    )
    if nll is not None:
        said += f" Negative log likelihood: {nll:.3f}."
    key = (
        "Dots on the dashed line would be perfect; below it, the recogniser is too sure of itself. Larger dots stand "
        "for more clips, which the bars beneath count."
    )
    columns = [
        Column("Stated confidence"),
        Column("Clips" if float(results.get("answers_per_clip") or 1) == 1 else "Answers", True),
        Column("Mean confidence", True),
        Column("Right", True),
    ]
    rows: list[list[str | Number]] = [
        [
            f"{100 * b['low']:.0f}–{percent(b['high'], 0)}",
            whole(b["n"]),
            share(b["confidence"]),
            share(b["accuracy"]),
        ]
        for b in bins
    ]
    title = "Reliability diagram: stated confidence against the share that was right. The numbers stand beside it."
    return (
        f'{scope(results)}<div class="two"><div>{reliability(bins, title)}</div><div><p>{text_of(said)}</p>'
        f'<p class="quiet">{key}</p>{folded("The numbers", table(columns, rows), len(bins) <= 4)}</div></div>'
    )


def failures_section(results: Results, rows: int) -> str:
    """Clips that could not be used, each with its reason."""
    failures = list(results.get("failures") or [])
    if not failures:
        return ""
    reasons = Counter(str(f.get("reason") or "no reason given") for f in failures)
    common = "; ".join(f"{name_of(reason[:120])}: {n:,}" for reason, n in reasons.most_common(6))
    shown = failures[: min(rows, 500)]
    body: list[list[str | Number]] = [
        [f'<span class="mono">{name_of(f.get("id", ""))}</span>', name_of(f.get("reason") or "no reason given")]
        for f in shown
    ]
    line = "Clip by clip" + (f", the first {len(shown):,}" if len(shown) < len(failures) else "")
    listed = table([Column("Clip"), Column("Reason")], body, sortable=True, narrow=True)
    said = f"{count(len(failures), 'clip')} {'is' if len(failures) == 1 else 'are'} in none of the numbers above"
    return f"<p>{said}. {common}.</p>{folded(line, listed, len(shown) <= 8)}"


def settings_section(results: Results) -> str:
    """The recipe as a table, and the checkpoint's own record."""
    recipe = key_values(flat(results.get("settings") or {}), "The recipe of this run")
    record = flat(results.get("checkpoint") or {}, leave_out=("root",))
    if not record:
        return recipe
    model = key_values(record, "What the checkpoint says about the model")
    return recipe + folded("The checkpoint’s own record", model, not recipe)


def provenance_section(results: Results) -> str:
    """The corpus: name, fingerprint, licences, how its streams were made. Its place on disk is left out."""
    corpus = dict(results.get("corpus") or {})
    if not corpus:
        return ""
    streams = corpus.get("streams") or {}
    rows: list[tuple[str, Any]] = [
        ("Corpus", corpus.get("name") or "not named"),
        ("Clips in the corpus", f"{corpus['n_clips']:,}" if corpus.get("n_clips") is not None else None),
        ("Fingerprint", corpus.get("hash")),
        ("Licences", ", ".join(map(str, corpus.get("licences") or [])) or "none stated"),
    ]
    rows += flat(corpus, leave_out=("name", "n_clips", "hash", "licences", "streams", "root"))
    html = key_values([(key, value) for key, value in rows if value is not None], "The corpus")
    if streams:
        made = key_values(flat(streams, leave_out=("root",)), "Fingerprints of the extractors")
        html += f"<h3>How each stream was made</h3>{made}"
    return html


def making_section(results: Results) -> str:
    """Version, date, command, and how the intervals were worked out."""
    command = results.get("command")
    if isinstance(command, (list, tuple)):
        command = " ".join(map(str, command))
    rows: list[tuple[str, Any]] = [
        ("signloom", results.get("signloom_version")),
        ("Date", results.get("created")),
        ("Command", command),
        *flat(results.get("environment") or {}),
    ]
    how = results.get("interval") or {}
    if how:
        rows.append(
            (
                "Intervals",
                f"{percent(how.get('level'), 0)}, {how.get('method')}, {how_resampled(how)}; seed {how.get('seed')}; "
                "where every clip is right or every clip wrong, the exact binomial bound",
            )
        )
    return key_values([(key, value) for key, value in rows if value], "How this page came about")
