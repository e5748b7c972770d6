"""The doctor names every bad file with its reason, and ends whatever the files are like."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from signloom.cli.main import main


@pytest.fixture
def clip(media_maker, tmp_path):
    """Writes a small good clip; a seed makes its content its own."""

    def make(path: str, seed: int = 0, **options):
        file = tmp_path / "corpus" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        frames = options.pop("frames", None)
        frames = media_maker.moving_square(8, seed=seed) if frames is None else frames
        media_maker.encode_clip(file, frames, **options)
        return file

    return make


def doctor(capsys, root, *options):
    code = main(["doctor", str(root), "--workers", "1", "--json", *map(str, options)])
    return code, json.loads(capsys.readouterr().out)


def kinds(result, name):
    return {p["kind"] for p in result["problems"] if p["file"] and p["file"].endswith(name)}


def test_a_clean_corpus_exits_with_zero_and_is_described(clip, tmp_path, capsys):
    for k, (signer, label) in enumerate((s, label) for s in ("s1", "s2", "s3") for label in ("hi", "bye")):
        clip(f"{signer}/{label}/1.mp4", seed=k)
    code, result = doctor(capsys, tmp_path / "corpus", "--full", "--pattern", "{signer}/{label}/{take}.mp4")
    assert (code, result["ok"], result["problems"]) == (0, True, [])
    assert (result["clips"], result["labels"], result["signers"]) == (6, 2, 3)
    assert result["media"]["frames"] == {"least": 8, "median": 8, "most": 8}
    assert result["media"]["fps"] == {"25.00": 6}
    assert main(["doctor", str(tmp_path / "corpus"), "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert "nothing wrong" in text
    assert "--pattern '{signer}/{label}/{take}.mp4'" in text  # labels could not be told, which is said


def test_every_broken_file_is_named_with_its_reason(broken_inputs, capsys):
    root = broken_inputs[0].path.parent
    code, result = doctor(capsys, root, "--full", "--timeout-s", 20)
    assert code == 3
    listed = {b.path.name for b in broken_inputs if b.path.suffix.lower() in (".mp4", ".avi", ".mkv", ".webm", ".pose")}
    for broken in broken_inputs:
        if broken.path.name in listed and not broken.ok:
            assert kinds(result, f"/{broken.path.name}") & set(broken.reasons), broken
        elif broken.path.name in listed:
            # Odd but readable: never called broken, though duplicates, liars, single frames, poses of points that
            # signloom does not know and such that do not fit the video of their name are named as such.
            odd = {"duplicate", "lying", "extension", "one-frame", "skeleton", "length"}
            assert kinds(result, f"/{broken.path.name}") <= odd, broken


def test_duplicates_say_under_which_labels_and_signers(clip, tmp_path, capsys):
    first = clip("s1/hi/1.mp4")
    clip("s1/hi/2.mp4", seed=1)
    other = tmp_path / "corpus" / "s2" / "bye"
    other.mkdir(parents=True)
    shutil.copy(first, other / "9.mp4")
    code, result = doctor(capsys, tmp_path / "corpus", "--pattern", "{signer}/{label}/{take}.mp4")
    assert code == 3
    (problem,) = result["problems"]
    assert problem["kind"] == "duplicate"
    assert problem["clips"] == ["s1_hi_1", "s2_bye_9"]
    assert "under 2 labels (bye, hi), under 2 signers (s1, s2)" in problem["message"]


def test_liars_stills_and_wrong_suffixes(clip, tmp_path, capsys):
    clip("hi/black.mp4", frames=np.zeros((8, 48, 64, 3), np.uint8))
    clip("hi/frozen.mp4", frames=np.full((8, 48, 64, 3), 128, np.uint8))
    good = clip("hi/good.mp4", seed=2)
    shutil.copy(good, good.with_name("named.webm"))
    code, result = doctor(capsys, tmp_path / "corpus", "--full")
    assert code == 3
    assert kinds(result, "black.mp4") == {"still"}
    assert kinds(result, "frozen.mp4") == {"still"}
    assert kinds(result, "named.webm") >= {"extension"}
    assert kinds(result, "good.mp4") <= {"duplicate"}
    assert result["problem_counts"]["still"] == 2


def test_frame_ranges_that_do_not_fit_the_video(clip, tmp_path, capsys):
    clip("a.mp4", fps=30)
    (tmp_path / "corpus" / "list.csv").write_text(
        "video,label,first_frame,end_frame,fps\na.mp4,hi,0,4,30\na.mp4,bye,4,20,30\na.mp4,no,0,3,25\n"
    )
    code, result = doctor(capsys, tmp_path / "corpus" / "list.csv", "--option", "rate=file")
    assert code == 3
    assert [p["kind"] for p in result["problems"]] == ["range", "range"]
    assert any("frames 4 to 20" in p["message"] and "has 8" in p["message"] for p in result["problems"])
    assert any("counted at 25 frames/s" in p["message"] and "has 30.00" in p["message"] for p in result["problems"])
    assert result["files"] == 1
    code, result = doctor(capsys, tmp_path / "corpus" / "list.csv")  # frames at 25 are a time, in a file of any rate
    assert [p["kind"] for p in result["problems"]] == ["range", "duplicate"]
    assert "0.133333 s to 0.666667 s" in result["problems"][0]["message"]
    assert "'no' in clip" in result["problems"][1]["message"]


def test_missing_files_missing_labels_and_shares_of_published_lists(clip, tmp_path, capsys):
    clip("a.mp4")
    clip("b.mp4", seed=1)
    root = tmp_path / "corpus"
    (root / "list.csv").write_text("video,label\na.mp4,hi\nb.mp4,\ngone.mp4,hi\n")
    code, result = doctor(capsys, root / "list.csv")
    assert code == 3
    assert {p["kind"]: p["file"] for p in result["problems"]} == {"missing": "gone.mp4", "unlabelled": "b.mp4"}
    assert result["published"]["all"] == {"listed": 3, "present": 2, "share": 0.6667}
    subset = {"a": {"subset": "train", "action": [0, 1, 9]}, "zz": {"subset": "test", "action": [0, 1, 9]}}
    (tmp_path / "nslt_100.json").write_text(json.dumps(subset))
    _, result = doctor(capsys, root, "--published", tmp_path / "nslt_100.json")
    assert result["published"]["train"] == {"listed": 1, "present": 1, "share": 1.0}
    assert result["published"]["test"] == {"listed": 1, "present": 0, "share": 0.0}


def test_labels_and_signers_worth_knowing(clip, tmp_path, capsys):
    for k in range(6):
        clip(f"s{k % 2}/hi/{k}.mp4", seed=k)
    clip("s0/Hi/9.mp4", seed=9, fps=30)
    code, result = doctor(capsys, tmp_path / "corpus", "--pattern", "{signer}/{label}/{take}.mp4")
    assert code == 3  # one sign under two names would be learnt as two; the rest is worth knowing, and not wrong
    (problem,) = result["problems"]
    assert problem["kind"] == "spelling"
    assert "'hi' (6 clips) is also spelt 'Hi' (1)" in problem["message"]
    notes = "\n".join(result["notes"])
    assert "'hi' has 6 clips, 'Hi' 1" in notes
    assert "1 labels have a single clip" in notes
    assert "1 labels are made by one signer only" in notes
    assert "different frame rates, 25.00 (6 clips), 30.00 (1 clip)" in notes
    assert notes.count("25.00") == 1
    assert "2 signers: too few" in notes


def test_a_file_that_hangs_or_kills_its_reader_does_not_stop_the_run(monkeypatch, tmp_path, clip, capsys):
    from signloom.runtime.workers import Outcome

    clip("hi/1.mp4")
    clip("hi/2.mp4", seed=1)

    def map_clips(function, tasks, **options):
        assert options["timeout_s"] > 0
        return [
            Outcome(tasks[0].id, reason="timeout", message="stopped"),
            Outcome(tasks[1].id, reason="crashed", message="took its worker down"),
        ]

    monkeypatch.setattr("signloom.pipelines.doctor.map_clips", map_clips)
    code, result = doctor(capsys, tmp_path / "corpus")
    assert code == 3
    assert result["problem_counts"] == {"timeout": 1, "crashed": 1}


def test_names_with_brackets_are_printed_as_they_are(clip, tmp_path, capsys):
    file = clip("hi/[red]clip[/red] ü.mp4")
    file.write_bytes(b"")
    assert main(["doctor", str(tmp_path / "corpus"), "--workers", "1"]) == 3
    assert "[red]clip[/red] ü.mp4" in capsys.readouterr().out


def test_wrong_calls(tmp_path, capsys):
    assert main(["doctor", str(tmp_path / "nope")]) == 2
    assert main(["doctor", str(tmp_path), "--source", "wlasl"]) == 2
    assert "WLASL" in capsys.readouterr().err


@pytest.mark.real
def test_real_footage_is_found_clean(real_data, capsys):
    code, result = doctor(capsys, real_data / "mlr511_arsl_raw", "--full")
    assert code == 0, result["problems"]
    assert result["clips"] == 10
