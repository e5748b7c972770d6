"""Fixtures every test may use."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from pathlib import Path

import pytest

# The same sums in this process and in those that tests start: how many threads share a sum decides its last bit. Set
# before anything imports torch. The models of tests are too small to share anyway.
os.environ["OMP_NUM_THREADS"] = "1"

import contextlib
import hashlib
import json
import resource
import signal
import socket
import subprocess
from dataclasses import dataclass

import hypothesis
import torch

from signloom import media
from signloom.cli import main as cli
from signloom.data.manifest import Manifest
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.sources import read_source
from signloom.synthetic.corpus import Settings, film, make_takes

# Property tests draw the same examples every time: a failure is a failure, and two runs can be compared.
hypothesis.settings.register_profile("signloom", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("signloom")

REPOSITORY = Path(__file__).resolve().parent.parent


def _find_real_data() -> Path | None:
    named = os.environ.get("SIGNLOOM_REAL_DATA")
    candidates = [Path(named)] if named else [REPOSITORY.parent / "shared" / "data"]
    return next((c for c in candidates if (c / "README.md").exists()), None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real footage; the test is skipped, with a loud warning, where it is not there."""
    folder = _find_real_data()
    if folder is None:
        message = "REAL FOOTAGE NOT FOUND: set SIGNLOOM_REAL_DATA to its folder; tests marked 'real' did not run"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    return folder


