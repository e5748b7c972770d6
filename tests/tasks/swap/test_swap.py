"""Face swaps, from a corpus to a copy that can be shared: trained, resumed, measured, exported, put into clips."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from signloom import media
from signloom.cli.main import main
from signloom.data.corpus import SplitManifest, clips_of
from signloom.data.holistic_points import CONTOUR_POINTS as FACE_POINTS
from signloom.data.manifest import read_manifest, write_manifest
from signloom.errors import InputError
from signloom.tasks import load_predictor, recipe_named, task_of
from signloom.tasks.swap.data import drawn_hand, painted_hand, read_corpus
from signloom.transforms.face_input import BLEND, NOBODY, FaceInput

SET = ("inputs.size_px=32", "model.widths=[8,8,8,8]", "model.code=8", "nobody_frames=8", "most_frames=8")


@pytest.fixture(scope="module")
def faces(load_module, tmp_path_factory):
    """Two signers of two clips each. Do not change them."""
    return load_module("faces.py").face_corpus(tmp_path_factory.mktemp("faces"))


def train(corpus, out, *more, steps=4):
    words = ["train", corpus, "--recipe", "swap", "--out", out, "--steps", steps, "--set", *SET, *more]
    return main([str(w) for w in words])


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "swap"
    assert train(faces.root, out, "--consent", "ada=form 7") == 0
    return out


def small(**more):
    recipe = recipe_named("swap")
    return replace(recipe, inputs=FaceInput(size_px=32), nobody_frames=8, most_frames=8, **more)


def split(manifest, test=()):
    records = tuple(replace(r, split="test" if r.id in test else "train") for r in manifest)
    return SplitManifest(replace(manifest, records=records, meta={**manifest.meta, "split": {"scheme": "given"}}))


def test_a_batch_follows_from_seed_and_step_and_is_shared_between_processes(faces):
    data = read_corpus(split(faces), small())
    one, _ = data.batch(3, 5)
    again, _ = data.batch(3, 5)
    assert set(data.inputs.identities) == {"ada", "bob", NOBODY}
    for name in ("face", "identity"):
        assert (one.inputs[name] == again.inputs[name]).all()
    parts = [data.batch(3, 5, rank, 2)[0] for rank in range(2)]
    assert (parts[0].inputs["face"] == one.inputs["face"][0::2]).all()
    assert (parts[1].targets["picture"] == one.targets["picture"][1::2]).all()
    assert (data.batch(3, 6)[0].inputs["face"] != one.inputs["face"]).any()


def test_test_clips_are_not_learnt_from(faces):
    data = read_corpus(split(faces, test=("ada-1", "bob-1")), small())
    assert {i for own in data.faces.values() for i in own.ids} == {"ada-0", "bob-0", NOBODY}


def test_nobody_does_what_somebody_does(faces):
    data = read_corpus(split(faces), small())
    for name in ("ada", "bob"):
        rows = np.flatnonzero(data.pair_of[name] >= 0)
        assert len(rows)
        assert np.allclose(data.faces[NOBODY].told_NE[data.pair_of[name][rows]], data.faces[name].told_NE[rows])


def test_there_must_be_faces_and_two_identities(faces):
    none = replace(faces, records=tuple(replace(r, extra={"face_found": "n" * 6}) for r in faces))
    with pytest.raises(InputError, match="no frame with a face"):
        read_corpus(split(none), small())
    ada = replace(faces, records=tuple(r for r in faces if r.signer == "ada"))
    with pytest.raises(InputError, match="two identities"):
        read_corpus(split(ada), replace(small(), nobody_frames=0))
    with pytest.raises(InputError, match="no such signer"):
        read_corpus(split(faces), small(consent=(("eve", "x"),)))


def test_a_drawn_hand_covers_some_of_a_face_and_is_told():
    rng = np.random.default_rng(0)
    joints, near = drawn_hand(rng, 96)
    assert joints.shape == (21, 2)
    assert near.shape == (21,)
    hand = np.zeros((96, 96), np.uint8)
    hand[30:60, 30:60] = 255
    picture = painted_hand(np.full((96, 96, 3), 120, np.uint8), np.full((96, 96), 255, np.uint8), hand, joints, rng)
    assert picture.shape == (96, 96, 3)
    assert 0 <= picture.min() <= picture.max() <= 255


@pytest.mark.slow
def test_a_run_gives_the_same_whether_it_was_killed_or_not(faces, tmp_path):
    from signloom.training import trainer
    from signloom.training.run import train_run

    recipe = replace(small(model={"widths": (8, 8, 8, 8), "code": 8}))
    recipe = replace(recipe, schedule=replace(recipe.schedule, steps=6))
    corpus = split(faces)

    class Killed(Exception):
        pass

    whole = train_run(corpus, task_of(recipe), tmp_path / "whole", quiet=True)
    with pytest.MonkeyPatch.context() as patch:
        step, count = trainer.Trainer._step, []

        def counted(*args):
            count.append(1)
            if len(count) == 4:
                raise Killed
            return step(*args)

        patch.setattr(trainer.Trainer, "_step", counted)
        with pytest.raises(Killed):
            train_run(corpus, task_of(recipe), tmp_path / "killed", quiet=True)
    again = train_run(corpus, task_of(recipe), tmp_path / "killed", quiet=True)
    for name, value in whole.model.state_dict().items():
        assert (value == again.model.state_dict()[name]).all(), name


def test_the_checkpoint_says_whose_faces_and_whose_consent(run):
    config = json.loads((run / "checkpoint" / "config.json").read_text())
    assert config["task"] == "swap"
    assert config["inputs"]["identities"] == ["ada", "bob", NOBODY]
    assert config["inputs"]["consent"] == {"ada": "form 7"}
    assert media.read_picture(run / "preview.png").shape[1] == 32 * 5


def test_a_real_face_needs_consent(run):
    inputs = load_predictor(run).inputs
    assert inputs.shares("ada").tolist() == [1, 0, 0]
    assert inputs.shares(NOBODY).tolist() == [0, 0, 1]
    with pytest.raises(InputError, match=r"bob.*no consent.*--consent"):
        inputs.shares("bob")
    assert inputs.shares("bob", "on paper").tolist() == [0, 1, 0]
    with pytest.raises(InputError, match="mixed of 2 people"):
        inputs.shares(BLEND)
    with pytest.raises(InputError, match="paints ada, bob, nobody"):
        inputs.shares("eve")


def test_the_corpus_may_hold_the_consent(faces):
    meta = {**faces.meta, "consent": {"bob": {"synthesis": True}}}
    data = read_corpus(split(replace(faces, meta=meta)), small())
    assert set(data.inputs.consent) == {"bob"}


def test_who_forbids_it_is_not_learnt_from(faces, tmp_path, load_module):
    corpus = load_module("faces.py").face_corpus(tmp_path / "corpus", n_frames=3, clips=1)
    write_manifest(replace(corpus, meta={**corpus.meta, "consent": {"bob": {"synthesis": False}}}), corpus.root)
    assert train(corpus.root, tmp_path / "run", steps=1) == 0
    assert "bob" not in load_predictor(tmp_path / "run").inputs.identities


def test_faces_of_a_clip_become_the_targets(run, faces):
    swapper = load_predictor(run)
    answer = swapper(clips_of(faces)[0])
    assert answer.pictures.shape == (6, 32, 32, 3)
    assert answer.about == {"generated": True, "target": NOBODY}


def test_it_is_measured_on_its_people(run, faces, capsys):
    assert main(["evaluate", str(run), str(faces.root), "--on", "train", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["figures"]) <= {"ada", "bob"}
    for figures in found["figures"].values():
        assert 0 < figures["ssim"] <= 1


def shared(faces, run, out, *more):
    words = ["anonymise", faces.root, "--method", "swap", "--model", run, "--out", out, "--workers", "0", *more]
    return main([str(w) for w in words])


def test_a_copy_with_swapped_faces(run, faces, tmp_path, monkeypatch):
    monkeypatch.setattr("signloom.streams.anonymise.FaceBoxes", NoBoxes)
    monkeypatch.setattr("signloom.pipelines.anonymise.FaceBoxes", NoBoxes)
    assert shared(faces, run, tmp_path / "a", "--key", tmp_path / "key.json") == 0
    copy = read_manifest(tmp_path / "a")
    told = copy.meta["anonymised"]
    assert told["method"] == "swap"
    assert told["swap"]["target"] == NOBODY
    assert "ada" not in (tmp_path / "a" / "manifest.jsonl").read_text()
    assert all(r.extra["anonymised"]["swapped"] > 0 for r in copy)
    file = tmp_path / "a" / copy.records[0].streams["video"]
    assert "swapped" in media.probe(file).metadata["comment"] if hasattr(media.probe(file), "metadata") else True
    assert shared(faces, run, tmp_path / "b", "--key", tmp_path / "key.json") == 0
    for one in (tmp_path / "a" / "video").iterdir():
        assert one.read_bytes() == (tmp_path / "b" / "video" / one.name).read_bytes()


def test_another_target_makes_other_clips(run, faces, tmp_path, monkeypatch):
    monkeypatch.setattr("signloom.streams.anonymise.FaceBoxes", NoBoxes)
    monkeypatch.setattr("signloom.pipelines.anonymise.FaceBoxes", NoBoxes)
    made = []
    for target in ("ada", "bob"):
        more = ("--key", tmp_path / "key.json", "--target", target, "--consent", "form 7")
        assert shared(faces, run, tmp_path / "a", *more) == 0
        made.append({f.name: f.read_bytes() for f in (tmp_path / "a" / "video").iterdir()})
    assert not set(made[0]) & set(made[1])
    assert not set(made[0].values()) & set(made[1].values())


def test_consent_is_told_of_people_alone_and_not_in_its_words(run):
    from signloom.tasks.swap.predict import SwapModel

    assert SwapModel(str(run), "ada").about()["consent"] == "on record"
    assert SwapModel(str(run), NOBODY, "form 7").about()["target"] == NOBODY
    assert "consent" not in SwapModel(str(run), NOBODY, "form 7").about()


def test_copies_to_learn_from_keep_their_names_and_say_what_they_were_made_of(run, faces, tmp_path, monkeypatch):
    monkeypatch.setattr("signloom.streams.anonymise.FaceBoxes", NoBoxes)
    monkeypatch.setattr("signloom.pipelines.anonymise.FaceBoxes", NoBoxes)
    assert shared(faces, run, tmp_path / "df1", "--as-copies", "df1") == 0
    for copy, own in zip(read_manifest(tmp_path / "df1"), sorted(faces, key=lambda r: r.id)):
        assert (copy.id, copy.parent, copy.signer, copy.label) == (f"{own.id}~df1", own.id, own.signer, own.label)
        assert copy.augmented
    assert not (tmp_path / "df1" / ".secret.json").exists()
    assert shared(faces, run, tmp_path / "x", "--as-copies", "df1", "--key", tmp_path / "key") == 2
    assert shared(faces, run, tmp_path / "x", "--as-copies", "../df1") == 2


class NoBoxes:
    def find(self, frame):
        return []


def filmed(faces):
    """The frames of a clip, and its points (P, 3) in each."""
    record = faces.records[0]
    frames = [f for _, f in media.iter_frames(faces.root / record.streams["video"])]
    return frames, [*media.read_pose(faces.root / record.streams["pose"]).body.data.filled(0)[:, 0]]


def live(run, monkeypatch, known):
    """A session in which ``known`` are found one after the other: points, or None where there is nobody."""
    from signloom.streams import face_swap

    waiting = iter(known)

    class Finder:
        def find(self, frame, time_s):
            rows = np.zeros((545, 4), np.float32)
            points = next(waiting)
            if points is not None:
                kept = [*range(33), *(33 + n for n in FACE_POINTS), *range(501, 543)]
                rows[kept, :3], rows[kept, 3] = points, (points[:, :2] != 0).any(1)
            return rows

        def close(self):
            pass

    monkeypatch.setattr(face_swap.HolisticPose, "finder", lambda self: Finder())
    monkeypatch.setattr(face_swap, "FaceBoxes", NoBoxes)
    return load_predictor(run).session(10.0)


def test_a_model_that_is_shared_names_nobody(run, tmp_path):
    from signloom.pipelines.hub import push

    push(run, str(tmp_path / "shared"), licence="CC-BY-4.0")
    for file in (tmp_path / "shared").iterdir():
        assert not any(word in file.read_bytes() for word in (b"bob", b"form 7", b'"ada"')), file.name
    inputs = load_predictor(tmp_path / "shared").inputs
    assert inputs.identities == ("person 1", "person 2", NOBODY)
    assert inputs.consent == {"person 1": "on record"}


def test_live_a_face_far_from_the_body_is_not_taken_for_the_signers(run, faces, monkeypatch):
    frames, points = filmed(faces)
    stray = points[0].copy()
    stray[33 : 33 + len(FACE_POINTS), 0] += 3 * abs(stray[11, 0] - stray[12, 0])
    (made,) = live(run, monkeypatch, [stray]).push(0.0, {"video": frames[0]})
    x, y = points[0][0, :2].astype(int)
    assert made.about["head"] == "covered"
    assert (made.pictures[0][y, x] == 128).all()


def test_live_frames_are_swapped_and_covered_where_there_is_no_face(run, faces, monkeypatch):
    frames, points = filmed(faces)
    session = live(run, monkeypatch, [*points, None])
    made = [session.push(t / 10, {"video": frame})[0] for t, frame in enumerate([*frames, frames[-1]])]
    session.close()
    assert [m.about["head"] for m in made] == ["swapped"] * len(frames) + ["covered"]
    for m, frame in zip(made, frames):
        changed = (m.pictures[0] != frame).any(-1)
        assert 0.02 < changed.mean() < 0.5
    covered = made[-1].pictures[0]
    middle = np.argwhere((covered != frames[-1]).any(-1)).mean(0).astype(int)
    assert (covered[middle[0], middle[1]] == 128).all()
    with pytest.raises(InputError, match="samples of 'video'"):
        session.push(9.0, {"pose": None})


def test_bad_words_are_refused_before_anything_is_written(run, faces, tmp_path, capsys):
    out = tmp_path / "out"
    assert shared(faces, run, out, "--target", "bob") == 2
    assert "consent" in capsys.readouterr().err
    assert main(["anonymise", str(faces.root), "--method", "swap", "--out", str(out)]) == 2
    assert "--model" in capsys.readouterr().err
    assert main(["anonymise", str(faces.root), "--target", "ada", "--out", str(out)]) == 2
    assert "--target goes with --method swap" in capsys.readouterr().err
    assert main(["anonymise", str(faces.root), "--out", str(faces.root / "shared")]) == 2
    assert "inputs are never changed" in capsys.readouterr().err
    assert not out.exists()
    assert shared(faces, run, out, "--hands", "cover") == 2
    assert "leaves them in front" in capsys.readouterr().err
    assert main(["predict", str(run), str(faces.root)]) == 2
    assert "signloom anonymise" in capsys.readouterr().err
    assert train(faces.root, tmp_path / "x", "--consent", "ada") == 2
    assert "SIGNER=WHERE" in capsys.readouterr().err


def test_the_sheet_shows_what_was_kept_and_what_was_not(faces, tmp_path):
    from signloom.pipelines.faces import faces_found, write_faces_sheet

    records = [replace(r, extra={"face_found": "kkknhp"}) for r in faces]
    sheet, _ = write_faces_sheet(replace(faces, records=tuple(records)), tmp_path, quiet=True)
    assert media.read_picture(sheet).shape[0] >= 2 * 3 * 90
    assert faces_found(replace(faces, records=tuple(records)))["ada"] == {"k": 6, "n": 2, "h": 2, "p": 2}
    with pytest.raises(InputError, match="no stream 'faces'"):
        write_faces_sheet(replace(faces, meta={"streams": {}}), tmp_path)


def test_it_is_exported(run, tmp_path):
    pytest.importorskip("onnxscript")
    assert main(["export", str(run), "--out", str(tmp_path / "swap.onnx")]) == 0
