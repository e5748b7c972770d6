"""The description of what is done to points is enough: a program that knows no more comes to the same tensors."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from signloom.streams.estimator import FACES
from signloom.streams.pose import PoseStream
from signloom.streams.sample import pose_samples
from signloom.transforms.pose_described import described
from signloom.transforms.pose_input import PoseInput


class Program:
    """Follows the rules of ``told``, and nothing of signloom's."""

    def __init__(self, told):
        self.told, self.rules = told, told["rules"]

    def tensors(self, clip):
        rows = self.clock(clip["times_s"], clip["fps"])
        points = clip["points"][rows]
        xy, here = self.joints(points, clip["size_px"])
        ghosts, arms = self.ghosts(xy, here, points[:, 543:])
        lost = np.zeros((len(points), 543), bool)
        for s, side in enumerate(("left", "right")):
            first, stop = self.told["point_rows"][f"{side.upper()}_HAND_LANDMARKS"]
            lost[ghosts[:, s], first:stop] = True
            lost[np.ix_(arms[:, s], self.rules["ghosts"]["arms"]["points"][side])] = True
        gone = lost[:, self.told["joint_points"]]
        xy, here = np.where(gone[..., None], 0, xy), here & ~gone
        xy_u, here_u = self.body_frame(xy, here)
        xy_u, here_u = self.one_hand(xy_u, here_u)
        return rows, xy, here, ghosts, *self.resampled(xy_u, here_u)

    def clock(self, times, fps):
        rule, n = self.rules["clock"], len(times)
        k = np.arange(n)
        step = ((k - k.mean()) * (times - times.mean())).sum() / ((k - k.mean()) ** 2).sum()
        off = np.abs(times - (times.mean() + step * (k - k.mean()))).max()
        if off <= rule["even_share"] * step and abs(step * fps - 1) <= rule["rate_share"]:
            return k
        rows = []
        for m in range(math.floor((times[-1] - times[0]) * fps + 0.5) + 1):
            t = times[0] + m / fps
            best = min(range(n), key=lambda j: (round(abs(times[j] - t) / rule["tie_s"] / 2), j))
            rows.append(best)
        return np.array(rows)

    def joints(self, points, size):
        rule = self.rules["found"]
        x, y, sure = points[:, :543, 0], points[:, :543, 1], points[:, :543, 3]
        here = (sure > 0) & np.isfinite(x) & np.isfinite(y)
        parts = {name: list(range(*rows)) for name, rows in self.told["point_rows"].items()}
        parts["FACE_LANDMARKS"] = [33 + k for k in self.told["face_kept"]]
        near = rule["near_share"] * max(size)
        bad = np.zeros_like(here)
        for part in parts.values():
            for t in range(len(points)):
                own = [p for p in part if here[t, p]]
                for v in rule["sentinels"]:
                    there = [p for p in own if x[t, p] == v and y[t, p] == v]
                    close = [p for p in own if p not in there and abs(x[t, p] - v) <= near and abs(y[t, p] - v) <= near]
                    if there and (len(there) > 1 or not close):
                        bad[t, there] = True
                left = [p for p in own if not bad[t, p]]
                if len(left) >= rule["collapsed"] and len({(x[t, p], y[t, p]) for p in left}) == 1:
                    bad[t, left] = True
        here &= ~bad
        kept = np.zeros(543, bool)
        kept[[p for part in parts.values() for p in part]] = True
        beyond = rule["outside"] * max(size)
        far = here & (
            (np.abs(x - size[0] / 2) > size[0] / 2 + beyond) | (np.abs(y - size[1] / 2) > size[1] / 2 + beyond)
        )
        if (far & kept).sum() <= (here & kept).sum() / 2:
            here &= ~far
        columns = self.told["joint_points"]
        return np.where(here[:, columns, None], points[:, columns, :2], 0).astype(np.float32), here[:, columns]

    def width(self, xy, here):
        left, right = self.told["shoulders"]["left"], self.told["shoulders"]["right"]
        both = here[:, left] & here[:, right]
        if not both.any():
            return None
        apart = np.hypot(*(xy[both, left] - xy[both, right]).T)
        return float(np.percentile(apart, self.rules["shoulder_width"]["percentile"]))

    def ghosts(self, xy, here, notes):
        rule, unit, n = self.rules["ghosts"], self.width(xy, here), len(xy)
        found, arms = np.zeros((n, 2), bool), np.zeros((n, 2), bool)
        hands = [slice(*self.told["parts"][f"{side}_hand"]) for side in ("left", "right")]
        sides = ("left", "right")
        apart = np.full(n, np.inf)
        for t in range(n):
            both = here[t, hands[0]] & here[t, hands[1]]
            if both.any():
                a, b = xy[t, hands[0]][both], xy[t, hands[1]][both]
                spread = max(math.sqrt(((p - p.mean(0)) ** 2).sum(1).mean()) for p in (a, b))
                if spread > 0:
                    apart[t] = np.hypot(*(a - b).T).mean() / spread
        near = apart < rule["copy"]
        if not unit or not near.any():
            return found, arms
        astray = np.full((n, 2), np.nan)
        for s, side in enumerate(sides):
            root, wrist = self.told["roots"][side], self.told["wrists"][side]
            ok = here[:, root] & here[:, wrist]
            astray[ok, s] = np.hypot(*(xy[ok, root] - xy[ok, wrist]).T) / unit
        for s in range(2):
            doubtful = [
                bool(near[t] and astray[t, s] > rule["doubtful"] and astray[t, s] > rule["times"] * astray[t, 1 - s])
                for t in range(n)
            ]
            plain = [d and astray[t, s] > rule["astray_least"] for t, d in enumerate(doubtful)]
            t = 0
            while t < n:
                stop = t
                while stop < n and doubtful[stop]:
                    stop += 1
                if any(plain[t:stop]):
                    found[t:stop, s] = True
                t = stop + 1
        right = np.where(notes[:, :, 3] > 0, notes[:, :, 1], np.nan)
        told = ~np.isnan(right).any(1)
        open_ = near & told & ~found.any(1)
        known = found.copy()
        if open_.any():
            mean = right[open_].mean(0)
            for s in range(2):
                wrong, own = (mean[0], mean[1]) if s == 0 else (1 - mean[1], 1 - mean[0])
                sure = wrong >= rule["wrong_side"] and own >= rule["right_side"]
                sure = sure or known[:, s].sum() >= rule["own_frames"]
                of_side = (right[:, 1] > 0.5) if s else (1 - right[:, 0] > 0.5)
                alone = int((of_side & (apart > rule["apart_least"])).sum())
                few = (near & told).sum() <= rule["few_share"] * (~np.isnan(right[:, 1 - s])).sum()
                if sure and alone < rule["own_frames"] and few:
                    found[open_, s] = True
        for s, side in enumerate(sides):
            root, wrist = self.told["roots"][side], self.told["wrists"][side]
            arms[:, s] = found[:, s] & (np.hypot(*(xy[:, root] - xy[:, wrist]).T) <= rule["doubtful"] * unit)
        return found, arms

    def body_frame(self, xy, here):
        rule, unit = self.rules["body_frame"], self.width(xy, here)
        left, right = self.told["shoulders"]["left"], self.told["shoulders"]["right"]
        both = here[:, left] & here[:, right]
        if unit is not None:
            origin = np.median((xy[both, left] + xy[both, right]) / 2, 0)
        else:
            head = next((k for k in rule["heads"] if here[:, k].any()), None)
            origin = np.median(xy[here] if head is None else xy[here[:, head], head], 0)
            palms = [
                np.hypot(*(xy[t, a] - xy[t, b]))
                for a, b in rule["palms"]
                for t in np.flatnonzero(here[:, a] & here[:, b])
            ]
            if palms:
                unit = rule["palms_per_unit"] * float(np.percentile(palms, rule["palm_percentile"]))
            else:
                unit = float(np.ptp(xy[here], 0).max()) / 2
        if not unit > rule["least_unit"]:
            return np.zeros_like(xy), np.zeros_like(here)
        return np.where(here[..., None], (xy - origin.astype(np.float32)) / np.float32(unit), 0).astype(
            np.float32
        ), here

    def one_hand(self, xy, here):
        if self.told["handedness"] != "dominant-right":
            return xy, here
        work = []
        for side in ("left", "right"):
            root, wrist = self.told["roots"][side], self.told["wrists"][side]
            sums = 0.0
            for t in range(len(xy)):
                if here[t, root] or here[t, wrist]:
                    y = xy[t, root if here[t, root] else wrist][1]
                    sums += max(0.0, self.rules["handedness"]["resting"] - y)
            work.append(sums / len(xy) + here[:, root].mean())
        if work[0] <= work[1]:
            return xy, here
        mirror = self.told["mirror"]
        return (xy * np.float32([-1, 1]))[:, mirror], here[:, mirror]

    def resampled(self, xy, here):
        n = self.told["n_frames"]
        if len(xy) == n:
            return xy, here
        out, there = np.zeros((n, *xy.shape[1:]), np.float32), np.zeros((n, xy.shape[1]), bool)
        for k in range(n):
            where = k * (len(xy) - 1) / (n - 1)
            a = min(math.floor(where + 1e-12), len(xy) - 1)
            b = min(a + 1, len(xy) - 1)
            share = np.float32(where - a)
            nearer = a if share < 0.5 else b
            there[k] = here[nearer]
            blend = np.where((here[a] & here[b])[:, None], xy[a] * (1 - share) + xy[b] * share, xy[nearer])
            out[k] = np.where(there[k][:, None], blend, 0)
        return out, there


