"""A painted face in a frame: within the outline alone, behind hands, and never where it cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from signloom.streams.face_swap import SwappedClip, beside_covered
from signloom.streams.standard_body import standard_body
from signloom.synthetic.faces import SIZE_PX, told_faces
from signloom.transforms.face_cover import hand_pixels, round_region
from signloom.transforms.face_cover import inside as within

JOINTS = list(standard_body().face_joints)
SIZE = (SIZE_PX, SIZE_PX)


class Stripes:
    """Paints stripes, whoever comes; ``seen`` of the face is seen."""

    size_px = 64

    def __init__(self, seen=1.0):
        self.seen = seen

    def paint(self, faces):
        out = np.full_like(faces, 60)
        out[:, ::4] = 220
        return out, np.full(faces.shape[:3], self.seen, np.float32)


@pytest.fixture(scope="module")
def filmed():
    rng = np.random.default_rng(0)
    frames, points = zip(*told_faces(rng.beta(0.5, 1, (4, 5)), np.zeros((4, 2)), rng))
    return frames, [np.concatenate([p[JOINTS], p]) for p in points]


def test_the_face_changes_and_nothing_outside_of_its_outline(filmed):
    frames, points = filmed
    clip = SwappedClip.of(points, [()] * 4, Stripes(), SIZE, 25.0)
    for t, frame in enumerate(frames):
        new = clip(t, frame)
        inside = clip.layout.inside(t, SIZE) > 0
        assert np.array_equal(new[~inside], frame[~inside])
        assert (np.abs(new.astype(int) - frame)[inside].max(-1) > 15).mean() > 0.4


def test_the_light_of_the_filmed_face_stays(filmed):
    frames, points = filmed
    clip = SwappedClip.of(points, [()] * 4, Stripes(), SIZE, 25.0)
    inside = clip.layout.inside(0, SIZE) > 0
    new = clip(0, frames[0])
    assert np.abs(new[inside].astype(float).mean(0) - frames[0][inside].astype(float).mean(0)).max() < 6


def test_a_hand_before_the_face_stays_as_filmed(filmed):
    frames, points = filmed
    hand = np.random.default_rng(4).uniform(-12, 12, (21, 2)) + points[0].mean(0)
    clip = SwappedClip.of(points, [(hand,), (), (), ()], Stripes(), SIZE, 25.0)
    assert clip.usable[0]
    front = hand_pixels([hand], SIZE) > 0
    new = clip(0, frames[0])
    assert np.array_equal(new[front], frames[0][front])
    assert not np.array_equal(new, frames[0])


def test_a_network_that_sees_hardly_any_face_is_not_believed(filmed):
    frames, points = filmed
    assert SwappedClip.of(points, [()] * 4, Stripes(seen=0.1), SIZE, 25.0)(0, frames[0]) is None


def test_a_frame_without_a_face_is_not_swapped(filmed):
    frames, points = filmed
    clip = SwappedClip.of([points[0], None, *points[2:]], [()] * 4, Stripes(), SIZE, 25.0)
    assert clip(1, frames[1]) is None
    assert clip(2, frames[2]) is not None


def test_places_are_evened_over_time(filmed):
    _, points = filmed
    rng = np.random.default_rng(5)
    shaken = [points[0] + rng.normal(0, 2, 2) for _ in range(30)]
    rough = SwappedClip.of(shaken, [()] * 30, Stripes(), SIZE, 1.0).layout.shift_T2
    even = SwappedClip.of(shaken, [()] * 30, Stripes(), SIZE, 60.0).layout.shift_T2
    assert np.diff(even, axis=0).std() < 0.5 * np.diff(rough, axis=0).std()


def test_a_face_far_right_in_a_large_picture_is_swapped_as_well(filmed):
    frames, points = filmed
    wide = np.zeros((SIZE_PX, 3840, 3), np.uint8)
    wide[:, -SIZE_PX:] = frames[0]
    moved = points[0] + [3840 - SIZE_PX, 0]
    new = SwappedClip.of([moved], [()], Stripes(), (3840, SIZE_PX), 25.0)(0, wide)
    assert (new != wide).any(-1).mean() > 0.005


def test_what_is_seen_beside_a_face_is_masked_and_the_face_stays(filmed):
    frames, points = filmed
    clip = SwappedClip.of(points, [()] * 4, Stripes(), SIZE, 25.0)
    new, inside = clip(0, frames[0]), clip.layout.inside(0, SIZE) > 0
    x, y = np.argwhere(inside).min(0)[::-1]
    seen = round_region(np.array([x, y], float), 40, 40, "other")
    covered = beside_covered(new, clip.layout, 0, [seen])
    around = within([seen], SIZE) > 0
    assert np.array_equal(covered[inside], new[inside])
    assert (covered[around & ~inside] == 128).all()
    assert (around & ~inside).any()
