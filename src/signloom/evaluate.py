"""signloom evaluate: measure a recogniser on clips it has never seen, and write the report."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Measure a recogniser on one split of a corpus, with intervals, per signer and per class."
    parser.epilog = """examples:
  signloom evaluate runs/a corpus/                     the test split that `signloom train` kept in runs/a
  signloom evaluate runs/a corpus/ --on val --json
  signloom evaluate runs/a other_corpus/ --split all   every clip of a corpus the model has never met"""
    parser.add_argument("run", type=Path, help="a run folder or checkpoint made by `signloom train`")
    parser.add_argument("corpus", type=Path, help="a corpus folder made by `signloom prepare`")
    parser.add_argument("--on", default="test", choices=["test", "val", "train"], help="which split (default: test)")
    parser.add_argument(
        "--split", help="a split file, 'given' (the corpus's own) or 'all' (every clip is test); default: the run's own"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for evaluation-SPLIT.json and report.html (default: the run's)"
    )
    parser.add_argument("--no-clips", action="store_true", help="embed no footage in the report")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from signloom.data.manifest import Manifest, read_manifest, write_json
    from signloom.data.splits import apply_split, read_split
    from signloom.learning.checkpoint import load_checkpoint
    from signloom.recipes.recognise import choose_split, evaluate_run
    from signloom.report.page import write_report
    from signloom.report.text import summary_lines

    checkpoint = load_checkpoint(args.run)
    corpus: Manifest = read_manifest(args.corpus)
    own = args.run / "split.json"
    if args.split == "all":
        everything = tuple(replace(r, split=args.on) for r in corpus)
        corpus = replace(corpus, records=everything)
        checkpoint = replace(checkpoint, split={**checkpoint.split, "detail": "every clip of the corpus"})
    elif args.split is None and own.exists():
        corpus = apply_split(corpus, read_split(own))
    else:
        corpus, _ = choose_split(corpus, args.split or "given", seed=0)
    results = evaluate_run(checkpoint, corpus, args.on)
    out = args.out or args.run
    file = write_json(out / f"evaluation-{args.on}.json", results)
    page = write_report(results, out / "report.html", embed_clips=not args.no_clips)
    if args.json:
        print(
            json.dumps(
                {
                    "metrics": results["metrics"],
                    "per_signer": results["per_signer"],
                    "split": results["split"],
                    "results": str(file),
                    "report": str(page),
                },
                ensure_ascii=False,
            )
        )
    else:
        print("\n".join(summary_lines(results)))
        print(f"figures: {file}\nreport:  {page}")
    return 0
