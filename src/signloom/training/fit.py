"""Training: one loop for every task, on whatever accelerate finds, resumable to the same result after a kill.

All randomness comes from ``(seed, epoch, step)``: the shuffle, the augmentation and dropout. What a run did before it
was killed is in ``state.pt``; what it does next follows from where it stands. So a resumed run ends with the same
weights as one that was never disturbed (on the same kind of device and the same number of processes).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.errors import DivergedError, InputError
from signloom.runtime.atomic import atomic_write
from signloom.runtime.progress import Progress
from signloom.tasks.recognise.recipe import Schedule
from signloom.training.sync_norm import synchronised
from signloom.training.task import Task, epoch_rows

if TYPE_CHECKING:
    import torch

STATE_FILE = "state.pt"
SAVE_EVERY_S = 20.0


@dataclass(frozen=True)
class FitResult:
    """The outcome: ``best`` weights on the CPU, their validation metrics, and one history row per epoch."""

    best: dict[str, torch.Tensor]
    metrics: dict[str, float]
    history: list[dict[str, Any]]
    seconds: float


def fit(
    model: Any,
    task: Task,
    schedule: Schedule,
    folder: Path,
    *,
    seed: int,
    run_hash: str,
    title: str = "train",
    quiet: bool = False,
    on_best: Callable[[dict[str, torch.Tensor], dict[str, float]], None] | None = None,
) -> FitResult:
    """Train ``model`` on ``task`` and return the weights that validated best (the last ones without validation).

    ``folder`` receives ``state.pt`` (to resume) and TensorBoard logs. ``run_hash`` identifies recipe, data and split:
    a state saved under another hash is refused. ``on_best`` is called with new best weights as they come.
    Raises DivergedError when the loss is not finite; the last good state stays on disk.
    """
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState
    from accelerate.utils import set_seed

    AcceleratorState._reset_state()  # else the first run's precision would hold for every later one in this process
    accelerator = Accelerator(
        mixed_precision=_precision(schedule.precision, model),
        step_scheduler_with_optimizer=False,
        # While only the head learns, the base's parameters get no gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=schedule.head_epochs > 0)],
    )
    n_processes, rank = accelerator.num_processes, accelerator.process_index
    batch_size = (
        min(schedule.batch_size, max(2, task.n_train // 4))
        if task.n_train < 4 * schedule.batch_size
        else (schedule.batch_size)
    )
    per_epoch = sum(1 for _ in epoch_rows(task.n_train, batch_size, seed, 0))
    if per_epoch == 0:
        raise InputError("there is no clip to train on")
    for_classes = min(math.ceil(schedule.steps_per_class * task.n_classes / per_epoch), 100)
    epochs = max(schedule.epochs, math.ceil(schedule.least_steps / per_epoch), for_classes)
    total = epochs * per_epoch

    _channels_last(model)
    optimizer = _optimizer(model, schedule)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, total, schedule, first=schedule.head_epochs * per_epoch)
    )
    if n_processes > 1:
        model = synchronised(model)
    model, optimizer = accelerator.prepare(model, optimizer)
    bare = accelerator.unwrap_model(model)
    trained = torch.compile(model) if schedule.compile else model
    average = {k: v.detach().clone() for k, v in bare.state_dict().items()}
    place: dict[str, Any] = {"epoch": 0, "step": 0, "loss_sum": 0.0, "seconds": 0.0}
    history: list[dict[str, Any]] = []
    best: dict[str, torch.Tensor] | None = None
    best_metrics: dict[str, float] = {}

    state_file = folder / STATE_FILE
    state = read_state(folder, run_hash)
    if state is not None:
        bare.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        rate.load_state_dict(state["rate"])
        average = {k: v.to(accelerator.device) for k, v in state["average"].items()}
        place, history = state["place"], json.loads(state["history"])
        best, best_metrics = state["best"], state["best_metrics"]

    def save_state() -> None:
        if not accelerator.is_main_process:
            return
        with atomic_write(state_file) as tmp:
            torch.save(
                {
                    "run_hash": run_hash,
                    "model": bare.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "rate": rate.state_dict(),
                    "average": average,
                    "place": place,
                    "history": json.dumps(history),
                    "best": best,
                    "best_metrics": best_metrics,
                },
                tmp,
            )

    writer = _tensorboard(folder / "log", place["epoch"] * per_epoch) if accelerator.is_main_process else None
    done = place["epoch"] * per_epoch + place["step"]
    began, spent = time.monotonic(), place["seconds"]
    saved = time.monotonic()
    with Progress(title, total, done, unit="steps", quiet=quiet or not accelerator.is_main_process) as progress:
        for epoch in range(place["epoch"], epochs):
            model.train()
            _learn_only(bare, bare.head_names if epoch < schedule.head_epochs else None)
            todo = list(enumerate(epoch_rows(task.n_train, batch_size, seed, epoch, task.order)))[place["step"] :]
            make = partial(_make_batch, task, seed=seed, epoch=epoch, keep=slice(rank, None, n_processes))
            for step, batch, weight in _ahead(make, todo, task.prefetch):
                set_seed(_draw(seed, epoch, step, 3 + rank))  # dropout
                optimizer.zero_grad(set_to_none=True)
                value = 0.0
                parts = min(schedule.accumulate, len(batch))
                for part in range(parts):
                    rows = range(part, len(batch), parts)
                    some = (batch if parts == 1 else batch.select(rows)).to(accelerator.device)
                    last = part + 1 == parts
                    with nullcontext() if last else accelerator.no_sync(model), accelerator.autocast():
                        # Gradients are averaged over processes: a process with more of the clips counts for more.
                        loss = task.loss(trained, some) * (len(some) * weight)
                        accelerator.backward(loss)
                    value += float(loss.detach())
                accelerator.clip_grad_norm_(model.parameters(), schedule.clip_norm)
                if n_processes > 1:
                    value = float(accelerator.gather(torch.tensor([value], device=accelerator.device)).mean())
                if not math.isfinite(value):
                    raise DivergedError(
                        f"the loss became {value} in epoch {epoch + 1}, step {step + 1}. The last good state is in "
                        f"'{state_file}'. Try a lower learning rate (now {schedule.learning_rate:g}) or "
                        "--precision fp32"
                    )
                optimizer.step()
                rate.step()
                average_into(average, bare.state_dict(), schedule.ema, epoch * per_epoch + step)
                place.update(step=step + 1, loss_sum=place["loss_sum"] + value)
                place["seconds"] = spent + time.monotonic() - began
                progress.step(note=f"loss {value:.3f}")
                if time.monotonic() - saved > SAVE_EVERY_S:
                    save_state()
                    saved = time.monotonic()
            row = {"epoch": epoch + 1, "loss": place["loss_sum"] / max(place["step"], 1), "lr": rate.get_last_lr()[0]}
            with _weights(bare, average):
                metrics = task.validate(bare, accelerator.device)
            row |= {f"val_{k}": v for k, v in metrics.items()}
            history.append(row)
            if best is None or not metrics or metrics["score"] >= best_metrics.get("score", -math.inf):
                best = {k: v.cpu().clone() for k, v in average.items()}
                best_metrics = {**metrics, "epoch": epoch + 1}
                if on_best is not None and accelerator.is_main_process:
                    on_best(best, best_metrics)
            if writer is not None:
                for key, number in row.items():
                    if key != "epoch":
                        writer.add_scalar(key, number, epoch + 1)
            place = {"epoch": epoch + 1, "step": 0, "loss_sum": 0.0, "seconds": place["seconds"]}
            if epoch + 1 == epochs or time.monotonic() - saved > SAVE_EVERY_S:
                save_state()
                saved = time.monotonic()
    if writer is not None:
        writer.close()
    assert best is not None
    return FitResult(best, best_metrics, history, place["seconds"])


def _make_batch(task: Task, step: int, rows: list[int], *, seed: int, epoch: int, keep: slice) -> tuple[Any, float]:
    """This process's share of a batch, and the weight of each of its clips so that the mean over processes is right."""
    import torch

    generator = torch.Generator().manual_seed(_draw(seed, epoch, step, 2))
    n_processes = keep.step or 1
    spare = keep.start >= len(rows)  # with fewer clips than processes; these see the first clip, and it counts nothing
    batch = task.train_batch(rows, generator, slice(0, 1) if spare else keep)
    return batch, 0.0 if spare else n_processes / len(rows)


