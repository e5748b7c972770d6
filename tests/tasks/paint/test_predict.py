"""A trained generator in use: whole clips and sessions give the same pictures, bit for bit."""

import json
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from signloom.data.corpus import HeldClip, SplitManifest
from signloom.errors import CheckpointError, InputError, SignloomWarning
from signloom.models import build
from signloom.models.generator import GeneratorConfig
from signloom.tasks.paint.data import painting_clips, read_corpus
from signloom.tasks.paint.predict import GeneratorPredictor, load_generator
from signloom.tasks.paint.recipes import paint
from signloom.training.checkpoint import Checkpoint, save_checkpoint
from signloom.transforms.generator_input import GeneratorInput
from signloom.transforms.pose_map import CHANNELS
from signloom.transforms.video_input import VideoInput

SIZE = 64
SMALL = {"size_px": SIZE, "widths": (8, 8, 8, 8), "n_identities": 2}


def untrained(architecture="generator", config=SMALL, **inputs) -> Checkpoint:
    torch.manual_seed(0)
    model = build(architecture, config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1 and not weight.any():
                weight.normal_(0, 0.05)
    inputs = GeneratorInput(**{"size_px": SIZE, "signers": ("one", "two"), "proportions": (None, None), **inputs})
    made = {"signer": {"extractor": "signer-crop", "size_px": SIZE}, "skeleton": {"extractor": "pairs"}}
    return Checkpoint("paint", architecture, model, (), inputs, made)


@pytest.fixture(scope="module")
def generator():
    return GeneratorPredictor(untrained())


@pytest.fixture(scope="module")
def clip(painting_corpus, generator):
    (clip,) = painting_clips(SplitManifest(painting_corpus), "test", generator.inputs, generator.signers)
    return clip


def test_a_session_paints_what_a_whole_clip_is_painted_as(generator, clip):
    whole = generator(clip.clip)
    assert whole.pictures.shape == (6, SIZE, SIZE, 3)
    assert whole.end_s == pytest.approx(0.6)
    assert whole.about == {"generated": True, "signer": "one"}
    session = generator.session(fps=10.0)
    for t in range(6):
        (pushed,) = session.push(t / 10, {"pose_map": clip.pose_map(t)})
        assert np.array_equal(pushed.pictures, whole.pictures[t : t + 1])
        assert (pushed.start_s, pushed.end_s) == pytest.approx((t / 10, (t + 1) / 10))
    assert session.close() == ()


def test_stick_figures_can_be_pushed_too(generator, clip):
    session, figures = generator.session(), clip.clip.read(clip.streams["skeleton"])
    pictures = [session.push(t / 10, {"skeleton": figures[t]})[0].pictures[0] for t in range(3)]
    assert np.array_equal(pictures, list(generator.paint(clip.pose_map(t) for t in range(3))))


def test_two_sessions_do_not_disturb_each_other(generator, clip):
    maps = [clip.pose_map(t) for t in range(4)]
    first, second = (generator.session(identity=k) for k in (0, 1))
    mixed = [(first.picture(m), second.picture(m)) for m in maps]
    for k, alone in enumerate((list(generator.paint(maps, 0)), list(generator.paint(maps, 1)))):
        assert np.array_equal([pair[k] for pair in mixed], alone)
    assert not np.array_equal(mixed[0][0], mixed[0][1])


def test_what_a_clip_looks_like_depends_on_what_was_painted_before(generator, clip):
    """A temporal generator goes on from its last picture; one frame by itself is painted as a beginning."""
    alone = np.stack([next(generator.paint([clip.pose_map(t)])) for t in range(len(clip))])
    in_order = np.stack(list(generator.paint(clip.pose_map(t) for t in range(len(clip)))))
    assert np.array_equal(alone[0], in_order[0])
    assert not np.array_equal(alone[1:], in_order[1:])


def test_a_limb_that_is_surer_than_in_training_is_no_surer_to_the_generator(clip):
    levels = tuple(0 if name == "trunk" else 255 for name in CHANNELS)
    generator = GeneratorPredictor(untrained(channel_levels=levels))
    pose_map = clip.pose_map(0)
    with_trunk = pose_map.copy()
    with_trunk[20:, 30:34, CHANNELS.index("trunk")] = 255
    assert np.array_equal(*(next(generator.paint([x])) for x in (pose_map, with_trunk)))


def test_a_pose_is_brought_into_the_square_of_the_signer(generator):
    from signloom.data.skeleton import joints_of
    from signloom.synthetic import LEXICON, Settings, Take, make_signer
    from signloom.transforms.pose_map import pose_maps_of_pose

    pose = Take(LEXICON[0], make_signer(0), 0, Settings(size_px=(160, 120), fps=8)).pose()
    joints = joints_of(pose)
    clip = HeldClip("clip", {"pose": joints}, fps=8)
    wanted = list(pose_maps_of_pose(pose, generator.square.matrix(joints), SIZE))
    assert np.array_equal(list(generator.pose_maps(clip)), wanted)
    assert len(generator(clip).pictures) == len(joints)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ({"pose_map": np.zeros((32, 32, 18), np.uint8)}, r"is uint8 \(64, 64, 18\); got uint8 \(32, 32, 18\)"),
        ({"pose_map": np.zeros((64, 64, 18), np.float32)}, "got float32"),
        ({"video": np.zeros((64, 64, 3), np.uint8)}, "'pose_map' or 'skeleton'; got video"),
    ],
)
def test_samples_that_cannot_be_painted_are_refused(generator, samples, said):
    with pytest.raises(InputError, match=said):
        generator.session().push(0.0, samples)


