"""A virtual sensor: what one on a limb would have measured, computed from the clip's pose, and labelled as that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from signloom.data.signal import Signal
from signloom.data.signal_files import read_signal, write_signal
from signloom.data.skeleton import INDEX, Joints, shoulder_width_px
from signloom.data.stream import ClipInfo, File, Stream, Timed
from signloom.errors import InputError, MediaError
from signloom.streams.pose import PoseStream
from signloom.transforms.virtual_imu import LIMBS, QUANTITIES, virtual_imu

WORN_ON = "worn-on"
"""The joint that the clip's record says its sensor is worn on."""


@dataclass(frozen=True)
class VirtualImuStream(Stream):
    """A virtual sensor on ``joint``: acceleration and turning computed from the pose, on a clock of its own.

    ``joint`` is one of :data:`LIMBS`, several with commas, or "worn-on": where the clip's record says that its sensor
    is (``extra["imu"]["worn_on"]``). Channels are those of a real sensor, so that a model that learnt from virtual ones
    goes on with real ones: ``right_wrist_acceleration_x_g`` …, or without the place where ``named`` is off or ``joint``
    is "worn-on". How it is made :mod:`signloom.transforms.virtual_imu` tells: x points along the bone, and how the limb
    turns about that is not known and left out.

    Measured skeletons give true units. Of poses in pictures, metres are those at which the shoulders are
    ``shoulders_m`` wide, and depth is taken as 0. ``cutoff_hz`` is where the smoothing passes half of a motion: a
    Kinect's joints tremble so that at 8 Hz accelerations are twice a real sensor's, at 4 Hz 1.1 times (medians over 84
    clips of UTD-MHAD's training subjects, wrist; turning speed correlates .80 with the gyroscope's, acceleration along
    the arm .80 with the accelerometer's). Samples are float32 (C,).
    """

    pose: PoseStream = field(default_factory=PoseStream)
    joint: str = "right_wrist"
    rate_hz: float = 50.0
    cutoff_hz: float = 4.0
    shoulders_m: float = 0.38
    named: bool = True
    name = "virtual_imu"
    suffix = ".npz"
    clock = "own"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if self.joint != WORN_ON and (unknown := [j for j in self.joint.split(",") if j not in LIMBS]):
            raise InputError(
                f"virtual_imu.joint: got '{unknown[0]}', expected '{WORN_ON}' or some of {', '.join(LIMBS)}"
            )
        if not self.named and "," in self.joint:
            raise InputError(f"virtual_imu.named: sensors on {self.joint} need names; leave it on, or choose one joint")
        for name in ("rate_hz", "cutoff_hz", "shoulders_m"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"virtual_imu.{name}: got {getattr(self, name)}, expected a number above 0")

    @property
    def requires(self) -> tuple[str, ...]:
        return ()

    @property
    def requires_whole(self) -> tuple[str, ...]:
        return ("pose",)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels, as a real sensor's are named."""
        if self.joint == WORN_ON or not self.named:
            return QUANTITIES
        return tuple(f"{place}_{quantity}" for place in self.joint.split(",") for quantity in QUANTITIES)

    def fingerprint(self) -> dict[str, Any]:
        return {
            "extractor": "virtual-imu",
            "joint": self.joint,
            "rate_hz": self.rate_hz,
            "cutoff_hz": self.cutoff_hz,
            "shoulders_m": self.shoulders_m,
            "named": self.named,
            "frame": "along the bone, never turning about it",
            "pictures": "depth 0",
            "pose": self.pose.fingerprint(),
            "version": self.version,
        }

    def open(self, info: ClipInfo) -> _AtTheEnd:
        """Raises MediaError where the pose does not have the limb, or not for long enough."""
        return _AtTheEnd(self.values(info), self.rate_hz)

    def values(self, info: ClipInfo) -> np.ndarray:
        """The signal of a clip whose pose is complete, float32 (N, C). Errors as :meth:`open`."""
        places = (info.worn_on or "",) if self.joint == WORN_ON else tuple(self.joint.split(","))
        made = []
        for place in places:
            if place not in LIMBS:
                raise MediaError(
                    f"clip '{info.id}': its record says that its sensor is worn on {info.worn_on or 'nothing'}; wanted "
                    f"extra['imu']['worn_on'] of {', '.join(LIMBS)}, or give --set virtual_imu.joint=right_wrist",
                    "no-place",
                )
            start, end, share = LIMBS[place]
            try:
                bone_T23, down = self._bone(info.complete["pose"], start, end)
                settings: dict[str, Any] = {"share": share, "down": down, "cutoff_hz": self.cutoff_hz}
                made.append(virtual_imu(bone_T23[:, 0], bone_T23[:, 1], info.fps, self.rate_hz, **settings))
            except InputError as error:
                raise MediaError(f"clip '{info.id}', {place}: {error}", "no-signer") from error
        return np.concatenate(made, 1)

    def _bone(self, joints: Joints, start: str, end: str) -> tuple[np.ndarray, tuple[float, float, float]]:
        """Both ends (T, 2, 3) in metres, NaN where they were not found, and where gravity points."""
        names = joints.point_names
        if joints.points_TPC is not None and start in names and end in names:
            return joints.points_TPC[:, [names.index(start), names.index(end)]], (0.0, -1.0, 0.0)
        if start not in INDEX or end not in INDEX:
            raise InputError(f"poses in pictures have no {start if start not in INDEX else end}")
        width_px = shoulder_width_px(joints)
        if not width_px:
            raise InputError("both shoulders are never seen, so nothing tells how large the signer is")
        ends = [INDEX[start], INDEX[end]]
        flat_T22 = joints.xy_TJC[:, ends] * (self.shoulders_m / width_px)
        bone_T23 = np.concatenate([flat_T22, np.zeros((*flat_T22.shape[:2], 1))], -1)
        return np.where(joints.present_TJ[:, ends, None], bone_T23, np.nan), (0.0, 1.0, 0.0)

    @contextmanager
    def writer(self, file: Path, info: ClipInfo) -> Iterator[Callable[[np.ndarray], None]]:
        samples: list[np.ndarray] = []
        yield samples.append
        write_signal(file, self.gather(samples, info))

    def read(self, file: File, rows: np.ndarray | Sequence[int] | None = None) -> Signal:
        signal = read_signal(file)
        return signal if rows is None else signal[np.asarray(rows)]

    def gather(self, samples: Sequence[Any], info: ClipInfo) -> Signal:
        values = np.stack(samples) if len(samples) else np.zeros((0, len(self.channels)), np.float32)
        return Signal(values, self.rate_hz, self.channels)


class _AtTheEnd:
    def __init__(self, values_NC: np.ndarray, rate_hz: float):
        self._values, self._rate_hz = values_NC, rate_hz

    def push(self, time_s: float, samples: Mapping[str, Any]) -> list[Timed]:
        return []

    def close(self) -> list[Timed]:
        return [Timed(k / self._rate_hz, row) for k, row in enumerate(self._values)]
