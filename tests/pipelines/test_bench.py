"""Timing and ratios by hand, and that networks are measured as they are trained."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module

import pytest
import torch

from signloom.data.batch import Batch
from signloom.pipelines.bench import GROUPS
from signloom.pipelines.bench.machine import describe_machine
from signloom.pipelines.bench.measure import Bench, Measure, ratio_of, timed
from signloom.pipelines.bench.networks import as_signloom, plain
from signloom.pipelines.bench.training_step import TrainingStep
from signloom.tasks.recognise.recipes import rgb


def test_median_and_spread():
    row = Measure("decode", "a", "frames/s", (4.0, 1.0, 2.0)).as_dict()
    assert (row["median"], row["min"], row["max"]) == (2.0, 1.0, 4.0)


def test_ratio_of_speeds_is_the_faster_by_the_slower():
    fast = Measure("decode", "fast", "frames/s", (40.0, 60.0, 50.0))
    slow = Measure("decode", "slow", "frames/s", (10.0, 10.0, 20.0))
    row = ratio_of("fast vs slow", fast, slow)
    assert row == {"name": "fast vs slow", "ratio": 5.0, "low": 2.5, "high": 6.0}  # rounds: 4, 6, 2.5


@pytest.mark.parametrize("unit", ["ms a step", "ms for 4 clips", "s"])
def test_ratio_of_times_is_the_slower_by_the_faster(unit):
    fast, slow = Measure("train", "fast", unit, (2.0, 4.0, 5.0)), Measure("train", "slow", unit, (8.0, 8.0, 20.0))
    assert ratio_of("r", fast, slow) == {"name": "r", "ratio": 2.0, "low": 2.0, "high": 4.0}  # rounds: 4, 2, 4
    back = ratio_of("r", slow, fast)
    assert (back["ratio"], back["low"], back["high"]) == (0.5, 0.25, 0.5)


def test_ratio_of_one_round_has_no_spread():
    row = ratio_of("r", Measure("a", "a", "clips/s", (3.0,)), Measure("a", "b", "clips/s", (2.0,)))
    assert row["ratio"] == row["low"] == row["high"] == 1.5


def test_timed_gives_seconds_and_the_value():
    seconds, value = timed(sorted, [2, 1])
    assert value == [1, 2]
    assert 0 <= seconds < 60


def test_the_machine_says_what_its_processor_can_and_what_training_makes_of_it():
    machine = describe_machine()
    able = torch.cpu.get_capabilities()
    assert machine["abilities"]["avx2"] == bool(able.get("avx2"))
    assert machine["abilities"]["avx512_bf16"] == bool(able.get("avx512_bf16"))
    assert all(value in (True, False) for value in machine["abilities"].values())
    assert set(machine["precision"]) == {"pose", "video"}
    assert set(machine["precision"].values()) <= {"fp32", "bf16"}


class Spy(torch.nn.Module):
    """A network that notes whether it learns, in which precision it computes and how its kernels lie."""

    takes = "video"
    channels_last_needs = "AVX512"

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 100, 2)
        self.seen = []

    def forward(self, x):
        y = self.conv(x)
        last = self.conv.weight.is_contiguous(memory_format=torch.channels_last_3d)
        self.seen.append((self.training, y.dtype, last))
        return y.mean((2, 3, 4))


@pytest.mark.parametrize("able", ["AVX2", "AVX512"])
@pytest.mark.parametrize(("chosen", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16)])
def test_a_network_is_measured_as_it_is_trained_and_used(monkeypatch, chosen, dtype, able):
    asked = []

    def choose(wanted, module):
        asked.append((wanted, module.takes))
        return chosen

    monkeypatch.setattr("signloom.pipelines.bench.training_step.choose_precision", choose)
    monkeypatch.setattr("signloom.pipelines.bench.training_step.measured", lambda step: 1)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: able)
    clips = torch.randn(4, 3, 2, 4, 4), torch.arange(4)
    model, used = Spy(), Spy()
    before = model.conv.weight.detach().clone()
    way = as_signloom(rgb(), model, used, *clips)
    way.step()
    way.use()
    assert asked == [("auto", "video")]
    assert model.seen == [(True, dtype, chosen == "bf16" or able == "AVX512")]
    assert used.seen == [(False, torch.float32, False)]
    assert not torch.equal(model.conv.weight, before)


def test_the_plain_way_is_float32_and_channels_first():
    model = Spy()
    way = plain(model, torch.randn(4, 3, 2, 4, 4), torch.arange(4))
    way.step()
    way.use()
    assert model.seen == [(True, torch.float32, False), (False, torch.float32, False)]


def test_a_step_averages_the_weights_as_the_recipe_says():
    recipe = replace(rgb(), schedule=replace(rgb().schedule, ema=0.0))
    step = TrainingStep(recipe, Spy())
    step(Batch(tuple("abcd"), {"frames": torch.randn(4, 3, 2, 4, 4)}, {"label": torch.arange(4)}))
    torch.testing.assert_close(step.average["conv.weight"], step.model.conv.weight.detach())


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_can_be_found(group):
    module, _, function = GROUPS[group].partition(":")
    assert callable(getattr(import_module(f"signloom.pipelines.bench.{module}"), function))


def test_a_busy_core_is_busy_while_something_is_measured_and_the_environment_is_as_before(monkeypatch):
    from signloom.pipelines.bench import busy

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    started = []
    popen = busy.subprocess.Popen
    monkeypatch.setattr(busy.subprocess, "Popen", lambda *a: started.append(popen(*a)) or started[-1])
    with busy._environment(busy.WAYS["torch's defaults"]), busy._busy_core():
        assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
        assert started[0].poll() is None
    assert started[0].poll() is not None
    assert (os.environ["OMP_NUM_THREADS"], os.environ.get("OMP_WAIT_POLICY")) == ("3", None)


def test_longer_beside_a_busy_core_is_the_time_there_by_the_time_alone(monkeypatch, tmp_path):
    from signloom.pipelines.bench import busy

    beside = []

    @contextmanager
    def busy_core():
        beside.append(True)
        yield
        beside.pop()

    monkeypatch.setattr(busy, "_busy_core", busy_core)
    monkeypatch.setattr(busy, "run_signloom", lambda *_: (3.0 if beside else 2.0, ""))
    rows, ratios = busy.measure_busy(Bench((), 0, (), tmp_path, 2, True))
    assert {row.median for row in rows if row.name.endswith(", beside")} == {3.0}
    assert len(rows) == 2 * len(ratios)
    assert all((r["ratio"], r["low"], r["high"]) == (1.5, 1.5, 1.5) for r in ratios)
