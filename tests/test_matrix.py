"""Every verb with every kind of recipe, run and folder: it works, or says what to do instead; never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from signloom.cli.main import main

V1 = Path(__file__).resolve().parent / "fixtures" / "v1"
WAYS_OUT = (
    "give", "run:", "run the same", "make it again", "leave", "choose", "use ", "expected", "wanted", "train", "next",
    "one at a time", "one by one", "like with like", "--",
)  # fmt: skip
"""What a message says that tells what to do instead."""

RECOGNISERS = (
    "pose", "pose-large", "pose-as-filmed", "rgb", "rgb-located", "rgb-hands", "flow", "mars", "i3d", "i3d-flow",
    "cnn-lstm", "cnn-average", "video-transformer", "two-phase", "chalearn", "chalearn-flow", "cnn-lstm-published",
    "wlasl", "tal-ia", "depth", "imu", "imu-ridge", "imu-virtual", "inception-time", "imu-from-skeleton",
    "imu-from-depth", "imu-from-video", "imu-from-video-published", "skeleton", "skeleton-imu",
)  # fmt: skip
GENERATORS = ("paint", "paint-frames", "paint-512", "pix2pix")
RECIPES = (*RECOGNISERS, *GENERATORS, "swap")
FROM_POSES = ("pose", "pose-large", "pose-as-filmed")

RUNS = ("pose", "rgb", "rgb-hands", "flow", "mars", "fused", "paint", "paint-512", "pix2pix", "crossval")
FOLDERS = (*RUNS, "unfinished", "shards", "corpus", "poses", "empty", "missing")
"""Kinds of folder that a user may give, rightly or wrongly."""

LIGHT = (
    "inputs.n_frames=4", "inputs.size_px=32", "inputs.resize_px=36", "model.widths=[8,8,8]", "model.blocks=[1,1]",
    "model.memory=8",
)  # fmt: skip
TRANSFORMER = ("model.width=8", "model.depth=1", "model.heads=2", "inputs.n_frames=8")
SETTINGS = {
    "pose": (*TRANSFORMER, "model.members=1"),
    "pose-large": TRANSFORMER,
    "pose-as-filmed": (*TRANSFORMER, "model.members=1"),
    "rgb": LIGHT,
    "rgb-located": LIGHT,
    "rgb-hands": (*LIGHT, "inputs.hands_px=16"),
    "flow": LIGHT,
    "mars": LIGHT,
    "cnn-lstm": (*LIGHT[:3], "model.frame_width=0.25", "model.hidden=8"),
    "paint": ("inputs.size_px=64", "model.widths=[8,8,8,8]"),
    "paint-frames": ("inputs.size_px=64", "model.widths=[8,8,8,8]"),
    "paint-512": ("inputs.size_px=128", "inputs.limbs_px=64", "model.width=8"),
}
"""What makes a training a matter of a second."""


# --- what there is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Folders by kind, and where new ones go."""

    root: Path

    def __getitem__(self, kind: str) -> Path:
        return self.root / kind

    def corpus_of(self, kind: str) -> Path:
        """The corpus that a run was trained on."""
        return self["painted"] if kind in GENERATORS else self["corpus"]


