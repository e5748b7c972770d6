"""One folder's life: a command that is killed some times, started again each time, and comes to its end."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from killing.compare import different, inputs, outputs, unfinished
from killing.scenes import Scene, environment

# How it dies, and how often: signal, and whether all that it started gets it too (as Ctrl-C and a crash of the machine
# do) or it alone (as the kernel's out-of-memory killer does).
DEATHS = (
    (signal.SIGKILL, True, 8),
    (signal.SIGKILL, False, 4),
    (signal.SIGTERM, True, 2),
    (signal.SIGTERM, False, 2),
    (signal.SIGINT, True, 4),
)
PATIENCE_S = 600.0
_CLOCKS_S = (-3e8, -86400.0, -3600.0, 3600.0, 86400.0, 3e8)


@dataclass
class Reference:
    """What an undisturbed run of a scene left, what its inputs were, and how long it takes: at least, so far."""

    outputs: dict[str, str]
    inputs: dict[str, str]
    seconds: float


@dataclass
class Life:
    """What happened, and what was found wrong with it."""

    number: int
    scene: str
    deaths: list[str] = field(default_factory=list)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Started:
    """A signloom in a process group of its own."""

    def __init__(self, words: list, site: Path, clock_s: float = 0.0):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "signloom", *map(str, words)],
            env=environment(site, clock_s),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None

    def kill(self, sign: signal.Signals, group: bool) -> None:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, sign)

    def finish(self, seconds: float = PATIENCE_S) -> tuple[int | None, str]:
        """(exit code, what it wrote); the code is None where it had to be killed for taking too long."""
        try:
            said, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGKILL, True)
            return None, self.process.communicate()[0]
        return self.process.returncode, said

    def gone_within(self, seconds: float) -> bool:
        """Whether nothing that it started is left; workers whose parent died finish what they do."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.05)
        return False


def refer(scene: Scene, out: Path, site: Path) -> Reference:
    """Run ``scene`` undisturbed, into ``out``."""
    began = time.monotonic()
    code, said = Started(scene.words(out), site).finish()
    if code != 0:
        sys.exit(f"scene {scene.name}, undisturbed, ended with exit code {code}:\n{said}")
    return Reference(outputs(out, scene), inputs(scene.inputs), time.monotonic() - began)


def live(scene: Scene, life: Life, out: Path, site: Path, reference: Reference, rng: random.Random, kills: int) -> Life:
    """Kill it ``kills`` times at most, let it end, and compare."""
    began = time.monotonic()
    for _ in range(kills):
        clock_s = rng.choice(_CLOCKS_S) if rng.random() < 0.3 else 0.0
        sign, group, _ = rng.choices(DEATHS, weights=[d[2] for d in DEATHS])[0]
        wait = rng.uniform(0.02, 1) * reference.seconds
        started, begun = Started(scene.words(out), site, clock_s), time.monotonic()
        if started.ends_within(wait):
            life.wrong += _ended(*started.finish(), "before it was killed")
            if not life.deaths:
                reference.seconds = min(reference.seconds, time.monotonic() - begun)
            break
        started.kill(sign, group)
        code, said = started.finish(60)
        what = f"{sign.name}{'' if group else ' alone'} after {wait:.1f} s"
        life.deaths.append(f"{what}{f', clock {clock_s:+.0f} s' if clock_s else ''}")
        life.wrong += [f"{w} ({what})" for w in _dead(scene, out, reference, sign, code, said)]
        if rng.random() < 0.3:
            _age(out, rng)
    started = Started(scene.words(out), site)
    life.wrong += _ended(*started.finish(), "at the end")
    if not started.gone_within(20):
        life.wrong.append("processes are left that it started")
    life.wrong += compared(scene, out, reference)
    life.seconds = time.monotonic() - began
    return life


def compared(scene: Scene, out: Path, reference: Reference) -> list[str]:
    """What is not as an undisturbed run left it."""
    wrong = [f"different: {name}" for name in different(outputs(out, scene), reference.outputs)]
    wrong += [f"left over: {name}" for name in unfinished(out)]
    return wrong + [f"input changed: {name}" for name in different(inputs(scene.inputs), reference.inputs)]


