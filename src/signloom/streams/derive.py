"""What one clip needs to have changed copies: its footage decoded once, and every stream of each copy made of it."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom import media
from signloom.data.manifest import Record
from signloom.data.skeleton import Joints, joints_of
from signloom.data.stream import ClipInfo, Stream
from signloom.errors import InputError, MediaError, MissingStreamError
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.names import file_name
from signloom.streams import streams_of
from signloom.streams.footage import Footage
from signloom.streams.holistic.networks import models_hash
from signloom.streams.person_mask import PersonMask
from signloom.streams.pose import seen_parts
from signloom.streams.runner import Runner
from signloom.transforms.augment.draw import ClipDraw, Facts, Painter
from signloom.transforms.augment.points import Points, points_of_pose, pose_with
from signloom.transforms.augment.policy import VERSION, Policy

LIMITS = media.Limits()
CRF, PRESET = 18, "ultrafast"
"""How copies of footage are compressed, as x264 has it: they are many, and mostly there to be learnt from once."""
PICTURED = ("frames", "flow", "flow_view", "signer")
"""Streams that are made again of a copy's own pictures."""
DERIVED = ("video", "pose", *PICTURED)
"""Streams that a copy can have."""


@dataclass(frozen=True)
class Derivation:
    """How copies are made: ``times`` of each clip by ``policy``, everything drawn from ``seed``, the clip's id and the
    copy's number. ``streams`` are what a copy has; ``fingerprints`` those of the corpus, by which they are made."""

    policy: Policy
    times: int = 1
    seed: int = 0
    streams: tuple[str, ...] = ("video",)
    fingerprints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self):
        if self.times < 1:
            raise InputError(f"times: got {self.times}, expected at least 1")
        if wrong := [s for s in self.streams if s not in DERIVED]:
            raise InputError(f"streams: a copy has no '{wrong[0]}'; it can have {', '.join(DERIVED)}")
        pictures = [s for s in self.streams if s != "pose"]
        if pictures and (parted := self.policy.parts_from_pictures):
            raise InputError(
                f"policy '{self.policy.name}': '{parted[0]}' moves points where no picture can follow; make copies of "
                "the poses alone: --streams pose"
            )

    def as_dict(self) -> dict[str, Any]:
        """What shapes the copies, in plain values."""
        made = {
            "policy": self.policy.as_dict(),
            "seed": self.seed,
            "version": VERSION,
            "signloom": signloom.__version__,
        }
        return {**made, "mask": models_hash(["person_mask"])} if "mask" in self.policy.needs else made

    def copy_id(self, record: Record, copy: int) -> str:
        """What copy number ``copy`` of a clip is called."""
        return f"{record.id}-{self.policy.name}-{copy + 1}"

    def draw(self, record: Record, copy: int, facts: Facts) -> ClipDraw:
        """The draw for a copy. In shares of the picture it is the same whatever the picture's size."""
        return self.policy.draw([self.seed, *record.id.encode(), copy], facts, copy)


def derive_clip(
    record: Record, root: Path, out: Path, how: Derivation, limits: media.Limits = LIMITS, shared: Path | None = None
) -> dict[str, Any]:
    """Make the copies of one clip, as files below ``out``; tell what they are, under ``copies``, a dict for each:
    ``id``, ``streams`` (name → path below ``out``), ``n_frames``, ``fps``, ``content``, ``seen``, ``extra``.

    ``record`` has its paths relative to ``root``. Raises MediaError for what cannot be read, and MissingStreamError
    where the clip has neither footage nor a pose, or its policy needs what it has not.
    """
    if multiprocessing.parent_process() is not None:
        media.import_cv2().setNumThreads(1)  # there is a worker for every core
    clip = _Source(record, root, how, limits, shared)
    copies = [_Copy(clip, how, k, out) for k in range(how.times)]
    pictured = any(s != "pose" for s in how.streams)
    if pictured and not all(c.whole for c in copies):
        with ExitStack() as stack:
            mask = stack.enter_context(closing(PersonMask())).of if "mask" in how.policy.needs else None
            painting = [stack.enter_context(_Painting(c, mask)) for c in copies]
            for frame in clip.frames():
                for one in painting:
                    one.push(frame)
            for one in painting:
                one.finish()
    return {"copies": [copy.value() for copy in copies]}


