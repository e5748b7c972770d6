"""Timing: what every group of the bench uses."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from signloom.errors import SignloomError


@dataclass(frozen=True)
class Measure:
    """One thing measured several times: ``values`` in ``unit``, a row of the table."""

    group: str
    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.median, "min": min(self.values), "max": max(self.values)}


Ratio = dict[str, Any]
Rounds = Callable[[str, int], Iterator[int]]
Measured = tuple[list[Measure], list[Ratio]]


@dataclass(frozen=True)
class Bench:
    """What a group measures on: ``clips`` with ``n_frames`` in all (``decoded`` to count them), ``repeats`` times.

    ``peer_python`` is a Python that has what signloom is compared with; None: this one.
    """

    clips: tuple[Path, ...]
    n_frames: int
    decoded: tuple[Measure, ...]
    scratch: Path
    repeats: int
    quick: bool
    peer_python: Path | None = None


def ratio_of(name: str, faster: Measure, slower: Measure) -> Ratio:
    """How many times faster the first is: of the medians, and the least and most over single rounds."""
    per_round = [a / b for a, b in zip(faster.values, slower.values)]
    if faster.unit.startswith(("ms", "s")):
        per_round = [1 / r for r in per_round]
    middle = faster.median / slower.median
    middle = 1 / middle if faster.unit.startswith(("ms", "s")) else middle
    return {"name": name, "ratio": round(middle, 3), "low": round(min(per_round), 3), "high": round(max(per_round), 3)}


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds that ``function(*arguments)`` took, and its value."""
    began = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - began, value


def say(text: str) -> None:
    print(f"bench: {text} …", file=sys.stderr, flush=True)


def rounds(title: str, n: int) -> Iterator[int]:
    """Everything in a group is measured once in every round, so that a slow minute of the machine hits all alike."""
    say(f"{title}, {n} rounds")
    yield from range(n)


def run_command(command: list[str]) -> tuple[float, str]:
    """Wall-clock seconds and output of a process. Raises SignloomError when it fails."""
    took, done = timed(lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    if done.returncode not in (0, 3):
        words = " ".join(w if len(w) < 80 else "…" for w in command[:8])
        raise SignloomError(f"`{words}` ended with exit code {done.returncode}: {done.stderr[-500:]}")
    return took, done.stdout


def run_signloom(*words: str | Path) -> tuple[float, str]:
    """The same of a signloom command."""
    return run_command([sys.executable, "-m", "signloom", *map(str, words)])


def corpus_of(bench: Bench, name: str, clips: int | None = None) -> Path:
    """A corpus of the (first) clips as they are, in the scratch folder."""
    from signloom.data.manifest import Manifest, Record, write_manifest

    files = enumerate(bench.clips[:clips])
    records = tuple(Record(f"clip-{n}", streams={"video": str(file.resolve())}) for n, file in files)
    folder = bench.scratch / name
    return write_manifest(Manifest(records, folder, {"name": "bench"}), folder).parent
