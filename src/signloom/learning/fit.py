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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.manifest import atomic_write
from signloom.data.mapping import Progress
from signloom.errors import DivergedError, InputError
from signloom.learning.recipe import Schedule
from signloom.learning.task import Task, epoch_rows

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
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    accelerator = Accelerator(mixed_precision=_precision(schedule.precision), step_scheduler_with_optimizer=False)
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

    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=schedule.learning_rate,
    )
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total, schedule.warmup))
    model, optimizer = accelerator.prepare(model, optimizer)
    bare = accelerator.unwrap_model(model)
    average = {k: v.detach().clone() for k, v in bare.state_dict().items()}
    place: dict[str, Any] = {"epoch": 0, "step": 0, "loss_sum": 0.0, "seconds": 0.0}
    history: list[dict[str, Any]] = []
    best: dict[str, torch.Tensor] | None = None
    best_metrics: dict[str, float] = {}

    state_file = folder / STATE_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if state_file.exists():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        if state["run_hash"] != run_hash:
            raise InputError(
                f"'{folder}' holds a run with another recipe, corpus, split or seed; choose another --out, or delete "
                "that folder to start over"
            )
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
            for step, rows in enumerate(epoch_rows(task.n_train, batch_size, seed, epoch)):
                if step < place["step"]:
                    continue
                generator = torch.Generator().manual_seed(_draw(seed, epoch, step, 2))
                set_seed(_draw(seed, epoch, step, 3 + rank))  # dropout
                # Each process augments the whole batch and takes its share, so that the draws do not depend on how
                # many processes there are.
                batch = _share(task.train_batch(rows, generator), rank, n_processes).to(accelerator.device)
                with accelerator.autocast():
                    loss = task.loss(model, batch)
                optimizer.zero_grad(set_to_none=True)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), schedule.clip_norm)
                value = float(accelerator.gather(loss.detach().reshape(1)).mean())
                if not math.isfinite(value):
                    raise DivergedError(
                        f"the loss became {value} in epoch {epoch + 1}, step {step + 1}. The last good state is in "
                        f"'{state_file}'. Try a lower learning rate (now {schedule.learning_rate:g}) or "
                        "--precision fp32"
                    )
                optimizer.step()
                rate.step()
                _average(average, bare.state_dict(), schedule.ema)
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


def _rate(step: int, total: int, warmup: float) -> float:
    rising = max(1, round(total * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def _draw(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def _share(batch: Any, rank: int, n_processes: int) -> Any:
    if n_processes == 1:
        return batch
    return batch.select(list(range(rank, len(batch), n_processes)) or [0])


def _average(average: dict[str, Any], now: dict[str, Any], decay: float) -> None:
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


def _precision(wanted: str) -> str:
    if wanted == "auto":
        import torch

        # On a CPU these models are too small for bf16 to pay (measured: within 5 % of fp32); on a GPU it does.
        return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
    return "no" if wanted == "fp32" else wanted


def _tensorboard(folder: Path, step: int):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step or None)
