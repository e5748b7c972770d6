"""The network of face swaps, and dlib's that tells faces apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from signloom.errors import CheckpointError
from signloom.metrics.face_verifier import face_chip, load_face_verifier
from signloom.models import build
from signloom.models.face_resnet import BLOCKS, SIZE_PX, FaceResNet
from signloom.streams.face_layout import standard_face

SMALL = {"size_px": 32, "n_identities": 3, "widths": (8, 8, 8, 8), "code": 8}


def swap():
    torch.manual_seed(0)
    return build("face_swap", SMALL)


def test_each_face_becomes_whose_it_is_to_be():
    model, faces = swap().eval(), torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        picture, seen = model(faces, torch.tensor([0, 2, 1, 2]))
        assert picture.shape == (4, 3, 32, 32)
        assert seen.shape == (4, 1, 32, 32)
        assert 0 <= picture.min() <= picture.max() <= 1
        for row, k in enumerate((0, 2, 1, 2)):
            alone, mask = model.blended(faces[row : row + 1], torch.eye(3)[k])
            assert torch.allclose(alone[0], picture[row], atol=1e-5)
            assert torch.allclose(mask[0], torch.sigmoid(seen[row]), atol=1e-5)


def test_a_mixture_lies_between():
    model, face = swap().eval(), torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        a, b = (model.blended(face, torch.eye(3)[k])[0] for k in (0, 1))
        mixed = model.blended(face, torch.tensor([0.5, 0.5, 0]))[0]
    assert torch.allclose(mixed, (a + b) / 2, atol=1e-5)


def test_only_the_decoder_that_is_asked_learns_and_all_of_it():
    model = swap()
    picture, seen = model(torch.rand(2, 3, 32, 32), torch.tensor([1, 1]))
    (picture.sum() + seen.sum()).backward()
    learns = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    others = {name for name, _ in model.named_parameters() if name.startswith(("decoders.0", "decoders.2"))}
    assert learns == {name for name, _ in model.named_parameters()} - others


@pytest.mark.parametrize("wrong", [{"size_px": 40}, {"widths": (8, 8)}, {"n_identities": 0}])
def test_what_cannot_be_built_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        build("face_swap", {**SMALL, **wrong})


# --- dlib's ------------------------------------------------------------------------------------------------------


def published(folder, quantised):
    """A file as face-api has it, with random weights; returns the network of them."""
    torch.manual_seed(1)
    network = FaceResNet().eval()
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, 0.1)
    layers = ["conv32_down", *(f"{b[0]}/conv{k}" for b in BLOCKS for k in (1, 2))]
    arrays = {}
    for layer in layers:
        own = network.get_submodule(layer.replace("/", "."))
        arrays[f"{layer}/conv/filters"] = own.conv.weight.detach().permute(2, 3, 1, 0).numpy()
        arrays[f"{layer}/conv/bias"] = own.conv.bias.detach().numpy()
        arrays[f"{layer}/scale/weights"] = own.weights.detach().numpy()
        arrays[f"{layer}/scale/biases"] = own.biases.detach().numpy()
    arrays["fc"] = network.fc.detach().numpy()
    rows, data = [], b""
    for name, array in arrays.items():
        row = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        if quantised:
            low, step = float(array.min()), float(np.ptp(array)) / 255 or 1.0
            row["quantization"] = {"dtype": "uint8", "scale": step, "min": low}
            data += np.round((array - low) / step).astype(np.uint8).tobytes()
        else:
            data += np.ascontiguousarray(array, "<f4").tobytes()
        rows.append(row)
    (folder / "face_recognition_model.bin").write_bytes(data)
    manifest = [{"paths": ["face_recognition_model.bin"], "weights": rows}]
    (folder / "face_recognition_model-weights_manifest.json").write_text(json.dumps(manifest))
    return network


def test_weights_are_read_as_they_are_published(tmp_path):
    network = published(tmp_path, quantised=False)
    chips = np.random.default_rng(0).integers(0, 255, (1, SIZE_PX, SIZE_PX, 3)).astype(np.uint8)
    for place in (tmp_path, tmp_path / "face_recognition_model.bin"):
        numbers = load_face_verifier(place).describe(chips)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(chips).permute(0, 3, 1, 2).float()).numpy()
        assert numbers.shape == (1, 128)
        assert np.allclose(numbers, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_weights_stored_as_bytes_are_scaled(tmp_path):
    network = published(tmp_path, quantised=True)
    read = load_face_verifier(tmp_path).network
    assert torch.allclose(read.fc, network.fc, atol=2e-3)
    assert torch.allclose(read.conv32_down.conv.weight, network.conv32_down.conv.weight, atol=4e-3)


def test_a_file_that_is_cut_or_another_is_refused(tmp_path):
    published(tmp_path, quantised=True)
    file = tmp_path / "face_recognition_model.bin"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="beyond the end"):
        load_face_verifier(file)
    manifest = tmp_path / "face_recognition_model-weights_manifest.json"
    manifest.write_text(json.dumps([{"paths": ["../secret"], "weights": []}]))
    with pytest.raises(CheckpointError, match="elsewhere"):
        load_face_verifier(file)
    manifest.write_text(json.dumps([{"paths": [], "weights": []}]))
    with pytest.raises(CheckpointError, match="missing"):
        load_face_verifier(file)
    with pytest.raises(CheckpointError, match="npm package"):
        load_face_verifier(tmp_path / "none" / "x.bin")


def test_a_chip_is_upright_and_centred():
    """Eyes and mouth come to lie where the network was taught to have them, however the face is turned."""
    points = standard_face() * 40 + [200, 150]
    c, s = np.cos(0.5), np.sin(0.5)
    turned = (points - [200, 150]) @ np.array([[c, s], [-s, c]]) + [200, 150]
    dots = []
    for place in (points, turned):
        spots = []
        for part in (slice(16, 20), slice(20, 24)):
            frame = np.zeros((300, 400, 3), np.uint8)
            x, y = place[part].mean(0)
            frame[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 255
            chip = face_chip(frame, place)[..., 0].astype(float)
            yx = np.stack(np.meshgrid(np.arange(SIZE_PX), np.arange(SIZE_PX), indexing="ij"), -1)
            spots.append((yx * chip[..., None]).sum((0, 1)) / chip.sum())
        dots.append(np.array(spots))
    assert np.abs(dots[0] - dots[1]).max() < 2.5
    right, left = dots[0]
    assert abs(right[0] - left[0]) < 2
    assert right[1] < 75 < left[1]
