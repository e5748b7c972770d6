"""signloom poses: poses for other programs, as tables and as moving skeletons."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write poses for other programs: as tables (CSV), or as skeletons that move (BVH)."
    parser.epilog = """examples:
  signloom poses corpus/ --out tables/
  signloom poses corpus/ --out skeletons/ --as bvh
  signloom poses hello.pose --out tables/ --as csv bvh

A table has a row for each frame: its time, and x, y (pixels) and confidence of each of 82 joints; what was not found is
empty. A BVH file has the joints' places relative to each other, in centimetres of a signer whose shoulders are 40
cm wide; z is 0, since a picture has no depth."""
    parser.add_argument("sources", nargs="+", type=Path, help="corpora with the stream pose, or .pose files")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write to")
    parser.add_argument(
        "--as", nargs="+", choices=["csv", "bvh"], default=["csv"], dest="formats", help="(default: csv)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per pose")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.pose_tables import write_pose_tables
    from signloom.runtime.machine import check_out

    check_out(args.out, folder=True)
    good = bad = 0
    for done in write_pose_tables(args.sources, args.out, list(dict.fromkeys(args.formats))):
        good, bad = good + (not done.error), bad + bool(done.error)
        if args.json:
            say(json_line({"id": done.id, "files": list(map(str, done.files)), "error": done.error or None}))
        elif done.error:
            say(f"  failed: {done.id}: {done.error}", file=sys.stderr)
    if not args.json:
        say(f"{args.out}: {good} poses written" + (f", {bad} failed" if bad else ""))
    return 3 if bad and good else int(bool(bad))
