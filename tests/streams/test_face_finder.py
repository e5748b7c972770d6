"""Where heads are: in every frame of a clip, whatever was found of a face in it; and whose they are."""

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, PARTS, Joints, joints_of
from signloom.streams.face_finder import faces_of
from signloom.synthetic import LEXICON, Settings, make_signer
from signloom.synthetic.corpus import Take
from signloom.transforms.face_cover import hand_pixels, inside, painted


@pytest.fixture(scope="module")
def joints():
    return joints_of(Take(LEXICON[1], make_signer(0), 0, Settings()).pose())


def without(joints, rows, names=()):
    present = joints.present_TJ.copy()
    present[rows, PARTS["face"]] = False
    for name in names:
        present[rows, INDEX[name]] = False
    return Joints(joints.xy_TJC, present, joints.fps, size_px=joints.size_px)


def covers(region, joints, t):
    face = joints.xy_TJC[t, PARTS["face"]]
    mask = inside([region], joints.size_px)
    x, y = np.round(face).astype(int).T
    return (mask[y, x] > 0).mean()


@pytest.mark.parametrize(
    ("lost", "names", "kind"),
    [(slice(4, 8), (), "near"), (slice(0, 9), (), "body"), (slice(0, 9), ("nose", "left_shoulder"), "far")],
)
def test_a_head_whose_face_was_not_found_is_covered_where_it_must_be(joints, lost, names, kind):
    faces = faces_of(without(joints, lost, names), [[]] * len(joints))
    assert faces is not None
    assert {r.found for r in faces.heads[lost]} == {kind}
    for t in range(len(joints)):
        assert covers(faces.heads[t], joints, t) == 1


def test_a_detector_that_sees_the_signer_adds_nobody_and_a_bystander_is_covered_around(joints):
    face = joints.xy_TJC[:, PARTS["face"]]
    (x0, y0), (x1, y1) = face.min((0, 1)), face.max((0, 1))
    wide = x1 - x0
    own = (x0 - 0.1 * wide, y0, x1 + 0.1 * wide, y1)
    boxes = [[own] for _ in range(len(joints))]
    boxes[10].append((5.0, 5.0, 25.0, 25.0))
    faces = faces_of(joints, boxes)
    seen = [bool(o) for o in faces.others]
    reach = round(0.2 * joints.fps)
    assert seen == [abs(t - 10) <= reach for t in range(len(joints))]
    assert faces.count() == {"face": len(joints), "others": 2 * reach + 1}


def test_a_small_face_between_the_outline_and_the_edge_of_the_head_is_told(joints):
    face = joints.xy_TJC[:, PARTS["face"]]
    boxes = [[(*own.min(0), *own.max(0))] for own in face]
    head = faces_of(joints, [[]] * len(joints)).heads[10].polygon_N2
    x, y = head[:, 0].min() + 4, (head[:, 1].min() + head[:, 1].max()) / 2
    boxes[10].append((x - 1, y - 1, x + 1, y + 1))
    faces = faces_of(joints, boxes)
    assert not any(faces.others)
    reach = round(0.2 * joints.fps)
    assert [bool(b) for b in faces.beside] == [abs(t - 10) <= reach for t in range(len(joints))]


def test_without_a_pose_a_detector_tells_and_without_either_nothing_does(joints):
    nobody = Joints(joints.xy_TJC, np.zeros_like(joints.present_TJ), joints.fps, size_px=joints.size_px)
    assert faces_of(nobody, [[]] * len(joints)) is None
    boxes = [[(40.0, 40.0, 60.0, 60.0)] if t == 3 else [] for t in range(len(joints))]
    faces = faces_of(nobody, boxes)
    assert faces.heads[3].found == "other"
    assert faces.heads[-1].found == "far"
    assert inside([faces.heads[-1]], joints.size_px)[50, 50]


def test_a_hand_is_where_its_joints_are(joints):
    hand = joints.xy_TJC[len(joints) // 2, PARTS["right_hand"]].astype(float)
    mask = hand_pixels([hand], joints.size_px)
    x, y = np.round(hand).astype(int).T
    assert mask[y, x].all()
    assert mask.mean() < 40


@pytest.mark.parametrize("method", ["mask", "blur", "pixelate"])
def test_only_what_lies_in_a_region_changes(joints, method):
    faces = faces_of(joints, [[]] * len(joints))
    frame = np.random.default_rng(0).integers(0, 255, (joints.size_px[1], joints.size_px[0], 3), np.uint8)
    out = painted(frame, faces.heads[:1], method, 0.2)
    where = inside(faces.heads[:1], joints.size_px) > 0
    np.testing.assert_array_equal(out[~where], frame[~where])
    assert (out[where] != frame[where]).any(-1).mean() > 0.9
