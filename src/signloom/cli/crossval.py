"""signloom crossval: one training and one measurement per fold and seed."""

from __future__ import annotations

import argparse
from pathlib import Path

from signloom.cli.options import add_budget, add_recipe, chosen_recipe, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Train and measure once per fold and seed; by default each signer is held out in turn."
    parser.epilog = """examples:
  signloom crossval corpus/ --out runs/loso                              leave one signer out, seeds 0 1 2
  signloom crossval corpus/ --out runs/loso --only user01 user08         just these folds
  signloom crossval corpus/ --recipe rgb --seeds 0 --out runs/loso-rgb   from frames (see signloom train --recipe help)
  signloom crossval corpus/ --folds k-fold --k 5 --seeds 0 --out runs/k5

  signloom crossval corpus/ --out runs/loso --seeds 0 --learning-curve   how many clips, and signers, are needed

Every run is resumed or reused when the same command is given again."""
    parser.add_argument("corpus", type=Path, help="a corpus folder made by `signloom prepare`")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    add_recipe(parser)
    parser.add_argument(
        "--folds", default="signer", choices=["signer", "signer-k-fold", "k-fold"], help="default: one fold per signer"
    )
    parser.add_argument("--k", type=whole(2), default=5, help="number of folds for the k-fold schemes (default: 5)")
    parser.add_argument("--seeds", type=whole(), nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--only", nargs="+", metavar="FOLD", help="run only these folds")
    add_budget(parser)
    parser.add_argument(
        "--teacher", type=Path, metavar="CV", help="the crossval folder of recipe flow that recipe mars learns from"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="start every run from a reference network (I3D): .pt, .safetensors"
    )
    parser.add_argument(
        "--learning-curve",
        action="store_true",
        help="also train with fewer takes and with fewer signers, and say what more would bring (takes 4 to 6 times as "
        "long; a sign's clips of unknown signers count as takes)",
    )
    parser.add_argument("--no-clips", action="store_true", help="embed no footage in the report")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.data.consent import for_use
    from signloom.data.manifest import read_manifest
    from signloom.data.splits import folds
    from signloom.errors import InputError
    from signloom.pipelines.crossval import cross_validate
    from signloom.pipelines.learning_curve import add_learning_curve, curve_parts
    from signloom.report.page import write_report
    from signloom.report.text import summary_lines
    from signloom.runtime.atomic import write_json
    from signloom.runtime.machine import check_out
    from signloom.training.task import Given

    check_out(args.out, folder=True)
    manifest = for_use(read_manifest(args.corpus), "training")
    recipe = chosen_recipe(args)
    chosen = folds(manifest, args.folds, k=args.k, seed=0, val=0.1)
    if args.only:
        names = [f.name for f in chosen]
        unknown = [n for n in args.only if n not in names]
        if unknown:
            raise InputError(f"--only: no fold {', '.join(unknown)}; there are {', '.join(names)}")
        chosen = [f for f in chosen if f.name in args.only]
    scheme = {"signer": "leave-one-signer-out"}.get(args.folds, args.folds)
    given = Given(args.weights, args.teacher)
    if args.learning_curve:
        if given != Given():
            raise InputError("--learning-curve trains every run from nothing; leave --teacher and --weights out")
        curve_parts(chosen)
    results = cross_validate(manifest, recipe, chosen, args.seeds, args.out, scheme=scheme, given=given)
    if args.learning_curve:
        results = add_learning_curve(results, manifest, recipe, chosen, args.seeds, args.out, scheme=scheme)
    file = write_json(args.out / "evaluation.json", results)
    page = write_report(results, args.out / "report.html", embed_clips=not args.no_clips)
    if args.json:
        say(
            json_line(
                {
                    "cross_validation": results["cross_validation"],
                    "runs": results["runs"],
                    "split": results["split"],
                    **({"learning_curve": results["learning_curve"]} if args.learning_curve else {}),
                    "results": str(file),
                    "report": str(page),
                },
            )
        )
    else:
        say("\n".join(summary_lines(results)))
        say(f"figures: {file}\nreport:  {page}")
    return 0
