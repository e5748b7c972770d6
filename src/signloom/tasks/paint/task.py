"""Painting a signer from poses, as something to train: a generator, and discriminators that teach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from signloom.data.corpus import Corpus
from signloom.errors import InputError, LeakError
from signloom.models import build
from signloom.tasks.paint.data import PaintData, pose_stream, read_corpus
from signloom.tasks.paint.losses import Discriminators, build_discriminators, paint_batch, picture_loss
from signloom.tasks.paint.plates import background_of, template_of
from signloom.tasks.paint.predict import GeneratorPredictor, write_preview
from signloom.tasks.paint.recipes import RECIPES, PaintRecipe
from signloom.training.checkpoint import Checkpoint, load_checkpoint
from signloom.training.task import Evaluation, Given, Step

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from signloom.data.batch import Batch
    from signloom.training.export import Exported

PLATES = ("background", "template")
"""Parameters that hold a picture of each signer: begun nearly right, they learn at a tenth of the rate."""
PLATE_PACE = 0.1


@dataclass(frozen=True)
class Paint:
    """A signer painted from poses. Implements :class:`signloom.training.task.Task`."""

    recipe: PaintRecipe
    given: Given = field(default_factory=Given)

    name: ClassVar[str] = "paint"
    recipe_type: ClassVar[type] = PaintRecipe
    recipes: ClassVar[Mapping[str, Callable[[], PaintRecipe]]] = RECIPES
    split: ClassVar[str] = "random"
    has_preview: ClassVar[bool] = True

    def check(self) -> None:
        recipe, given = self.recipe, self.given
        enlarges = recipe.architecture == "upscaled"
        if enlarges == (given.generator is None):
            raise InputError(
                f"recipe '{recipe.name}' enlarges a finished generator: give its run folder as --painter"
                if enlarges
                else f"--painter: recipe '{recipe.name}' begins with no other generator (paint-512 does); leave it out"
            )
        wrong = [n for n in ("weights", "teacher") if getattr(given, n) is not None]
        wrong += ["from"] if enlarges and given.start is not None else []
        wrong += ["compile"] if recipe.schedule.compile else []
        if wrong:
            raise InputError(f"--{wrong[0]} does not go with recipe '{recipe.name}'")
        if recipe.schedule.precision == "fp16":
            raise InputError("schedule.precision: got 'fp16', expected auto, fp32 or bf16 (fp16 overflows)")

    def streams(self, corpus: Corpus) -> tuple[str, ...]:
        return "signer", pose_stream(corpus)

    # --- training -------------------------------------------------------------------------------------------------

    def data(self, corpus: Corpus) -> PaintData:
        return read_corpus(corpus, self.recipe)

    def build(self, data: PaintData) -> dict[str, Module]:
        from torch import nn

        recipe = self.recipe
        if self.given.generator is not None:
            small = _to_enlarge(self.given.generator, data)
            model = untrained(recipe, generator=tuple(asdict(small.model.config).items()))
            model.generator.load_state_dict(small.model.state_dict())
        else:
            model = untrained(recipe, size_px=recipe.inputs.size_px, n_identities=len(data.signers))
            if hasattr(model, "background"):
                _begin_plates(model, data)
            if self.given.start is not None:
                _go_on_from(model, self.given.start, data)
        heads = build_discriminators(recipe.losses, recipe.architecture, model.config)
        return {"model": model, **({"discriminators": nn.ModuleDict(heads)} if heads else {})}

    def parameter_groups(self, modules: Mapping[str, Module]) -> dict[str, list[dict[str, Any]]]:
        """Weight decay for kernels only."""
        s = self.recipe.schedule
        groups = {"model": _groups(modules["model"], s.learning_rate, s.weight_decay)}
        if "discriminators" in modules:
            groups["discriminators"] = _groups(modules["discriminators"], s.discriminator_learning_rate, s.weight_decay)
        return groups

    def begin_epoch(self, modules: Mapping[str, Module], epoch: int) -> None:
        """Everything learns, always."""

    def training_step(self, modules: Mapping[str, Module], batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        losses = self.recipe.losses
        painted, before, warped = paint_batch(modules["model"], batch)
        painted = painted.float()
        judges = None
        if "discriminators" in modules and step.done >= losses.discriminators_from:
            judges = Discriminators(modules["discriminators"], losses)  # type: ignore[arg-type]
            yield "discriminators", judges.own_loss(painted, batch, step)
        loss = picture_loss(losses, batch, painted, before, warped, step)
        if judges is not None:
            loss = loss + judges.generators_loss(painted, batch, step)
        yield "model", loss

    # --- what is kept ---------------------------------------------------------------------------------------------

    def validate(self, model: Module, data: PaintData, device: Any) -> Mapping[str, float]:
        """Nothing chooses a checkpoint: the averaged weights at the end are kept."""
        return {}

    def checkpoint(
        self,
        weights: Mapping[str, Tensor],
        data: PaintData,
        metrics: Mapping[str, Any],
        about: Mapping[str, Any],
    ) -> Checkpoint:
        if self.given.generator is not None:
            small = load_checkpoint(self.given.generator).model.config
            final = untrained(self.recipe, generator=tuple(asdict(small).items()))
        else:
            final = untrained(self.recipe, size_px=self.recipe.inputs.size_px, n_identities=len(data.signers))
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

    def finish(self, checkpoint: Checkpoint, data: PaintData) -> Checkpoint:
        return checkpoint

    def preview(self, checkpoint: Checkpoint, data: PaintData, folder: Path) -> None:
        """``preview.png`` and ``preview.mp4``: pose, painted and real side by side."""
        write_preview(checkpoint, data.shown or data.clips, folder)

    # --- use ------------------------------------------------------------------------------------------------------

    @classmethod
    def predictor(cls, checkpoint: Checkpoint) -> GeneratorPredictor:
        return GeneratorPredictor(checkpoint)

    @classmethod
    def evaluate(cls, predictor: Any, corpus: Any, split: str, **options: Any) -> Evaluation:
        """Options as of :func:`signloom.tasks.paint.evaluate.evaluate_run`."""
        from signloom.tasks.paint.evaluate import evaluate_run

        return evaluate_run(predictor, corpus, split, **options)

    @classmethod
    def export(cls, checkpoint: Checkpoint) -> Exported:
        from signloom.tasks.paint.export import export_generator

        return export_generator(checkpoint)


def untrained(recipe: PaintRecipe, **more: Any) -> Any:
    """``recipe``'s generator before training. Raises InputError for settings that it does not know."""
    try:
        return build(recipe.architecture, {**recipe.model, **more})
    except (TypeError, ValueError) as error:  # what a config says of fields and values that it does not know
        raise InputError(
            f"recipe '{recipe.name}': a '{recipe.architecture}' cannot be built with {dict(recipe.model)}: {error}"
        ) from error


