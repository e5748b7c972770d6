"""Batches made beside the training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any


@dataclass(frozen=True)
class Prefetch:
    """How many batches to make ahead, in so many threads; 0 where making them costs next to nothing."""

    ahead: int = 0
    threads: int = 1


def prefetched(make: Callable[[int], Any], steps: Iterable[int], prefetch: Prefetch) -> Iterator[tuple[int, Any]]:
    """``(step, make(step))`` of each step in order."""
    if not prefetch.ahead:
        for step in steps:
            yield step, make(step)
        return
    waiting = iter(steps)
    with ThreadPoolExecutor(prefetch.threads, thread_name_prefix="batches") as pool:
        made: deque[tuple[int, Future]] = deque()
        try:
            made.extend((step, pool.submit(make, step)) for step in islice(waiting, prefetch.ahead))
            while made:
                step, future = made.popleft()
                batch = future.result()
                made.extend((later, pool.submit(make, later)) for later in islice(waiting, 1))
                yield step, batch
        finally:
            for _, future in made:
                future.cancel()
