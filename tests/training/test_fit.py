"""The training loop: that it learns, resumes exactly, refuses a foreign state, and stops when it diverges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from signloom.data.batch import PoseSet
from signloom.data.skeleton import JOINTS, PARENT, PARTS
from signloom.errors import CheckpointError, DivergedError, InputError, MediaError
from signloom.models import build
from signloom.tasks.recognise.classify import ClassifyPoses, score_poses
from signloom.tasks.recognise.classify_video import ClassifyVideos
from signloom.tasks.recognise.recipe import Schedule
from signloom.tasks.recognise.video_set import Memory, VideoSet
from signloom.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from signloom.training.fit import average_into, fit
from signloom.training.task import epoch_rows
from signloom.transforms.pose_augment import PoseAugment
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

SCHEDULE = Schedule(epochs=4, least_steps=0, steps_per_class=0, batch_size=8, learning_rate=3e-3, ema=0.5)
T = 12


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these models are too small to share
    yield
    torch.set_num_threads(threads)


def toy(n=32, seed=0):
    """Two signs that differ in where the right hand goes."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    xy = rng.normal(0, 0.02, (n, T, len(JOINTS), 2)).astype(np.float32)
    xy[:, :, PARTS["right_hand"], 1] += np.where(label, 1.0, -1.0)[:, None, None] * np.linspace(0, 1, T)[:, None]
    return PoseSet(tuple(f"c{i}" for i in range(n)), xy, np.ones(xy.shape[:3], bool), label.astype(np.int64))


def small_model(seed=0):
    torch.manual_seed(seed)
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    parents = tuple(int(p) for p in PARENT)
    return build(
        "pose_transformer",
        {"n_classes": 2, "parents": parents, **parts, "n_frames": T, "width": 16, "depth": 1, "heads": 2, "members": 1},
    )


def train(folder, *, task=None, schedule=SCHEDULE, run_hash="h", **kwargs):
    task = task or ClassifyPoses(toy(), 2, toy(16, seed=1), PoseAugment())
    return fit(small_model(), task, schedule, folder, seed=3, run_hash=run_hash, quiet=True, **kwargs)


def test_it_learns_a_toy_and_keeps_the_weights_that_validate_best(tmp_path):
    result = train(tmp_path, schedule=replace(SCHEDULE, epochs=40))
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.metrics["top1"] == max(row["val_top1"] for row in result.history) > 0.9
    model = small_model()
    model.load_state_dict(result.best)
    assert (score_poses(model, toy(20, seed=2)).argmax(1) == toy(20).label_N).mean() > 0.9
    assert any((tmp_path / "log").iterdir())


def test_averaged_weights_forget_the_first_ones():
    average, learnt = {"running_var": torch.ones(1)}, {"running_var": torch.tensor([1e-4])}
    for step in range(200):
        average_into(average, learnt, 0.99, step)
    assert float(average["running_var"]) == pytest.approx(1e-4, rel=0.01)  # a plain average would still say .13
    average_into(average, {"running_var": torch.tensor([2e-4])}, 0.99, 10_000)
    assert float(average["running_var"]) == pytest.approx(1.01e-4, rel=0.01)
    average_into(average, learnt, 0.0, 3)
    assert float(average["running_var"]) == pytest.approx(1e-4)  # no average wanted


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 6, 11])
def test_a_run_killed_anywhere_ends_with_the_same_weights(tmp_path, monkeypatch, at):
    monkeypatch.setattr("signloom.training.fit.SAVE_EVERY_S", 0.0)  # a state after every step
    undisturbed = train(tmp_path / "a")

    class Dies(ClassifyPoses):
        steps = 0

        def train_batch(self, rows, generator, keep=slice(None)):
            Dies.steps += 1
            if Dies.steps == at + 1:
                raise Killed
            return super().train_batch(rows, generator, keep)

    with pytest.raises(Killed):
        train(tmp_path / "b", task=Dies(toy(), 2, toy(16, seed=1), PoseAugment()))
    resumed = train(tmp_path / "b")
    assert resumed.history == undisturbed.history
    assert resumed.metrics == undisturbed.metrics
    for name, value in undisturbed.best.items():
        assert torch.equal(value, resumed.best[name]), name


