from __future__ import annotations

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, body_frame, joints_of, resample
from signloom.errors import InputError
from signloom.synthetic.body import make_signer
from signloom.synthetic.corpus import Settings, Take, make_takes
from signloom.synthetic.lexicon import LEXICON

SMALL = Settings(size_px=(128, 96), fps=8.0)


def test_a_clip_has_every_stream_aligned():
    take = Take(LEXICON[0], make_signer(0), 0, SMALL)
    frames = list(take.frames())
    assert frames[0].shape == (96, 128, 3)
    assert len(frames) == len(take.pose().body.data)
    assert abs(len(frames) / SMALL.fps - len(take.imu()) / SMALL.imu_rate_hz) < 0.2


def test_a_clip_depends_on_its_own_seed_alone():
    def video(take: Take) -> np.ndarray:
        return np.stack(list(take.frames()))

    one = Take(LEXICON[1], make_signer(1), 2, SMALL)
    before = video(one)
    video(Take(LEXICON[0], make_signer(0), 0, SMALL))
    two = Take(LEXICON[1], make_signer(1), 2, SMALL)
    assert np.array_equal(before, video(two))
    assert np.array_equal(one.imu(), two.imu())
    for other in (
        Take(LEXICON[1], make_signer(1), 1, SMALL),
        Take(LEXICON[1], make_signer(1), 2, Settings(seed=1, size_px=(128, 96), fps=8.0)),
    ):
        assert not np.array_equal(video(other), before)


def test_a_bigger_cast_keeps_the_smaller_ones_clips():
    few, many = make_takes(2, 2, 1, 1, SMALL), make_takes(3, 5, 2, 1, SMALL)
    assert {t.id for t in few} < {t.id for t in many}
    same = {t.id: t for t in many}
    assert all(same[t.id] == t for t in few)


def test_the_room_belongs_to_the_signers_session_not_to_the_sign():
    a, b = (Take(sign, make_signer(0), 1, SMALL) for sign in LEXICON[:2])
    assert a.scene == b.scene
    assert a.session == b.session
    assert Take(LEXICON[0], make_signer(0), 0, SMALL).scene != a.scene


def _features(take: Take) -> np.ndarray:
    """What a nearest neighbour compares: both wrists' ways and both hands' shapes, by dominance."""
    joints = joints_of(take.pose())
    xyz, present = body_frame(joints.mirrored() if take.signer.left_handed else joints)
    xyz, present = resample(xyz, present, 24)
    parts = []
    for side in ("right", "left"):
        root = INDEX[f"{side}_root"]
        hand, there = xyz[:, root : root + 21, :2], present[:, root : root + 21, None]
        parts += [(hand - hand[:, :1]) * there * 2.5, np.clip(hand[:, :1] * there[:, :1], -2, 2) * 2]
    return np.concatenate([p.ravel() for p in parts])


def test_signs_are_told_apart_by_their_exact_pose_over_takes():
    takes = make_takes(len(LEXICON), 4, 3, 1, Settings())
    features = np.stack([_features(t) for t in takes])
    labels = np.array([t.sign.name for t in takes])
    known = np.array([t.take < 2 for t in takes])
    distance = ((features[~known, None] - features[None, known]) ** 2).sum(-1)
    found = labels[known][distance.argmin(1)]
    assert (found == labels[~known]).mean() > 0.95


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        ((0, 1, 1, 0), "signs"),
        ((99, 1, 1, 0), "signs"),
        ((1, 0, 1, 0), "signers"),
        ((1, 1, 0, 0), "takes"),
        ((1, 1, 1, 2), "left-handed"),
    ],
)
def test_impossible_counts_are_refused_by_name(counts, word):
    with pytest.raises(InputError, match=word):
        make_takes(*counts, SMALL)


@pytest.mark.parametrize(
    "bad", [{"size_px": (127, 96)}, {"size_px": (10, 10)}, {"fps": 0}, {"imu_rate_hz": 0}, {"seed": -1}]
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(InputError):
        Settings(**bad)
