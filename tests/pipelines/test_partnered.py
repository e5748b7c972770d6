"""Files that go together by name, videos with poses and pictures with their neighbours, and do not in truth."""

from __future__ import annotations

import numpy as np
import pytest

from signloom import media
from signloom.pipelines.doctor import diagnose
from signloom.pipelines.partnered import apart
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.sources import read_source
from signloom.synthetic.corpus import Settings, make_takes


@pytest.fixture(scope="module")
def pose():
    take, *_ = make_takes(2, 2, 1, 1, Settings(size_px=(96, 64), fps=25))
    return take.pose()


def write_pair(folder, pose, n_video, n_pose, fps=25, names=("a.mp4", "a.pose")):
    folder.mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 255, (n_video, 32, 48, 3), np.uint8)
    media.write_video(folder / names[0], frames, fps)
    part = pose.body
    pose.body = part.select_frames(list(range(n_pose)))
    media.write_pose(folder / names[1], pose)
    pose.body = part


def prepared_notes(root, out):
    prepared, _ = prepare_corpus(read_source(root), out, Preparation(("frames",)), workers=0, quiet=True)
    return " | ".join(prepared.meta.get("notes", ()))


def lengths(root):
    return [p for p in diagnose(root, workers=0, quiet=True).problems if p.kind == "length"]


def test_a_pose_of_another_length_than_its_video_is_said(pose, tmp_path):
    write_pair(tmp_path / "in" / "HELLO", pose, 12, 9)
    write_pair(tmp_path / "in" / "BYE", pose, 13, 12)  # containers miscount by one
    (problem,) = lengths(tmp_path / "in")
    assert "the video has 12 frames at 25.00 frames/s, the pose 9 at 25.00 frames/s" in problem.message
    assert problem.file.endswith("HELLO/a.pose")
    notes = prepared_notes(tmp_path / "in", tmp_path / "out")
    assert "1 clips whose pose file does not fit their video, first 'HELLO_a': the video has 12 frames" in notes
    assert not lengths(tmp_path / "out")  # what prepare made of one another is not compared again


def test_a_pose_of_another_rate_than_its_video_is_said(pose, tmp_path):
    write_pair(tmp_path / "in" / "HELLO", pose, 12, 12, fps=50)
    (problem,) = lengths(tmp_path / "in")
    assert "12 frames at 50.00 frames/s, the pose 12 at 25.00 frames/s" in problem.message


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        ((100, 25, 102, 25), False),
        ((100, 25, 103, 25), True),
        ((12, 25, 14, 25), True),  # more than a tenth of it
        ((100, 29.97, 100, 29), False),  # old pose files keep whole rates
        ((100, 25, 100, None), False),
        ((100, 30, 100, 25), True),
    ],
)
def test_what_counts_as_apart(clip, said):
    assert (apart(*clip) is not None) == said


@pytest.mark.parametrize(("video", "other"), [("Hello.mp4", "hello.pose"), ("u\u0308ber.mp4", "über.pose")])
def test_names_that_differ_in_case_or_unicode_form_alone_are_said(pose, tmp_path, video, other):
    write_pair(tmp_path / "in" / "HELLO", pose, 12, 12, names=(video, other))
    said = "1 videos have a pose file whose name differs in upper and lower case or in Unicode form only"
    (note,) = [n for n in diagnose(tmp_path / "in", workers=0, quiet=True).notes if said in n]
    assert video in note


def test_a_folder_of_pictures_with_a_gap_or_a_copy_is_said(tmp_path):
    rows = ["file,label"]
    for clip in ("sound", "gap", "copy"):
        (tmp_path / "in" / clip).mkdir(parents=True)
        rows.append(f"{clip},{clip.upper()}")
        for k in range(1, 9):
            picture = np.random.default_rng(k).integers(0, 255, (32, 48, 3), np.uint8)
            media.import_cv2().imwrite(str(tmp_path / "in" / clip / f"{k}.png"), picture)
    (tmp_path / "in" / "gap" / "4.png").unlink()
    (tmp_path / "in" / "copy" / "4 (1).png").write_bytes((tmp_path / "in" / "copy" / "4.png").read_bytes())
    (tmp_path / "in" / "clips.csv").write_text("\n".join(rows) + "\n")
    found = [
        p for p in diagnose(tmp_path / "in" / "clips.csv", workers=0, quiet=True).problems if p.kind == "numbering"
    ]
    assert [p.file.rpartition("/")[2] for p in found] == ["copy", "gap"]
    assert "'4 (1).png' beside" in found[0].message
    assert "1 are left out, first after 3" in found[1].message
    notes = prepared_notes(tmp_path / "in" / "clips.csv", tmp_path / "out")
    assert "clip 'copy': in " in notes
    assert "clip 'gap': in " in notes
    assert "clip 'sound'" not in notes
