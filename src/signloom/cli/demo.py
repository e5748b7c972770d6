"""signloom demo: the whole tour on a corpus it makes itself."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from signloom.cli.options import whole
from signloom.cli.say import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make a small corpus with the procedural signer, find its poses with the real pose estimator, train a "
        "recogniser on some signers, measure it on others, and name the signs in raw clips. Nothing is downloaded."
    )
    parser.epilog = """examples:
  signloom demo                    everything into ./demo, in a few minutes on two cores
  signloom demo --out /tmp/tour --signs 6 --signers 4 --takes 2"""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder to write (default: demo)")
    parser.add_argument("--signs", type=whole(1), default=8, help="how many signs (default: 8)")
    parser.add_argument("--signers", type=whole(1), default=6, help="how many signers (default: 6)")
    parser.add_argument("--takes", type=whole(1), default=3, help="takes of each sign by each signer (default: 3)")
    parser.add_argument("--seed", type=whole(), default=0)
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")


def run(args: argparse.Namespace) -> int:
    from signloom.runtime.machine import check_out

    out = args.out
    check_out(out, folder=True)
    workers = ["--workers", args.workers] if args.workers else []
    synth = [
        "synth",
        out / "footage",
        "--signs",
        args.signs,
        "--signers",
        args.signers,
        "--takes",
        args.takes,
        "--size",
        "320x240",
    ]
    steps = [
        ("Film a procedural signer", [*synth, "--seed", args.seed, "--sheet", *workers]),
        ("Look the footage over", ["doctor", out / "footage"]),
        (
            "Find the poses, train on some signers, measure on others",
            ["recognise", out / "footage", "--out", out / "run", "--seed", args.seed, *workers],
        ),
        ("Name the signs in raw clips of one signer", None),
    ]
    began = time.monotonic()
    for number, (title, step) in enumerate(steps, start=1):
        say(f"\n=== {number}/{len(steps)}  {title}", flush=True)
        if step is None:
            step = ["predict", out / "run" / "model", *_some_clips(out / "footage"), "--top", 3]
        words = [str(a) for a in step]
        say(f"$ signloom {shlex.join(words)}", flush=True)
        code = subprocess.run([sys.executable, "-m", "signloom", *words], check=False).returncode
        # A remark by the doctor or a clip that failed (exit code 3) does not end the tour.
        if code not in (0, 3):
            say(f"the tour stopped: `signloom {shlex.join(words)}` ended with exit code {code}", file=sys.stderr)
            return code
    say(f"\nThe tour took {time.monotonic() - began:.0f} s. What it made:")
    for path, what in (
        ("run/report.html", "the report: open it in a browser"),
        ("footage/sheet.png", "the procedural signers, as pictures"),
        ("footage/videos", "the footage"),
        ("run/corpus", "the poses (*.pose) and the manifest"),
        ("run/model", "the recogniser: checkpoint/, history, TensorBoard log"),
    ):
        say(f"  {out / path}  {what}")
    return 0


def _some_clips(footage: Path) -> list[Path]:
    """One clip each of the first four signs, by the last signer."""
    signers = sorted(p for p in (footage / "videos").iterdir() if p.is_dir())
    return [sorted(sign.glob("*.mp4"))[0] for sign in sorted(signers[-1].iterdir())[:4]]
