"""The page's drawings, as inline SVG that follows the page's colours in light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from signloom.report.confusions import Cells
from signloom.report.markup import text_of
from signloom.report.words import count, percent


def scale_line(entry: Mapping[str, Any], chance: float | None) -> str:
    """A line from 0 to 100 % with the interval as a band, the value and chance as ticks. Decoration: the
    numbers stand beside it in words."""
    value, low, high = entry.get("value"), entry.get("low"), entry.get("high")
    if value is None:
        return ""
    parts = ['<span class="scale-rail"></span>']
    if low is not None and high is not None:
        parts.append(f'<span class="scale-band" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></span>')
    if chance is not None:
        parts.append(f'<span class="scale-chance" style="left:{100 * chance:.2f}%"></span>')
    parts.append(f'<span class="scale-value" style="left:{100 * value:.2f}%"></span>')
    ends = '<span class="scale-end">0</span><span class="scale-end right">100%</span>'
    return f'<div class="scale" aria-hidden="true">{"".join(parts)}{ends}</div>'


def bar(entry: Mapping[str, Any], chance: float | None = None, kind: str = "") -> str:
    """One bar from 0 to 100 % with its interval as a whisker; it fills the width it is given. Decoration."""
    value, low, high = entry.get("value"), entry.get("low"), entry.get("high")
    if value is None:
        return ""
    marks = [f'<rect class="bar-fill {kind}" x="0" y="3" width="{100 * value:.2f}" height="10"/>']
    if low is not None and high is not None and high > low:
        marks.append(
            f'<path class="bar-whisker" d="M{100 * low:.2f} 8H{100 * high:.2f}M{100 * low:.2f} 4.5V11.5'
            f'M{100 * high:.2f} 4.5V11.5"/>'
        )
    if chance is not None:
        marks.append(f'<path class="bar-chance" d="M{100 * chance:.2f} 0V16"/>')
    return (
        '<svg class="bar" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="bar-rail" x="0" y="3" width="100" height="10"/>{"".join(marks)}</svg>'
    )


def heatmap(labels: Sequence[str], chosen: Sequence[int], cells: Cells, totals: Mapping[int, int], title: str) -> str:
    """The confusion matrix of the ``chosen`` signs: rows signed, columns predicted, shade = share of the row's clips.

    Only cells that are not zero are drawn. A script reads ``data-cells`` to name the cell under the pointer or the
    arrow keys; each drawn cell also has its own tooltip, so that it works without the script.
    """
    k = len(chosen)
    side = 34 if k <= 12 else 26 if k <= 20 else 18 if k <= 30 else 15
    size = 12 if side >= 26 else 11
    longest = max((len(labels[i]) for i in chosen), default=1)
    room = min(150, 18 + round(min(longest, 18) * size * 0.6))
    slant = math.radians(50)
    head = 14 + round(room * math.sin(slant))
    right = 10 + round(room * math.cos(slant))
    width, height = room + k * side + right, head + k * side + 6
    place = {i: position for position, i in enumerate(chosen)}
    drawn = []
    for (true, predicted), n in sorted(cells.items()):
        if true not in place or predicted not in place:
            continue
        share = n / totals[true] if totals[true] else 0.0
        own = true == predicted
        shade = 0.06 + 0.94 * share if own else 0.22 + 0.78 * math.sqrt(share)
        x, y = room + place[predicted] * side, head + place[true] * side
        tip = f"{labels[true]} → {labels[predicted]}: {n} of {count(totals[true], 'clip')} ({percent(share)})"
        number = ""
        if side >= 26:
            dark = shade > 0.72
            number = (
                f'<text class="cell-n{" on-dark" if dark else ""}" x="{x + side / 2:g}" y="{y + side / 2:g}">{n}</text>'
            )
        drawn.append(
            f'<g><title>{text_of(tip)}</title><rect class="{"hit" if own else "miss"}" x="{x + 1}" y="{y + 1}" '
            f'width="{side - 2}" height="{side - 2}" rx="2" fill-opacity="{shade:.2f}"/>{number}</g>'
        )
    names = []
    for position, i in enumerate(chosen):
        middle = (position + 0.5) * side
        short = text_of(_shortened(labels[i]))
        full = f"<title>{text_of(labels[i])}</title>"
        names.append(f'<text class="row-name" x="{room - 7}" y="{head + middle:g}">{full}{short}</text>')
        corner = f"translate({room + middle:g} {head - 8}) rotate(-50)"
        names.append(f'<text class="column-name" transform="{corner}">{full}{short}</text>')
    lines = "".join(f"M{room} {head + i * side}h{k * side}M{room + i * side} {head}v{k * side}" for i in range(k + 1))
    return (
        f'<svg class="heatmap" id="heatmap" role="img" tabindex="0" aria-label="{text_of(title)}" '
        f'aria-describedby="heatmap-readout" viewBox="0 0 {width} {height}" '
        f'style="width:{width}px;min-width:{0.8 * width:.0f}px" '
        f'font-size="{size}" data-left="{room}" data-top="{head}" data-side="{side}">'
        f'<path class="grid" d="{lines}"/>{"".join(drawn)}{"".join(names)}'
        f'<rect class="cursor" id="heatmap-cursor" width="{side}" height="{side}" visibility="hidden"/></svg>'
    )


def reliability(bins: Sequence[Mapping[str, Any]], title: str) -> str:
    """Stated confidence against the share that was right; the area of a dot grows with its number of clips."""
    left, top, side, strip = 46, 12, 260, 46
    filled = [b for b in bins if b["n"] and b["confidence"] is not None]
    most = max((b["n"] for b in filled), default=1)

    def at(confidence: float, accuracy: float) -> tuple[float, float]:
        return left + confidence * side, top + (1 - accuracy) * side

    grid = "".join(
        f"M{left} {top + f * side:g}h{side}M{left + f * side:g} {top}v{side}" for f in (0, 0.25, 0.5, 0.75, 1)
    )
    under = top + side + strip
    ticks = "".join(
        f'<text text-anchor="end" x="{left - 7}" y="{top + (1 - f) * side + 4:g}">{100 * f:.0f}</text>'
        f'<text text-anchor="middle" x="{left + f * side:g}" y="{under + 20}">{100 * f:.0f}</text>'
        for f in (0, 0.25, 0.5, 0.75, 1)
    )
    points = [at(b["confidence"], b["accuracy"]) for b in filled]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
    dots = "".join(
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{3 + 6 * math.sqrt(b["n"] / most):.1f}">'
        f"<title>{count(b['n'], 'clip')}: {percent(b['confidence'], 0)} sure on average, "
        f"{percent(b['accuracy'], 0)} right</title></circle>"
        for (x, y), b in zip(points, filled)
    )
    bars = "".join(
        f'<rect class="count" x="{left + b["low"] * side + 1:.1f}" width="{(b["high"] - b["low"]) * side - 2:.1f}" '
        f'y="{under - 34 * b["n"] / most:.1f}" height="{34 * b["n"] / most:.1f}"/>'
        for b in filled
    )
    return (
        f'<svg class="reliability" role="img" aria-label="{text_of(title)}" font-size="12" '
        f'viewBox="0 0 330 {under + 46}">'
        f'<path class="grid" d="{grid}M{left} {under}h{side}"/>'
        f'<path class="ideal" d="M{left} {top + side}L{left + side} {top}"/>'
        f'{bars}<path class="line" d="{path}"/>{dots}{ticks}'
        f'<text text-anchor="middle" x="{left + side / 2:g}" y="{under + 40}">stated confidence, %</text>'
        f'<text text-anchor="middle" transform="translate(13 {top + side / 2:g}) rotate(-90)">'
        "share that was right, %</text></svg>"
    )


def curve(points: Sequence[Mapping[str, Any]], ahead: Sequence[Mapping[str, Any]], title: str, axis: str) -> str:
    """Accuracy against a number, on a scale that doubles: what was measured with its intervals, and, dashed with a
    band, what more would bring."""
    left, top, wide, high = 46, 12, 380, 220
    every = [*points, *ahead]
    least, most = math.log2(every[0]["n"]), math.log2(every[-1]["n"])

    def at(point: Mapping[str, Any], name: str = "value") -> tuple[float, float]:
        value = point["value"] if point.get(name) is None else point[name]
        x = left + wide * (math.log2(point["n"]) - least) / max(most - least, 1e-9)
        return x, top + high * (1 - value)

    def path(some: Sequence[Mapping[str, Any]], name: str = "value") -> str:
        return "L".join(f"{x:.1f} {y:.1f}" for x, y in (at(p, name) for p in some))

    beyond = [points[-1], *ahead]
    band = f"M{path(beyond, 'high')}L{path(beyond[::-1], 'low')}Z" if ahead else ""
    whiskers = "".join(
        f"M{at(p)[0]:.1f} {at(p, 'low')[1]:.1f}V{at(p, 'high')[1]:.1f}" for p in points if p.get("low") is not None
    )
    dots = "".join(
        f'<circle class="dot" cx="{at(p)[0]:.1f}" cy="{at(p)[1]:.1f}" r="4"><title>{p["n"]:g}: {percent(p["value"])}'
        "</title></circle>"
        for p in points
    )
    grid = "".join(f"M{left} {top + high * f:g}h{wide}" for f in (0, 0.25, 0.5, 0.75, 1))
    ticks = "".join(
        f'<text text-anchor="end" x="{left - 7}" y="{top + high * (1 - f) + 4:g}">{100 * f:.0f}</text>'
        for f in (0, 0.25, 0.5, 0.75, 1)
    )
    ticks += "".join(
        f'<text text-anchor="middle" x="{at(p)[0]:.1f}" y="{top + high + 18}">{p["n"]:g}</text>' for p in every
    )
    return (
        f'<svg class="reliability" role="img" aria-label="{text_of(title)}" font-size="12" '
        f'viewBox="0 0 {left + wide + 20} {top + high + 44}" style="max-width:{left + wide + 20}px">'
        f'<path class="grid" d="{grid}"/><path class="count" d="{band}" fill-opacity="0.5"/>'
        f'<path class="line" d="M{path(points)}"/><path class="ideal" d="M{path(beyond)}"/>'
        f'<path class="line" d="{whiskers}"/>{dots}{ticks}'
        f'<text text-anchor="middle" x="{left + wide / 2:g}" y="{top + high + 38}">{text_of(axis)}</text></svg>'
    )


def _shortened(label: str, at_most: int = 18) -> str:
    return label if len(label) <= at_most else label[: at_most - 1] + "…"
