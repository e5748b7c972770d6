"""A whole synthetic corpus: which clips there are, one clip made from its own seed, and all of them on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom import media
from signloom.data.manifest import FILE_NAME, Manifest, Record, clip_id, write_manifest
from signloom.errors import InputError
from signloom.runtime.atomic import write_json
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.locks import locking_out
from signloom.runtime.workers import Job, Outcome, map_clips
from signloom.synthetic.body import Signer, make_signer
from signloom.synthetic.exact import exact_pose
from signloom.synthetic.lexicon import LEXICON, NAMES, Sign
from signloom.synthetic.motion import Motion, perform
from signloom.synthetic.render import COARSE, Camera, Scene, make_scene, render
from signloom.synthetic.sensors import wrist_sensors, write_imu

VERSION = 1
"""Part of every clip's stamp: a new version makes clips anew."""

LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class Settings:
    """What shapes every clip of a corpus, apart from sign, signer and take."""

    seed: int = 0
    size_px: tuple[int, int] = (480, 360)
    fps: float = 15.0
    imu_rate_hz: float = 50.0

    def __post_init__(self):
        width, height = self.size_px
        if not (64 <= width <= 4096 and 64 <= height <= 4096) or width % COARSE or height % COARSE:
            raise InputError(f"frame size: got {width}x{height}, expected even sides from 64 to 4096, e.g. 480x360")
        if not 1 <= self.fps <= 120:
            raise InputError(f"fps: got {self.fps:g}, expected 1 to 120")
        if not 1 <= self.imu_rate_hz <= 200:
            raise InputError(f"imu_rate_hz: got {self.imu_rate_hz:g}, expected 1 to 200")
        if self.seed < 0:
            raise InputError(f"seed: got {self.seed}, expected 0 or more")


@dataclass(frozen=True)
class Take:
    """One clip before it is made. Everything random in it follows from (seed, sign, signer, take) alone.

    Camera, light and background follow from (seed, signer, take): a signer's ``take`` is one session in one room, so
    that no background belongs to a sign.
    """

    sign: Sign
    signer: Signer
    take: int
    settings: Settings = Settings()

    @property
    def id(self) -> str:
        """The clip's id."""
        return clip_id([self.signer.name, self.sign.name, f"take{self.take + 1:02d}"])

    @property
    def session(self) -> str:
        """What was recorded in one go: the signer's n-th session."""
        return clip_id([self.signer.name, f"take{self.take + 1:02d}"])

    def rng(self, purpose: str) -> np.random.Generator:
        """The clip's own generator for one purpose."""
        return _rng(self.settings.seed, self.sign.name, self.signer.name, self.take, purpose)

    @cached_property
    def track(self) -> Motion:
        """The motion at its full rate."""
        return perform(self.sign, self.signer, self.rng("motion"))

    @cached_property
    def motion(self) -> Motion:
        """The motion at the video's rate."""
        return self.track.sampled(self.settings.fps)

    @cached_property
    def scene(self) -> Scene:
        """Camera, light and background."""
        return make_scene(_rng(self.settings.seed, self.signer.name, self.take, "scene"))

    def frames(self) -> Iterator[np.ndarray]:
        """The video's frames, uint8 (H, W, 3) RGB, one by one."""
        return render(self.motion, self.signer, self.scene, self.settings.size_px, self.rng("camera noise"))

    def pose(self):
        """The exact pose, a ``pose_format.Pose``."""
        return exact_pose(self.motion, self.signer, Camera(self.scene, *self.settings.size_px))

    def imu(self) -> np.ndarray:
        """Both wrists' sensors, float32 (N, 12), see signloom.synthetic.sensors."""
        return wrist_sensors(self.track, self.settings.imu_rate_hz, self.rng("sensors"))


