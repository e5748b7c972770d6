"""Several people in one pose: one of them throughout, whatever the order they are listed in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloom.data.people import check_choice, choose_person
from signloom.data.pose_points import real_points
from signloom.data.skeleton import INDEX, joints_of
from signloom.errors import InputError, MediaError

N = 30


@pytest.fixture(scope="module")
def signer(people):
    return people.person(N, 420)


@pytest.fixture(scope="module")
def bystander(people):
    return people.person(N, 1050, 300, 70, hands=False, still=True)


def noses(joints):
    return np.where(joints.present_TJ[:, INDEX["nose"]], joints.xy_TJC[:, INDEX["nose"], 0], np.nan)


def chosen(pose, person="auto"):
    return choose_person(pose, real_points(pose), person)


@pytest.mark.parametrize("swaps", [[], range(N), [k for k in range(N) if (k // 5) % 2], range(12, 20)])
def test_the_signer_throughout_in_whatever_order(people, signer, bystander, swaps):
    order_TN = np.array([[1, 0] if k in swaps else [0, 1] for k in range(N)])
    pose = people.pose_of_arrays(*people.shuffled([signer, bystander], order_TN))
    joints, wanted = joints_of(pose), joints_of(people.pose_of([signer]))
    np.testing.assert_array_equal(joints.xy_TJC, wanted.xy_TJC)
    np.testing.assert_array_equal(joints.present_TJ, wanted.present_TJ)
    assert chosen(pose).people == 2
    assert chosen(pose).doubt is None


def test_nobody_at_times_and_another_comes_in_while_the_signer_is_away(people, signer, bystander):
    data, confidence = people.shuffled([signer, bystander], np.tile([0, 1], (N, 1)))
    data, confidence = data.copy(), confidence.copy()
    confidence[:10, 1] = confidence[20:, 1] = 0  # the other is there for a while
    data[12:16, 0], confidence[12:16, 0] = data[12:16, 1], confidence[12:16, 1]  # and alone in place 0 meanwhile
    confidence[12:16, 1] = 0
    confidence[25] = 0  # nobody at all
    x = noses(joints_of(people.pose_of_arrays(data, confidence)))
    away = np.isin(np.arange(N), [12, 13, 14, 15, 25])
    assert np.isnan(x[away]).all()
    assert (x[~away] == 420).all()


@pytest.mark.parametrize(("person", "x"), [("left", 420), ("right", 1050), ("largest", 420), ("0", 1050), ("1", 420)])
def test_the_guess_can_be_undone(people, signer, bystander, person, x):
    pose = people.pose_of([bystander, signer])
    assert (noses(joints_of(pose, person=person)) == x).all()


def test_the_larger_body_without_hands_is_not_the_signer(people, signer):
    passer_by = people.person(N, 1000, unit=170, hands=False, still=True)
    assert (noses(joints_of(people.pose_of([passer_by, signer]))) == 420).all()
    assert (noses(joints_of(people.pose_of([passer_by, signer]), person="largest")) == 1000).all()


def test_two_who_could_both_be_the_signer_are_a_question(people, signer):
    pose = people.pose_of([signer, people.person(N, 900, unit=148)])
    assert "2 people could be the signer" in chosen(pose).doubt
    assert chosen(pose, "right").doubt is None


def test_a_person_who_is_not_there_is_named(people, signer):
    with pytest.raises(MediaError, match="person=1: there is at most one person in a frame, counted from 0"):
        joints_of(people.pose_of([signer]), person="1")
    with pytest.raises(InputError, match="person: got 'first'; wanted auto"):
        check_choice("first")


@given(
    order=st.lists(st.permutations(range(3)), min_size=N, max_size=N),
    lost=st.lists(st.booleans(), min_size=N, max_size=N),
)
def test_people_shuffled_in_every_frame_are_followed(people, signer, bystander, order, lost):
    third = people.person(N, 150, 320, 60)
    data, confidence = people.shuffled([signer, bystander, third], np.array(order))
    gone = np.array(lost) & (np.arange(N) > 0)
    confidence = np.where((np.array(order) == 1)[..., None] & gone[:, None, None], 0, confidence)
    joints = joints_of(people.pose_of_arrays(data, confidence))
    np.testing.assert_array_equal(joints.xy_TJC, joints_of(people.pose_of([signer])).xy_TJC)


def test_one_person_found_twice_is_one(people, signer):
    """Estimators report somebody again, on the same place and often with fewer points."""
    bare = people.person(N, 420, hands=False)
    for double in (signer, (signer[0] + 1, signer[1]), (bare[0] + 1.5, bare[1])):
        for pair in ([signer, double], [double, signer]):
            pose = people.pose_of(pair)
            found = chosen(pose)
            assert (found.people, found.doubt) == (1, None)
            assert (joints_of(pose).present_TJ == joints_of(people.pose_of([signer])).present_TJ).all()


def test_a_pose_of_nobody_is_named(people, signer):
    empty = people.pose_of_arrays(signer[0][:, None][:, :0], signer[1][:, None][:, :0])
    with pytest.raises(MediaError, match="a pose of no people"):
        joints_of(empty)
    assert len(joints_of(people.pose_of([(signer[0][:0], signer[1][:0])]))) == 0
