"""Where the sensors' clocks of a corpus stand against its videos': found, told, drawn, and put into a new corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.manifest import FILE_NAME, Manifest, Record, write_manifest
from signloom.data.signal import Channel, Signal
from signloom.data.signal_files import read_signal, write_signal
from signloom.data.skeleton import INDEX, joints_of
from signloom.errors import InputError, MediaError
from signloom.media.sensor_files import read_sensor_file
from signloom.runtime.atomic import atomic_write, write_json
from signloom.runtime.locks import folder_lock
from signloom.runtime.names import file_name
from signloom.runtime.progress import Progress
from signloom.streams.imu import reading
from signloom.transforms.clock import ClockFit, Search, Track, compared, fit_clock, score_at, stretch_of

POSES = ("pose", "skeleton")
"""The streams in which the joint is looked for, by preference."""
NEAREST_JOINT = {
    "right": "right_wrist",
    "left": "left_wrist",
    "right_forearm": "right_wrist",
    "left_forearm": "left_wrist",
    "right_upper_arm": "right_elbow",
    "left_upper_arm": "left_elbow",
    "right_thigh": "right_hip",
    "left_thigh": "left_hip",
}
"""Places that are no joint, and the joint that moves with them. (Of UTD-MHAD's thigh sensors the hip tells more than
the knee, which a Kinect sees badly.)"""
ENOUGH_FOR_STRETCH = 60
"""So many clips, spread over the corpus, tell the stretch of all."""
SHOWN = 4
SEARCH = Search()
_SHOULDERS_M = 0.36  # between the joints of a grown-up's shoulders


@dataclass(frozen=True)
class Synced:
    """What became of a corpus. ``rows`` has one entry a clip, in its order: ``id``, ``status`` (a key of
    ``transforms.clock.STATUSES``, ``failed``, or ``filled`` where it was given what the others have), ``joint``,
    ``offset_s``, ``drift``, ``confidence``, ``before``, ``after``, ``n``; ``message`` where it failed. ``stretch`` is
    (factor, low, high) where the sensors' rates disagree with the span they cover."""

    rows: tuple[dict[str, Any], ...]
    stretch: tuple[float, float, float] | None
    manifest: Manifest | None

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(row["status"] for row in self.rows))

    def as_dict(self) -> dict[str, Any]:
        found = [row for row in self.rows if row["status"] == "ok"]
        offsets = [row["offset_s"] for row in found]
        told: dict[str, Any] = {"clips": len(self.rows), "counts": self.counts, "stretch": None}
        if self.stretch is not None:
            told["stretch"] = dict(zip(("factor", "low", "high"), (round(v, 4) for v in self.stretch)))
        if offsets:
            low, middle, high = np.quantile(offsets, [0.1, 0.5, 0.9])
            told["offset_s"] = {"p10": round(low, 4), "median": round(middle, 4), "p90": round(high, 4)}
            for name in ("before", "after"):
                told[name] = round(float(np.median([row[name] for row in found])), 3)
        return told | {"rows": list(self.rows)}


def sync_corpus(
    manifest: Manifest,
    out: Path | None = None,
    *,
    joint: str | None = None,
    search: Search = SEARCH,
    stretch: bool = True,
    fill: bool = False,
    quiet: bool = False,
) -> Synced:
    """Find the clocks of all clips of ``manifest`` that have sensor and pose; write the corrected corpus to ``out``.

    ``joint`` is where the sensor is worn, for clips whose record does not say (``extra["imu"]["worn_on"]``, or the
    place in the channels' names). With ``stretch``, one factor is looked for that all sensors' time must be stretched
    by. With ``fill``, clips that are refused get that stretch and the median offset of the others; else they stay as
    they were. ``out`` gets ``manifest.jsonl``, ``sync.json`` and ``sync.png``; the input is never changed. Raises
    InputError where no clip has both, or none could be read.
    """
    if out is not None:
        if (manifest.root / FILE_NAME).exists() and out.resolve() == manifest.root.resolve():
            raise InputError(f"--out '{out}' is the corpus itself, which is not changed; give another folder")
        with folder_lock(out):
            return _sync(manifest, out, joint, search, stretch, fill, quiet)
    return _sync(manifest, None, joint, search, stretch, fill, quiet)