def _rng(*parts: Any) -> np.random.Generator:
    digest = hashlib.blake2b("\x1f".join(str(p) for p in parts).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


# --- on disk ----------------------------------------------------------------------------------------------------


def make_takes(signs: int, signers: int, takes: int, left_handed: int, settings: Settings) -> list[Take]:
    """The clips of a corpus: every sign by every signer in every take. Raises InputError for impossible counts."""
    if not 1 <= signs <= len(LEXICON):
        raise InputError(f"signs: got {signs}, expected 1 to {len(LEXICON)}, the size of the lexicon")
    for name, count, most in (("signers", signers, 999), ("takes", takes, 99)):
        if not 1 <= count <= most:
            raise InputError(f"{name}: got {count}, expected 1 to {most}")
    if not 0 <= left_handed <= signers:
        raise InputError(f"left-handed: got {left_handed}, expected 0 to {signers}, the number of signers")
    # Spread over the cast, and the same signers stay left-handed as it grows.
    order = sorted(range(signers), key=lambda k: (k % 3 != 1, k))
    left = set(order[:left_handed])
    cast = [make_signer(k, settings.seed, left_handed=k in left) for k in range(signers)]
    return [Take(sign, signer, take, settings) for signer in cast for sign in LEXICON[:signs] for take in range(takes)]


@locking_out
def film(takes: Sequence[Take], out: Path, *, workers: int | None = None, quiet: bool = False) -> list[Outcome]:
    """Make every clip of ``takes`` below ``out`` and then its manifest; return what became of each.

    Resumable: clips that are whole are kept. The bytes do not depend on the number of workers or on the order.
    Raises InputError when ``out`` holds a corpus made with other settings.
    """
    _claim(out, takes[0].settings)
    tasks = [Job(t.id, (t, out), _stamp(t)) for t in takes]
    outcomes = map_clips(
        film_one,
        tasks,
        workers=workers,
        journal=out / "journal.jsonl",
        whole=lambda made: all((out / p).exists() for p in made["streams"].values()),
        title="synth",
        quiet=quiet,
    )
    records = []
    for take, outcome in zip(takes, outcomes):
        if outcome.value is not None:
            records.append(_record(take, outcome.value))
    meta = {
        "name": "signloom synthetic",
        "source": "synth",
        "synthetic": f"made by signloom {signloom.__version__}; its signs are invented and belong to no sign language",
        "licence": LICENCE,
        "streams": {
            "exact_pose": {"extractor": "signloom-synthetic", "version": VERSION},
            "imu": {"extractor": "signloom-synthetic", "version": VERSION, "rate_hz": takes[0].settings.imu_rate_hz},
        },
    }
    write_manifest(Manifest(tuple(records), out, meta), out)
    return outcomes


def _claim(out: Path, settings: Settings) -> None:
    """Note the settings in ``out``, or refuse when clips of other settings lie there: they would mix."""
    file = out / "settings.json"
    ours = {**asdict(settings), "size_px": list(settings.size_px), "version": VERSION}
    if file.exists():
        try:
            theirs = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"'{file}' is not the settings of a synthetic corpus: {error}") from error
        differ = [f"{k} {theirs.get(k)} (asked for {v})" for k, v in ours.items() if theirs.get(k) != v]
        if differ:
            raise InputError(f"'{out}' holds a corpus with {', '.join(differ)}. Choose another folder or delete it")
    elif (out / FILE_NAME).exists():
        raise InputError(f"'{out}' holds a corpus that synth did not make. Choose another folder")
    write_json(file, ours)


def _paths(take: Take) -> dict[str, str]:
    number = f"take{take.take + 1:02d}"
    return {
        "video": f"videos/{take.signer.name}/{take.sign.name}/{number}.mp4",
        "exact_pose": f"pose/{take.id}.pose",
        "imu": f"imu/{take.id}.csv",
    }


def _stamp(take: Take) -> str:
    return fingerprint_hash(VERSION, asdict(take.settings), asdict(take.sign), asdict(take.signer), take.take)


def film_one(take: Take, out: Path) -> dict[str, Any]:
    """Make one clip's files below ``out``; the unit of work of :func:`film`."""
    media.import_cv2().setNumThreads(1)  # the pool is what runs in parallel
    paths = _paths(take)
    metadata = {
        "title": take.id,
        "comment": f"Synthetic video generated by signloom {signloom.__version__}: a procedural signer",
        "copyright": LICENCE,
        "synthetic": "true",
    }
    media.write_pose(out / paths["exact_pose"], take.pose())
    imu = take.imu()
    write_imu(out / paths["imu"], imu, take.settings.imu_rate_hz)
    media.write_video(out / paths["video"], take.frames(), take.settings.fps, metadata=metadata)
    content = media.content_hash(out / paths["video"])
    return {"n_frames": len(take.motion), "content": content, "streams": paths}


def _record(take: Take, made: dict[str, Any]) -> Record:
    return Record(
        id=take.id,
        label=take.sign.name,
        signer=take.signer.name,
        source=take.session,
        streams=made["streams"],
        n_frames=made["n_frames"],
        fps=take.settings.fps,
        content=made["content"],
        licence=LICENCE,
        consent="not needed: no real person",
        extra={
            "synthetic": True,
            "left_handed": take.signer.left_handed,
            "form": take.sign.form,
            "imu_rate_hz": take.settings.imu_rate_hz,
        },
    )


def contact_sheet(takes: Sequence[Take], *, rows: int = 6, columns: int = 6, width_px: int = 320) -> np.ndarray:
    """One picture, uint8 (H, W, 3): a row per signer, in each column another sign, at the middle of its stroke."""
    cv2 = media.import_cv2()
    signers = list(dict.fromkeys(t.signer.name for t in takes))[:rows]
    signs = [n for n in NAMES if any(t.sign.name == n for t in takes)]
    spread = np.linspace(0, len(signs) - 1, min(columns, len(signs))).round().astype(int)
    first = {(t.signer.name, t.sign.name): t for t in reversed(takes)}
    lines = []
    for row, signer in enumerate(signers):
        cells = []
        for place in spread:
            take = first[signer, signs[(place + row) % len(signs)]]
            height = round(take.settings.size_px[1] * width_px / take.settings.size_px[0] / 2) * 2
            one = take.motion.at(len(take.motion) * 11 // 20)
            picture = next(iter(render(one, take.signer, take.scene, (width_px, height))))
            text = f"{take.sign.name}  {signer}" + (" (left-handed)" if take.signer.left_handed else "")
            place_px, font, size = (8, height - 9), cv2.FONT_HERSHEY_SIMPLEX, width_px / 800
            cv2.putText(picture, text, place_px, font, size, (20, 20, 20), 3, cv2.LINE_AA)
            cv2.putText(picture, text, place_px, font, size, (255, 255, 255), 1, cv2.LINE_AA)
            cells.append(picture)
        lines.append(np.concatenate(cells, 1))
    return np.concatenate(lines)
