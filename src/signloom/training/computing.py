"""How a processor is best put to use in one run: how many threads, and how kernels lie in memory.

Neither can be told beforehand. A second thread brings a small network nothing, and where another program keeps a core
busy every step waits for the slower half. Channels last makes convolutions faster on most processors and slower on
some. So both are measured on the first batch and kept in the run's folder: a run that goes on computes as it began.
Sums over several threads round differently; weights agree to the last bit where the choices do.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from signloom.errors import InputError
from signloom.runtime.atomic import read_json, write_json
from signloom.runtime.workers import default_workers

FILE = "computing.json"
LAYOUTS = ("channels-last", "channels-first")
ROUNDS = 3
LONG_S = 2.0  # a step of this length has work for every core, and is not repeated to find that out
FORMATS = {4: "channels_last", 5: "channels_last_3d"}  # torch's names, by the dimensions of a kernel
SHORT_S = 0.05  # in steps this short the layout makes no difference that anybody would notice


@dataclass(frozen=True)
class Computing:
    """``threads`` of torch and the ``layout`` of convolution kernels, one of :data:`LAYOUTS`.

    ``cores`` and ``instructions`` (torch's word for what the processor can do) are those they were chosen for.
    """

    threads: int
    layout: str
    cores: int
    instructions: str

    def take(self, modules: Iterable[Any]) -> None:
        """Compute like this from now on: the threads hold for the whole process."""
        import torch

        torch.set_num_threads(self.threads)
        for module in modules:
            lay_out(module, self.layout)


def lay_out(module: Any, layout: str) -> None:
    """Lay convolution kernels out; ``channels-last`` is how pictures come. The numbers are the same."""
    import torch

    for parameter in module.parameters():
        if parameter.ndim in FORMATS:
            wanted = FORMATS[parameter.ndim] if layout == "channels-last" else "contiguous_format"
            parameter.data = parameter.data.contiguous(memory_format=getattr(torch, wanted))


def computing_of_run(folder: Path, choose: Callable[[], Computing]) -> Computing:
    """What the run in ``folder`` computes with: as it began or, if it is new or on another machine, as chosen now."""
    file, here = folder / FILE, everything()
    if file.is_file():
        kept = _read(file)
        if (kept.cores, kept.instructions) == (here.cores, here.instructions):
            return kept
    chosen = choose()
    write_json(file, asdict(chosen))
    return chosen


def _read(file: Path) -> Computing:
    try:
        kept = Computing(**read_json(file))
        if kept.layout in LAYOUTS and kept.threads >= 1:
            return kept
    except TypeError:
        pass
    raise InputError(f"'{file}' is damaged; delete it, and the run goes on as this machine does best now")


def everything() -> Computing:
    """All threads that torch has, and channels last."""
    import torch

    instructions = torch.backends.cpu.get_cpu_capability()
    return Computing(torch.get_num_threads(), "channels-last", default_workers(), instructions)


def measured(modules: Iterable[Any], step: Callable[[], None], *, layout: bool) -> Computing:
    """What does ``step()`` soonest, a training step that changes nothing; it is called some times, for seconds in all.

    The threads are as OMP_NUM_THREADS says where it is set; without ``layout`` kernels lie channels last.
    """
    given, modules = everything(), list(modules)
    threads = given.threads > 1 and "OMP_NUM_THREADS" not in os.environ
    layout = layout and any(p.ndim in FORMATS for module in modules for p in module.parameters())
    if not (threads or layout):
        return given
    with warnings.catch_warnings():  # torch would say that gradients lie otherwise than kernels, which is the question
        warnings.simplefilter("ignore", UserWarning)
        return _measured(given, _Trial(modules, step), threads=threads, layout=layout)


@dataclass
class _Trial:
    modules: list[Any]
    step: Callable[[], None]

    def seconds(self, choice: Computing) -> tuple[float, float]:
        """How long a step takes, by the clock on the wall and in time of the processor."""
        choice.take(self.modules)
        began = time.perf_counter(), time.process_time()
        self.step()
        return time.perf_counter() - began[0], time.process_time() - began[1]

    def better(self, a: Computing, b: Computing, clock: int, worth: float, rounds: int) -> Computing:
        """``b`` if it is worth the change; in turns, so that a busy moment hits both alike."""
        took = [(self.seconds(a)[clock], self.seconds(b)[clock]) for _ in range(rounds)]
        return b if min(t[1] for t in took) < worth * min(t[0] for t in took) else a


def _measured(given: Computing, trial: _Trial, *, threads: bool, layout: bool) -> Computing:
    best = replace(given, threads=1) if threads else given
    trial.seconds(best)  # the first one allocates
    took, worked = trial.seconds(best)
    if threads and took > LONG_S:
        best = given
    elif threads:  # by the clock on the wall: cores that others use are not there
        for more in _doubled(given.threads):
            wider = trial.better(best, replace(best, threads=more), 0, 0.9, ROUNDS)
            if wider is best:
                break
            best = wider
    if layout and worked > SHORT_S:  # by the work done: what others do says nothing about a layout
        other = replace(best, layout="channels-first")
        best = trial.better(best, other, 1, 0.85, 1 if took > LONG_S else ROUNDS)
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
