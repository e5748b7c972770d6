"""Threads and layout: measured once at the start of a run, kept in it, and never what changes what is learnt."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from signloom.data.corpus import SplitManifest
from signloom.data.splits import assign_split
from signloom.errors import InputError
from signloom.tasks import recipe_named, task_of
from signloom.training import computing, trainer
from signloom.training.computing import Computing, computing_of_run, everything, lay_out, measured, own_threads
from signloom.training.run import train_run


class Machine:
    """A processor on which a step takes as long as ``seconds(threads, layout)`` says."""

    def __init__(self, monkeypatch, seconds, cores=8, network=None):
        self.now, self.steps, self.seconds = 0.0, 0, seconds
        self.network = network or nn.Conv2d(3, 4, 3)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(computing, "everything", lambda: replace(everything(), threads=cores, cores=cores))
        monkeypatch.setattr(computing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(computing.time, "process_time", lambda: self.now)
        self.threads = 1
        monkeypatch.setattr(torch, "set_num_threads", lambda n: setattr(self, "threads", n))

    def step(self):
        self.steps += 1
        weight = next(p for p in self.network.parameters() if p.ndim > 1)
        last = weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)
        self.now += self.seconds(self.threads, "channels-last" if last else "channels-first")

    def measured(self, layout=True):
        got = measured([self.network], self.step, layout=layout)
        return got.threads, got.layout


def test_a_network_that_more_threads_do_not_help_gets_one(monkeypatch):
    assert Machine(monkeypatch, lambda threads, _: 0.2).measured() == (1, "channels-last")
    assert Machine(monkeypatch, lambda threads, _: 0.2 - 0.01 * (threads > 1)).measured() == (1, "channels-last")


def test_threads_are_added_for_as_long_as_they_help(monkeypatch):
    assert Machine(monkeypatch, lambda threads, _: 1 / threads, cores=12).measured()[0] == 12
    assert Machine(monkeypatch, lambda threads, _: 1 / min(threads, 4), cores=12).measured()[0] == 4
    assert Machine(monkeypatch, lambda threads, _: 1 / min(threads, 2) + 0.1 * threads, cores=64).measured()[0] == 2


def test_a_long_step_takes_every_core_and_is_not_repeated_to_find_out(monkeypatch):
    machine = Machine(monkeypatch, lambda threads, _: 30 / threads, cores=4)
    assert machine.measured(layout=False) == (4, "channels-last")
    assert machine.steps == 2


def test_the_layout_that_costs_less_work_is_taken(monkeypatch):
    def slower_last(_threads, layout):
        return {"channels-last": 0.105, "channels-first": 0.083}[layout]

    assert Machine(monkeypatch, slower_last).measured() == (1, "channels-first")
    assert Machine(monkeypatch, lambda _, layout: 0.1 + 0.01 * (layout == "channels-last")).measured()[1] == (
        "channels-last"
    )


def test_what_cannot_differ_is_not_measured(monkeypatch):
    machine = Machine(monkeypatch, lambda *_: 0.1, cores=1, network=nn.Linear(3, 4))
    assert machine.measured() == (1, "channels-last")
    assert machine.steps == 0


def test_threads_that_the_user_set_are_kept(monkeypatch):
    machine = Machine(monkeypatch, lambda threads, _: 0.1 / threads)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert machine.measured()[0] == 8  # as torch has them; the measuring never asks for another number
    assert machine.threads == 8


def test_a_run_goes_on_as_it_began_and_is_measured_again_on_another_machine(tmp_path):
    here = everything()
    first = replace(here, threads=5, layout="channels-first")
    assert computing_of_run(tmp_path, lambda: first) == first
    assert computing_of_run(tmp_path, lambda: pytest.fail("measured twice")) == first
    told = json.loads((tmp_path / computing.FILE).read_text())
    (tmp_path / computing.FILE).write_text(json.dumps(told | {"cores": here.cores + 1}))
    assert computing_of_run(tmp_path, lambda: here) == here
    (tmp_path / computing.FILE).write_text(json.dumps(told | {"instructions": "AVX1024"}))
    assert computing_of_run(tmp_path, lambda: here) == here


@pytest.mark.parametrize("layout", computing.LAYOUTS)
@pytest.mark.parametrize("kernel", [nn.Conv1d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3)], ids=str)
def test_laying_out_changes_no_number(kernel, layout):
    before = kernel.weight.detach().clone()
    lay_out(kernel, layout)
    assert torch.equal(kernel.weight, before)
    if kernel.weight.ndim > 3:
        last = getattr(torch, computing.FORMATS[kernel.weight.ndim])
        assert kernel.weight.is_contiguous(memory_format=last) == (layout == "channels-last")


def test_the_process_has_its_threads_back():
    before = torch.get_num_threads()

    def stopped():
        with own_threads():
            Computing(before + 1, "channels-last", 1, "").take(())
            assert torch.get_num_threads() == before + 1
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        stopped()
    assert torch.get_num_threads() == before


HERE = '"cores": 1, "instructions": ""'


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        f'{{"threads": 0, "layout": "channels-last", {HERE}}}',
        f'{{"threads": "2", "layout": "", {HERE}}}',
    ],
)
def test_a_damaged_choice_is_named(text, tmp_path):
    (tmp_path / computing.FILE).write_text(text)
    with pytest.raises(InputError, match=rf"'.*{computing.FILE}' is damaged"):
        computing_of_run(tmp_path, everything)


def test_trying_leaves_no_trace_in_what_is_learnt(moving_corpus, tmp_path, monkeypatch):
    corpus = SplitManifest(assign_split(moving_corpus, "signer"))
    recipe = replace(
        recipe_named("rgb"), inputs=replace(recipe_named("rgb").inputs, size_px=32, resize_px=32, n_frames=4)
    )
    recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=1, batch_size=4))
    plain = train_run(corpus, task_of(recipe), tmp_path / "plain", quiet=True)
    tried = []

    def better(trial, a, b, clock, worth, rounds):
        tried.extend(trial.seconds(choice) for choice in (a, b))
        return a

    monkeypatch.setattr(computing._Trial, "better", better)
    monkeypatch.setattr(computing, "SHORT_S", 0.0)
    monkeypatch.setattr(trainer, "measured", measured)
    with_trial = train_run(corpus, task_of(recipe), tmp_path / "tried", quiet=True)
    assert len(tried) == 2
    assert (tmp_path / "tried" / computing.FILE).is_file()
    for (name, a), b in zip(plain.model.state_dict().items(), with_trial.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
