from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signloom.errors import InputError
from signloom.synthetic.body import make_signer
from signloom.synthetic.corpus import Settings, Take
from signloom.synthetic.exact import exact_points
from signloom.synthetic.lexicon import LEXICON
from signloom.synthetic.render import Camera, Scene, make_scene, render

SIZE = (320, 240)
QUIET = Scene(noise=0.0)


def _take(sign=0, signer=0, left_handed=False):
    return Take(LEXICON[sign], make_signer(signer, left_handed=left_handed), 0, Settings(size_px=SIZE))


@pytest.mark.parametrize("roll_deg", [0.0, 7.0])
@pytest.mark.parametrize("distance_m", [1.4, 2.4])
def test_a_joint_stays_on_its_rendered_dot(roll_deg, distance_m):
    take = _take(3)
    scene = replace(QUIET, roll_deg=roll_deg, distance_m=distance_m, shift_m=(0.04, 0.1))
    motion = take.motion.at(len(take.motion) // 2)
    camera = Camera(scene, *SIZE)
    points, _ = exact_points(motion, take.signer, camera)
    joints = {12: motion.shoulders[:, 0], 14: motion.elbows[:, 0], 16: motion.hands[:, 0, 0], 15: motion.hands[:, 1, 0]}
    joints |= {33 + 128 + 21 + k: motion.hands[:, 0, k] for k in (4, 8, 20)}
    plain = next(render(motion, take.signer, scene, SIZE)).astype(float)
    for index, joint in joints.items():
        dotted = next(render(motion, take.signer, scene, SIZE, dots=((joint, 0.012, (255, 0, 255)),))).astype(float)
        weight = np.clip((dotted[..., 0] + dotted[..., 2]) / 2 - dotted[..., 1] - 25, 0, None)
        weight[np.abs(dotted - plain).sum(-1) < 8] = 0
        y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
        centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        assert np.abs(centre - points[0, index, :2]).max() < 0.5, index


def test_hand_joints_lie_on_the_drawn_hand():
    for sign, signer in ((0, 0), (6, 1), (15, 2), (21, 3)):
        take = _take(sign, signer)
        motion = take.motion.at(len(take.motion) // 2)
        points, confidence = exact_points(motion, take.signer, Camera(QUIET, *SIZE))
        wall, other = (
            next(render(motion, take.signer, replace(QUIET, wall=w), SIZE)).astype(int) for w in ((20,) * 3, (230,) * 3)
        )
        drawn = np.abs(wall - other).sum(-1) < 12  # what the wall behind does not change
        x, y = points[0, 182:203, :2][confidence[0, 182:203] > 0].astype(int).T
        assert drawn[y, x].all(), take.sign.name


def test_the_face_is_where_its_points_say_when_the_head_turns():
    from signloom.synthetic.body import FACE_INDEX, OUTLINES, rotation

    signer = replace(
        make_signer(0), skin=(230, 200, 180), hair=(20, 15, 15), lips=(200, 40, 60), beard=0.0, glasses=False
    )
    take = Take(LEXICON[0], signer, 0, Settings(size_px=SIZE))
    scene = replace(QUIET, height_m=0.36, shift_m=(0.03, -0.22))
    for turn in ((0, 0, 0), (0, 0.25, 0), (0.15, -0.2, 0.1)):
        one = take.motion.at(0)
        one = replace(one, head_turn=rotation(np.array([turn], float)), expression=np.zeros((1, 5)))
        points, _ = exact_points(one, signer, Camera(scene, *SIZE))
        frame = next(render(one, signer, scene, SIZE)).astype(float)
        face = points[0, 33 : 33 + 128, :2]

        def colour(points_px, frame=frame):
            x, y = np.asarray(points_px).astype(int).T
            return frame[y, x].mean(0)

        def middle(name, share=0.5, face=face):
            corners = face[[FACE_INDEX[n] for n in OUTLINES[name]]]
            return corners.mean(0) + (corners - corners.mean(0)) * share

        for side in ("left", "right"):
            brow, eye = middle(f"{side}_brow"), middle(f"{side}_eye").mean(0)
            forehead = brow + (brow.mean(0) - eye) * 0.8
            assert colour(brow).mean() < 0.65 * colour(forehead).mean(), (turn, side)
        lips, chin = colour(middle("lips", 0.75)), colour(middle("lips", 0.3) + np.array([0, 22]))
        assert lips[0] - lips[1] > 1.8 * (chin[0] - chin[1]), turn


def test_frames_are_rgb_bytes_of_the_asked_size_and_repeatable():
    take = _take()
    motion = take.motion.at(10)
    scene = make_scene(np.random.default_rng(5))
    one, two = (next(render(motion, take.signer, scene, SIZE, np.random.default_rng(1))) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.shape == (240, 320, 3)
    assert np.array_equal(one, two)
    assert one.std() > 20


def test_signers_look_different():
    frames = []
    for signer in range(4):
        take = _take(0, signer)
        frames.append(next(render(take.motion.at(0), take.signer, QUIET, SIZE)).astype(float))
    for a in range(4):
        for b in range(a):
            assert np.abs(frames[a] - frames[b]).mean() > 4


@pytest.mark.parametrize("size", [(321, 240), (320, 32)])
def test_an_impossible_size_is_refused_by_name(size):
    take = _take()
    with pytest.raises(InputError, match="x".join(map(str, size))):
        next(render(take.motion, take.signer, QUIET, size))


def test_a_signer_out_of_the_picture_is_no_error():
    take = _take()
    far = replace(QUIET, shift_m=(5.0, 0.0))
    frame = next(render(take.motion.at(0), take.signer, far, SIZE))
    _, confidence = exact_points(take.motion.at(0), take.signer, Camera(far, *SIZE))
    assert frame.shape == (240, 320, 3)
    assert not confidence.any()
