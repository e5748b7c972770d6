"""signloom sync: where the clocks of motion sensors stand against those of the clips."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signloom.cli.options import above, between
from signloom.cli.say import say
from signloom.runtime.text import json_line

SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Find the clock offset and drift between each clip and the motion sensor worn in it, by comparing the motion "
        "of the joint that wears it with what it measured, however it was strapped on; and write a corpus in which "
        "they are corrected. Clips without a clear answer are left as they are, and listed. The input is not changed."
    )
    parser.epilog = """time on the clip's clock = offset + (1 + drift) · time on the sensor's clock

examples:
  signloom sync recordings/ --out synced/ && signloom prepare synced/ --out corpus/
  signloom sync utd_mhad/ --source mhad --option lists=splits/ --joint right_wrist --out synced/
  signloom sync corpus/ --json                                     tell, write nothing
  signloom sync corpus/ --out synced/ --max-offset-s 5 --no-stretch

Best before `prepare`, which cuts a sensor to its clip. --out gets manifest.jsonl, sync.json (a row a clip) and sync.png
(curves before and after). Exit codes: 0 all clips have an answer, 3 some have not."""
    parser.add_argument("root", type=Path, help="a corpus, or a folder or list of clips with poses and sensors")
    parser.add_argument("--out", type=Path, help="the folder for the corrected corpus; without it nothing is written")
    parser.add_argument("--source", default="auto", help="how to read it (see `signloom prepare --source help`)")
    parser.add_argument("--pattern", help="where the names stand, e.g. '{signer}/{label}/{take}.pose'")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source (repeatable)"
    )
    parser.add_argument(
        "--joint", help="where the sensor is worn, e.g. right_wrist, left_thigh (default: as records or channels say)"
    )
    parser.add_argument(
        "--max-offset-s", type=above(), default=1.0, help="look this far either way of what is known (default: 1)"
    )
    parser.add_argument(
        "--max-drift",
        type=between(0, 0.2),
        default=0.02,
        help="the same for drift, in 20 s or more (default: .02)",
    )
    parser.add_argument(
        "--sure", type=between(0, 1), default=0.5, help="refuse answers of less confidence (default: 0.5)"
    )
    parser.add_argument(
        "--no-stretch", action="store_true", help="take the sensors' rates as given; look for no common stretch of time"
    )
    parser.add_argument(
        "--fill", action="store_true", help="give refused clips the stretch and the median offset of the others"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.sync import sync_corpus
    from signloom.sources import parse_options, read_source
    from signloom.transforms.clock import Search

    manifest = read_source(args.root, source=args.source, pattern=args.pattern, **parse_options(args.option))
    done = sync_corpus(
        manifest,
        args.out,
        joint=args.joint,
        search=Search(max_offset_s=args.max_offset_s, max_drift=args.max_drift, sure=args.sure),
        stretch=not args.no_stretch,
        fill=args.fill,
        quiet=args.json,
    )
    told = done.as_dict()
    if args.json:
        say(json_line(told, indent=1))
    else:
        _print(told, args.out)
    return 0 if set(done.counts) <= {"ok", "filled"} else 3


def _print(told: Mapping[str, Any], out: Path | None) -> None:
    from signloom.transforms.clock import STATUSES

    rows = told["rows"]
    if told["stretch"]:
        factor, low, high = told["stretch"].values()
        say(
            f"rates disagree with the span they cover: the sensors' time is {factor:.3f} of what their rate says "
            f"({low:.3f} to {high:.3f}): a sensor of 50 Hz gives {50 / factor:.1f} samples a second of video"
        )
    if "offset_s" in told:
        offset = told["offset_s"]
        say(
            f"offsets: median {offset['median']:+.3f} s, 10 to 90 % {offset['p10']:+.3f} to {offset['p90']:+.3f} s; "
            f"score {told['before']:.2f} before, {told['after']:.2f} after"
        )
    meanings = {**STATUSES, "filled": "refused, given what the others have", "failed": "could not be read"}
    for status, n in sorted(told["counts"].items(), key=lambda item: item[0] != "ok"):
        say(f"{status}: {n} of {told['clips']} ({meanings[status]})")
        if status == "ok":
            continue
        named = [row for row in rows if row["status"] == status]
        for row in named[:SHOWN]:
            say(f"  {row.get('message', row['id'])}")
        if len(named) > SHOWN:
            say(f"  … and {len(named) - SHOWN} more (--json" + (f", or {out}/sync.json)" if out else ")"))
    if told["stretch"] and any(row["status"] in STATUSES and row["status"] != "ok" for row in rows):
        say("those that were refused keep the clock that they had, beside others at another rate: --fill changes that")
    if out is not None:
        say(f"wrote {out}/manifest.jsonl, sync.json, sync.png")
    else:
        say("nothing was written (--out)", file=sys.stderr)
