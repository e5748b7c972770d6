"""A tiny corpus of faces of procedural signers, for tests of face swaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from signloom import media
from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
from signloom.data.skeleton import joints_of
from signloom.data.stream import ClipInfo
from signloom.streams.face_crop import FaceStream
from signloom.streams.pose import PoseStream
from signloom.streams.pose_holistic import HolisticPose
from signloom.synthetic.body import FACE_NUMBERS, make_signer
from signloom.synthetic.faces import SIZE_PX, told_faces

FPS = 10.0


def pose_with_face(points_TP2, size_px):
    """A pose of which the face's 128 points, a nose and shoulders are known."""
    rows = np.zeros((len(points_TP2), 545, 4), np.float32)
    rows[:, [33 + n for n in FACE_NUMBERS], :2] = points_TP2
    rows[:, 33 : 33 + 468, 3] = 1
    wide = np.ptp(points_TP2[..., 0], axis=1)
    middle = points_TP2.mean(1)
    rows[:, 0, :2] = middle
    for joint, side in ((11, 1.0), (12, -1.0)):
        rows[:, joint, 0], rows[:, joint, 1] = middle[:, 0] + side * wide, middle[:, 1] + 1.5 * wide
    rows[:, [0, 11, 12], 3] = 1
    return HolisticPose().pose_of(rows, size_px, FPS)


def face_corpus(root, signers=("ada", "bob"), n_frames=6, size_px=64, clips=2):
    """A corpus with video, pose and face of so many clips of each of ``signers``."""
    stream = FaceStream(size_px=size_px, pose=PoseStream())
    records = []
    for number, signer in enumerate(signers):
        for clip in range(clips):
            name = f"{signer}-{clip}"
            rng = np.random.default_rng((number, clip))
            told = rng.beta(0.5, 1, (n_frames, 5))
            turned = np.stack([rng.normal(0, 8, n_frames), np.zeros(n_frames)], 1)
            frames, points = zip(*told_faces(told, turned, rng, make_signer(number + 1)))
            pose = pose_with_face(np.stack(points), (SIZE_PX, SIZE_PX))
            media.write_video(root / f"video/{name}.mp4", frames, FPS)
            media.write_pose(root / f"pose/{name}.pose", pose)
            info = ClipInfo(name, FPS, (SIZE_PX, SIZE_PX), {"pose": joints_of(pose)})
            stage = stream.open(info)
            with stream.writer(root / f"faces/{name}.mp4", info) as add:
                for t, frame in enumerate(frames):
                    [made] = stage.push(t / FPS, {"video": frame})
                    add(made.sample)
            paths = {"video": f"video/{name}.mp4", "pose": f"pose/{name}.pose", "faces": f"faces/{name}.mp4"}
            records.append(
                Record(
                    id=name, label="X", signer=signer, streams=paths, n_frames=n_frames, fps=FPS,
                    content=media.content_hash(root / paths["video"]), extra=stream.extra(info),
                )
            )  # fmt: skip
    prints = {"pose": PoseStream().fingerprint(), "faces": stream.fingerprint()}
    write_manifest(Manifest(tuple(replace(r) for r in records), root, {"streams": prints}), root)
    return read_manifest(root)
