"""From a recording of sensors to what a sensor recogniser sees; the same in training, evaluation, prediction, live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from signloom.data.signal import Channel, Signal, vectors
from signloom.errors import InputError
from signloom.transforms.levelling import Levelled, levelled

if TYPE_CHECKING:
    from signloom.data.corpus import ClipRef
    from signloom.data.reader import Reader

SAMPLINGS = ("stretch", "rate", "pad", "published")
ORIENTATIONS = ("raw", "levelled", "invariant")
EMG = ("raw", "envelope")
FEWEST_SAMPLES = 2


class Worn(NamedTuple):
    """The columns of one place in what a model sees: all of them, vectors along the sensor's own axes, and vectors in
    its level frame, whose z axis is up. Vectors are (x, y, z)."""

    place: str
    columns: tuple[int, ...]
    own: tuple[tuple[int, int, int], ...]
    level: tuple[tuple[int, int, int], ...]


class _Part(NamedTuple):
    """Some columns of what a model sees: what they are, and whether they are the x, y, z of one vector."""

    name: str
    values_TC: np.ndarray
    place: str
    kind: str  # "own" or "level", a vector in that frame; "scalar"


@dataclass(frozen=True)
class SensorInput:
    """What sensors measured, on ``n_steps`` steps, scaled by what is usual in training.

    ``sampling`` says how a clip comes onto the steps: ``"stretch"``, all of it, however long (each step is the mean of
    its share of the samples, or lies between two); ``"rate"``, ``rate_hz`` steps a second, ``"pad"``, a step a sample,
    both cut at the end or padded with zeros that the mask marks; ``"published"``, the samples ``int(x · N / n_steps)``.

    ``channels`` are patterns of names (``"right_*"``; ``"!*_emg_*"`` leaves out) until :meth:`fitted` puts the names
    themselves there. ``orientation`` ``"raw"`` gives what was measured. ``"levelled"`` adds, for each place with
    acceleration and rotation, which way is down, and acceleration without gravity, velocity and rotation in a frame
    that is level (see :mod:`signloom.transforms.levelling`). ``"invariant"`` gives magnitudes, and the vertical and
    horizontal parts of those: nothing in it depends on how the sensor is strapped on. ``emg="envelope"`` replaces EMG
    by its envelope.

    Training alone decides ``mean``, ``std`` (one for each column that the model sees) and ``down`` (for each place that
    is levelled, where gravity's pull on the sensor usually points). A vector's three columns share a ``std`` and keep
    their mean, so that rotations stay rotations.
    """

    n_steps: int = 96
    sampling: str = "stretch"
    rate_hz: float = 50.0
    channels: tuple[str, ...] = ("*",)
    orientation: str = "raw"
    emg: str = "raw"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    down: tuple[float, ...] = ()
    version: ClassVar[int] = 1
    keeps_clips: ClassVar[bool] = True
    """Whether what a model sees of a clip is small enough to be made once and kept in memory."""

    def __post_init__(self):
        if self.n_steps < 2:
            raise InputError(f"SensorInput.n_steps: got {self.n_steps}, expected at least 2")
        if not (np.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise InputError(f"SensorInput.rate_hz: got {self.rate_hz}, expected more than 0")
        for name, known in (("sampling", SAMPLINGS), ("orientation", ORIENTATIONS), ("emg", EMG)):
            if getattr(self, name) not in known:
                raise InputError(f"SensorInput.{name}: got {getattr(self, name)!r}, expected one of {known}")

    # --- settled in training --------------------------------------------------------------------------------------

    def fitted(self, clips: Iterable[ClipRef], read: Reader, streams: tuple[str, ...]) -> SensorInput:
        """:meth:`fitted_to` what the training ``clips`` that have a sensor hold."""
        stream = "imu" if "imu" in streams else streams[0]
        return self.fitted_to(read(clip, stream) for clip in clips if clip.has(stream))

    def unfitted(self) -> SensorInput:
        """The same without what it took from training clips."""
        return replace(self, channels=("*",), mean=(), std=(), down=())

    def fitted_to(self, signals: Iterable[Signal]) -> SensorInput:
        """The same with ``channels``, ``mean``, ``std`` and ``down`` of the training clips' ``signals``.

        Raises InputError where there is none, where they differ in channels, or where no channel fits the patterns.
        """
        kept: list[Signal] = []
        for signal in signals:
            if kept and signal.channels != kept[0].channels:
                raise InputError(_difference(kept[0].channels, signal.channels, len(kept)))
            kept.append(signal)
        if not kept:
            raise InputError("there is no sensor recording to learn from")
        chosen = replace(self, channels=self._chosen(kept[0].channels), mean=(), std=(), down=())
        if chosen.orientation == "levelled":
            chosen = replace(chosen, down=chosen._usual_down([chosen._taken(signal) for signal in kept]))
        sums = squares = np.zeros(0)
        n = 0
        for signal in kept:
            x = _joined(chosen._parts(chosen._taken(signal)))[0]
            sums = x.sum(0, dtype=np.float64) + (sums if n else 0.0)
            squares = np.square(x, dtype=np.float64).sum(0) + (squares if n else 0.0)
            n += len(x)
        mean, square = sums / n, squares / n
        for own, level in ((w.own, w.level) for w in chosen._worn()):
            for columns in map(list, (*own, *level)):
                mean[columns], square[columns] = 0.0, square[columns].mean()
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
        std[std < 1e-6] = 1.0  # a channel that never changes says nothing
        return replace(chosen, mean=tuple(map(float, mean)), std=tuple(map(float, std)))

    def _chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        wanted = [p for p in self.channels if not p.startswith("!")] or ["*"]
        unwanted = [p[1:] for p in self.channels if p.startswith("!")]
        chosen = tuple(
            n for n in names if any(fnmatchcase(n, p) for p in wanted) and not any(fnmatchcase(n, p) for p in unwanted)
        )
        if not chosen:
            raise InputError(f"no channel is like {', '.join(self.channels)}; the recordings have {', '.join(names)}")
        return chosen

    def _usual_down(self, signals: Sequence[Signal]) -> tuple[float, ...]:
        downs = np.array(
            [
                [levelled(values[:, :3], values[:, 3:], signal.rate_hz).down for _, values in _inertial(signal)]
                for signal in signals
            ]
        )
        mean = downs.mean(0)
        return tuple(map(float, (mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-9)).ravel()))

    def _settled(self) -> None:
        if not self.std:
            raise InputError("a SensorInput must be fitted to the training clips before it is used (see `fitted`)")

    def model_fields(self, streams: tuple[str, ...]) -> dict[str, Any]:
        """What a model's config has to know of this input."""
        self._settled()
        return {"channels": len(self.std), "n_steps": self.n_steps}

    @property
    def names(self) -> tuple[str, ...]:
        """What each column that a model sees is."""
        return _joined(self._parts(_empty(self.channels)))[1]

    @property
    def vectors(self) -> tuple[Worn, ...]:
        """Which columns belong together, place by place: what an augmentation has to know."""
        self._settled()
        return self._worn()

    # --- use ------------------------------------------------------------------------------------------------------

    def of_clip(self, clip: ClipRef, read: Reader, streams: tuple[str, ...], **_: Any) -> dict[str, np.ndarray]:
        """``imu`` float32 (C, T) and ``imu_mask`` bool (T,) of a clip."""
        stream = "imu" if "imu" in streams else streams[0]
        try:
            x, mask = self(read(clip, stream))
        except InputError as error:
            raise InputError(f"clip '{clip.id}': {error}") from error
        return {"imu": x, "imu_mask": mask}

    def shapes(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Shape and type of each array of :meth:`of_clip`."""
        self._settled()
        return {"imu": ((len(self.std), self.n_steps), np.float32), "imu_mask": ((self.n_steps,), np.bool_)}

    def __call__(self, signal: Signal) -> tuple[np.ndarray, np.ndarray]:
        """``(x_CT float32, mask_T bool)`` with T = ``n_steps``; masked steps are zero.

        Raises InputError for a recording without a channel that is needed, of fewer than 2 samples, or with NaN.
        """
        self._settled()
        x_TC, _ = _joined(self._parts(self._taken(signal)))
        x_TC = (x_TC - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        if self.sampling == "rate":
            names = tuple(f"other_{k}_raw" for k in range(x_TC.shape[1]))
            x_TC = Signal(x_TC, signal.rate_hz, names).resampled(self.rate_hz).values_TC
        if self.sampling == "stretch":
            x_TC = _stretched(x_TC, self.n_steps)
        elif self.sampling == "published":
            x_TC = x_TC[np.arange(self.n_steps) * len(x_TC) // self.n_steps]
        x_TC = x_TC[: self.n_steps]
        full = np.zeros((x_TC.shape[1], self.n_steps), np.float32)
        full[:, : len(x_TC)] = x_TC.T
        return full, np.arange(self.n_steps) < len(x_TC)

    # --- the columns ----------------------------------------------------------------------------------------------

    def _taken(self, signal: Signal) -> Signal:
        """What is used of a recording: the channels chosen, EMG as its envelope. Raises InputError, see calling."""
        if set(self.channels) - set(signal.channels) and _unplaced(self.channels) == _unplaced(signal.channels):
            raise InputError(
                "its sensors measure the same as those that were learnt from, but are worn elsewhere, or where is not "
                f"said: {', '.join(signal.channels)}; expected {', '.join(self.channels)}. Where only the virtual ones "
                "are named, make them again: signloom prepare … --set virtual_imu.joint=worn-on (or "
                "virtual_imu.named=false)"
            )
        signal = signal.select(self.channels)
        if len(signal) < FEWEST_SAMPLES:
            raise InputError(f"its sensors gave {len(signal)} samples, and at least {FEWEST_SAMPLES} are needed")
        if not np.isfinite(signal.values_TC).all():
            row, column = np.argwhere(~np.isfinite(signal.values_TC))[0]
            raise InputError(
                f"channel '{signal.channels[column]}' is {signal.values_TC[row, column]} at sample {row}; repair or "
                "leave out what was not measured"
            )
        columns = [k for k, name in enumerate(signal.channels) if Channel.parse(name).quantity == "emg"]
        if self.emg == "raw" or not columns:
            return signal
        from signloom.transforms.emg import envelope

        values = signal.values_TC.copy()
        values[:, columns] = envelope(values[:, columns], signal.rate_hz)
        return replace(signal, values_TC=values)

    def _parts(self, signal: Signal) -> list[_Part]:
        parts = list(self._measured(signal))
        if self.orientation == "raw":
            return parts
        down = iter(np.reshape(self.down, (-1, 3)) if self.down else ())
        seen = [
            (place, levelled(values[:, :3], values[:, 3:], signal.rate_hz, next(down, None)))
            for place, values in _inertial(signal)
        ]
        if self.orientation == "levelled":
            return parts + [part for place, found in seen for part in _level_parts(place, found)]
        free = [part for p in parts for part in _free_of_axes(p)]
        return free + [part for place, found in seen for part in _upright_parts(place, found)]

    def _measured(self, signal: Signal) -> Iterator[_Part]:
        triples = {k: triple for triple in vectors(signal.channels) for k in triple}
        for k, name in enumerate(signal.channels):
            channel = Channel.parse(name)
            if k not in triples:
                yield _Part(name, signal.values_TC[:, k : k + 1], channel.place, "scalar")
            elif k == triples[k][0]:
                label = f"{channel.place}_{channel.quantity}".lstrip("_")
                yield _Part(label, signal.values_TC[:, list(triples[k])], channel.place, "own")

    def _worn(self) -> tuple[Worn, ...]:
        found: dict[str, tuple[list[int], list[Any], list[Any]]] = {}
        start = 0
        for part in self._parts(_empty(self.channels)):
            columns = range(start, start + part.values_TC.shape[1])
            start = columns.stop
            every, own, level = found.setdefault(part.place, ([], [], []))
            every.extend(columns)
            if part.kind != "scalar":
                (own if part.kind == "own" else level).append(tuple(columns))
        return tuple(Worn(place, *map(tuple, rows)) for place, rows in found.items())


def _level_parts(place: str, found: Levelled) -> list[_Part]:
    """What a level frame adds to what was measured."""
    named = {
        "down": (found.down_TC, "own"),
        "linear": (found.linear_TC, "level"),
        "velocity": (found.velocity_TC, "level"),
        "turning": (found.turning_TC, "level"),
    }
    return [_Part(f"{place}_{n}".lstrip("_"), v.astype(np.float32), place, kind) for n, (v, kind) in named.items()]


def _upright_parts(place: str, found: Levelled) -> list[_Part]:
    """Of each level vector its vertical part, and the length of the horizontal one."""
    parts = []
    for name, v in (("linear", found.linear_TC), ("velocity", found.velocity_TC), ("turning", found.turning_TC)):
        values = np.stack([v[:, 2], np.hypot(v[:, 0], v[:, 1])], 1).astype(np.float32)
        parts.append(_Part(f"{place}_{name}_upright".lstrip("_"), values, place, "scalar"))
    return parts


def _free_of_axes(part: _Part) -> list[_Part]:
    """What of a measured part does not depend on the sensor's axes: a vector's length; EMG and other scalars as they
    are, angles of orientation not at all."""
    if part.kind == "own":
        length = np.linalg.norm(part.values_TC, axis=1, keepdims=True)
        return [_Part(f"{part.name}_length", length, part.place, "scalar")]
    return [] if "_orientation_" in part.name or part.name.startswith("orientation_") else [part]


def _inertial(signal: Signal) -> Iterator[tuple[str, np.ndarray]]:
    """Each place that measures acceleration and rotation along three axes, with both (T, 6)."""
    found: dict[str, dict[str, tuple[int, int, int]]] = {}
    for triple in vectors(signal.channels):
        channel = Channel.parse(signal.channels[triple[0]])
        found.setdefault(channel.place, {})[channel.quantity] = triple
    for place, of in found.items():
        if {"acceleration", "rotation"} <= of.keys():
            yield place, signal.values_TC[:, [*of["acceleration"], *of["rotation"]]]


def _unplaced(channels: Sequence[str]) -> list[str]:
    """What is measured, wherever it is."""
    return sorted(str(replace(Channel.parse(name), place="")) for name in channels)


def _joined(parts: Sequence[_Part]) -> tuple[np.ndarray, tuple[str, ...]]:
    names: list[str] = []
    for part in parts:
        wide = part.values_TC.shape[1]
        names += [part.name] if wide == 1 else [f"{part.name}_{axis}" for axis in "xyz"[:wide]]
    return np.concatenate([part.values_TC for part in parts], 1), tuple(names)


def _empty(channels: Sequence[str]) -> Signal:
    """A recording in which nothing happens, to ask what its columns would be."""
    return Signal(np.zeros((FEWEST_SAMPLES, len(channels)), np.float32), 1.0, tuple(channels))


def _stretched(x_TC: np.ndarray, n: int) -> np.ndarray:
    """All of ``x_TC`` on ``n`` steps: the means of equal shares of it, or points between its samples."""
    t = len(x_TC)
    if n >= t:
        where, rows = np.linspace(0, t - 1, n), np.arange(t)
        return np.stack([np.interp(where, rows, column) for column in x_TC.T], 1).astype(np.float32)
    edges = np.linspace(0, t, n + 1)
    sums = np.concatenate([np.zeros((1, x_TC.shape[1])), np.cumsum(x_TC, 0, dtype=np.float64)])
    at = np.stack([np.interp(edges, np.arange(t + 1), column) for column in sums.T], 1)
    return (np.diff(at, axis=0) * (n / t)).astype(np.float32)


def _difference(first: Sequence[str], other: Sequence[str], row: int) -> str:
    missing = [n for n in first if n not in other]
    more = [n for n in other if n not in first]
    what = f"has no '{missing[0]}'" if missing else f"has '{more[0]}' besides" if more else "has them in another order"
    return (
        f"the training clips' sensors have different channels: clip {row + 1} {what}; the first has "
        f"{', '.join(first)}. Leave out the clips that differ, or choose channels that all have"
    )
