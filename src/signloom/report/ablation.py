"""An ablation as text, as a page and as a picture: arms in rows, held-out signers or sources in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from signloom.report.markup import Column, Number, name_of, share, table, text_of
from signloom.report.page import whole_page
from signloom.report.words import count, percent, points
from signloom.runtime.atomic import atomic_write
from signloom.runtime.text import plain

Results = Mapping[str, Any]


def ablation_lines(results: Results) -> list[str]:
    """The table for a terminal: the split beside the figures, what helps and what does not after it."""
    folds, tops = results["folds"], results["tops"]
    names = [str(arm["name"]) for arm in results["arms"]]
    first = max(len("arm"), *map(len, names))
    lines = [str(results["title"]), f"{results['split']['scheme']}, test: {results['split']['detail']}"]
    if results.get("synthetic"):
        lines.append(f"SYNTHETIC: {results['synthetic']}")
    wide = max(8, *(len(str(f)) for f in folds), len("/".join(tops)) if len(tops) > 1 else 0, 6 * len(tops))
    head = "".join(f"  {f!s:>{wide}}" for f in [*folds, "mean"])
    lines += ["", f"{'arm':<{first}}{head}   {' / '.join(t.replace('top', 'top-') for t in tops)}"]
    for arm in results["arms"]:
        cells = [_tops(arm["per_fold"][f], tops) for f in folds] + [_tops(arm["mean"], tops)]
        lines.append(f"{arm['name']!s:<{first}}" + "".join(f"  {c:>{wide}}" for c in cells))
    lines += ["", f"top-1 beside {results['baseline']}, in points:"]
    for arm in results["arms"][1:]:
        lines.append(f"  {arm['name']!s:<{first}}  {verdict(arm['difference'], results['unit'])}")
    faces = [arm for arm in results["arms"] if arm.get("omit_face")]
    if faces:
        lines += ["", "With the face covered, top-1 on the same test clips, beside the same runs with it:"]
        for arm in faces:
            own = arm["omit_face"]
            lines.append(f"  {arm['name']!s:<{first}}  {percent(own['top1'])}, {_gain(own['over_clips'])}")
    return [plain(line) for line in lines]


def verdict(difference: Mapping[str, Any], unit: str) -> str:
    """A difference in words: over clips and over ``unit``s with intervals, and in standard errors over seeds."""
    seeds = difference["over_seeds"]
    sure = f", {seeds['errors']:+.1f} standard errors over seeds" if seeds["errors"] is not None else ""
    return f"{_gain(difference['over_clips'])} over clips; {_gain(difference['over_units'])} over {unit}s{sure}"


def _gain(entry: Mapping[str, Any]) -> str:
    if entry.get("low") is None:
        return f"{points(entry)}"
    return f"{100 * entry['value']:+.1f} [{100 * entry['low']:+.1f}, {100 * entry['high']:+.1f}]"


def _tops(means: Mapping[str, float], tops: Sequence[str]) -> str:
    return "/".join(f"{100 * means[t]:.1f}" for t in tops)


def write_ablation(results: Results, folder: Path) -> list[Path]:
    """Write ``report.html`` and ``table.png`` into ``folder``."""
    page, picture = folder / "report.html", folder / "table.png"
    with atomic_write(page) as tmp:
        tmp.write_text(_page(results), encoding="utf-8")
    _draw(results, picture)
    return [page, picture]


def _page(results: Results) -> str:
    folds, tops = results["folds"], results["tops"]
    columns = [Column("Arm")]
    columns += [Column(f"{fold} {t.replace('top', 'top-')}", True) for fold in [*folds, "Mean"] for t in tops]
    body: list[list[str | Number]] = []
    for arm in results["arms"]:
        cells = [share(arm["per_fold"][fold][t]) for fold in folds for t in tops]
        cells += [share(arm["mean"][t]) for t in tops]
        body.append([name_of(arm["name"]), *cells])
    arms = table(columns, body, caption=f"{results['split']['scheme']}: {results['split']['detail']}", sortable=True)
    said = [
        Column("Arm"), Column("Points over clips", True), Column(f"Points over {results['unit']}s", True),
        Column("Standard errors over seeds", True), Column("Copies learnt from (mean of folds)", True),
    ]  # fmt: skip
    rows: list[list[str | Number]] = []
    for arm in results["arms"][1:]:
        own = arm["difference"]
        errors, copies = own["over_seeds"]["errors"], arm["copies"].values()
        rows.append(
            [
                name_of(arm["name"]),
                Number(_gain(own["over_clips"]), own["over_clips"]["value"]),
                Number(_gain(own["over_units"]), own["over_units"]["value"]),
                Number("–" if errors is None else f"{errors:+.1f}", errors),
                Number(f"{sum(copies) / len(copies):.0f}", sum(copies) / len(copies)),
            ]
        )
    differences = table(said, rows, caption=f"Top-1 beside {results['baseline']}; {results['interval']}", sortable=True)
    sections = [("arms", "Arms", arms), ("differences", "What helps", differences)]
    faces = [arm for arm in results["arms"] if arm.get("omit_face")]
    if faces:
        covered = table(
            [Column("Arm"), Column("Top-1, face covered", True), Column("Points beside the same with it", True)],
            [
                [
                    name_of(arm["name"]),
                    share(arm["omit_face"]["top1"]),
                    Number(_gain(arm["omit_face"]["over_clips"]), arm["omit_face"]["over_clips"]["value"]),
                ]
                for arm in faces
            ],
        )
        sections.append(("face", "With the face covered", covered))
    best = max(results["arms"], key=lambda arm: arm["mean"]["top1"])
    told = [f"Best on the mean: {best['name']}, top-1 {percent(best['mean']['top1'])}."]
    if best["name"] != results["baseline"]:
        told.append(f"Beside {results['baseline']}: {verdict(best['difference'], results['unit'])} points.")
    told.append(
        "The best of several arms looks better than it is: it was chosen by these very figures. Measure it on signers "
        "that chose nothing."
    )
    if results.get("synthetic"):
        told.insert(0, f"Synthetic: {results['synthetic']}.")
    summary = "".join(f'<p class="plain">{text_of(line)}</p>' for line in told)
    kicker = f"Ablation · {results['split']['scheme']} · {count(len(results['seeds']), 'seed')}"
    return whole_page(results, results["title"], kicker, summary, sections)


def _draw(results: Results, file: Path) -> None:
    """The table, and beside it the differences with their intervals over clips."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folds, tops, arms = results["folds"], results["tops"], results["arms"]
    columns = [f"{fold}\n{t.replace('top', 'top-')}" for fold in [*folds, "mean"] for t in tops]
    cells = [
        [f"{100 * arm['per_fold'][fold][t]:.1f}" for fold in folds for t in tops]
        + [f"{100 * arm['mean'][t]:.1f}" for t in tops]
        for arm in arms
    ]
    size = (2.5 + 0.85 * len(columns), 1.4 + 0.62 * len(arms) + 0.3 * len(arms))
    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=size, height_ratios=[0.4 * len(arms) + 0.8, 0.3 * len(arms) + 0.5]
    )
    above.axis("off")
    label = f"{results['title']}\n{results['split']['scheme']}, test, {count(len(results['seeds']), 'seed')}"
    above.set_title(label + ("; SYNTHETIC signers" if results.get("synthetic") else ""), fontsize=9, loc="left")
    shown = above.table(cells, rowLabels=[arm["name"] for arm in arms], colLabels=columns, loc="center")
    shown.auto_set_font_size(False)
    shown.set_fontsize(8)
    shown.scale(1, 1.25)
    for (row, _), cell in shown.get_celld().items():
        cell.set_height(cell.get_height() * (1.6 if row == 0 else 1))
    below.axvline(0, color="#888888", linewidth=0.8)
    for place, arm in enumerate(reversed(arms[1:])):
        own = arm["difference"]["over_clips"]
        value = 100 * own["value"]
        ends = [[value - 100 * own["low"]], [100 * own["high"] - value]] if own["low"] is not None else None
        below.errorbar([value], [place], xerr=ends, fmt="o", color="#35618e", capsize=3, markersize=4)
    below.set_yticks(range(len(arms) - 1), [arm["name"] for arm in reversed(arms[1:])], fontsize=8)
    below.set_ylim(-0.6, len(arms) - 1.4)
    below.set_xlabel(f"top-1 beside {results['baseline']}, points; 95 % over clips", fontsize=8)
    below.tick_params(axis="x", labelsize=8)
    figure.tight_layout()
    with atomic_write(file) as tmp:
        figure.savefig(tmp, dpi=120)
    pyplot.close(figure)
