"""Where the sign is in a clip of one sign: from leaving rest to being back."""

from __future__ import annotations

import numpy as np
import pytest

from signloom.data.skeleton import INDEX, JOINTS, Joints
from signloom.transforms.sign_spans import sign_span


def clip(height_T, fps=20.0, side="right"):
    """Shoulders 100 pixels apart, and a wrist so far above its rest, in shoulder widths."""
    n = len(height_T)
    xy, present = np.zeros((n, len(JOINTS), 2), np.float32), np.zeros((n, len(JOINTS)), bool)
    for name, place in (("left_shoulder", (150, 100)), ("right_shoulder", (50, 100)), (f"{side}_wrist", (100, 250))):
        xy[:, INDEX[name]], present[:, INDEX[name]] = place, True
    xy[:, INDEX[f"{side}_wrist"], 1] -= 100 * np.asarray(height_T, np.float32)
    return Joints(xy, present, fps)


RAISED = [0.0] * 10 + [0.15, 0.4, 0.7, 1.0] + [1.0] * 20 + [0.9, 0.5, 0.25, 0.1] + [0.0] * 8


@pytest.mark.parametrize("side", ["left", "right"])
def test_from_leaving_rest_to_being_back(side):
    span = sign_span(clip(RAISED, side=side))
    assert span == (11, 12, 35, 37)


def test_a_point_that_jumps_for_one_frame_is_no_movement():
    jumps = list(RAISED)
    jumps[4], jumps[-3] = 2.0, 2.0
    assert sign_span(clip(jumps)) == sign_span(clip(RAISED))


def test_who_comes_to_rest_elsewhere_has_signed_until_there():
    span = sign_span(clip([0.0] * 10 + [1.0] * 20 + [0.5] * 10))
    assert (span.start, span.end) == (10, 30)


@pytest.mark.parametrize("height", [[0.0] * 40, [0.05, -0.05] * 20, [0.0] * 20 + [1.0] * 3 + [0.0] * 20])
def test_hands_that_stay_or_twitch_are_no_sign(height):
    assert sign_span(clip(height)) is None


def test_without_shoulders_nothing_is_known():
    lost = clip(RAISED)
    lost.present_TJ[:, INDEX["left_shoulder"]] = False
    assert sign_span(lost) is None
