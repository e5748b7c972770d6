"""signloom anonymity: how well somebody who learns can still name the signers of an anonymised corpus."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signloom.cli.options import whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure an anonymised corpus beside the one it was made of: attackers learn the signers from some clips and "
        "name them in others, by their heads and by their movement; one learns from the originals, one from what is "
        "shared. And what was kept: expression, movement, signs, flicker, the picture outside of the heads."
    )
    parser.epilog = """examples:
  signloom anonymise corpus/ --out shared/ --key who_is_who.json
  signloom anonymity corpus/ shared/ --key who_is_who.json --out private/

report.html plays clips before and after: keep it to yourself. Where each signer was filmed in one room, an attacker
learns rooms too; then figures are of people and rooms together."""
    parser.add_argument("corpus", type=Path, help="the corpus that was anonymised")
    parser.add_argument("shared", type=Path, help="what `signloom anonymise` made of it")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the key that was kept")
    parser.add_argument("--out", type=Path, help="folder for anonymity.json and report.html, outside of the shared one")
    parser.add_argument("--clips", type=whole(1), default=12, help="clips whose pictures are compared (default: 12)")
    parser.add_argument(
        "--verifier",
        type=Path,
        metavar="FOLDER",
        help="dlib's face network, as the npm package @vladmandic/face-api has it (its folder model): does it call the "
        "faces before and after one person's?",
    )
    parser.add_argument("--source", default="auto", help="how to read videos, as for `signloom prepare`")
    parser.add_argument("--pattern", help="where the names stand in videos' paths")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.data.manifest import read_manifest
    from signloom.pipelines.anonymise import read_key
    from signloom.pipelines.anonymity import anonymity_lines, measure_anonymity, write_anonymity
    from signloom.runtime.machine import check_out
    from signloom.sources import parse_options, read_source

    check_out(args.out, folder=True)
    names = read_key(args.key)
    original = read_source(args.corpus, source=args.source, pattern=args.pattern, **parse_options(args.option))
    shared = read_manifest(args.shared)
    verifier = None
    if args.verifier is not None:
        from signloom.metrics.face_verifier import load_face_verifier

        verifier = load_face_verifier(args.verifier)
    results = measure_anonymity(original, shared, names, clips=args.clips, verifier=verifier)
    if args.json:
        say(json_line(results))
    else:
        for line in anonymity_lines(results):
            say(line)
    if args.out is not None:
        files = write_anonymity(results, original, shared, names, args.out)
        say(f"look at {files[-1]}; it shows the originals, so keep it to yourself", file=sys.stderr)
    return 0
