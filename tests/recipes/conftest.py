"""A little footage, prepared once, and the command line as tests call it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from signloom import cli
from signloom.data import files
from signloom.data.manifest import Manifest
from signloom.recipes.prepare import Preparation, prepare_corpus
from signloom.sources import read_source
from signloom.synthetic.corpus import Settings, film, make_takes

PATTERN = "{signer}/{label}/{take}.mp4"
SMALL = Settings(size_px=(320, 240), fps=6)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these models are too small to share
    yield
    torch.set_num_threads(threads)


def hashes(folder: Path, *leave_out: str) -> dict[str, str]:
    """Relative path → content hash of every file below ``folder``."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in leave_out
    }


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
        files.write_pose(folder / take.signer.name / take.sign.name / f"{take.take}.pose", take.pose())
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