def test_a_state_of_another_run_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(InputError, match="another recipe"):
        train(tmp_path, run_hash="other")


def test_a_loss_that_is_not_finite_stops_the_run_and_says_so(tmp_path):
    with pytest.raises(DivergedError, match="learning rate"):
        train(tmp_path, schedule=replace(SCHEDULE, learning_rate=1e25, clip_norm=1e30, warmup=0.0))


def test_every_clip_is_seen_once_an_epoch_and_epochs_differ():
    rows = [r for batch in epoch_rows(21, 4, seed=0, epoch=0) for r in batch]
    assert len(rows) == len(set(rows)) == 20  # the odd one out would be a batch of one
    assert rows != [r for batch in epoch_rows(21, 4, seed=0, epoch=1) for r in batch]
    assert list(epoch_rows(1, 4, seed=0, epoch=0)) == [[0]]


@pytest.mark.parametrize(
    ("least_steps", "steps_per_class", "epochs"), [(0, 0, 4), (23, 0, 6), (0, 14, 7), (0, 10_000, 100)]
)
def test_small_corpora_and_many_classes_get_more_epochs(tmp_path, least_steps, steps_per_class, epochs):
    """Four steps an epoch and two classes; at most 100 epochs for the classes' sake."""

    class Counts(ClassifyPoses):
        def train_batch(self, rows, generator, keep=slice(None)):
            raise Killed

    seen = []
    schedule = replace(SCHEDULE, least_steps=least_steps, steps_per_class=steps_per_class)
    task = Counts(toy(), 2, None, PoseAugment())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signloom.training.fit._rate", lambda step, total, schedule, first: seen.append(total) or 1.0)
        with pytest.raises(Killed):
            train(tmp_path, task=task, schedule=schedule)
    assert seen[0] == epochs * 4


def test_without_validation_the_last_weights_are_kept(tmp_path):
    result = train(tmp_path, task=ClassifyPoses(toy(), 2, None, PoseAugment()))
    assert result.metrics == {"epoch": 4}


# --- checkpoints ------------------------------------------------------------------------------------------------


def saved(folder):
    model = small_model().eval()
    streams = {"pose": {"extractor": "x", "version": 1}}
    save_checkpoint(Checkpoint("pose_transformer", model, ("A", "ب"), PoseInput(T), streams, 1.5), folder)
    return model


def test_a_checkpoint_reads_back_whole(tmp_path):
    model = saved(tmp_path)
    back = load_checkpoint(tmp_path)
    assert back.labels == ("A", "ب")
    assert back.inputs == PoseInput(T)
    assert back.temperature == 1.5
    np.testing.assert_array_equal(score_poses(back.model, toy()), score_poses(model, toy()))
    assert not list(tmp_path.glob("*.pkl")) + list(tmp_path.glob("*.pt"))


