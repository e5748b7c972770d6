"""signloom bench: how fast this machine is at what signloom does, beside what one would do instead."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from signloom.cli.options import whole
from signloom.cli.say import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from signloom.pipelines.bench import GROUPS

    parser.description = (
        "Measure speed and memory on this machine: start-up, preparation of poses, frames and flow, decoding, "
        "training, use, live and painting, each several times, beside what one would do without signloom. Takes "
        "minutes; leave the machine alone meanwhile."
    )
    parser.epilog = """examples:
  signloom bench                                  on clips it makes itself, in a temporary folder
  signloom bench --videos videos/ --json speed.json --plot speed.png
  signloom bench --only flow pictures training    only these groups
  signloom bench --quick                          seconds; only shows that it works"""
    parser.add_argument("--videos", type=Path, metavar="DIR", help="measure on these clips (default: procedural ones)")
    parser.add_argument("--repeats", type=whole(1), default=3, help="how often to measure each thing (default: 3)")
    parser.add_argument("--clips", type=whole(1), default=16, help="how many clips to use (default: 16)")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="which groups to measure")
    parser.add_argument("--quick", action="store_true", help="two small clips, once; the figures mean nothing")
    parser.add_argument(
        "--peer-python",
        type=Path,
        metavar="PYTHON",
        help="a Python that has tsai, for the group sensors (default: the one that runs this)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, the machine and the date")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="write a bar chart")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.bench import measure
    from signloom.pipelines.bench.plot import plot
    from signloom.runtime.atomic import write_json
    from signloom.runtime.machine import check_out

    check_out(args.json, folder=False)
    check_out(args.plot, folder=False)
    with tempfile.TemporaryDirectory(prefix="signloom-bench-") as scratch:
        figures = measure(
            args.only,
            Path(scratch),
            videos=args.videos,
            n_clips=args.clips,
            repeats=args.repeats,
            quick=args.quick,
            peer_python=args.peer_python,
        )
    result = figures.as_dict()
    _print(result)
    if args.json:
        say(f"figures: {write_json(args.json, result)}")
    if args.plot:
        plot(figures.measures, args.plot)
        say(f"chart:   {args.plot}")
    return 0


def _print(result: dict[str, Any]) -> None:
    machine, clips = result["machine"], result["clips"]
    able = ", ".join(name if has else f"no {name}" for name, has in machine["abilities"].items())
    say(f"{machine['processor']}, {machine['cores']} cores, GPU: {machine['gpu'] or 'none'}")
    chosen = ", ".join(f"{precision} for {takes}" for takes, precision in machine["precision"].items())
    say(f"{able}; torch uses {machine['torch_uses']}; training computes in {chosen}")
    say(f"{clips['n']} clips, {clips['frames']} frames ({clips['from']})\n")
    say(f"{'':<9}{'':<34}{'median':>10}{'min':>10}{'max':>10}  unit")
    last = None
    for row in result["measures"]:
        group = "" if row["group"] == last else row["group"]
        last = row["group"]
        figures = "".join(f"{row[k]:>10.4g}" for k in ("median", "min", "max"))
        say(f"{group:<9}{row['name']:<34}{figures}  {row['unit']}")
    say()
    for row in result["ratios"]:
        say(f"{row['ratio']:>7.2f} ×  [{row['low']:.2f}, {row['high']:.2f}]  {row['name']}")
