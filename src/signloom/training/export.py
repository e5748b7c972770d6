"""A model for other runtimes: written in one of the formats, checked against PyTorch, and only then named.

Beside each file, or in the folder, lies one JSON with all that another program needs: labels, what is done to a clip
before, what is done with the answer, and a few made-up clips with what Python finds at each step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom.errors import InputError, SignloomError
from signloom.runtime.atomic import atomic_write, write_json
from signloom.runtime.machine import check_out
from signloom.training.formats import format_named

JSON_FORMAT = 1
TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2}
"""How far outputs may be from PyTorch's, as a share of the largest value of theirs (of 1, where all are smaller)."""
CALIBRATION_CLIPS = 200
"""So many training clips at most, spread over all, tell what range of values 8 bits have to hold."""

Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
LabelledInputs = tuple[dict[str, np.ndarray], int]


@dataclass(frozen=True)
class Exported:
    """A trained network as other runtimes are to run it, and what a program needs around it.

    ``module``, in eval mode on the CPU, takes the values of each of ``examples`` in their order and gives ``outputs``.
    ``about`` is plain JSON: labels, ``preprocessing``, what makes an answer of the outputs; ``prototypes`` are arrays
    that this needs besides. ``sample`` are made-up clips: arrays and plain values by name, from what is found in each
    frame to the answer. ``metadata`` are texts for files whose format has room for some. ``clips(corpus, split)`` gives
    what the network sees of each clip, with the number of its label; None for a network that names nothing. ``answer``
    is the output that names the sign.
    """

    module: Any
    examples: Sequence[Mapping[str, np.ndarray]]
    outputs: tuple[str, ...]
    about: Mapping[str, Any]
    prototypes: Mapping[str, np.ndarray] = field(default_factory=dict)
    sample: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    clips: Callable[[Any, str], Iterator[LabelledInputs]] | None = None
    answer: str = "logits"

    def run(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What PyTorch gives for ``values``."""
        import torch

        with torch.inference_mode():
            given = self.module(*(torch.from_numpy(np.ascontiguousarray(values[name])) for name in self.examples[0]))
        given = given if isinstance(given, tuple) else (given,)
        return {name: value.numpy() for name, value in zip(self.outputs, given)}


def write_export(
    exported: Exported,
    to: str,
    file: Path,
    *,
    precision: str = "fp32",
    calibration: Iterable[Mapping[str, np.ndarray]] = (),
    measure: Callable[[Run], Mapping[str, Any]] | None = None,
    tolerances: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Write ``exported`` in the format ``to`` as ``file``, with its JSON, and give what the JSON holds (but for the
    sample), with the places of ``file`` and ``json``.

    All is written into a folder beside ``file`` first. There the network runs in its own runtime, and has to give on
    every example what PyTorch gives, within ``tolerances`` (:data:`TOLERANCES`); of 8 bits it is only asked that the
    values are finite, and ``measure`` tells what they cost. Raises InputError for a precision that the format does not
    have, MissingExtraError without its libraries, SignloomError for a file that gives other values: then nothing is
    written.
    """
    form = format_named(to)
    if precision not in form.PRECISIONS:
        raise InputError(f"--to {to} has no --precision {precision}; choose one of {', '.join(form.PRECISIONS)}")
    if form.SUFFIX and file.suffix != form.SUFFIX:
        raise InputError(f"--out '{file}': expected a name that ends in {form.SUFFIX}, as --to {to} writes")
    check_out(file, folder=form.FOLDER)
    _check_replaceable(file)
    with _scratch_beside(file) as scratch:
        main = scratch / file.name
        form.write(exported, main, precision, calibration)
        run = form.open_graph(main)
        checked: dict[str, Any] = {"examples": len(exported.examples)}
        if run is None:
            checked |= {"against": "graph and shapes alone", **form.check_graph(exported, main)}
        else:
            limit = (tolerances or TOLERANCES).get(precision)
            checked |= {"against": "PyTorch", "apart": _apart(exported, run, limit, file)}
        about = {
            "format": JSON_FORMAT,
            "signloom": signloom.__version__,
            "name": file.stem if form.SUFFIX else file.name,
            **exported.about,
            "to": to,
            "precision": precision,
            "files": _files(main, form.SUFFIX),
            "graph_bytes": _bytes(scratch),
            **_puts(exported),
            "checked": checked,
        }
        if measure is not None and run is not None:
            about["measured"] = dict(measure(run))
        written = _write_beside(exported, about, main, form.SUFFIX)
        _take(scratch, file)
    shown = {key: value for key, value in about.items() if key != "sample"}
    return {**shown, "file": str(file), "json": str(file.parent / written.relative_to(scratch))}


def accuracy(exported: Exported, run: Run, clips: Iterable[LabelledInputs]) -> dict[str, Any]:
    """Top-1 of PyTorch and of ``run`` on ``clips``, and on how many they agree."""
    right = {"pytorch": 0, "file": 0}
    n = same = 0
    for values, label in clips:
        answers = {
            name: int(f(values)[exported.answer].argmax()) for name, f in (("pytorch", exported.run), ("file", run))
        }
        for name, answer in answers.items():
            right[name] += answer == label
        same += answers["pytorch"] == answers["file"]
        n += 1
    if not n:
        raise InputError("no clip to measure on; choose another --on, or a --corpus with labels of this model")
    return {
        "clips": n,
        "top1": right["file"] / n,
        "top1_pytorch": right["pytorch"] / n,
        "same_answer": same / n,
    }


# --- checked --------------------------------------------------------------------------------------------------------


def _apart(exported: Exported, run: Run, limit: float | None, file: Path) -> dict[str, float]:
    """How far each output is from PyTorch's at most, over the examples; see :data:`TOLERANCES`."""
    found = dict.fromkeys(exported.outputs, 0.0)
    for values in exported.examples:
        wanted, got = exported.run(values), run(values)
        for name in exported.outputs:
            scale = max(1.0, float(np.abs(wanted[name]).max(initial=0)))
            off = np.abs(wanted[name] - np.asarray(got[name]).reshape(wanted[name].shape)).max(initial=0)
            found[name] = max(found[name], float(off) / scale) if np.isfinite(off) else float("inf")
    wrong = {name: off for name, off in found.items() if not off <= (float("1e30") if limit is None else limit)}
    if wrong:
        worst = max(wrong, key=lambda name: wrong[name])
        raise SignloomError(
            f"'{file}' would give '{worst}' {wrong[worst]:.2g} apart from PyTorch's (at most {limit or 1:g} wanted), "
            "so it was not written; report this with the versions of torch and of the format's libraries"
        )
    return {name: float(f"{off:.2g}") for name, off in found.items()}


# --- the JSON -------------------------------------------------------------------------------------------------------


def _puts(exported: Exported) -> dict[str, Any]:
    """What goes in and comes out, by name: shapes and types."""
    first = exported.examples[0]
    given = exported.run(first)
    return {
        "inputs": {name: list(value.shape) for name, value in first.items()},
        "outputs": {name: list(value.shape) for name, value in given.items()},
        "dtypes": {name: str(value.dtype) for name, value in {**first, **given}.items()},
    }


def _files(main: Path, suffix: str) -> dict[str, Any]:
    """The names of the files of the graph, in order."""
    return {"graph": [part.name for part in sorted((main.parent if suffix else main).iterdir())]}


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _write_beside(exported: Exported, about: dict[str, Any], main: Path, suffix: str) -> Path:
    """Write the JSON of ``about``, with prototypes and sample in files of their own, and give its place."""
    folder, before = (main.parent, f"{main.stem}.") if suffix else (main, "")
    bins = {kind: _Bin(f"{before}{kind}.bin") for kind in ("prototypes", "sample")}
    about["prototypes"] = {name: bins["prototypes"].add(array) for name, array in exported.prototypes.items()}
    about["sample"] = [
        {name: bins["sample"].add(v) if isinstance(v, np.ndarray) else v for name, v in clip.items()}
        for clip in exported.sample
    ]
    for kind, held in bins.items():
        if held.parts:
            (folder / held.name).write_bytes(b"".join(held.parts))
            about["files"][kind] = held.name
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    about["sha256"] = {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    about["bytes"] = _bytes(folder)
    return write_json(folder / (f"{before}json" if suffix else "model.json"), about)


class _Bin:
    """Arrays one after the other, little-endian, each at a multiple of 8 bytes."""

    def __init__(self, name: str):
        self.name, self.parts, self.size = name, list[bytes](), 0

    def add(self, array: np.ndarray) -> dict[str, Any]:
        array = array.astype(np.uint8) if array.dtype == np.bool_ else array
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        told = {"file": self.name, "offset": self.size, "dtype": str(array.dtype), "shape": list(array.shape)}
        padded = data + b"\0" * (-len(data) % 8)
        self.parts.append(padded)
        self.size += len(padded)
        return told


def read_array(folder: Path, told: Mapping[str, Any]) -> np.ndarray:
    """An array that a JSON of ours tells of, from the file beside it in ``folder``."""
    dtype = np.dtype(told["dtype"]).newbyteorder("<")
    data = np.fromfile(folder / told["file"], dtype, int(np.prod(told["shape"])), offset=told["offset"])
    return data.reshape(told["shape"]).astype(np.dtype(told["dtype"]))


# --- files ----------------------------------------------------------------------------------------------------------


@contextmanager
def _scratch_beside(file: Path) -> Iterator[Path]:
    """A folder beside ``file``, so that what is in it can be renamed; gone afterwards."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-export-", dir=file.parent) as scratch:
        yield Path(scratch)


def _check_replaceable(file: Path) -> None:
    """Raise InputError where a folder is to be replaced that was not written by an export."""
    if not file.is_dir() or not any(file.iterdir()):
        return
    try:
        about = json.loads((file / "model.json").read_text(encoding="utf-8"))
        ours = about["format"] == JSON_FORMAT and "graph" in about["files"]
    except (OSError, ValueError, KeyError, TypeError):
        ours = (file / "Manifest.json").is_file() and file.suffix == ".mlpackage"
    if not ours:
        raise InputError(f"--out '{file}' is a folder that holds something else; give another name, or remove it")


def _take(scratch: Path, file: Path) -> None:
    """Move everything from ``scratch`` beside ``file``; ``file`` itself comes last."""
    parts = sorted(scratch.iterdir(), key=lambda part: (part.name == file.name, part.name))
    for part in parts:
        place = file.parent / part.name
        if part.is_dir():
            before = scratch / f"{part.name}.before"
            if place.exists():
                os.replace(place, before)
            os.replace(part, place)
            shutil.rmtree(before, ignore_errors=True)
        else:
            with atomic_write(place) as tmp:
                shutil.copyfile(part, tmp)
