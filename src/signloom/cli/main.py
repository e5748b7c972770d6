"""The table of verbs. Finds the verb, hands it its arguments, prints errors; nothing else."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

import signloom
from signloom.errors import SignloomError

VERBS = {
    "demo": "the whole tour on a corpus it makes itself, in a few minutes",
    "recognise": "from a folder of sign videos to a trained recogniser and its report, in one command",
    "synth": "make a corpus of a procedural signer: video, exact pose, motion sensors",
    "doctor": "look for corrupt, duplicate, mislabelled and missing clips before you train",
    "prepare": "make poses, resized frames and optical flow of a folder or list of sign videos",
    "split": "divide a corpus into train, val and test by signer, source or at random; refuse leaks",
    "shard": "write a prepared corpus as large tar files, to train on very many clips",
    "train": "train a recogniser, or a generator that paints a signer, on a prepared corpus",
    "evaluate": "measure a run on a split, with intervals and an HTML report; compare or fuse several",
    "crossval": "leave-one-signer-out or k-fold: train and measure once per fold and seed",
    "predict": "name the sign in raw video files",
    "generate": "paint a signer from poses: .pose files or source video in, video out",
    "export": "write a model as an ONNX file, for other runtimes, phones and browsers",
    "info": "what a run or corpus is, what it was made of, how good it is, and what it needs",
    "bench": "measure speed on this machine",
}

EXAMPLES = """
examples:
  signloom demo
  signloom recognise videos/ --pattern '{signer}/{label}/{take}.mp4' --out runs/mine
  signloom predict runs/mine/model new_clip.mp4

`signloom VERB --help` explains a verb. Exit codes: 0 done, 1 failed, 2 bad input, 3 done but some clips failed."""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    verb = next((a for a in arguments if not a.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="signloom",
        description="From footage of people signing to working software.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"signloom {signloom.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        sub = verbs.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == verb:  # only the verb that runs is imported, so that --help is instant
            module = import_module(f"signloom.cli.{name}")
            module.add_arguments(sub)
    try:
        options = parser.parse_args(arguments)
        return module.run(options)
    except SignloomError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `signloom … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
