"""signloom export: a model as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path

from signloom.cli.say import say
from signloom.errors import InputError
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a model as an ONNX file, for other runtimes, phones and browsers. A generator's state goes in and comes "
        "out as a picture; the file is checked against PyTorch before it is given its name."
    )
    parser.epilog = """examples:
  signloom export runs/me --out me.onnx
  signloom export runs/me-512 --out me-512.onnx --json
  signloom export runs/mine/model --out signs.onnx

Needs onnx, onnxscript and onnxruntime: pip install 'signloom[export]'. The file's metadata say what is done to a clip
before; a generator's name its signers and say that its pictures are generated."""
    parser.add_argument("run", type=Path, help="a run folder or checkpoint made by `signloom train`")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .onnx file to write")
    parser.add_argument("--json", action="store_true", help="print inputs and outputs as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.runtime.machine import check_out
    from signloom.tasks import task_named
    from signloom.tasks.recognise.fuse import is_fusion
    from signloom.training.checkpoint import load_checkpoint

    if args.out.suffix != ".onnx":
        raise InputError(f"--out '{args.out}': expected a name that ends in .onnx")
    if is_fusion(args.run):
        raise InputError(f"'{args.run}' is a fusion; export the runs it is made of, one by one")
    check_out(args.out, folder=False)
    checkpoint = load_checkpoint(args.run)
    about = task_named(checkpoint.task).export(checkpoint, args.out)
    if args.json:
        say(json_line(about))
    else:
        say(f"{args.out}: {about['bytes'] / 2**20:.1f} MiB")
        for kind in ("inputs", "outputs"):
            say(f"  {kind}: " + ", ".join(f"{name} {shape}" for name, shape in about[kind].items()))
    return 0
