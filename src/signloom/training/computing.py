"""How a processor is put to use in one run: how many threads, and how kernels lie in memory.

The layout follows from the network, the precision and what the processor can do. How many threads help cannot be told
beforehand: a second one brings a small network nothing, and where another program keeps a core busy every step waits
for the slower half. So that is measured on the first batch and kept in the run's folder: a run that goes on computes as
it began. Sums over several threads round differently; weights agree to the last bit for the same number of threads.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from signloom.errors import InputError
from signloom.runtime.atomic import read_json, write_json
from signloom.runtime.workers import default_workers

FILE = "computing.json"
LAYOUTS = ("channels-last", "channels-first")
ROUNDS = 3
WORTH = 0.9  # of the time: what more threads must come down to
LONG_S = 2.0  # a step of this length has work for every core, and is not repeated to find that out
LAYOUTS = ("channels-last", "channels-first")
FORMATS = {4: "channels_last", 5: "channels_last_3d"}  # torch's names, by the dimensions of a kernel


@dataclass(frozen=True)
class Computing:
    """The ``threads`` of torch; ``cores`` and ``instructions`` (torch's word for what the processor can do) are those
    they were chosen for."""

    threads: int
    cores: int
    instructions: str


def lay_out(module: Any, layout: str) -> None:
    """Lay convolution kernels out, as one of :data:`LAYOUTS`; pictures come channels last. No number changes."""
    import torch

    if layout == "channels-first":  # activations may still lie channels last, and torch wonders at it
        warnings.filterwarnings("ignore", message="grad and param do not obey")
    for parameter in module.parameters():
        if parameter.ndim in FORMATS:
            wanted = FORMATS[parameter.ndim] if layout == "channels-last" else "contiguous_format"
            parameter.data = parameter.data.contiguous(memory_format=getattr(torch, wanted))


def layout_of(module: Any, precision: str) -> str:
    """``channels-last``, but for a network that it slows down in float32 on this processor, as its class says.

    ``precision`` as :func:`signloom.training.precision.choose_precision` gives it.
    """
    import torch

    needs = getattr(module, "channels_last_needs", "")
    able = needs in torch.backends.cpu.get_cpu_capability() or precision != "no" or torch.cuda.is_available()
    return "channels-last" if able else "channels-first"


def threads_of_run(folder: Path, choose: Callable[[], int]) -> int:
    """How many threads the run in ``folder`` takes: as it began or, if new or on another machine, as chosen now."""
    import torch

    file = folder / FILE
    here = default_workers(), torch.backends.cpu.get_cpu_capability()
    if file.is_file():
        kept = _read(file)
        if (kept.cores, kept.instructions) == here:
            return kept.threads
    chosen = Computing(choose(), *here)
    write_json(file, asdict(chosen))
    return chosen.threads


def _read(file: Path) -> Computing:
    try:
        kept = Computing(**read_json(file))
        if kept.threads >= 1:
            return kept
    except TypeError:
        pass
    raise InputError(f"'{file}' is damaged; delete it, and the run goes on as this machine does best now")


def measured(step: Callable[[], None]) -> int:
    """How many threads do ``step()`` soonest, a training step that changes nothing; it is called for seconds in all.

    All that torch has, without a call, where OMP_NUM_THREADS says how many or there is one.
    """
    import torch

    most = torch.get_num_threads()
    if most == 1 or "OMP_NUM_THREADS" in os.environ:
        return most

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        began = time.perf_counter()
        step()
        return time.perf_counter() - began

    if seconds(1) > LONG_S:  # it also allocates, and so is no measure of anything but that
        return most
    best = 1
    for more in _doubled(most):
        # In turns, so that a busy moment hits both alike; by the wall's clock: cores that others use are not there.
        took = [(seconds(best), seconds(more)) for _ in range(ROUNDS)]
        if min(t[1] for t in took) > WORTH * min(t[0] for t in took):
            break
        best = more
    return best


@contextmanager
def own_threads() -> Iterator[None]:
    """What happens inside may set the number of torch's threads; afterwards it is as before."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _doubled(most: int) -> Iterator[int]:
    """2, 4, 8 … and at last ``most``."""
    n = 2
    while n < most:
        yield n
        n *= 2
    yield most
