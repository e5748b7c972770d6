"""Several processes train as one does on the same global batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np, torch
from signloom.tasks.recognise.classify_video import ClassifyVideos
from signloom.training.fit import fit
from signloom.tasks.recognise.recipe import Schedule
from signloom.tasks.recognise.video_set import Memory, VideoSet
from signloom.models import build
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

torch.set_num_threads(1)
out, accumulate = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
frames = rng.integers(0, 256, (10, 6, 40, 40, 3), np.uint8)
paths = {"frames": [Path(str(i)) for i in range(10)]}

def read(stream, path, rows):
    return frames[int(path.name)] if rows is None else frames[int(path.name)][rows]

clips = VideoSet(tuple("abcdefghij"), paths, [6] * 10, VideoInput(4, 32, 32), np.arange(10) % 2, read, memory=Memory(0))
task = ClassifyVideos(clips, 2, None, VideoAugment(), "frames", label_smoothing=0.0)
torch.manual_seed(0)
model = build("light3d", {"n_classes": 2, "widths": (8, 8, 8), "blocks": (1, 1), "memory": 8, "dropout": 0.0})
schedule = Schedule(
    epochs=3, least_steps=0, steps_per_class=0, batch_size=5, learning_rate=0.01, ema=0.0, optimizer="sgd",
    precision="fp32", accumulate=accumulate,
)
result = fit(model, task, schedule, out, seed=1, run_hash="h", quiet=True)
if int(__import__("os").environ.get("RANK", 0)) == 0:
    np.savez(out / "weights.npz", **{k: v.numpy() for k, v in result.best.items()})
    (out / "history.json").write_text(json.dumps(result.history))
"""


def train(folder, n_processes, accumulate=1):
    folder.mkdir()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    started = []
    for rank in range(n_processes):
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        if n_processes > 1:
            environment |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(n_processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
            }
        command = [sys.executable, "-c", PROGRAM, str(folder), str(accumulate)]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in started:
        said = process.communicate(timeout=240)[1]
        assert process.returncode == 0, said
    with np.load(folder / "weights.npz", allow_pickle=False) as file:
        weights = dict(file)
    return json.loads((folder / "history.json").read_text()), weights


@pytest.mark.slow
def test_two_processes_train_to_the_same_loss_and_weights_as_one(tmp_path):
    """Batches of 5: the processes get 3 and 2 clips, and batch norm spans both."""
    one, weights = train(tmp_path / "one", 1)
    two, shared = train(tmp_path / "two", 2)
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-4)
    assert len({round(row["loss"], 4) for row in one}) == 3  # it did learn something
    for name, value in weights.items():
        np.testing.assert_allclose(shared[name], value, rtol=2e-3, atol=2e-4, err_msg=name)
