"""Run one call in a process that can be killed: for files that may hang, crash or eat the memory of their reader."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from signloom.errors import InputError, MediaError


def run_capped(function: Callable[..., Any], *args: Any, timeout_s: float, memory_bytes: int | None = None) -> Any:
    """Run ``function(*args)`` in a fresh process that can be killed, and return its result.

    ``function``, its arguments and its result travel as pickles between the two processes, so the function must be
    importable by name. Whatever it raises is raised here. What it prints goes to standard error. A fresh interpreter
    costs about 0.2 s and is safe beside threads; for whole corpora use ``data.mapping``, which keeps its processes.
    ``memory_bytes`` caps the address space (where the system can). A process whose parent is gone ends itself.

    Raises MediaError with reason ``timeout``, ``crashed`` or ``out-of-memory``; InputError for a function that cannot
    be imported by name.
    """
    name = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
    what = f"{name}({', '.join(_short(a) for a in args)})"
    if getattr(function, "__module__", None) == "__main__":
        raise InputError(f"{name} cannot be run in another process: move it to a module that can be imported")
    try:
        work = pickle.dumps(sys.path) + pickle.dumps((os.getpid(), memory_bytes)) + pickle.dumps((function, args))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(f"{what} cannot be run in another process: {error}") from error
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        answer, _ = process.communicate(work, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise MediaError(f"{what}: not done within {timeout_s:g} s; killed", "timeout") from error
    finally:
        if process.poll() is None:
            _kill(process)
    if not answer:
        code = process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        hint = "; out of memory?" if memory_bytes is not None or code == -signal.SIGKILL else ""
        raise MediaError(f"{what}: its process died ({how}{hint})", "crashed")
    ok, value = pickle.loads(answer)  # from our own child, never from a file
    if ok:
        return value
    raise value


_CHILD = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from signloom.runtime.capped import _serve; _serve(sys.stdin.buffer)"
)


def _serve(channel: BinaryIO) -> None:
    """The child's side of :func:`run_capped`: do the one call that stands on ``channel``, answer, and be gone."""
    answer_to = os.dup(1)
    os.dup2(2, 1)  # what the function prints must not mix with the answer
    parent, memory_bytes = pickle.load(channel)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        if memory_bytes is not None:
            _cap_memory(memory_bytes)
        function, args = pickle.load(channel)
        answer = pickle.dumps((True, function(*args)), protocol=5)
    except MemoryError:
        limit = "" if memory_bytes is None else f" (at most {memory_bytes:,} bytes)"
        answer = pickle.dumps((False, MediaError(f"out of memory{limit}", "out-of-memory")))
    except Exception as error:  # crosses to the parent, which raises it
        answer = _pickled_error(error)
    with os.fdopen(answer_to, "wb") as out:
        out.write(answer)
    os._exit(0)  # no library's exit handler gets to hang


def _pickled_error(error: Exception) -> bytes:
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)
    except Exception:
        lost = MediaError(f"{type(error).__name__}: {error}", "crashed")
        return pickle.dumps((False, lost))
    return answer


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _cap_memory(memory_bytes: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _kill(process: subprocess.Popen) -> None:
    """End the process and all it started, and collect it."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    else:
        process.kill()
    process.communicate()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
