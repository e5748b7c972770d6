"""Threads are measured once at the start of a run and kept in it; the layout follows from what there is."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from signloom.data.corpus import SplitManifest
from signloom.data.splits import assign_split
from signloom.errors import InputError
from signloom.models.light3d import Light3D
from signloom.tasks import recipe_named, task_of
from signloom.training import computing, trainer
from signloom.training.computing import lay_out, layout_of, measured, own_threads, threads_of_run
from signloom.training.run import train_run


class Machine:
    """A processor on which a step takes ``seconds(threads)``."""

    def __init__(self, monkeypatch, seconds, cores=8):
        self.now, self.steps, self.seconds, self.threads = 0.0, 0, seconds, cores
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(computing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(torch, "set_num_threads", lambda n: setattr(self, "threads", n))

    def step(self):
        self.steps += 1
        self.now += self.seconds(self.threads)


def test_a_network_that_more_threads_do_not_help_gets_one(monkeypatch):
    assert measured(Machine(monkeypatch, lambda threads: 0.2).step) == 1
    assert measured(Machine(monkeypatch, lambda threads: 0.2 - 0.01 * (threads > 1)).step) == 1


def test_threads_are_added_for_as_long_as_they_help(monkeypatch):
    assert measured(Machine(monkeypatch, lambda threads: 1 / threads, cores=12).step) == 12
    assert measured(Machine(monkeypatch, lambda threads: 1 / min(threads, 4), cores=12).step) == 4
    assert measured(Machine(monkeypatch, lambda threads: 1 / min(threads, 2) + 0.1 * threads, cores=64).step) == 2


def test_a_long_step_takes_every_core_and_is_not_repeated_to_find_out(monkeypatch):
    machine = Machine(monkeypatch, lambda threads: 30 / threads, cores=4)
    assert measured(machine.step) == 4
    assert machine.steps == 1


def test_what_cannot_be_chosen_is_not_measured(monkeypatch):
    machine = Machine(monkeypatch, lambda threads: 0.1, cores=1)
    assert measured(machine.step) == 1
    other = Machine(monkeypatch, lambda threads: 0.1 / threads)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert measured(other.step) == 8  # as torch has them
    assert machine.steps == other.steps == 0


def test_a_run_goes_on_as_it_began_and_is_measured_again_on_another_machine(tmp_path):
    assert threads_of_run(tmp_path, lambda: 5) == 5
    assert threads_of_run(tmp_path, lambda: pytest.fail("measured twice")) == 5
    told = json.loads((tmp_path / computing.FILE).read_text())
    (tmp_path / computing.FILE).write_text(json.dumps(told | {"cores": told["cores"] + 1}))
    assert threads_of_run(tmp_path, lambda: 2) == 2
    (tmp_path / computing.FILE).write_text(json.dumps(told | {"instructions": "AVX1024"}))
    assert threads_of_run(tmp_path, lambda: 3) == 3


@pytest.mark.parametrize(
    ("able", "precision", "network", "layout"),
    [
        ("AVX2", "no", Light3D, "channels-first"),
        ("DEFAULT", "no", Light3D, "channels-first"),
        ("AVX512", "no", Light3D, "channels-last"),
        ("AVX2", "bf16", Light3D, "channels-last"),
        ("AVX2", "no", nn.Conv3d, "channels-last"),
    ],
)
def test_the_layout_follows_from_network_precision_and_processor(monkeypatch, able, precision, network, layout):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: able)
    assert layout_of(network.__new__(network), precision) == layout


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
            torch.set_num_threads(before + 1)
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        stopped()
    assert torch.get_num_threads() == before


HERE = '"cores": 1, "instructions": ""'


@pytest.mark.parametrize("text", ["{", "[]", "{}", f'{{"threads": 0, {HERE}}}', f'{{"threads": "2", {HERE}}}'])
def test_a_damaged_choice_is_named(text, tmp_path):
    (tmp_path / computing.FILE).write_text(text)
    with pytest.raises(InputError, match=rf"'.*{computing.FILE}' is damaged"):
        threads_of_run(tmp_path, lambda: 1)


def test_trying_leaves_no_trace_in_what_is_learnt(moving_corpus, tmp_path, monkeypatch):
    corpus = SplitManifest(assign_split(moving_corpus, "signer"))
    recipe = recipe_named("rgb")
    recipe = replace(recipe, inputs=replace(recipe.inputs, size_px=32, resize_px=32, n_frames=4))
    recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=1, batch_size=4))
    plain = train_run(corpus, task_of(recipe), tmp_path / "plain", quiet=True)
    tried = []

    def twice(step):
        for _ in range(2):
            tried.append(step())
        return 1

    monkeypatch.setattr(trainer, "measured", twice)
    with_trial = train_run(corpus, task_of(recipe), tmp_path / "tried", quiet=True)
    assert len(tried) == 2
    for (name, a), b in zip(plain.model.state_dict().items(), with_trial.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
