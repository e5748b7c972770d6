"""Swapping faces, as something to train: one encoder, a decoder for every identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from signloom.data.corpus import Corpus
from signloom.errors import InputError
from signloom.models import build
from signloom.tasks.swap.data import STREAMS, SwapData, feature_weights, read_corpus
from signloom.tasks.swap.predict import FaceSwapper, write_preview
from signloom.tasks.swap.recipes import RECIPES, SwapLosses, SwapRecipe
from signloom.training.checkpoint import Checkpoint
from signloom.training.task import Evaluation, Given, Step

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from signloom.data.batch import Batch
    from signloom.training.export import Exported


MEANS = ("mean_face", "seen_mean")
"""Parameters that are pictures: they begin nearly right and do not decay."""


@dataclass(frozen=True)
class Swap:
    """Faces of several people and of nobody. Implements :class:`signloom.training.task.Task`."""

    recipe: SwapRecipe
    given: Given = field(default_factory=Given)

    name: ClassVar[str] = "swap"
    recipe_type: ClassVar[type] = SwapRecipe
    recipes: ClassVar[Mapping[str, Callable[[], SwapRecipe]]] = RECIPES
    split: ClassVar[str] = "random"
    has_preview: ClassVar[bool] = True

    def check(self) -> None:
        given = {"weights": "weights", "teacher": "teacher", "generator": "painter", "start": "from"}
        wrong = [option for name, option in given.items() if getattr(self.given, name) is not None]
        wrong += ["compile"] if self.recipe.schedule.compile else []
        if wrong:
            raise InputError(f"--{wrong[0]} does not go with recipe '{self.recipe.name}'; leave it out")
        if self.recipe.schedule.precision == "fp16":
            raise InputError("schedule.precision: got 'fp16', expected auto, fp32 or bf16")

    def streams(self, corpus: Corpus) -> tuple[str, ...]:
        return STREAMS

    # --- training -------------------------------------------------------------------------------------------------

    def data(self, corpus: Corpus) -> SwapData:
        return read_corpus(corpus, self.recipe)

    def build(self, data: SwapData) -> dict[str, Module]:
        model = _untrained(self.recipe, len(data.inputs.identities))
        _begin_with_means(model, data)
        return {"model": model}

    def parameter_groups(self, modules: Mapping[str, Module]) -> dict[str, list[dict[str, Any]]]:
        """Weight decay for kernels only."""
        s = self.recipe.schedule
        named = list(modules["model"].named_parameters())
        kernels = [p for name, p in named if p.ndim > 1 and not name.endswith(MEANS)]
        rest = [p for name, p in named if p.ndim <= 1 or name.endswith(MEANS)]
        return {
            "model": [
                {"params": kernels, "lr": s.learning_rate, "weight_decay": s.weight_decay},
                {"params": rest, "lr": s.learning_rate, "weight_decay": 0.0},
            ]
        }

    def begin_epoch(self, modules: Mapping[str, Module], epoch: int) -> None:
        """Everything learns, always."""

    def training_step(self, modules: Mapping[str, Module], batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        picture, seen = modules["model"](batch.inputs["face"], batch.inputs["identity"])
        loss = face_loss(self.recipe.losses, picture.float(), seen.float(), batch)
        # Every parameter has a gradient, whoever is in this process's share of the batch.
        yield "model", loss + 0.0 * sum(p.sum() for p in modules["model"].parameters())

    # --- what is kept ---------------------------------------------------------------------------------------------

    def validate(self, model: Module, data: SwapData, device: Any) -> Mapping[str, float]:
        """Nothing chooses a checkpoint: the averaged weights at the end are kept."""
        return {}

    def checkpoint(
        self, weights: Mapping[str, Tensor], data: SwapData, metrics: Mapping[str, Any], about: Mapping[str, Any]
    ) -> Checkpoint:
        final = _untrained(self.recipe, len(data.inputs.identities))
        final.load_state_dict(weights)
        return Checkpoint(
            task=self.name,
            architecture=self.recipe.architecture,
            model=final.eval(),
            labels=(),
            inputs=data.inputs,
            metrics=metrics,
            **about,
        )

    def finish(self, checkpoint: Checkpoint, data: SwapData) -> Checkpoint:
        return checkpoint

    def preview(self, checkpoint: Checkpoint, data: SwapData, folder: Path) -> None:
        """``preview.png``: faces as they are, and as every identity's."""
        write_preview(checkpoint, data, folder)

    # --- use ------------------------------------------------------------------------------------------------------

    @classmethod
    def predictor(cls, checkpoint: Checkpoint) -> FaceSwapper:
        return FaceSwapper(checkpoint)

    @classmethod
    def evaluate(cls, predictor: Any, corpus: Any, split: str, **options: Any) -> Evaluation:
        """See :func:`signloom.tasks.swap.evaluate.evaluate_run`."""
        from signloom.tasks.swap.evaluate import evaluate_run

        return evaluate_run(predictor, corpus, split, **options)

    @classmethod
    def export(cls, checkpoint: Checkpoint) -> Exported:
        from signloom.tasks.swap.export import export_swap

        return export_swap(checkpoint)


def _untrained(recipe: SwapRecipe, n_identities: int) -> Any:
    """Raises InputError for settings that it does not know."""
    settings = {**recipe.model, "size_px": recipe.inputs.size_px, "n_identities": n_identities}
    try:
        return build(recipe.architecture, settings)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"recipe '{recipe.name}': a '{recipe.architecture}' cannot be built with {dict(recipe.model)}: {error}"
        ) from error


def _begin_with_means(model: Any, data: SwapData) -> None:
    """Give each decoder its person's mean face, and the branch that sees where faces mostly are."""
    import torch

    def logits(mean: Any) -> Tensor:
        return torch.logit(torch.from_numpy(mean / 255).float().clamp(0.03, 0.97))

    with torch.no_grad():
        for decoder, name in zip(model.decoders, data.inputs.identities):
            decoder.mean_face.copy_(logits(data.faces[name].pictures_N.mean(0)).permute(2, 0, 1))
        seen = [own.seen_N.mean(0) for own in data.faces.values()]
        model.seen_mean.copy_(logits(sum(seen) / len(seen))[None])


def face_loss(losses: SwapLosses, picture: Tensor, seen: Tensor, batch: Batch) -> Tensor:
    """What is wrong with painted faces (B, 3, S, S) and with where they say that they are seen, logits (B, 1, S, S)."""
    import torch
    import torch.nn.functional as F

    from signloom.metrics.pictures import ssim

    real, within = batch.targets["picture"], batch.targets["within"]
    weights = torch.from_numpy(feature_weights(picture.shape[-1], losses.features)).to(picture)
    weight = within * weights
    total = weight.sum().clamp_min(1.0)
    loss = losses.l1 * ((picture - real).abs().mean(1, keepdim=True) * weight).sum() / total
    if losses.ssim:
        grey = 0.5 * (1 - within)
        loss = loss + losses.ssim * (1 - ssim(picture * within + grey, real * within + grey)).mean()
    if losses.edges:
        wrong = picture - real
        across = (wrong[..., 1:] - wrong[..., :-1]).abs().mean(1, keepdim=True) * weight[..., 1:]
        down = (wrong[..., 1:, :] - wrong[..., :-1, :]).abs().mean(1, keepdim=True) * weight[..., 1:, :]
        loss = loss + losses.edges * (across.sum() + down.sum()) / total
    if losses.seen:
        loss = loss + losses.seen * F.binary_cross_entropy_with_logits(seen, batch.targets["seen"])
    return loss
