"""The training loop, one for every task: on whatever accelerate finds, resumable to the same result after a kill.

All randomness comes from ``(seed, epoch, step)``: the order, the augmentation and dropout. What a run did before it was
killed is in ``state.pt``; what it does next follows from where it stands. So a resumed run by steps or epochs ends with
the same weights as one that was never disturbed, on the same processor and number of processes. (On a GPU some kernels
sum in an order of their own: there the weights agree within rounding.) How many steps fit into a run by minutes is
chance.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.errors import DivergedError, InputError
from signloom.runtime.atomic import atomic_write
from signloom.runtime.machine import cannot_write
from signloom.runtime.progress import Progress
from signloom.training.computing import lay_out, layout_of, measured, own_threads, threads_of_run
from signloom.training.ema import average_into, weights_in
from signloom.training.precision import choose_precision
from signloom.training.prefetch import prefetched
from signloom.training.processes import average_gradients, mean_over_processes, same_as_first, sum_over_processes
from signloom.training.schedule import Schedule
from signloom.training.sync_norm import synchronised
from signloom.training.task import Step, Task, TrainingData

if TYPE_CHECKING:
    import torch

    from signloom.data.batch import Batch

STATE_FILE = "state.pt"
SAVE_EVERY_S = 20.0
SAVING_SHARE = 0.05  # of the time at most goes into saving, however large the state
FIRST_PREVIEW_S, PREVIEW_EVERY_S = 60.0, 300.0
PATIENCE = 25  # steps in a row without a finite gradient before a run is given up


@dataclass(frozen=True)
class FitResult:
    """The outcome: ``best`` weights on the CPU, their validation metrics, the history, and what it took."""

    best: dict[str, torch.Tensor]
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    steps: int
    seconds: float
    skipped: int


@dataclass
class Trainer:
    """Trains ``modules`` on ``data`` as ``task`` says, in ``folder``.

    ``folder`` receives ``state.pt`` (to resume) and TensorBoard logs. ``run_hash`` identifies recipe, data and split: a
    state saved under another hash is refused. ``on_best(weights, metrics)`` is called with weights worth keeping as
    they come; ``on_preview(weights, metrics)`` after a minute, then every five, or every ``preview_every`` steps.
    """

    task: Task
    modules: dict[str, Any]
    data: TrainingData
    folder: Path
    seed: int
    run_hash: str
    title: str = "train"
    quiet: bool = False
    on_best: Callable[[dict[str, torch.Tensor], dict[str, Any]], None] | None = None
    on_preview: Callable[[dict[str, torch.Tensor], dict[str, Any]], None] | None = None
    preview_every: int | None = None
    # Where the run stands; kept in state.pt.
    place: dict[str, Any] = field(
        default_factory=lambda: {"step": 0, "seconds": 0.0, "skipped": 0, "in_a_row": 0, "previewed_s": 0.0, "sums": {}}
    )
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, torch.Tensor] | None = None
    best_metrics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        self.schedule: Schedule = self.task.recipe.schedule
        AcceleratorState._reset_state()  # else the first run's precision would hold for every later one
        self.accelerator = Accelerator(
            mixed_precision=choose_precision(self.schedule.precision, self.modules["model"]),
            step_scheduler_with_optimizer=False,
        )
        self.device = self.accelerator.device
        self.n_processes, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.per_epoch = self.data.steps_per_epoch()
        if self.per_epoch == 0:
            raise InputError("there is no clip to train on")
        self.total = self.schedule.total_steps(self.per_epoch, self.data.n_classes)
        self._place_modules()
        self.optimizers = {
            name: self.accelerator.prepare(_optimizer(self.schedule, groups))
            for name, groups in self.task.parameter_groups(self.modules).items()
        }
        # In the order of the modules: a norm is a sum, and its order decides the last bit.
        every = list(dict.fromkeys(p for module in self.modules.values() for p in module.parameters()))
        of_name = {n: {id(p) for g in o.param_groups for p in g["params"]} for n, o in self.optimizers.items()}
        self.parameters = {n: [p for p in every if id(p) in own] for n, own in of_name.items()}
        self.full_rates = {n: [g["lr"] for g in o.param_groups] for n, o in self.optimizers.items()}
        self.model = self.modules["model"]
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self._buffers = [b for module in self.learning for b in module.buffers()]
        self._saving_s = 0.0

    def _place_modules(self) -> None:
        for module in self.modules.values():
            module.to(self.device)
            if any(p.requires_grad for p in module.parameters()):
                lay_out(module, layout_of(self.modules["model"], self.accelerator.mixed_precision))
                if self.n_processes > 1:
                    synchronised(module)
                    same_as_first(module, self.n_processes)

    @property
    def learning(self) -> Iterator[Any]:
        """The modules that learn; a frozen teacher is none."""
        return (m for m in self.modules.values() if any(p.requires_grad for p in m.parameters()) or m is self.model)

    # --- the loop -------------------------------------------------------------------------------------------------

    def fit(self) -> FitResult:
        """Train to the end of the budget; the weights that validated best, or the last ones without validation.

        Raises DivergedError after :data:`PATIENCE` steps in a row without a finite gradient (such a step changes
        nothing), or where the last half of a shorter run was such, with the last good state on disk; InputError for a
        folder that holds another run.
        """
        with own_threads():
            return self._fit()

    def _fit(self) -> FitResult:
        import torch

        self._resume()
        if self.device.type == "cpu" and self.n_processes == 1:
            torch.set_num_threads(threads_of_run(self.folder, self._measured_threads))
        log = _tensorboard(self.folder / "log", self.place["step"]) if self.accelerator.is_main_process else None
        self._began, self._spent = time.monotonic(), self.place["seconds"]
        self._saved = time.monotonic()
        seen = self._compiled()
        steps = count(self.place["step"]) if self.total is None else range(self.place["step"], self.total)
        make = partial(self.data.batch, self.seed, rank=self.rank, n_processes=self.n_processes)
        by_step = partial(_made, make)
        fresh = True
        with self._progress() as progress:
            for number, (batch, weight) in prefetched(by_step, steps, self.data.prefetch):
                step = Step(number, self._done(number))
                if step.done >= 1:
                    self.place["seconds"] = self._spent + time.monotonic() - self._began  # given again, it is over
                    break
                epoch, k = divmod(number, self.per_epoch)
                if k == 0 or fresh:
                    for module in self.learning:
                        module.train()
                    self.task.begin_epoch(self.modules, epoch)
                    fresh = False
                losses = self._step(seen, batch, weight, step, epoch, k)
                self._after_step(number, epoch, k, losses, progress, log)
        return self._finished(log)

    def _measured_threads(self) -> int:
        """The number of threads that suits the first batch."""
        parts: list[Batch] = []
        kept = [buffer.clone() for buffer in self._buffers]

        def rehearse() -> None:
            """A step that changes nothing in the end; of the middle of a run, where everything takes part."""
            parts[:] = parts or self._parts(self.data.batch(self.seed, 0, rank=0, n_processes=1)[0])
            for part in parts:
                losses = self.task.training_step(self.modules, part, Step(0, 0.5))
                while True:
                    with self.accelerator.autocast():
                        got = next(losses, None)
                    if got is None:
                        break
                    if got[1].requires_grad:
                        self.accelerator.backward(got[1])

        for module in self.learning:
            module.train()
        self.task.begin_epoch(self.modules, 0)
        suits = measured(rehearse)
        for module in self.learning:
            module.zero_grad(set_to_none=True)
        for buffer, value in zip(self._buffers, kept):
            buffer.copy_(value)
        return suits

    def _done(self, number: int) -> float:
        """How much of the run is over. Every process must stop at the same step, so the first one's clock counts."""
        if self.total is not None:
            return number / self.total
        spent = self._spent + time.monotonic() - self._began
        if self.n_processes > 1:
            spent = sum_over_processes(spent if self.rank == 0 else 0.0, self.n_processes, self.device)
        return spent / (60 * self.schedule.minutes)

    def _compiled(self) -> Mapping[str, Any]:
        if not self.schedule.compile:
            return self.modules
        import torch

        return {**self.modules, "model": torch.compile(self.model)}

    def _step(
        self, seen: Mapping[str, Any], batch: Batch, weight: float, step: Step, epoch: int, k: int
    ) -> dict[str, float]:
        """One step of every optimiser that the task names; the losses, by optimiser, as the mean over processes."""
        from accelerate.utils import set_seed

        set_seed(_draw(self.seed, epoch, k, 3 + self.rank))  # dropout
        for name, optimizer in self.optimizers.items():
            rate = self.schedule.rate(step.number, self.total, self.per_epoch, step.done)
            for group, full in zip(optimizer.param_groups, self.full_rates[name]):
                group["lr"] = full * rate
        runs = []
        for part in self._parts(batch):
            w = len(part) * weight
            runs.append((self.task.training_step(seen, part, self._shared(step, w)), w))
        losses: dict[str, float] = {}
        finite: dict[str, bool] = {}
        before = [buffer.clone() for buffer in self._buffers]
        while True:
            named = None
            for run, w in runs:
                with self.accelerator.autocast():
                    got = next(run, None)
                if got is None:
                    continue
                named, loss = got
                if loss.requires_grad:
                    if named not in losses:
                        self.optimizers[named].zero_grad(set_to_none=True)
                    loss = loss * w
                    self.accelerator.backward(loss)
                losses[named] = losses.get(named, 0.0) + float(loss.detach())
            if named is None:
                break
            finite[named] = self._update(named)
        bad = not all(finite.values())
        if bad:  # running statistics took in what was not finite when the model looked at the batch
            for buffer, value in zip(self._buffers, before):
                buffer.copy_(value)
        self.place["in_a_row"] = self.place["in_a_row"] + 1 if bad else 0
        self.place["skipped"] += bad
        if finite.get("model"):
            average_into(self.average, self.model.state_dict(), self.schedule.ema, step.number)
        return {n: mean_over_processes(v, self.n_processes, self.device) for n, v in losses.items()}

    def _parts(self, batch: Batch) -> list[Batch]:
        """The parts whose gradients are summed: equally many on every process."""
        smallest = len(batch) if self.n_processes == 1 else self._smallest(len(batch))
        n = max(1, min(self.schedule.accumulate, smallest))
        parts = [batch] if n == 1 else [batch.select(range(k, len(batch), n)) for k in range(n)]
        return [part.to(self.device) for part in parts]

    def _smallest(self, n: int) -> int:
        if self.schedule.accumulate == 1:
            return n
        import torch
        import torch.distributed as dist

        least = torch.tensor([n], device=self.device)
        dist.all_reduce(least, dist.ReduceOp.MIN)
        return int(least)

    def _shared(self, step: Step, w: float) -> Step:
        if self.n_processes == 1:
            return step

        together = sum_over_processes(w, self.n_processes, self.device)

        def mean_over_all(n: int) -> float:
            everywhere = sum_over_processes(float(n), self.n_processes, self.device)
            return n * together / everywhere / w if everywhere and w else 0.0

        return Step(step.number, step.done, mean_over_all)

    def _update(self, name: str) -> bool:
        """One optimiser's step on the gradients at hand; whether they were finite. Such that are not change nothing."""
        import torch

        optimizer, parameters = self.optimizers[name], self.parameters[name]
        if not average_gradients(parameters, self.n_processes):
            return True
        norm = self.accelerator.clip_grad_norm_(parameters, self.schedule.clip_norm or math.inf)
        finite = bool(torch.isfinite(torch.as_tensor(norm)))
        if finite or self.accelerator.scaler is not None:  # a scaler learns from what overflowed, and steps nothing
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return finite

    def _after_step(
        self, number: int, epoch: int, k: int, losses: dict[str, float], progress: Progress, log: Any
    ) -> None:
        place = self.place
        value = losses.get("model", math.nan)
        if place["in_a_row"] == 0:
            sums = place["sums"]
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss
            sums["n"] = sums.get("n", 0) + 1
        elif place["in_a_row"] >= PATIENCE:
            raise self._diverged(number, epoch)
        place["step"] = number + 1
        place["seconds"] = self._spent + time.monotonic() - self._began
        self._show(progress, value)
        if self.schedule.history_steps is None:
            due = k + 1 == self.per_epoch
        else:
            due = place["sums"].get("n", 0) >= self.schedule.history_steps
        if due:
            self._write_history(number, epoch, log)
        if k + 1 == self.per_epoch and self.data.n_val:
            self._keep(self._measure(epoch, log), epoch)
        self._preview_if_due(number, epoch)
        every = max(SAVE_EVERY_S, self._saving_s / SAVING_SHARE) if SAVE_EVERY_S else 0.0
        if place["in_a_row"] == 0 and time.monotonic() - self._saved > every:
            self._save()

    def _diverged(self, number: int, epoch: int) -> DivergedError:
        return DivergedError(
            f"{self.place['in_a_row']} steps in a row had no finite gradient (now in epoch {epoch + 1}, step "
            f"{number + 1}). The last good state is in '{self.folder / STATE_FILE}'. Try a lower learning rate (now "
            f"{self.schedule.learning_rate:g}), --precision fp32, or smaller weights of the losses that grow"
        )

    # --- what is measured and kept --------------------------------------------------------------------------------

    def _write_history(self, number: int, epoch: int, log: Any) -> None:
        sums = self.place["sums"]
        n = sums.pop("n", 0)
        rates = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        loss = sums.pop("model", 0.0) / n if n else None  # None: every step of it had no finite gradient
        row = {"epoch": epoch + 1, "step": number + 1, "loss": loss, "lr": rates}
        row |= {f"{name}_loss": total / n for name, total in sums.items()}
        self.place["sums"] = {}
        self.history.append(row)
        _write_log(log, row, number + 1)

    def _measure(self, epoch: int, log: Any) -> dict[str, float]:
        with weights_in(self.model, self.average):
            metrics = dict(self.task.validate(self.model, self.data, self.device))
        row = {f"val_{k}": v for k, v in metrics.items()}
        if self.history and self.history[-1].get("epoch") == epoch + 1:
            self.history[-1] |= row
        _write_log(log, row, self.place["step"])
        return metrics

    def _keep(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Keep the averaged weights if they are the best yet."""
        if self.best is None or not metrics or metrics["score"] >= self.best_metrics.get("score", -math.inf):
            self.best = {k: v.cpu().clone() for k, v in self.average.items()}
            self.best_metrics = {**metrics, "epoch": epoch + 1, "steps": self.place["step"]}
            if self.on_best is not None and self.accelerator.is_main_process:
                self.on_best(self.best, self.best_metrics)

    def _preview_if_due(self, number: int, epoch: int) -> None:
        place = self.place
        waited = place["seconds"] - place["previewed_s"]
        first = not place["previewed_s"] and waited > FIRST_PREVIEW_S
        often = waited > PREVIEW_EVERY_S if self.preview_every is None else (number + 1) % self.preview_every == 0
        if not (first or often):
            return
        place["previewed_s"] = place["seconds"]
        if not self.data.n_val:
            self._keep({}, epoch)
        if self.on_preview is not None and self.accelerator.is_main_process:
            self.on_preview(self.average, {"epoch": epoch + 1, "steps": number + 1})

    def _finished(self, log: Any) -> FitResult:
        place = self.place
        last = max(0, place["step"] - 1)
        epoch = last // self.per_epoch
        if 2 * place["in_a_row"] > place["step"]:
            raise self._diverged(last, epoch)  # a short run, most of it for nothing
        if place["step"] % self.per_epoch:  # it ends within an epoch
            if self.schedule.history_steps is None and place["sums"]:
                self._write_history(last, epoch, log)
            if self.data.n_val:
                self._keep(self._measure(epoch, log), epoch)
        if log is not None:
            with _writes_log(self.folder / "log"):
                log.close()
        if self.accelerator.is_main_process and place["in_a_row"] == 0:
            self._save()
        if self.best is None or not self.data.n_val:
            self._keep({}, epoch)
        assert self.best is not None
        return FitResult(self.best, self.best_metrics, self.history, place["step"], place["seconds"], place["skipped"])

    # --- progress and state ---------------------------------------------------------------------------------------

    def _progress(self) -> Progress:
        quiet = self.quiet or not self.accelerator.is_main_process
        if self.total is not None:
            return Progress(self.title, self.total, self.place["step"], unit="steps", quiet=quiet)
        shown = min(100, int(100 * self.place["seconds"] / (60 * self.schedule.minutes)))
        return Progress(self.title, 100, shown, unit="%", quiet=quiet)

    def _show(self, progress: Progress, value: float) -> None:
        if self.total is not None:
            progress.step(note=f"loss {value:.3f}")
            return
        reached = min(100, int(100 * self.place["seconds"] / (60 * self.schedule.minutes)))
        while progress.done < reached:
            progress.step(note=f"loss {value:.3f}, step {self.place['step']}")

    def _save(self) -> None:
        import torch

        if not self.accelerator.is_main_process:
            return
        began = time.monotonic()
        scaler = self.accelerator.scaler
        with atomic_write(self.folder / STATE_FILE) as tmp:
            torch.save(
                {
                    "run_hash": self.run_hash,
                    "modules": {
                        n: m.state_dict() for n, m in self.modules.items() if any(m is one for one in self.learning)
                    },
                    "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
                    "scaler": scaler.state_dict() if scaler is not None else {},
                    "average": self.average,
                    "place": self.place,
                    "history": json.dumps(self.history),
                    "best": self.best,
                    "best_metrics": self.best_metrics,
                },
                tmp,
            )
        self._saved = time.monotonic()
        self._saving_s = self._saved - began

    def _resume(self) -> None:
        state = read_state(self.folder, self.run_hash)
        if state is None:
            return
        for name, weights in state["modules"].items():
            self.modules[name].load_state_dict(weights)
        for name, values in state["optimizers"].items():
            self.optimizers[name].load_state_dict(values)
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}
        self.place, self.history = state["place"], json.loads(state["history"])
        self.best, self.best_metrics = state["best"], state["best_metrics"]


def read_state(folder: Path, run_hash: str) -> dict[str, Any] | None:
    """What a killed run left in ``folder`` (made if need be); None where it left nothing.

    Raises InputError where that is another run's, or an earlier version's.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / STATE_FILE).exists():
        return None
    try:
        state = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"'{folder / STATE_FILE}' is damaged; delete that folder to start over") from error
    if state["run_hash"] != run_hash or "modules" not in state:
        raise InputError(
            f"'{folder}' holds an unfinished run with another recipe, corpus, split, seed or version of signloom; "
            "choose another --out, or delete that folder to start over"
        )
    return state


