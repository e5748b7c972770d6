"""signloom shard: a prepared corpus as a few large tar files, for training on very many clips."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from signloom.cli.options import above, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a prepared corpus as shards: tar files of some hundred MB that `signloom train` and any webdataset "
        "reader take. For corpora of too many clips to index, to copy file by file, or to read from a network disk."
    )
    parser.epilog = """examples:
  signloom shard corpus/ --out shards/                                     signer-disjoint split, all streams
  signloom shard corpus/ --out shards/ --split split.json --streams frames
  signloom train shards/ --recipe rgb --out runs/a                         then evaluate runs/a on corpus/

The split is fixed here: train-000000.tar …, val-…, test-…. Each shard is a random sample of its split. The same command
gives the same bytes; a killed run goes on where it was. shards.json is written last: where it exists, all is there."""
    parser.add_argument("corpus", type=Path, help="a corpus folder made by `signloom prepare`")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--streams", nargs="+", help="what to put in: pose frames flow (default: all the corpus has)")
    parser.add_argument(
        "--split",
        default="auto",
        help="a split file, 'given' (the corpus's own), or a scheme: signer, source, random "
        "(default: the corpus's own if it has one, else signer)",
    )
    parser.add_argument("--shard-mb", type=above(), default=512, help="about how large a shard is to be (default: 512)")
    parser.add_argument(
        "--seed", type=whole(), default=0, help="for the split and for which clip goes where (default: 0)"
    )
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.data.consent import for_use
    from signloom.data.manifest import read_manifest
    from signloom.data.splits import choose_split
    from signloom.pipelines.shard import shard_corpus

    manifest, split = choose_split(read_manifest(args.corpus), args.split, seed=args.seed)
    manifest = for_use(manifest, "training")
    for note in split.details.get("notes", []):
        say(f"note: {note}", file=sys.stderr)
    began = time.monotonic()
    shards = shard_corpus(
        manifest, args.out, streams=args.streams, shard_mb=args.shard_mb, seed=args.seed, workers=args.workers
    )
    rows = [row for rows in shards.splits.values() for row in rows]
    summary = {
        "shards": str(args.out),
        "count": len(rows),
        "clips": {name: shards.n_clips(name) for name in shards.splits},
        "streams": sorted(shards.streams),
        "split": shards.split["scheme"],
        "mb": round(sum(row.bytes for row in rows) / 2**20, 1),
        "seconds": round(time.monotonic() - began, 1),
    }
    if args.json:
        say(json_line(summary))
    else:
        clips = ", ".join(f"{n} {name}" for name, n in summary["clips"].items())
        say(
            f"{args.out}: {len(rows)} shards, {summary['mb']:g} MB, of {', '.join(summary['streams'])}; clips: {clips} "
            f"({summary['split']} split). Next: signloom train {args.out} --out RUN"
        )
    return 0
