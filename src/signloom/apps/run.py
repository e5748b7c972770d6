"""The loop around a live recogniser: a source of frames, keys, a window or none, and events that are told."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from signloom.apps.live import SPACE, Event, State
from signloom.media.camera import Source

AGAIN_S = 1.0
"""So often a camera that is gone is looked for."""


class Machine(Protocol):
    """What frames and keys are given to: :class:`~signloom.apps.live.Live`, or the continuous mode."""

    state: State

    def push(self, time_s: float, frame: np.ndarray) -> list[Event]: ...
    def press(self, key: str) -> list[Event]: ...
    def lost(self, why: str) -> list[Event]: ...
    def end(self) -> list[Event]: ...


def run(
    machine: Machine,
    source: Source,
    tell: Callable[[Event], None],
    *,
    show: Callable[[np.ndarray], str] | None = None,
    keys: Callable[[], Iterator[str]] = lambda: iter(()),
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Drive ``machine`` until it is over or ``source`` has ended; how many frames there were, and at what rate.

    ``show`` draws a frame and gives the key that was pressed; ``keys`` gives keys from elsewhere.
    """
    n_frames, begun = 0, time.perf_counter()
    while machine.state is not State.OVER:
        filmed = source.read()
        events: list[Event] = []
        if filmed is None:
            if source.ended:
                events = machine.end()
            else:
                events = machine.lost(f"{source.name} gives no picture any more; plug it in again, or press Ctrl-C")
                if not source.open_again():
                    sleep(AGAIN_S)
        else:
            n_frames += 1
            events = machine.push(*filmed)
        for event in events:
            tell(event)
        pressed = [*keys()]
        if show is not None and filmed is not None and machine.state is not State.OVER:
            pressed.append(show(filmed.frame))
        for key in pressed:
            for event in machine.press(key) if key and machine.state is not State.OVER else ():
                tell(event)
    seconds = time.perf_counter() - begun
    return {"frames": n_frames, "seconds": round(seconds, 3), "rate_hz": round(n_frames / max(seconds, 1e-9), 1)}


class TypedKeys:
    """Keys that are typed as lines: an empty line or ``space`` begins, ``q`` stops or ends. The end of input ends
    nothing: the source does."""

    def __init__(self, lines: Any = None):
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lines = sys.stdin if lines is None else lines
        threading.Thread(target=self._read, daemon=True, name="typed keys").start()

    def __call__(self) -> Iterator[str]:
        while True:
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return

    def _read(self) -> None:
        for line in self._lines:
            word = line.strip().lower()
            self._queue.put(SPACE if word in ("", "space") else word[:1])
