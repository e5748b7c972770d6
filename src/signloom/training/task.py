"""What the one training loop asks of a task, and what users of a trained model hold: Task, TrainingData, Predictor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from signloom.training.prefetch import Prefetch
from signloom.training.schedule import Schedule

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torch.nn import Module

    from signloom.data.batch import Batch
    from signloom.data.corpus import ClipRef, Corpus
    from signloom.training.checkpoint import Checkpoint
    from signloom.training.export import Exported


class Recipe(Protocol):
    """Everything that decides a training run, as one frozen value. A variant is ``replace(recipe, …)``."""

    name: str
    architecture: str
    schedule: Schedule

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        ...


@dataclass(frozen=True)
class Given:
    """What a run starts from beside its corpus; every part may be missing.

    ``weights`` is a file of someone else's network; ``teacher`` a run whose network this one learns from, of any
    modality; ``generator`` the run whose generator is enlarged; ``start`` a run of one's own to go on from, with new
    labels or signers.
    """

    weights: Path | None = None
    teacher: Path | None = None
    generator: Path | None = None
    start: Path | None = None

    def runs(self) -> Iterator[tuple[str, Path]]:
        """The runs among them, by the option they were given with."""
        for name in ("teacher", "generator", "start"):
            if (folder := getattr(self, name)) is not None:
                yield {"start": "from", "generator": "painter"}.get(name, name), folder


class TrainingData(Protocol):
    """What a task learns from. Only clips of the splits train and val are opened."""

    n_train: int
    """How many clips (or frames) an epoch goes through."""
    n_val: int
    n_classes: int
    labels: tuple[str, ...]
    prefetch: Prefetch

    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        ...

    def batch(self, seed: int, step: int, rank: int, n_processes: int) -> tuple[Batch, float]:
        """This process's share of batch ``step``, and the weight of each of its clips in the mean over processes.

        It follows from ``seed`` and ``step`` alone, whatever the number of processes; may be called from any thread.
        """
        ...


@dataclass(frozen=True)
class Step:
    """Where a training step stands: its number, how much of the run is ``done`` (0 to 1).

    ``mean_over_all(n)`` is the factor for a mean over ``n`` things of this part of the batch (hands found in it, say)
    that makes it count as it should in the mean over all processes. Every process must call it equally often.
    """

    number: int
    done: float
    mean_over_all: Callable[[int], float] = lambda n: 1.0


@dataclass(frozen=True)
class Evaluation:
    """What measuring gave: ``results`` is the JSON document, ``lines`` say it in words, ``shown`` are its keys that
    ``--json`` prints. ``page(file, embed_clips)`` writes the report, where there is one."""

    results: dict[str, Any]
    lines: Sequence[str] = ()
    shown: tuple[str, ...] = ()
    page: Callable[[Path, bool], Path] | None = None


class Task(Protocol):
    """A kind of thing that is learnt: made with the recipe and what the run was given."""

    name: ClassVar[str]
    recipe_type: ClassVar[type]
    recipes: ClassVar[Mapping[str, Callable[[], Any]]]
    """Its recipes by name, as functions that make them."""
    split: ClassVar[str]
    """The scheme by which a corpus without a split is divided: ``signer`` or ``random``."""
    has_preview: ClassVar[bool]
    """Whether there is something to look at while it trains."""

    recipe: Any
    given: Given

    def check(self) -> None:
        """Raise InputError for what does not go with the recipe, before anything is read."""
        ...

    def streams(self, corpus: Corpus) -> tuple[str, ...]:
        """The streams that training reads."""
        ...

    def data(self, corpus: Corpus) -> TrainingData: ...

    def build(self, data: TrainingData) -> dict[str, Module]:
        """``"model"`` is what is averaged and kept; discriminators, a frozen teacher … besides."""
        ...

    def parameter_groups(self, modules: Mapping[str, Module]) -> dict[str, list[dict[str, Any]]]:
        """One optimiser a name, each with groups of ``params``, ``lr`` and ``weight_decay``."""
        ...

    def begin_epoch(self, modules: Mapping[str, Module], epoch: int) -> None:
        """After all modules were put in training mode: what is not to learn in this epoch."""
        ...

    def training_step(self, modules: Mapping[str, Module], batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        """Yield (optimiser, loss), one after the other: the trainer differentiates, checks, clips and steps between."""
        ...

    def validate(self, model: Module, data: TrainingData, device: Any) -> Mapping[str, float]:
        """Figures on the validation clips; ``"score"``, higher is better, chooses the checkpoint. Empty without any."""
        ...

    def checkpoint(
        self, weights: Mapping[str, Tensor], data: TrainingData, metrics: Mapping[str, Any], about: Mapping[str, Any]
    ) -> Checkpoint:
        """What is kept. ``about`` holds recipe, corpus, split and the fingerprints of the streams."""
        ...

    def finish(self, checkpoint: Checkpoint, data: TrainingData) -> Checkpoint:
        """The last touch to the best checkpoint: calibration on validation clips, say."""
        ...

    def preview(self, checkpoint: Checkpoint, data: TrainingData, folder: Path) -> None:
        """Something to look at while it trains."""
        ...

    # --- use: of the class, with a checkpoint alone ---

    @classmethod
    def predictor(cls, checkpoint: Checkpoint) -> Predictor: ...

    @classmethod
    def evaluate(cls, predictor: Any, corpus: Any, split: str, **options: Any) -> Evaluation: ...

    @classmethod
    def export(cls, checkpoint: Checkpoint) -> Exported:
        """The model for other runtimes: its network, state in and out, and all that is done around it."""
        ...


NONE_OF_THESE = 0.5
"""From this unknown score on a clip is of none of the labels."""


@dataclass(frozen=True)
class Prediction:
    """One answer about a stretch of a clip, from ``start_s`` to ``end_s``.

    A recogniser gives ``labels`` with ``logits_K`` (natural logarithms of probabilities up to a constant); a generator
    gives ``pictures``, uint8 (T, S, S, 3). ``unknown``, from 0 to 1, says how sure it is that this is none of the
    labels, and ``embedding_E`` where the clip lies among its signs; None of recognisers that do not tell.
    """

    start_s: float
    end_s: float
    labels: tuple[str, ...] = ()
    logits_K: np.ndarray | None = None
    pictures: np.ndarray | None = None
    unknown: float | None = None
    embedding_E: np.ndarray | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def none_of_these(self) -> bool:
        """Whether it is a sign that the recogniser does not know, or no sign; False where it cannot tell."""
        return self.unknown is not None and self.unknown > NONE_OF_THESE

    @property
    def probabilities_K(self) -> np.ndarray:
        """How sure it is of each label."""
        import numpy as np

        assert self.logits_K is not None, "this prediction is not of labels"
        e_K = np.exp(self.logits_K - self.logits_K.max())
        return e_K / e_K.sum()

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` likeliest labels with their probabilities."""
        p_K = self.probabilities_K
        order = (-p_K).argsort(kind="stable")[:k]
        return [(self.labels[i], float(p_K[i])) for i in order]


class Session(Protocol):
    """A predictor that is fed as samples come."""

    def push(self, time_s: float, samples: Mapping[str, Any]) -> Sequence[Prediction]:
        """Samples of one instant by stream: ``"video"`` (raw frames, uint8 (H, W, 3) RGB), or a stream ready-made."""
        ...

    def close(self) -> Sequence[Prediction]: ...


class Predictor(Protocol):
    """A recogniser, a fusion of several, a generator: what evaluate, predict, generate, export and live hold."""

    needs: tuple[str, ...]
    """The streams it reads."""
    fps: float
    """The usual rate of the clips it learnt from."""

    def __call__(self, clip: ClipRef) -> Prediction: ...

    def session(self, fps: float | None = None) -> Session:
        """Begin a clip of ``fps`` frames per second; None: of a rate that its samples tell, or of training's."""
        ...
