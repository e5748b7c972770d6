"""Several processes train a generator and its discriminators as one does on the same batches."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from safetensors.torch import load_file
from signloom.data.corpus import SplitManifest
from signloom.data.manifest import read_manifest
from signloom.tasks.paint.recipes import PaintLosses, paint
from signloom.tasks.paint.task import Paint
from signloom.training.run import train_run
from signloom.transforms.generator_input import GeneratorInput

torch.set_num_threads(1)
corpus, out, batch_size = read_manifest(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
recipe = paint()
recipe = replace(
    recipe,
    inputs=GeneratorInput(size_px=64),
    model={"widths": (8, 8, 8, 8)},
    losses=PaintLosses(discriminator=0.1, discriminators_from=0.0),
    schedule=replace(
        recipe.schedule, steps=8, batch_size=batch_size, learning_rate=0.02, discriminator_learning_rate=0.02,
        warmup_steps=1, ema=0.0, optimizer="sgd", precision="fp32", history_steps=1,
    ),
)
train_run(SplitManifest(corpus), Paint(recipe), out, seed=1, quiet=True)
"""


def train(in_processes, corpus, folder, n_processes, batch_size):
    in_processes(PROGRAM, n_processes, corpus, folder, batch_size)
    return json.loads((folder / "history.json").read_text()), load_file(folder / "checkpoint" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [3, 1])
def test_two_processes_train_to_the_losses_and_weights_of_one(in_processes, painting_corpus, tmp_path, batch_size):
    """Of 3 clips they get 2 and 1, with different numbers of hands; of 1 clip the second one's counts nothing."""
    one, weights = train(in_processes, painting_corpus.root, tmp_path / "one", 1, batch_size)
    two, shared = train(in_processes, painting_corpus.root, tmp_path / "two", 2, batch_size)
    for name in ("loss", "discriminators_loss"):
        assert [row[name] for row in two] == pytest.approx([row[name] for row in one], rel=1e-4), name
        assert len({round(row[name], 4) for row in one}) == 8  # it did learn something
    for name, value in weights.items():
        np.testing.assert_allclose(shared[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
