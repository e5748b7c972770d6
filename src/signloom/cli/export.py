"""signloom export: a painter as an ONNX file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from signloom.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a painter as an ONNX file, for other runtimes, phones and browsers. Its state goes in and comes out as "
        "a picture; the file is checked against PyTorch before it is given its name."
    )
    parser.epilog = """examples:
  signloom export runs/me --out me.onnx
  signloom export runs/me-512 --out me-512.onnx --json

Needs onnx, onnxscript and onnxruntime: pip install 'signloom[export]'. The file's metadata name its signers and say
that its pictures are generated."""
    parser.add_argument("run", type=Path, help="a run folder or checkpoint made by `signloom train --recipe paint`")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .onnx file to write")
    parser.add_argument("--json", action="store_true", help="print inputs and outputs as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.tasks.paint.export import export_painter, open_session
    from signloom.tasks.paint.run import load_painter

    if args.out.suffix != ".onnx":
        raise InputError(f"--out '{args.out}': expected a name that ends in .onnx")
    file = export_painter(load_painter(args.run), args.out)
    session = open_session(file)
    about = {
        "file": str(file),
        "bytes": file.stat().st_size,
        "inputs": {i.name: i.shape for i in session.get_inputs()},
        "outputs": {o.name: o.shape for o in session.get_outputs()},
    }
    if args.json:
        print(json.dumps(about))
    else:
        print(f"{file}: {about['bytes'] / 2**20:.1f} MiB")
        for kind in ("inputs", "outputs"):
            print(f"  {kind}: " + ", ".join(f"{name} {shape}" for name, shape in about[kind].items()))
    return 0
