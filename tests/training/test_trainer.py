"""The training loop: it learns, resumes exactly, keeps to its budget, survives what is not finite, and stops when it
diverges."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from signloom.data.corpus import ClipList, HeldClip
from signloom.data.reader import Reader
from signloom.data.skeleton import JOINTS, PARENT, PARTS
from signloom.errors import DivergedError, InputError, MediaError
from signloom.models import build
from signloom.tasks.recognise.data import Clips, RecogniseData, epoch_rows
from signloom.tasks.recognise.predict import score
from signloom.tasks.recognise.recipes import pose, rgb
from signloom.tasks.recognise.task import Recognise
from signloom.training import trainer as loop
from signloom.training.ema import average_into, weights_in
from signloom.training.prefetch import Prefetch
from signloom.training.schedule import Schedule
from signloom.training.trainer import PATIENCE, STATE_FILE, Trainer
from signloom.transforms.pose_augment import PoseAugment
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

SCHEDULE = Schedule(epochs=4, min_steps=0, steps_per_class=0, batch_size=8, learning_rate=3e-3, ema=0.5)
T = 12
LABELS = ("down", "up")


class Killed(Exception):
    pass


def toy(n=32, seed=0) -> Clips:
    """Two signs that differ in where the right hand goes."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    xy = rng.normal(0, 0.02, (n, T, len(JOINTS), 2)).astype(np.float32)
    xy[:, :, PARTS["right_hand"], 1] += np.where(label, 1.0, -1.0)[:, None, None] * np.linspace(0, 1, T)[:, None]
    clips = [HeldClip(f"c{i}", {}, label=LABELS[k]) for i, k in enumerate(label)]
    held = {"pose": xy, "present": np.ones(xy.shape[:3], bool)}
    return Clips(clips, PoseInput(T), ("pose",), Reader({}), LABELS, held=held)


def toy_data(n=32, validation=16, kind=RecogniseData, batch_size=8) -> RecogniseData:
    return kind(toy(n), toy(validation, seed=1) if validation else None, LABELS, PoseAugment(), batch_size)


def small_model(seed=0, **changes):
    torch.manual_seed(seed)
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    shape = {"n_frames": T, "width": 16, "depth": 1, "heads": 2, "members": 1, **changes}
    return build("pose_transformer", {"n_classes": 2, "parents": tuple(int(p) for p in PARENT), **parts, **shape})


def still_model():
    """No dropout: the same clips in parts are the same clips."""
    return small_model(dropout=0.0, head_dropout=0.0, part_dropout=0.0)


def trainer(folder, *, data=None, schedule=SCHEDULE, run_hash="h", model=None, task=Recognise, **more) -> Trainer:
    recipe = replace(pose(), schedule=schedule)
    modules = {"model": model or small_model()}
    return Trainer(
        task(recipe), modules, data or toy_data(), folder, seed=3, run_hash=run_hash, **{"quiet": True, **more}
    )


def train(folder, **settings):
    return trainer(folder, **settings).fit()


def test_it_learns_a_toy_and_keeps_the_weights_that_validate_best(tmp_path):
    result = train(tmp_path, schedule=replace(SCHEDULE, epochs=40))
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.metrics["top1"] == max(row["val_top1"] for row in result.history) > 0.9
    best = max(result.history, key=lambda row: (row["val_score"], row["epoch"]))
    assert result.metrics["epoch"] == best["epoch"]
    assert result.metrics["steps"] == best["step"] == 4 * best["epoch"]
    model = small_model()
    model.load_state_dict(result.best)
    assert (score(model, toy(20, seed=2)).argmax(1) == toy(20).label_N).mean() > 0.9
    assert any((tmp_path / "log").iterdir())


def test_history_says_where_it_stands_and_the_rate_of_the_step_just_made(tmp_path):
    schedule = replace(SCHEDULE, warmup=0.5)
    result = train(tmp_path, schedule=schedule)
    assert [(row["epoch"], row["step"]) for row in result.history] == [(1, 4), (2, 8), (3, 12), (4, 16)]
    wanted = [schedule.learning_rate * schedule.rate(row["step"] - 1, 16, 4, 0.0) for row in result.history]
    assert [row["lr"] for row in result.history] == pytest.approx(wanted)
    assert wanted[1] == schedule.learning_rate  # the warm-up is over with step 8
    assert result.steps == 16
    assert result.skipped == 0


# --- averaged weights -------------------------------------------------------------------------------------------


