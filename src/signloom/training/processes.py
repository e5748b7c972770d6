"""Several processes that train as one: gradients are averaged here, whatever route the loss took through the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def average_gradients(parameters: Iterable[Any], n_processes: int) -> bool:
    """Replace each gradient by its mean over all processes; whether any process has one.

    A parameter without a gradient here counts as zero; one without any stays so. One message for all: models of this
    size gain little from sending while they still compute, and a model may be called by any of its methods.
    """
    import torch

    parameters = [p for p in parameters if p.requires_grad]
    if n_processes == 1:
        return any(p.grad is not None for p in parameters)
    import torch.distributed as dist

    if not parameters:
        return False
    have = parameters[0].new_tensor([float(p.grad is not None) for p in parameters], dtype=torch.float32)
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([have, *(p.grad.reshape(-1).float() for p in parameters)])
    dist.all_reduce(flat)
    anywhere = (flat[: len(parameters)] > 0).tolist()
    flat /= n_processes
    place = len(parameters)
    for p, known in zip(parameters, anywhere):
        if known:
            p.grad.copy_(flat[place : place + p.numel()].view_as(p))
        else:
            p.grad = None
        place += p.numel()
    return any(anywhere)


def mean_over_processes(value: float, n_processes: int, device: Any) -> float:
    """The mean of a number over all processes."""
    return sum_over_processes(value, n_processes, device) / n_processes


def sum_over_processes(value: float, n_processes: int, device: Any) -> float:
    """The sum of a number over all processes."""
    if n_processes == 1:
        return value
    import torch
    import torch.distributed as dist

    total = torch.tensor([value], dtype=torch.float64 if str(device) == "cpu" else torch.float32, device=device)
    dist.all_reduce(total)
    return float(total)


def same_as_first(module: Any, n_processes: int) -> None:
    """Give every process the weights and buffers of the first."""
    if n_processes > 1:
        import torch.distributed as dist

        for value in module.state_dict().values():
            dist.broadcast(value, 0)
