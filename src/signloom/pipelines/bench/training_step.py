"""A training step on random clips, done as `train` does it."""

from __future__ import annotations

from typing import Any

from signloom.data.batch import Batch
from signloom.tasks import task_of
from signloom.training.computing import lay_out, layout_of, measured, own_threads
from signloom.training.ema import average_into
from signloom.training.precision import choose_precision
from signloom.training.task import Step


class TrainingStep:
    """``step(batch)``: ``recipe``'s loss, clipping and averaging once on ``model``, computed as a run computes.

    The threads are measured at the first batch, as there.
    """

    def __init__(self, recipe: Any, model: Any):
        import torch

        self.schedule, self.task, self.model = recipe.schedule, task_of(recipe), model
        self.device = next(model.parameters()).device.type
        precision = choose_precision(self.schedule.precision, model)
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        lay_out(model, layout_of(model, precision))
        self.optimizer = torch.optim.AdamW(self.task.parameter_groups({"model": model})["model"])
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.number = 0
        self.threads: int | None = None

    def __call__(self, batch: Batch) -> None:
        import torch

        with own_threads():
            self.model.train()
            if self.device == "cpu":
                self.threads = self.threads or measured(lambda: self._backward(batch))
                torch.set_num_threads(self.threads)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._backward(batch)
            if self.schedule.clip_norm:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip_norm)
            self.optimizer.step()
            average_into(self.average, self.model.state_dict(), self.schedule.ema, self.number)
            self.number += 1
            float(loss)  # waits for a GPU

    def _backward(self, batch: Batch) -> Any:
        import torch

        with torch.autocast(self.device, self.dtype, enabled=self.dtype is not None):
            _, loss = next(self.task.training_step({"model": self.model}, batch, Step(self.number, 0.0)))
        loss.backward()
        return loss.detach()
