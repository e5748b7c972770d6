"""signloom pull: a model that was pushed, checked by hash."""

from __future__ import annotations

import argparse
from pathlib import Path

from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fetch a model that `signloom push` wrote, from a folder or a hub. Each file must be what the model's list "
        "says; only tensors and JSON are taken, never code or a pickle, and nothing is named before all is checked."
    )
    parser.epilog = """examples:
  signloom pull shared/my-signs --out runs/theirs
  signloom pull hf:anna/my-signs --out runs/theirs --expect 3f9a…       the identity that push told
  signloom predict runs/theirs clip.mp4"""
    parser.add_argument("source", help="a folder, or hf:OWNER/NAME")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to make")
    parser.add_argument("--revision", help="of a repository on the hub: a commit, branch or tag")
    parser.add_argument("--expect", metavar="HASH", help="refuse a model of another identity")
    parser.add_argument("--json", action="store_true", help="print what was pulled as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.hub import pull
    from signloom.runtime.machine import check_out

    check_out(args.out, folder=True)
    done = pull(args.source, args.out, revision=args.revision, expect=args.expect)
    if args.json:
        say(json_line({"out": str(args.out), "files": dict(done.files), "identity": done.identity}))
    else:
        size = sum(done.files.values()) / 2**20
        say(f"{args.out}: {len(done.files)} files, {size:.1f} MiB, as listed\n  identity {done.identity}")
    return 0
