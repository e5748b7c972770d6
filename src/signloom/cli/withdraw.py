"""signloom withdraw: a signer takes their consent back; all that derives from them is listed and removed."""

from __future__ import annotations

import argparse
from pathlib import Path

from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List all that derives from a signer in corpora, shards and runs: clips, copies and other derived clips, files "
        "that no record names any more, reports, and models that learnt from them. With --yes it is removed, but for "
        "the models, which are named: only training again takes somebody out of a model."
    )
    parser.epilog = """examples:
  signloom withdraw corpus/ grown/ shards/ runs/ --signer anna            only list
  signloom withdraw corpus/ grown/ shards/ runs/ --signer anna --yes      remove, and note the day
  signloom withdraw corpus/ shared/ --signer anna --key who_is_who.json   also under the pseudonym she has there
  signloom withdraw corpus/ --signer anna --no-longer display synthesis   keep the clips, forbid these uses

Footage outside of a corpus's folder is listed and kept unless --sources is given."""
    parser.add_argument("folder", type=Path, nargs="+", help="corpora, shards, runs, or folders of them")
    parser.add_argument("--signer", required=True, help="who, as the manifests name them")
    parser.add_argument("--key", type=Path, metavar="FILE", help="a key that `signloom anonymise` kept")
    parser.add_argument("--sources", action="store_true", help="count footage outside of the corpus folders too")
    parser.add_argument(
        "--no-longer",
        nargs="+",
        choices=["training", "display", "synthesis"],
        help="remove nothing; note that these uses are no longer allowed",
    )
    parser.add_argument("--yes", action="store_true", help="remove what is listed")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.anonymise import read_key
    from signloom.pipelines.withdraw import find_person, mark_uses, remove_person

    names = [args.signer]
    if args.key is not None:
        names += [v for k, v in read_key(args.key).signers.items() if k == args.signer]
    if args.no_longer:
        marked = mark_uses(args.folder, names, args.no_longer)
        told = {"signer": args.signer, "no_longer": args.no_longer, "corpora": [str(f) for f in marked]}
        say(json_line(told) if args.json else f"{len(marked)} corpora: {args.signer} no longer allows {args.no_longer}")
        return 0
    found = find_person(args.folder, names, sources=args.sources)
    gone = remove_person(found, names) if args.yes else 0
    if args.json:
        say(json_line({"signer": args.signer, "removed_files": gone, "found": [one.as_dict() for one in found]}))
        return 0
    for one in found:
        derived = f", {len(one.derived)} of them derived" if one.derived else ""
        clips = f"{len(one.clips)} clips{derived}; " if one.clips else ""
        say(f"{one.folder} ({one.kind}): {clips}{len(one.files)} files {'removed' if args.yes else 'to remove'}")
        for what, why in one.kept.items():
            say(f"  {what}: {why}")
    if not args.yes:
        say("nothing was removed; --yes does it")
    return 0
