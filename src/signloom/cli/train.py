"""signloom train: a recogniser or generator from a prepared corpus."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from signloom.cli.options import above, add_budget, add_recipe, add_split, chosen_recipe, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train a recogniser on the train split of a prepared corpus (validation picks the checkpoint), or a generator "
        "that paints one signer or a few (--recipe paint)."
    )
    parser.epilog = """examples:
  signloom train corpus/ --out runs/a                          signer-disjoint split, made here and kept in runs/a
  signloom train corpus/ --split splits/fold1.json --out runs/a --seed 1
  signloom train --recipe help                                 what can be trained
  signloom train corpus/ --recipe rgb --out runs/rgb --set inputs.n_frames=24 schedule.batch_size=8
  signloom train corpus/ --recipe i3d --weights rgb_imagenet.pt --out runs/i3d
  signloom train corpus/ --recipe distil --teacher runs/a --out runs/distilled
  signloom train larger_corpus/ --from runs/a --out runs/b     go on from a run of your own, with new labels or signers
  signloom train signer/ --recipe paint --out runs/me          paints a signer; look at runs/me/preview.png
  signloom train signer/ --recipe paint --minutes 20 --out runs/me
  signloom train faces/ --recipe swap --minutes 15 --out runs/swap   a face swap, for signloom anonymise
  signloom train signer/ --recipe paint-512 --painter runs/me --out runs/me-512
  accelerate launch -m signloom train corpus/ --out runs/a     several GPUs or processes