def run(words) -> tuple[int, str]:
    """Exit code of a command, and what it said on stderr."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main([str(word) for word in words])
    return code, said.getvalue()


def training(recipe, corpus, out, *more, **settings):
    """The words of a tiny training."""
    length = ["--steps", "3"] if recipe in GENERATORS else ["--epochs", "1"]
    batch = [] if recipe == "pix2pix" else ["--batch-size", "2"]
    chosen = settings.get("settings", SETTINGS.get(recipe, ()))
    return [
        "train",
        corpus,
        "--recipe",
        recipe,
        "--out",
        out,
        *length,
        *batch,
        *more,
        *(["--set", *chosen] * bool(chosen)),
    ]


def only_streams(corpus: Path, *streams: str) -> Path:
    """Leave in the manifest of ``corpus`` no other streams than ``streams``."""
    file = corpus / "manifest.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["streams"] = {name: value for name, value in row["streams"].items() if name in streams}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return corpus


@pytest.fixture(scope="module")
def place(tmp_path_factory, painting_corpus):
    """A folder of every kind. Do not change them."""
    place = Place(tmp_path_factory.mktemp("matrix"))
    shutil.copytree(V1 / "corpus", place["corpus"])
    only_streams(shutil.copytree(V1 / "corpus", place["poses"]), "pose")
    only_streams(shutil.copytree(V1 / "corpus", place["frames"]), "frames")
    shutil.copytree(painting_corpus.root, place["painted"])
    shutil.copyfile(V1 / "clip.mp4", place["clip.mp4"])
    shutil.copyfile(sorted((V1 / "corpus" / "pose").iterdir())[0], place["sign.pose"])
    for sign in ("BALU", "CORO"):
        (place["footage"] / sign).mkdir(parents=True)
        shutil.copyfile(place["clip.mp4"], place["footage"] / sign / "take.mp4")
    place["empty"].mkdir()
    split = ("--split", V1 / "splits" / "signer.json")
    made = [training(recipe, place["corpus"], place[recipe], *split) for recipe in ("pose", "rgb", "rgb-hands", "flow")]
    made += [
        training("mars", place["corpus"], place["mars"], "--teacher", place["flow"], *split),
        ["evaluate", place["pose"], place["rgb"], place["corpus"], "--fuse", "--save", place["fused"], "--no-clips"],
        training("paint", place["painted"], place["paint"]),
        training("paint-512", place["painted"], place["paint-512"], "--painter", place["paint"]),
        crossval("pose", place["corpus"], place["crossval"]),
        ["shard", place["corpus"], "--out", place["shards"], "--workers", "1", *split],
    ]
    with pytest.MonkeyPatch.context() as patch:  # the state of pix2pix would be 650 MB
        patch.setattr("torch.save", lambda *_: None)
        patch.setattr("os.fsync", lambda _: None)
        made += [[*training("pix2pix", place["painted"], place["pix2pix"]), "--steps", "1"]]
        for words in made:
            code, said = run(words)
            assert code == 0, (words, said)
    shutil.copytree(V1 / "unfinished" / "pose", place["unfinished"])
    return place


def crossval(recipe, corpus, out, *more):
    words = [
        "crossval",
        corpus,
        "--recipe",
        recipe,
        "--out",
        out,
        "--only",
        "signer01",
        "--seeds",
        "0",
        "--epochs",
        "1",
    ]
    settings = () if recipe in GENERATORS else ("schedule.batch_size=2", *SETTINGS.get(recipe, ()))
    return [*words, "--no-clips", *more, *(["--set", *settings] * bool(settings))]


@pytest.fixture
def cell(capfd, monkeypatch, tmp_path):
    """``cell(words, works)``: the command works, or it is refused in a line that names the way out."""
    monkeypatch.chdir(tmp_path)

    def check(words, works):
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:  # argparse
            code = end.code
        err = capfd.readouterr().err
        if works:
            assert code in (0, 3), err
            return
        assert code in (1, 2), err
        assert "Traceback" not in err
        reason = [
            line for line in err.splitlines() if "error: " in line or "not read (" in line or "not painted (" in line
        ]
        assert reason, err
        assert any(way in err[err.index(reason[-1]) :].lower() for way in WAYS_OUT), err

    return check


def each(names, works=(), **marks):
    """A parameter for each name: (name, whether it is to work)."""
    ids = {n: f"{n}-{'works' if n in works else 'is refused'}" for n in names}
    return [pytest.param(n, n in works, id=ids[n], marks=marks.get(n.replace("-", "_"), ())) for n in names]


def test_the_recipes_of_the_table_are_listed(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--recipe", "help"])
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert listed >= set(RECIPES)


# --- train --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rgb-located", "cnn-lstm", "pose-as-filmed", "paint-frames"])
def test_train_a_recipe_on_what_it_needs(name, place, cell, tmp_path):
    """The others are trained for the folders above."""
    cell(training(name, place.corpus_of(name), tmp_path / "run"), True)


@pytest.mark.parametrize("name", RECIPES)
def test_train_with_a_setting_that_is_none(name, place, cell, tmp_path):
    cell(training(name, place["corpus"], tmp_path / "run", settings=("nonsense.size=1",)), False)


@pytest.mark.parametrize(("name", "works"), each(RECIPES, FROM_POSES))
def test_train_on_poses_alone(name, works, place, cell, tmp_path):
    cell(training(name, place["poses"], tmp_path / "run"), works)


@pytest.mark.parametrize(("name", "works"), each(RECIPES, ("rgb", "cnn-lstm")))
def test_train_on_frames_alone(name, works, place, cell, tmp_path):
    if name in (
        "i3d",
        "cnn-average",
        "video-transformer",
        "two-phase",
        "chalearn",
        "cnn-lstm-published",
        "wlasl",
        "tal-ia",
    ):
        return  # they would go as rgb does, and take long
    cell(training(name, place["frames"], tmp_path / "run"), works)


@pytest.mark.parametrize(("name", "works"), each((*FROM_POSES, "rgb", "rgb-located", "rgb-hands", "flow"), RECIPES))
def test_train_a_recogniser_on_shards(name, works, place, cell, tmp_path):
    cell(training(name, place["shards"], tmp_path / "run"), works)


@pytest.mark.parametrize("name", GENERATORS)
def test_train_a_generator_on_shards(name, place, cell, tmp_path):
    cell(training(name, place["shards"], tmp_path / "run"), False)


@pytest.mark.parametrize("name", RECIPES)
def test_train_on_an_empty_folder(name, place, cell, tmp_path):
    cell(training(name, place["empty"], tmp_path / "run"), False)


@pytest.mark.parametrize("name", ["pose", "rgb", "paint"])
@pytest.mark.parametrize("kind", [f for f in FOLDERS if f not in ("corpus", "poses", "shards")])
def test_train_on_what_is_no_corpus(kind, name, place, cell, tmp_path):
    cell(training(name, place[kind], tmp_path / "run"), False)


@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, ("flow",)))
def test_train_with_a_teacher(kind, works, place, cell, tmp_path):
    split = ("--split", V1 / "splits" / "signer.json")
    cell(training("mars", place["corpus"], tmp_path / "run", "--teacher", place[kind], *split), works)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "mars"])
def test_train_with_a_teacher_who_is_not_asked(name, place, cell, tmp_path):
    corpus = place.corpus_of(name)
    cell(training(name, corpus, tmp_path / "run", "--teacher", place["flow"], settings=()), False)


@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, ("paint",)))
def test_train_with_a_generator_to_enlarge(kind, works, place, cell, tmp_path):
    cell(training("paint-512", place["painted"], tmp_path / "run", "--painter", place[kind]), works)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "paint-512"])
def test_train_with_a_generator_that_is_not_asked(name, place, cell, tmp_path):
    corpus = place.corpus_of(name)
    cell(training(name, corpus, tmp_path / "run", "--painter", place["paint"], settings=()), False)


@pytest.mark.parametrize("name", ["mars", "paint-512"])
def test_train_without_what_it_begins_with(name, place, cell, tmp_path):
    cell(training(name, place.corpus_of(name), tmp_path / "run"), False)


@pytest.mark.parametrize("name", ["pose", "rgb", "paint"])
@pytest.mark.parametrize("kind", ["pose", "rgb", "paint"])
def test_train_into_the_folder_of_a_finished_run(kind, name, place, cell, tmp_path):
    out = shutil.copytree(place[kind], tmp_path / "run")
    cell([*training(name, place.corpus_of(name), out), "--seed", "7"], False)


# --- evaluate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, RUNS))
def test_evaluate_on_its_corpus(kind, works, place, cell, tmp_path):
    cell(["evaluate", place[kind], place.corpus_of(kind), "--no-clips", "--out", tmp_path / "out"], works)


@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, ("pose", "crossval")))
def test_evaluate_on_a_corpus_of_poses_alone(kind, works, place, cell, tmp_path):
    cell(["evaluate", place[kind], place["poses"], "--no-clips", "--out", tmp_path / "out"], works)


@pytest.mark.parametrize("kind", [f for f in FOLDERS if f != "corpus" and f != "poses"])
@pytest.mark.parametrize("run", ["pose", "rgb", "fused", "crossval", "paint"])
def test_evaluate_on_what_is_no_corpus(run, kind, place, cell):
    cell(["evaluate", place[run], place[kind], "--no-clips"], False)


@pytest.mark.parametrize("fuse", [False, True], ids=["compared", "fused"])
@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, ("rgb", "rgb-hands", "flow", "mars")))
def test_evaluate_beside_a_run_of_poses(kind, works, fuse, place, cell, tmp_path):
    words = ["evaluate", place["pose"], place[kind], place["corpus"], "--no-clips", "--out", tmp_path / "out"]
    cell([*words, *["--fuse"] * fuse], works)


@pytest.mark.parametrize("kind", FOLDERS)
def test_evaluate_pictures_of_what_paints_none(kind, place, cell):
    """Weights that are not there, for a generator; none are asked of others."""
    cell(["evaluate", place[kind], place.corpus_of(kind), "--lpips", "none.pth"], False)


# --- crossval -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "works"), each(RECIPES, ("pose", "rgb", "rgb-located", "rgb-hands", "flow", "cnn-lstm"))
)
def test_crossval_of_a_recipe(name, works, place, cell, tmp_path):
    if name in RECOGNISERS and name not in SETTINGS:
        return  # they would go as the others do, and take long
    cell(crossval(name, place["corpus"], tmp_path / "cv"), works or name in FROM_POSES)


@pytest.mark.parametrize("name", GENERATORS)
def test_crossval_of_a_generator_says_so_whatever_else_is_given(name, place, cell, tmp_path):
    cell(["crossval", place["corpus"], "--recipe", name, "--out", tmp_path / "cv"], False)
    cell(
        ["crossval", place["painted"], "--recipe", name, "--out", tmp_path / "cv", "--folds", "k-fold", "--k", "2"],
        False,
    )
    assert not (tmp_path / "cv").exists()


@pytest.mark.parametrize(("name", "works"), each(RECIPES, FROM_POSES))
def test_crossval_on_poses_alone(name, works, place, cell, tmp_path):
    cell(crossval(name, place["poses"], tmp_path / "cv"), works)


@pytest.mark.parametrize("name", RECIPES)
def test_crossval_with_a_setting_that_is_none(name, place, cell, tmp_path):
    words = ["crossval", place["corpus"], "--recipe", name, "--out", tmp_path / "cv", "--set", "nonsense.size=1"]
    cell(words, False)


@pytest.mark.parametrize("kind", [f for f in FOLDERS if f not in ("corpus", "poses")])
def test_crossval_of_what_is_no_corpus(kind, place, cell, tmp_path):
    cell(crossval("pose", place[kind], tmp_path / "cv"), False)


@pytest.mark.parametrize("kind", FOLDERS)
def test_crossval_with_a_teacher_that_is_no_crossval_of_flow(kind, place, cell, tmp_path):
    cell(crossval("mars", place["corpus"], tmp_path / "cv", "--teacher", place[kind]), False)


# --- predict, generate, export ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, ("pose", "fused")))
def test_predict_from_a_pose(kind, works, place, cell):
    cell(["predict", place[kind], place["sign.pose"], "--workers", "1"], works)


@pytest.mark.parametrize(
    ("kind", "works"), each([f for f in FOLDERS if f not in ("pose", "rgb-hands", "fused")], ("rgb", "flow", "mars"))
)
def test_predict_from_a_video(kind, works, place, cell):
    """Of those that need no pose: finding it takes long."""
    cell(["predict", place[kind], place["clip.mp4"], "--workers", "1"], works)


@pytest.mark.parametrize("clip", ["sign.pose", "clip.mp4"])
def test_predict_with_a_generator_that_learnt_from_poses(clip, place, cell, tmp_path):
    """Its streams, in their usual size, can be made of any video, but it names no sign."""
    one = ("--split", V1 / "splits" / "one-signer.json")
    assert run(training("paint", place["corpus"], tmp_path / "run", *one))[0] == 0
    file = tmp_path / "run" / "checkpoint" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    made = config["streams"]["signer"]
    made["size_px"] = made["crop"]["size_px"] = 512
    file.write_text(json.dumps(config), encoding="utf-8")
    cell(["predict", tmp_path / "run", place[clip], "--workers", "1"], False)


@pytest.mark.parametrize("kind", ["empty", "missing", "shards", "pose"])
def test_predict_what_is_no_clip(kind, place, cell):
    cell(["predict", place["pose"], place[kind], "--workers", "1"], False)


@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, ("paint", "paint-512", "pix2pix")))
def test_generate_from_a_pose(kind, works, place, cell, tmp_path):
    cell(["generate", place[kind], place["sign.pose"], "--out", tmp_path / "out.mp4", "--fps", "1"], works)


@pytest.mark.parametrize(("kind", "works"), each([f for f in FOLDERS if f not in GENERATORS], ("corpus", "poses")))
def test_generate_from_a_folder(kind, works, place, cell, tmp_path):
    """Of runs of generators, the preview would be taken for a clip, as any video is."""
    cell(["generate", place["paint"], place[kind], "--out", tmp_path / "out"], works)


@pytest.mark.parametrize("kind", [f for f in FOLDERS if f not in RUNS or f in ("fused", "crossval")])
def test_export_what_is_no_network(kind, place, cell, tmp_path):
    """That networks can be exported is tested elsewhere: it takes long."""
    cell(["export", place[kind], "--out", tmp_path / "out.onnx"], False)


# --- corpora ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, ("corpus", "poses")))
def test_split(kind, works, place, cell, tmp_path):
    cell(["split", place[kind], "--out", tmp_path / "split.json"], works)


@pytest.mark.parametrize(("kind", "works"), each(FOLDERS, ("corpus", "poses")))
def test_shard(kind, works, place, cell, tmp_path):
    cell(["shard", place[kind], "--out", tmp_path / "shards", "--workers", "1"], works)


@pytest.mark.parametrize("stream", ["flow", "signer", "video", "nonsense"])
def test_shard_a_stream_that_is_not_there_or_not_for_models(stream, place, cell, tmp_path):
    cell(["shard", place["poses"], "--out", tmp_path / "shards", "--streams", stream], False)


@pytest.mark.parametrize(("kind", "works"), each([f for f in FOLDERS if f not in GENERATORS], ("poses",)))
def test_prepare(kind, works, place, cell, tmp_path):
    """The videos of the corpus are elsewhere."""
    cell(["prepare", place[kind], "--out", tmp_path / "out", "--workers", "1"], works)


@pytest.mark.parametrize("stream", ["frames", "flow", "signer", "nonsense"])
def test_prepare_of_poses_what_needs_video(stream, place, cell, tmp_path):
    cell(["prepare", place["poses"], "--out", tmp_path / "out", "--streams", stream, "--workers", "1"], False)


@pytest.mark.parametrize(("kind", "works"), each([f for f in FOLDERS if f not in GENERATORS], ("corpus", "poses")))
def test_doctor(kind, works, place, cell):
    cell(["doctor", place[kind], "--workers", "1"], works)


# --- recognise ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_recognise_without_signers(name, place, cell, tmp_path):
    cell(["recognise", place["footage"], "--out", tmp_path / "out", "--recipe", name], False)


@pytest.mark.parametrize("name", ["mars", *GENERATORS])
def test_recognise_with_a_recipe_that_is_none_for_it(name, place, cell, tmp_path):
    """Refused before hours of preparing, whatever the footage."""
    cell(["recognise", place["footage"], "--out", tmp_path / "out", "--recipe", name, "--split", "random"], False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [f for f in FOLDERS if f not in ("corpus", "poses", *GENERATORS)])
def test_recognise_what_is_no_footage(kind, place, cell, tmp_path):
    cell(["recognise", place[kind], "--out", tmp_path / "out"], False)
