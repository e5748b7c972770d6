"""What a video network is asked for: the clip, each frame, a flow network's features, the joints; and how it votes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from signloom.data.batch import Batch
from signloom.errors import InputError
from signloom.models import build
from signloom.tasks.recognise.classify_video import (
    SCORING_BATCH,
    ClassifyAndLocate,
    ClassifyVideos,
    DistilFlow,
    mirrored,
    score_videos,
)
from signloom.tasks.recognise.video_set import Memory, VideoSet
from signloom.transforms.hand_crops import LOCATED
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

TINY = {"n_classes": 2, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8, "dropout": 0.0}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def videos(n=4, streams=("frames", "flow"), n_classes=2, **inputs) -> VideoSet:
    """Random clips of 6 frames, 36 × 40 px."""
    rng = np.random.default_rng(0)
    clips = {
        "frames": rng.integers(0, 256, (n, 6, 36, 40, 3), np.uint8),
        "flow": rng.integers(60, 196, (n, 6, 36, 40, 2), np.uint8),
    }

    def read(stream, path, rows):
        return clips[stream][path] if rows is None else clips[stream][path][rows]

    plain = {"n_frames": 4, "size_px": 32, "resize_px": 32, "handedness": "as-filmed", "time_votes": False}
    settings = VideoInput(**{**plain, **inputs})
    return VideoSet(
        tuple(f"c{i}" for i in range(n)),
        {s: list(range(n)) for s in streams},
        [6] * n,
        settings,
        np.arange(n) % n_classes,
        read,
        memory=Memory(0),
        workers=1,
    )


def task(kind=ClassifyVideos, stream="frames", clips=None, **settings):
    clips = clips or videos()
    return kind(clips, 2, None, VideoAugment(), stream, **{"label_smoothing": 0.0, **settings})


def batch_of(label, **tensors) -> Batch:
    n = len(label)
    return Batch(tuple(map(str, range(n))), torch.ones(n, 1, dtype=torch.bool), torch.tensor(label), **tensors)


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
    batch = batch_of([0], video_BCTHW=torch.zeros(1, 3, 2, 4, 4))
    of_frames = (bce(2, True) + bce(-1, False) + bce(0, True) + bce(3, False)) / 4
    of_clip = (bce(2, True) + bce(3, False)) / 2  # the highest of each gloss
    assert task(frame_share=0.5).loss(model, batch).item() == pytest.approx((of_frames + of_clip) / 2, rel=1e-6)
    assert task(frame_share=1.0).loss(model, batch).item() == pytest.approx(of_frames, rel=1e-6)
    quarter = 0.25 * of_frames + 0.75 * of_clip
    assert task(frame_share=0.25).loss(model, batch).item() == pytest.approx(quarter, rel=1e-6)


def test_without_frames_the_loss_is_the_clips_cross_entropy():
    model = Says([[[2.0, -1.0], [0.0, 3.0]]])  # its clip says (1, 1)
    batch = batch_of([1], video_BCTHW=torch.zeros(1, 3, 2, 4, 4))
    assert task().loss(model, batch).item() == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_a_real_network_answers_for_its_frames(pool):
    torch.manual_seed(0)
    model = build("i3d", {"n_classes": 2, "pool": pool, "dropout": 0.0}).eval()
    # 17 frames are the fewest that leave two moments.
    batch = batch_of([0, 1], video_BCTHW=torch.rand(2, 3, 17, 32, 32) * 2 - 1)
    with torch.inference_mode():
        logits_BTK = model.frame_logits(batch.video_BCTHW)
        got = task(frame_share=0.5).loss(model, batch)
    assert logits_BTK.shape[:2] == (2, 2)
    wanted = torch.eye(2)[[0, 1]]
    clip = F.binary_cross_entropy_with_logits(logits_BTK.max(1).values, wanted)
    frames = F.binary_cross_entropy_with_logits(logits_BTK, wanted[:, None].repeat(1, 2, 1))
    torch.testing.assert_close(got, (clip + frames) / 2)


def test_a_batch_without_the_stream_is_our_mistake():
    with pytest.raises(AssertionError, match="holds no flow"):
        task(stream="flow").loss(light(channels=2), batch_of([0], video_BCTHW=torch.zeros(1, 3, 2, 32, 32)))


# --- a flow network's features ----------------------------------------------------------------------------------


def both_streams(n=2, size=32):
    g = torch.Generator().manual_seed(0)
    return batch_of(
        [i % 2 for i in range(n)],
        video_BCTHW=torch.rand(n, 3, 4, size, size, generator=g) * 2 - 1,
        flow_BCTHW=torch.rand(n, 2, 4, size, size, generator=g) * 2 - 1,
    )


def test_the_student_learns_the_features_and_the_teacher_nothing():
    teacher, student = light(1, channels=2), light(2)
    teacher.train()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    learning = task(DistilFlow, teacher=teacher, weight=3.0)
    batch = both_streams()
    loss = learning.loss(student, batch)
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert not teacher.training
    for name, value in teacher.state_dict().items():  # running statistics included
        assert torch.equal(value, before[name]), name
    silent = [name for name, p in student.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []

    with torch.no_grad():
        logits, features = student(batch.video_BCTHW, with_features=True)
        wanted = teacher.features(batch.flow_BCTHW)
        expected = F.cross_entropy(logits, batch.label_B) + 3.0 * (features - wanted).square().mean()
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
        flow_features = teacher.features(batch.flow_BCTHW)
    named = (math.log1p(math.exp(-1)) + math.log1p(math.exp(-2))) / 2
    learning = task(DistilFlow, teacher=teacher, weight=50.0)
    off = 0.0
    assert learning.loss(Copy(), batch).item() == pytest.approx(named, rel=1e-5)
    off = 0.1
    assert learning.loss(Copy(), batch).item() == pytest.approx(named + 50 * 0.01, rel=1e-4)


def test_features_of_another_width_are_refused():
    learning = task(DistilFlow, teacher=light(1, channels=2, memory=4), weight=1.0)
    with pytest.raises(InputError, match=r"8 features.*16"):
        learning.loss(light(), both_streams())


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
        video_BCTHW=torch.zeros(1, 3, place.shape[1], 16, 16),
        pose_BTJC=place,
        present_BTJ=torch.tensor(present_TJ)[None],
    )


def cell(row, column):
    """(x, y) in the middle of a cell of an 8 × 8 map, from -1 to 1."""
    return ((column + 0.5) / 8 * 2 - 1, (row + 0.5) / 8 * 2 - 1)


def cost(model, batch, weight=1.0):
    """What the joints add to the loss: names cost log 2."""
    return task(ClassifyAndLocate, weight=weight).loss(model, batch).item() - math.log(2)


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
    loss = task(ClassifyAndLocate, weight=1.0).loss(model, located([[cell(1, 1)] * 2] * 2, [[False] * 2] * 2))
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    loss.backward()
    assert not model.spot.grad.any()


def test_a_real_network_learns_to_locate_from_a_gradient():
    model = light(joints=len(LOCATED))
    n = len(LOCATED)
    g = torch.Generator().manual_seed(0)
    batch = batch_of(
        [0, 1],
        video_BCTHW=torch.rand(2, 3, 5, 32, 32, generator=g) * 2 - 1,
        pose_BTJC=torch.rand(2, 5, n, 2, generator=g) * 2 - 1,
        present_BTJ=torch.rand(2, 5, n, generator=g) > 0.3,
    )
    task(ClassifyAndLocate, weight=0.3).loss(model, batch).backward()
    assert model.locate.weight.grad.abs().sum() > 0
    _, heat = model(batch.video_BCTHW, with_joints=True)
    assert heat.shape[:3] == (2, len(range(5)[model.frames_seen(5)]), n)


# --- views ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stream", "channels"), [("frames", 3), ("flow", 2)])
def test_the_mirror_of_the_mirror_is_the_clip(stream, channels):
    x = torch.randn(2, channels, 3, 5, 7)
    once = mirrored(x, stream)
    assert not torch.equal(once, x)
    assert torch.equal(mirrored(once, stream), x)


def test_mirrored_flow_points_the_other_way_across_and_the_same_way_down():
    flow = torch.zeros(1, 2, 1, 4, 6)
    flow[0, :, 0, 1, 0] = torch.tensor([0.5, 0.25])
    seen = mirrored(flow, "flow")
    assert seen[0, :, 0, 1, 5].tolist() == [-0.5, 0.25]
    assert seen.abs().sum() == flow.abs().sum()
    # What a clip's flow is and what its mirrored frames' flow is: the same, through the input step's own mirror too.
    clips = videos(streams=("flow",))
    flow = np.random.default_rng(1).normal(0, 3, (4, 32, 32, 2)).astype(np.float32)
    plain, turned = clips.inputs.flow(flow), clips.inputs.flow(flow, mirror=True)
    np.testing.assert_allclose(mirrored(torch.from_numpy(plain)[None], "flow")[0], turned, atol=1e-5)


@pytest.mark.parametrize(("stream", "channels"), [("frames", 3), ("flow", 2)])
def test_clip_and_mirror_image_vote_with_their_mean_probability(stream, channels):
    model = light(channels=channels).train()
    clips = videos(streams=(stream,))
    alone = score_videos(model, clips, stream)
    assert model.training  # as it was found
    clips.inputs = replace(clips.inputs, mirror_votes=True)
    both = score_videos(model, clips, stream)
    x = clips.batch(range(4))
    x = x.flow_BCTHW if stream == "flow" else x.video_BCTHW
    with torch.inference_mode():
        model.eval()
        plain, turned = model(x).softmax(-1), model(mirrored(x, stream)).softmax(-1)
    assert (plain - turned).abs().max() > 1e-4  # else this shows nothing
    np.testing.assert_allclose(np.exp(alone), plain, atol=1e-6)
    np.testing.assert_allclose(np.exp(both), (plain + turned) / 2, atol=1e-6)
    assert both.dtype == np.float32


def test_parts_of_a_clip_vote_and_a_window_has_none():
    model, clips = light(), videos(streams=("frames",), time_votes=True)
    crops = ((0.0, 1.0), (0.0, 0.5), (0.4, 1.0))
    model.eval()
    with torch.inference_mode():
        each = [model(clips.batch(range(4), crop=crop).video_BCTHW).softmax(-1) for crop in crops]
    assert (each[0] - each[1]).abs().max() > 1e-4  # else this shows nothing
    np.testing.assert_allclose(np.exp(score_videos(model, clips, "frames", crops=crops)), sum(each) / 3, atol=1e-6)
    window = videos(streams=("frames",), time_votes=True, sampling="window")
    alone = videos(streams=("frames",), sampling="window")
    np.testing.assert_array_equal(
        score_videos(model, window, "frames", crops=crops), score_videos(model, alone, "frames")
    )


def test_scores_come_in_order_from_as_many_batches_as_it_takes():
    n = SCORING_BATCH + 3
    model, clips = light(), videos(n, streams=("frames",))
    together = score_videos(model, clips, "frames")
    assert together.shape == (n, 2)
    with torch.inference_mode():
        one = model.eval()(clips.batch([n - 2]).video_BCTHW).log_softmax(-1).numpy()
    np.testing.assert_allclose(together[n - 2 : n - 1], one, atol=1e-5)
    assert score_videos(model, videos(0), "frames").shape == (0, 2)


def test_validation_says_how_many_were_right_and_nothing_without_clips():
    clips = videos(6)
    learning = replace(task(), validation=clips)
    found = learning.validate(light(), "cpu")
    best = score_videos(light(), clips, "frames").argmax(1)
    assert found["top1"] == pytest.approx((best == clips.label_N).mean())
    assert "score" in found
    assert task().validate(light(), "cpu") == {}