def test_averaged_weights_forget_the_first_ones():
    average, learnt = {"running_var": torch.ones(1)}, {"running_var": torch.tensor([1e-4])}
    for step in range(200):
        average_into(average, learnt, 0.99, step)
    assert float(average["running_var"]) == pytest.approx(1e-4, rel=0.01)  # a plain average would still say .13
    average_into(average, {"running_var": torch.tensor([2e-4])}, 0.99, 10_000)
    assert float(average["running_var"]) == pytest.approx(1.01e-4, rel=0.01)
    average_into(average, learnt, 0.0, 3)
    assert float(average["running_var"]) == pytest.approx(1e-4)  # no average wanted


def test_whole_numbers_are_taken_over_and_not_averaged():
    average = {"n": torch.tensor(3)}
    average_into(average, {"n": torch.tensor(8)}, 0.9, 1000)
    assert int(average["n"]) == 8


def test_other_weights_are_in_the_model_only_for_a_while():
    model, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    own = model.weight.detach().clone()
    with weights_in(model, other.state_dict()):
        assert torch.equal(model.weight, other.weight)
    assert torch.equal(model.weight, own)
    with pytest.raises(Killed), weights_in(model, other.state_dict()):
        raise Killed
    assert torch.equal(model.weight, own)


def test_what_is_kept_is_the_average_of_what_was_learnt(tmp_path):
    """Weights after each step, taken from the run itself and averaged here."""
    seen = []

    class Watched(Trainer):
        def _after_step(self, *where):
            seen.append({k: v.clone() for k, v in self.model.state_dict().items()})
            super()._after_step(*where)

    recipe = replace(pose(), schedule=replace(SCHEDULE, ema=0.8))
    began = {k: v.clone() for k, v in small_model().state_dict().items()}
    result = Watched(
        Recognise(recipe), {"model": small_model()}, toy_data(validation=0), tmp_path, 3, "h", quiet=True
    ).fit()
    wanted = began
    for step, weights in enumerate(seen):
        decay = min(0.8, (1 + step) / (10 + step))
        wanted = {k: decay * wanted[k] + (1 - decay) * v for k, v in weights.items()}
    assert len(seen) == 16
    for name, value in result.best.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-4, atol=1e-6)
        assert name.endswith("absent") or not torch.equal(value, seen[-1][name]), name  # nothing is absent here
    raw = train(tmp_path / "raw", data=toy_data(validation=0), schedule=replace(SCHEDULE, ema=0.0))
    assert all(torch.equal(value, seen[-1][name]) for name, value in raw.best.items())


# --- resume -----------------------------------------------------------------------------------------------------


def dying(at):
    """Data whose batch number ``at`` never comes, the first time it is asked for."""

    class Dies(RecogniseData):
        asked = 0

        def batch(self, *where, **more):
            Dies.asked += 1
            if Dies.asked == at + 1:
                raise Killed
            return super().batch(*where, **more)

    return Dies


def assert_same(one, other):
    assert one.history == other.history
    assert one.metrics == other.metrics
    assert one.steps == other.steps
    for name, value in other.best.items():
        assert torch.equal(value, one.best[name]), name


@pytest.mark.parametrize("at", [1, 6, 11])
def test_a_run_killed_anywhere_ends_with_the_same_weights(tmp_path, monkeypatch, at):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)  # a state after every step
    undisturbed = train(tmp_path / "a")
    with pytest.raises(Killed):
        train(tmp_path / "b", data=toy_data(kind=dying(at)))
    assert_same(train(tmp_path / "b"), undisturbed)


@pytest.mark.parametrize("at", [1, 5])
def test_a_run_of_so_many_steps_killed_anywhere_ends_the_same(tmp_path, monkeypatch, at):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    schedule = replace(SCHEDULE, steps=7, warmup_steps=3)
    undisturbed = train(tmp_path / "a", schedule=schedule)
    assert undisturbed.steps == 7
    with pytest.raises(Killed):
        train(tmp_path / "b", schedule=schedule, data=toy_data(kind=dying(at)))
    assert_same(train(tmp_path / "b", schedule=schedule), undisturbed)


def test_a_state_of_another_run_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(InputError, match=r"another recipe.*version of signloom"):
        train(tmp_path, run_hash="other")
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    state["model"] = state.pop("modules")  # as signloom 0.1 wrote it
    torch.save(state, tmp_path / STATE_FILE)
    with pytest.raises(InputError, match="version of signloom"):
        train(tmp_path)


