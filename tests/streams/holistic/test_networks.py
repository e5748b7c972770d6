"""Network files: found, known by their content, and refused with the way to mend it where they are others."""

from __future__ import annotations

import contextlib
import struct
import zipfile

import numpy as np
import pytest

from signloom.cli.main import main
from signloom.errors import InputError, MissingExtraError
from signloom.streams.holistic import networks
from signloom.streams.holistic.networks import (
    NETWORKS,
    Network,
    add_networks,
    find_network,
    models_hash,
    networks_there,
)
from signloom.streams.holistic.pruning import pruned


@pytest.fixture(scope="module")
def files():
    """name → the bytes of each network. Without them nothing here can be tested, and the run must say so."""
    try:
        return {name: find_network(name)[1] for name in NETWORKS}
    except MissingExtraError as error:
        pytest.fail(f"THE NETWORKS THAT FIND POSES ARE NOT HERE, so they are not tested: {error}")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without MediaPipe, and an empty folder for networks."""
    monkeypatch.setattr(networks, "installed_folder", lambda: None)
    monkeypatch.setenv("SIGNLOOM_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def wheel(path, files, left_out=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mediapipe/__init__.py", "raise SystemExit('nothing of a wheel is run')")
        for name, data in files.items():
            if name not in left_out:
                archive.writestr(f"mediapipe/modules/{NETWORKS[name].path}", data)
    return path


def test_what_is_missing_is_named_with_the_commands_that_get_it(nowhere):
    with pytest.raises(MissingExtraError, match=r"network 'hand'.*pip download .*mediapipe==0.10.21.*models add"):
        find_network("hand")


def test_a_wheel_is_unpacked_and_used_without_being_installed(nowhere, tmp_path, files, capsys):
    source = wheel(tmp_path / "mediapipe-0.10.21-cp312-cp312-some_other_machine.whl", files)
    assert main(["models", "add", str(source)]) == 0
    assert f"{len(NETWORKS)} networks taken in" in capsys.readouterr().out
    assert {path.name for path in nowhere.iterdir()} == {network.file_name for network in NETWORKS.values()}
    assert all(place.parent == nowhere for place in networks_there().values())
    assert main(["models", "add", str(source)]) == 0
    assert f"{len(NETWORKS)} were there already" in capsys.readouterr().out
    assert Network("hand_recrop", find_network("hand_recrop")[1]).size_px == 256


def test_a_folder_with_some_of_them_leaves_the_rest_missing(nowhere, tmp_path, files, capsys):
    source = tmp_path / "mine"
    source.mkdir()
    (source / "whatever.tflite").write_bytes(files["face"])  # told by its content
    (source / "hand_recrop.tflite").write_bytes(b"another network")
    assert add_networks(source).kept == ("face",)
    assert main(["models"]) == 1
    out = capsys.readouterr().out
    assert "face_landmark.tflite" in out
    assert "MISSING" in out
    assert "pip download" in out


def test_other_versions_and_what_is_no_wheel_are_refused(nowhere, tmp_path, files):
    with pytest.raises(InputError, match=r"has other versions: .*hand_recrop.*expected 123792"):
        add_networks(wheel(tmp_path / "old.whl", {"hand_recrop": b"TFL3 of another year"}))
    (tmp_path / "cut.whl").write_bytes(wheel(tmp_path / "whole.whl", files).read_bytes()[:50_000])
    with pytest.raises(InputError, match=r"cut.whl' is no wheel, or is damaged.*pip download"):
        add_networks(tmp_path / "cut.whl")
    with pytest.raises(InputError, match="no file or folder"):
        add_networks(tmp_path / "nothing.whl")
    assert main(["models", "add"]) == 2
    assert not nowhere.exists()


def test_a_damaged_file_is_named_with_what_was_expected(nowhere, files):
    nowhere.mkdir()
    damaged = bytearray(files["hand_recrop"])
    damaged[60_000] ^= 1
    (nowhere / "hand_recrop.tflite").write_bytes(damaged)
    with pytest.raises(
        InputError, match=r"hand_recrop.*is damaged or of another version.*123792.*delete it.*models add"
    ):
        find_network("hand_recrop")


def test_a_network_of_other_shapes_does_not_run(files):
    with pytest.raises(InputError, match=r"'hand_recrop' has shapes .*192.*expected .*256"):
        Network("hand_recrop", pruned(files["face"], [0]))
    with pytest.raises(InputError, match=r"cannot be run: it is no .tflite file"):
        Network("hand_recrop", b"nothing at all")
    with pytest.raises(InputError, match="'body' cannot be run"):
        Network("body", files["face"])  # has no third output


@pytest.mark.parametrize("at", [0, 4, 8, 100, 1000, 5000])
def test_pruning_what_is_damaged_never_crashes(files, at):
    data = bytearray(files["hand_recrop"])
    data[at : at + 4] = struct.pack("<I", 0x7FFFFFF0)
    with contextlib.suppress(ValueError):
        assert len(pruned(bytes(data), [0])) == len(data)


def test_what_is_left_of_a_pruned_network_says_the_same(files):
    from ai_edge_litert.interpreter import Interpreter

    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    whole = Interpreter(model_content=files["hand"], num_threads=1)
    whole.allocate_tensors()
    whole.set_tensor(whole.get_input_details()[0]["index"], (picture * np.float32(1 / 255))[None])
    whole.invoke()
    every = [whole.get_tensor(part["index"])[0] for part in whole.get_output_details()]
    network = Network("hand", files["hand"])
    for _ in range(2):  # and the same again
        for number, got in zip(NETWORKS["hand"].outputs, network(picture), strict=True):
            assert np.array_equal(got, every[number])


def test_the_fingerprint_needs_no_files(nowhere):
    from signloom.streams.pose import PoseStream

    assert PoseStream().fingerprint()["models"] == models_hash()
    assert models_hash() != models_hash(["body", "hand"])


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wheel_that_is_damaged_inside_is_told(nowhere, tmp_path, packed, capsys):
    source = tmp_path / "mediapipe-0.10.21-cp312-cp312-any.whl"
    with zipfile.ZipFile(source, "w", packed) as archive:
        archive.writestr("mediapipe/modules/a.tflite", b"0123456789" * 200)
    data = bytearray(source.read_bytes())
    for place in range(60, 72):  # in what is packed, which the list of contents does not show
        data[place] ^= 0xFF
    source.write_bytes(data)
    assert main(["models", "add", str(source)]) == 2
    assert "is no wheel, or is damaged" in capsys.readouterr().err
