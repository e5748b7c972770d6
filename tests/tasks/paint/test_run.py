"""Training a painter and using it: whole runs on a tiny corpus."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from signloom import media
from signloom.cli.main import main
from signloom.errors import CheckpointError, DivergedError, InputError, LeakError
from signloom.metrics.pictures import psnr
from signloom.tasks.paint.learn import PaintLosses, PaintSchedule
from signloom.tasks.paint.run import Painter, clips_of, load_painter, train_painter
from signloom.tasks.presets import paint, paint_512, paint_frames
from signloom.training.checkpoint import load_checkpoint
from signloom.transforms.paint_input import PaintInput

torch.set_num_threads(1)


def tiny(recipe=None, steps=6, **schedule):
    recipe = recipe or paint()
    schedule = {"steps": steps, "batch_size": 2, "precision": "fp32", "warmup_steps": 2, **schedule}
    return replace(
        recipe,
        inputs=PaintInput(size_px=64),
        model={**recipe.model, "widths": (8, 16, 16, 16)},
        schedule=PaintSchedule(**schedule),
    )


@pytest.fixture(scope="module")
def trained(painting_corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    recipe = tiny(steps=250, learning_rate=4e-3, ema=0.9)
    train_painter(painting_corpus, recipe, out, look_every=100, quiet=True)
    return out


def painted(painter, clip):
    return np.stack(list(painter.paint(clip.limbs(t) for t in range(len(clip)))))


def as_tensor(frames):
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def test_it_learns_to_paint_a_clip_it_has_not_seen(trained, painting_corpus):
    painter = load_painter(trained)
    (clip,) = clips_of(painting_corpus.only("test"), painter.inputs, painter.signers)
    real = clip.pictures(range(len(clip)))
    wall = np.full_like(real, 120)
    ours, empty = (float(psnr(as_tensor(x), as_tensor(real)).mean()) for x in (painted(painter, clip), wall))
    assert ours > empty + 3


def test_it_leaves_pictures_to_look_at_and_says_they_are_generated(trained):
    import av

    assert media.read_frames(trained / "look.png").shape[2] == 3 * 64
    with av.open(str(trained / "look.mp4")) as video:
        assert video.metadata["signloom_generated"] == "true"
        assert "Generated" in video.metadata["comment"]


def test_pictures_to_look_at_come_as_often_as_wanted(painting_corpus, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("signloom.tasks.paint.run.write_look", lambda now, *_: seen.append(now.metrics["steps"]))
    train_painter(painting_corpus, tiny(steps=5), tmp_path / "run", look_every=2, quiet=True)
    assert seen == [2, 4, 5]


@pytest.mark.parametrize(
    "words", [["pose", "--look-every", "5"], ["pose", "--painter", "x"], ["paint", "--look-every", "0"]]
)
def test_options_of_painters_that_make_no_sense_are_refused(words, tmp_path, capsys):
    assert main(["train", str(tmp_path), "--out", str(tmp_path / "run"), "--recipe", *words]) == 2
    assert words[1] in capsys.readouterr().err


def test_the_signer_as_usual_begins_before_the_background(painting_corpus, tmp_path):
    """In this corpus only head, arms and hands show, which are none of what is usual."""
    recipe = tiny(replace(paint(), model={"usual": True}), steps=1, learning_rate=1e-6)
    model = train_painter(painting_corpus, recipe, tmp_path / "run", quiet=True).model
    assert (model.usual - model.background).abs().mean() < 0.02


def test_a_checkpoint_is_whole_and_holds_no_pickle(trained):
    assert {p.name for p in (trained / "checkpoint").iterdir()} == {"model.safetensors", "config.json"}
    checkpoint = load_checkpoint(trained)
    assert checkpoint.inputs.size_px == 64
    assert checkpoint.inputs.signers == ("one",)
    assert not (trained / "state.pt").exists()


def test_where_the_signer_stands_is_read_off_stick_figures(trained):
    """Shoulders are 22 of 64 pixels apart, at row 28: poses of others are brought there."""
    crop = load_painter(trained).inputs.crop
    assert crop["shoulders"] == pytest.approx(64 / 22, rel=0.1)
    assert crop["height"] == pytest.approx(28 / 64, abs=0.03)
    assert crop["across"] == pytest.approx(0.5, abs=0.03)


def test_a_limb_that_is_surer_than_in_training_is_no_surer_to_the_painter(trained, painting_corpus):
    from signloom.transforms.pose_map import LIMBS

    painter = load_painter(trained)
    (clip,) = clips_of(painting_corpus.only("test"), painter.inputs, painter.signers)
    limbs = clip.limbs(0)
    assert painter.inputs.limb_levels[LIMBS.index("trunk")] == 0  # this corpus shows no hips
    with_trunk = limbs.copy()
    with_trunk[20:, 30:34, LIMBS.index("trunk")] = 255
    assert np.array_equal(*(next(painter.paint([x])) for x in (limbs, with_trunk)))


def test_a_finished_run_is_loaded_and_another_is_refused(trained, painting_corpus):
    again = train_painter(painting_corpus, tiny(steps=250, learning_rate=4e-3, ema=0.9), trained, quiet=True)
    assert again.recipe["schedule"]["steps"] == 250
    with pytest.raises(InputError, match="another recipe"):
        train_painter(painting_corpus, tiny(steps=7), trained, quiet=True)


def test_what_a_clip_looks_like_depends_on_what_was_painted_before(trained, painting_corpus):
    """A temporal painter goes on from its last picture; one frame by itself is painted as a beginning."""
    painter = load_painter(trained)
    (clip,) = clips_of(painting_corpus.only("test"), painter.inputs, painter.signers)
    alone = np.stack([next(painter.paint([clip.limbs(t)])) for t in range(len(clip))])
    in_order = painted(painter, clip)
    assert np.array_equal(alone[0], in_order[0])
    assert not np.array_equal(alone[1:], in_order[1:])


def test_only_train_and_val_are_opened(painting_corpus, tmp_path):
    def moved(record):
        if record.split != "test":
            return record
        return replace(record, streams={s: f"not/there/{s}" for s in record.streams})

    blind = replace(painting_corpus, records=tuple(moved(r) for r in painting_corpus))
    train_painter(blind, tiny(paint_frames(), steps=1), tmp_path / "run", quiet=True)


def test_a_split_that_leaks_is_refused(painting_corpus, tmp_path):
    same = replace(painting_corpus, records=tuple(replace(r, content="x") for r in painting_corpus))
    with pytest.raises(LeakError):
        train_painter(same, tiny(steps=1), tmp_path / "run", quiet=True)


def test_a_clip_without_a_pose_is_refused(painting_corpus, tmp_path):
    def bare(record):
        return replace(record, streams={"signer": record.streams["signer"]})

    corpus = replace(painting_corpus, records=tuple(bare(r) for r in painting_corpus))
    corpus = replace(corpus, meta={**corpus.meta, "streams": {**corpus.meta["streams"], "pose": {}}})
    with pytest.raises(InputError, match="needs stream 'pose'"):
        train_painter(corpus, tiny(steps=1), tmp_path / "run", quiet=True)


def test_a_run_that_diverges_says_so_and_keeps_its_last_good_state(painting_corpus, tmp_path, monkeypatch):
    from signloom.tasks.paint import learn as learning

    monkeypatch.setattr(learning, "SAVE_EVERY_S", 0.0)
    good = learning.picture_loss

    def spoilt(losses, lesson, painted, before, bent):
        spoilt.calls += 1
        loss = good(losses, lesson, painted, before, bent)
        return loss * float("nan") if spoilt.calls > 3 else loss

    spoilt.calls = 0
    monkeypatch.setattr(learning, "picture_loss", spoilt)
    with pytest.raises(DivergedError, match="Try a lower learning rate"):
        train_painter(painting_corpus, tiny(steps=100), tmp_path / "run", quiet=True)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["place"]["step"] == 3
    assert all(torch.isfinite(v).all() for v in state["model"].values())


def test_a_step_without_a_finite_gradient_changes_nothing(painting_corpus, tmp_path, monkeypatch):
    from signloom.tasks.paint import learn as learning

    good = learning.picture_loss
    calls = []

    def once(losses, lesson, painted, before, bent):
        calls.append(0)
        return good(losses, lesson, painted, before, bent) * (float("inf") if len(calls) == 2 else 1)

    monkeypatch.setattr(learning, "picture_loss", once)
    train_painter(painting_corpus, tiny(steps=5), tmp_path / "run", quiet=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["skipped_steps"] == 1


@pytest.mark.slow
def test_a_high_learning_rate_with_clipping_stays_finite(painting_corpus, tmp_path):
    recipe = tiny(steps=400, learning_rate=0.05, critic_learning_rate=0.05)
    checkpoint = train_painter(painting_corpus, replace(recipe, losses=PaintLosses(critic_from=0.0)), tmp_path / "run")
    assert all(torch.isfinite(v).all() for v in checkpoint.model.state_dict().values())


def test_train_speaks_of_painters(painting_corpus, tmp_path, capsys):
    words = ["train", str(painting_corpus.root), "--recipe", "paint", "--steps", "2", "--batch-size", "2", "--json"]
    words += ["--set", "inputs.size_px=64", "model.widths=[8,8,8,8]", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["steps"] == 2
    assert summary["signers"] == ["one"]


def test_evaluate_measures_a_painter_beside_what_it_must_beat(trained, painting_corpus, tmp_path, capsys):
    assert main(["evaluate", str(trained), str(painting_corpus.root), "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    whole = json.loads((tmp_path / "evaluation-test.json").read_text())
    assert told["figures"] == whole["figures"]
    assert told["n_frames"] == 6
    for who in ("painted", "mean frame", "nearest skeleton", "previous real frame"):
        assert 10 < told["figures"][who]["full"]["psnr"]["value"] < 60
    assert (
        "Generated" in (tmp_path / "report.html").read_text() or "generated" in (tmp_path / "report.html").read_text()
    )
    assert main(["evaluate", str(trained), str(painting_corpus.root), "--out", str(tmp_path), "--no-clips"]) == 0
    assert "PSNR, whole frame" in capsys.readouterr().out
    assert "<video" not in (tmp_path / "report.html").read_text()


def test_evaluate_measures_lpips_and_fid_with_weights_that_are_given(
    trained, painting_corpus, tmp_path, capsys, monkeypatch
):
    given = []

    def distance(files):
        given.append(files)
        return lambda a, b: (a - b).abs().mean((1, 2, 3))

    def features(file):
        given.append(file)
        return lambda x: 100 * x.mean((2, 3))

    monkeypatch.setattr("signloom.metrics.lpips.load_lpips", distance)
    monkeypatch.setattr("signloom.metrics.fid.load_fid", features)
    words = ["evaluate", str(trained), str(painting_corpus.root), "--out", str(tmp_path), "--no-clips"]
    weights = ["--lpips", "alexnet.pth", "linear.pth", "--fid", "inception.pth"]
    assert main([*words, *weights, "--json"]) == 0
    assert [str(f) for f in (*given[0], given[1])] == ["alexnet.pth", "linear.pth", "inception.pth"]
    whole = json.loads(capsys.readouterr().out)["figures"]["painted"]["full"]
    assert whole["lpips"]["low"] <= whole["lpips"]["value"] <= whole["lpips"]["high"]
    assert whole["fid"]["value"] > 0
    assert whole["fid"]["n"] == 6
    page = (tmp_path / "report.html").read_text()
    assert all(text in page for text in ("LPIPS", "FID", "6 frames"))
    assert main([*words, *weights]) == 0
    told = capsys.readouterr().out
    assert all(text in told for text in ("LPIPS, hands", "FID, whole frame", "of 6 frames"))


def test_weights_that_are_not_there_are_missed_before_anything_is_measured(trained, painting_corpus, tmp_path, capsys):
    words = ["evaluate", str(trained), str(painting_corpus.root), "--out", str(tmp_path)]
    for flag in ("--lpips", "--fid"):
        assert main([*words, flag, str(tmp_path / "nowhere.pth")]) == 1
        assert "no file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_lpips_and_fid_are_for_painters(painting_corpus, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"architecture": "pose-transformer"}')
    for flag in ("--lpips", "--fid"):
        assert main(["evaluate", str(tmp_path), str(painting_corpus.root), flag, "weights.pth"]) == 2
        assert f"{flag} measures painted pictures" in capsys.readouterr().err


def test_export_writes_a_file_that_says_what_it_takes(trained, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    assert main(["export", str(trained), "--out", str(tmp_path / "me.onnx"), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["inputs"]["limbs"] == [1, 18, 64, 64]
    assert about["inputs"]["last"] == about["outputs"]["picture"] == [1, 3, 64, 64]
    assert main(["export", str(trained), "--out", str(tmp_path / "me.pt")]) == 2


def test_painters_are_measured_one_at_a_time(trained, painting_corpus, capsys):
    assert main(["evaluate", str(trained), str(trained), str(painting_corpus.root)]) == 2
    assert "one at a time" in capsys.readouterr().err


def test_a_painter_at_twice_its_size(trained, painting_corpus, tmp_path, capsys):
    """paint-512's way, at 64 and 128 px: the inner painter stays bit for bit as it was, and state goes on small."""
    from signloom.data.splits import split_of, write_split

    write_split(split_of(painting_corpus), tmp_path / "split.json")
    words = ["train", str(painting_corpus.root), "--recipe", "paint-512", "--painter", str(trained), "--steps", "4"]
    words += ["--batch-size", "2", "--set", "inputs.size_px=128", "inputs.limbs_px=64", "model.width=8"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    small, large = load_painter(trained), load_painter(tmp_path / "run")
    (clip,) = clips_of(painting_corpus.only("test"), large.inputs, large.signers)
    frames = painted(large, clip)
    assert frames.shape[1:] == (128, 128, 3)
    assert main(["evaluate", str(tmp_path / "run"), str(painting_corpus.root), "--no-clips", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["bicubic enlargement"]["full"]["psnr"]["n"] == figures["painted"]["full"]["psnr"]["n"]
    inner = large.model.painter.state_dict()
    assert all(torch.equal(v, inner[k]) for k, v in small.model.state_dict().items())


def test_a_painter_of_another_split_is_not_enlarged(trained, painting_corpus, tmp_path):
    other = replace(
        painting_corpus,
        records=tuple(replace(r, split={"a": "test", "c": "train"}.get(r.id, r.split)) for r in painting_corpus),
    )
    recipe = replace(paint_512(), inputs=PaintInput(size_px=128, limbs_px=64))
    with pytest.raises(LeakError, match="another split"):
        train_painter(other, recipe, tmp_path / "run", painter=trained, quiet=True)
    with pytest.raises(InputError, match="give its run folder as --painter"):
        train_painter(painting_corpus, recipe, tmp_path / "run", quiet=True)


def test_a_few_takes_of_different_signs_still_leave_some_to_test(painting_corpus, tmp_path):
    from signloom.data.manifest import write_manifest

    apart = tuple(replace(r, label=r.id, split=None) for r in painting_corpus)
    write_manifest(replace(painting_corpus, records=apart), tmp_path / "corpus")
    words = ["train", str(tmp_path / "corpus"), "--recipe", "paint-frames", "--steps", "1", "--batch-size", "2"]
    words += ["--set", "inputs.size_px=64", "model.widths=[8,8,8,8]", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert main(["evaluate", str(tmp_path / "run"), str(tmp_path / "corpus"), "--no-clips"]) == 0


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--epochs", "3"], "give --steps instead"),
        (["--precision", "fp16"], "expected auto, fp32 or bf16"),
        (["--teacher", "x"], "--teacher does not go with recipe"),
        (["--set", "losses.nonsense=1"], "no setting 'losses.nonsense'"),
    ],
)
def test_options_that_do_not_go_with_a_painter(painting_corpus, tmp_path, capsys, extra, words):
    assert main(["train", str(painting_corpus.root), "--recipe", "paint", "--out", str(tmp_path / "r"), *extra]) == 2
    assert words in capsys.readouterr().err


def test_a_recogniser_is_no_painter(tmp_path):
    from signloom.models import build
    from signloom.training.checkpoint import Checkpoint
    from signloom.transforms.video_input import VideoInput

    model = build("light3d", {"n_classes": 2})
    with pytest.raises(CheckpointError, match="paints nothing"):
        Painter(Checkpoint("light3d", model, ("a", "b"), VideoInput(), {}))
