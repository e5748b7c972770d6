"""Finding where signs begin and end, as something to train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom.data.corpus import Corpus
from signloom.errors import InputError
from signloom.metrics.segments import Found, compared
from signloom.models import build
from signloom.tasks.segment.data import IGNORED, SegmentData, read_corpus
from signloom.tasks.segment.decode import CLASSES, Thresholds, stretches
from signloom.tasks.segment.predict import Segmenter
from signloom.tasks.segment.recipes import RECIPES, SegmentRecipe
from signloom.training.checkpoint import Checkpoint, load_checkpoint
from signloom.training.task import Evaluation, Given, Step
from signloom.training.trainer import decayed_groups

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from signloom.data.batch import Batch
    from signloom.tasks.segment.footage import Footage
    from signloom.training.export import Exported

TRIED = {
    "on": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "off": (0.2, 0.3, 0.4, 0.5, 0.6),
    "begin": (0.3, 0.4, 0.5, 0.6, 0.7, 2.0),
}
"""The thresholds that are tried on validation footage; nothing is likelier than 2."""


@dataclass(frozen=True)
class Segment:
    """Begin, inside, outside of a sign. Implements :class:`signloom.training.task.Task`."""

    recipe: SegmentRecipe
    given: Given = field(default_factory=Given)

    name: ClassVar[str] = "segment"
    recipe_type: ClassVar[type] = SegmentRecipe
    recipes: ClassVar[Mapping[str, Callable[[], SegmentRecipe]]] = RECIPES
    split: ClassVar[str] = "signer"
    has_preview: ClassVar[bool] = False

    def check(self) -> None:
        given = self.given
        wrong = {"weights": given.weights, "teacher": given.teacher, "painter": given.generator}
        for option in [name for name, value in wrong.items() if value is not None]:
            raise InputError(f"--{option} does not go with recipe '{self.recipe.name}'; leave it out")

    def streams(self, corpus: Corpus) -> tuple[str, ...]:
        return self.recipe.streams

    def data(self, corpus: Corpus) -> SegmentData:
        return read_corpus(corpus, self.recipe)

    def build(self, data: SegmentData) -> dict[str, Module]:
        model = self._untrained()
        if self.given.start is not None:
            known = load_checkpoint(self.given.start).model
            if type(known) is not type(model) or known.config != model.config:
                raise InputError(
                    f"--from '{self.given.start}' is no segmenter of this recipe's size; give a run of recipe "
                    f"'{self.recipe.name}' with the same settings"
                )
            model.load_state_dict(known.state_dict())
        return {"model": model}

    def _untrained(self) -> Any:
        recipe = self.recipe
        return build(recipe.architecture, {**recipe.inputs.model_fields(recipe.streams), **recipe.model})

    def parameter_groups(self, modules: Mapping[str, Module]) -> dict[str, list[dict[str, Any]]]:
        s = self.recipe.schedule
        return {"model": decayed_groups(modules["model"], s.learning_rate, s.weight_decay)}

    def begin_epoch(self, modules: Mapping[str, Module], epoch: int) -> None:
        """Everything learns, always."""

    def training_step(self, modules: Mapping[str, Module], batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        from torch.nn.functional import cross_entropy

        features, wanted = batch.inputs["motion"], batch.targets["class"]
        model: Any = modules["model"]
        logits, _ = model(features, getattr(model, "_orig_mod", model).begin(len(features)))
        weight = logits.new_tensor([1.0, self.recipe.begin_weight, 1.0])
        s = self.recipe.schedule.label_smoothing
        yield (
            "model",
            cross_entropy(
                logits.float().flatten(0, 1), wanted.flatten(), weight, ignore_index=IGNORED, label_smoothing=s
            ),
        )

    # --- what is measured and kept --------------------------------------------------------------------------------

    def validate(self, model: Module, data: SegmentData, device: Any) -> Mapping[str, float]:
        if not data.n_val:
            return {}
        found = measured(self._said(model, data, device), Thresholds())
        f1, iou = found.f1 or 0.0, found.frame_iou or 0.0
        return {"f1": f1, "frame_iou": iou, "score": (f1 + iou) / 2}

    def _said(self, model: Any, data: SegmentData, device: Any) -> list[tuple[Footage, np.ndarray, np.ndarray]]:
        """Of the validation footage, of which moments the network speaks, and what it says of them."""
        import torch

        was_training = model.training
        model.eval()
        said = []
        for _, footage in data.validation_footage():
            features, _ = self.recipe.inputs.features(footage.times_T, footage.xy_TJC, footage.present_TJ)
            with torch.inference_mode():
                logits, _ = model(torch.from_numpy(features)[None].to(device), model.begin(1))
            said.append(
                (footage, footage.times_T - self.recipe.inputs.delay_s, logits[0].float().softmax(-1).cpu().numpy())
            )
        model.train(was_training)
        return said

    def checkpoint(
        self, weights: Mapping[str, Tensor], data: SegmentData, metrics: Mapping[str, Any], about: Mapping[str, Any]
    ) -> Checkpoint:
        final = self._untrained()
        final.load_state_dict(weights)
        return Checkpoint(
            task=self.name,
            architecture=self.recipe.architecture,
            model=final.eval(),
            labels=(),
            inputs=self.recipe.inputs,
            metrics=metrics,
            thresholds=asdict(Thresholds()),
            **about,
        )

    def finish(self, checkpoint: Checkpoint, data: SegmentData) -> Checkpoint:
        """With the thresholds that do best on validation footage; without any, the usual ones."""
        if not data.n_val:
            return checkpoint
        said = self._said(checkpoint.model, data, next(checkpoint.model.parameters()).device)
        best = max(_tried(), key=lambda t: _score(measured(said, t)))
        found = measured(said, best)
        about = {"f1": found.f1 or 0.0, "frame_iou": found.frame_iou or 0.0}
        return replace(checkpoint, thresholds=asdict(best), metrics={**checkpoint.metrics, **about})

    def preview(self, checkpoint: Checkpoint, data: SegmentData, folder: Path) -> None:
        """Nothing to look at: the log has the curves."""

    # --- use ------------------------------------------------------------------------------------------------------

    @classmethod
    def predictor(cls, checkpoint: Checkpoint) -> Segmenter:
        return Segmenter(checkpoint)

    @classmethod
    def evaluate(cls, predictor: Any, corpus: Any, split: str, **options: Any) -> Evaluation:
        from signloom.tasks.segment.evaluate import evaluate_segmenter

        return evaluate_segmenter(predictor, corpus, split, **options)

    @classmethod
    def export(cls, checkpoint: Checkpoint) -> Exported:
        from signloom.tasks.segment.export import export_segmenter

        return export_segmenter(checkpoint)


def measured(said: Sequence[tuple[Footage, np.ndarray, np.ndarray]], thresholds: Thresholds) -> Found:
    """What came of footage at ``thresholds``, of which the network has said what it says."""
    total = Found()
    for footage, moments_T, p_TK in said:
        known = moments_T >= footage.times_T[0]
        found = stretches(moments_T[known], p_TK[known], thresholds)
        total += compared(footage.times_T, footage.spans, found)
    return total


def _score(found: Found) -> float:
    return (found.f1 or 0.0) + 0.5 * (found.frame_iou or 0.0)


def _tried() -> Iterator[Thresholds]:
    for on in TRIED["on"]:
        for off in (value for value in TRIED["off"] if value <= on):
            for begin in TRIED["begin"]:
                yield Thresholds(on, off, begin)


assert len(CLASSES) == 3