def _ahead(
    make: Callable[..., Any], todo: list[tuple[int, list[int]]], n_ahead: int
) -> Iterator[tuple[int, Any, float]]:
    """``(step, batch, weight)`` of each ``(step, rows)``, made up to ``n_ahead`` batches ahead in another thread."""
    if not n_ahead:
        for step, rows in todo:
            yield step, *make(step, rows)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        made: deque[Future] = deque()
        waiting = iter(todo)
        try:
            for step, rows in islice(waiting, n_ahead):
                made.append(pool.submit(make, step, rows))
            for step, _ in todo:
                batch, weight = made.popleft().result()
                for later, rows in islice(waiting, 1):
                    made.append(pool.submit(make, later, rows))
                yield step, batch, weight
        finally:
            for future in made:
                future.cancel()


def _optimizer(model: Any, schedule: Schedule) -> Any:
    """Weight decay for matrices and kernels, none for biases and norms."""
    import torch

    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [g for g in groups if g["params"]]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=0.9)
    kind = torch.optim.AdamW if schedule.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=schedule.learning_rate)


def _channels_last(model: Any) -> None:
    """Lay convolution kernels out as their inputs come, channels last: about twice as fast, the same numbers."""
    import torch

    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.ndim in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.ndim])


def _learn_only(model: Any, head_names: tuple[str, ...] | None) -> None:
    """Let only the parameters under ``head_names`` learn, and keep the base's running statistics; None: all learn."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(head_names is None or name.startswith(head_names))
    if head_names is not None:
        for name, module in model.named_modules():
            if name and not name.startswith(head_names) and not any(h.startswith(name + ".") for h in head_names):
                module.training = False


def _rate(step: int, total: int, schedule: Schedule, first: int) -> float:
    """The learning rate at ``step`` as a share of the schedule's; the head's own in the ``first`` steps."""
    if step < first:
        return schedule.head_learning_rate / schedule.learning_rate
    step, total = step - first, total - first
    rising = round(total * schedule.warmup)
    if step < rising:
        return (step + 1) / rising
    if schedule.decay == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def _draw(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def read_state(folder: Path, run_hash: str) -> dict[str, Any] | None:
    """What a killed run left in ``folder`` (made if need be); None where it left nothing.

    Raises InputError where that is another run's.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / STATE_FILE).exists():
        return None
    state = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    if state["run_hash"] != run_hash:
        raise InputError(
            f"'{folder}' holds a run with another recipe, corpus, split or seed; choose another --out, or delete that "
            "folder to start over"
        )
    return state


