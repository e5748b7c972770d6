"""signloom teach: show a trained recogniser a new sign a few times."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signloom.cli.options import above, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line, plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show a trained recogniser a new sign: one clip will do, three to five of several people do better. Nothing is "
        "trained, so it takes as long as preparing the clips. The model that is given stays as it is; --out is one "
        "that knows the sign as well, and is used like any other."
    )
    parser.epilog = """examples:
  signloom teach runs/a house1.mp4 house2.mp4 --label HOUSE --signer anna --out runs/a2
  signloom teach runs/a2 tree/ --label TREE --out runs/a3       a folder of clips; and so on, sign by sign
  signloom teach runs/a corpus/ --label TREE --out runs/a4      the clips of a prepared corpus that have that label
  signloom teach runs/a3 --forget HOUSE --out runs/a5           without it again

The more signs it was trained on, the better it takes up new ones; for many new signs train again (train --from)."""
    parser.add_argument("model", type=Path, help="a run of a recogniser, or a model that was taught before")
    parser.add_argument(
        "clips", nargs="*", help="video, .pose or sensor files, folders, patterns, or a prepared corpus"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--label", help="the sign that the clips show")
    what.add_argument("--forget", metavar="LABEL", help="leave out this sign, which it was taught")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the new model")
    parser.add_argument("--signer", help="who signs in the clips; kept as a hash, so that evaluate knows them again")
    parser.add_argument("--cache", type=Path, help="keep prepared streams here (default: a temporary folder)")
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument(
        "--timeout-s", type=above(), default=600, help="give up on a clip after this long (default: 600)"
    )
    parser.add_argument("--json", action="store_true", help="print what was learnt as JSON")


def run(args: argparse.Namespace) -> int:
    import tempfile

    from signloom.errors import InputError
    from signloom.pipelines.teach import forget, teach_files
    from signloom.runtime.machine import check_out

    check_out(args.out, folder=True)
    if args.forget is not None:
        if args.clips:
            raise InputError("--forget needs no clips; leave them out")
        checkpoint = forget(args.model, args.forget, args.out)
        say(
            json_line(_about(checkpoint, args.out))
            if args.json
            else f"forgotten: {plain(args.forget)}\nmodel: {args.out}"
        )
        return 0
    if not args.clips or not args.label.strip():
        raise InputError("give clips of the sign and its name: signloom teach MODEL CLIP … --label NAME --out NEW")
    with tempfile.TemporaryDirectory(prefix="signloom-") as scratch:
        done = teach_files(
            args.model,
            args.clips,
            args.label,
            args.out,
            args.cache or Path(scratch),
            signer=args.signer,
            workers=args.workers,
            timeout_s=args.timeout_s,
            quiet=args.json,
        )
    for outcome in done.failed:
        say(f"{plain(outcome.id)}: not read ({outcome.reason}): {outcome.message}", file=sys.stderr)
    if args.json:
        say(json_line(_about(done.checkpoint, args.out)))
    else:
        for clip, before, after in zip(done.clips, done.before, done.after):
            (was, p), (now, q) = before.top(1)[0], after.top(1)[0]
            none = "none of these, nearest " if before.none_of_these else ""
            say(f"{plain(clip)}: was {none}{plain(was)} {100 * p:.0f} %, is {plain(now)} {100 * q:.0f} %")
        n = done.checkpoint.taught[args.label]["clips"]
        say(f"taught: {plain(args.label)}, of {n} clip{'s' if n > 1 else ''} in all\nmodel: {args.out}")
    return 3 if done.failed else 0


def _about(checkpoint, out: Path) -> dict:
    taught = {label: about["clips"] for label, about in checkpoint.taught.items()}
    return {"model": str(out), "labels": list(checkpoint.known), "taught": taught}
