"""Weights from elsewhere load whole or not at all."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from signloom.data.weights import load_reference, read_tensors
from signloom.errors import CheckpointError
from signloom.models.i3d import I3D, I3DConfig
from signloom.training.pretrained import load_pretrained

MIXED = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}


def reference_weights(n_classes, channels=3, counters=False):
    """Random tensors under the names and in the shapes of the usual PyTorch port, written down from its layers."""
    g = torch.Generator().manual_seed(1)
    layers = {
        "Conv3d_1a_7x7": (channels, 64, 7),
        "Conv3d_2b_1x1": (64, 64, 1),
        "Conv3d_2c_3x3": (64, 192, 3),
    }
    for block, (n, b0, b1a, b1b, b2a, b2b, b3b) in MIXED.items():
        of_block = {"b0": (n, b0, 1), "b1a": (n, b1a, 1), "b1b": (b1a, b1b, 3)}
        of_block |= {"b2a": (n, b2a, 1), "b2b": (b2a, b2b, 3), "b3b": (n, b3b, 1)}
        layers |= {f"Mixed_{block}.{branch}": shape for branch, shape in of_block.items()}
    weights = {}
    for name, (n_in, n_out, kernel) in layers.items():
        size = (n_out, n_in, kernel, kernel, kernel)
        weights[f"{name}.conv3d.weight"] = torch.randn(size, generator=g) * (2 / (n_in * kernel**3)) ** 0.5
        for part in ("weight", "bias", "running_mean", "running_var"):
            values = torch.rand(n_out, generator=g)
            weights[f"{name}.bn.{part}"] = values + 0.5 if part in ("weight", "running_var") else values - 0.5
        if counters:
            weights[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)
    weights["logits.conv3d.weight"] = torch.randn(n_classes, 1024, 1, 1, 1, generator=g)
    weights["logits.conv3d.bias"] = torch.randn(n_classes, generator=g)
    return weights


@pytest.fixture(scope="module")
def weights():
    return reference_weights(6)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return I3D(I3DConfig(6)).eval()


def saved(weights, path, **more):
    torch.save({**weights, **more}, path)
    return path


@pytest.mark.parametrize("kind", ["plain.pt", "whole.safetensors", "wrapped.pth", "counted.pt"])
def test_the_ports_weights_load_completely(model, weights, tmp_path, kind):
    from safetensors.torch import save_file

    path, expected = tmp_path / kind, weights
    if kind == "whole.safetensors":
        save_file(weights, path)
    elif kind == "wrapped.pth":
        torch.save({"epoch": 3, "state_dict": {f"module.base.{k}": v for k, v in weights.items()}}, path)
    elif kind == "counted.pt":
        expected = reference_weights(6, counters=True)
        torch.save(expected, path)
    else:
        torch.save(weights, path)
    assert set(load_reference(model, path)) == set(expected)
    own = model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.items())
    assert {n for n in own.keys() - expected.keys() if not n.endswith("num_batches_tracked")} == set()


def test_two_networks_with_the_same_file_give_the_same_logits(model, weights, tmp_path):
    path = saved(weights, tmp_path / "w.pt")
    other = I3D(I3DConfig(6)).eval()
    x = torch.rand(1, 3, 16, 32, 32) * 2 - 1
    with torch.inference_mode():
        assert not torch.allclose(model(x), other(x))
        load_reference(model, path)
        load_reference(other, path)
        assert torch.equal(model(x), other(x))
        assert model(x).abs().max() > 0.1


def test_every_wrong_tensor_is_listed_and_nothing_is_loaded(model, weights, tmp_path):
    broken = dict(weights)
    del broken["Mixed_3b.b1b.conv3d.weight"], broken["Conv3d_2b_1x1.bn.running_var"]
    broken["Mixed_9z.b0.conv3d.weight"] = torch.zeros(3)
    broken["Conv3d_1a_7x7.conv3d.weight"] = torch.zeros(64, 2, 7, 7, 7)
    broken["Mixed_4e.b0.bn.bias"] = torch.full((112,), float("nan"))
    broken["Mixed_4e.b0.bn.weight"] = torch.ones(112, dtype=torch.int64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_reference(model, saved(broken, tmp_path / "w.pt"))
    for line in (
        "missing Mixed_3b.b1b.conv3d.weight (128, 96, 3, 3, 3)",
        "missing Conv3d_2b_1x1.bn.running_var (64,)",
        "not part of the model: Mixed_9z.b0.conv3d.weight (3,)",
        "misshapen Conv3d_1a_7x7.conv3d.weight: got (64, 2, 7, 7, 7), expected (64, 3, 7, 7, 7)",
        "not finite Mixed_4e.b0.bn.bias",
        "of another kind Mixed_4e.b0.bn.weight: got torch.int64, expected torch.float32",
    ):
        assert line in str(caught.value)
    assert "head=" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_head_of_other_classes_is_dropped_only_when_asked(weights, tmp_path):
    path = saved(weights, tmp_path / "w.pt")
    model = I3D(I3DConfig(9))
    head = model.logits.conv3d.weight.clone()
    with pytest.raises(CheckpointError, match=r'misshapen logits.conv3d.bias[\s\S]*load with head="drop"'):
        load_reference(model, path)
    loaded = load_reference(model, path, head="drop")
    assert set(loaded) == {name for name in weights if not name.startswith("logits.")}
    assert torch.equal(model.logits.conv3d.weight, head)
    assert torch.equal(model.Mixed_5c.b0.conv3d.weight, weights["Mixed_5c.b0.conv3d.weight"])
    with pytest.raises(ValueError, match="expected 'keep' or 'drop'"):
        load_reference(model, path, head="new")


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_file_that_would_run_code_is_not_opened(model, tmp_path, capsys):
    torch.save({"state_dict": {"x": Harmful()}}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        load_reference(model, tmp_path / "w.pt")
    assert "never run" not in capsys.readouterr().out


def test_what_is_no_file_of_weights_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no file"):
        read_tensors(tmp_path / "none.pt")
    for name in ("text.pt", "text.safetensors", "text.onnx"):
        (tmp_path / name).write_text("no weights at all")
        with pytest.raises(CheckpointError, match=name):
            read_tensors(tmp_path / name)
    with pytest.raises(CheckpointError, match="holds a list"):
        read_tensors(saved_as(tmp_path / "list.pt", [torch.zeros(2)]))
    with pytest.raises(CheckpointError, match="not a tensor: epoch"):
        read_tensors(saved_as(tmp_path / "mixed.pt", {"w": torch.zeros(2), "epoch": 3}))


def saved_as(path, content):
    torch.save(content, path)
    return path


@pytest.fixture
def folder(tmp_path):
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("LOADING A VIDEO TRANSFORMER WAS NOT TESTED: pip install 'signloom[transformers]'")
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=16,
        patch_size=8,
        num_frames=4,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        num_labels=5,
        use_mean_pooling=True,
    )
    network = VideoMAEForVideoClassification(config).eval()
    torch.nn.init.normal_(network.classifier.weight)
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}')
    return tmp_path, network


def test_a_video_transformer_of_a_local_folder_gives_the_librarys_logits(folder):
    path, network = folder
    model = load_pretrained(path, 5, head="keep").eval()
    pictures = torch.rand(2, 3, 4, 16, 16)
    mean, std = (torch.tensor(v)[:, None, None, None] for v in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    with torch.inference_mode():
        wanted = network(((pictures - mean) / std).transpose(1, 2)).logits
        torch.testing.assert_close(model(pictures * 2 - 1), wanted, atol=1e-5, rtol=1e-4)
    fresh = load_pretrained(path, 9, head_dropout=0.1)
    assert fresh.head.out_features == 9
    assert fresh.config.head_dropout == 0.1
    assert torch.equal(fresh.encoder.state_dict()[first(fresh)], model.encoder.state_dict()[first(fresh)])


def first(model):
    return next(iter(model.encoder.state_dict()))


def test_a_folder_that_lacks_something_is_refused(folder):
    from safetensors.torch import load_file, save_file

    path, _ = folder
    with pytest.raises(CheckpointError, match="names 5 classes, the model 9"):
        load_pretrained(path, 9, head="keep")
    tensors = load_file(path / "model.safetensors")
    gone = next(name for name in tensors if "layernorm_before.weight" in name)
    save_file({k: v for k, v in tensors.items() if k != gone}, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"missing .*layernorm_before\.weight"):
        load_pretrained(path, 5)
    (path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        load_pretrained(path, 5)
