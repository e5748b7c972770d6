"""What every generator must do, and what each promises beside it."""

from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from signloom.models import build
from signloom.models.discriminators import PatchDiscriminator, PatchDiscriminatorConfig
from signloom.models.generator import Generator, GeneratorConfig, warp
from signloom.models.pix2pix import PatchGAN, Pix2Pix, Pix2PixConfig
from signloom.models.upscaled import Upscaled, UpscaledConfig, enlarged
from signloom.transforms.generator_input import GeneratorInput
from signloom.transforms.pose_map import palette, stick_figure

torch.set_num_threads(1)
SMALL = {"size_px": 64, "widths": (8, 8, 12, 12)}
PALETTE = tuple(map(tuple, palette().tolist()))
CASES = {
    # name: (architecture, config, side of the pose maps, side of the pictures)
    "generator": ("generator", {**SMALL, "n_identities": 2}, 64, 64),
    "generator by frames": ("generator", {**SMALL, "temporal": False}, 64, 64),
    "generator with a template": ("generator", {**SMALL, "template": True}, 64, 64),
    "upscaled": ("upscaled", {"generator": tuple(asdict(GeneratorConfig(**SMALL)).items()), "width": 8}, 64, 128),
    "pix2pix": ("pix2pix", {"n_identities": 2, "palette": PALETTE}, 256, 256),
}
NEVER_LEARNS = {"pix2pix": ("down.7.", "up.0.")}  # as published: its norm leaves nothing of a single pixel
every = pytest.mark.parametrize("case", CASES)