def _sync(
    manifest: Manifest, out: Path | None, joint: str | None, search: Search, stretch: bool, fill: bool, quiet: bool
) -> Synced:
    clips = [r for r in manifest if "imu" in r.streams and any(s in r.streams for s in POSES)]
    if not clips:
        have = sorted({s for r in manifest for s in r.streams})
        raise InputError(
            f"no clip of '{manifest.root}' has both a sensor (imu) and a pose ({' or '.join(POSES)}); its streams are "
            f"{', '.join(have) or 'none'}. Poses of videos: signloom prepare … --streams pose"
        )
    read = _Reader(manifest, joint)
    factor = _stretch(clips, read, search, quiet) if stretch else None
    rows = []
    with Progress("sync", len(clips), quiet=quiet) as progress:
        for record in clips:
            rows.append(_row(record, read, factor[0] if factor else 1.0, search))
            progress.step(failed=rows[-1]["status"] == "failed")
    if all(row["status"] == "failed" for row in rows):
        raise InputError(f"none of the {len(rows)} clips could be read; the first: {rows[0]['message']}")
    if fill:
        rows = _filled(rows, clips, read, factor[0] if factor else 1.0)
    done = Synced(tuple(rows), factor, None)
    return done if out is None else _write(manifest, clips, done, read, out)


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Clip:
    """A clip's sensors with the joints that may wear them, and what is known of their clock: its own time is stretched
    by ``1 + drift`` and shifted by ``offset_s`` to be that of the clip. ``begin_s`` is the clip's start in its file."""

    worn: tuple[tuple[str, Track, Signal], ...]
    offset_s: float
    drift: float
    begin_s: float


class _Reader:
    """Tracks and signals of records, as recorded or as prepared."""

    def __init__(self, manifest: Manifest, joint: str | None):
        self.root, self.joint = manifest.root, joint
        self.prepared = "imu" in manifest.meta.get("streams", {})

    def __call__(self, record: Record) -> _Clip:
        about = record.extra.get("imu", {})
        signal = self.signal(record)
        points, present, names, about_track, begin_s = self._pose(record)
        worn = []
        for place, part in _by_place(signal).items():
            asked = about.get("worn_on") or self.joint or place
            if not asked:
                raise InputError(
                    f"clip '{record.id}': it is not known where its sensor is worn. Say it: --joint right_wrist, or in "
                    'its record, extra: {"imu": {"worn_on": "right_wrist"}}'
                )
            joint = NEAREST_JOINT.get(asked, asked)
            if joint not in names:
                raise InputError(
                    f"clip '{record.id}': its pose has no joint '{asked}'; it has {', '.join(names)}; also known: "
                    f"{', '.join(NEAREST_JOINT)}"
                )
            if (about.get("worn_on") or self.joint) and place and NEAREST_JOINT.get(place, place) != joint:
                continue  # another sensor, worn elsewhere
            k = names.index(joint)
            worn.append((joint, Track(points[:, k], present[:, k], *about_track), part))
        if not worn:
            raise InputError(f"clip '{record.id}': none of its channels is of '{about.get('worn_on') or self.joint}'")
        offset_s, drift = (0.0, 0.0) if self.prepared else _known(record)
        return _Clip(tuple(worn), offset_s - begin_s, drift, begin_s)

    def signal(self, record: Record) -> Signal:
        path = self.root / record.streams["imu"]
        if self.prepared:
            return read_signal(path)
        found = read_sensor_file(path, **reading(record.extra.get("imu", {})))
        return Signal(found.values_TC.astype(np.float32), found.rate_hz, found.channels, float(found.times_s[0]))

    def _pose(self, record: Record):
        stream = next(s for s in POSES if s in record.streams)
        if record.timed:
            raise InputError(f"clip '{record.id}': its range is in seconds; signloom prepare turns it into frames")
        first, end = (0, None) if self.prepared else (record.first_frame, record.end_frame)
        path = self.root / record.streams[stream]
        pose = media.read_pose(path, first_frame=first, end_frame=end, fps=record.fps)
        joints = joints_of(pose, person=str(record.extra.get("person", "auto")))
        begin_s = first / joints.fps
        if joints.points_TPC is not None:
            seen = np.isfinite(joints.points_TPC).all(-1)
            return joints.points_TPC, seen, joints.point_names, (joints.fps, (0.0, 1.0, 0.0), 1.0), begin_s
        shoulders = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
        apart = np.linalg.norm(joints.xy_TJC[:, shoulders[0]] - joints.xy_TJC[:, shoulders[1]], axis=1)
        apart = apart[joints.present_TJ[:, shoulders].all(1)]
        unit_m = _SHOULDERS_M / float(np.median(apart)) if len(apart) and np.median(apart) > 0 else None
        return joints.xy_TJC, joints.present_TJ, tuple(INDEX), (joints.fps, None, unit_m), begin_s


