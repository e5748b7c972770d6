"""Training a generator and using it: whole runs on a tiny corpus."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from signloom import media
from signloom.cli.main import main
from signloom.data.corpus import SplitManifest
from signloom.errors import DivergedError, InputError, LeakError
from signloom.metrics.pictures import psnr
from signloom.tasks.paint import task as paint_task
from signloom.tasks.paint.data import painting_clips
from signloom.tasks.paint.predict import load_generator
from signloom.tasks.paint.recipes import PaintLosses, paint, paint_512, paint_frames, pix2pix
from signloom.tasks.paint.task import Paint
from signloom.training import trainer
from signloom.training.checkpoint import load_checkpoint
from signloom.training.run import train_run
from signloom.training.task import Given
from signloom.transforms.generator_input import GeneratorInput

torch.set_num_threads(1)


def tiny(recipe=None, steps=6, **schedule):
    recipe = recipe or paint()
    schedule = {"steps": steps, "batch_size": 2, "precision": "fp32", "warmup_steps": 2, **schedule}
    return replace(
        recipe,
        inputs=GeneratorInput(size_px=64),
        model={**recipe.model, "widths": (8, 16, 16, 16)},
        schedule=replace(paint().schedule, **schedule),
    )


def train(manifest, recipe, out, given=None, **settings):
    return train_run(SplitManifest(manifest), Paint(recipe, given or Given()), out, quiet=True, **settings)


def a_clip(manifest, generator):
    (clip,) = painting_clips(SplitManifest(manifest), "test", generator.inputs, generator.signers)
    return clip


@pytest.fixture(scope="module")
def trained(painting_corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    train(painting_corpus, tiny(steps=250, learning_rate=4e-3, ema=0.9), out, preview_every=100)
    return out


def painted(generator, clip):
    return np.stack(list(generator.paint(clip.pose_map(t) for t in range(len(clip)))))


def as_tensor(frames):
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def test_it_learns_to_paint_a_clip_it_has_not_seen(trained, painting_corpus):
    generator = load_generator(trained)
    clip = a_clip(painting_corpus, generator)
    real = clip.pictures(range(len(clip)))
    wall = np.full_like(real, 120)
    ours, empty = (float(psnr(as_tensor(x), as_tensor(real)).mean()) for x in (painted(generator, clip), wall))
    assert ours > empty + 3


def test_it_leaves_previews_and_says_they_are_generated(trained):
    import av

    assert media.read_frames(trained / "preview.png").shape[2] == 3 * 64
    with av.open(str(trained / "preview.mp4")) as video:
        assert video.metadata["signloom_generated"] == "true"
        assert "Generated" in video.metadata["comment"]


def test_previews_come_as_often_as_wanted(painting_corpus, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(paint_task, "write_preview", lambda now, *_: seen.append(now.metrics["steps"]))
    train(painting_corpus, tiny(steps=5), tmp_path / "run", preview_every=2)
    assert seen == [2, 4, 5]


@pytest.mark.parametrize(
    "words", [["pose", "--preview-every", "5"], ["pose", "--painter", "x"], ["paint", "--preview-every", "0"]]
)
def test_options_of_generators_that_make_no_sense_are_refused(words, tmp_path, capsys):
    assert main(["train", str(tmp_path), "--out", str(tmp_path / "run"), "--recipe", *words]) == 2
    assert words[1] in capsys.readouterr().err


def test_the_template_begins_as_the_background_where_nothing_else_shows(painting_corpus, tmp_path):
    """In this corpus only head, arms and hands show, which are none of the clothes."""
    recipe = tiny(replace(paint(), model={"template": True}), steps=1, learning_rate=1e-6)
    model = train(painting_corpus, recipe, tmp_path / "run").model
    assert (model.template - model.background).abs().mean() < 0.02


def test_a_checkpoint_is_whole_and_holds_no_pickle(trained):
    whole = {"model.safetensors", "config.json", "trained_on.json"}
    assert {p.name for p in (trained / "checkpoint").iterdir()} == whole
    checkpoint = load_checkpoint(trained)
    assert checkpoint.task == "paint"
    assert checkpoint.inputs.size_px == 64
    assert checkpoint.inputs.signers == ("one",)
    assert not (trained / "state.pt").exists()


def test_where_the_signer_stands_is_read_off_stick_figures(trained):
    """Shoulders are 22 of 64 pixels apart, at row 28: poses of others are brought there."""
    crop = load_generator(trained).inputs.crop
    assert crop["shoulders"] == pytest.approx(64 / 22, rel=0.1)
    assert crop["height"] == pytest.approx(28 / 64, abs=0.03)
    assert crop["across"] == pytest.approx(0.5, abs=0.03)


def test_a_finished_run_is_loaded_and_another_is_refused(trained, painting_corpus):
    again = train(painting_corpus, tiny(steps=250, learning_rate=4e-3, ema=0.9), trained)
    assert again.recipe["schedule"]["steps"] == 250
    with pytest.raises(InputError, match="another recipe"):
        train(painting_corpus, tiny(steps=7), trained)


def test_only_train_and_val_are_opened(painting_corpus, tmp_path):
    def moved(record):
        if record.split != "test":
            return record
        return replace(record, streams={s: f"not/there/{s}" for s in record.streams})

    blind = replace(painting_corpus, records=tuple(moved(r) for r in painting_corpus))
    train(blind, tiny(paint_frames(), steps=1), tmp_path / "run")


def test_a_split_that_leaks_is_refused(painting_corpus, tmp_path):
    same = replace(painting_corpus, records=tuple(replace(r, content="x") for r in painting_corpus))
    with pytest.raises(LeakError):
        train(same, tiny(steps=1), tmp_path / "run")


def test_a_clip_without_a_pose_is_refused(painting_corpus, tmp_path):
    def bare(record):
        return replace(record, streams={"signer": record.streams["signer"]})

    corpus = replace(painting_corpus, records=tuple(bare(r) for r in painting_corpus))
    corpus = replace(corpus, meta={**corpus.meta, "streams": {**corpus.meta["streams"], "pose": {}}})
    with pytest.raises(InputError, match="needs stream 'pose'"):
        train(corpus, tiny(steps=1), tmp_path / "run")


def test_a_run_that_diverges_says_so_and_keeps_its_last_good_state(painting_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "SAVE_EVERY_S", 0.0)
    good = paint_task.picture_loss

    def spoilt(*args):
        spoilt.calls += 1
        return good(*args) * (float("nan") if spoilt.calls > 3 else 1)

    spoilt.calls = 0
    monkeypatch.setattr(paint_task, "picture_loss", spoilt)
    with pytest.raises(DivergedError, match="Try a lower learning rate"):
        train(painting_corpus, tiny(steps=100), tmp_path / "run")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["place"]["step"] == 3
    assert set(state["modules"]) == {"model", "discriminators"}
    assert all(torch.isfinite(v).all() for weights in state["modules"].values() for v in weights.values())


def test_a_step_without_a_finite_gradient_changes_nothing(painting_corpus, tmp_path, monkeypatch):
    good = paint_task.picture_loss
    calls = []

    def once(*args):
        calls.append(0)
        return good(*args) * (float("inf") if len(calls) == 2 else 1)

    monkeypatch.setattr(paint_task, "picture_loss", once)
    train(painting_corpus, tiny(steps=5), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["skipped_steps"] == 1


@pytest.mark.slow
def test_a_high_learning_rate_with_clipping_stays_finite(painting_corpus, tmp_path):
    recipe = tiny(steps=400, learning_rate=0.05, discriminator_learning_rate=0.05)
    recipe = replace(recipe, losses=PaintLosses(discriminators_from=0.0))
    checkpoint = train(painting_corpus, recipe, tmp_path / "run")
    assert all(torch.isfinite(v).all() for v in checkpoint.model.state_dict().values())


def test_plates_learn_at_a_tenth_of_the_rate_and_only_kernels_decay(painting_corpus):
    task = Paint(tiny(replace(paint(), model={"template": True})))
    modules = task.build(task.data(SplitManifest(painting_corpus)))
    groups = task.parameter_groups(modules)
    names = {id(p): n for n, p in modules["model"].named_parameters()}
    rates = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in groups["model"] for p in g["params"]}
    assert rates.keys() == set(names.values())
    assert rates["background"] == rates["template"] == (pytest.approx(2e-4), 0)
    assert rates["stem.weight"] == (2e-3, 0.01)
    assert rates["flow.bias"] == rates["codes.0.weight"] == (2e-3, 0)
    assert {g["lr"] for g in groups["discriminators"]} == {4e-4}


def test_losses_are_told_apart_in_the_history(painting_corpus, tmp_path):
    recipe = replace(tiny(steps=4, history_steps=2), losses=PaintLosses(discriminators_from=0.5))
    train(painting_corpus, recipe, tmp_path / "run")
    first, second = json.loads((tmp_path / "run" / "history.json").read_text())
    assert "discriminators_loss" not in first
    assert second["discriminators_loss"] > 0
    assert first["loss"] > 0


# --- the command line ---------------------------------------------------------------------------------------------


def test_train_speaks_of_signers(painting_corpus, tmp_path, capsys):
    words = ["train", str(painting_corpus.root), "--recipe", "paint", "--steps", "2", "--batch-size", "2", "--json"]
    words += ["--set", "inputs.size_px=64", "model.widths=[8,8,8,8]", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["steps"] == 2
    assert summary["signers"] == ["one"]


def test_evaluate_measures_a_generator_beside_baselines(trained, painting_corpus, tmp_path, capsys):
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


def test_lpips_and_fid_are_for_painted_pictures(painting_corpus, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"architecture": "pose-transformer"}')
    for flag in ("--lpips", "--fid"):
        assert main(["evaluate", str(tmp_path), str(painting_corpus.root), flag, "weights.pth"]) == 2
        assert f"{flag} measures painted pictures" in capsys.readouterr().err


def test_export_writes_a_file_that_says_what_it_takes(trained, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    assert main(["export", str(trained), "--out", str(tmp_path / "me.onnx"), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["inputs"]["pose_map"] == [1, 18, 64, 64]
    assert about["inputs"]["last"] == about["outputs"]["picture"] == [1, 3, 64, 64]
    assert main(["export", str(trained), "--out", str(tmp_path / "me.pt")]) == 2


def test_generators_are_measured_one_at_a_time(trained, painting_corpus, capsys):
    assert main(["evaluate", str(trained), str(trained), str(painting_corpus.root)]) == 2
    assert "one at a time" in capsys.readouterr().err


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
        (["--precision", "fp16"], "expected auto, fp32 or bf16"),
        (["--teacher", "x"], "--teacher does not go with recipe"),
        (["--weights", "x"], "--weights does not go with recipe"),
        (["--compile"], "--compile does not go with recipe"),
        (["--painter", "x"], "begins with no other generator"),
        (["--set", "losses.nonsense=1"], "no setting 'losses.nonsense'"),
        (["--set", "inputs.size_px=64", "model.nonsense=1"], "cannot be built"),
    ],
)
def test_options_that_do_not_go_with_painting(painting_corpus, tmp_path, capsys, extra, words):
    assert main(["train", str(painting_corpus.root), "--recipe", "paint", "--out", str(tmp_path / "r"), *extra]) == 2
    assert words in capsys.readouterr().err


# --- twice the size -----------------------------------------------------------------------------------------------


def test_a_generator_at_twice_its_size(trained, painting_corpus, tmp_path, capsys):
    """paint-512's way, at 64 and 128 px: the inner one stays bit for bit as it was, and state goes on small."""
    words = ["train", str(painting_corpus.root), "--recipe", "paint-512", "--painter", str(trained), "--steps", "4"]
    words += ["--batch-size", "2", "--set", "inputs.size_px=128", "inputs.pose_map_px=64", "model.width=8"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    small, large = load_generator(trained), load_generator(tmp_path / "run")
    frames = painted(large, a_clip(painting_corpus, large))
    assert frames.shape[1:] == (128, 128, 3)
    assert main(["evaluate", str(tmp_path / "run"), str(painting_corpus.root), "--no-clips", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["bicubic enlargement"]["full"]["psnr"]["n"] == figures["painted"]["full"]["psnr"]["n"]
    inner = large.model.generator.state_dict()
    assert all(torch.equal(v, inner[k]) for k, v in small.model.state_dict().items())


def test_a_generator_of_another_split_is_not_enlarged(trained, painting_corpus, tmp_path):
    other = replace(
        painting_corpus,
        records=tuple(replace(r, split={"a": "test", "c": "train"}.get(r.id, r.split)) for r in painting_corpus),
    )
    recipe = replace(paint_512(), inputs=GeneratorInput(size_px=128, pose_map_px=64))
    with pytest.raises(LeakError, match="clips that this run is to be tested on"):
        train(other, recipe, tmp_path / "run", Given(generator=trained))
    with pytest.raises(InputError, match="give its run folder as --painter"):
        train(painting_corpus, recipe, tmp_path / "run")
    with pytest.raises(InputError, match="--from does not go with recipe 'paint-512'"):
        train(painting_corpus, recipe, tmp_path / "run", Given(generator=trained, start=trained))
    with pytest.raises(InputError, match="doubles 256 px"):
        train(painting_corpus, paint_512(), tmp_path / "run", Given(generator=trained))


# --- going on from a run of one's own -----------------------------------------------------------------------------


def test_a_run_goes_on_with_a_new_signer(trained, painting_corpus, tmp_path):
    """All that is shared comes along, what belongs to a known signer too; a new one begins with a background."""
    known = load_checkpoint(trained).model
    two = tuple(replace(r, signer="a new one" if r.id == "b" else r.signer) for r in painting_corpus)
    other = replace(painting_corpus, records=two)
    recipe = tiny(steps=1, learning_rate=1e-9)
    begun = train(other, recipe, tmp_path / "run", Given(start=trained))
    assert begun.inputs.signers == ("a new one", "one")
    theirs = known.state_dict()
    for name, value in begun.model.state_dict().items():
        personal = name == "background" or name.startswith("codes.")
        mine, its = (value[1], theirs[name][0]) if personal else (value, theirs[name])
        assert torch.allclose(mine, its, atol=1e-6), name
    assert (begun.model.background[0] - begun.model.background[1]).abs().mean() < 0.1  # the same grey wall
    assert not begun.model.codes[0].weight[0].abs().max() > 1e-6


def test_a_run_of_another_kind_or_split_is_not_gone_on_from(trained, painting_corpus, tmp_path):
    start = Given(start=trained)
    with pytest.raises(InputError, match=r"--from .*train with the --set of that run"):
        train(painting_corpus, replace(tiny(), model={"widths": (8, 8, 8, 8)}), tmp_path / "run", start)
    with pytest.raises(InputError, match=r"--from .*recipe 'pix2pix' is none"):
        train(painting_corpus, pix2pix(), tmp_path / "run", start)
    swapped = {"a": "test", "c": "train"}
    other = tuple(replace(r, split=swapped.get(r.id, r.split)) for r in painting_corpus)
    with pytest.raises(LeakError, match="clips that this run is to be tested on"):
        train(replace(painting_corpus, records=other), tiny(), tmp_path / "run", start)


def test_a_generator_is_not_measured_on_frames_it_was_trained_on(trained, painting_corpus, tmp_path, capsys):
    """With --split all two of three clips are training clips; before, they were measured as held out."""
    words = ["evaluate", str(trained), str(painting_corpus.root), "--no-clips", "--out", str(tmp_path), "--json"]
    assert main([*words, "--split", "all"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "the generator was trained on clips of this corpus" in said.err
    assert "2 of the 3 that would be measured as 'test'" in said.err
    assert main([*words, "--on", "train"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert (own["overlap"]["trained_on"], own["overlap"]["n_clips"]) == (2, 2)
    assert "held out" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert main(words) == 0
    own = json.loads(capsys.readouterr().out)
    assert (own["overlap"]["trained_on"], own["overlap"]["n_clips"]) == (0, 1)
    assert own["split"] == {"name": "test", "scheme": "given"}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "held out" in page
    assert "Of the 1 clip measured 0 were trained on" in page
    assert main(words[:-1]) == 0
    assert "Of the 1 clip measured 0 were trained on" in capsys.readouterr().out
