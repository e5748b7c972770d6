"""signloom recognise: from a folder of videos to a recogniser and its report, by running the other verbs in order."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from signloom.cli.options import recipe_name, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The main job in one command: prepare the videos, split them by signer, train, measure, report."
    )
    parser.epilog = """examples:
  signloom recognise videos/ --out runs/mine                                      videos/<label>/<clip>.mp4
  signloom recognise videos/ --pattern '{signer}/{label}/{take}.mp4' --out runs/mine

Each step is a signloom command and is printed as it runs, so that it can be run alone. Give the same command again
after an interruption and it goes on where it was. Then: signloom predict runs/mine/model clip.mp4"""
    parser.add_argument("videos", type=Path, help="what `signloom prepare` takes: a folder, a list or a corpus")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write: corpus/, model/, report.html")
    parser.add_argument("--source", default="auto", help="how to read the videos (see `signloom prepare --help`)")
    parser.add_argument("--pattern", help="where the names stand, e.g. '{signer}/{label}/{take}.mp4'")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source (repeatable)"
    )
    parser.add_argument(
        "--recipe", type=recipe_name, default="pose", help="what to train (default: pose); `--recipe help` lists them"
    )
    parser.add_argument("--split", default="auto", help="see `signloom train --help`")
    parser.add_argument("--seed", type=whole(), default=0)
    parser.add_argument("--epochs", type=whole(1), help="override the recipe's number of epochs")
    parser.add_argument("--workers", type=whole(), help="processes (default: one per core)")
    parser.add_argument("--shorter-px", type=whole(1), help="shorter side of prepared frames and flow (video recipes)")
    parser.add_argument("--no-clips", action="store_true", help="embed no footage in the report")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.errors import InputError
    from signloom.runtime.machine import check_out
    from signloom.tasks import recipe_named, task_of

    recipe = recipe_named(args.recipe)
    if task_of(recipe).name != "recognise":
        raise InputError(
            f"recipe '{recipe.name}' names no signs; prepare and train it step by step: signloom prepare … --streams "
            f"pose signer, then signloom train … --recipe {recipe.name}"
        )
    if recipe.loss == "distil":
        raise InputError(
            f"recipe '{recipe.name}' learns from another network that must be trained first; train both with "
            f"`signloom train` (--recipe flow, then --recipe {recipe.name} --teacher)"
        )
    check_out(args.out, folder=True)
    _check_signers(args)
    corpus, model = args.out / "corpus", args.out / "model"
    prepare = ["prepare", args.videos, "--out", corpus, "--source", args.source]
    train = ["train", corpus, "--out", model, "--recipe", args.recipe, "--split", args.split, "--seed", args.seed]
    evaluate = ["evaluate", model, corpus, "--out", args.out]
    prepare += ["--streams", *recipe.streams, *recipe.auxiliary_streams]
    prepare += ["--pattern", args.pattern] if args.pattern else []
    prepare += [word for option in args.option for word in ("--option", option)]
    prepare += ["--workers", args.workers] if args.workers is not None else []
    prepare += ["--shorter-px", args.shorter_px] if args.shorter_px is not None else []
    train += ["--epochs", args.epochs] if args.epochs is not None else []
    evaluate += ["--no-clips"] if args.no_clips else []
    began = time.monotonic()
    worst = 0
    for step in (prepare, train, evaluate):
        code = _verb(step, quiet=args.json)
        if code not in (0, 3):
            return code
        worst = max(worst, code)
    if args.json:
        results = json.loads((args.out / "evaluation-test.json").read_text(encoding="utf-8"))
        summary = {"metrics": results["metrics"], "split": results["split"], "report": str(args.out / "report.html")}
        say(json_line({**summary, "model": str(model), "corpus": str(corpus)}))
    else:
        say(f"\nDone in {time.monotonic() - began:.0f} s. Look at {args.out / 'report.html'}, then try:")
        say(f"  signloom predict {shlex.quote(str(model))} a_new_clip.mp4")
    return worst


def _check_signers(args: argparse.Namespace) -> None:
    """Refuse what training would refuse, before hours of preparing."""
    from signloom.errors import InputError
    from signloom.sources import parse_options, read_source

    if args.split not in ("auto", "signer"):
        return
    corpus = read_source(args.videos, source=args.source, pattern=args.pattern, **parse_options(args.option))
    if len(corpus.signers) < 2 and not any(r.split for r in corpus):
        raise InputError(
            f"'{args.videos}' names {len(corpus.signers) or 'no'} signers, so no signer can be held out to measure on. "
            "Say where the signer's name stands, e.g. --pattern '{signer}/{label}/{take}.mp4', or give --split random: "
            "its figures then hold only for the people in the footage"
        )


def _verb(arguments: list, *, quiet: bool) -> int:
    """Run one signloom verb in a process of its own, as a user would, and return its exit code."""
    words = [str(a) for a in arguments]
    if not quiet:
        say(f"\n$ signloom {shlex.join(words)}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "signloom", *words], stdout=subprocess.DEVNULL if quiet else None, check=False
    ).returncode
