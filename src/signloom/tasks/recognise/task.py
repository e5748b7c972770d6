"""Naming the sign in a clip, as something to train: from poses, video, flow, or several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from signloom.data.corpus import ClipList, Corpus
from signloom.errors import InputError, LeakError, MissingExtraError
from signloom.metrics.classification import fit_temperature, row_blocks
from signloom.models import ARCHITECTURES, build
from signloom.tasks.recognise import losses
from signloom.tasks.recognise.closed_form import is_solved, solved
from signloom.tasks.recognise.data import TEACHER, Clips, RecogniseData, fitted, read_corpus, reader_for
from signloom.tasks.recognise.open_set import fit_open_set, spread_rows
from signloom.tasks.recognise.predict import Recogniser, features_of, score
from signloom.tasks.recognise.rates import same_inputs
from signloom.tasks.recognise.recipe import LOSSES, Recipe
from signloom.tasks.recognise.recipes import RECIPES
from signloom.training.checkpoint import Checkpoint, load_checkpoint
from signloom.training.task import Evaluation, Given, Step
from signloom.training.trainer import decayed_groups
from signloom.transforms.hand_crops import LOCATED
from signloom.transforms.video_input import CHANNELS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from signloom.data.batch import Batch
    from signloom.training.export import Exported


TAUGHT = ("distil", "generate")
"""The losses that need a teacher."""
GENERATOR_STEPS = 4
"""So many steps a generator of features makes for each of a teacher that learns along, as published."""


@dataclass(frozen=True)
class Recognise:
    """Isolated-sign recognition. Implements :class:`signloom.training.task.Task`."""

    recipe: Recipe
    given: Given = field(default_factory=Given)

    name: ClassVar[str] = "recognise"
    recipe_type: ClassVar[type] = Recipe
    recipes: ClassVar[Mapping[str, Callable[[], Recipe]]] = RECIPES
    split: ClassVar[str] = "signer"
    has_preview: ClassVar[bool] = False

    def check(self) -> None:
        recipe, given = self.recipe, self.given
        if recipe.loss not in LOSSES:
            raise InputError(f"recipe '{recipe.name}' has loss '{recipe.loss}', expected one of {', '.join(LOSSES)}")
        if given.generator is not None:
            raise InputError(f"--painter: recipe '{recipe.name}' paints nothing; leave it out")
        if given.teacher is not None and recipe.loss not in TAUGHT:
            raise InputError(
                f"--teacher: recipe '{recipe.name}' learns from no other network (mars, distil and imu-from-… do); "
                "leave it out"
            )
        if given.teacher is None and recipe.loss in TAUGHT and not recipe.teacher_recipe:
            kind = "a flow network" if recipe.auxiliary_streams == ("flow",) else "another network"
            first = "flow" if recipe.auxiliary_streams == ("flow",) else "pose"
            raise InputError(
                f"recipe '{recipe.name}' learns from {kind}: train one with --recipe {first} on the same split and "
                "give its run folder as --teacher"
            )
        if given.start is not None and given.weights is not None:
            raise InputError("--from and --weights both say what to start with; give one of them")

    def streams(self, corpus: Corpus) -> tuple[str, ...]:
        auxiliary = self.recipe.auxiliary_streams
        if self.given.teacher is not None and not auxiliary:
            auxiliary = tuple(load_checkpoint(self.given.teacher).streams)
        return tuple(dict.fromkeys((*self.recipe.streams, *auxiliary)))

    # --- training -------------------------------------------------------------------------------------------------

    def data(self, corpus: Corpus) -> RecogniseData:
        teacher = start = None
        if self.given.start is not None:
            start = load_checkpoint(self.given.start)
        if self.given.teacher is not None:
            teacher = _teacher(self.given.teacher, corpus, self.recipe)
        elif self.recipe.loss in TAUGHT:
            teacher = _untaught(RECIPES[self.recipe.teacher_recipe](), corpus)
        return read_corpus(corpus, self.recipe, teacher, start)

    def build(self, data: RecogniseData) -> dict[str, Module]:
        model = untrained(self._fitted(data), data.n_classes)
        modules = {"model": model}
        if self.given.weights is not None:
            _load_weights(self.recipe, modules, self.given.weights, data.n_classes)
        if self.given.start is not None:
            _go_on_from(modules["model"], self.given.start, data.labels, self.recipe)
        if data.train.teacher is not None:
            modules["teacher"] = data.train.teacher.model
            if self.given.teacher is not None:
                modules["teacher"].requires_grad_(False).eval()
            if self.recipe.loss == "distil":
                self._add_projection(modules, data)
        return modules

    def _fitted(self, data: RecogniseData) -> Recipe:
        """The recipe with what follows from the training clips: their statistics, and how wide features are."""
        recipe = replace(self.recipe, inputs=data.train.inputs)
        if recipe.architecture != "feature_generator":
            return recipe
        if data.widths is None:
            data.widths = self._widths(recipe, data)
        own, wanted = data.widths
        return replace(recipe, model={**recipe.model, "base_width": own, "width": wanted})

    def _widths(self, recipe: Recipe, data: RecogniseData) -> tuple[int, int]:
        """How many features the base of a generator has, and how many it is to give."""
        import torch

        if data.train.teacher is None:  # it is gone on from
            known: Any = load_checkpoint(self.given.start).model.config if self.given.start else None
            if known is None or not hasattr(known, "base_width"):
                raise InputError(
                    f"recipe '{recipe.name}' goes on from a run that generates features: give it as --from"
                )
            return known.base_width, known.width
        batch, _ = data.batch(0, 0, 0, 1)
        base = build(*base_of(recipe, data.n_classes)).eval()
        teacher = data.train.teacher
        with torch.no_grad():
            own = losses.features(base, batch.inputs, recipe.streams[0])
            wanted = losses.features(teacher.model.eval(), _teachers(batch.inputs), _first(teacher))
        return own.shape[1], wanted.shape[1]

    def _add_projection(self, modules: dict[str, Module], data: RecogniseData) -> None:
        """Where features differ in width, and nothing published forbids it, learn to bring one to the other."""
        import torch

        if self.recipe.auxiliary_streams:
            return
        batch, _ = data.batch(0, 0, 0, 1)
        with torch.no_grad():
            wanted = losses.features(modules["teacher"], _teachers(batch.inputs), _first(data.train.teacher))
            modules["model"].eval()
            own = losses.features(modules["model"], batch.inputs, self.recipe.streams[0])
        if own.shape[1] != wanted.shape[1]:
            modules["projection"] = torch.nn.Linear(own.shape[1], wanted.shape[1])

    def parameter_groups(self, modules: Mapping[str, Module]) -> dict[str, list[dict[str, Any]]]:
        s = self.recipe.schedule
        groups = decayed_groups(modules["model"], s.learning_rate, s.weight_decay)
        if "projection" in modules:
            groups += decayed_groups(modules["projection"], s.learning_rate, s.weight_decay)
        if any(p.requires_grad for p in getattr(modules.get("teacher"), "parameters", tuple)()):
            return {"model": groups, "teacher": decayed_groups(modules["teacher"], s.learning_rate, s.weight_decay)}
        return {"model": groups}

    def begin_epoch(self, modules: Mapping[str, Module], epoch: int) -> None:
        """In the first epochs only the head may learn, and the base keeps its running statistics."""
        model: Any = modules["model"]
        if not self.recipe.schedule.head_epochs:
            return
        first = epoch < self.recipe.schedule.head_epochs
        heads: tuple[str, ...] = model.head_names if first else ()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not first or name.startswith(heads))
        for name, module in model.named_modules() if first else ():
            if name and not name.startswith(heads) and not any(h.startswith(name + ".") for h in heads):
                module.training = False

    def training_step(self, modules: Mapping[str, Module], batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if self.recipe.loss == "generate" and self.given.teacher is None and step.number % (GENERATOR_STEPS + 1) == 0:
            seen = _teachers(batch.inputs)
            logits = losses.answer(modules["teacher"].train(), seen, next(iter(seen)))
            yield "teacher", losses.classify(logits, batch.targets["label"], self.recipe.schedule.label_smoothing)
            return
        yield "model", self.loss(modules, batch)

    def loss(self, modules: Mapping[str, Module], batch: Batch) -> Tensor:
        """The scalar to minimise on ``batch``."""
        recipe, model = self.recipe, modules["model"]
        stream, label = recipe.streams[0], batch.targets["label"]
        smoothing = recipe.schedule.label_smoothing
        if recipe.loss == "classify-frames":
            return losses.classify_frames(losses.answer(model, batch.inputs, stream, per_frame=True), label)
        if recipe.loss == "classify-and-locate":
            logits, heat = losses.answer(model, batch.inputs, stream, with_joints=True)
            bare: Any = getattr(model, "_orig_mod", model)
            frames = bare.frames_seen(batch.inputs["pose"].shape[1])
            place, present = (batch.inputs[k][:, frames] for k in ("pose", "present"))
            return losses.classify(logits, label, smoothing) + recipe.loss_weight * losses.locate(heat, place, present)
        if recipe.loss in TAUGHT:
            return self._distilled(modules, batch, label, smoothing)
        return losses.classify(losses.answer(model, batch.inputs, stream), label, smoothing)

    def _distilled(self, modules: Mapping[str, Module], batch: Batch, label: Tensor, smoothing: float) -> Tensor:
        import torch

        seen = _teachers(batch.inputs)
        with torch.no_grad():
            stream = next((s for s in seen if s in CHANNELS), next(iter(seen)))
            wanted = losses.features(modules["teacher"].eval(), seen, stream).float()
        logits, own = losses.answer(modules["model"], batch.inputs, self.recipe.streams[0], with_features=True)
        if self.recipe.loss == "generate":
            return losses.generate(own, wanted, losses.classify(logits, label, smoothing))
        if "projection" in modules:
            own = modules["projection"](own)
        if own.shape != wanted.shape:
            raise InputError(
                f"the teacher has {wanted.shape[1]} features, the network that learns from it has {own.shape[1]}: "
                "choose a teacher of the same architecture, or give both the same width with --set model.…"
            )
        return losses.classify(logits, label, smoothing) + self.recipe.loss_weight * losses.distil(own, wanted)

    # --- what is measured and kept --------------------------------------------------------------------------------

    def validate(self, model: Module, data: RecogniseData, device: Any) -> Mapping[str, float]:
        if data.validation is None:
            return {}
        return validation_score(score(model, data.validation, quick=True, device=device), data.validation.label_N)

    def checkpoint(
        self,
        weights: Mapping[str, Tensor],
        data: RecogniseData,
        metrics: Mapping[str, Any],
        about: Mapping[str, Any],
    ) -> Checkpoint:
        final = untrained(self._fitted(data), data.n_classes)
        final.load_state_dict(weights)
        streams = {s: about["streams"][s] for s in self.recipe.streams}
        return Checkpoint(
            task=self.name,
            architecture=self.recipe.architecture,
            model=final.eval(),
            labels=data.labels,
            inputs=data.train.inputs,
            metrics=metrics,
            **{**about, "streams": streams},
        )

    def finish(self, checkpoint: Checkpoint, data: RecogniseData) -> Checkpoint:
        """Calibrated on the validation clips, for unknown signs as well; a head that is solved in closed form is solved
        first."""
        if is_solved(checkpoint.model):
            checkpoint = solved(checkpoint, data)
        recogniser = Recogniser(checkpoint)
        logits = None
        if data.validation is not None:
            logits = score(recogniser.model, data.validation, device=recogniser.device)
            if is_solved(checkpoint.model):
                found = validation_score(logits, data.validation.label_N)
                checkpoint = replace(checkpoint, metrics={**checkpoint.metrics, **found})
            checkpoint = replace(checkpoint, temperature=float(fit_temperature(logits, data.validation.label_N)))
        return _with_open_set(checkpoint, data, logits, recogniser.device)

    def preview(self, checkpoint: Checkpoint, data: RecogniseData, folder: Path) -> None:
        """Nothing to look at: the log has the curves."""

    # --- use ------------------------------------------------------------------------------------------------------

    @classmethod
    def predictor(cls, checkpoint: Checkpoint) -> Recogniser:
        return Recogniser(checkpoint)

    @classmethod
    def evaluate(cls, predictor: Any, corpus: Any, split: str, **options: Any) -> Evaluation:
        from signloom.tasks.recognise.evaluate import evaluate_run

        return evaluate_run(predictor, corpus, split, **options)

    @classmethod
    def export(cls, checkpoint: Checkpoint) -> Exported:
        from signloom.tasks.recognise.export import export_recogniser

        return export_recogniser(checkpoint)


def _with_open_set(checkpoint: Checkpoint, data: RecogniseData, logits_NK: Any, device: str) -> Checkpoint:
    """``checkpoint`` with where its signs lie in the space of its features, and from where on a clip is of none."""
    train, of_val = None, None
    y_N = None if data.validation is None else data.validation.label_N
    if hasattr(checkpoint.model, "features"):
        clips = ClipList(tuple(data.train.clips[row] for row in spread_rows(data.train.label_N).tolist()))
        some = Clips(clips, checkpoint.inputs, tuple(checkpoint.streams), data.train.read, data.labels)
        count_K = np.bincount(some.label_N, minlength=data.n_classes)
        if count_K.min() > 0 and count_K.max() > 1:
            train = features_of(checkpoint.model, some, device), some.label_N
        if data.validation is not None and train is not None:
            of_val = features_of(checkpoint.model, data.validation, device)
    scaled = None if logits_NK is None else logits_NK / checkpoint.temperature
    found = fit_open_set(train, scaled, of_val, y_N, data.n_classes)
    arrays = found.prototypes.as_arrays() if found.prototypes is not None else {}
    return replace(checkpoint, open_set=found.as_json(), prototypes=arrays)


def _first(checkpoint: Checkpoint | None) -> str:
    assert checkpoint is not None
    return next(iter(checkpoint.streams))


def _teachers(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the teacher sees, by its own names."""
    return {name.removeprefix(TEACHER): x for name, x in inputs.items() if name.startswith(TEACHER)}