# --- what is not finite -----------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_the_run_and_says_so(tmp_path):
    with pytest.raises(DivergedError, match="learning rate"):
        train(tmp_path, schedule=replace(SCHEDULE, learning_rate=1e25, clip_norm=1e30, warmup=0.0))


class NoNumber(torch.autograd.Function):
    """Gives what it is given; its gradient is no number."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


def spoilt(*steps, always=False, loss=False):
    """A task whose gradient (or, with ``loss``, loss) is no number at some steps."""

    class Spoilt(Recognise):
        def training_step(self, modules, batch, step):
            for name, value in super().training_step(modules, batch, step):
                bad = always or step.number in steps
                yield name, value * math.nan if bad and loss else NoNumber.apply(value) if bad else value

    return Spoilt


@pytest.mark.parametrize("loss", [False, True])
def test_a_gradient_that_is_no_number_changes_nothing_and_the_run_goes_on(tmp_path, monkeypatch, loss):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    states = []

    class Watched(Trainer):
        def _save(self):
            super()._save()
            states.append(torch.load(self.folder / STATE_FILE, weights_only=True))

        def _step(self, seen, batch, weight, step, epoch, k):
            before = {n: v.clone() for n, v in self.model.state_dict().items()}
            averaged = {n: v.clone() for n, v in self.average.items()}
            value = super()._step(seen, batch, weight, step, epoch, k)
            if step.number in (2, 3, 9):
                assert all(torch.equal(v, before[n]) for n, v in self.model.state_dict().items())
                assert all(torch.equal(v, averaged[n]) for n, v in self.average.items())
            return value

    recipe = replace(pose(), schedule=SCHEDULE)
    task = spoilt(2, 3, 9, loss=loss)(recipe)
    result = Watched(task, {"model": small_model()}, toy_data(), tmp_path, 3, "h", quiet=True).fit()
    assert result.skipped == 3
    assert result.steps == 16
    assert all(math.isfinite(row["loss"]) for row in result.history)
    assert all(torch.isfinite(value).all() for value in result.best.values())
    assert [state["place"]["step"] for state in states if state["place"]["in_a_row"]] == []
    assert len(states) == 16 - 3 + 1  # after each good step, and at the end
    for state in states:
        for weights in (state["modules"]["model"], state["average"]):
            assert all(torch.isfinite(value).all() for value in weights.values())
        for moments in state["optimizers"]["model"]["state"].values():
            assert all(torch.isfinite(m).all() for m in moments.values())
    killed = replace_batches(tmp_path / "killed", task)
    assert_same(killed, result)


def replace_batches(folder, task):
    """The same run, killed where the last good state is some steps old."""
    with pytest.raises(Killed):
        Trainer(task, {"model": small_model()}, toy_data(kind=dying(4)), folder, 3, "h", quiet=True).fit()
    assert torch.load(folder / STATE_FILE, weights_only=True)["place"]["step"] == 2
    return Trainer(task, {"model": small_model()}, toy_data(), folder, 3, "h", quiet=True).fit()


def test_running_statistics_of_a_batch_that_is_not_finite_are_forgotten(tmp_path):
    """They are taken in when the model looks at a batch, before anyone knows of the gradient."""

    class Broken(RecogniseData):
        def batch(self, seed, step, rank=0, n_processes=1):
            batch, weight = super().batch(seed, step, rank, n_processes)
            if step == 1:
                batch.inputs["frames"].fill_(math.nan)
            return batch, weight

    schedule = replace(SCHEDULE, epochs=2, batch_size=4, ema=0.9)
    result = Trainer(
        Recognise(replace(rgb(), schedule=schedule)),
        {"model": video_model()},
        video_data(kind=Broken),
        tmp_path,
        1,
        "h",
        quiet=True,
    ).fit()
    assert result.skipped == 1
    assert any("running_mean" in name for name in result.best)
    for name, value in result.best.items():
        assert torch.isfinite(value).all(), name
    assert all(math.isfinite(row["val_nll"]) for row in result.history)


def test_too_many_in_a_row_end_the_run_with_the_last_good_state_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    schedule = replace(SCHEDULE, epochs=10)
    bad = spoilt(*range(5, 5 + PATIENCE))
    with pytest.raises(DivergedError, match=rf"{PATIENCE} steps in a row.*epoch 8, step 30\).*state\.pt.*--precision"):
        train(tmp_path / "a", schedule=schedule, task=bad)
    state = torch.load(tmp_path / "a" / STATE_FILE, weights_only=True)
    assert state["place"]["step"] == 5
    assert all(torch.isfinite(value).all() for value in state["average"].values())
    one_less = spoilt(*range(5, 4 + PATIENCE))
    assert train(tmp_path / "b", schedule=schedule, task=one_less).skipped == PATIENCE - 1


@pytest.mark.parametrize("budget", [{"epochs": 1}, {"steps": 3}, {"minutes": 0.002}])
def test_a_short_run_without_one_good_step_diverged(tmp_path, budget, monkeypatch):
    monkeypatch.setattr(loop, "PATIENCE", 10**9)
    kept = []
    with pytest.raises(DivergedError, match="learning rate"):
        train(
            tmp_path,
            schedule=replace(SCHEDULE, **budget),
            task=spoilt(always=True),
            data=toy_data(validation=0),
            on_best=lambda *best: kept.append(best),
        )
    assert not kept
    assert not (tmp_path / STATE_FILE).exists()


# --- the budget -------------------------------------------------------------------------------------------------


def test_every_clip_is_seen_once_an_epoch_and_epochs_differ():
    data = toy_data(21, batch_size=4)
    rows = [r for batch in data.rows(0, 0) for r in batch]
    assert data.steps_per_epoch() == len(data.rows(0, 0)) == 5
    assert len(rows) == len(set(rows)) == 20  # the odd one out would be a batch of one
    assert rows != [r for batch in data.rows(0, 1) for r in batch]
    assert rows != [r for batch in data.rows(1, 0) for r in batch]
    assert rows == [r for batch in toy_data(21, batch_size=4).rows(0, 0) for r in batch]
    assert epoch_rows(np.arange(1), 4) == [[0]]
    assert toy_data(1).steps_per_epoch() == 1
    assert toy_data(0).steps_per_epoch() == 0


def test_nothing_to_train_on_is_refused(tmp_path):
    with pytest.raises(InputError, match="no clip to train on"):
        trainer(tmp_path, data=toy_data(0))


@pytest.mark.parametrize(
    ("min_steps", "steps_per_class", "epochs"), [(0, 0, 4), (23, 0, 6), (0, 14, 7), (0, 10_000, 100)]
)
def test_small_corpora_and_many_classes_get_more_epochs(tmp_path, min_steps, steps_per_class, epochs):
    """Four steps an epoch and two classes; at most 100 epochs for the classes' sake."""
    schedule = replace(SCHEDULE, min_steps=min_steps, steps_per_class=steps_per_class)
    assert trainer(tmp_path, schedule=schedule).total == epochs * 4


