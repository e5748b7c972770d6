"""signloom train: a recogniser or painter from a prepared corpus."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train a recogniser on the train split of a prepared corpus (validation picks the checkpoint), or a painter of "
        "one signer or a few (--recipe paint)."
    )
    parser.epilog = """examples:
  signloom train corpus/ --out runs/a                          signer-disjoint split, made here and kept in runs/a
  signloom train corpus/ --split splits/fold1.json --out runs/a --seed 1
  signloom train --recipe help                                 what can be trained
  signloom train corpus/ --recipe rgb --out runs/rgb --set inputs.n_frames=24 schedule.batch_size=8
  signloom train corpus/ --recipe i3d --weights rgb_imagenet.pt --out runs/i3d
  signloom train signer/ --recipe paint --out runs/me          a painter; look at runs/me/look.png after a minute
  signloom train signer/ --recipe paint --minutes 20 --out runs/me
  signloom train signer/ --recipe paint-512 --painter runs/me --out runs/me-512
  accelerate launch -m signloom train corpus/ --out runs/a     several GPUs or processes

A killed run goes on where it was when the same command is given again, and ends the same. Progress:
tensorboard --logdir runs/a/log"""
    parser.add_argument(
        "corpus", type=Path, help="a corpus folder made by `signloom prepare`, or shards of one by `signloom shard`"
    )
    parser.add_argument("--out", type=Path, required=True, help="the run folder to write")
    parser.add_argument(
        "--recipe", type=_recipe, default="pose", help="what to train (default: pose); `--recipe help` lists them"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="override settings, e.g. inputs.n_frames=24"
    )
    parser.add_argument(
        "--split",
        default="auto",
        help="a split file, 'given' (the corpus's own), or a scheme: signer, source, random "
        "(default: the corpus's own if it has one, else signer)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="make just so many epochs (a recipe's are prolonged for few clips)")
    parser.add_argument("--steps", type=int, help="a painter: make just so many steps")
    parser.add_argument("--minutes", type=float, help="a painter: train for so long instead of a number of steps")
    parser.add_argument(
        "--look-every",
        type=int,
        metavar="STEPS",
        help="a painter: how often to paint look.png and look.mp4 (default: after a minute, then every 5 minutes)",
    )
    parser.add_argument("--batch-size", type=int, help="override the recipe's batch size")
    parser.add_argument("--learning-rate", type=float, help="override the recipe's learning rate")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16", "fp16"], help="override the recipe's precision")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="start from a reference network (I3D): .pt, .safetensors"
    )
    parser.add_argument("--teacher", type=Path, metavar="RUN", help="the flow run that recipe mars learns from")
    parser.add_argument("--painter", type=Path, metavar="RUN", help="the painter that recipe paint-512 enlarges")
    parser.add_argument("--compile", action="store_true", help="run the model through torch.compile")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def _recipe(name: str) -> str:
    """``name``; "help" lists the recipes, whatever else is given."""
    if name == "help":
        from signloom.tasks.presets import describe_recipes

        print(describe_recipes())
        raise SystemExit(0)
    return name


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace
    from functools import partial

    from signloom.data.manifest import read_manifest
    from signloom.data.shards import has_shards, read_shards
    from signloom.data.splits import write_split
    from signloom.errors import InputError
    from signloom.tasks.paint.learn import PaintRecipe
    from signloom.tasks.presets import changed, recipe_named
    from signloom.tasks.recognise.run import choose_split, describe_split, train_run

    recipe = recipe_named(args.recipe)
    paints = isinstance(recipe, PaintRecipe)
    for name in ("painter", "look_every") if not paints else ():
        if getattr(args, name) is not None:
            option = name.replace("_", "-")
            raise InputError(f"--{option}: recipe '{recipe.name}' paints nothing; leave it out")
    if args.look_every is not None and args.look_every < 1:
        raise InputError(f"--look-every: got {args.look_every}, expected a number of steps from 1 on")
    changes = {
        name: value
        for name in ("epochs", "steps", "minutes", "batch_size", "learning_rate", "precision")
        if (value := getattr(args, name)) is not None
    }
    foreign = {"epochs": "--steps"} if paints else {"steps": "--epochs", "minutes": "--epochs"}
    if wrong := next((name for name in foreign if name in changes), None):
        raise InputError(f"--{wrong}: recipe '{recipe.name}' counts otherwise; give {foreign[wrong]} instead")
    if paints:
        return _paint(args, changed(replace(recipe, schedule=replace(recipe.schedule, **changes)), args.set))
    if "epochs" in changes:
        changes |= {"least_steps": 0, "steps_per_class": 0}
    if args.compile:
        changes |= {"compile": True}
    recipe = changed(replace(recipe, schedule=replace(recipe.schedule, **changes)), args.set)
    speaks = os.environ.get("RANK", "0") == "0"  # of several processes, the first
    if has_shards(args.corpus):
        if args.split not in ("auto", "given"):
            raise InputError(
                f"--split '{args.split}': the split of shards '{args.corpus}' was fixed when they were made. Leave "
                "--split out, or make others: signloom shard … --split …"
            )
        corpus = read_shards(args.corpus)
        described, keep_split = corpus.split, corpus.copy_split
    else:
        corpus, split = choose_split(read_manifest(args.corpus), args.split, seed=args.seed)
        described, keep_split = describe_split(split), partial(write_split, split)
        for note in split.details.get("notes", []) if speaks else ():
            print(f"note: {note}", file=sys.stderr)
    checkpoint = train_run(
        corpus,
        recipe,
        args.out,
        seed=args.seed,
        split=described,
        weights=args.weights,
        teacher=args.teacher,
    )
    keep_split(args.out / "split.json")  # only now: a run refused above keeps the split it was made with
    summary = {
        "checkpoint": str(args.out / "checkpoint"),
        "recipe": recipe.name,
        "labels": len(checkpoint.labels),
        "train": checkpoint.split["train"],
        "val": checkpoint.split["val"],
        "split": checkpoint.split["scheme"],
        "validation": dict(checkpoint.metrics),
    }
    if not speaks:
        return 0
    if args.json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        top1 = checkpoint.metrics.get("top1")
        measured = f"validation top-1 {top1:.3f}" if top1 is not None else "no validation clips"
        print(
            f"{summary['checkpoint']}: {len(checkpoint.labels)} labels, {summary['train']} training clips, {measured} "
            f"({summary['split']} split). Next: signloom evaluate {args.out} "
            f"{'CORPUS (that the shards are of)' if has_shards(args.corpus) else args.corpus}"
        )
    return 0


def _paint(args: argparse.Namespace, recipe) -> int:
    from dataclasses import replace

    from signloom.data.manifest import read_manifest
    from signloom.data.splits import split_of, write_split
    from signloom.errors import InputError
    from signloom.tasks.paint.run import train_painter
    from signloom.tasks.recognise.run import choose_split, describe_split

    for name in ("weights", "teacher", "compile"):
        if getattr(args, name):
            raise InputError(f"--{name} does not go with recipe '{recipe.name}'")
    corpus = read_manifest(args.corpus)
    # A painter is of a signer, so a split by signer makes no sense: by clip, unless the corpus has a split of its own.
    wanted = args.split
    if wanted == "auto":
        wanted = "given" if any(r.split for r in corpus) else "random"
    if wanted == "random":
        # Signs do not matter to a painter: a corpus with one take of each has clips to spare for a test all the same.
        unlabelled = replace(corpus, records=tuple(replace(r, label=None) for r in corpus))
        divided, _ = choose_split(unlabelled, wanted, seed=args.seed)
        records = tuple(replace(r, split=d.split) for r, d in zip(corpus, divided))
        corpus = replace(corpus, records=records, meta=divided.meta)
        split = split_of(corpus)
    else:
        corpus, split = choose_split(corpus, wanted, seed=args.seed)
    checkpoint = train_painter(
        corpus,
        recipe,
        args.out,
        seed=args.seed,
        split=describe_split(split),
        painter=args.painter,
        look_every=args.look_every,
    )
    write_split(split, args.out / "split.json")
    spent = json.loads((args.out / "run.json").read_text(encoding="utf-8"))
    summary = {
        "checkpoint": str(args.out / "checkpoint"),
        "recipe": recipe.name,
        "signers": list(checkpoint.inputs.signers),
        "train": checkpoint.split["train"],
        "steps": spent["steps"],
        "seconds": spent["seconds"],
        "look": str(args.out / "look.png"),
    }
    if args.json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        print(
            f"{summary['checkpoint']}: painted {spent['steps']} steps in {spent['seconds'] / 60:.1f} min; look at "
            f"{summary['look']}. Next: signloom evaluate {args.out} {args.corpus}, or signloom generate {args.out} "
            "some.pose --out painted/"
        )
    return 0
