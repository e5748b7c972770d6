"""How long one waits before anything happens."""

from __future__ import annotations

import sys

from signloom.pipelines.bench.measure import Bench, Measure, Measured, rounds, run_command

COMMANDS = {
    "signloom --help": ["-m", "signloom", "--help"],
    "signloom train --help": ["-m", "signloom", "train", "--help"],
    "import signloom": ["-c", "import signloom"],
    "bare Python": ["-c", ""],
}


def measure_start(bench: Bench) -> Measured:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in rounds("start", bench.repeats if bench.quick else max(5, bench.repeats)):
        for name, words in COMMANDS.items():
            times[name].append(run_command([sys.executable, *words])[0])
    return [Measure("start", name, "s", tuple(t)) for name, t in times.items()], []
