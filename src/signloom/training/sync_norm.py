"""Batch normalisation over all processes, so that several of them train as one would on the whole batch.

torch's own SyncBatchNorm runs on GPUs only; this one runs wherever torch.distributed does.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronised(model: Any) -> Any:
    """``model`` with the forward pass of each batch norm over all processes; its parameters and names stay."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = _Synchronised
    return model


class _Synchronised(_BatchNorm):
    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        x = input.float()
        axes = [a for a in range(x.ndim) if a != 1]
        count = x.new_tensor([x.numel() / x.shape[1]])
        total = _SumOverProcesses.apply(torch.cat([x.sum(axes), x.square().sum(axes), count]))
        n, c = total[-1].detach(), x.shape[1]
        mean = total[:c] / n
        variance = (total[c : 2 * c] / n - mean.square()).clamp_min(0)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(variance.detach() * (n / (n - 1).clamp_min(1)), self.momentum)
            self.num_batches_tracked.add_(1)
        shape = [1, c] + [1] * (x.ndim - 2)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (x * scale.view(shape) + (self.bias - mean * scale).view(shape)).to(input.dtype)


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Every process's loss depends on every process's sum; the gradients of all meet here.
        total = gradient.clone()
        dist.all_reduce(total)
        return total
