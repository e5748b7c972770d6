"""signloom push: a model with its card, to a folder or a model hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Share a model: its tensors and config, and a card (README.md) filled from what is on record: data, split, "
        "signer overlap, extractor, results, licence, intended use, limits. Every file is listed with its hash. The "
        "corpus's place on this machine is left out, and so are, without --names, the names of signers who were held "
        "out."
    )
    parser.epilog = """examples:
  signloom push runs/mine/model shared/my-signs --licence CC-BY-4.0     a folder: a disk, a repository, a web server
  signloom push runs/mine/model hf:anna/my-signs                        the Hugging Face hub, private until you say else

Figures come from the evaluation-*.json of the run folder: signloom evaluate RUN CORPUS --out RUN. The hub needs
pip install 'signloom[hub]' and `hf auth login`. A generator is a likeness: share it only with that person's consent."""
    parser.add_argument("run", type=Path, help="a run folder or checkpoint")
    parser.add_argument("to", help="a folder, or hf:OWNER/NAME")
    parser.add_argument("--name", help="what the card calls it (default: the name of the place)")
    parser.add_argument("--licence", help="the licence you give the model, as an SPDX name: MIT, CC-BY-4.0 …")
    parser.add_argument("--names", action="store_true", help="leave signers' names in")
    parser.add_argument("--public", action="store_true", help="a new repository on the hub is for everybody")
    parser.add_argument("--message", default="signloom push", help="of the commit on the hub")
    parser.add_argument("--json", action="store_true", help="print what was pushed as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.hub import HUB, push
    from signloom.runtime.machine import check_out

    if not args.to.startswith(HUB):
        check_out(Path(args.to), folder=True)
    done = push(
        args.run,
        args.to,
        name=args.name,
        licence=args.licence,
        names=args.names,
        private=not args.public,
        message=args.message,
    )
    if args.json:
        say(json_line({"to": done.place, "files": dict(done.files), "identity": done.identity}))
    else:
        size = sum(done.files.values()) / 2**20
        say(f"{done.place}: {len(done.files)} files, {size:.1f} MiB\n  identity {done.identity}")
        say(f"  get it: signloom pull {done.place} --out FOLDER --expect {done.identity}")
    return 0
