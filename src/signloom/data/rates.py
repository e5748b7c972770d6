"""Frames per second: which rates a corpus has, which of them is the usual one, and how two differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

ALIKE = 0.02  # headers round rates, and cameras keep them no better
_APART = 0.1  # from here on a difference is told

Rates = Mapping[str, int]
"""Frames per second, as text (a key of JSON) → how many clips have that rate; the most frequent first."""


def rates_of(fps: Iterable[float | None]) -> dict[str, int]:
    """How many clips have which rate. Clips of unknown rate (None) are left out."""
    counted = Counter(f"{rate:.5g}" for rate in fps if rate)
    return dict(sorted(counted.items(), key=lambda row: (-row[1], float(row[0]))))


def usual_rate(rates: Rates) -> float | None:
    """The middle one of all clips' rates; None where none is known. It is a rate that some clip has."""
    left = sum(rates.values()) / 2
    for fps in sorted(rates, key=float):
        left -= rates[fps]
        if left <= 0:
            return float(fps)
    return None


def times_as_fast(fps: float, reference_fps: float) -> float:
    """``fps`` over ``reference_fps``; exactly 1 where they are alike (2 %)."""
    ratio = fps / reference_fps
    return 1.0 if abs(ratio - 1) <= ALIKE else ratio


def far_from(reference_fps: float, rates: Rates) -> dict[str, int]:
    """Those of ``rates`` that differ from ``reference_fps`` by more than a tenth."""
    return {fps: n for fps, n in rates.items() if abs(float(fps) / reference_fps - 1) > _APART}


def are_mixed(rates: Rates) -> bool:
    """Whether the highest is more than a tenth above the lowest."""
    known = [float(fps) for fps in rates]
    return bool(known) and max(known) > (1 + _APART) * min(known)


def in_words(rates: Rates, most: int = 5) -> str:
    """``30 (80 clips), 15 (20 clips)``."""
    shown = [f"{fps} ({n} clip{'s' if n > 1 else ''})" for fps, n in list(rates.items())[:most]]
    return ", ".join(shown) + (" …" if len(rates) > most else "")


def mixed_note(rates: Rates) -> str | None:
    """What is to be known of a corpus with these rates; None where they are alike."""
    if not are_mixed(rates):
        return None
    return (
        f"clips have different frame rates, {in_words(rates)}: poses and frames are spread over each clip whatever its "
        "rate is; optical flow is kept per frame, and recipes of ours bring it to one rate, while published ones "
        "(chalearn-flow; windows of frames in wlasl and tal-ia) take it frame by frame"
    )