def _known(record: Record) -> tuple[float, float]:
    """Offset and drift that the record of a clip tells, 0 where it does not. Raises InputError for what is neither."""
    about = record.extra.get("imu", {})
    offset_s, drift = about.get("offset_s", 0.0), about.get("drift", 0.0)
    if not (isinstance(offset_s, int | float) and isinstance(drift, int | float) and drift > -1):
        raise InputError(
            f"clip '{record.id}': its record says offset_s {offset_s!r} and drift {drift!r} of its sensor; wanted "
            "seconds, and a number above -1"
        )
    return float(offset_s), float(drift)


def _by_place(signal: Signal) -> dict[str, Signal]:
    """The channels of each place that has acceleration or rotation."""
    places: dict[str, list[str]] = {}
    for name in signal.channels:
        channel = Channel.parse(name)
        if channel.quantity in ("acceleration", "rotation"):
            places.setdefault(channel.place, []).append(name)
    if not places:
        raise InputError(f"its sensor has neither acceleration nor rotation, but {', '.join(signal.channels)}")
    return {place: signal.select(names) for place, names in places.items()}


# --- finding ------------------------------------------------------------------------------------------------------


def _stretch(clips: Sequence[Record], read: _Reader, search: Search, quiet: bool) -> tuple[float, float, float] | None:
    """See :func:`signloom.transforms.clock.stretch_of`; of clips that are too short to tell their own drift."""
    spread = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), ENOUGH_FOR_STRETCH)).round().astype(int))
    pairs = []
    for k in spread:
        try:
            clip = read(clips[k])
        except (MediaError, InputError):
            continue  # told with its clip
        _, track, signal = _liveliest(clip)
        rate_hz = signal.rate_hz / (1 + clip.drift)
        at_s = clip.offset_s + (1 + clip.drift) * signal.start_s
        if len(track.points_TC) / track.fps < search.drift_from_s:
            pairs.append((track, replace(signal, rate_hz=rate_hz, start_s=at_s)))
    return stretch_of(pairs, search=search)


def _liveliest(clip: _Clip) -> tuple[str, Track, Signal]:
    return max(clip.worn, key=lambda worn: float(worn[2].values_TC[:, :3].std(0).sum()))


def _row(record: Record, read: _Reader, factor: float, search: Search) -> dict[str, Any]:
    try:
        clip = read(record)
        known = {"offset_s": clip.offset_s, "drift": (1 + clip.drift) * factor - 1}
        fits = [(joint, fit_clock(track, signal, search=search, **known)) for joint, track, signal in clip.worn]
    except (MediaError, InputError) as error:
        reason = getattr(error, "reason", "not-usable")
        return {"id": record.id, "status": "failed", "reason": reason, "message": str(error)}
    joint, fit = max(fits, key=lambda found: found[1].confidence)
    if fit.status != "ok":
        fit = replace(fit, offset_s=clip.offset_s, drift=clip.drift)
    track, signal = next((t, s) for name, t, s in clip.worn if name == joint)
    before = score_at(track, signal, offset_s=clip.offset_s, drift=clip.drift)
    return _told(record.id, joint, replace(fit, offset_s=fit.offset_s + clip.begin_s, before=before))


def _told(id_: str, joint: str, fit: ClockFit) -> dict[str, Any]:
    row = {"id": id_, "joint": joint} | asdict(fit)
    digits = {"offset_s": 4, "drift": 6, "confidence": 3, "before": 3, "after": 3}
    return {k: round(v, digits[k]) if k in digits else v for k, v in row.items()}


def _filled(
    rows: Sequence[dict[str, Any]], clips: Sequence[Record], read: _Reader, factor: float
) -> list[dict[str, Any]]:
    found = [row["offset_s"] for row in rows if row["status"] == "ok"]
    if not found:
        return list(rows)
    middle = round(float(np.median(found)), 4)
    filled = []
    for row, record in zip(rows, clips):
        if row["status"] not in ("ok", "failed"):
            _, drift = (0.0, 0.0) if read.prepared else _known(record)
            row = row | {"status": "filled", "offset_s": middle, "drift": round((1 + drift) * factor - 1, 6)}
        filled.append(row)
    return filled


# --- writing ------------------------------------------------------------------------------------------------------