def _ended(code: int | None, said: str, when: str) -> list[str]:
    if code == 0:
        return []
    return [f"exit code {code} {when}: {said.strip()[-300:]}" if code is not None else f"it hung {when}"]


def _dead(
    scene: Scene, out: Path, reference: Reference, sign: signal.Signals, code: int | None, said: str
) -> list[str]:
    """What is wrong with a death: words, code, and files that have their final name and are not final."""
    wrong = []
    if code is None:
        wrong.append(f"it did not die of {sign.name}")
    pythons_own = code == -signal.SIGINT or "Fatal Python error: init" in said  # before there was any of signloom
    if sign is signal.SIGINT and code not in (130, 0) and not pythons_own:
        wrong.append(f"exit code {code} after Ctrl-C: {said.strip()[-200:]}")
    if sign is signal.SIGINT and "Traceback" in said and not pythons_own:
        wrong.append(f"a traceback after Ctrl-C: {said.strip()[-200:]}")
    there = outputs(out, scene) if out.exists() else {}
    if scene.whole in there and different(there, reference.outputs):
        wrong.append(f"{scene.whole} is there, and not all is whole")
    if scene.final:
        wrong += [f"half a file under its final name: {n}" for n, h in there.items() if reference.outputs.get(n) != h]
    return wrong


def _age(out: Path, rng: random.Random) -> None:
    """Set the times of what is there to the future or the past, as a wrong clock does."""
    when = time.time() + rng.choice(_CLOCKS_S)
    for path in out.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, (when, when), follow_symlinks=False)


# --- two processes, a full disk -----------------------------------------------------------------------------------


def two_at_once(scene: Scene, life: Life, out: Path, site: Path, reference: Reference, rng: random.Random) -> Life:
    """The same command twice at a time: one does it, the other is refused (or finds it done)."""
    began = time.monotonic()
    one = Started(scene.words(out), site)
    time.sleep(rng.uniform(0, 0.3) * reference.seconds)
    other = Started(scene.words(out), site)
    ends = [one.finish(), other.finish()]
    codes = [code for code, _ in ends]
    if 0 not in codes:
        life.wrong.append(f"neither did it: {ends}")
    for code, said in ends:
        if code not in (0, 2) or (code == 2 and "being written by another" not in said):
            life.wrong.append(f"exit code {code}: {said.strip()[-300:]}")
    if 2 in codes:
        code, said = Started(scene.words(out), site).finish()
        life.wrong += _ended(code, said, "afterwards")
    life.wrong += compared(scene, out, reference)
    life.deaths.append("two at once")
    life.seconds = time.monotonic() - began
    return life


def full_disk(scene: Scene, life: Life, mount: Path, site: Path, reference: Reference, rng: random.Random) -> Life:
    """A disk that fills: the run ends and says so, nothing half is left under a final name; with room it goes on."""
    began = time.monotonic()
    mount.mkdir(parents=True)
    size_kb = 4 * int(rng.uniform(5, 40))
    if not _mounted(mount, f"size={size_kb}k"):
        life.deaths.append("not tried: a small disk can be mounted by root alone")
        return life
    try:
        out = mount / "out"
        code, said = Started(scene.words(out), site).finish()
        what = f"{size_kb} kB"
        life.deaths.append(f"disk of {what} full")
        if code == 0:
            life.wrong += compared(scene, out, reference)
            return life
        if code not in (1, 2, 4) or not re.search(r"(?i)no space|disk", said) or "Traceback" in said:
            life.wrong.append(f"disk full ({what}): exit code {code}: {said.strip()[-300:]}")
        there = outputs(out, scene) if out.exists() else {}
        if scene.whole in there:
            life.wrong.append(f"disk full ({what}): {scene.whole} says that all is there")
        if scene.final:
            life.wrong += [f"disk full: half a file: {n}" for n, h in there.items() if reference.outputs.get(n) != h]
        _mounted(mount, "remount,size=500m")
        life.wrong += _ended(*Started(scene.words(out), site).finish(), "with room again")
        life.wrong += compared(scene, out, reference)
    finally:
        subprocess.run(["umount", str(mount)], check=False)
        life.seconds = time.monotonic() - began
    return life


def _mounted(mount: Path, options: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount)]
    return os.geteuid() == 0 and subprocess.run(words, capture_output=True, check=False).returncode == 0
