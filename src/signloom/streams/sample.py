"""Made-up clips on their way through stream ``pose``: what another program can check its own steps with."""

from __future__ import annotations

from typing import Any

import numpy as np

from signloom.data.skeleton import Joints
from signloom.data.stream import ClipInfo
from signloom.streams.pose import PoseStream
from signloom.streams.runner import Runner
from signloom.synthetic.found import found_clips


def pose_samples(stream: PoseStream) -> list[tuple[Joints, dict[str, Any]]]:
    """Each of :func:`~signloom.synthetic.found.found_clips` as joints, and by name what that came from: ``name``,
    ``fps``, ``size_px``, ``times_s``, ``points`` (T, 545, 4), ``rows`` (T',) of the clip's clock, ``xy`` (T', J, 2),
    ``found`` (T', J), ``ghosts`` (T', 2). Empty for poses that were imported: what made their points is not on record.
    """
    made = []
    for clip in found_clips() if not stream.components else ():
        runner = Runner({"pose": stream}, ClipInfo(clip.name, clip.fps, size_px=clip.size_px))
        for time_s, points_PC in zip(clip.times_s.tolist(), clip.points_TPC):
            runner.push(time_s, {"pose": points_PC})
        rows, joints = runner.rows, runner.close()["pose"]
        told = {
            "name": clip.name,
            "fps": clip.fps,
            "size_px": list(clip.size_px),
            "times_s": clip.times_s,
            "points": clip.points_TPC,
            "rows": rows.astype(np.int32),
            "xy": joints.xy_TJC,
            "found": joints.present_TJ,
            "ghosts": np.zeros((len(joints), 2), bool) if joints.ghosts_TS is None else joints.ghosts_TS,
        }
        made.append((joints, told))
    return made
