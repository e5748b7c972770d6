"""Poses for other programs say where the joints are, and nothing where they were not found."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

from signloom import media
from signloom.cli.main import main
from signloom.data.pose_tables import SHOULDERS_CM, write_bvh, write_pose_csv
from signloom.data.skeleton import INDEX, JOINTS, Joints
from signloom.errors import InputError


@pytest.fixture
def joints():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 200, (6, 82, 2)).astype(np.float32)
    xy[:, INDEX["left_shoulder"]], xy[:, INDEX["right_shoulder"]] = (140, 60), (60, 60)
    present = np.ones((6, 82), bool)
    present[2:4, INDEX["left_wrist"]] = False
    present[:, INDEX["face_chin"]] = False
    return Joints(xy, present, fps=25.0)


def places_of(text):
    """Joint → its places (T, 3) in a BVH file, as a reader of such files adds them up."""
    head, motion = text.split("MOTION")
    names, chain, parent = [], [], {}
    for word in head.split("\n"):
        word = word.split()
        if word[:1] in (["ROOT"], ["JOINT"]):
            names.append(word[1])
            parent[word[1]] = chain[-1] if chain else None
            chain.append(word[1])
        elif word == ["End", "Site"]:
            chain.append("end")
        elif word == ["}"]:
            chain.pop()
    assert not chain
    rows = np.array([line.split() for line in motion.strip().split("\n")[2:]], float).reshape(-1, len(names), 3)
    places = {}
    for k, name in enumerate(names):
        places[name] = rows[:, k] + (places[parent[name]] if parent[name] else 0)
    return places, parent


def test_a_table_has_each_joint_at_its_time(joints, tmp_path):
    rows = list(csv.DictReader(write_pose_csv(tmp_path / "a.csv", joints).read_text().splitlines()))
    assert len(rows) == 6
    assert len(rows[0]) == 1 + 3 * 82
    for k, row in enumerate(rows):
        assert float(row["time_s"]) == pytest.approx(k / 25, abs=1e-6)
        for name in ("right_wrist", "left_thumb_4", "nose"):
            assert float(row[f"{name}_x"]) == pytest.approx(joints.xy_TJC[k, INDEX[name], 0], abs=1e-3)
        assert row["face_chin_x"] == row["face_chin_confidence"] == ""
    assert [row["left_wrist_y"] == "" for row in rows] == [False, False, True, True, False, False]


def test_a_skeleton_puts_every_joint_where_it_was_found(joints, tmp_path):
    text = write_bvh(tmp_path / "a.bvh", joints).read_text()
    places, parent = places_of(text)
    assert set(places) == {"mid_shoulder", *JOINTS}
    assert parent["left_root"] == "left_wrist"
    assert "Frames: 6" in text
    assert "Frame Time: 0.04" in text
    scale = SHOULDERS_CM / 80
    held = np.zeros((6, 82), bool)
    held[2:4, [j for j, name in enumerate(JOINTS) if name.startswith("left_")]] = True  # hang on the lost wrist
    for j, name in enumerate(JOINTS):
        seen = joints.present_TJ[:, j] & ~held[:, j]
        wanted = joints.xy_TJC[seen, j] * (scale, -scale)
        assert places[name][seen, :2] == pytest.approx(wanted, abs=0.01), name
        assert np.isfinite(places[name]).all()
        assert (places[name][:, 2] == 0).all()


def test_a_lost_joint_stays_by_its_parent(joints, tmp_path):
    places, _ = places_of(write_bvh(tmp_path / "a.bvh", joints).read_text())
    arm = places["left_wrist"] - places["left_elbow"]
    assert arm[2] == pytest.approx(arm[1], abs=1e-3)
    assert arm[3] == pytest.approx(arm[1], abs=1e-3)


def test_without_shoulders_there_is_no_skeleton(joints, tmp_path):
    present = joints.present_TJ.copy()
    present[:, INDEX["left_shoulder"]] = False
    with pytest.raises(InputError, match="both shoulders are never seen"):
        write_bvh(tmp_path / "a.bvh", Joints(joints.xy_TJC, present, 25.0))
    assert list(tmp_path.iterdir()) == []


def test_the_verb_writes_files_and_names_what_it_cannot(tmp_path, people, capsys):
    media.write_pose(tmp_path / "good.pose", people.pose_of([people.person(8, 420)]))
    (tmp_path / "bad.pose").write_bytes(b"not a pose")
    out = tmp_path / "out"
    assert (
        main(
            ["poses", str(tmp_path / "good.pose"), str(tmp_path / "bad.pose"), "--out", str(out), "--as", "csv", "bvh"]
        )
        == 3
    )
    assert sorted(path.name for path in out.iterdir()) == ["good.bvh", "good.csv"]
    assert "bad" in capsys.readouterr().err
    (tmp_path / "b").mkdir()
    other = shutil.copy(tmp_path / "good.pose", tmp_path / "b" / "good.pose")  # would take the place of the first
    assert main(["poses", str(tmp_path / "good.pose"), str(other), "--out", str(out)]) == 3
    assert "has a pose of that name as well" in capsys.readouterr().err
    assert main(["poses", str(tmp_path), "--out", str(out)]) == 2
    assert "neither a corpus nor a .pose file" in capsys.readouterr().err
