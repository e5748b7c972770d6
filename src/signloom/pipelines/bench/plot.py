"""The figures as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from signloom.pipelines.bench.measure import Measure
from signloom.runtime.atomic import atomic_write


def plot(measures: Sequence[Measure], file: Path) -> None:
    """Write a bar chart, one panel a group and unit, with the spread from least to most."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = dict.fromkeys((m.group, m.unit) for m in measures if m.unit != "clips/s" or m.group != "prepare")
    figure, axes = pyplot.subplots(len(titles), 1, figsize=(8, 1.3 * len(titles) + 1), squeeze=False)
    for axis, (group, unit) in zip(axes[:, 0], titles):
        rows = [m for m in measures if (m.group, m.unit) == (group, unit)][::-1]
        spread = [[m.median - min(m.values) for m in rows], [max(m.values) - m.median for m in rows]]
        axis.barh([m.name for m in rows], [m.median for m in rows], xerr=spread, height=0.6, color="#35618e")
        axis.set_title(f"{group}, {unit}", loc="left", fontsize=9)
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    with atomic_write(file) as tmp:
        figure.savefig(tmp, dpi=110)
    pyplot.close(figure)
