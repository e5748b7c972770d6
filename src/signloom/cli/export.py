"""signloom export: a model in the file format of another runtime, phone or browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from signloom.cli.say import say
from signloom.errors import InputError
from signloom.runtime.text import json_line

PRECISIONS = ("fp32", "fp16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a model for other runtimes, phones and browsers. Beside it comes a JSON with all that another program "
        "needs: labels, what is done to a clip before and with the answer after, and made-up clips with what Python "
        "finds at each step. A generator's state goes in and comes out as a picture. Each file is run in its own "
        "runtime and compared with PyTorch before it is given its name."
    )
    parser.epilog = """examples:
  signloom export runs/mine/model --out signs.onnx
  signloom export runs/mine/model --to web --out web/signs             for the page of `signloom serve`
  signloom export runs/me --out me.onnx --precision fp16
  signloom export runs/a --out a.onnx --precision int8 --corpus corpus/          says what 8 bits cost on val

Formats: onnx (.onnx), openvino (.xml and .bin), coreml (.mlpackage), web (a folder: shards of at most 8 MiB and
model.json). Needs onnx, onnxscript and onnxruntime: pip install 'signloom[export]'; of openvino and coreml
'signloom[openvino]' and 'signloom[coreml]'. int8 is calibrated on training clips of --corpus (coreml on none), and
measured on its clips --on."""
    parser.add_argument("run", type=Path, help="a run folder or checkpoint made by `signloom train`")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the file (or, of web, folder) to write"
    )
    parser.add_argument("--to", default="onnx", metavar="FORMAT", help="the format (default: onnx)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of weights and arithmetic")
    parser.add_argument("--corpus", type=Path, help="a prepared corpus: its clips calibrate int8, and tell accuracy")
    parser.add_argument("--on", default="val", help="the split on which accuracy is told (default: val)")
    parser.add_argument("--json", action="store_true", help="print inputs, outputs and figures as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.runtime.machine import check_out
    from signloom.tasks import task_named
    from signloom.tasks.recognise.fuse import is_fusion
    from signloom.training.checkpoint import load_checkpoint
    from signloom.training.export import accuracy, write_export
    from signloom.training.formats import format_named

    form = format_named(args.to)
    if form.SUFFIX and args.out.suffix != form.SUFFIX:
        raise InputError(f"--out '{args.out}': expected a name that ends in {form.SUFFIX}, as --to {args.to} writes")
    if is_fusion(args.run):
        raise InputError(f"'{args.run}' is a fusion; export the runs it is made of, one by one")
    if args.precision == "int8" and args.corpus is None:
        raise InputError("--precision int8 is calibrated on training clips; give the corpus: --corpus FOLDER")
    check_out(args.out, folder=form.FOLDER)
    checkpoint = load_checkpoint(args.run)
    exported = task_named(checkpoint.task).export(checkpoint)
    calibration: list[Any] = []
    measure = None
    if args.corpus is not None:
        if exported.clips is None:
            raise InputError(f"'{args.run}' names no signs, so --corpus has nothing to tell; leave it out")
        corpus = _divided(args)
        if args.precision == "int8":
            calibration = _calibration(exported, corpus)

        def measure(ran: Any) -> dict[str, Any]:
            return {
                "on": args.on,
                "corpus": args.corpus.resolve().name,  # its place on this machine is nobody's business
                **accuracy(exported, ran, exported.clips(corpus, args.on)),
            }

    about = write_export(
        exported, args.to, args.out, precision=args.precision, calibration=calibration, measure=measure
    )
    if args.json:
        say(json_line({key: about[key] for key in _SHOWN if key in about}))
    else:
        say("\n".join(_lines(about)))
    return 0


_SHOWN = ("file", "json", "to", "precision", "graph_bytes", "bytes", "inputs", "outputs", "checked", "measured")


def _lines(about: dict[str, Any]) -> list[str]:
    lines = [f"{about['file']}: {about['to']}, {about['precision']}, {about['graph_bytes'] / 2**20:.2f} MiB"]
    for kind in ("inputs", "outputs"):
        lines.append(f"  {kind}: " + ", ".join(f"{name} {shape}" for name, shape in about[kind].items()))
    apart = about["checked"].get("apart")
    against = about["checked"]["against"]
    lines.append(f"  checked against {against}" + (f": at most {max(apart.values()):.2g} apart" if apart else ""))
    if told := about.get("measured"):
        lines.append(
            f"  on {told['clips']} {told['on']} clips top-1 {told['top1']:.3f}, PyTorch {told['top1_pytorch']:.3f}; "
            f"the same answer on {told['same_answer']:.3f}"
        )
    lines.append(f"  labels, preparation, sample: {about['json']}")
    return lines


def _divided(args: argparse.Namespace) -> Any:
    """The corpus, divided as it was for the run."""
    from signloom.data.corpus import SplitManifest
    from signloom.data.manifest import read_manifest
    from signloom.data.splits import apply_split, choose_split, read_split
    from signloom.training.checkpoint import run_folder

    corpus = read_manifest(args.corpus)
    own = run_folder(args.run) / "split.json"
    divided = apply_split(corpus, read_split(own)) if own.exists() else choose_split(corpus, "given", seed=0)[0]
    return SplitManifest(divided, "export")


def _calibration(exported: Any, corpus: Any) -> list[Any]:
    from signloom.training.export import CALIBRATION_CLIPS

    n = len(corpus.clips("train"))
    step = max(1, -(-n // CALIBRATION_CLIPS))
    values = [seen for number, (seen, _) in enumerate(exported.clips(corpus, "train")) if number % step == 0]
    if not values:
        raise InputError(f"'{corpus.root}' has no training clip with a label of this model, to calibrate int8 on")
    return values