@pytest.mark.parametrize(("steps", "epochs"), [(3, [1]), (6, [1, 2]), (8, [1, 2])])
def test_so_many_steps_are_made_and_the_last_weights_are_validated_too(tmp_path, steps, epochs):
    result = train(tmp_path, schedule=replace(SCHEDULE, steps=steps, ema=0.0, min_steps=500))
    assert result.steps == steps
    assert [row["epoch"] for row in result.history] == epochs
    assert result.history[-1]["step"] == steps
    assert all("val_top1" in row for row in result.history)
    assert result.metrics["score"] == max(row["val_score"] for row in result.history)


def test_a_budget_in_minutes_stops(tmp_path):
    class Slow(RecogniseData):
        def batch(self, *where, **more):
            time.sleep(0.02)
            return super().batch(*where, **more)

    began = time.monotonic()
    result = train(tmp_path, schedule=replace(SCHEDULE, minutes=1.5 / 60, epochs=1000), data=toy_data(kind=Slow))
    assert 1.5 <= result.seconds < 5
    assert time.monotonic() - began < 12
    assert result.steps > 8
    assert result.history[-1]["step"] == result.steps
    assert result.history[-1]["lr"] < 0.2 * max(row["lr"] for row in result.history)  # the cosine comes to its end
    again = train(tmp_path, schedule=replace(SCHEDULE, minutes=1.5 / 60, epochs=1000))
    assert again.steps == result.steps  # its time is over


def test_without_validation_the_last_weights_are_kept(tmp_path):
    result = train(tmp_path, data=toy_data(validation=0))
    assert result.metrics == {"epoch": 4, "steps": 16}


def test_without_validation_the_checkpoint_comes_at_preview_times_and_at_the_end(tmp_path):
    kept, shown = [], []
    train(
        tmp_path,
        data=toy_data(validation=0),
        preview_every=6,
        on_best=lambda weights, metrics: kept.append(metrics),
        on_preview=lambda weights, metrics: shown.append(metrics),
    )
    assert [m["steps"] for m in kept] == [6, 12, 16]
    assert [m["steps"] for m in shown] == [6, 12]
    assert [m["epoch"] for m in kept] == [2, 3, 4]


