"""Several processes train as one does on the same global batch."""

from __future__ import annotations

import json

import numpy as np
import pytest

PROGRAM = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
from signloom.data.corpus import ClipList, HeldClip
from signloom.data.reader import Reader
from signloom.data.skeleton import JOINTS, PARENT, PARTS
from signloom.models import build
from signloom.tasks.recognise.data import Clips, RecogniseData
from signloom.tasks.recognise.recipes import pose, rgb
from signloom.tasks.recognise.task import Recognise
from signloom.training.schedule import Schedule
from signloom.training.trainer import Trainer
from signloom.transforms.pose_augment import PoseAugment
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

torch.set_num_threads(1)
out, what, accumulate = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(0)
labels = ("a", "b")
torch.manual_seed(0)
if what == "video":
    class Frames:
        name = "frames"

    frames = rng.integers(0, 256, (10, 6, 40, 40, 3), np.uint8)
    clips = ClipList(tuple(HeldClip(c, {"frames": frames[i]}, label=labels[i % 2]) for i, c in enumerate("abcdefghij")))
    clips = Clips(clips, VideoInput(4, 32, 32), ("frames",), Reader({"frames": Frames()}), labels)
    data, recipe = RecogniseData(clips, None, labels, VideoAugment(), 5), rgb()
    model = build("light3d", {"n_classes": 2, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8, "dropout": 0.0})
else:
    poses = {"pose": rng.normal(0, 1, (10, 12, len(JOINTS), 2)).astype(np.float32)}
    poses["present"] = np.ones(poses["pose"].shape[:3], bool)
    clips = [HeldClip(c, {}, label=labels[i % 2]) for i, c in enumerate("abcdefghij")]
    clips = Clips(clips, PoseInput(12), ("pose",), Reader({}), labels, held=poses)
    data, recipe = RecogniseData(clips, None, labels, PoseAugment(), 5), pose()
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    shape = {"n_frames": 12, "width": 16, "depth": 1, "heads": 2, "members": 1}
    still = {"dropout": 0.0, "head_dropout": 0.0, "part_dropout": 0.0}
    parents = tuple(int(p) for p in PARENT)
    model = build("pose_transformer", {"n_classes": 2, "parents": parents, **parts, **shape, **still})
schedule = Schedule(
    epochs=3, min_steps=0, steps_per_class=0, batch_size=5, learning_rate=0.01, ema=0.0, optimizer="sgd",
    precision="fp32", accumulate=accumulate, label_smoothing=0.0,
)

class Counted(Trainer):
    parts = []

    def _parts(self, batch):
        made = super()._parts(batch)
        self.parts.append((len(batch), len(made)))
        return made

result = Counted(
    Recognise(replace(recipe, schedule=schedule)), {"model": model}, data, out, 1, "h", quiet=True
).fit()
rank = int(os.environ.get("RANK", 0))
(out / f"parts{rank}.json").write_text(json.dumps(Counted.parts))
if rank == 0:
    np.savez(out / "weights.npz", **{k: v.numpy() for k, v in result.best.items()})
    (out / "history.json").write_text(json.dumps(result.history))
"""


def train(in_processes, folder, n_processes, what="video", accumulate=1):
    folder.mkdir()
    in_processes(PROGRAM, n_processes, folder, what, accumulate)
    with np.load(folder / "weights.npz", allow_pickle=False) as file:
        weights = dict(file)
    return json.loads((folder / "history.json").read_text()), weights


def assert_the_same_training(one, two):
    (history, weights), (shared_history, shared) = one, two
    assert [row["loss"] for row in shared_history] == pytest.approx([row["loss"] for row in history], rel=1e-4)
    assert len({round(row["loss"], 4) for row in history}) == 3  # it did learn something
    for name, value in weights.items():
        np.testing.assert_allclose(shared[name], value, rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.slow
def test_two_processes_train_to_the_same_loss_and_weights_as_one(in_processes, tmp_path):
    """Batches of 5: the processes get 3 and 2 clips, and batch norm spans both."""
    assert_the_same_training(train(in_processes, tmp_path / "one", 1), train(in_processes, tmp_path / "two", 2))


@pytest.mark.slow
def test_batches_are_split_into_equally_many_parts_on_every_process(in_processes, tmp_path):
    """Batches of 5 in 3 parts: one process could make 3, the other has but 2 clips; all must meet as often."""
    one = train(in_processes, tmp_path / "one", 1, "pose", accumulate=3)
    two = train(in_processes, tmp_path / "two", 2, "pose", accumulate=3)
    assert_the_same_training(one, two)
    parts = [json.loads((tmp_path / "two" / f"parts{rank}.json").read_text()) for rank in (0, 1)]
    assert parts == [[[3, 2]] * 6, [[2, 2]] * 6]
    assert json.loads((tmp_path / "one" / "parts0.json").read_text()) == [[5, 3]] * 6


GRADIENTS = """
import json, os
import torch, torch.distributed as dist
from signloom.training.processes import average_gradients, mean_over_processes, sum_over_processes

rank = int(os.environ["RANK"])
dist.init_process_group("gloo")
here, there, both, nobody, fixed = (torch.nn.Parameter(torch.zeros(2)) for _ in range(5))
fixed.requires_grad_(False)
both.grad = torch.tensor([1.0, 2.0]) * (rank + 1)
if rank == 0:
    here.grad = torch.ones(2)
else:
    there.grad = torch.ones(2)
every = [here, there, both, nobody, fixed]
told = [average_gradients(every, 2)]
told += [None if p.grad is None else p.grad.tolist() for p in every]
told += [average_gradients([nobody], 2), nobody.grad is None, average_gradients([fixed], 2)]
told += [mean_over_processes(rank + 1.0, 2, "cpu"), sum_over_processes(rank + 1.0, 2, "cpu")]
print(json.dumps(told))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_gradients_are_averaged_and_who_has_none_anywhere_keeps_none(in_processes):
    """Else a parameter that nothing uses would decay where several train, and stay where one does."""
    half = [0.5, 0.5]
    for said in in_processes(GRADIENTS, 2):
        wanted = [True, half, half, [1.5, 3.0], None, None, False, True, False, 1.5, 3.0]
        assert json.loads(said.splitlines()[-1]) == wanted


def test_one_process_has_nothing_to_average():
    import torch

    from signloom.training.processes import average_gradients

    p = torch.nn.Parameter(torch.zeros(2))
    assert not average_gradients([p], 1)
    p.grad = torch.ones(2)
    assert average_gradients([p], 1)
    assert p.grad.tolist() == [1.0, 1.0]
