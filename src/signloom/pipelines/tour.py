"""What `signloom demo` ends with: a picture of clips by a signer whom the model had never seen, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.manifest import Manifest, read_manifest
from signloom.data.skeleton import joints_of, shoulder_width_px
from signloom.streams.pose_view import draw_pose

_WIDE_PX = 320
_TEXT_PX = 34
_MOMENTS = (0.35, 0.5, 0.65)


def clips_by_sign(run: Path, most: int) -> list[dict[str, Any]]:
    """Clips of the test split of ``run``, one of each sign, as ``evaluation-test.json`` has them."""
    clips = json.loads((run / "evaluation-test.json").read_text(encoding="utf-8"))["clips"]
    first: dict[str, dict[str, Any]] = {}
    for clip in clips:
        first.setdefault(clip["label"], clip)
    return list(first.values())[:most]


def answer_picture(run: Path, clips: list[dict[str, Any]]) -> np.ndarray:
    """A column for each of ``clips``: three of its frames with the pose found in them, and the answer below; uint8
    (H, W, 3) RGB."""
    corpus = read_manifest(run / "corpus")
    return np.concatenate([_column(corpus, clip) for clip in clips], 1)


def _column(corpus: Manifest, clip: dict[str, Any]) -> np.ndarray:
    cv2 = media.import_cv2()
    record = next(r for r in corpus if r.id == clip["id"])
    joints = joints_of(media.read_pose(record.path("pose", corpus.root, "demo")))
    rows = {min(int(share * len(joints)), len(joints) - 1) for share in _MOMENTS}
    cells = []
    for row, (_, frame) in enumerate(media.iter_frames(record.path("video", corpus.root, "demo"))):
        if row in rows:
            drawn = draw_pose(frame, joints, row, shoulder_width_px(joints) or 60.0)
            cells.append(cv2.resize(drawn, (_WIDE_PX, drawn.shape[0] * _WIDE_PX // drawn.shape[1])))
    strip = np.full((_TEXT_PX, _WIDE_PX, 3), 24, np.uint8)
    right = clip["predicted"] == clip["label"]
    text = f"{clip['predicted']}  {100 * clip['confidence']:.0f} %" + ("" if right else f"  (was {clip['label']})")
    colour = (120, 230, 140) if right else (250, 120, 100)
    cv2.putText(strip, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 2, cv2.LINE_AA)
    return np.concatenate([*cells, strip])