def test_a_recogniser_paints_nothing():
    model = build("light3d", {"n_classes": 2})
    with pytest.raises(CheckpointError, match="paints nothing"):
        GeneratorPredictor(Checkpoint("recognise", "light3d", model, ("a", "b"), VideoInput(), {}))


# --- checkpoints of signloom 0.1 ----------------------------------------------------------------------------------

OLD_INPUTS = {"pose_map_px": "limbs_px", "channel_levels": "limb_levels"}
OLD_FIELDS = {"n_channels": "n_limbs", "template": "usual", "generator": "painter"}
OLD_PARTS = {"template": "usual", "template_stem": "usual_stem", "generator": "painter"}


def aged(folder):
    """The checkpoint in ``folder`` as signloom 0.1 would have written it."""
    config = json.loads((folder / "config.json").read_text())
    del config["task"]
    config["architecture"] = {"generator": "painter"}.get(config["architecture"], config["architecture"])
    config["inputs"] = {OLD_INPUTS.get(k, k): v for k, v in config["inputs"].items()}
    model = {OLD_FIELDS.get(k, k): v for k, v in config["model"].items()}
    if "painter" in model:
        model["painter"] = [[OLD_FIELDS.get(k, k), v] for k, v in model["painter"]]
    config["model"] = model
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    old = {".".join(OLD_PARTS.get(part, part) for part in name.split(".")): v for name, v in tensors.items()}
    save_file(old, folder / "model.safetensors")


@pytest.mark.parametrize(
    "checkpoint",
    [
        untrained(config={**SMALL, "template": True}, channel_levels=(200,) * len(CHANNELS)),
        untrained(
            "upscaled",
            {"generator": tuple(asdict(GeneratorConfig(**SMALL)).items()), "width": 8},
            size_px=128,
            pose_map_px=SIZE,
        ),
    ],
    ids=["with a template", "upscaled"],
)
def test_a_checkpoint_of_an_earlier_version_paints_the_same(checkpoint, clip, tmp_path):
    save_checkpoint(checkpoint, tmp_path / "checkpoint")
    maps = [clip.pose_map(t) for t in range(3)]
    wanted = list(load_generator(tmp_path).paint(maps, 1))
    aged(tmp_path / "checkpoint")
    assert b"template" not in (tmp_path / "checkpoint" / "config.json").read_bytes()
    old = load_generator(tmp_path)
    assert old.checkpoint.task == "paint"
    assert np.array_equal(list(old.paint(maps, 1)), wanted)
    assert old.inputs == replace(checkpoint.inputs, proportions=old.inputs.proportions)


def test_a_rate_that_training_had_not_is_told(generator):
    learnt = GeneratorPredictor(replace(generator.checkpoint, corpus={"rates": {"10": 3, "12.5": 1}}))
    assert learnt.fps == 10
    assert learnt.session().fps == 10
    with pytest.warns(SignloomWarning, match=r"learnt at 10 \(3 clips\), 12.5 \(1 clip\).*--fps 10 paints"):
        learnt.warn_of_rate(30.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learnt.warn_of_rate(12.5)
        generator.warn_of_rate(30.0)  # one that has no rate on record
        config = {**SMALL, "temporal": False}
        frame_by_frame = GeneratorPredictor(replace(untrained(config=config), corpus={"rates": {"10": 3}}))
        frame_by_frame.warn_of_rate(30.0)


def test_a_generator_trained_on_several_rates_says_so(painting_corpus):
    mixed = [replace(r, fps=10.0 + 20 * (k % 2)) for k, r in enumerate(painting_corpus)]
    corpus = SplitManifest(replace(painting_corpus, records=tuple(mixed)))
    recipe = replace(paint(), inputs=replace(paint().inputs, size_px=SIZE))
    assert len(corpus.rates()) == 2
    with pytest.warns(SignloomWarning, match="learnt as it comes"):
        read_corpus(corpus, recipe)