def test_another_estimator_is_refused_with_the_difference_and_the_way_out(tmp_path):
    saved(tmp_path)
    with pytest.raises(CheckpointError, match=r"version: got 2, expected 1.*signloom train corpus"):
        load_checkpoint(tmp_path).check_stream("pose", {"extractor": "x", "version": 2}, "corpus")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", b"{", "broken"),
        ("config.json", b'{"format": "other", "version": 1}', "other"),
        ("model.safetensors", b"\x80\x04junk", "cannot be read"),
        ("model.safetensors", None, "cannot be read"),
    ],
)
def test_a_broken_checkpoint_is_named(tmp_path, file, content, says):
    saved(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(tmp_path)


def test_tensors_that_do_not_fit_are_listed(tmp_path):
    from safetensors.torch import load_file, save_file

    saved(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["members.0.head.1.bias"]
    tensors["stray"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"members.*head.1.bias: got None, expected \(2,\).*stray"):
        load_checkpoint(tmp_path)


def test_no_checkpoint_says_what_was_expected(tmp_path):
    with pytest.raises(CheckpointError, match="signloom train --out"):
        load_checkpoint(tmp_path)


def still_model():
    """No dropout: the same clips in parts are the same clips."""
    torch.manual_seed(0)
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    quiet = {"dropout": 0.0, "head_dropout": 0.0, "part_dropout": 0.0}
    parents = tuple(int(p) for p in PARENT)
    shape = {"n_frames": T, "width": 16, "depth": 1, "heads": 2, "members": 1}
    return build("pose_transformer", {"n_classes": 2, "parents": parents, **parts, **shape, **quiet})


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
    runs = []
    for parts in (1, 3):  # 8 clips a batch: parts of 3, 3 and 2
        schedule = replace(SCHEDULE, epochs=2, accumulate=parts, optimizer="sgd", learning_rate=0.05)
        task = ClassifyPoses(toy(), 2, None, PoseAugment())
        runs.append(fit(still_model(), task, schedule, tmp_path / str(parts), seed=3, run_hash="h", quiet=True))
    assert [r["loss"] for r in runs[1].history] == pytest.approx([r["loss"] for r in runs[0].history], rel=1e-4)
    for name, value in runs[0].best.items():
        torch.testing.assert_close(runs[1].best[name], value, rtol=1e-3, atol=1e-5)


def video_task():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, 6, 40, 40, 3), np.uint8)
    clips = VideoSet(
        tuple("abcdefgh"),
        {"frames": [Path(str(i)) for i in range(8)]},
        [6] * 8,
        VideoInput(4, 32, 32),
        np.arange(8) % 2,
        lambda stream, path, rows: frames[int(path.name)] if rows is None else frames[int(path.name)][rows],
        memory=Memory(0),
    )
    return ClassifyVideos(clips, 2, clips, VideoAugment(), "frames")


def video_model():
    torch.manual_seed(0)
    return build("light3d", {"n_classes": 2, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8})


TWO_PHASES = replace(
    SCHEDULE, epochs=2, batch_size=4, head_epochs=2, head_learning_rate=0.01, ema=0.0, decay="constant", warmup=0.0
)


def test_in_the_first_phase_the_base_stays_bitwise_as_it_was(tmp_path):
    before = {k: v.clone() for k, v in video_model().state_dict().items()}
    after = fit(video_model(), video_task(), TWO_PHASES, tmp_path, seed=1, run_hash="h", quiet=True).best
    learnt = {name for name in before if not torch.equal(before[name], after[name])}
    assert learnt
    assert all(name.startswith(("head", "attention")) for name in learnt), learnt


def test_in_the_second_phase_everything_learns_at_its_own_rate(tmp_path):
    before = {k: v.clone() for k, v in video_model().state_dict().items()}
    schedule = replace(TWO_PHASES, epochs=3)
    task = replace(video_task(), validation=None)  # the last weights are kept
    result = fit(video_model(), task, schedule, tmp_path, seed=1, run_hash="h", quiet=True)
    assert [row["lr"] for row in result.history] == pytest.approx([0.01, 3e-3, 3e-3])
    assert not [name for name, value in before.items() if torch.equal(value, result.best[name])]


def test_batches_made_ahead_are_the_same_batches(tmp_path):
    runs = [
        fit(
            video_model(),
            replace(video_task(), prefetch=n),
            SCHEDULE,
            tmp_path / str(n),
            seed=1,
            run_hash="h",
            quiet=True,
        )
        for n in (0, 3)
    ]
    assert all(torch.equal(value, runs[1].best[name]) for name, value in runs[0].best.items())


def test_a_broken_batch_ends_the_run_with_its_own_error(tmp_path):
    task = video_task()
    task.train.read = lambda stream, path, rows: (_ for _ in ()).throw(MediaError(f"{path} is gone", "missing"))
    with pytest.raises(MediaError, match="is gone"):
        fit(video_model(), task, SCHEDULE, tmp_path, seed=1, run_hash="h", quiet=True)
