"""signloom synth: a corpus of a procedural signer."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from signloom.cli.options import above, whole
from signloom.cli.say import say
from signloom.errors import InputError
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make a corpus of procedural signers performing invented signs: video, the exact pose that was drawn, and "
        "wrist-worn motion sensors. Nothing in it is real footage or a sign of any language; it is free to use (CC0)."
    )
    parser.epilog = """examples:
  signloom synth footage/                                     12 signs, 6 signers, 4 takes
  signloom synth footage/ --signs 24 --signers 9 --takes 5 --left-handed 2 --seed 7
  signloom synth footage/ --size 320x240 --sheet              and sheet.png, to look at

It writes videos/<signer>/<label>/<take>.mp4, pose/<clip>.pose, imu/<clip>.csv and manifest.jsonl. The same seed gives
the same bytes, in any number of workers; a killed run goes on where it was when the same command is given again."""
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--signs", type=whole(1), default=12, help="how many signs of the 24 there are (default: 12)")
    parser.add_argument("--signers", type=whole(1), default=6, help="how many signers (default: 6)")
    parser.add_argument("--takes", type=whole(1), default=4, help="takes of each sign by each signer (default: 4)")
    parser.add_argument("--left-handed", type=whole(), default=1, help="how many of the signers (default: 1)")
    parser.add_argument("--size", default="480x360", metavar="WxH", help="frame size in pixels (default: 480x360)")
    parser.add_argument("--fps", type=above(), default=15.0, help="frames per second (default: 15)")
    parser.add_argument("--imu-rate-hz", type=above(), default=50.0, help="sensor samples per second (default: 50)")
    parser.add_argument("--seed", type=whole(), default=0)
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core; 0: inside this one)")
    parser.add_argument("--sheet", action="store_true", help="also write sheet.png: signers and signs at a glance")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.synthetic.corpus import Settings, film, make_takes

    settings = Settings(args.seed, _size(args.size), args.fps, args.imu_rate_hz)
    takes = make_takes(args.signs, args.signers, args.takes, args.left_handed, settings)
    began = time.monotonic()
    outcomes = film(takes, args.out, workers=args.workers)
    seconds = time.monotonic() - began
    failed = [o for o in outcomes if not o.ok]
    made = [o for o in outcomes if o.ok and not o.reused]
    if args.sheet:
        _write_sheet(takes, args.out / "sheet.png")
    summary = {
        "corpus": str(args.out),
        "clips": len(outcomes) - len(failed),
        "labels": args.signs,
        "signers": args.signers,
        "frames": sum(o.value["n_frames"] for o in outcomes if o.value is not None),
        "failed": len(failed),
        "made_now": len(made),
        "seconds": round(seconds, 1),
    }
    if args.json:
        say(json_line(summary))
    else:
        rate = sum(o.value["n_frames"] for o in made if o.value is not None) / max(seconds, 1e-9)
        say(
            f"{args.out}: {summary['clips']} clips ({summary['frames']} frames) of {args.signs} invented signs by "
            f"{args.signers} signers; {len(made)} made now in {seconds:.0f} s ({rate:.0f} frames/s)"
        )
    for outcome in failed[:10]:
        say(f"  failed ({outcome.reason}): {outcome.message}", file=sys.stderr)
    if failed:
        say(f"{len(failed)} clips failed; run the same command again to try them again", file=sys.stderr)
    return 3 if failed else 0


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise InputError(f"--size: got '{text}', expected WIDTHxHEIGHT, e.g. 480x360")
    return int(width), int(height)


def _write_sheet(takes, file: Path) -> None:
    from signloom.media import write_picture
    from signloom.synthetic.corpus import contact_sheet

    write_picture(file, contact_sheet(takes))
