"""Sensors: training on them and naming signs by them, beside tsai's InceptionTime."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from signloom.errors import SignloomError
from signloom.pipelines.bench.measure import Bench, Measure, Measured, Ratio, ratio_of, rounds, run_command, say, timed

if TYPE_CHECKING:
    from signloom.tasks.recognise.data import Clips
    from signloom.tasks.recognise.recipe import Recipe

CLASSES, CHANNELS, STEPS, BATCH = 27, 6, 128, 64
OURS = "signloom inception-time"
PEER = "tsai InceptionTime, plain loop"

# tsai's network as its authors give it, in the loop one would write: shuffled batches, Adam, cross-entropy; then the
# answers to all clips. Reading, scaling and augmenting are left out, which ours does.
PEER_LOOP = """
import json, sys, time
import torch
from tsai.models.InceptionTime import InceptionTime
n, channels, steps, classes, batch = map(int, sys.argv[1:])
torch.manual_seed(0)
x, y = torch.randn(n, channels, steps), torch.arange(n) % classes
model = InceptionTime(channels, classes)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for number in range(2):  # the first one allocates
    began = time.perf_counter()
    model.train()
    for chosen in torch.randperm(n)[: n // batch * batch].view(-1, batch):
        loss = torch.nn.functional.cross_entropy(model(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = time.perf_counter() - began
    began = time.perf_counter()
    model.eval()
    with torch.inference_mode():
        for part in x.split(batch):
            model(part).softmax(1)
    used = time.perf_counter() - began
print(json.dumps({"trained": trained, "used": used}))
"""


def measure_sensors(bench: Bench) -> Measured:
    """An epoch of `inception-time` and of `imu` on random sensors, and the answers to all of them; tsai's beside it.

    tsai (https://github.com/timeseriesAI/tsai) is looked for in ``bench.peer_python``; without it its rows are missing.
    """
    from signloom.tasks.recognise.sensor_recipes import imu, inception_time

    n_clips, n_rounds = (BATCH, 1) if bench.quick else (7 * BATCH, max(bench.repeats, 3))
    ways = {OURS: _Way(inception_time(), n_clips), "signloom imu": _Way(imu(), n_clips)}
    seconds: dict[tuple[str, str], list[float]] = {}
    peer = True
    for number in rounds("train on sensors and name them", n_rounds + 1):
        taken = {name: (timed(way.epoch, number)[0], timed(way.use)[0]) for name, way in ways.items()}
        if number == 0:
            continue  # the first one allocates, and measures threads
        if peer and (theirs := _peer(bench, n_clips)) is not None:
            taken[PEER] = theirs
        peer = PEER in taken
        for name, both in taken.items():
            for what, took in zip(("train", "use"), both):
                seconds.setdefault((what, name), []).append(took)
    rows = {
        (what, name): Measure("sensors", f"{what}, {name}", "clips/s", tuple(n_clips / s for s in took))
        for (what, name), took in seconds.items()
    }
    ratios: list[Ratio] = []
    if peer:
        for what, told in (("train", "an epoch on sensors"), ("use", "naming sensors")):
            ratios += [ratio_of(f"{told}: {name} vs {PEER}", rows[what, name], rows[what, PEER]) for name in ways]
    return list(rows.values()), ratios


class _Way:
    """A recipe on random clips: ``epoch(number)`` as `train` computes it, ``use()`` as `evaluate` does."""

    def __init__(self, recipe: Recipe, n_clips: int):
        import torch

        from signloom.pipelines.bench.training_step import TrainingStep
        from signloom.tasks.recognise.data import RecogniseData
        from signloom.tasks.recognise.task import untrained

        torch.manual_seed(0)
        self.clips = _random_clips(recipe, n_clips)
        recipe = replace(recipe, inputs=self.clips.inputs)
        self.data = RecogniseData(self.clips, None, self.clips.labels or (), recipe.augment, batch_size=BATCH)
        self.model = untrained(recipe, CLASSES)
        self.step = TrainingStep(recipe, self.model)

    def epoch(self, number: int) -> None:
        n_batches = len(self.clips) // BATCH
        for k in range(n_batches):
            self.step(self.data.batch(0, number * n_batches + k)[0])

    def use(self) -> None:
        from signloom.tasks.recognise.predict import score

        score(self.model, self.clips)


def _random_clips(recipe: Recipe, n: int) -> Clips:
    """Recordings of one made-up sensor, of all labels in turn, as ``recipe`` sees them."""
    import numpy as np

    from signloom.data.corpus import ClipList, HeldClip
    from signloom.data.signal import Signal
    from signloom.streams.imu import ImuStream
    from signloom.tasks.recognise.data import Clips, reader_for

    rng = np.random.default_rng(0)
    names = tuple(
        f"wrist_{what}_{axis}_{unit}" for what, unit in (("acceleration", "g"), ("rotation", "dps")) for axis in "xyz"
    )
    labels = tuple(f"{k:02}" for k in range(CLASSES))
    values_NTC = rng.normal(size=(n, STEPS, len(names))).astype(np.float32)
    signals = [Signal(values_TC, 50.0, names) for values_TC in values_NTC]
    clips = [HeldClip(str(k), {"imu": s}, label=labels[k % CLASSES]) for k, s in enumerate(signals)]
    return Clips(
        ClipList(tuple(clips)),
        recipe.inputs.fitted_to(signals),
        ("imu",),
        reader_for({"imu": ImuStream(50.0, names).fingerprint()}),
        labels,
    )


def _peer(bench: Bench, n_clips: int) -> tuple[float, float] | None:
    """Seconds of tsai's epoch and of its answers; None, and told why, where there is no tsai."""
    python = str(bench.peer_python or sys.executable)
    words = (n_clips, CHANNELS, STEPS, CLASSES, BATCH)
    try:
        _, printed = run_command([python, "-c", PEER_LOOP, *map(str, words)])
    except (SignloomError, OSError) as error:
        told = str(error).strip().splitlines()[-1]
        say(f"tsai is not measured ({told}); --peer-python takes a Python that has it, beside")
        return None
    seconds = json.loads(printed.splitlines()[-1])
    return seconds["trained"], seconds["used"]
