"""Learning to paint a signer: the lessons, the losses, the critics and the loop, resumable after a kill.

All draws come from ``(seed, step)``: which frames, which references, how they are moved. So a run by steps that was
killed and continued gives the same weights. A run by minutes is resumable too, but how many steps fit in is chance.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.errors import DivergedError, InputError
from signloom.runtime.atomic import atomic_write
from signloom.runtime.progress import Progress
from signloom.runtime.workers import default_workers
from signloom.tasks.paint.frames import PaintSet
from signloom.training.fit import STATE_FILE, average_into, read_state
from signloom.transforms.geometry import warp_frames
from signloom.transforms.paint_input import PaintAugment, PaintInput
from signloom.transforms.parts import part_boxes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SAVE_EVERY_S = 60.0
FIRST_LOOK_S, LOOK_EVERY_S = 60.0, 300.0
HISTORY_EVERY = 50  # steps
PATIENCE = 25  # steps in a row without a finite gradient before a run is given up


@dataclass(frozen=True)
class PaintLosses:
    """What a painted picture is asked for, each with its weight; 0 leaves it out.

    ``l1`` and ``ssim`` (1 - SSIM) compare pictures, ``edges`` their horizontal and vertical differences at two sizes,
    ``parts`` the l1 and edges of face and hands once more, cut out, and ``texture`` how much fine detail these hold,
    wherever exactly it lies: a blurred hand is as wrong as one that is too rough. ``grid`` keeps that detail from being
    a pattern that repeats with the squares a painter works on. ``bent`` asks the bent last picture
    to match by itself, so that flow is learnt from the first step. ``motion`` compares what changed since the frame
    before with what really changed. ``critic`` is the weight of the critic of whole pictures (which costs more than the
    painter itself), ``face_critic`` and ``hand_critic`` of those of cut-out faces and hands, each with ``features`` for
    matching its features (Wang et al. 2018, https://arxiv.org/abs/1711.11585); critics begin after ``critic_from`` of
    the run. ``bce`` makes them as in pix2pix (Isola et al. 2017, https://arxiv.org/abs/1611.07004) instead of with a
    hinge.
    """

    l1: float = 1.0
    ssim: float = 0.25
    edges: float = 0.5
    parts: float = 0.5
    texture: float = 1.0
    grid: float = 1.0
    bent: float = 0.1
    motion: float = 0.25
    critic: float = 0.0
    face_critic: float = 0.1
    hand_critic: float = 0.1
    features: float = 5.0
    critic_from: float = 0.15
    bce: bool = False


@dataclass(frozen=True)
class PaintSchedule:
    """How long and how hard to train: ``steps``, or ``minutes`` of wall-clock time where that is not 0."""

    steps: int = 4000
    minutes: float = 0.0
    batch_size: int = 4
    learning_rate: float = 2e-3
    critic_learning_rate: float = 4e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 100
    decay: str = "cosine"
    clip_norm: float = 1.0
    ema: float = 0.998
    precision: str = "auto"

    def __post_init__(self):
        for name in ("steps", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"PaintSchedule.{name}: got {getattr(self, name)!r}, expected more than 0")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise InputError(
                f"PaintSchedule.precision: got {self.precision!r}, expected auto, fp32 or bf16 (fp16 overflows)"
            )


@dataclass(frozen=True)
class PaintRecipe:
    """What to train a painter as, and how. A variant is ``replace(recipe, …)``.

    A temporal painter paints a frame as the first of a clip in ``first_share`` of its lessons; in the others it goes on
    from up to ``unroll`` frames that it painted itself.
    """

    name: str
    architecture: str = "painter"
    inputs: PaintInput = field(default_factory=PaintInput)
    augment: PaintAugment = field(default_factory=PaintAugment)
    losses: PaintLosses = field(default_factory=PaintLosses)
    schedule: PaintSchedule = field(default_factory=PaintSchedule)
    model: dict[str, Any] = field(default_factory=dict)
    first_share: float = 0.5
    unroll: int = 2

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class Lesson:
    """A batch: ``limbs`` (B, T, L, s, s) and ``pictures`` (B, T, 3, S, S) of up to T frames in a row, the last to be
    judged, the ones before to come from.

    ``moved`` (B, 2, 3) takes places of the changed picture to those of the unchanged one (for the background), as
    ``torch.nn.functional.affine_grid`` wants it. ``boxes`` are face and hands of the last frame.
    """

    limbs: Tensor
    pictures: Tensor
    moved: Tensor
    identity: Tensor
    boxes: list[dict[str, tuple[int, int, int, int]]]

    def to(self, device: Any) -> Lesson:
        values = {k: v.to(device, non_blocking=True) if hasattr(v, "to") else v for k, v in self.__dict__.items()}
        return Lesson(**values)


@dataclass
class PaintTask:
    """Makes lessons out of a :class:`PaintSet`."""

    train: PaintSet
    recipe: PaintRecipe
    temporal: bool

    def lesson(self, seed: int, step: int) -> Lesson:
        """Lesson number ``step``: frames in a shuffled order, each drawn and moved by ``(seed, step)`` alone."""
        import torch

        n_batch = self.recipe.schedule.batch_size
        numbers = [self._frame(seed, step * n_batch + k) for k in range(n_batch)]
        rng = np.random.default_rng((seed, 2, step))
        # All clips of a batch go on from as many frames.
        back = 0
        if self.temporal and rng.random() >= self.recipe.first_share:
            back = int(rng.integers(1, self.recipe.unroll + 1))
        made = [self._one(n, back, rng) for n in numbers]
        limbs, pictures, moved, boxes = zip(*made)

        def stacked(parts: Sequence[np.ndarray]) -> Tensor:
            return torch.from_numpy(np.stack(parts)).movedim(-1, 2).float().div_(255)  # stays channels last

        return Lesson(
            limbs=stacked(limbs),
            pictures=stacked(pictures),
            moved=torch.from_numpy(np.stack(moved)),
            identity=torch.from_numpy(self.train.identity_N[numbers].astype(np.int64)),
            boxes=list(boxes),
        )

    def _frame(self, seed: int, place: int) -> int:
        epoch, row = divmod(place, len(self.train))
        if getattr(self, "_order", (None, None))[0] != (seed, epoch):
            order = np.random.default_rng((seed, 1, epoch)).permutation(len(self.train))
            self._order = ((seed, epoch), order)
        return int(self._order[1][row])

    def _one(self, n: int, back: int, rng: np.random.Generator) -> tuple[Any, ...]:
        size = self.recipe.inputs.size_px
        small = self.recipe.inputs.limbs_px or size
        first = self.train.first_of_clip(n)
        rows = [max(n - k, first) for k in range(back, -1, -1)]
        matrix = self.recipe.augment.matrix(rng, small)
        limbs = [self.train.limbs(r, matrix) for r in rows]
        grow = np.diag([size / small, size / small, 1.0])
        pictures = np.stack([self.train.picture(r) for r in rows])
        pictures = warp_frames(pictures, grow @ matrix @ np.linalg.inv(grow), size)
        boxes = {n: tuple(size // small * side for side in box) for n, box in part_boxes(limbs[-1]).items()}
        return np.stack(limbs), pictures, _grid_matrix(matrix, small), boxes


def _grid_matrix(matrix: np.ndarray, size: int) -> np.ndarray:
    """``matrix`` (pixels to pixels, forwards) as affine_grid's: from target to source, both from -1 to 1."""
    to_unit = np.array([[2 / size, 0, -1], [0, 2 / size, -1], [0, 0, 1.0]])
    return (to_unit @ np.linalg.inv(matrix) @ np.linalg.inv(to_unit))[:2].astype(np.float32)


# --- losses -------------------------------------------------------------------------------------------------------


def edge_loss(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """How much the differences of neighbouring pixels differ, at full and at half size (mean absolute)."""
    import torch.nn.functional as F

    total = painted_BCHW.new_zeros(())
    for k in range(2):
        a, b = (F.avg_pool2d(x, 2) if k else x for x in (painted_BCHW, real_BCHW))
        for axis in (-1, -2):
            total = total + (a.diff(dim=axis) - b.diff(dim=axis)).abs().mean()
    return total


def texture_loss(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """How much the strength of edges differs, square by square of 8 pixels (mean absolute of root mean squares)."""
    import torch.nn.functional as F

    def strength(x: Tensor) -> Tensor:
        across, down = x.diff(dim=-1)[..., :-1, :], x.diff(dim=-2)[..., :, :-1]
        return (F.avg_pool2d((across.square() + down.square()).mean(1, keepdim=True), 8, 4) + 1e-6).sqrt()

    return (strength(painted_BCHW) - strength(real_BCHW)).abs().mean()


def grid_loss(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """How much of the error repeats every 4 pixels, the squares that painters work on (mean absolute).

    Brightness errors are averaged over the same place in 4 × 4 neighbouring squares; what these 16 means differ by is a
    lattice. Errors that do not repeat average out. Sides must be multiples of 4 from 16 pixels on.
    """
    import torch.nn.functional as F

    error = (painted_BCHW - real_BCHW).mean(1, keepdim=True)
    repeated = F.avg_pool2d(F.pixel_unshuffle(error, 4), 4, 2)
    return (repeated - repeated.mean(1, keepdim=True)).abs().mean()


def cut_parts(x_BCHW: Tensor, boxes: Sequence[dict[str, tuple[int, int, int, int]]], kind: str) -> Tensor:
    """The squares around the parts whose names begin with ``kind`` ("face", "hand"), (N, C, side, side); N may be 0."""
    import torch

    side = x_BCHW.shape[-1] // 4
    found = [  # unbound first, so that a gradient fills one picture and not the batch
        x_CHW[:, y0:y1, x0:x1]
        for x_CHW, of_frame in zip(x_BCHW.unbind(), boxes)
        for name, (x0, y0, x1, y1) in of_frame.items()
        if name.startswith(kind)
    ]
    return torch.stack(found) if found else x_BCHW.new_zeros((0, x_BCHW.shape[1], side, side))


@dataclass
class Critics:
    """The critics of a run by what they look at: "whole", "face", "hand". Each sees picture and limbs."""

    heads: dict[str, Any]
    losses: PaintLosses

    def seen(self, head: str, picture: Tensor, lesson: Lesson) -> Tensor:
        """What critic ``head`` is shown of ``picture``, (N, 3 + L, H, W)."""
        import torch

        limbs = lesson.limbs[:, -1]
        if limbs.shape[-1] != picture.shape[-1]:
            limbs = torch.nn.functional.interpolate(limbs, size=picture.shape[-2:], mode="bilinear")
        if head != "whole":  # cut before they are joined: whole ones are 20 times as large
            picture, limbs = (cut_parts(x, lesson.boxes, head) for x in (picture, limbs))
        return torch.cat([picture, limbs], 1)

    def own_loss(self, painted: Tensor, lesson: Lesson) -> Tensor:
        """What the critics are to minimise: to tell real from ``painted``."""
        import torch.nn.functional as F

        total = painted.new_zeros(())
        for name, head in self.heads.items():
            real, fake = (self.seen(name, x, lesson) for x in (lesson.pictures[:, -1], painted.detach()))
            if not len(real):
                continue
            says_real, says_fake = head(real).float(), head(fake).float()
            if self.losses.bce:
                total = total + 0.5 * (F.softplus(-says_real).mean() + F.softplus(says_fake).mean())
            else:
                total = total + F.relu(1 - says_real).mean() + F.relu(1 + says_fake).mean()
        return total

    def painters_loss(self, painted: Tensor, lesson: Lesson) -> Tensor:
        """What the painter is to minimise: to be taken for real, and to look alike on the critics' inside.

        Its gradient reaches the painter alone.
        """
        import torch
        import torch.nn.functional as F

        weights = {"whole": self.losses.critic, "face": self.losses.face_critic, "hand": self.losses.hand_critic}
        total = painted.new_zeros(())
        for name, head in self.heads.items():
            fake = self.seen(name, painted, lesson)
            if not len(fake):
                continue
            head.requires_grad_(False)
            says, inside = head(fake, with_features=True)
            head.requires_grad_(True)
            says = says.float()
            value = F.softplus(-says).mean() if self.losses.bce else -says.mean()
            if self.losses.features:
                with torch.no_grad():
                    _, wanted = head(self.seen(name, lesson.pictures[:, -1], lesson), with_features=True)
                matched = [(a.float() - b.float()).abs().mean() for a, b in zip(inside, wanted)]
                value = value + self.losses.features * sum(matched) / len(matched)
            total = total + weights[name] * value
        return total


def paint_lesson(model: Any, lesson: Lesson) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The last picture of ``lesson``, the one before it, and that bent to the last pose; None where there is none.

    The pictures before the last are painted without gradient, each from the one before it.
    """
    import torch
    import torch.nn.functional as F

    if not hasattr(model, "plates"):
        return model(lesson.limbs[:, -1], None, lesson.identity)[0], None, None
    plates = model.plates(lesson.identity)
    grid = F.affine_grid(lesson.moved, list(plates.shape), align_corners=False)
    plates = F.grid_sample(plates, grid, padding_mode="border", align_corners=False)
    state = None
    with torch.no_grad():
        for t in range(lesson.limbs.shape[1] - 1):
            state, _ = model.paint(lesson.limbs[:, t], state, plates, lesson.identity)
    picture, bent = model.paint(lesson.limbs[:, -1], state, plates, lesson.identity)
    return picture, state, bent if state is not None else None


def picture_loss(
    losses: PaintLosses, lesson: Lesson, painted: Tensor, before: Tensor | None, bent: Tensor | None
) -> Tensor:
    """What ``painted`` misses of the real picture, as ``losses`` weighs it; critics apart."""
    from signloom.metrics.pictures import ssim

    real = lesson.pictures[:, -1]
    total = losses.l1 * (painted - real).abs().mean()
    if losses.ssim:
        total = total + losses.ssim * (1 - ssim(painted, real).mean())
    if losses.edges:
        total = total + losses.edges * edge_loss(painted, real)
    if losses.parts or losses.texture or losses.grid:
        for kind in ("face", "hand"):
            a, b = (cut_parts(x, lesson.boxes, kind) for x in (painted, real))
            if len(a):
                total = total + losses.parts * ((a - b).abs().mean() + losses.edges * edge_loss(a, b))
                total = total + losses.texture * texture_loss(a, b) + losses.grid * grid_loss(a, b)
    if losses.bent and bent is not None:
        total = total + losses.bent * (bent - real).abs().mean()
    if losses.motion and before is not None:
        changed, really = painted - before, real - lesson.pictures[:, -2]
        total = total + losses.motion * (changed - really).abs().mean()
    return total


# --- the loop -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PaintResult:
    """The averaged weights on the CPU, a row of losses now and then, steps and seconds spent."""

    weights: dict[str, torch.Tensor]
    history: list[dict[str, Any]]
    steps: int
    seconds: float
    skipped: int


def fit_painter(
    model: Any,
    critics: dict[str, Any],
    task: PaintTask,
    folder: Path,
    *,
    seed: int,
    run_hash: str,
    quiet: bool = False,
    on_look: Callable[[dict[str, torch.Tensor], int], None] | None = None,
    look_every: int | None = None,
) -> PaintResult:
    """Train ``model`` and ``critics`` on ``task``'s lessons; return the painter's averaged weights.

    ``folder`` receives ``state.pt``, from which a killed run goes on. ``on_look`` is called with the averaged weights
    after about a minute, then every five, or every ``look_every`` steps: for pictures and a first usable checkpoint.
    A step whose gradient is not finite changes nothing; raises DivergedError after :data:`PATIENCE` of them in a row,
    with the last good state on disk. Raises InputError for a folder that holds another run.
    """
    import torch
    from accelerate.utils import set_seed

    schedule, losses = task.recipe.schedule, task.recipe.losses
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device, memory_format=torch.channels_last).train()
    heads = Critics({k: c.to(device, memory_format=torch.channels_last).train() for k, c in critics.items()}, losses)
    optimizer = _adam(model, schedule.learning_rate, schedule)
    together = torch.nn.ModuleDict(heads.heads)
    theirs = list(together.parameters())
    critic_optimizer = _adam(together, schedule.critic_learning_rate, schedule) if theirs else None
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    place: dict[str, Any] = {"step": 0, "seconds": 0.0, "skipped": 0, "looked": 0.0, "sums": [0.0, 0.0, 0]}
    history: list[dict[str, Any]] = []

    state_file = folder / STATE_FILE
    state = read_state(folder, run_hash)
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        for name, head in heads.heads.items():
            head.load_state_dict(state["critics"][name])
        if critic_optimizer is not None:
            critic_optimizer.load_state_dict(state["critic_optimizer"])
        average = {k: v.to(device) for k, v in state["average"].items()}
        place, history = state["place"], json.loads(state["history"])

    def save_state() -> None:
        with atomic_write(state_file) as tmp:
            torch.save(
                {
                    "run_hash": run_hash,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "critics": {k: c.state_dict() for k, c in heads.heads.items()},
                    "critic_optimizer": critic_optimizer.state_dict() if critic_optimizer is not None else {},
                    "average": average,
                    "place": place,
                    "history": json.dumps(history),
                },
                tmp,
            )

    dtype = _autocast_dtype(schedule.precision, device)
    began, spent, saved = time.monotonic(), place["seconds"], time.monotonic()
    budget_s = 60 * schedule.minutes
    total = 100 if budget_s else schedule.steps
    shown = int(100 * min(1.0, spent / budget_s)) if budget_s else place["step"]
    in_a_row = 0
    with Progress("paint", total, shown, unit="%" if budget_s else "steps", quiet=quiet) as progress:
        # A processor shares its cores between both; a GPU must not wait.
        n_threads = min(8, default_workers()) if device.type == "cuda" else 1
        for step, lesson in _ahead(task, seed, place["step"], n_threads):
            place["seconds"] = spent + time.monotonic() - began
            done = place["seconds"] / budget_s if budget_s else step / schedule.steps
            if done >= 1:
                break
            for group, rate in ((optimizer, schedule.learning_rate), (critic_optimizer, schedule.critic_learning_rate)):
                for g in group.param_groups if group is not None else ():
                    g["lr"] = g["pace"] * rate * _rate(step, done, schedule)
            lesson = lesson.to(device)
            set_seed(int(np.random.SeedSequence((seed, 3, step)).generate_state(1)[0]))  # pix2pix drops out
            said = 0.0
            judged = bool(heads.heads) and done >= losses.critic_from
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                painted, before, bent = paint_lesson(model, lesson)
                painted = painted.float()
                if judged and critic_optimizer is not None:
                    critic_loss = heads.own_loss(painted, lesson)
                    if critic_loss.requires_grad:
                        critic_optimizer.zero_grad(set_to_none=True)
                        critic_loss.backward()
                        if _clipped(theirs, schedule.clip_norm):
                            critic_optimizer.step()
                    said = float(critic_loss.detach())
                loss = picture_loss(losses, lesson, painted, before, bent)
                if judged:
                    loss = loss + heads.painters_loss(painted, lesson)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            value = float(loss.detach())
            if math.isfinite(value) and _clipped(model.parameters(), schedule.clip_norm):
                optimizer.step()
                in_a_row = 0
                average_into(average, model.state_dict(), schedule.ema, step)
                place["sums"] = [a + b for a, b in zip(place["sums"], (value, said, 1))]
            else:
                place["skipped"] += 1
                in_a_row += 1
                if in_a_row >= PATIENCE:
                    raise DivergedError(
                        f"{PATIENCE} steps in a row had no finite gradient (now at step {step + 1}). The last good "
                        f"state is in '{state_file}'. Try a lower learning rate (now {schedule.learning_rate:g}), "
                        "--precision fp32, or smaller critic weights"
                    )
            place["step"] = step + 1
            place["seconds"] = spent + time.monotonic() - began
            if budget_s:
                while shown < min(100, int(100 * place["seconds"] / budget_s)):
                    shown += 1
                    progress.step(note=f"loss {value:.3f}, step {step + 1}")
            else:
                progress.step(note=f"loss {value:.3f}")
            if place["sums"][2] >= HISTORY_EVERY:
                loss_sum, critic_sum, n = place["sums"]
                history.append({"step": step + 1, "loss": loss_sum / n, "critic": critic_sum / n})
                place["sums"] = [0.0, 0.0, 0]
            if in_a_row == 0 and time.monotonic() - saved > SAVE_EVERY_S:
                save_state()
                saved = time.monotonic()
            waited = place["seconds"] - place["looked"]
            due = waited > LOOK_EVERY_S if look_every is None else (step + 1) % look_every == 0
            if on_look is not None and (due or (not place["looked"] and waited > FIRST_LOOK_S)):
                place["looked"] = place["seconds"]
                on_look(average, step + 1)
    save_state()
    weights = {k: v.cpu().clone() for k, v in average.items()}
    return PaintResult(weights, history, place["step"], place["seconds"], place["skipped"])


def _ahead(task: PaintTask, seed: int, first: int, n_threads: int) -> Iterator[tuple[int, Lesson]]:
    """Lessons without end, ``n_threads`` of them being made while one is learnt."""
    with ThreadPoolExecutor(n_threads, thread_name_prefix="lessons") as pool:
        made = deque(pool.submit(task.lesson, seed, first + k) for k in range(n_threads))
        try:
            for step in count(first):
                lesson = made.popleft().result()
                made.append(pool.submit(task.lesson, seed, step + n_threads))
                yield step, lesson
        finally:
            for waiting in made:
                waiting.cancel()


def _adam(module: Any, rate: float, schedule: PaintSchedule) -> Any:
    """Weight decay for kernels only; plates, begun nearly right, learn at a tenth of the rate."""
    import torch

    groups: dict[tuple[float, float], list[Any]] = {}
    for name, parameter in module.named_parameters():
        plate = name in ("background", "usual")
        decay = schedule.weight_decay if parameter.ndim == 4 and not plate else 0.0
        groups.setdefault((0.1 if plate else 1.0, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "weight_decay": decay, "pace": pace} for (pace, decay), p in groups.items()],
        lr=rate,
        betas=schedule.betas,
    )


def _clipped(parameters: Any, clip_norm: float) -> bool:
    """Clip the gradient; whether it is finite."""
    import torch

    norm = torch.nn.utils.clip_grad_norm_(list(parameters), clip_norm or math.inf)
    return bool(torch.isfinite(norm))


def _rate(step: int, done: float, schedule: PaintSchedule) -> float:
    """The learning rate as a share of the schedule's, ``done`` (0 to 1) of the run."""
    rising = min(1.0, (step + 1) / max(1, schedule.warmup_steps))
    return rising if schedule.decay == "constant" else rising * (0.5 + 0.5 * math.cos(math.pi * done))


def _autocast_dtype(precision: str, device: Any) -> Any:
    import torch

    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else None
