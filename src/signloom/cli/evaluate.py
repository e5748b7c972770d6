"""signloom evaluate: measure a recogniser, or several and their fusion, on clips they have never seen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure a recogniser on one split of a corpus, with intervals, per signer and per class; or a generator's "
        "pictures against the real ones. Several recognisers are compared on the same clips or, with --fuse, fused: "
        "one answer from all, with weights fitted on the validation clips."
    )
    parser.epilog = """examples:
  signloom evaluate runs/a corpus/                     the test split that `signloom train` kept in runs/a
  signloom evaluate runs/a corpus/ --on val --json
  signloom evaluate runs/a other_corpus/ --split all   every clip of a corpus the model has never met
  signloom evaluate runs/rgb runs/flow runs/pose corpus/                          compare them
  signloom evaluate runs/rgb runs/flow runs/pose corpus/ --fuse --save runs/all   fuse them, and keep that
  signloom evaluate runs/all corpus/                                              a saved fusion is a run too
  signloom evaluate loso/rgb loso/pose corpus/ --fuse --out loso/both             fuse cross-validations, fold by fold
  signloom evaluate runs/me signer/                    a generator: its pictures beside the real ones
  signloom evaluate runs/me signer/ --lpips alexnet.pth lpips.pth --fid inception.pth   with weights of your own

Runs that are compared or fused must have been trained on the same split. Scores are kept in the run folders
(scores-SPLIT.npz), so that another comparison does not read the clips again."""
    parser.add_argument(
        "run",
        type=Path,
        nargs="+",
        help="run folders or checkpoints made by `signloom train`, a saved fusion, or folders made by "
        "`signloom crossval`",
    )
    parser.add_argument("corpus", type=Path, help="a corpus folder made by `signloom prepare`")
    parser.add_argument("--fuse", action="store_true", help="fuse the runs")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep the fusion there, to be used like a run")
    parser.add_argument("--on", default="test", choices=["test", "val", "train"], help="which split (default: test)")
    parser.add_argument(
        "--split",
        help="a split file, 'given' (the corpus's own) or 'all' (every clip is test); default: the run's own",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for the figures and report.html (default: the run's, or --save; several runs write none)",
    )
    parser.add_argument(
        "--lpips",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure a generator's LPIPS too, with the weights in these files (.pth, .pt or .safetensors; give them "
        "last): the convolutions of AlexNet or VGG-16 under torchvision's names, and LPIPS's linear layers",
    )
    parser.add_argument(
        "--fid",
        type=Path,
        metavar="FILE",
        help="measure a generator's FID too, with the Inception-v3 weights in this file, the usual PyTorch port of "
        "TensorFlow's",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="RUN",
        help="the run of sensors whose features a generator was taught to give: how near they come is measured too",
    )
    parser.add_argument("--no-clips", action="store_true", help="embed no footage in the report")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.data.manifest import read_manifest
    from signloom.errors import InputError
    from signloom.runtime.machine import check_out
    from signloom.tasks import task_of_run
    from signloom.tasks.recognise.fuse import is_crossval, is_fusion, refuse_occupied

    if args.save and not args.fuse:
        raise InputError("--save keeps a fusion; it goes with --fuse")
    if args.fuse and len(args.run) < 2:
        raise InputError(f"--fuse needs at least two runs; got '{args.run[0]}' and the corpus '{args.corpus}'")
    for folder in (args.out, args.save):
        check_out(folder, folder=True)
    if args.save:
        refuse_occupied(args.save)
    corpus = read_manifest(args.corpus)
    tasks = {folder: task_of_run(folder) for folder in args.run}
    others = [folder for folder, task in tasks.items() if task not in (None, "recognise")]
    if others and len(args.run) > 1:
        raise InputError(f"'{others[0]}' names no signs; such runs are measured one at a time")
    if (args.lpips or args.fid) and tasks[args.run[0]] != "paint":
        asked = "--lpips" if args.lpips else "--fid"
        raise InputError(f"{asked} measures painted pictures, and '{args.run[0]}' paints none; leave it out")
    if args.against and (len(args.run) > 1 or tasks[args.run[0]] != "recognise"):
        raise InputError("--against compares the features of one recogniser; give one run")
    crossvals = [folder for folder in args.run if is_crossval(folder)]
    if crossvals:
        return _crossvals(args, corpus, crossvals)
    if len(args.run) > 1:
        return _several(args, corpus)
    return _fused(args, corpus) if is_fusion(args.run[0]) else _one(args, corpus)


def _crossvals(args: argparse.Namespace, corpus: Any, crossvals: list[Path]) -> int:
    from signloom.errors import InputError
    from signloom.pipelines.crossval import fuse_crossvals
    from signloom.tasks.recognise.evaluate import evaluation_of

    single = [str(folder) for folder in args.run if folder not in crossvals]
    if single:
        raise InputError(
            f"'{single[0]}' is no finished cross-validation, '{crossvals[0]}' is one; compare like with like"
        )
    if args.save:
        raise InputError("--save goes with runs: in a cross-validation every fold has a fusion of its own")
    if args.split or args.on != "test":
        raise InputError("a cross-validation is measured on what each fold held out; leave --on and --split out")
    results = fuse_crossvals(args.run, corpus, fuse=args.fuse)
    return _tell(args, evaluation_of(results), args.out, "fusion" if args.fuse else "comparison")


def _with_split(args: argparse.Namespace, corpus: Any) -> Any:
    """The corpus with the split asked for: by default the (first) run's own."""
    from dataclasses import replace

    from signloom.data.splits import apply_split, choose_split, read_split
    from signloom.training.checkpoint import run_folder

    own = run_folder(args.run[0]) / "split.json"
    if args.split == "all":
        about = {**corpus.meta, "split": {"scheme": "all"}}
        return replace(corpus, records=tuple(replace(r, split=args.on) for r in corpus), meta=about)
    if args.split is None and own.exists():
        return apply_split(corpus, read_split(own))
    return choose_split(corpus, args.split or "given", seed=0)[0]


