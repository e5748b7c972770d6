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
  signloom demo                    everything into ./demo, in about four minutes on two cores
  signloom demo --out /tmp/tour --signs 12 --signers 8 --takes 4 --epochs 120"""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder to write (default: demo)")
    parser.add_argument("--signs", type=whole(1), default=5, help="how many signs (default: 5)")
    parser.add_argument("--signers", type=whole(1), default=5, help="how many signers (default: 5)")
    parser.add_argument("--takes", type=whole(1), default=2, help="takes of each sign by each signer (default: 2)")
    parser.add_argument("--epochs", type=whole(1), default=60, help="epochs of training (default: 60)")
    parser.add_argument("--seed", type=whole(), default=0)
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")


def run(args: argparse.Namespace) -> int:
    from signloom.media import write_picture
    from signloom.pipelines.tour import answer_picture, clips_by_sign
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
    run_folder = out / "run"
    learn = ["recognise", out / "footage", "--out", run_folder, "--seed", args.seed, "--epochs", args.epochs, *workers]
    steps = [
        ("Film a procedural signer", [*synth, "--seed", args.seed, "--sheet", *workers]),
        ("Look the footage over", ["doctor", out / "footage"]),
        ("Find the poses, train on some signers, measure on others", learn),
        ("Name the signs in raw clips of the signer it had never seen", None),
    ]
    began = time.monotonic()
    for number, (title, step) in enumerate(steps, start=1):
        say(f"\n=== {number}/{len(steps)}  {title}", flush=True)
        if step is None:
            shown = clips_by_sign(run_folder, 4)
            step = ["predict", run_folder / "model", *(clip["video"] for clip in shown), "--top", 3]
        words = [str(a) for a in step]
        say(f"$ signloom {shlex.join(words)}", flush=True)
        code = subprocess.run([sys.executable, "-m", "signloom", *words], check=False).returncode
        # A remark by the doctor or a clip that failed (exit code 3) does not end the tour.
        if code not in (0, 3):
            say(f"the tour stopped: `signloom {shlex.join(words)}` ended with exit code {code}", file=sys.stderr)
            return code
    write_picture(out / "answers.png", answer_picture(run_folder, shown))
    say(f"\nThe tour took {time.monotonic() - began:.0f} s. What it made:")
    for path, what in (
        ("answers.png", "a signer whom the model had never seen, and what it says: a picture to show to somebody"),
        ("run/report.html", "the report: open it in a browser"),
        ("footage/sheet.png", "the procedural signers, as pictures"),
        ("footage/videos", "the footage"),
        ("run/corpus", "the poses (*.pose) and the manifest"),
        ("run/model", "the recogniser: checkpoint/, history, TensorBoard log"),
    ):
        say(f"  {out / path}  {what}")
    return 0