def validation_score(logits_NK: np.ndarray, label_N: np.ndarray) -> dict[str, float]:
    """Top-1, negative log likelihood, and the ``score`` that chooses a checkpoint.

    Accuracy decides; on the plateau of small validation sets the likelihood breaks ties.
    """
    own_N = np.empty(len(label_N), logits_NK.dtype)
    for rows in row_blocks(logits_NK):
        shifted = logits_NK[rows] - logits_NK[rows].max(1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        own_N[rows] = log_p[np.arange(len(log_p)), label_N[rows]]
    nll = float(-own_N.mean())
    top1 = float((logits_NK.argmax(1) == label_N).mean())
    return {"top1": top1, "nll": nll, "score": top1 - 0.01 * min(nll, 50.0)}


def base_of(recipe: Recipe, n_classes: int) -> tuple[str, dict[str, Any]]:
    """The architecture inside a generator of features, and its config: what of ``recipe.model`` is not its own."""
    own = _config_fields(recipe.architecture)
    inner = {k: v for k, v in recipe.model.items() if k not in own}
    architecture = recipe.model["base"]
    return architecture, model_config(replace(recipe, architecture=architecture, model=inner), n_classes)


def _config_fields(architecture: str) -> set[str]:
    module, _, config = ARCHITECTURES[architecture]
    return {f.name for f in fields(getattr(import_module(module), config))}


def model_config(recipe: Recipe, n_classes: int) -> dict[str, Any]:
    """The config fields of ``recipe``'s model for ``n_classes`` glosses."""
    known = _config_fields(recipe.architecture)
    if "base" in known:
        inner = base_of(recipe, n_classes)[1]
        own = {k: v for k, v in recipe.model.items() if k in known}
        return {"n_classes": n_classes, **own, "base_model": tuple(inner.items())}
    shared = [n for n in ("size_px", "n_frames") if n in known and hasattr(recipe.inputs, n)]
    more: dict[str, Any] = {n: getattr(recipe.inputs, n) for n in shared}
    if recipe.loss == "classify-and-locate":
        more["joints"] = len(LOCATED)
    return {"n_classes": n_classes, **recipe.inputs.model_fields(recipe.streams), **more, **recipe.model}


def untrained(recipe: Recipe, n_classes: int) -> Any:
    """``recipe``'s model before training. Raises InputError for settings that it does not know."""
    try:
        return build(recipe.architecture, model_config(recipe, n_classes))
    except ImportError as error:
        raise MissingExtraError(f"recipe '{recipe.name}': {error}") from error
    except (TypeError, ValueError) as error:  # what a config says of fields and values that it does not know
        raise InputError(
            f"recipe '{recipe.name}': a '{recipe.architecture}' cannot be built with {dict(recipe.model)}: {error}"
        ) from error


def _load_weights(recipe: Recipe, modules: dict[str, Module], weights: Path, n_classes: int) -> None:
    """Start from someone else's network: a file of tensors, or a folder as the transformers library saves it."""
    if weights.is_dir():
        from signloom.training.pretrained import load_pretrained

        if recipe.architecture != "video_transformer":
            raise InputError(
                f"--weights '{weights}' is a folder; recipe '{recipe.name}' takes a .pt or .safetensors file"
            )
        modules["model"] = load_pretrained(weights, n_classes)
        return
    from signloom.data.weights import load_reference

    load_reference(modules["model"], weights, head="drop")


def _go_on_from(model: Any, folder: Path, labels: tuple[str, ...], recipe: Recipe) -> None:
    """Give ``model`` the weights of a run of one's own; what is of labels that are new begins afresh.

    Raises InputError for a run of another kind of network.
    """
    import torch

    known = load_checkpoint(folder)
    if known.architecture != recipe.architecture or not same_inputs(known.inputs, recipe.inputs, recipe.streams):
        raise InputError(
            f"--from '{folder}' is a '{known.architecture}' with other inputs than recipe '{recipe.name}' has; train "
            "with the recipe and --set of that run"
        )
    theirs, own = known.model.state_dict(), model.state_dict()
    larger = untrained(replace(recipe, inputs=known.inputs), len(labels) + 1).state_dict()
    heads = {name for name, value in own.items() if larger[name].shape != value.shape}  # these have a row for a label
    rows = [(k, known.labels.index(label)) for k, label in enumerate(labels) if label in known.labels]
    with torch.no_grad():
        for name, value in own.items():
            other = theirs.get(name)
            if other is None:
                raise InputError(f"--from '{folder}' has no tensor '{name}'; train with the --set of that run")
            if name in heads and other.shape[1:] == value.shape[1:] and len(other) == len(known.labels):
                for mine, its in rows:
                    value[mine] = other[its]
            elif other.shape == value.shape:
                value.copy_(other)
            else:
                raise InputError(
                    f"--from '{folder}': tensor '{name}' has shape {tuple(other.shape)}, expected "
                    f"{tuple(value.shape)}; train with the --set of that run"
                )


def _untaught(recipe: Recipe, corpus: Corpus) -> Checkpoint:
    """A network of ``recipe`` before training, as the teacher that learns along."""
    made = {stream: corpus.fingerprint(stream) for stream in recipe.streams}
    inputs = fitted(recipe.inputs, recipe.streams, corpus.clips("train"), reader_for(made))
    model = untrained(replace(recipe, inputs=inputs), len(corpus.labels))
    return Checkpoint(Recognise.name, recipe.architecture, model, corpus.labels, inputs, made)


def _teacher(folder: Path, corpus: Corpus, recipe: Recipe) -> Checkpoint:
    """The network of a run that another learns from. It must not have learnt from clips that run is not to know."""
    known = load_checkpoint(folder)
    if recipe.auxiliary_streams and tuple(known.streams) != recipe.auxiliary_streams:
        wanted = ", ".join(recipe.auxiliary_streams)
        raise InputError(
            f"--teacher '{folder}' reads {', '.join(known.streams)}; expected a network that reads {wanted}"
        )
    if not known.labels:
        raise InputError(f"--teacher '{folder}' is no recogniser; give a run that names signs")
    for stream in known.streams:
        known.check_stream(stream, corpus.fingerprint(stream), str(corpus.root))
    for name in ("n_frames", "sampling", "handedness") if type(known.inputs) is type(recipe.inputs) else ():
        got, wanted = getattr(known.inputs, name), getattr(recipe.inputs, name)
        if got != wanted:
            raise InputError(
                f"--teacher '{folder}' was trained with inputs.{name} {got!r}, recipe '{recipe.name}' has {wanted!r}; "
                "both must see the same frames of a clip. Give one of them the other's value with --set"
            )
    if known.split.get("hash") != corpus.split_hash:
        raise LeakError(
            f"--teacher '{folder}' was trained on another split (hash {known.split.get('hash')}, this run's is "
            f"{corpus.split_hash}): it may know this run's test clips. Train it on the same split"
        )
    return known
