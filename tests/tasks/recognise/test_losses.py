"""What a recogniser is asked for: the clip, each frame, another network's features, the joints."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from signloom.data.batch import Batch
from signloom.data.skeleton import JOINTS, PARENT, PARTS
from signloom.errors import InputError
from signloom.models import build
from signloom.tasks.recognise import losses
from signloom.tasks.recognise.data import TEACHER
from signloom.tasks.recognise.recipes import flow, mars, rgb, rgb_located
from signloom.tasks.recognise.task import Recognise
from signloom.training.task import Step
from signloom.transforms.hand_crops import LOCATED

TINY = {"n_classes": 2, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8, "dropout": 0.0}


def loss_of(recipe, model, batch, **modules):
    """What the task of ``recipe`` yields, without label smoothing."""
    recipe = replace(recipe, schedule=replace(recipe.schedule, label_smoothing=0.0))
    [(name, loss)] = Recognise(recipe).training_step({"model": model, **modules}, batch, Step(0, 0.0))
    assert name == "model"
    return loss


def batch_of(label, **tensors) -> Batch:
    inputs = {name.replace("teacher_", TEACHER): value for name, value in tensors.items()}
    return Batch(tuple(map(str, range(len(label)))), inputs, {"label": torch.tensor(label)})


def light(seed=0, **changes):
    torch.manual_seed(seed)
    return build("light3d", {**TINY, **changes})


# --- clip and frames --------------------------------------------------------------------------------------------


class Says(nn.Module):
    """Gives the same logits of each frame whatever it sees; those of the clip are their mean."""

    def __init__(self, frames_BTK):
        super().__init__()
        self.frames_BTK = nn.Parameter(torch.tensor(frames_BTK, dtype=torch.float32))

    def forward(self, x, *, per_frame=False):
        return self.frames_BTK if per_frame else self.frames_BTK.mean(1)


def bce(logit, wanted):
    return math.log1p(math.exp(-logit if wanted else logit))


def test_half_the_loss_is_of_the_frames_and_half_of_the_clip():
    model = Says([[[2.0, -1.0], [0.0, 3.0]]])  # one clip of two frames, two glosses; the sign is the first
    frames, label = model.frames_BTK.detach(), torch.tensor([0])
    of_frames = (bce(2, True) + bce(-1, False) + bce(0, True) + bce(3, False)) / 4
    of_clip = (bce(2, True) + bce(3, False)) / 2  # the highest of each gloss
    batch = batch_of([0], frames=torch.zeros(1, 3, 2, 4, 4))
    asked = loss_of(replace(rgb(), loss="classify-frames"), model, batch)
    assert asked.item() == pytest.approx((of_frames + of_clip) / 2, rel=1e-6)
    assert losses.classify_frames(frames, label, 1.0).item() == pytest.approx(of_frames, rel=1e-6)
    quarter = 0.25 * of_frames + 0.75 * of_clip
    assert losses.classify_frames(frames, label, 0.25).item() == pytest.approx(quarter, rel=1e-6)


def test_without_frames_the_loss_is_the_clips_cross_entropy():
    model = Says([[[2.0, -1.0], [0.0, 3.0]]])  # its clip says (1, 1)
    batch = batch_of([1], frames=torch.zeros(1, 3, 2, 4, 4))
    assert loss_of(rgb(), model, batch).item() == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_a_real_network_answers_for_its_frames(pool):
    torch.manual_seed(0)
    model = build("i3d", {"n_classes": 2, "pool": pool, "dropout": 0.0}).eval()
    # 17 frames are the fewest that leave two moments.
    batch = batch_of([0, 1], frames=torch.rand(2, 3, 17, 32, 32) * 2 - 1)
    with torch.inference_mode():
        logits_BTK = model.frame_logits(batch.inputs["frames"])
        got = loss_of(replace(rgb(), loss="classify-frames"), model, batch)
    assert logits_BTK.shape[:2] == (2, 2)
    wanted = torch.eye(2)[[0, 1]]
    clip = F.binary_cross_entropy_with_logits(logits_BTK.max(1).values, wanted)
    frames = F.binary_cross_entropy_with_logits(logits_BTK, wanted[:, None].repeat(1, 2, 1))
    torch.testing.assert_close(got, (clip + frames) / 2)


def test_a_batch_without_the_stream_is_our_mistake():
    with pytest.raises(KeyError, match="flow"):
        loss_of(flow(), light(channels=2), batch_of([0], frames=torch.zeros(1, 3, 2, 32, 32)))


# --- a flow network's features ----------------------------------------------------------------------------------


def both_streams(n=2, size=32):
    g = torch.Generator().manual_seed(0)
    return batch_of(
        [i % 2 for i in range(n)],
        frames=torch.rand(n, 3, 4, size, size, generator=g) * 2 - 1,
        teacher_flow=torch.rand(n, 2, 4, size, size, generator=g) * 2 - 1,
    )


def test_the_student_learns_the_features_and_the_teacher_nothing():
    teacher, student = light(1, channels=2), light(2)
    teacher.train()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    batch = both_streams()
    loss = loss_of(replace(mars(), loss_weight=3.0), student, batch, teacher=teacher)
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert not teacher.training
    for name, value in teacher.state_dict().items():  # running statistics included
        assert torch.equal(value, before[name]), name
    silent = [name for name, p in student.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []

    with torch.no_grad():
        logits, features = student(batch.inputs["frames"], with_features=True)
        wanted = teacher.features(batch.inputs["teacher/flow"])
        expected = F.cross_entropy(logits, batch.targets["label"]) + 3.0 * (features - wanted).square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_with_the_teachers_features_only_the_cross_entropy_is_left():
    class Copy(nn.Module):
        """Names signs by itself, with the very features of the flow that comes with the frames."""

        def forward(self, x, *, with_features):
            assert with_features
            return torch.tensor([[1.0, 0.0], [0.0, 2.0]]), flow_features + off

    batch = both_streams()
    teacher = light(1, channels=2).eval()
    with torch.no_grad():
        flow_features = teacher.features(batch.inputs["teacher/flow"])
    named = (math.log1p(math.exp(-1)) + math.log1p(math.exp(-2))) / 2
    off = 0.0
    assert mars().loss_weight == 50.0
    assert loss_of(mars(), Copy(), batch, teacher=teacher).item() == pytest.approx(named, rel=1e-5)
    off = 0.1
    assert loss_of(mars(), Copy(), batch, teacher=teacher).item() == pytest.approx(named + 50 * 0.01, rel=1e-4)


def test_features_of_another_width_are_refused():
    with pytest.raises(InputError, match=r"8 features.*16"):
        loss_of(mars(), light(), both_streams(), teacher=light(1, channels=2, memory=4))


def test_a_projection_brings_features_to_the_teachers_width_and_learns():
    student, teacher, projection = light(), light(1, channels=2, memory=4), nn.Linear(16, 8)
    loss = loss_of(mars(), student, both_streams(), teacher=teacher, projection=projection)
    loss.backward()
    assert projection.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in teacher.parameters())


def test_a_network_of_poses_teaches_one_of_frames():
    torch.manual_seed(0)
    parts = {name: (where.start, where.stop) for name, where in PARTS.items()}
    shape = {"n_classes": 2, "parents": tuple(map(int, PARENT)), "n_frames": 6, "width": 8, "depth": 1, "heads": 2}
    teacher = build("pose_transformer", {**shape, **parts, "members": 2}).requires_grad_(False)
    seen = (torch.randn(2, 6, len(JOINTS), 2), torch.rand(2, 6, len(JOINTS)) > 0.2, torch.ones(2, 6) > 0)
    batch = batch_of(
        [0, 1], frames=torch.rand(2, 3, 4, 32, 32), teacher_pose=seen[0], teacher_present=seen[1], teacher_mask=seen[2]
    )
    wanted = teacher.eval().features(*seen)
    assert wanted.shape == (2, 2 * 2 * 8)
    heads = [member.head for member in teacher.members]
    each = [head(own).log_softmax(-1) for head, own in zip(heads, wanted.split(16, dim=1))]
    torch.testing.assert_close(torch.stack(each).logsumexp(0) - math.log(2), teacher(*seen))
    student, projection = light(memory=16), nn.Linear(32, 32)
    with torch.no_grad():
        projection.weight.copy_(torch.eye(32))
        projection.bias.zero_()
        logits, own = student(batch.inputs["frames"], with_features=True)
    expected = F.cross_entropy(logits, batch.targets["label"]) + 2 * (own - wanted).square().mean()
    got = loss_of(replace(mars(), loss_weight=2.0), student, batch, teacher=teacher, projection=projection)
    assert got.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_network_that_does_not_tell_its_features_is_refused():
    with pytest.raises(InputError, match="a 'Linear' gives no features to learn from; choose another teacher"):
        losses.features(nn.Linear(1, 1), {}, "frames")


# --- joints -----------------------------------------------------------------------------------------------------


class Points(nn.Module):
    """Names nothing (equal logits), and puts the heat of every joint on one cell (row, column) of an 8 × 8 map."""

    def __init__(self, row, column, n_joints=2, heat=6.0):
        super().__init__()
        spot = torch.zeros(8, 8)
        spot[row, column] = heat
        self.spot = nn.Parameter(spot)
        self.n_joints = n_joints

    def frames_seen(self, n_frames):
        return slice(1, None, 2)

    def forward(self, x, *, with_joints):
        assert with_joints
        b, t = x.shape[0], x.shape[2] // 2
        return torch.zeros(b, 2), self.spot.expand(b, t, self.n_joints, 8, 8)


def located(place_TJ2, present_TJ):
    place = torch.tensor(place_TJ2, dtype=torch.float32)[None]
    return batch_of(
        [0],
        frames=torch.zeros(1, 3, place.shape[1], 16, 16),
        pose=place,
        present=torch.tensor(present_TJ)[None],
    )


def cell(row, column):
    """(x, y) in the middle of a cell of an 8 × 8 map, from -1 to 1."""
    return ((column + 0.5) / 8 * 2 - 1, (row + 0.5) / 8 * 2 - 1)


def cost(model, batch, weight=1.0):
    """What the joints add to the loss: names cost log 2."""
    return loss_of(replace(rgb_located(), loss_weight=weight), model, batch).item() - math.log(2)


def test_the_target_is_where_the_joint_is():
    here = cell(2, 5)
    # Only frames 1 and 3 are seen by the network; in the others the joints are elsewhere.
    batch = located([[cell(7, 0)] * 2, [here] * 2] * 2, [[True, True]] * 4)
    costs = {(row, column): cost(Points(row, column), batch) for row in range(8) for column in range(8)}
    assert min(costs, key=costs.get) == (2, 5)
    assert costs[2, 4] < costs[2, 3] < costs[2, 0]  # the nearer the better
    assert costs[2, 4] == pytest.approx(costs[2, 6], abs=1e-4)
    assert costs[1, 5] == pytest.approx(costs[3, 5], abs=1e-4)
    assert costs[2, 4] == pytest.approx(costs[1, 5], abs=1e-4)


def test_the_spot_is_one_cell_wide_and_costs_its_cross_entropy():
    batch = located([[cell(3, 3)]] * 2, [[True]] * 2)
    ys, xs = np.mgrid[:8, :8]
    spot = np.exp(-((ys - 3) ** 2 + (xs - 3) ** 2) / 2)
    spot /= spot.sum()
    heat = np.zeros((8, 8))
    heat[3, 4] = 6
    expected = -(spot * (heat - np.log(np.exp(heat).sum()))).sum()
    model = Points(3, 4, n_joints=1)
    assert cost(model, batch) == pytest.approx(expected, rel=1e-5)
    assert cost(model, batch, weight=0.3) == pytest.approx(0.3 * expected, rel=1e-5)


def test_absent_joints_cost_nothing():
    here, far = cell(2, 5), cell(7, 0)
    seen = located([[here, here]] * 2, [[True, True]] * 2)
    half = located([[here, far]] * 2, [[True, False]] * 2)
    nonsense = located([[here, (50.0, -50.0)]] * 2, [[True, False]] * 2)
    model = Points(2, 5)
    assert cost(model, half) == pytest.approx(cost(model, seen), rel=1e-6)
    assert cost(model, nonsense) == pytest.approx(cost(model, seen), rel=1e-6)


def test_where_no_joint_is_seen_only_the_name_counts():
    model = Points(2, 5)
    batch = located([[cell(1, 1)] * 2] * 2, [[False] * 2] * 2)
    loss = loss_of(replace(rgb_located(), loss_weight=1.0), model, batch)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    loss.backward()
    assert not model.spot.grad.any()


def test_a_real_network_learns_to_locate_from_a_gradient():
    model = light(joints=len(LOCATED))
    n = len(LOCATED)
    g = torch.Generator().manual_seed(0)
    batch = batch_of(
        [0, 1],
        frames=torch.rand(2, 3, 5, 32, 32, generator=g) * 2 - 1,
        pose=torch.rand(2, 5, n, 2, generator=g) * 2 - 1,
        present=torch.rand(2, 5, n, generator=g) > 0.3,
    )
    loss_of(replace(rgb_located(), loss_weight=0.3), model, batch).backward()
    assert model.locate.weight.grad.abs().sum() > 0
    _, heat = model(batch.inputs["frames"], with_joints=True)
    assert heat.shape[:3] == (2, len(range(5)[model.frames_seen(5)]), n)
