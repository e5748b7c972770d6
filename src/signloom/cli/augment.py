"""signloom augment: a corpus made larger by changed copies of its clips."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from signloom.cli.options import above, between, or_help, policies, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make changed copies of the clips of a corpus: moved, turned, faster, darker … One draw changes a copy's "
        "frames and its pose alike; its flow is found anew. A copy stays in its parent's split."
    )
    parser.epilog = """examples:
  signloom augment corpus/ --policy signing --times 3 --out grown/      3 copies of each training clip, and the clips
  signloom augment corpus/ --policy help                                what there is
  signloom augment --policy signing --show > mine.toml                  a policy to begin with; change it, then
  signloom augment corpus/ --policy mine.toml --times 5 --streams pose --out grown/
  signloom augment corpus/ --policy published --times 2 --out grown/ --estimate      only say what it would take
  signloom augment videos/ --pattern '{signer}/{label}/{take}.mp4' --policy time --out grown/

Look at grown/sheet.png and grown/side_by_side.mp4. The same seed gives the same bytes in any number of workers; a
killed run goes on where it was when the same command is given again. Clips that fail are listed in failures.jsonl; the
exit code is then 3."""
    parser.add_argument("corpus", type=Path, nargs="?", help="a corpus, or videos as `signloom prepare` takes them")
    parser.add_argument("--out", type=Path, help="the corpus folder to write")
    parser.add_argument(
        "--policy",
        type=or_help(policies),
        default="signing",
        metavar="NAME|FILE",
        help="what is done: a name or a TOML file; `--policy help` lists what there is (default: signing)",
    )
    parser.add_argument("--show", action="store_true", help="print the policy as a file, and do nothing")
    parser.add_argument("--times", type=whole(1, 1000), default=1, help="copies of each clip (default: 1)")
    parser.add_argument(
        "--strength", type=between(0, 10), default=1, help="times the policy's amounts; 0 changes nothing (default: 1)"
    )
    parser.add_argument("--seed", type=whole(), default=0, help="everything drawn follows from it (default: 0)")
    parser.add_argument(
        "--streams", nargs="+", help="what a copy has, of video pose frames flow signer (default: all that clips have)"
    )
    parser.add_argument(
        "--all-splits", action="store_true", help="copy validation and test clips as well, not training clips alone"
    )
    parser.add_argument("--only-copies", action="store_true", help="leave the originals out of the new corpus")
    parser.add_argument("--estimate", action="store_true", help="only say how much disk and time it would take")
    parser.add_argument("--no-estimate", action="store_true", help="begin at once, without trying one clip first")
    parser.add_argument("--no-sheet", action="store_true", help="write no sheet.png and no side_by_side.mp4")
    parser.add_argument("--source", default="auto", help="how to read videos, as for `signloom prepare`")
    parser.add_argument("--pattern", help="where the names stand in videos' paths")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source")
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument("--timeout-s", type=above(), default=600, help="give up on a clip after this long")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on a Ray cluster: 'auto', 'local' or an address")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.data.consent import for_use
    from signloom.data.failures import FAILURES_FILE
    from signloom.errors import InputError, MachineError
    from signloom.pipelines.augment import augment_corpus, derivation_of, estimate, for_training
    from signloom.pipelines.augment_sheet import write_sheets
    from signloom.runtime.machine import check_out
    from signloom.sources import parse_options, read_source
    from signloom.transforms.augment.policy import as_toml, policy_named

    policy = policy_named(args.policy)
    if args.strength != 1:
        policy = policy.scaled(args.strength)
    if args.show:
        say(as_toml(policy).rstrip())
        return 0
    if args.corpus is None or args.out is None:
        raise InputError("augment needs a corpus and --out. See: signloom augment --help")
    check_out(args.out, folder=True)
    manifest = read_source(args.corpus, source=args.source, pattern=args.pattern, **parse_options(args.option))
    manifest = for_use(manifest, "training")
    how = derivation_of(manifest, policy, args.times, args.seed, args.streams)

    def wanted(record) -> bool:
        return not record.augmented if args.all_splits else for_training(record)

    expected = None
    if not args.no_estimate or args.estimate:
        expected = estimate(manifest, args.out, how, choose=wanted, workers=args.workers)
        told = _expectation(expected)
        if args.estimate:
            say(json_line(expected.as_dict()) if args.json else told)
            return 0
        say(f"augment: {told}", file=sys.stderr)
        if expected.nbytes > expected.free_bytes:
            raise MachineError(f"'{args.out}' cannot hold the copies: {told}. Ask for fewer --times or --streams")
    began = time.monotonic()
    corpus, outcomes = augment_corpus(
        manifest,
        args.out,
        how,
        choose=wanted,
        originals=not args.only_copies,
        workers=args.workers,
        timeout_s=args.timeout_s,
        ray_address=args.ray,
    )
    sheets = [] if args.no_sheet else write_sheets(corpus, manifest, args.out)
    failed = [o for o in outcomes if not o.ok]
    copies = sum(r.augmented for r in corpus)
    summary = {
        "corpus": str(args.out),
        "policy": policy.name,
        "clips": len(corpus),
        "copies": copies,
        "streams": list(how.streams),
        "failed": len(failed),
        "made_now": sum(o.ok and not o.reused for o in outcomes) * args.times,
        "seconds": round(time.monotonic() - began, 1),
        "estimate": None if expected is None else expected.as_dict(),
        "sheets": [str(file) for file in sheets],
    }
    if args.json:
        say(json_line(summary))
    else:
        look = f"; look at {sheets[0]}" if sheets else ""
        say(f"{args.out}: {len(corpus)} clips, {copies} of them copies ({', '.join(how.streams)}){look}")
        say(f"  {summary['made_now']} copies made now in {summary['seconds']:.0f} s")
    for outcome in failed[:10]:
        say(f"  failed ({outcome.reason}): {outcome.message}", file=sys.stderr)
    if failed:
        say(f"{len(failed)} clips failed: see {args.out / FAILURES_FILE}", file=sys.stderr)
    return 3 if failed else 0


def _expectation(expected) -> str:
    minutes, seconds = divmod(round(expected.seconds), 60)
    workers = f"{expected.workers} worker{'s' if expected.workers > 1 else ''}"
    return (
        f"{expected.copies} copies to make of {expected.clips} clips: about {_size(expected.nbytes)} and {minutes}:"
        f"{seconds:02d} min with {workers}; {_size(expected.free_bytes)} are free"
    )


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.1f} MiB"