def test_with_validation_the_checkpoint_comes_when_it_is_better(tmp_path):
    kept = []
    result = train(tmp_path, preview_every=1, on_best=lambda weights, metrics: kept.append(metrics))
    assert kept[-1] == result.metrics
    scores = [m["score"] for m in kept]
    assert scores == sorted(scores)
    assert {m["steps"] for m in kept} <= {4, 8, 12, 16}


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
    runs = []
    for parts in (1, 3):  # 8 clips a batch: parts of 3, 3 and 2
        schedule = replace(SCHEDULE, epochs=2, accumulate=parts, optimizer="sgd", learning_rate=0.05)
        runs.append(train(tmp_path / str(parts), data=toy_data(validation=0), schedule=schedule, model=still_model()))
    assert [r["loss"] for r in runs[1].history] == pytest.approx([r["loss"] for r in runs[0].history], rel=1e-4)
    for name, value in runs[0].best.items():
        torch.testing.assert_close(runs[1].best[name], value, rtol=1e-3, atol=1e-5)


def test_history_is_plain_json(tmp_path):
    result = train(tmp_path)
    assert json.loads(json.dumps(result.history, allow_nan=False)) == result.history


# --- from video -------------------------------------------------------------------------------------------------


def video_data(kind=RecogniseData, validation=True, prefetch=0) -> RecogniseData:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, 6, 40, 40, 3), np.uint8)
    clips = ClipList(tuple(HeldClip(n, {"frames": frames[i]}, label=LABELS[i % 2]) for i, n in enumerate("abcdefgh")))
    made = Clips(clips, VideoInput(4, 32, 32), ("frames",), Reader({"frames": Named("frames")}), LABELS)
    return kind(made, made if validation else None, LABELS, VideoAugment(), 4, Prefetch(prefetch))


class Named:
    """Stands for a stream of which nothing but the name is needed."""

    def __init__(self, name):
        self.name = name


def video_model():
    torch.manual_seed(0)
    return build("light3d", {"n_classes": 2, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8})


def train_video(folder, data, schedule):
    recipe = replace(rgb(), schedule=schedule)
    return Trainer(Recognise(recipe), {"model": video_model()}, data, folder, 1, "h", quiet=True).fit()


TWO_PHASES = replace(
    SCHEDULE, epochs=2, batch_size=4, head_epochs=2, head_learning_rate=0.01, ema=0.0, decay="constant", warmup=0.0
)


def test_in_the_first_phase_the_base_stays_bitwise_as_it_was(tmp_path):
    before = {k: v.clone() for k, v in video_model().state_dict().items()}
    after = train_video(tmp_path, video_data(), TWO_PHASES).best
    learnt = {name for name in before if not torch.equal(before[name], after[name])}
    assert learnt
    assert all(name.startswith(("head", "attention")) for name in learnt), learnt


def test_in_the_second_phase_everything_learns_at_its_own_rate(tmp_path):
    before = {k: v.clone() for k, v in video_model().state_dict().items()}
    result = train_video(tmp_path, video_data(validation=False), replace(TWO_PHASES, epochs=3))  # the last are kept
    assert [row["lr"] for row in result.history] == pytest.approx([0.01, 0.01, 3e-3])
    assert not [name for name, value in before.items() if torch.equal(value, result.best[name])]


def test_a_run_killed_in_its_first_phase_goes_on_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    schedule = replace(TWO_PHASES, epochs=3)
    undisturbed = train_video(tmp_path / "a", video_data(), schedule)
    with pytest.raises(Killed):
        train_video(tmp_path / "b", video_data(kind=dying(3)), schedule)
    assert_same(train_video(tmp_path / "b", video_data(), schedule), undisturbed)


def test_batches_made_ahead_are_the_same_batches(tmp_path):
    runs = [train_video(tmp_path / str(n), video_data(prefetch=n), SCHEDULE) for n in (0, 3)]
    assert all(torch.equal(value, runs[1].best[name]) for name, value in runs[0].best.items())
    assert runs[0].history == runs[1].history


def test_a_broken_batch_ends_the_run_with_its_own_error(tmp_path):
    data = video_data()

    def gone(clip, stream, rows=None):
        raise MediaError(f"{clip.id} is gone", "missing")

    data.train.read = gone
    with pytest.raises(MediaError, match="is gone"):
        train_video(tmp_path, data, SCHEDULE)
