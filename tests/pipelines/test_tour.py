"""The picture that the demo ends with."""

from __future__ import annotations

import json

import numpy as np

from signloom import media
from signloom.data.manifest import Manifest, Record, write_manifest
from signloom.pipelines.tour import answer_picture, clips_by_sign

N_FRAMES = 20


def run_of(folder, people, answers):
    records, clips = [], []
    for k, (label, predicted) in enumerate(answers):
        frames = [np.full((96, 128, 3), 10 * k + t, np.uint8) for t in range(N_FRAMES)]
        media.write_video(folder / "corpus" / f"{k}.mp4", frames, 25)
        media.write_pose(
            folder / "corpus" / f"{k}.pose", people.pose_of([people.person(N_FRAMES, 64, 30, 25)], (128, 96))
        )
        records.append(Record(f"c{k}", label, "ann", streams={"video": f"{k}.mp4", "pose": f"{k}.pose"}))
        clips.append({"id": f"c{k}", "label": label, "predicted": predicted, "confidence": 0.9})
    write_manifest(Manifest(tuple(records), folder / "corpus", {}), folder / "corpus")
    (folder / "evaluation-test.json").write_text(json.dumps({"clips": clips}))
    return folder


def test_a_column_for_each_sign_with_three_frames_and_the_answer(tmp_path, people):
    (tmp_path / "corpus").mkdir()
    run = run_of(tmp_path, people, [("house", "house"), ("house", "tree"), ("tree", "house"), ("dog", "dog")])
    clips = clips_by_sign(run, 2)
    assert [c["id"] for c in clips] == ["c0", "c2"]  # one of each sign
    picture = answer_picture(run, clips)
    assert picture.shape == (3 * 240 + 34, 2 * 320, 3)
    right, wrong = picture[-34:, :320].reshape(-1, 3), picture[-34:, 320:].reshape(-1, 3)
    assert (right[:, 1].astype(int) - right[:, 0]).max() > 80  # green
    assert (wrong[:, 0].astype(int) - wrong[:, 1]).max() > 80  # red
    assert picture[:240, :320].std() > 5  # something is drawn on the even frame
