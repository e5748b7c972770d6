"""signloom faces: the faces of a corpus, cut out and laid out to learn a face swap from."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signloom.cli.options import above, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Cut out the signers' faces, upright and at one size, to learn a face swap from: streams 'pose' and 'faces' of "
        "a corpus, and a sheet of what was kept and what was not, and why."
    )
    parser.epilog = """examples:
  signloom faces videos/ --pattern '{signer}/{label}/{take}.mp4' --out faces/
  signloom faces corpus/ --out faces/ --size-px 256              for larger faces
  signloom train faces/ --recipe swap --minutes 15 --out runs/swap

Look at faces/faces.png before you train. A frame is not learnt from where no face was found, where it is small, in
profile, out of the picture, behind a hand, blurred, or where its points do not fit a face. A killed run goes on where
it was when the same command is given again. Identities are the signers; clips without one count as one person."""
    parser.add_argument("videos", type=Path, help="a folder, a list or a corpus, as `signloom prepare` takes them")
    parser.add_argument("--out", type=Path, required=True, help="the corpus folder to write")
    parser.add_argument("--size-px", type=whole(32), default=128, help="the side of the faces (default: 128)")
    parser.add_argument("--source", default="auto", help="how to read videos, as for `signloom prepare`")
    parser.add_argument("--pattern", help="where the names stand in videos' paths")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source")
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument("--timeout-s", type=above(), default=600, help="give up on a clip after this long")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.faces import WORDS, faces_found, write_faces_sheet
    from signloom.pipelines.prepare import Preparation, prepare_corpus, streams_to_make
    from signloom.runtime.machine import check_out
    from signloom.sources import parse_options, read_source

    check_out(args.out, folder=True)
    preparation = Preparation(streams_to_make(("pose", "faces"), {"faces": {"size_px": args.size_px}}))
    manifest = read_source(args.videos, source=args.source, pattern=args.pattern, **parse_options(args.option))
    corpus, outcomes = prepare_corpus(manifest, args.out, preparation, workers=args.workers, timeout_s=args.timeout_s)
    sheet, unclear = write_faces_sheet(corpus, args.out)
    found = faces_found(corpus)
    failed = [o for o in outcomes if not o.ok]
    if args.json:
        by_word = {s: {WORDS[k]: n for k, n in count.items()} for s, count in found.items()}
        say(json_line({"corpus": str(args.out), "faces": by_word, "failed": len(failed), "sheet": str(sheet)}))
    else:
        say(f"{args.out}: {len(corpus)} clips; look at {sheet}")
        for signer, count in found.items():
            told = ", ".join(f"{n} {WORDS[k]}" for k, n in count.items())
            more = f"; {unclear[signer]} of those on the sheet are blurred" if unclear.get(signer) else ""
            say(f"  {signer or 'no name'}: {told}{more}")
    for outcome in failed[:10]:
        say(f"  failed ({outcome.reason}): {outcome.message}", file=sys.stderr)
    if failed:
        say(f"{len(failed)} clips failed and are left out", file=sys.stderr)
    return 3 if failed else 0