def model_of(case):
    architecture, config, small, large = CASES[case]
    torch.manual_seed(0)
    model = build(architecture, config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1 and not weight.any():  # a last layer of zeros would hide all that leads to it
                weight.normal_(0, 0.05)
        if hasattr(model, "background"):  # else nothing shows whether a state is kept
            model.background.copy_(torch.rand_like(model.background))
    return model, small, large


def pose_maps_of(n, size, seed=1):
    return (torch.rand(n, 18, size, size, generator=torch.Generator().manual_seed(seed)) > 0.9).float()


@every
def test_a_picture_is_a_picture(case):
    model, small, large = model_of(case)
    with torch.inference_mode():
        picture, state = model.eval()(pose_maps_of(2, small))
        again, _ = model(pose_maps_of(2, small), state)
    assert picture.shape == again.shape == (2, 3, large, large)
    assert picture.dtype == torch.float32
    assert 0 <= picture.min() <= picture.max() <= 1


@every
def test_a_batch_of_one_is_a_batch_of_eight(case):
    model, small, _ = model_of(case)
    model.eval()
    pose_maps, state = pose_maps_of(8, small), None
    with torch.inference_mode():
        for _ in range(2):  # a beginning, and going on
            together, next_state = model(pose_maps, state)
            for k in (0, 5):
                alone, _ = model(pose_maps[k : k + 1], None if state is None else state[k : k + 1])
                assert (alone[0] - together[k]).abs().max() <= 1e-4
            state = next_state


@every
def test_gradient_reaches_all_that_learns(case):
    model, small, _ = model_of(case)
    model.train()
    picture, state = model(pose_maps_of(2, small))
    if state is not None:
        picture, _ = model(pose_maps_of(2, small, seed=2), state.detach())
    picture.square().sum().backward()
    learns = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert [n for n, p in learns.items() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    silent = [n for n, p in learns.items() if not p.grad.any()]
    assert silent == [n for n in learns if n.startswith(NEVER_LEARNS.get(case, ()))]


@every
def test_without_an_identity_it_paints_the_first(case):
    model, small, _ = model_of(case)
    with torch.inference_mode():
        unnamed, first = (model.eval()(pose_maps_of(2, small), None, who)[0] for who in (None, torch.tensor([0, 0])))
    assert torch.equal(unnamed, first)


def test_what_one_identity_learns_at_any_level_leaves_the_other_as_it_was():
    model, small, _ = model_of("generator")
    pose_maps = pose_maps_of(1, small).expand(2, -1, -1, -1)
    with torch.inference_mode():
        before, _ = model.eval()(pose_maps, None, torch.tensor([0, 1]))
        for code in model.codes:
            kept = code.weight[1].clone()
            code.weight[1] += 0.5
            after, _ = model(pose_maps, None, torch.tensor([0, 1]))
            assert torch.equal(after[0], before[0])
            assert (after[1] - before[1]).abs().max() > 1e-3
            code.weight[1] = kept


@every
def test_weights_and_config_are_all_there_is(case):
    from json import dumps, loads

    model, small, _ = model_of(case)
    copy = build(CASES[case][0], loads(dumps(asdict(model.config))))
    copy.load_state_dict(model.state_dict())
    with torch.inference_mode():
        assert torch.equal(model.eval()(pose_maps_of(1, small))[0], copy.eval()(pose_maps_of(1, small))[0])


def export(model, size_px, file, tolerances=None):
    from signloom.tasks.paint.export import export_generator
    from signloom.training.checkpoint import Checkpoint
    from signloom.training.export import write_export

    inputs = GeneratorInput(size_px=size_px, pose_map_px=getattr(model, "generator", model).config.size_px)
    exported = replace(export_generator(Checkpoint("paint", "generator", model, (), inputs, {})), sample=())
    return write_export(exported, "onnx", file, tolerances=tolerances)


@every
def test_an_exported_generator_paints_the_same(case, tmp_path):
    pytest.importorskip("onnxruntime")
    import onnx

    model, small, large = model_of(case)
    file = tmp_path / "generator.onnx"
    about = export(model, large, file)  # compares with PyTorch, on a beginning and going on
    assert about["inputs"]["pose_map"] == [1, 18, small, small]
    assert about["outputs"]["picture"] == [1, 3, large, large]
    said = {p.key: p.value for p in onnx.load(str(file)).metadata_props}
    assert said["signloom_generated"] == "true"


def test_an_exported_generator_paints_the_same_where_flow_points_far_out_of_the_picture(tmp_path):
    pytest.importorskip("onnxruntime")
    model, _, large = model_of("generator")
    with torch.no_grad():
        model.flow.bias.copy_(torch.tensor([1e9, -1e9]))
    export(model, large, tmp_path / "generator.onnx")


def test_an_export_that_paints_otherwise_is_refused_and_leaves_no_file(tmp_path):
    pytest.importorskip("onnxruntime")
    from signloom.errors import SignloomError

    model, _, _ = model_of("generator")
    with pytest.raises(SignloomError, match="apart from PyTorch's"):
        export(model, 64, tmp_path / "generator.onnx", {"fp32": -1.0})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "generator.onnx").write_text("an earlier one")
    with pytest.raises(SignloomError, match="apart from PyTorch's"):
        export(model, 64, tmp_path / "generator.onnx", {"fp32": -1.0})
    assert [file.read_text() for file in tmp_path.iterdir()] == ["an earlier one"]


# --- ours ---------------------------------------------------------------------------------------------------------


def test_a_clip_begins_with_the_empty_background():
    model, small, _ = model_of("generator")
    pose_maps, who = pose_maps_of(2, small), torch.tensor([0, 1])
    with torch.inference_mode():
        begun, _ = model.eval()(pose_maps, None, who)
        same, _ = model(pose_maps, model.background[who], who)
    assert torch.equal(begun, same)


def test_the_code_swaps_the_signer_and_keeps_the_pose():
    model, small, _ = model_of("generator")
    pose_maps = pose_maps_of(1, small)
    with torch.inference_mode():
        first, second = (model.eval()(pose_maps, None, torch.tensor([k]))[0] for k in (0, 1))
    assert (first - second).abs().mean() > 0.05


def test_the_order_of_frames_matters_to_a_temporal_generator_alone():
    pose_maps = pose_maps_of(3, 64)
    for case, matters in (("generator", True), ("generator by frames", False)):
        model, _, _ = model_of(case)
        last = []
        with torch.inference_mode():
            for order in ((0, 1, 2), (1, 0, 2)):
                state = None
                for k in order:
                    picture, state = model.eval()(pose_maps[k : k + 1], state if matters else None)
                last.append(picture)
        assert torch.equal(*last) is not matters


def macs(model, size=256, with_state=False):
    pose_maps = torch.zeros(1, 18, size, size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(pose_maps, torch.zeros(1, 3, size, size) if with_state else None)
    return counter.get_total_flops() / 2


def test_the_default_generator_is_twenty_times_lighter_than_pix2pix():
    ours, theirs = macs(Generator(GeneratorConfig()), with_state=True), macs(Pix2Pix(Pix2PixConfig()))
    assert theirs >= 20 * ours
    assert ours <= 1.1 * macs(Generator(GeneratorConfig(temporal=False)))  # what came before costs at most a tenth


def test_warping_moves_by_the_flow():
    picture = torch.rand(1, 3, 16, 16)
    still = warp(picture, torch.zeros(1, 2, 16, 16))
    assert torch.allclose(still, picture, atol=1e-5)
    flow = torch.zeros(1, 2, 16, 16)
    flow[:, 0] = 2 / 16 * 3  # half-widths: three pixels to the right
    assert torch.allclose(warp(picture, flow)[..., :-3], picture[..., 3:], atol=1e-5)


@pytest.mark.parametrize(
    ("bad", "words"), [({"size_px": 100}, "multiple of 32"), ({"widths": (8, 8, 8)}, "four multiples of 4")]
)
def test_a_generator_that_cannot_be_is_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        GeneratorConfig(**bad)


# --- twice the size -----------------------------------------------------------------------------------------------


def test_an_untrained_upsampler_is_bicubic_enlargement():
    model, pose_maps = Upscaled(UpscaledConfig(**CASES["upscaled"][1])), pose_maps_of(1, 64)
    with torch.inference_mode():
        inner, _ = model.eval().generator(pose_maps)
        assert torch.allclose(model(pose_maps)[0], enlarged(inner).clamp(0, 1), atol=1e-6)


def test_the_generator_inside_does_not_learn():
    model = Upscaled(UpscaledConfig(**CASES["upscaled"][1]))
    assert [n for n, p in model.named_parameters() if p.requires_grad and n.startswith("generator.")] == []
    assert not model.train().generator.training


# --- pix2pix ------------------------------------------------------------------------------------------------------


def counted(model):
    """Parameters as Keras counts them: the running statistics of norms too."""
    return sum(v.numel() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked"))


def test_pix2pix_has_the_published_number_of_parameters():
    assert counted(Pix2Pix(Pix2PixConfig())) == 54_425_859
    discriminator = PatchGAN(Pix2PixConfig())
    assert counted(discriminator) == 2_770_433
    assert discriminator(torch.rand(1, 21, 256, 256)).shape == (1, 1, 30, 30)


def test_pix2pix_trains_on_batches_of_one_as_published():
    model = Pix2Pix(Pix2PixConfig()).train()
    picture, _ = model(pose_maps_of(1, 256))
    picture.mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_pix2pix_sees_the_stick_figure_in_its_colours():
    model = Pix2Pix(Pix2PixConfig(palette=PALETTE))
    pose_maps = (pose_maps_of(1, 256)[0] * 255).to(torch.uint8)
    ours = model.stick_figure(pose_maps[None].float() / 255)[0].permute(1, 2, 0)
    assert (ours * 255 - torch.from_numpy(stick_figure(pose_maps.permute(1, 2, 0).numpy()))).abs().max() <= 1


def test_pix2pix_tells_signers_by_the_background():
    model = Pix2Pix(Pix2PixConfig(n_identities=3))
    pose_maps = torch.zeros(3, 18, 256, 256)
    corners = model.stick_figure(pose_maps, torch.arange(3))[:, :, 0, 0]
    assert torch.cdist(corners, corners)[~torch.eye(3, dtype=torch.bool)].min() > 0.2


def test_pix2pix_normalises_each_picture_by_itself_whatever_others_do_to_batch_norms():
    from signloom.training.sync_norm import synchronised

    model = Pix2Pix(Pix2PixConfig())
    kinds = [type(m) for m in model.modules()]
    assert [type(m) for m in synchronised(model).modules()] == kinds


def test_pix2pix_paints_256_px_only():
    with pytest.raises(ValueError, match="256 px and nothing else"):
        Pix2PixConfig(size_px=512)


# --- discriminators -----------------------------------------------------------------------------------------------


def test_a_discriminator_learns_to_tell_sharp_from_blurred():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(PatchDiscriminatorConfig(channels=3, width=8))
    learn = torch.optim.Adam(discriminator.parameters(), 2e-3)
    for _ in range(60):
        real = torch.rand(4, 3, 32, 32)
        fake = F.avg_pool2d(real, 3, 1, 1)
        loss = F.relu(1 - discriminator(real)).mean() + F.relu(1 + discriminator(fake)).mean()
        learn.zero_grad()
        loss.backward()
        learn.step()
    with torch.no_grad():
        real = torch.rand(4, 3, 32, 32)
        assert discriminator(real).mean() > discriminator(F.avg_pool2d(real, 3, 1, 1)).mean() + 0.5


def test_a_discriminator_shows_what_its_layers_see():
    logits, features = PatchDiscriminator(PatchDiscriminatorConfig())(torch.rand(2, 21, 64, 64), with_features=True)
    assert logits.shape == (2, 1, 8, 8)
    assert [tuple(f.shape[1:]) for f in features] == [(32, 32, 32), (64, 16, 16), (128, 8, 8)]