def told(inputs, stream):
    text = json.dumps(described(inputs, FACES[stream.face], stream.ghosts, stream.extractor == "holistic"))
    return json.loads(text)


@pytest.fixture(scope="module")
def clips():
    return pose_samples(PoseStream())


@pytest.mark.parametrize("n_frames", [32, 64])
@pytest.mark.parametrize("handedness", ["dominant-right", "as-filmed"])
def test_a_program_that_follows_the_description_comes_to_the_same_tensors(clips, n_frames, handedness):
    inputs = PoseInput(n_frames=n_frames, handedness=handedness)
    program = Program(told(inputs, PoseStream()))
    for joints, clip in clips:
        rows, xy, here, ghosts, pose, present = program.tensors(clip)
        assert rows.tolist() == clip["rows"].tolist()
        assert np.array_equal(here, clip["found"])
        assert np.allclose(xy, clip["xy"], atol=1e-4)
        assert np.array_equal(ghosts, clip["ghosts"])
        wanted_pose, wanted_present = inputs.from_joints(joints)
        assert np.array_equal(present, wanted_present)
        assert np.allclose(pose, wanted_pose, atol=1e-5)


def test_the_clips_have_what_can_go_wrong_in_them(clips):
    """Else the test above says little."""
    (_, whole), (_, faulty) = clips
    assert whole["rows"].tolist() == list(range(len(whole["points"])))
    assert len(faulty["rows"]) > len(faulty["points"])  # frames that are shown longer
    assert faulty["ghosts"].any()
    assert not faulty["found"][0].any()
    inputs = PoseInput()
    mirrored = PoseInput(handedness="as-filmed").from_joints(clips[1][0])[0]
    assert not np.allclose(inputs.from_joints(clips[1][0])[0], mirrored)


def test_a_clip_without_shoulders_is_told_by_its_head_and_hands(clips):
    inputs = PoseInput(n_frames=8)
    stream = PoseStream()
    program = Program(told(inputs, stream))
    joints, _ = clips[0]
    shoulders = list(program.told["shoulders"].values())
    without = joints.present_TJ.copy()
    without[:, shoulders] = False
    changed = replace(joints, present_TJ=without, xy_TJC=np.where(without[..., None], joints.xy_TJC, 0))
    xy, here = program.one_hand(*program.body_frame(changed.xy_TJC, without))
    wanted = inputs.from_joints(changed)
    pose, present = program.resampled(xy, here)
    assert np.array_equal(present, wanted[1])
    assert np.allclose(pose, wanted[0], atol=1e-5)
