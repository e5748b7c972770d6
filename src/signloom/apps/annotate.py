"""Signs with their times in recordings: the continuous mode of ``live`` over files, written for people to correct."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from signloom.apps.continuous import Continuous
from signloom.apps.live import Event
from signloom.apps.run import run
from signloom.data.annotations import SIGNS_TIER, Annotation, write_annotations
from signloom.media.camera import FilmedFile
from signloom.tasks.segment.predict import Segmenter

UNKNOWN_TIER = "none of these"
"""The tier of stretches that are no sign of the recogniser's; each holds the nearest, with a question mark."""


def annotate(
    predictor: Any,
    video: Path,
    on_event: Callable[[Event], None] = lambda event: None,
    segmenter: Segmenter | None = None,
) -> list[Annotation]:
    """The signs in ``video`` with their times, in order; found by ``segmenter``, without one by a rule.

    Raises MediaError for a file that cannot be read.
    """
    found: list[Annotation] = []

    def tell(event: Event) -> None:
        on_event(event)
        if event.prediction is not None:
            found.append(_annotation(event))

    source = FilmedFile(video, as_filmed=False)
    try:
        run(Continuous(predictor, learnt=segmenter), source, tell)
    finally:
        source.close()
    return found


def _annotation(event: Event) -> Annotation:
    assert event.prediction is not None
    prediction = event.prediction
    (label, p), start_ms = prediction.top(1)[0], round(1000 * prediction.start_s)
    none = prediction.none_of_these
    return Annotation(
        start_ms,
        max(start_ms + 1, round(1000 * prediction.end_s)),
        f"? {label}" if none else label,
        UNKNOWN_TIER if none else SIGNS_TIER,
        p,
        prediction.unknown,
    )


def write_all(
    annotations: Sequence[Annotation], video: Path, out: Path, formats: Sequence[str], stem: str
) -> list[Path]:
    """Write them into the folder ``out`` in each of ``formats``, under the name ``stem``."""
    return [write_annotations(out / f"{stem}.{kind}", annotations, video) for kind in formats]
