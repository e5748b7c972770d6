"""signloom anonymise: a copy of a corpus that can be shared without giving away who signs."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from signloom.cli.options import above, between, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make a copy of a corpus that can be shared: every face covered in every frame, or the movement alone on a "
        "standard body. Names leave too: ids, paths, signers and sessions get pseudonyms, sound and metadata go."
    )
    parser.epilog = """methods:
  avatar     a drawn face that belongs to nobody and moves brows, eyes and mouth as the signer does (default)
  swap       a generated face of nobody's, or of a person who agreed, by a run of `train --recipe swap`
  mask       a grey shape; blur, pixelate: of --strength face widths. A little blur hides nobody
  skeleton   no footage: the movement on a standard body, drawn, and as poses
  pose       that movement as poses alone: to train on, and to be painted by `signloom generate`

examples:
  signloom anonymise corpus/ --out shared/
  signloom anonymise corpus/ --method blur --strength .2 --out shared/ --key who_is_who.json
  signloom anonymise corpus/ --method swap --model runs/swap --out shared/
  signloom anonymise corpus/ --method pose --movement-noise .5 --out shared/
  signloom anonymise videos/ --pattern '{signer}/{label}/{take}.mp4' --method mask --hands cover --out shared/

A face that is not found is covered where the head must be; a clip in which nothing tells where that is fails. Look at
shared/sheet.png before you share anything, and measure with `signloom anonymity`. Clothes, rooms, tattoos and burned-in
text stay. With a key the same command goes on, or gives the same bytes; without one nobody can undo the names."""
    parser.add_argument("corpus", type=Path, help="a corpus, or videos as `signloom prepare` takes them")
    parser.add_argument("--out", type=Path, required=True, help="the corpus folder to write")
    parser.add_argument(
        "--method", default="avatar", choices=["avatar", "swap", "mask", "blur", "pixelate", "skeleton", "pose"]
    )
    parser.add_argument(
        "--strength", type=between(0.02, 2), help="of blur and pixelate, in face widths (default: .15 and .25)"
    )
    parser.add_argument("--model", type=Path, metavar="RUN", help="the face swap of --method swap")
    parser.add_argument(
        "--target",
        metavar="WHO",
        help="whose face it paints: nobody (default), blend (of all its people), or a person who agreed",
    )
    parser.add_argument("--consent", metavar="WHERE", help="where that person's consent is kept, if the model has none")
    parser.add_argument(
        "--hands",
        default="front",
        choices=["front", "cover"],
        help="hands before the face stay as filmed, or are covered with it (default: front)",
    )
    parser.add_argument(
        "--movement-noise", type=between(0, 2), help="how far places, sizes and turns of poses are shaken, once a clip"
    )
    parser.add_argument(
        "--length-s", type=between(0, 600), help="how long every pose becomes; 0: as long as it is (default: 2)"
    )
    parser.add_argument("--no-face", action="store_true", help="take the movement of face and head out of poses")
    parser.add_argument("--key", type=Path, metavar="FILE", help="keep who is who in this file, outside of --out")
    parser.add_argument(
        "--as-copies",
        metavar="NAME",
        help="names stay, and each clip is a copy of its original: to learn from beside it, not to share",
    )
    parser.add_argument("--source", default="auto", help="how to read videos, as for `signloom prepare`")
    parser.add_argument("--pattern", help="where the names stand in videos' paths")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source")
    parser.add_argument("--no-sheet", action="store_true", help="write no sheet.png")
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument("--timeout-s", type=above(), default=1200, help="give up on a clip after this long")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from signloom.errors import InputError
    from signloom.pipelines.anonymise import anonymise_corpus, left_out_streams, names_in_labels, told_of, write_sheet
    from signloom.runtime.machine import check_out
    from signloom.sources import parse_options, read_source
    from signloom.streams.anonymise import Anonymisation
    from signloom.transforms.pose_anonymise import PoseAnonymiser

    of_poses = {"--movement-noise": args.movement_noise, "--length-s": args.length_s, "--no-face": args.no_face or None}
    if args.method not in ("skeleton", "pose") and (asked := [n for n, v in of_poses.items() if v is not None]):
        raise InputError(f"{asked[0]} shapes poses; method '{args.method}' changes none. Use --method pose or skeleton")
    check_out(args.out, folder=True)
    if args.corpus.is_dir() and args.out.resolve().is_relative_to(args.corpus.resolve()):
        raise InputError(f"--out '{args.out}' lies in '{args.corpus}', and inputs are never changed; choose another")
    check_out(args.key, folder=False)
    movement = PoseAnonymiser()
    if args.movement_noise is not None:
        movement = replace(movement, strength=args.movement_noise)
    if args.length_s is not None:
        movement = replace(movement, length_s=args.length_s or None)
    if args.no_face:
        movement = replace(movement, face=0.0, head=0.0)
    how = Anonymisation(args.method, args.strength, args.hands, movement, swap=_swap(args))
    manifest = read_source(args.corpus, source=args.source, pattern=args.pattern, **parse_options(args.option))
    for label in names_in_labels(manifest)[:5]:
        say(f"note: a signer's name stands in label '{label}', and labels are kept", file=sys.stderr)
    began = time.monotonic()
    corpus, outcomes = anonymise_corpus(
        manifest,
        args.out,
        how,
        key=args.key,
        copies=_copies(args.as_copies),
        workers=args.workers,
        timeout_s=args.timeout_s,
    )
    sheet = None if args.no_sheet else write_sheet(corpus, args.out)
    failed = [o for o in outcomes if not o.ok]
    left_out = left_out_streams(manifest, corpus)
    found = told_of(corpus)
    summary = {
        "corpus": str(args.out),
        "method": args.method,
        "clips": len(corpus),
        "streams": sorted({s for r in corpus for s in r.streams}),
        "streams_left_out": left_out,
        "frames": found,
        "failed": len(failed),
        "sheet": None if sheet is None else str(sheet),
        "key": None if args.key is None else str(args.key),
        "seconds": round(time.monotonic() - began, 1),
    }
    if args.json:
        say(json_line(summary))
    else:
        look = f"; look at {sheet}" if sheet else ""
        say(f"{args.out}: {len(corpus)} clips, {args.method}{look}")
        if found:
            told = ", ".join(f"{n} {_WHERE[kind]}" for kind, n in found.items())
            say(f"  heads covered in every frame: {told}")
        if left_out:
            again = f"; `signloom prepare {args.out}` makes streams of what is shown now"
            say(f"  left out: {', '.join(left_out)}{again if args.method != 'pose' else ''}")
        if args.as_copies:
            say("  names stay: copies to learn from, not to share")
        else:
            say(f"  who is who: {args.key} (keep it)" if args.key else "  who is who was not kept (--key keeps it)")
    for outcome in failed[:10]:
        say(f"  failed ({outcome.reason}): {outcome.message}", file=sys.stderr)
    if failed:
        say(f"{len(failed)} clips failed and are left out", file=sys.stderr)
    return 3 if failed else 0


def _copies(name: str | None) -> str:
    """Raises InputError for a name that could not stand in a clip's id."""
    from signloom.errors import InputError

    if name is not None and not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
        raise InputError(f"--as-copies '{name}': wanted letters and digits, e.g. df1")
    return name or ""


def _swap(args: argparse.Namespace) -> Any:
    """What swaps, for the method that does. Raises InputError for its options with others."""
    from signloom.errors import InputError
    from signloom.transforms.face_input import NOBODY

    if args.method != "swap":
        given = {"--model": args.model, "--target": args.target, "--consent": args.consent}
        if asked := [name for name, value in given.items() if value is not None]:
            raise InputError(f"{asked[0]} goes with --method swap, not with '{args.method}'; leave it out")
        return None
    if args.model is None:
        raise InputError("--method swap needs --model RUN, a run of `signloom train --recipe swap`")
    from signloom.tasks.swap.predict import SwapModel

    return SwapModel(str(args.model.resolve()), args.target or NOBODY, args.consent or "")


_WHERE = {
    "face": "by the face's points",
    "near": "by frames before and after",
    "body": "by the body",
    "far": "where it was last seen",
    "other": "by a detector",
    "swapped": "in which the face can be swapped",
    "others": "with somebody else's face covered too",
}
