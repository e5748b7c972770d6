"""signloom ablate: which way of growing a corpus helps, with intervals."""

from __future__ import annotations

import argparse
from pathlib import Path

from signloom.cli.options import whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train and measure a recipe with several ways of growing its corpus, on the same folds and seeds, and compare "
        "each with the first: paired intervals over clips, folds and seeds."
    )
    parser.epilog = """examples:
  signloom ablate grid.toml --out runs/grid

grid.toml:

  corpus = "corpus/"              # relative to this file, as all paths in it
  recipe = "pose"
  leave_out = "source"            # or "signer": what is held out, one after the other
  seeds = [0, 1, 2]
  own = "interpreter"             # whose clips AF1 copies; AF2 copies those of the others
  swapped_one = "swapped-one/"    # copies with swapped faces: of one target (DF1), of all (DF2)
  arms = ["Baseline", "AF1", "AF2", "DF1", "DF1-AF1", "signing"]     # by name; the last is a policy
  omit_face = true                # also measure on test clips with the face covered

  [[arm]]                         # any other
  name = "mine, three times"
  policy = "mine.toml"            # copies of the training clips, made once
  times = 3
  train_policy = "time"           # and changes while training, in place of the recipe's own

Everything else a grid can say: only = ["user01"] (folds), set = ["schedule.steps=100"], val = 0.1, affine, times,
train_policy. Baseline is the recipe as it is; give train_policy = "none" for a recipe without augmentation of its own.
Every run is resumed or reused when the same command is given again."""
    parser.add_argument("grid", type=Path, help="a TOML file")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--workers", type=whole(), help="processes that make copies (default: one per core)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.pipelines.ablate import read_grid, run_grid
    from signloom.report.ablation import ablation_lines, write_ablation
    from signloom.runtime.atomic import write_json
    from signloom.runtime.machine import check_out

    check_out(args.out, folder=True)
    results = run_grid(read_grid(args.grid), args.out, workers=args.workers)
    file = write_json(args.out / "ablation.json", results)
    page, picture = write_ablation(results, args.out)
    if args.json:
        say(json_line({**results, "results": str(file), "report": str(page), "table": str(picture)}))
    else:
        say("\n".join(ablation_lines(results)))
        say(f"figures: {file}\nreport:  {page}\ntable:   {picture}")
    return 0
