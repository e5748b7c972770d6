"""What sensors measured during a clip, as a drawing for a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data.signal import Channel, Signal
from signloom.errors import SignloomError
from signloom.report.markup import text_of
from signloom.runtime.machine import machine_fault

MAX_PANELS = 4
MAX_POINTS = 120
_WIDTH, _PANEL, _GAP = 300, 44, 15


def signal_drawing(clip: Mapping[str, Any]) -> str:
    """The recording of a clip's sensors, its entry ``sensor``, as an SVG; nothing where there is none or it is gone."""
    from signloom.data.signal_files import read_signal

    if not clip.get("sensor"):
        return ""
    try:
        return drawing_of(read_signal(Path(clip["sensor"])))
    except (SignloomError, OSError) as error:
        if (fault := machine_fault(error)) is not None:
            raise fault from error
        return ""


def drawing_of(signal: Signal) -> str:
    """``signal`` over time, a panel for each thing measured at a place, its axes as lines on one scale around zero."""
    panels: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    for column, name in enumerate(signal.channels):
        channel = Channel.parse(name)
        panels.setdefault((channel.place, channel.quantity, channel.unit), []).append((channel.axis, column))
    if len(signal) < 2:
        return ""
    points = np.linspace(0, len(signal) - 1, min(len(signal), MAX_POINTS)).round().astype(int)
    drawn = [
        _panel(k * (_PANEL + _GAP), f"{place.replace('_', ' ')} {quantity}".strip(), unit, axes, signal, points)
        for k, ((place, quantity, unit), axes) in enumerate(list(panels.items())[:MAX_PANELS])
    ]
    height = len(drawn) * (_PANEL + _GAP)
    left_out = len(panels) - len(drawn)
    more = f"; {left_out} more measured and not drawn" if left_out else ""
    first_s, last_s = signal.start_s, signal.start_s + (len(signal) - 1) / signal.rate_hz
    return (
        f'<svg class="signals" role="img" viewBox="0 0 {_WIDTH} {height + 14}" font-size="10" '
        f'aria-label="What sensors measured">{"".join(drawn)}<text x="2" y="{height + 10}">{first_s:.1f} s</text>'
        f'<text text-anchor="end" x="{_WIDTH - 2}" y="{height + 10}">{last_s:.1f} s{text_of(more)}</text></svg>'
    )


def _panel(top: int, name: str, unit: str, axes: list[tuple[str, int]], signal: Signal, points: np.ndarray) -> str:
    most = max(float(np.abs(signal.values_TC[:, [column for _, column in axes]]).max()), 1e-9)
    middle = top + _GAP + _PANEL / 2
    lines = []
    for k, (axis, column) in enumerate(axes):
        y_N = middle - signal.values_TC[points, column] / most * _PANEL / 2
        path = "L".join(f"{x:.0f} {y:.1f}" for x, y in zip(np.linspace(0, _WIDTH, len(points)), y_N))
        lines.append(f'<path class="axis{k % 3}" d="M{path}"><title>{text_of(axis)}</title></path>')
    said = text_of(f"{name}, ±{most:.3g}" if most < 100 else f"{name}, ±{most:,.0f}")
    text = f'<text x="2" y="{top + 11}">{said} {text_of(unit)}</text>'
    return f'<path class="grid" d="M0 {middle:g}h{_WIDTH}"/>{"".join(lines)}{text}'