def _about(args: argparse.Namespace) -> dict[str, Any]:
    """What is said of the split beside what the run says of its own."""
    return {"detail": "every clip of the corpus"} if args.split == "all" else {}


def _one(args: argparse.Namespace, corpus: Any) -> int:
    from signloom.runtime.machine import check_out
    from signloom.tasks import load_predictor, task_named

    predictor = load_predictor(args.run[0])
    check_out(args.out or args.run[0], folder=True)
    kind = task_named(predictor.checkpoint.task)
    options: dict[str, Any] = {}
    if args.lpips or args.fid:
        from signloom.metrics.fid import load_fid
        from signloom.metrics.lpips import load_lpips

        options = {
            "lpips": load_lpips(args.lpips) if args.lpips else None,
            "fid": load_fid(args.fid) if args.fid else None,
        }
    if args.against:
        options["against"] = load_predictor(args.against)
    evaluation = kind.evaluate(predictor, _with_split(args, corpus), args.on, about=_about(args), **options)
    return _tell(args, evaluation, args.out or args.run[0], f"evaluation-{args.on}")


def _fused(args: argparse.Namespace, corpus: Any) -> int:
    from signloom.runtime.machine import check_out
    from signloom.tasks import load_predictor
    from signloom.tasks.recognise.evaluate import evaluation_of
    from signloom.tasks.recognise.fuse import evaluate_fused

    model = load_predictor(args.run[0])
    check_out(args.out or args.run[0], folder=True)
    results = evaluate_fused(model, _with_split(args, corpus), args.on, about=_about(args))
    return _tell(args, evaluation_of(results), args.out or args.run[0], f"evaluation-{args.on}")


def _several(args: argparse.Namespace, corpus: Any) -> int:
    from signloom.tasks.recognise.evaluate import evaluation_of
    from signloom.tasks.recognise.fuse import compare_runs, fuse_runs, open_runs, save_fusion

    runs = open_runs(args.run)
    corpus = _with_split(args, corpus)
    if args.fuse:
        results, model = fuse_runs(runs, corpus, args.on, about=_about(args))
        if args.save:
            save_fusion(model, args.save)
    else:
        results = compare_runs(runs, corpus, args.on, about=_about(args))
    name = f"evaluation-{args.on}" if args.fuse else f"comparison-{args.on}"
    return _tell(args, evaluation_of(results), args.out or args.save, name)


def _tell(args: argparse.Namespace, evaluation: Any, out: Path | None, name: str) -> int:
    """Write figures and report into ``out``, where there is one, and print what was found."""
    from signloom.runtime.atomic import write_json

    results = evaluation.results
    file = write_json(out / f"{name}.json", results) if out else None
    page = evaluation.page(out / "report.html", not args.no_clips) if out and evaluation.page else None
    if args.json:
        found = {key: results[key] for key in evaluation.shown if key in results}
        places = {key: str(path) for key, path in (("results", file), ("report", page)) if path}
        say(json_line(found | places))
        return 0
    say("\n".join(evaluation.lines))
    if file:
        say(f"figures: {file}" + (f"\nreport:  {page}" if page else ""))
    elif evaluation.page:
        say("Nothing was written; for the report give --out FOLDER")
    if args.save:
        say(f"fusion:  {args.save}")
    return 0