class _Source:
    """A clip that copies are made of."""

    def __init__(self, record: Record, root: Path, how: Derivation, limits: media.Limits, shared: Path | None):
        self.record, self.limits, self.shared = record, limits, shared
        pictured = any(s != "pose" for s in how.streams)
        self.stream = next((s for s in ("video", "frames") if s in record.streams), None) if pictured else None
        have = ", ".join(sorted(record.streams)) or "none"
        if pictured and self.stream is None:
            raise MissingStreamError(
                f"clip '{record.id}': copies with pictures need its 'video' or 'frames'; it has {have}"
            )
        needs_pose = "pose" in how.streams or (pictured and "points" in how.policy.needs)
        if needs_pose and "pose" not in record.streams:
            what = f"policy '{how.policy.name}'" if "points" in how.policy.needs else "a copy with a pose"
            raise MissingStreamError(
                f"clip '{record.id}': {what} needs stream 'pose'; it has {have}. Run: signloom prepare … --streams pose"
            )
        self.pose_file = root / record.streams["pose"] if "pose" in record.streams else None
        self.pose = None if self.pose_file is None else media.read_pose(self.pose_file, limits)
        self.points = None if self.pose is None else points_of_pose(self.pose)
        if self.stream is not None:
            self.footage = Footage(record, root, self.stream, limits, shared)
            self.path, self.facts, self.content = self.footage.path, self.footage.facts, self.footage.content
        else:
            assert self.pose is not None
            assert self.pose_file is not None
            self.path = self.pose_file
            size = self.pose.header.dimensions
            wide, high = int(size.width), int(size.height)
            if wide < 1 or high < 1:
                raise MediaError(
                    f"clip '{record.id}': its pose does not say how large its picture is, so shares of it mean nothing",
                    "bad-header",
                )
            self.facts = Facts((wide, high), len(self.pose.body.data), float(record.fps or self.pose.body.fps))
            self.content = media.content_hash(self.path)
        if self.points is not None and len(self.points) != self.facts.n_frames:
            raise MediaError(
                f"clip '{record.id}': its pose has {len(self.points)} frames, its {self.stream} {self.facts.n_frames}",
                "bad-header",
            )

    def frames(self) -> Iterator[np.ndarray]:
        """Its pictures at a constant rate. Raises MediaError where there are fewer than the file promised."""
        return self.footage.frames()

    @property
    def picture_points(self) -> Points | None:
        """The points in the pixels of the pictures, which may be smaller than those the pose was found in."""
        if self.points is None or self.pose is None:
            return None
        wide = int(self.pose.header.dimensions.width)
        factor = self.facts.size_px[0] / wide if wide > 0 else 1.0
        return self.points if factor == 1 else self.points.placed(np.diag([factor, factor, 1.0]))

    @property
    def pose_facts(self) -> Facts:
        """The facts as the pose has them."""
        assert self.pose is not None
        size = self.pose.header.dimensions
        known = size.width > 0 and size.height > 0
        return Facts((int(size.width), int(size.height)), self.facts.n_frames, self.facts.fps) if known else self.facts


