from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from signloom.data.corpus import HeldClip
from signloom.data.signal import Signal
from signloom.data.skeleton import joints_of
from signloom.errors import InputError
from signloom.media.skeleton_files import kinect_pose
from signloom.transforms import inputs_of
from signloom.transforms.joined_input import JoinedAugment, JoinedInput
from signloom.transforms.sensor_input import SensorInput
from signloom.transforms.skeleton_augment import SkeletonAugment
from signloom.transforms.skeleton_input import SkeletonInput

CHANNELS = tuple(f"right_wrist_acceleration_{axis}_g" for axis in "xyz")


def clip(name="a", streams=("pose", "imu"), seed=0):
    rng = np.random.default_rng(seed)
    places = rng.normal(0, 0.3, (12, 20, 3)).astype(np.float32) + np.float32([0, 0, 3])
    samples = {
        "pose": joints_of(kinect_pose(places, np.ones((12, 20), bool), 30.0)),
        "imu": Signal(rng.normal(0, 1, (30, 3)).astype(np.float32), 50.0, CHANNELS),
    }
    return HeldClip(name, {s: samples[s] for s in streams})


def read(clip, stream):
    return clip.samples[stream]


def sensor(n_steps=10):
    return SensorInput(n_steps=n_steps, channels=CHANNELS, mean=(0.0,) * 3, std=(1.0,) * 3)


def joined():
    return JoinedInput(("pose", "imu"), ("skeleton", "sensor"), (SkeletonInput(n_frames=8), sensor()))


def test_it_gives_what_its_parts_give_and_says_which_streams_there_are():
    made = joined().of_clip(clip(), read, ("pose", "imu"))
    assert made.keys() == {"skeleton", "skeleton_mask", "imu", "imu_mask", "has_pose", "has_imu"}
    np.testing.assert_array_equal(
        made["skeleton"], SkeletonInput(n_frames=8).of_clip(clip(), read, ("pose",))["skeleton"]
    )
    np.testing.assert_array_equal(made["imu"], sensor().of_clip(clip(), read, ("imu",))["imu"])
    assert made["has_pose"] == np.True_
    assert made["has_imu"] == np.True_


@pytest.mark.parametrize("lacking", ["pose", "imu"])
def test_a_clip_that_lacks_a_stream_has_tensors_of_the_same_shapes(lacking):
    there = [s for s in ("pose", "imu") if s != lacking]
    whole = joined().of_clip(clip(), read, ("pose", "imu"))
    made = joined().of_clip(clip(streams=there), read, ("pose", "imu"))
    assert {n: (x.shape, x.dtype) for n, x in made.items()} == {n: (x.shape, x.dtype) for n, x in whole.items()}
    assert not made[f"has_{lacking}"]
    assert made[f"has_{there[0]}"]
    assert not made["skeleton" if lacking == "pose" else "imu"].any()
    np.stack([whole["has_imu"], made["has_imu"]])  # they make a batch


def test_a_clip_without_any_of_the_streams_is_refused():
    with pytest.raises(InputError, match="clip 'b' has none of the streams pose, imu"):
        joined().of_clip(HeldClip("b", {"frames": np.zeros((3, 4, 4, 3), np.uint8)}), read, ("pose", "imu"))


def test_two_parts_that_give_one_name_are_refused():
    twice = JoinedInput(("pose", "other"), ("skeleton", "skeleton"), (SkeletonInput(), SkeletonInput()))
    both = HeldClip("a", {"pose": clip().samples["pose"], "other": clip().samples["pose"]})
    with pytest.raises(InputError, match="are told as 'skeleton'"):
        twice.of_clip(both, read, ("pose", "other"))


def test_a_checkpoints_json_restores_its_parts():
    values = json.loads(json.dumps(asdict(joined())))
    assert inputs_of("joined", values) == joined()


def test_it_tells_a_model_of_every_part():
    fields = joined().model_fields(("pose", "imu"))
    assert fields["streams"] == ("pose", "imu")
    skeleton, imu = fields["told"]
    assert skeleton["n_frames"] == 8
    assert (imu["channels"], imu["n_steps"]) == (3, 10)
    assert joined().keeps_clips


def test_what_is_wrong_with_its_parts_is_said():
    with pytest.raises(InputError, match="2 streams need as many"):
        JoinedInput(("pose", "imu"), ("skeleton",), (SkeletonInput(),))
    with pytest.raises(InputError, match="expected each once"):
        JoinedInput(("pose", "pose"), ("skeleton",) * 2, (SkeletonInput(),) * 2)
    with pytest.raises(InputError, match="got 'smell'"):
        JoinedInput(("pose",), ("smell",), ({},))


def test_parts_are_fitted_to_the_clips_that_have_their_stream():
    class Fitted:
        keeps_clips = True

        def __init__(self, seen=()):
            self.seen = seen

        def fitted(self, clips, read, streams):
            return Fitted([(c.id, streams) for c in clips])

        def unfitted(self):
            return Fitted()

    both = JoinedInput(("pose", "imu"), ("skeleton", "sensor"), (SkeletonInput(), Fitted()))
    fitted = both.fitted([clip("a"), clip("b", ("pose",))], read, ("pose", "imu"))
    assert fitted.parts[1].seen == [("a", ("imu",))]
    assert fitted.parts[0] == SkeletonInput()
    assert fitted.unfitted().parts[1].seen == ()


def test_each_part_of_a_batch_is_changed_by_its_own_augmentation():
    made = joined().of_clip(clip(), read, ("pose", "imu"))
    inputs = {name: torch.from_numpy(np.stack([x, x])) for name, x in made.items()}
    augment = JoinedAugment((SkeletonAugment(), None))
    changed = augment.of_batch(inputs, torch.Generator().manual_seed(0), joined())
    assert (changed["skeleton"] - inputs["skeleton"]).abs().max() > 0.01
    torch.testing.assert_close(changed["imu"], inputs["imu"])
