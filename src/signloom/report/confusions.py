"""Which signs are taken for which: confusion counts, the hardest pairs, and the clips that show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signloom.report.words import Results

Cells = dict[tuple[int, int], int]
ClipRow = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """Two signs that are mixed up: ``signed`` taken for ``taken_for`` ``n`` times, the other way ``n_back`` times.

    ``missed`` is such a clip; ``right`` and ``other`` are clips of the two signs that were recognised, where there are
    any. For a close call ``missed`` was recognised, and ``taken_for`` is its runner-up.
    """

    signed: str
    taken_for: str
    n: int
    n_back: int
    missed: ClipRow
    right: ClipRow | None
    other: ClipRow | None


def confusion_cells(results: Results) -> Cells:
    """The cells that are not zero, {(true, predicted): count}, by index into ``labels``.

    Read from ``confusion`` (rows, or the sparse form), else counted from ``clips``.
    """
    confusion = results.get("confusion")
    if isinstance(confusion, Mapping):
        return {
            (int(r), int(c)): int(n)
            for r, c, n in zip(confusion["rows"], confusion["columns"], confusion["counts"], strict=True)
            if n
        }
    if confusion:
        return {(r, c): int(n) for r, row in enumerate(confusion) for c, n in enumerate(row) if n}
    index = {label: i for i, label in enumerate(results.get("labels") or [])}
    clips = results.get("clips") or []
    return dict(
        Counter(
            (index[c["label"]], index[c["predicted"]]) for c in clips if c["label"] in index and c["predicted"] in index
        )
    )


def row_totals(cells: Cells) -> Counter[int]:
    """How many clips each sign has."""
    totals: Counter[int] = Counter()
    for (true, _), n in cells.items():
        totals[true] += n
    return totals


def ranked_confusions(cells: Cells) -> list[tuple[int, int, int]]:
    """(true, predicted, count) off the diagonal: most clips first, then the larger share of the sign's clips."""
    totals = row_totals(cells)
    off = [(true, predicted, n) for (true, predicted), n in cells.items() if true != predicted]
    return sorted(off, key=lambda m: (-m[2], totals[m[0]], m[0], m[1]))


def most_confused(cells: Cells, at_most: int) -> list[int]:
    """The signs of the most frequent mix-ups, mixed-up ones beside each other, at most ``at_most``."""
    chosen: list[int] = []
    for true, predicted, _ in ranked_confusions(cells):
        new = [i for i in (true, predicted) if i not in chosen]
        if len(chosen) + len(new) > at_most:
            continue
        known = [i for i in (true, predicted) if i in chosen]
        place = chosen.index(known[0]) + 1 if known else len(chosen)
        chosen[place:place] = new
        if len(chosen) >= at_most:
            break
    return chosen


def hardest_pairs(clips: Sequence[ClipRow], at_most: int) -> list[Pair]:
    """The pairs of signs mixed up most often, both directions together, each with clips that show it."""
    missed: dict[tuple[str, str], list[ClipRow]] = {}
    for clip in clips:
        if clip["label"] != clip["predicted"]:
            missed.setdefault((clip["label"], clip["predicted"]), []).append(clip)
    sizes = Counter(clip["label"] for clip in clips)
    merged: dict[tuple[str, str], int] = {}
    for (true, predicted), found in missed.items():
        key = (min(true, predicted), max(true, predicted))
        merged[key] = merged.get(key, 0) + len(found)
    ranked = sorted(merged.items(), key=lambda m: (-m[1], -m[1] / max(1, sizes[m[0][0]] + sizes[m[0][1]]), m[0]))
    ranked = ranked[:at_most]
    recognised = _recognised(clips, {label for pair, _ in ranked for label in pair})
    pairs = []
    for key, _ in ranked:
        there, back = missed.get(key, []), missed.get((key[1], key[0]), [])
        signed, taken_for = key if len(there) >= len(back) else (key[1], key[0])
        shown = max(there if len(there) >= len(back) else back, key=_sure)
        pairs.append(
            Pair(
                signed=signed,
                taken_for=taken_for,
                n=max(len(there), len(back)),
                n_back=min(len(there), len(back)),
                missed=shown,
                right=_like(shown, recognised.get(signed, [])),
                other=_like(shown, recognised.get(taken_for, [])),
            )
        )
    return pairs


def closest_calls(clips: Sequence[ClipRow], at_most: int) -> list[Pair]:
    """Recognised clips whose runner-up came nearest, one per pair of signs: what to look at when nothing was missed."""
    close = [c for c in clips if c["label"] == c["predicted"] and len(c.get("top") or ()) > 1]
    close.sort(key=lambda c: (c["top"][0][1] - c["top"][1][1], str(c["id"])))
    chosen: dict[tuple[str, str], ClipRow] = {}
    for clip in close:
        chosen.setdefault((clip["label"], clip["top"][1][0]), clip)
        if len(chosen) >= at_most:
            break
    recognised = _recognised(clips, {label for pair in chosen for label in pair})
    return [
        Pair(
            label,
            runner_up,
            0,
            0,
            clip,
            _like(clip, [c for c in recognised.get(label, []) if c["id"] != clip["id"]]),
            _like(clip, recognised.get(runner_up, [])),
        )
        for (label, runner_up), clip in chosen.items()
    ]


def _recognised(clips: Iterable[ClipRow], labels: set[str]) -> dict[str, list[ClipRow]]:
    found: dict[str, list[ClipRow]] = {}
    for clip in clips:
        if clip["label"] in labels and clip["label"] == clip["predicted"]:
            found.setdefault(clip["label"], []).append(clip)
    return found


def _like(shown: ClipRow, candidates: Sequence[ClipRow]) -> ClipRow | None:
    """The surest of ``candidates``, by the same signer where possible: then only the sign differs."""
    if not candidates:
        return None
    return max(candidates, key=lambda c: (c.get("signer") == shown.get("signer"), _sure(c)))


def _sure(clip: ClipRow) -> float:
    return float(clip.get("confidence") or 0.0)
