"""signloom info: what a folder is, what it was made of, how good it is, and what it needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say what a run, a checkpoint, a fusion, a cross-validation, a corpus or shards are: what they were made of, "
        "how good they are, and what they need. Reads a few small files and changes nothing."
    )
    parser.epilog = """examples:
  signloom info runs/mine/model
  signloom info corpus/
  signloom info runs/* --json"""
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="runs, corpora, shards …")
    parser.add_argument("--json", action="store_true", help="print one JSON object per folder and line")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.info import describe, lines_of

    found = [describe(folder) for folder in args.folders]
    for number, about in enumerate(found):
        if args.json:
            say(json_line(about))
        else:
            say(("\n" if number else "") + "\n".join(lines_of(about)))
    return 0