def _made(make: Callable[..., Any], step: int) -> Any:
    return make(step=step)


def _optimizer(schedule: Schedule, groups: list[dict[str, Any]]) -> Any:
    import torch

    groups = [g for g in groups if g["params"]]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=0.9)
    kind = torch.optim.AdamW if schedule.optimizer == "adamw" else torch.optim.Adam
    first, second = schedule.betas
    return kind(groups, lr=schedule.learning_rate, betas=(first, second))


def decayed_groups(module: Any, rate: float, decay: float) -> list[dict[str, Any]]:
    """The parameters of ``module`` in two groups: weight decay for matrices and kernels, none for biases and norms."""
    learns = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learns if p.ndim > 1], "lr": rate, "weight_decay": decay},
        {"params": [p for p in learns if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
    ]


def _draw(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def _tensorboard(folder: Path, step: int) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from torch.utils.tensorboard import SummaryWriter

    with _writes_log(folder):
        return SummaryWriter(str(folder), purge_step=step or None)


def _write_log(log: Any, row: Mapping[str, Any], step: int) -> None:
    for key, number in row.items() if log is not None else ():
        if key not in ("epoch", "step"):
            with _writes_log(Path(log.log_dir)), suppress(TypeError, ValueError):
                log.add_scalar(key, float(number), step)


@contextmanager
def _writes_log(folder: Path) -> Iterator[None]:
    """Tells a full disk with its place: TensorBoard writes in a thread of its own, and raises that thread's error."""
    try:
        yield
    except OSError as error:
        raise cannot_write(error, folder) or error from error