class _Copy:
    """One copy of a clip: its draw and its files."""

    def __init__(self, clip: _Source, how: Derivation, number: int, out: Path):
        self.clip, self.how, self.number, self.out = clip, how, number, out
        self.id = how.copy_id(clip.record, number)
        self.draw = how.draw(clip.record, number, clip.facts)
        record = clip.record
        cut = (record.first_frame, record.end_frame, record.start_s, record.end_s, record.box_px)
        pose = "" if clip.pose_file is None else media.content_hash(clip.pose_file)
        self.paths = {}
        for stream in how.streams:
            made = how.fingerprints.get(stream, {})
            mark = fingerprint_hash(clip.content, clip.stream, cut, pose, how.as_dict(), number, record.id, made)
            self.paths[stream] = f"{stream}/{file_name(self.id)}-{mark}{'.pose' if stream == 'pose' else '.mp4'}"
        self.joints: Joints | None = None
        if "pose" in how.streams:
            self._write_pose()
        self.extra: dict[str, Any] = {}

    @property
    def files(self) -> dict[str, Path]:
        return {stream: self.out / path for stream, path in self.paths.items()}

    @property
    def whole(self) -> bool:
        """Whether its files are there: names hold all that shapes a file, and files appear whole."""
        return all(file.exists() for file in self.files.values())

    def _write_pose(self) -> None:
        clip = self.clip
        assert clip.pose is not None
        assert clip.points is not None
        draw = self.how.draw(clip.record, self.number, clip.pose_facts)
        # Beside pictures a pose shows the same moments as they do.
        changed = draw.points(clip.points, between=clip.stream is None)
        pose = pose_with(clip.pose, changed, draw.fps)
        self.joints = joints_of(pose)
        if not self.files["pose"].exists():
            media.write_pose(self.files["pose"], pose)

    def value(self) -> dict[str, Any]:
        first = next(s for s in ("video", "frames", *self.paths) if s in self.paths)
        return {
            "id": self.id,
            "streams": self.paths,
            "n_frames": self.draw.n_frames,
            "fps": self.draw.fps,
            "content": media.content_hash(self.files[first]),
            "seen": {} if self.joints is None else seen_parts(self.joints),
            "extra": {**self.extra, "augmented": self.about()},
        }

    def about(self) -> dict[str, Any]:
        """What a record says of how the copy was made."""
        return {
            "policy": self.how.policy.name,
            "copy": self.number + 1,
            "seed": self.how.seed,
            "draw": [dict(step) for step in self.draw.about],
        }

    @property
    def metadata(self) -> dict[str, str]:
        """What the file of its footage says: that it is no footage."""
        about = {**self.how.as_dict(), "augmented": True, "parent": self.clip.record.id, **self.about()}
        return {
            "comment": f"augmented by signloom from clip {self.clip.record.id}: not as filmed",
            "signloom_augmented": json.dumps(about, ensure_ascii=False, sort_keys=True),
        }


class _Painting:
    """The pictures of one copy on their way to its files."""

    def __init__(self, copy: _Copy, mask: Callable[[np.ndarray], np.ndarray] | None):
        self.copy = copy
        self._painter = Painter(copy.draw, copy.clip.picture_points, mask)
        self._mask = mask
        self._number = 0
        self._stack = ExitStack()

    def __enter__(self) -> _Painting:
        copy = self.copy
        self._add: Callable[[np.ndarray], None] | None = None
        if "video" in copy.paths:
            self._add = self._stack.enter_context(
                media.open_video_writer(
                    copy.files["video"], copy.draw.fps, metadata=copy.metadata, crf=CRF, preset=PRESET
                )
            )
        self._runner: Runner | None = None
        streams = _made_again(copy.how)
        if streams:
            complete = {} if copy.joints is None else {"pose": copy.joints}
            info = ClipInfo(copy.id, copy.draw.fps, complete=complete)
            self._runner = Runner(streams, info, eager=False, again=partial(_again, copy, self._mask))
        return self

    def push(self, frame: np.ndarray) -> None:
        for changed in self._painter.push(frame):
            if self._add is not None:
                self._add(changed)
            if self._runner is not None:
                self._runner.push(self._number / self.copy.draw.fps, {"video": changed})
            self._number += 1

    def finish(self) -> None:
        if self._number != self.copy.draw.n_frames:
            raise MediaError(
                f"clip '{self.copy.id}': {self._number} of {self.copy.draw.n_frames} frames were made", "truncated"
            )
        if self._runner is not None:
            files = {s: f for s, f in self.copy.files.items() if s in self._runner.streams}
            info = self._runner.write(files)
            for stream in self._runner.streams.values():
                self.copy.extra |= stream.extra(info)
            self.copy.extra.pop("seen", None)

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def _again(copy: _Copy, mask: Callable[[np.ndarray], np.ndarray] | None) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """A copy's pictures once more, for a clip that is too long to wait in memory."""
    for number, frame in enumerate(copy.draw.pictures(copy.clip.frames(), copy.clip.picture_points, mask)):
        yield number / copy.draw.fps, {"video": frame}


def _made_again(how: Derivation) -> dict[str, Stream]:
    wanted = [s for s in how.streams if s in PICTURED]
    return {name: stream for name, stream in streams_of(how.fingerprints).items() if name in wanted} if wanted else {}


def streams_for(manifest_streams: Sequence[str], fingerprints: Mapping[str, Any]) -> tuple[str, ...]:
    """The streams that copies of clips with those streams can have."""
    return tuple(
        s
        for s in DERIVED
        if s in manifest_streams and (s in ("video", "pose") or (s in fingerprints and "pairs" not in fingerprints[s]))
    )