def _load(name: str):
    """A module of the test suite by its path below tests/: with ``--import-mode=importlib`` none can import another."""
    path = REPOSITORY / "tests" / name
    spec = importlib.util.spec_from_file_location(f"signloom_tests_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up here
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load_module():
    """``load_module("toy.py")``: a module of the test suite by its path below tests/."""
    return _load


def _in_processes(program, n_processes, *arguments):
    """Run ``program`` in so many processes that know of each other; returns what each printed."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    started = []
    for rank in range(n_processes):
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        if n_processes > 1:
            environment |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(n_processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
            }
        command = [sys.executable, "-c", program, *map(str, arguments)]
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True))  # fmt: skip
    said = []
    for process in started:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        said.append(out)
    return said


@pytest.fixture(scope="session")
def in_processes():
    """``in_processes(program, n, *arguments)``: Python code run in ``n`` processes; returns what each printed."""
    return _in_processes


@pytest.fixture(scope="session")
def media_maker():
    """tests/media/make_broken.py: ``encode_clip`` (any codec, tag and timing), ``moving_square`` and more."""
    return _load("media/make_broken.py")


@pytest.fixture(scope="session")
def people(load_module):
    """The module that makes people with poses."""
    return load_module("people.py")


@pytest.fixture(scope="session")
def broken_inputs(media_maker, tmp_path_factory):
    """More than fifty odd and broken files in one folder, each with what reading it must give. Do not change them."""
    return media_maker.make_broken_inputs(tmp_path_factory.mktemp("broken inputs"))


@pytest.fixture(scope="session")
def moving_corpus(tmp_path_factory):
    """A corpus of 24 tiny clips of frames and flow: 4 signers × 3 labels × 2 takes. Do not change it."""
    import numpy as np

    from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
    from signloom.media import content_hash, write_video
    from signloom.media.flow_files import write_flow

    folder = tmp_path_factory.mktemp("moving")
    rng = np.random.default_rng(0)
    records = []
    for signer in range(4):
        for label in range(3):
            for take in range(2):
                name = f"s{signer}.G{label}_t{take}"  # with a dot, which ids may have
                n = 6 + take
                frames = rng.integers(0, 256, (n, 40, 48, 3), np.uint8)
                write_video(folder / f"frames/{name}.mp4", frames, 10)
                write_flow(folder / f"flow/{name}.mp4", rng.normal(0, label + 1, (n, 40, 48, 2)), 10, 20.0)
                streams = {s: f"{s}/{name}.mp4" for s in ("frames", "flow")}
                content = content_hash(folder / streams["frames"])
                extra = {"take": str(take), "kept": str(folder)}
                about = {"n_frames": n, "fps": 10.0, "content": content, "extra": extra}
                records.append(Record(name, f"G{label}", f"s{signer}", streams=streams, **about))
    made = {"frames": {"extractor": "frames-h264"}, "flow": {"extractor": "flow", "limit_px": 20.0}}
    write_manifest(Manifest(tuple(records), folder, {"name": "moving", "streams": made}), folder)
    return read_manifest(folder)


@pytest.fixture(scope="session")
def painting_corpus(tmp_path_factory):
    """A painting corpus of 64 px: one signer before a grey wall, two clips to train and one to test. Do not change it.

    Streams ``signer`` and ``skeleton`` (folders of PNG, the latter four times as large); the signer is skin where limbs
    are, and nothing else.
    """
    import cv2
    import numpy as np

    from signloom.data.manifest import Manifest, Record, read_manifest, write_manifest
    from signloom.data.skeleton import INDEX, JOINTS, Joints
    from signloom.media import write_picture
    from signloom.transforms.pose_map import draw_pose_map, stick_figure

    folder, size = tmp_path_factory.mktemp("painting"), 64
    records = []
    for clip, (n, split) in {"a": (9, "train"), "b": (8, "train"), "c": (6, "test")}.items():
        xy, present = np.zeros((n, len(JOINTS), 2), np.float32), np.zeros((n, len(JOINTS)), bool)

        def put(name, x, y, xy=xy, present=present):
            xy[:, INDEX[name], 0], xy[:, INDEX[name], 1] = x, y
            present[:, INDEX[name]] = True

        angle = np.linspace(0, 2, n) + ord(clip)
        hand_x, hand_y = 26 + 8 * np.cos(angle), 44 + 8 * np.sin(angle)
        put("nose", 32, 14)
        for side, sign in (("left", 1), ("right", -1)):
            put(f"{side}_shoulder", 32 + 11 * sign, 28)
            put(f"{side}_elbow", 32 + 15 * sign, 44)
        put("right_wrist", hand_x, hand_y)
        put("right_root", hand_x, hand_y)
        for k, finger in enumerate(("thumb", "index", "middle", "ring", "little")):
            for bone in range(1, 5):
                put(f"right_{finger}_{bone}", hand_x + 2 * (k - 2), hand_y - 2 * bone)
        for name in (j for j in JOINTS if j.startswith("face_")):
            along = 2 * np.pi * INDEX[name] / 27
            put(name, 32 + 5 * np.cos(along), 14 + 6 * np.sin(along))
        joints = Joints(xy, present, 10.0)
        for t in range(n):
            pose_map = draw_pose_map(joints, t, np.eye(3), size)
            skin = cv2.dilate(pose_map.max(-1), np.ones((3, 3), np.uint8))[..., None] / 255
            picture = (120 + 90 * skin * np.array([1.0, 0.4, 0.1])).round().astype(np.uint8)
            write_picture(folder / f"signer/{clip}/{t:03}.png", picture)
            figure = stick_figure(draw_pose_map(joints, t, np.diag([4.0, 4.0, 1.0]), 4 * size))
            write_picture(folder / f"skeleton/{clip}/{t:03}.png", figure)
        streams = {s: f"{s}/{clip}" for s in ("signer", "skeleton")}
        about = {"split": split, "n_frames": n, "fps": 10.0, "content": clip}
        records.append(Record(clip, "SIGN", "one", streams=streams, **about))
    made = {"signer": {"extractor": "signer-crop", "size_px": size}, "skeleton": {"extractor": "pairs"}}
    write_manifest(Manifest(tuple(records), folder, {"name": "painting", "streams": made}), folder)
    return read_manifest(folder)


# --- a little footage, prepared once, and the command line as tests call it ---

PATTERN = "{signer}/{label}/{take}.mp4"
SMALL = Settings(size_px=(320, 240), fps=6)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these models are too small to share
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def _nothing_measured():
    """Trainings in this process do not first try how they are computed best: tests count steps and compare bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signloom.training.trainer.measured", lambda step: torch.get_num_threads())
        yield


def hashes(folder: Path, *leave_out: str) -> dict[str, str]:
    """Relative path → content hash of every file below ``folder``."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in leave_out
    }


@pytest.fixture
def tiny_disk(tmp_path):
    """``tiny_disk(n)``: a folder on a disk of ``n`` bytes; ``.grow()`` makes room.

    A file system of its own where this process may mount one; else a limit on how large files get, which the system
    refuses in the same place.
    """
    folder = tmp_path / "tiny disk"
    folder.mkdir()
    disks = []

    def make(n_bytes: int) -> TinyDisk:
        disks.append(TinyDisk(folder, n_bytes))
        return disks[0]

    yield make
    for disk in disks:
        disk.remove()


class TinyDisk:
    def __init__(self, folder: Path, n_bytes: int):
        self.folder = folder
        mount = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
        try:
            self.mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        except OSError:
            self.mounted = False
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        if not self.mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, self.limits[1]))

    def grow(self) -> None:
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,size=256m", str(self.folder)], check=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


@pytest.fixture(scope="session")
def hashes_of():
    """``hashes_of(folder, *names to leave out)``: relative path → content hash."""
    return hashes


@pytest.fixture(scope="session")
def footage(tmp_path_factory) -> Path:
    """Six clips of about 12 frames, ``{signer}/{label}/{take}.mp4``: 3 signers × 2 signs. Do not change them."""
    folder = tmp_path_factory.mktemp("footage")
    outcomes = film(make_takes(2, 3, 1, 1, SMALL), folder, workers=0, quiet=True)
    assert all(o.ok for o in outcomes)
    return folder / "videos"


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus, how it was made, and the hashes of its inputs before that."""

    manifest: Manifest
    source: Manifest
    preparation: Preparation
    inputs: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.manifest.root


@pytest.fixture(scope="session")
def corpus(footage, tmp_path_factory) -> Prepared:
    """``footage`` with its poses (MediaPipe), frames and flow, made by two workers. Do not change it."""
    inputs = hashes(footage)
    source = read_source(footage, pattern=PATTERN)
    preparation = Preparation(streams=("pose", "frames", "flow"), shorter_px=96)
    prepared, outcomes = prepare_corpus(source, tmp_path_factory.mktemp("corpus"), preparation, workers=2, quiet=True)
    assert all(o.ok for o in outcomes), outcomes
    return Prepared(prepared, source, preparation, inputs)


@pytest.fixture(scope="session")
def pose_footage(tmp_path_factory) -> Path:
    """36 exact poses, ``{signer}/{label}/{take}.pose``: 4 signers × 3 signs × 3 takes. Do not change them."""
    folder = tmp_path_factory.mktemp("poses")
    for take in make_takes(3, 4, 3, 1, SMALL):
        media.write_pose(folder / take.signer.name / take.sign.name / f"{take.take}.pose", take.pose())
    return folder


@pytest.fixture(scope="session")
def pose_corpus(pose_footage, tmp_path_factory) -> Path:
    """``pose_footage`` imported as a corpus. Do not change it."""
    folder = tmp_path_factory.mktemp("pose corpus")
    source = read_source(pose_footage, pattern="{signer}/{label}/{take}.pose")
    prepare_corpus(source, folder, Preparation(), workers=0, quiet=True)
    return folder


@pytest.fixture
def signloom(capsys):
    """``signloom(*arguments)``: run a verb in this process; returns (exit code, stdout, stderr)."""

    def call(*arguments):
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as end:  # argparse
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


class Process:
    """``python CODE`` (or ``-m signloom``) in a process group of its own, which can be killed like a user's."""

    def __init__(self, *arguments, code: str | None = None):
        start = ["-c", code] if code else ["-m", "signloom"]
        self.process = subprocess.Popen(
            [sys.executable, *start, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, timeout_s: float = 300) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out, err

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self, *, group: bool = True) -> None:
        """SIGKILL to the process and all it started, or to it alone."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()


@pytest.fixture
def start():
    """``start(*arguments)``: a :class:`Process` that does not outlive the test."""
    begun = []

    def begin(*arguments, code=None):
        begun.append(Process(*arguments, code=code))
        return begun[-1]

    yield begin
    for one in begun:
        if one.running():
            one.kill()


@pytest.fixture(scope="session")
def change_manifest():
    """``change_manifest(corpus folder, header=function, row=function)``: edit its manifest, line by line."""

    def change(folder, header=lambda h: h, row=lambda r: r):
        file = folder / "manifest.jsonl"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        lines = [header(lines[0]), *map(row, lines[1:])]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    return change