def _groups(module: Module, rate: float, weight_decay: float) -> list[dict[str, Any]]:
    groups: dict[tuple[float, float], list[Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        plate = name in PLATES
        decay = weight_decay if parameter.ndim == 4 and not plate else 0.0
        groups.setdefault((PLATE_PACE if plate else 1.0, decay), []).append(parameter)
    return [{"params": p, "lr": pace * rate, "weight_decay": decay} for (pace, decay), p in groups.items()]


def _begin_plates(model: Any, data: PaintData) -> None:
    """Give each signer the background, and the appearance template, that the frames tell."""
    import torch

    with torch.no_grad():
        for k in range(len(data.signers)):
            frames = data.some_frames(k)
            background = background_of(frames)
            model.background[k] = _as_plate(background)
            if model.config.template:
                model.template[k] = _as_plate(template_of(frames, background))


def _as_plate(picture_HWC: Any) -> Tensor:
    import torch

    return torch.from_numpy(picture_HWC).permute(2, 0, 1).float() / 255


def _to_enlarge(folder: Path, data: PaintData) -> Checkpoint:
    """The generator of a run, for one of twice its size. It must not have learnt from clips this run is not to know."""
    known, recipe = load_checkpoint(folder), data.recipe
    if known.architecture != "generator":
        raise InputError(f"--painter '{folder}' is a '{known.architecture}'; expected a run of --recipe paint")
    if 2 * known.inputs.size_px != recipe.inputs.size_px or known.inputs.size_px != recipe.inputs.pose_map_px:
        raise InputError(
            f"--painter '{folder}' paints {known.inputs.size_px} px; recipe '{recipe.name}' doubles "
            f"{recipe.inputs.size_px // 2} px. Set inputs.size_px and inputs.pose_map_px to go with it"
        )
    if known.inputs.signers != data.signers:
        raise InputError(f"--painter '{folder}' paints {known.inputs.signers}, the corpus has {data.signers}")
    if known.split.get("hash") != data.split_hash:
        raise LeakError(
            f"--painter '{folder}' was trained on another split than this run's: it may know its test clips. Train "
            "both on the same split (--split RUN/split.json)"
        )
    return known


def _go_on_from(model: Any, folder: Path, data: PaintData) -> None:
    """Give ``model`` the weights of a run of one's own; what belongs to a signer who is new begins afresh.

    Raises InputError for a run of another kind of generator; LeakError for one of the same corpus split otherwise.
    """
    import torch

    known, recipe = load_checkpoint(folder), data.recipe
    if known.architecture != recipe.architecture:
        raise InputError(f"--from '{folder}' is a '{known.architecture}', recipe '{recipe.name}' is none; use its own")
    if known.corpus.get("hash") == data.corpus_hash and known.split.get("hash") != data.split_hash:
        raise LeakError(
            f"--from '{folder}' was trained on another split of this corpus: it may know this run's test clips. Train "
            "both on the same split (--split RUN/split.json)"
        )
    theirs, own = known.model.state_dict(), model.state_dict()
    both = [(k, known.inputs.signers.index(s)) for k, s in enumerate(data.signers) if s in known.inputs.signers]
    with torch.no_grad():
        for name, value in own.items():
            other = theirs.get(name)
            personal = name in PLATES or name.startswith("codes.")
            if other is None or other.shape[personal:] != value.shape[personal:]:
                got = None if other is None else tuple(other.shape)
                raise InputError(
                    f"--from '{folder}': tensor '{name}' has shape {got}, expected {tuple(value.shape)}; train with "
                    "the --set of that run"
                )
            if not personal:
                value.copy_(other)
            for mine, its in both if personal else ():
                value[mine] = other[its]
