"""Live: how many frames a second points are found in while somebody signs, and how soon the answer is there."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

from signloom import media
from signloom.data.stream import ClipInfo
from signloom.models import build
from signloom.pipelines.bench.measure import Bench, Measure, Measured, ratio_of, rounds, run_command, timed
from signloom.pipelines.bench.poses import CLASSES, PLAIN
from signloom.streams.pose import PoseStream
from signloom.tasks.recognise.predict import Recogniser
from signloom.tasks.recognise.recipes import pose
from signloom.tasks.recognise.task import untrained
from signloom.tasks.segment.predict import Segmenter, SignFinder
from signloom.tasks.segment.recipes import segment
from signloom.training.checkpoint import Checkpoint


def measure_live(bench: Bench) -> Measured:
    """A session of the default recogniser of poses with every clip, frame by frame, and its answer after the last; the
    segmenter beside it; and a plain MediaPipe loop on the same clips, where that is installed. Networks are untrained:
    they take as long."""
    recogniser, segmenter = _models()
    rates: list[float] = []
    late: dict[str, list[float]] = {"median": [], "95 %": []}
    found: list[float] = []
    plain: list[float] = []
    for number in rounds("live", bench.repeats + 1):
        frames_s, answers_ms, finder_ms, n_frames = 0.0, [], [], 0
        for clip in bench.clips:
            session, finder, info = recogniser.session(), SignFinder(segmenter), None
            for time_s, frame in media.iter_frames(clip):
                frames_s += timed(session.push, time_s, {"video": frame})[0]
                info = info or ClipInfo("bench", recogniser.fps, (frame.shape[1], frame.shape[0]))
                joints = segmenter.streams["pose"].gather([session.latest["pose"]], info)
                finder_ms.append(1000 * timed(finder.push, time_s, joints)[0])
                n_frames += 1
            answers_ms.append(1000 * timed(session.close)[0])
        if not number:
            continue  # the first round loads and allocates
        rates.append(n_frames / frames_s)
        answers_ms.sort()
        late["median"].append(answers_ms[len(answers_ms) // 2])
        late["95 %"].append(answers_ms[len(answers_ms) * 95 // 100])
        found.append(sorted(finder_ms)[len(finder_ms) // 2])
        if importlib.util.find_spec("mediapipe") is not None:
            told = json.loads(run_command([sys.executable, "-c", PLAIN, *map(str, bench.clips)])[1])
            plain.append(n_frames / told["seconds"])
    rows = [Measure("live", "points, in a session", "frames/s", tuple(rates))]
    rows += [Measure("live", f"answer after the last frame, {of}", "ms", tuple(ms)) for of, ms in late.items()]
    rows.append(Measure("live", "segmenter, a frame", "ms", tuple(found)))
    if not plain:
        return rows, []
    loop = Measure("live", "plain loop (MediaPipe), all cores", "frames/s", tuple(plain))
    return [*rows, loop], [ratio_of("live: points in a session vs plain loop", rows[0], loop)]


def _models() -> tuple[Any, Any]:
    """A recogniser and a segmenter as their recipes have them, untrained."""
    streams = {"pose": PoseStream().fingerprint()}
    labels = tuple(f"{k:03}" for k in range(CLASSES))
    recipe, of_segments = pose(), segment()
    network = untrained(recipe, CLASSES).eval()
    recogniser = Recogniser(Checkpoint("recognise", recipe.architecture, network, labels, recipe.inputs, streams))
    network = build(of_segments.architecture, of_segments.inputs.model_fields(("pose",))).eval()
    segmenter = Segmenter(Checkpoint("segment", of_segments.architecture, network, (), of_segments.inputs, streams))
    return recogniser, segmenter
