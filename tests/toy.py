"""A stream, an input, a model and a task that signloom does not have, each as anyone would add it: one class.

They tell signs by how bright the picture is, moment by moment. tests/test_extension.py adds them by a table line each
and walks the whole path. CONTRIBUTING.md copies these classes as skeletons.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from signloom.data.batch import Batch
from signloom.data.corpus import HeldClip, clips_of
from signloom.data.reader import Reader
from signloom.data.stream import ClipInfo, Stream, Timed
from signloom.runtime.atomic import atomic_write
from signloom.streams import streams_of
from signloom.streams.runner import Runner
from signloom.training.checkpoint import Checkpoint
from signloom.training.export import Exported
from signloom.training.prefetch import Prefetch
from signloom.training.schedule import Schedule
from signloom.training.task import Evaluation, Given, Prediction
from signloom.training.trainer import decayed_groups

# --- a stream: streams/brightness.py, and a line in STREAMS -------------------------------------------------------


@dataclass(frozen=True)
class BrightnessStream(Stream):
    """How bright each frame is, from 0 to ``full``. Samples are float32 (1,)."""

    full: float = 1.0
    name = "brightness"
    suffix = ".npy"
    lossless = True
    small = True
    version: ClassVar[int] = 1

    def fingerprint(self):
        return {"extractor": "brightness", "full": self.full, "version": self.version}

    def open(self, info: ClipInfo):
        return _Measuring(self.full)

    @contextmanager
    def writer(self, file: Path, info: ClipInfo):
        samples: list[np.ndarray] = []
        yield samples.append
        with atomic_write(file) as tmp:
            np.save(tmp, np.stack(samples))

    def read(self, file, rows=None):
        """float32 (T, 1)."""
        values = np.load(file, allow_pickle=False)
        return values if rows is None else values[np.asarray(rows)]


class _Measuring:
    def __init__(self, full: float):
        self.factor = full / 255

    def push(self, time_s, samples):
        return [Timed(time_s, np.array([samples["video"].mean() * self.factor], np.float32))]

    def close(self):
        return []


# --- what a model sees of it: transforms/brightness_input.py, and a line in INPUTS --------------------------------


@dataclass(frozen=True)
class BrightnessInput:
    """The brightness at ``n_frames`` moments spread over the clip, float32 (T,)."""

    n_frames: int = 4

    def of_clip(self, clip, read: Reader, streams) -> dict[str, np.ndarray]:
        rows = np.arange(self.n_frames) * clip.n_frames // self.n_frames
        return {"brightness": read(clip, streams[0], rows)[:, 0]}


# --- a model: models/toy.py, and a line in ARCHITECTURES ----------------------------------------------------------


@dataclass(frozen=True)
class ToyConfig:
    """``n_frames`` in, ``n_classes`` out."""

    n_classes: int
    n_frames: int = 4


class ToyModel(nn.Module):
    """Brightness (B, T) → logits (B, K)."""

    takes: ClassVar[str] = "brightness"

    def __init__(self, config: ToyConfig):
        super().__init__()
        self.config = config
        self.head = nn.Linear(config.n_frames, config.n_classes)

    def forward(self, brightness_BT):
        return self.head(brightness_BT)


# --- a task: tasks/toy/, and a line in TASKS ----------------------------------------------------------------------


@dataclass(frozen=True)
class ToyRecipe:
    """What to train and how."""

    name: str = "toy"
    architecture: str = "toy"
    inputs: BrightnessInput = field(default_factory=BrightnessInput)
    model: dict = field(default_factory=dict)
    schedule: Schedule = field(
        default_factory=lambda: Schedule(epochs=6, min_steps=0, steps_per_class=0, batch_size=4, learning_rate=0.5)
    )

    def as_dict(self):
        return json.loads(json.dumps({"name": self.name, "schedule": vars(self.schedule), "inputs": vars(self.inputs)}))


def toy() -> ToyRecipe:
    """Tells signs by how bright the picture is; for tests."""
    return ToyRecipe()


@dataclass
class ToyData:
    """All clips in memory. Implements :class:`signloom.training.task.TrainingData`."""

    x: dict[str, torch.Tensor]
    y: dict[str, torch.Tensor]
    labels: tuple[str, ...]
    batch_size: int
    prefetch: Prefetch = field(default_factory=Prefetch)

    n_train = property(lambda self: len(self.x["train"]))
    n_val = property(lambda self: len(self.x["val"]))
    n_classes = property(lambda self: len(self.labels))

    def steps_per_epoch(self):
        return max(1, self.n_train // self.batch_size)

    def batch(self, seed, step, rank=0, n_processes=1):
        epoch, k = divmod(step, self.steps_per_epoch())
        rows = np.random.default_rng((seed, epoch)).permutation(self.n_train)[k * self.batch_size :][: self.batch_size]
        own = torch.from_numpy(rows[rank::n_processes])
        batch = Batch(tuple(map(str, own)), {"brightness": self.x["train"][own]}, {"label": self.y["train"][own]})
        return batch, n_processes / len(rows)


@dataclass(frozen=True)
class ToyTask:
    """Implements :class:`signloom.training.task.Task`."""

    recipe: ToyRecipe
    given: Given = field(default_factory=Given)

    name: ClassVar[str] = "toy"
    recipe_type: ClassVar[type] = ToyRecipe
    recipes: ClassVar[dict] = {"toy": toy}
    split: ClassVar[str] = "signer"
    has_preview: ClassVar[bool] = False

    def check(self):
        pass

    def streams(self, corpus):
        return ("brightness",)

    def data(self, corpus):
        read = Reader(streams_of({"brightness": corpus.fingerprint("brightness")}))
        x, y = {}, {}
        for split in ("train", "val"):
            clips = list(corpus.clips(split))
            seen = [self.recipe.inputs.of_clip(c, read, ("brightness",))["brightness"] for c in clips]
            x[split] = torch.from_numpy(np.array(seen, np.float32).reshape(len(clips), self.recipe.inputs.n_frames))
            y[split] = torch.tensor([corpus.labels.index(c.label) for c in clips], dtype=torch.long)
        return ToyData(x, y, corpus.labels, self.recipe.schedule.batch_size)

    def build(self, data):
        return {"model": ToyModel(ToyConfig(data.n_classes, self.recipe.inputs.n_frames))}

    def parameter_groups(self, modules):
        return {"model": decayed_groups(modules["model"], self.recipe.schedule.learning_rate, 0.0)}

    def begin_epoch(self, modules, epoch):
        pass

    def training_step(self, modules, batch, step) -> Iterator:
        logits = modules["model"](batch.inputs["brightness"])
        yield "model", nn.functional.cross_entropy(logits, batch.targets["label"])

    def validate(self, model, data, device):
        if not data.n_val:
            return {}
        with torch.inference_mode():
            right = model(data.x["val"].to(device)).argmax(1).cpu() == data.y["val"]
        return {"top1": float(right.float().mean()), "score": float(right.float().mean())}

    def checkpoint(self, weights, data, metrics, about):
        model = self.build(data)["model"]
        model.load_state_dict(weights)
        return Checkpoint("toy", "toy", model.eval(), data.labels, self.recipe.inputs, metrics=metrics, **about)

    def finish(self, checkpoint, data):
        return replace(checkpoint, temperature=1.0)

    def preview(self, checkpoint, data, folder):
        pass

    @classmethod
    def predictor(cls, checkpoint):
        return ToyPredictor(checkpoint)

    @classmethod
    def evaluate(cls, predictor, corpus, split, **options):
        chosen = corpus.only(split)
        predictor.checkpoint.check_stream("brightness", corpus.fingerprint("brightness"), str(corpus.root))
        answers = [predictor(clip).top(1)[0][0] for clip in clips_of(chosen)]
        top1 = float(np.mean([a == r.label for a, r in zip(answers, chosen)]))
        return Evaluation({"kind": "toy", "top1": top1, "answers": answers}, [f"top-1 {top1:.3f}"], ("top1", "answers"))

    @classmethod
    def export(cls, checkpoint):
        example = np.linspace(0, 1, checkpoint.inputs.n_frames, dtype=np.float32)[None]
        return Exported(checkpoint.model, [{"brightness": example}], ("logits",), about={"task": "toy"})


class ToyPredictor:
    """Implements :class:`signloom.training.task.Predictor`."""

    def __init__(self, checkpoint):
        self.checkpoint = checkpoint
        self.needs = tuple(checkpoint.streams)
        self.labels, self.fps = checkpoint.labels, checkpoint.fps
        self.streams = streams_of(checkpoint.streams)
        self.read = Reader(self.streams)

    def scores(self, clips):
        seen = [self.checkpoint.inputs.of_clip(c, self.read, self.needs)["brightness"] for c in clips]
        with torch.inference_mode():
            return self.checkpoint.model(torch.from_numpy(np.stack(seen))).numpy()

    def __call__(self, clip):
        return Prediction(0.0, clip.n_frames / clip.fps, self.labels, self.scores([clip])[0])

    def session(self, fps=None):
        return ToySession(self, fps or self.fps)


class ToySession:
    """Implements :class:`signloom.training.task.Session`."""

    def __init__(self, predictor, fps):
        self.predictor, self.fps = predictor, fps
        self.runner = Runner(predictor.streams, ClipInfo("session", fps))

    def push(self, time_s, samples):
        self.runner.push(time_s, samples)
        return ()

    def close(self):
        return (self.predictor(HeldClip("session", self.runner.close(), self.fps)),)