def _write(manifest: Manifest, clips: Sequence[Record], done: Synced, read: _Reader, out: Path) -> Synced:
    by_id = {row["id"]: row for row in done.rows}
    changed = [_corrected(r, by_id.get(r.id), read, manifest, out) for r in manifest]
    about = {k: v for k, v in done.as_dict().items() if k != "rows"}
    meta = {**manifest.meta, "sync": about}
    if "notes" in meta:  # what asked for this is done
        meta["notes"] = [note for note in meta["notes"] if "signloom sync" not in note]
    corrected = Manifest(tuple(changed), manifest.root, meta)
    write_json(out / "sync.json", done.as_dict())
    draw(clips, done, read, out / "sync.png")
    write_manifest(corrected, out)
    return replace(done, manifest=Manifest(corrected.records, manifest.root, corrected.meta))


def _corrected(record: Record, row: Mapping[str, Any] | None, read: _Reader, manifest: Manifest, out: Path) -> Record:
    if row is None or row["status"] not in ("ok", "filled"):
        return record
    about = {**record.extra.get("imu", {})}
    found = {k: row[k] for k in ("status", "offset_s", "drift", "confidence", "joint")}
    if not read.prepared:
        about |= {"offset_s": row["offset_s"], "drift": row["drift"]}
        return replace(record, extra={**record.extra, "imu": about, "imu_sync": found})
    # A prepared signal has its times from its file: it is written again on the clip's clock.
    signal = read.signal(record)
    start_s = row["offset_s"] + (1 + row["drift"]) * signal.start_s
    signal = replace(signal, rate_hz=signal.rate_hz / (1 + row["drift"]), start_s=start_s)
    if rate_hz := float(manifest.meta["streams"]["imu"].get("rate_hz", 0.0)):
        signal = signal.resampled(rate_hz)
    about["rate_hz"] = round(signal.rate_hz, 6)
    file = out / "imu" / f"{file_name(record.id)}.npz"
    write_signal(file, signal)
    streams = {**record.streams, "imu": str(file.resolve())}
    left = {k: v for k, v in record.extra.get("imu_found", {}).items() if k not in ("longer", "covered")}
    extra = {k: v for k, v in record.extra.items() if k != "imu_found"} | ({"imu_found": left} if left else {})
    return replace(record, streams=streams, extra={**extra, "imu": about, "imu_sync": found})


def draw(clips: Sequence[Record], done: Synced, read: _Reader, file: Path) -> None:
    """Both curves of a few clips before and after, from the surest to the least sure, and a histogram of offsets."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = sorted((k for k, row in enumerate(done.rows) if row["status"] == "ok"), key=_by_confidence(done))
    shown = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, SHOWN).round().astype(int))] if found else []
    figure, axes = pyplot.subplots(len(shown) + 1, 2, figsize=(11, 2.1 * (len(shown) + 1)), squeeze=False)
    for pair, k in zip(axes, shown):
        row, clip = done.rows[k], read(clips[k])
        track, signal = next((t, s) for joint, t, s in clip.worn if joint == row["joint"])
        clocks = {
            "before": (clip.offset_s, clip.drift, row["before"]),
            "after": (row["offset_s"] - clip.begin_s, row["drift"], row["after"]),
        }
        for axis, (when, (offset_s, drift, score)) in zip(pair, clocks.items()):
            seen_s, speed, felt_s, rate = compared(track, signal, offset_s=offset_s, drift=drift)
            axis.plot(seen_s, speed, color="#35618e", label=f"speed of {row['joint']}", linewidth=1)
            axis.plot(felt_s, rate, color="#c0562f", label="sensor", linewidth=1)
            said = (
                f"{row['id']}, {when}: offset {offset_s + clip.begin_s:+.3f} s, drift {drift:+.2%}, score {score:.2f}"
            )
            axis.set_title(said, loc="left", fontsize=8)
            axis.tick_params(labelsize=7)
            axis.set_xlabel("seconds of the clip", fontsize=7)
        pair[0].legend(fontsize=7, loc="upper right")
    for axis, key, name in zip(axes[-1], ("offset_s", "confidence"), ("offset, s", "confidence of all clips")):
        values = [row[key] for row in done.rows if key in row and (key == "confidence" or row["status"] == "ok")]
        axis.hist(values, bins=30, color="#35618e")
        axis.set_title(f"{name}, {len(values)} clips", loc="left", fontsize=8)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    with atomic_write(file) as tmp:
        figure.savefig(tmp, dpi=110, format="png")
    pyplot.close(figure)


def _by_confidence(done: Synced) -> Callable[[int], float]:
    return lambda k: -done.rows[k]["confidence"]
