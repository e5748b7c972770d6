"""Whole commands alone, and beside a program that keeps one core busy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from signloom.pipelines.bench.measure import Bench, Measure, Measured, ratio_of, rounds, run_signloom, say
from signloom.runtime.workers import default_workers

# What a process finds set; None: nothing. torch by itself takes every core and lets threads spin while they wait.
WAYS: Mapping[str, Mapping[str, str | None]] = {
    "signloom": {"OMP_WAIT_POLICY": None, "OMP_NUM_THREADS": None},
    "torch's defaults": {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": str(default_workers())},
}
Key = tuple[str, str, bool]


def measure_busy(bench: Bench) -> Measured:
    """Commands, start-up included, as signloom computes and with torch's defaults: how much longer beside a busy core.

    Two programs share what two cores can do: a command that could use both is left one and a half of them at best.
    """
    commands = _commands(bench)
    seconds: dict[Key, list[float]] = {}
    for _ in rounds("commands beside a busy core", bench.repeats):
        for name, words in commands.items():
            for way, given in WAYS.items():
                for busy in (False, True):
                    out = bench.scratch / "busy" / "out"
                    shutil.rmtree(out, ignore_errors=True)
                    with _environment(given), _busy_core() if busy else nullcontext():
                        took, _ = run_signloom(*words, "--out", out)
                    seconds.setdefault((name, way, busy), []).append(took)
    rows = {key: Measure("busy", _title(*key), "s", tuple(took)) for key, took in seconds.items()}
    longer = [
        ratio_of(
            f"longer beside a busy core: {_title(name, way, False)}", rows[name, way, False], rows[name, way, True]
        )
        for name in commands
        for way in WAYS
    ]
    return list(rows.values()), longer


def _title(name: str, way: str, busy: bool) -> str:
    return f"{name}, {way}" + ", beside" * busy


def _commands(bench: Bench) -> dict[str, tuple[str | Path, ...]]:
    """Words without --out: what trains, and what a trained run is used for."""
    folder = bench.scratch / "busy"
    footage, corpus, run, painter = (folder / name for name in ("footage", "corpus", "run", "painter"))
    takes, streams = ("1", ("pose",)) if bench.quick else ("2", ("pose", "frames", "signer"))
    train = ("train", corpus, "--recipe")
    say("make a small corpus to train on")
    size = ("--size", "160x120", "--fps", "10")
    run_signloom("synth", footage, "--signs", "2", "--signers", "3", "--takes", takes, *size)
    run_signloom("prepare", footage, "--streams", *streams, "--out", corpus)
    if bench.quick:
        return {"train pose": (*train, "pose", "--epochs", "1")}
    run_signloom(*train, "pose", "--epochs", "1", "--out", run)
    run_signloom(*train, "paint", "--steps", "1", "--batch-size", "1", "--out", painter)
    return {
        "train pose": (*train, "pose", "--epochs", "60"),
        "train rgb": (*train, "rgb", "--epochs", "12"),
        "train paint": (*train, "paint", "--steps", "12", "--batch-size", "4"),
        "evaluate": ("evaluate", run, corpus, "--no-clips"),
        "generate": ("generate", painter, corpus),
    }


@contextmanager
def _environment(given: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    _set(given)
    try:
        yield
    finally:
        _set(before)


def _set(given: Mapping[str, str | None]) -> None:
    for name, value in given.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _busy_core() -> Iterator[None]:
    """Another program that computes all the time."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            yield
        finally:
            other.kill()