def average_into(average: dict[str, Any], now: dict[str, Any], decay: float, step: int) -> None:
    """Let ``average`` follow ``now``; quickly at first, so that nothing stays of what it was before training.

    A ten-thousandth of batch norm's first running variance, 1, can be more than the true one of a deep layer.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in now.items():
        if value.dtype.is_floating_point and decay:
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


class _weights:
    """Puts other weights into a model for the length of a ``with`` block."""

    def __init__(self, model: Any, weights: dict[str, Any]):
        self.model, self.weights = model, weights

    def __enter__(self) -> None:
        self.own = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.weights)

    def __exit__(self, *exc: object) -> None:
        self.model.load_state_dict(self.own)


def _precision(wanted: str, model: Any) -> str:
    if wanted == "auto":
        import torch

        if torch.cuda.is_available():
            return "bf16" if torch.cuda.is_bf16_supported() else "no"
        # On a CPU, convolutions over video are twice as fast in bf16 where its arithmetic is built in; pose models are
        # too small for it to pay (measured: within 5 % of fp32).
        able = torch.cpu.get_capabilities()
        return "bf16" if model.takes == "video" and (able.get("avx512_bf16") or able.get("amx_bf16")) else "no"
    return "no" if wanted == "fp32" else wanted


def _tensorboard(folder: Path, step: int):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step or None)
