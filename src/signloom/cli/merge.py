"""signloom merge: several corpora joined into one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Join corpora into one. No file is copied: the new manifest points to the files where they are. Streams must "
        "have been made alike; ids stay unique; splits and parents are kept, and leaks between the corpora refused."
    )
    parser.epilog = """examples:
  signloom merge corpusA/ corpusB/ --out both/
  signloom merge corpusA/ corpusB/ --glosses glosses.csv --out both/    what is called what
  signloom merge corpusA/ corpusB/ --leave-out flow --out both/         their flow was made otherwise
  signloom merge corpusA/ corpusB/ --signers-apart --out both/          signer 1 there is not signer 1 here

glosses.csv has the columns label and gloss, and maybe corpus (the folder's name). An empty gloss leaves clips out:

  corpus,label,gloss
  corpusB,hello,HELLO
  corpusB,test sign,"""
    parser.add_argument("corpora", type=Path, nargs="+", help="corpus folders, two or more")
    parser.add_argument("--out", type=Path, required=True, help="the corpus folder to write")
    parser.add_argument(
        "--glosses", type=Path, metavar="CSV", help="a table of what labels are called in the new corpus"
    )
    parser.add_argument(
        "--signers-apart", action="store_true", help="signers and sources of one name are different ones"
    )
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="STREAM", help="streams not to take over")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.merge import merge_corpora, read_glosses
    from signloom.runtime.machine import check_out

    check_out(args.out, folder=True)
    glosses = read_glosses(args.glosses) if args.glosses else None
    merged = merge_corpora(
        args.corpora, args.out, glosses=glosses, signers_apart=args.signers_apart, leave_out=args.leave_out
    )
    notes = list(merged.meta.get("notes", ()))
    came = {row["name"]: row["clips"] for row in merged.meta["merged"]}
    summary = {
        "corpus": str(args.out),
        "clips": len(merged),
        "from": came,
        "labels": len(merged.labels),
        "signers": len(merged.signers),
        "streams": list(merged.meta.get("streams", {})),
        "notes": notes,
    }
    if args.json:
        say(json_line(summary))
    else:
        parts = ", ".join(f"{n} of {name}" for name, n in came.items())
        say(f"{args.out}: {len(merged)} clips ({parts}), {summary['labels']} labels, {summary['signers']} signers")
        for note in notes:
            say(f"note: {note}", file=sys.stderr)
    return 0