A killed run goes on where it was when the same command is given again, and ends the same. Progress:
tensorboard --logdir runs/a/log"""
    parser.add_argument(
        "corpus", type=Path, help="a corpus folder made by `signloom prepare`, or shards of one by `signloom shard`"
    )
    parser.add_argument("--out", type=Path, required=True, help="the run folder to write")
    add_recipe(parser)
    add_split(parser)
    parser.add_argument("--seed", type=whole(), default=0)
    add_budget(parser)
    parser.add_argument(
        "--preview-every",
        "--look-every",
        type=whole(1),
        metavar="STEPS",
        help="how often to paint preview.png and preview.mp4 (default: after a minute, then every 5 minutes)",
    )
    parser.add_argument("--batch-size", type=whole(1), help="override the recipe's batch size")
    parser.add_argument("--learning-rate", type=above(), help="override the recipe's learning rate")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16", "fp16"], help="override the recipe's precision")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="start from a reference network: .pt or .safetensors (I3D), or a folder (video transformer)",
    )
    parser.add_argument("--from", dest="start", type=Path, metavar="RUN", help="start from a run of your own")
    parser.add_argument("--teacher", type=Path, metavar="RUN", help="the run that recipes mars and distil learn from")
    parser.add_argument("--painter", type=Path, metavar="RUN", help="the generator that recipe paint-512 enlarges")
    parser.add_argument(
        "--consent",
        action="append",
        default=[],
        metavar="SIGNER=WHERE",
        help="a signer agreed to being the face of a swap, and where that is kept (repeatable)",
    )
    parser.add_argument("--compile", action="store_true", help="run the model through torch.compile")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.errors import InputError
    from signloom.tasks import task_of
    from signloom.tasks.recognise.fuse import is_fusion
    from signloom.training.run import train_run
    from signloom.training.task import Given

    if is_fusion(args.out):
        raise InputError(f"--out '{args.out}' holds a fusion, whose split a run would overwrite; choose a new folder")
    given = Given(args.weights, args.teacher, args.painter, args.start)
    task = task_of(_with_consent(chosen_recipe(args), args.consent), given)
    if args.preview_every is not None and not task.has_preview:
        raise InputError(f"--preview-every: recipe '{task.recipe.name}' paints nothing; leave it out")
    task.check()
    speaks = os.environ.get("RANK", "0") == "0"  # of several processes, the first
    corpus, split, keep_split, notes = open_corpus(args, task)
    for note in notes if speaks else ():
        say(f"note: {note}", file=sys.stderr)
    checkpoint = train_run(corpus, task, args.out, seed=args.seed, split=split, preview_every=args.preview_every)
    if not speaks:
        return 0
    keep_split(args.out / "split.json")  # only now: a run refused above keeps the split it was made with
    summary = _summary(args, task, checkpoint)
    say(json_line(summary) if args.json else _told(args, summary))
    return 0


def _with_consent(recipe: Any, told: list[str]) -> Any:
    """``recipe`` with what --consent says. Raises InputError for a recipe that paints no person of a choice."""
    from dataclasses import replace

    from signloom.errors import InputError

    if not told:
        return recipe
    if not hasattr(recipe, "consent"):
        raise InputError(f"--consent goes with a face swap; recipe '{recipe.name}' is none. Leave it out")
    pairs = [text.partition("=") for text in told]
    if wrong := next((t for t, (who, _, where) in zip(told, pairs) if not (who and where.strip())), None):
        raise InputError(f"--consent '{wrong}': wanted SIGNER=WHERE, e.g. maria='form 12, 2026-03-01'")
    return replace(recipe, consent=tuple((who, where.strip()) for who, _, where in pairs))


def open_corpus(args: argparse.Namespace, task: Any) -> tuple[Any, dict[str, Any], Any, list[str]]:
    """The corpus with its split, what is said of the split, how to keep its file, and notes about it."""
    from functools import partial

    from signloom.data.consent import for_use
    from signloom.data.corpus import SplitManifest
    from signloom.data.manifest import read_manifest
    from signloom.data.shards import has_shards, read_shards
    from signloom.data.splits import choose_split, split_in_use, write_split
    from signloom.errors import InputError

    if has_shards(args.corpus):
        if args.split not in ("auto", "given"):
            raise InputError(
                f"--split '{args.split}': the split of shards '{args.corpus}' was fixed when they were made. Leave "
                "--split out, or make others: signloom shard … --split …"
            )
        shards = read_shards(args.corpus)
        return shards, dict(shards.split), shards.copy_split, []
    manifest, split = choose_split(read_manifest(args.corpus), args.split, seed=args.seed, scheme=task.split)
    for use in ("training", "synthesis") if task.name in ("paint", "swap") else ("training",):
        manifest = for_use(manifest, use)
    corpus = SplitManifest(manifest, f"recipe '{task.recipe.name}'")
    # That clips of one signer stand on both sides is a fault of a recogniser's split alone.
    notes = [] if split.scheme == task.split == "random" else list(split.details.get("notes", []))
    return corpus, split_in_use(manifest), partial(write_split, split), notes


def _summary(args: argparse.Namespace, task: Any, checkpoint: Any) -> dict[str, Any]:
    spent = json.loads((args.out / "run.json").read_text(encoding="utf-8"))
    summary = {
        "checkpoint": str(args.out / "checkpoint"),
        "task": task.name,
        "recipe": task.recipe.name,
        "train": checkpoint.split["train"],
        "val": checkpoint.split["val"],
        "split": checkpoint.split["scheme"],
        "steps": spent.get("steps"),
        "seconds": spent["seconds"],
        "validation": dict(checkpoint.metrics),
    }
    if checkpoint.labels:
        summary["labels"] = len(checkpoint.labels)
    if hasattr(checkpoint.inputs, "identities"):
        summary["identities"] = list(checkpoint.inputs.identities)
    if hasattr(checkpoint.inputs, "signers"):
        summary["signers"] = list(checkpoint.inputs.signers)
    if task.has_preview:
        summary["preview"] = str(args.out / "preview.png")
    return summary


def _told(args: argparse.Namespace, summary: dict[str, Any]) -> str:
    from signloom.data.shards import has_shards

    corpus = "CORPUS (that the shards are of)" if has_shards(args.corpus) else args.corpus
    then = f"Next: signloom evaluate {args.out} {corpus}"
    if "preview" in summary:
        use = "generate {} some.pose --out painted/"
        if summary["task"] == "swap":
            use = "anonymise CORPUS --method swap --model {} --out shared/"
        return (
            f"{summary['checkpoint']}: {summary['steps']} steps in {summary['seconds'] / 60:.1f} min; look at "
            f"{summary['preview']}. {then}, or signloom {use.format(args.out)}"
        )
    top1 = summary["validation"].get("top1")
    measured = f"validation top-1 {top1:.3f}" if top1 is not None else "no validation clips"
    labels = f"{summary['labels']} labels, " if "labels" in summary else ""
    trained = f"{labels}{summary['train']} training clips"
    return f"{summary['checkpoint']}: {trained}, {measured} ({summary['split']} split). {then}"
