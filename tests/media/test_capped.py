"""A call in a process of its own: its result, its errors, and its end, whatever it does."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from signloom import media
from signloom.errors import InputError, MediaError
from signloom.runtime.capped import run_capped


def test_run_capped_returns_and_raises_what_the_function_does(media_maker, tmp_path):
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(5))
    video = run_capped(media.read_video, path, timeout_s=60)
    np.testing.assert_array_equal(video.frames_THWC, media.read_video(path).frames_THWC)
    with pytest.raises(MediaError, match="nothing") as caught:
        run_capped(media.probe, tmp_path / "nothing.mp4", timeout_s=60)
    assert caught.value.reason == "missing"
    with pytest.raises(ValueError, match="invalid literal"):
        run_capped(int, "x", timeout_s=60)


def test_run_capped_kills(tmp_path, reason_of):
    started = time.monotonic()
    with pytest.raises(MediaError, match="killed") as caught:
        run_capped(time.sleep, 60, timeout_s=1)
    assert caught.value.reason == "timeout"
    assert time.monotonic() - started < 10
    for function, args in ((os.abort, ()), (os._exit, (3,)), (os.kill, (0, signal.SIGKILL))):
        assert reason_of(run_capped, function, *args, timeout_s=30) == "crashed"


def test_run_capped_kills_what_the_function_started(tmp_path, reason_of):
    pid_file = tmp_path / "pid"
    (tmp_path / "starts.py").write_text(
        "import pathlib, subprocess, time\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(subprocess.Popen(['sleep', '60']).pid))\n"
        "time.sleep(60)\n"
    )
    assert reason_of(run_capped, runpy.run_path, str(tmp_path / "starts.py"), timeout_s=2) == "timeout"
    assert _gone(int(pid_file.read_text()))


def test_run_capped_dies_with_its_parent(tmp_path):
    (tmp_path / "child.py").write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    call = (
        "import runpy\n"
        "from signloom.runtime.capped import run_capped\n"
        f"run_capped(runpy.run_path, {str(tmp_path / 'child.py')!r}, timeout_s=60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", call], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    until = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert _gone(int((tmp_path / "pid").read_text()))


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":  # dead, and not yet collected by init
            return True
        time.sleep(0.05)
    return False


def test_run_capped_caps_memory(reason_of):
    assert reason_of(run_capped, bytearray, 4 << 30, timeout_s=60, memory_bytes=1 << 30) == "out-of-memory"
    assert len(run_capped(bytes, 1 << 20, timeout_s=60, memory_bytes=1 << 30)) == 1 << 20


def test_run_capped_refuses_what_cannot_travel():
    with pytest.raises(InputError, match="another process"):
        run_capped(lambda: 1, timeout_s=5)


def test_run_capped_keeps_prints_apart(capfd):
    assert run_capped(print, "a line of the function", timeout_s=60) is None
    out, err = capfd.readouterr()
    assert out == ""
    assert "a line of the function" in err
