"""A training step on random clips, done as `train` does it."""

from __future__ import annotations

from typing import Any

from signloom.data.batch import Batch
from signloom.tasks import task_of
from signloom.training.ema import average_into
from signloom.training.layout import channels_last
from signloom.training.precision import choose_precision
from signloom.training.task import Step


class TrainingStep:
    """``step(batch)``: the loss, precision, layout, clipping and averaging of ``recipe``, once on ``model``."""

    def __init__(self, recipe: Any, model: Any):
        import torch

        self.schedule, self.task, self.model = recipe.schedule, task_of(recipe), model
        precision = choose_precision(self.schedule.precision, model)
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        channels_last(model)
        self.optimizer = torch.optim.AdamW(self.task.parameter_groups({"model": model})["model"])
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.number = 0

    def __call__(self, batch: Batch) -> None:
        import torch

        model, kind = self.model.train(), next(self.model.parameters()).device.type
        with torch.autocast(kind, self.dtype, enabled=self.dtype is not None):
            _, loss = next(self.task.training_step({"model": model}, batch, Step(self.number, 0.0)))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.schedule.clip_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), self.schedule.clip_norm)
        self.optimizer.step()
        average_into(self.average, model.state_dict(), self.schedule.ema, self.number)
        self.number += 1
        float(loss.detach())  # waits for a GPU
