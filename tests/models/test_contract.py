"""What every model must do; a new architecture is added to CASES and is tested like the others."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from inspect import signature

import pytest
import torch

from signloom.data.skeleton import PARENT, PARTS
from signloom.media.skeleton_files import KINECT_PARENTS
from signloom.models import ARCHITECTURES, build
from signloom.transforms import INPUTS

PARTS_CONFIG = {name: (where.start, where.stop) for name, where in PARTS.items()}
SMALL_CNN = {"n_classes": 7, "frame_width": 0.25, "hidden": 24, "layers": 1}
SMALL_SENSOR = {"channels": 6, "n_steps": 12, "kernels": 8, "hidden": 8, "members": 2}
SMALL_SKELETON = {"parents": KINECT_PARENTS, "n_frames": 12, "width": 8, "members": 2}
CASES = {
    # a name of the test's own: (architecture, its config)
    "pose_transformer": (
        "pose_transformer",
        {
            "n_classes": 7,
            "parents": tuple(int(p) for p in PARENT),
            **PARTS_CONFIG,
            "n_frames": 16,
            "width": 32,
            "depth": 2,
            "heads": 4,
            "members": 2,
        },
    ),
    "sensor_net": ("sensor_net", {**SMALL_SENSOR, "n_classes": 7}),
    "inception_time": ("inception_time", {"n_classes": 7, "channels": 6, "depth": 3}),
    "kernel_ridge": ("kernel_ridge", {"channels": 6, "n_steps": 12, "kernels": 8, "n_classes": 7}),
    "skeleton_net": ("skeleton_net", {**SMALL_SKELETON, "n_classes": 7}),
    "joined": (
        "joined",
        {
            "n_classes": 7,
            "streams": ("pose", "imu"),
            "architectures": ("skeleton_net", "sensor_net"),
            "told": (SMALL_SKELETON, SMALL_SENSOR),
            "hidden": (24, 12),
        },
    ),
    "feature_generator": (
        "feature_generator",
        {
            "n_classes": 7,
            "base": "light3d",
            "base_model": (("n_classes", 7), ("widths", (8, 8, 16)), ("blocks", (1, 1)), ("memory", 8)),
            "base_width": 16,
            "width": 12,
        },
    ),
    "light3d": ("light3d", {"n_classes": 7, "widths": (8, 8, 16), "blocks": (1, 1)}),
    "i3d": ("i3d", {"n_classes": 7}),
    "cnn_lstm": ("cnn_lstm", {**SMALL_CNN, "layers": 2}),
    "cnn_lstm, mean": ("cnn_lstm", {**SMALL_CNN, "pool": "mean", "channels": 2}),
    "cnn_lstm, changes in places": (
        "cnn_lstm",
        {**SMALL_CNN, "stages": 3, "stem_size": 7, "stem_stride": 4, "differences": 1.0, "grid": 2, "features": 16},
    ),
    "cnn_lstm, frame average": ("cnn_lstm", {**SMALL_CNN, "pool": "frame-average"}),
    "video_transformer": (
        "video_transformer",
        {"n_classes": 7, "size_px": 32, "n_frames": 12, "patch_px": 8, "width": 32, "depth": 2, "heads": 2},
    ),
}
OF_OTHER_TASKS = {"generator", "pix2pix", "upscaled", "face_swap", "segment_net"}  # have test files of their own
BLIND_TO_TIME = {"cnn_lstm, frame average"}
NOT_OF_VIDEO = {"pose_transformer", "inception_time", "sensor_net", "kernel_ridge", "skeleton_net", "joined"}
NEEDS = {"video_transformer": "transformers"}


def inputs(model, n_clips, n_frames=12, size_px=32, seed=0):
    """Random clips of the kind that ``model`` takes, as its positional arguments."""
    g = torch.Generator().manual_seed(seed)
    if model.takes == "video":
        return (
            torch.rand(n_clips, getattr(model.config, "channels", 3), n_frames, size_px, size_px, generator=g) * 2 - 1,
        )
    real = torch.ones(n_clips, n_frames, dtype=torch.bool)
    made = {
        "pose": torch.randn(n_clips, n_frames, len(PARENT), 2, generator=g),
        "present": torch.rand(n_clips, n_frames, len(PARENT), generator=g) > 0.2,
        "skeleton": torch.randn(n_clips, n_frames, len(KINECT_PARENTS), 3, generator=g),
        "imu": torch.randn(n_clips, 6, n_frames, generator=g),
        "has_pose": torch.arange(n_clips) % 2 == 0,
        "has_imu": torch.arange(n_clips) // 2 != 1,  # one clip in four has neither
        **dict.fromkeys(("mask", "skeleton_mask", "imu_mask"), real),
    }
    return tuple(made[name] for name in model.reads)


def backwards(model, inputs):
    """The same clips from their end to their start."""
    if model.takes == "video":
        return [inputs[0].flip(2)]
    over_time = {"imu": 2, "has_pose": None, "has_imu": None}
    axes = [over_time.get(name, 1) for name in model.reads]
    return [part if axis is None else part.flip(axis) for part, axis in zip(inputs, axes)]


def built(case, **changes):
    architecture, config = CASES[case]
    library = NEEDS.get(architecture)
    if library and importlib.util.find_spec(library) is None:
        message = f"'{architecture}' WAS NOT TESTED: pip install 'signloom[{library}]'"
        pytest.skip(message)
    torch.manual_seed(0)
    return build(architecture, {**config, **changes})


def settled(model):
    """``model`` in use, with batch norm that has seen clips, so that its logits are of a size to compare."""
    model.train()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # a plain average
    with torch.no_grad():
        if norms:
            model(*inputs(model, 4, seed=1))
    return model.eval()


@pytest.fixture(params=list(CASES))
def case(request):
    return request.param


@pytest.fixture
def model(case):
    return built(case)


@pytest.fixture(params=[c for c, (a, _) in CASES.items() if a not in NOT_OF_VIDEO])
def video_model(request):
    return built(request.param)


@pytest.fixture
def pose_model():
    return built("pose_transformer")


def test_every_architecture_has_a_case():
    assert {architecture for architecture, _ in CASES.values()} == set(ARCHITECTURES) - OF_OTHER_TASKS


def test_it_says_what_it_takes(model):
    assert model.takes in INPUTS


def test_logits_have_one_column_per_class(model):
    assert model.eval()(*inputs(model, 3)).shape == (3, 7)


def test_gradients_reach_every_parameter(model):
    x = inputs(model, 6)
    if model.takes == "pose":
        # So that the vector for an absent part is used as well.
        for row, part in enumerate(("left_hand", "face", "body")):
            x[1][row, :, PARTS[part]] = False
    settled(model)  # in training, dropout may silence any of them
    model(*x).square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_a_clip_scores_the_same_alone_and_in_any_batch(model):
    settled(model)
    x = inputs(model, 5)
    with torch.inference_mode():
        together = model(*x)
        alone = torch.cat([model(*(part[i : i + 1] for part in x)) for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_time_matters(model, case):
    settled(model)
    forth = inputs(model, 2)
    back = backwards(model, forth)
    with torch.inference_mode():
        a, b = model(*forth), model(*back)
    if case in BLIND_TO_TIME:
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    else:
        assert (a - b).abs().max() > 1e-3 * a.std()


def test_saving_and_building_again_gives_the_same_logits(model, case, tmp_path):
    from safetensors.torch import load_file, save_file

    settled(model)
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    again = build(CASES[case][0], asdict(model.config))
    again.load_state_dict(load_file(tmp_path / "m.safetensors"))
    x = inputs(model, 2)
    with torch.inference_mode():
        torch.testing.assert_close(model(*x), again.eval()(*x))


def test_two_thousand_classes_are_within_range(case):
    large = built(case, n_classes=2000).eval()
    assert large(*inputs(large, 2)).shape == (2, 2000)


# Video models


def test_the_head_is_named_and_is_all_that_depends_on_the_classes(video_model):
    config = {**asdict(video_model.config), "n_classes": 9}
    architecture = next(a for a, (_, name, _) in ARCHITECTURES.items() if name == type(video_model).__name__)
    other = build(architecture, config).state_dict()
    differ = {name for name, p in video_model.state_dict().items() if p.shape != other[name].shape}
    prefixes = tuple(f"{name}." for name in video_model.head_names)
    assert differ
    assert all(name.startswith(prefixes) for name in differ)
    assert not all(name.startswith(prefixes) for name in other)
    assert all(hasattr(video_model, name) for name in video_model.head_names)


def test_logits_and_features_of_one_pass_are_those_of_two(video_model):
    settled(video_model)
    x = inputs(video_model, 2)
    with torch.inference_mode():
        logits, features = video_model(*x, with_features=True)
        torch.testing.assert_close(logits, video_model(*x))
        torch.testing.assert_close(features, video_model.features(*x))
    assert features.ndim == 2


def test_logits_over_time_have_one_row_per_moment(video_model):
    if "per_frame" not in signature(video_model.forward).parameters:
        assert not hasattr(video_model, "frame_logits")
        return
    settled(video_model)
    x = inputs(video_model, 2, n_frames=20)
    with torch.inference_mode():
        over_time = video_model(*x, per_frame=True)
        assert over_time.ndim == 3
        assert over_time.shape[0] == 2
        assert 1 < over_time.shape[1] <= 20
        assert over_time.shape[2] == 7
        if hasattr(video_model, "frame_logits"):
            torch.testing.assert_close(over_time, video_model.frame_logits(*x))


def test_channels_last_gives_the_same_logits_and_bfloat16_nearly(video_model):
    settled(video_model)
    (x,) = inputs(video_model, 4)
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    with torch.inference_mode():
        plain = video_model(x)
        for p in video_model.parameters():
            p.data = p.data.contiguous(memory_format=layouts.get(p.ndim, torch.contiguous_format))
        x = x.contiguous(memory_format=torch.channels_last_3d)
        torch.testing.assert_close(video_model(x), plain, atol=1e-3, rtol=1e-3)
        with torch.autocast("cpu", torch.bfloat16):
            fast = video_model(x).float()
    assert (fast - plain).abs().mean() < 0.25 * plain.std()


# The pose model


def test_members_learn_apart_and_vote_together(pose_model):
    apart = pose_model(*inputs(pose_model, 3))
    assert apart.shape == (3, 2, 7)
    pose_model.eval()
    torch.testing.assert_close(pose_model(*inputs(pose_model, 3)).exp().sum(1), torch.ones(3))


def test_what_an_absent_joint_holds_does_not_matter(pose_model):
    pose_model.eval()
    pose, present, mask = inputs(pose_model, 2)
    scribbled = torch.where(present.unsqueeze(-1), pose, torch.full_like(pose, 99.0))
    with torch.inference_mode():
        torch.testing.assert_close(pose_model(pose, present, mask), pose_model(scribbled, present, mask))


def test_what_a_masked_frame_holds_does_not_matter(pose_model):
    pose_model.eval()
    pose, present, mask = inputs(pose_model, 2)
    mask[:, 9:] = False
    changed = pose.clone()
    changed[:, 9:] = 5.0
    with torch.inference_mode():
        torch.testing.assert_close(pose_model(pose, present, mask), pose_model(changed, present, mask))
