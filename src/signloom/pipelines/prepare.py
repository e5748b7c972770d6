"""From raw clips to the streams that models read, over a whole corpus: resumable, each clip in a worker of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from signloom import media
from signloom.data.consent import carried
from signloom.data.failures import write_failures
from signloom.data.manifest import FILE_NAME, Manifest, Record, read_manifest, write_manifest
from signloom.data.stream import Stream
from signloom.errors import InputError, NothingPreparedError
from signloom.pipelines.partnered import apart_notes, nearly_partners
from signloom.runtime import once
from signloom.runtime.hashing import file_stamp, fingerprint_hash
from signloom.runtime.locks import locking_out
from signloom.runtime.workers import Job, Outcome, map_clips
from signloom.sources.picture_names import odd_folders
from signloom.streams import STREAMS, makeable, part_of, parts_to_ask_for, recordings, stream_type, streams_named
from signloom.streams.clips import prepare_clip, start_of
from signloom.streams.pose_cleaning import pose_notes
from signloom.streams.sensor_notes import sensor_notes

LIMITS = media.Limits()


@dataclass(frozen=True, init=False)
class Preparation:
    """What to make of each clip: streams by name, in the order in which a record tells of them.

    ``pose`` is found where the clip is video, and imported where it is a ``.pose`` file or a landmark table. Raises
    InputError for streams that there are not, and for streams without those that they are made of.
    """

    streams: Mapping[str, Stream]
    limits: media.Limits

    def __init__(
        self,
        streams: Mapping[str, Stream] | Iterable[str] = ("pose",),
        limits: media.Limits = LIMITS,
        **settings: Any,
    ):
        """``streams`` may be names: they are then made with ``settings``: ``shorter_px``, ``crf``, ``keyframe_every``,
        and ``estimator``, ``flow`` and ``crop`` (:class:`HolisticPose`, :class:`Flow`, :class:`SignerCrop`)."""
        if not isinstance(streams, Mapping):
            streams = streams_to_make(streams, _by_stream(**settings))
        elif settings:
            raise TypeError(f"{', '.join(settings)} go with the names of streams; these are made already")
        object.__setattr__(self, "streams", dict(streams))
        object.__setattr__(self, "limits", limits)
        for name, stream in self.streams.items():
            for need in parts_to_ask_for(stream):
                if need not in self.streams:
                    raise InputError(f"stream '{name}' needs stream '{need}': add '{need}' to --streams")
                if part_of(stream, need) not in (None, self.streams[need]):
                    raise InputError(f"stream '{name}' is made of a '{need}' with other settings than '{need}' itself")

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """For each stream made from video, what makes it."""
        return {
            name: self.streams[name].fingerprint() for name in _listed(self.streams) if not self.streams[name].imported
        }


def streams_to_make(names: Iterable[str], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Stream]:
    """:func:`signloom.streams.streams_named` for streams that can be made. Raises InputError for others, and none."""
    names = tuple(dict.fromkeys(names))
    unknown = [s for s in names if s not in makeable()]
    if unknown or not names:
        raise InputError(f"streams: got {', '.join(unknown) or 'none'}, expected some of {', '.join(makeable())}")
    return streams_named(names, settings)


def _by_stream(
    *, estimator: Any = None, flow: Any = None, crop: Any = None, **shared: Any
) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {
        "pose": asdict(estimator) if estimator else {},
        "flow": asdict(flow) if flow else {},
        "signer": {**(asdict(crop) if crop else {}), **{k: v for k, v in shared.items() if k == "keyframe_every"}},
        "frames": shared,
    }
    return {name: own for name, own in settings.items() if own}


def _listed(names: Iterable[str]) -> list[str]:
    """``names`` in the order of the table; those that it does not know (a program's own) come last."""
    table = list(STREAMS)
    return sorted(names, key=lambda name: table.index(name) if name in STREAMS else len(table))


@locking_out
def prepare_corpus(
    manifest: Manifest,
    out: Path,
    preparation: Preparation,
    *,
    workers: int | None = None,
    timeout_s: float = 600.0,
    ray_address: str | None = None,
    quiet: bool = False,
) -> tuple[Manifest, list[Outcome]]:
    """Prepare every clip of ``manifest`` into the folder ``out`` and return the new corpus and all outcomes.

    Resumable: what a killed run finished is kept, and the result is the same bytes. Streams that ``out`` already has
    are not made again, and those not asked for now stay in the manifest. Clips that fail are left out of the new
    manifest and listed with their reasons in ``failures.jsonl``. Inputs are never changed.
    Raises NothingPreparedError when no clip could be prepared.
    """
    if not manifest.records:
        raise InputError(f"'{manifest.root}' has no clip to prepare")
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() == manifest.root.resolve() and (out / "manifest.jsonl").exists():
        raise InputError(f"--out '{out}' is the corpus itself; inputs are never changed, so choose another folder")
    earlier = read_manifest(out) if (out / FILE_NAME).exists() else None
    manifest = carried(manifest, earlier)
    made: Mapping[str, Any] = {}
    if any("video" in r.streams for r in manifest):
        made = preparation.fingerprints()
        for stream in preparation.streams.values():
            stream.check()
    try:
        outcomes = map_clips(
            prepare_clip,
            _jobs(manifest, out, preparation, made),
            workers=workers,
            timeout_s=timeout_s,
            journal=out / "journal.jsonl",
            ray_address=ray_address,
            whole=lambda value: all((out / p).exists() for p in value["streams"].values()),
            title="prepare",
            quiet=quiet,
        )
    finally:
        recordings.let_go()
    once.clear(out)
    outcomes = _made_alike(outcomes)
    records, failures, streams = _sorted_out(manifest, outcomes, out, preparation)
    write_failures(out, failures)
    if not records:
        reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(f["reason"] for f in failures).most_common())
        raise NothingPreparedError(
            f"none of the {len(failures)} clips of '{manifest.root}' could be prepared ({reasons}); "
            f"the first: {failures[0]['message']}. Run: signloom doctor {manifest.root}",
            failures,
        )
    meta = {k: v for k, v in manifest.meta.items() if k not in ("streams", "failed")}
    videos = {r.id: manifest.root / r.streams["video"] for r in manifest if "video" in r.streams}
    told = pose_notes({r.id: r.extra["pose_found"] for r in records if "pose_found" in r.extra})
    told += sensor_notes({r.id: r.extra["imu_found"] for r in records if "imu_found" in r.extra})
    if told := [*told, *odd_folders(videos), *apart_notes(manifest, records), *nearly_partners(manifest)]:
        meta["notes"] = [*(n for n in meta.get("notes", ()) if n not in told), *told]
    if earlier is not None:
        records, streams = _with_earlier(records, streams, earlier)
    prepared = Manifest(tuple(records), out, {**meta, "streams": streams, "failed": len(failures)})
    write_manifest(prepared, out)
    return prepared, outcomes


def _jobs(manifest: Manifest, out: Path, preparation: Preparation, made: Mapping[str, Any]) -> list[Job]:
    """One for each clip; those that are cut from one file are a group, in order of their start."""
    files = {r.id: manifest.root / r.streams[start] for r in manifest if (start := start_of(r)) is not None}
    shared = recordings.shared_files((r, files[r.id]) for r in manifest if r.id in files)
    jobs = []
    for r in manifest:
        several = files.get(r.id) in shared
        args = (r, manifest.root, out, preparation.streams, preparation.limits, made, out if several else None)
        stamp = _stamp(r, manifest.root, made, preparation)
        start = r.start_s if r.start_s is not None else r.first_frame / (r.fps or media.DEFAULT_FPS)
        jobs.append(Job(r.id, args, stamp, group=str(files[r.id]) if several else "", place=start))
    return jobs


def _sorted_out(
    manifest: Manifest, outcomes: Sequence[Outcome], out: Path, preparation: Preparation
) -> tuple[list[Record], list[dict[str, Any]], dict[str, Any]]:
    """The records of the clips that went well, the rows of those that did not, and the streams' fingerprints."""
    records: list[Record] = []
    failures: list[dict[str, Any]] = []
    streams: dict[str, Any] = {}
    replaced = {*makeable(), *preparation.streams}
    for record, outcome in zip(manifest, outcomes):
        if outcome.value is not None and outcome.ok:
            value = outcome.value
            streams |= value["fingerprints"]
            kept = {n: str((manifest.root / p).resolve()) for n, p in record.streams.items() if n not in replaced}
            records.append(
                replace(
                    record.cut_to(value["first_frame"], value["end_frame"]) if record.timed else record,
                    streams={**kept, **{n: str((out / p).resolve()) for n, p in value["streams"].items()}},
                    n_frames=value["n_frames"],
                    fps=value["fps"],
                    content=value["content"],
                    extra={**record.extra, "seen": value["seen"], **value.get("extra", {})},
                )
            )
        else:
            file = next(iter(record.streams.values()), None)
            failures.append({"id": record.id, "file": file, "reason": outcome.reason, "message": outcome.message})
    return records, failures, streams


def _with_earlier(
    records: Sequence[Record], streams: Mapping[str, Any], earlier: Manifest
) -> tuple[list[Record], dict[str, Any]]:
    """``records`` and fingerprints with the streams that the corpus had before and that were not made now.

    Only for the same clip: the same bytes, cut and number of frames. A stream made now in another way takes the place
    of the earlier one.
    """

    def same_clip(a: Record, b: Record) -> bool:
        return all(
            getattr(a, f) == getattr(b, f) for f in ("content", "first_frame", "end_frame", "box_px", "n_frames", "fps")
        )

    before = {r.id: r for r in earlier}
    also = {s: made for s, made in earlier.meta.get("streams", {}).items() if s in makeable() and s not in streams}
    if "flow" in streams and also.get("flow_view", {}).get("flow") != streams["flow"]:
        also.pop("flow_view", None)  # it shows another flow
    if "pose" in streams and also.get("pose_view", {}).get("pose") != streams["pose"]:
        also.pop("pose_view", None)  # it shows another pose
    if "pose" in streams and also.get("virtual_imu", {}).get("pose") != streams["pose"]:
        also.pop("virtual_imu", None)  # it is of another pose
    merged, used = [], set()
    for record in records:
        old = before.get(record.id)
        if old is not None and same_clip(record, old):
            paths = {s: (earlier.root / old.streams[s]).resolve() for s in also if s in old.streams}
            kept = {s: str(path) for s, path in paths.items() if path.exists()}
            about = {"seen": record.extra.get("seen") or old.extra.get("seen") or {}}
            told = [k for s in kept for k in stream_type(s).extra_fields if k != "seen"]
            about |= {k: old.extra[k] for k in told if k in old.extra}
            record = replace(record, streams={**record.streams, **kept}, extra={**record.extra, **about})
            used |= set(kept)
        merged.append(record)
    together = {**{s: made for s, made in also.items() if s in used}, **streams}
    return merged, {s: together[s] for s in _listed(together)}


def _stamp(record: Record, root: Path, made: Mapping[str, Any], preparation: Preparation) -> str:
    start = start_of(record)
    beside = start != "depth" and "depth" in record.streams and "depth" in preparation.streams
    return fingerprint_hash(
        file_stamp(root / record.streams[start]) if start else "",
        record.first_frame,
        record.end_frame,
        *((record.start_s, record.end_s) if record.timed else ()),
        record.box_px,
        made,
        _imported(record, preparation),
        *([file_stamp(root / record.streams["depth"]), record.extra.get("depth")] if beside else ()),
        sorted(preparation.streams),
        *_own_files(record, root, preparation),
        # How long a clip may take does not shape what is made of it.
        {k: v for k, v in asdict(preparation.limits).items() if k != "max_seconds"},
    )


def _imported(record: Record, preparation: Preparation) -> list[Any]:
    """What shapes a clip that is imported; nothing for clips of video."""
    if start_of(record) in (None, "video"):
        return []
    others = {name: repr(stream) for name, stream in preparation.streams.items() if name != "pose"}
    pose = [record.extra.get("person", "auto"), getattr(preparation.streams.get("pose"), "ghosts", "drop")]
    return pose + ([others, record.extra.get("imu"), record.extra.get("depth")] if others else [])


def _own_files(record: Record, root: Path, preparation: Preparation) -> list[Any]:
    """What shapes the streams of a clip that have files of their own."""
    return [
        (name, stream.fingerprint(), file_stamp(root / record.streams[name]), record.extra.get(name))
        for name, stream in preparation.streams.items()
        if stream.imported and name in record.streams
    ]


def _made_alike(outcomes: list[Outcome]) -> list[Outcome]:
    """Fail the clips of which an imported stream was made otherwise than most: one model cannot read both."""
    for stream, reason in (("pose", "other-estimator"), ("imu", "other-channels")):
        kinds = Counter(kind for o in outcomes if (kind := _kind(o, stream)) is not None)
        if len(kinds) < 2:
            continue
        usual = kinds.most_common(1)[0][0]
        checked = []
        for outcome in outcomes:
            kind = _kind(outcome, stream)
            if kind not in (None, usual):
                message = (
                    f"clip '{outcome.id}': its {stream} is {kind}, most clips' is {usual}; prepare them as separate "
                    "corpora"
                )
                outcome = Outcome(outcome.id, reason=reason, message=message)
            checked.append(outcome)
        outcomes = checked
    return outcomes


def _kind(outcome: Outcome, stream: str) -> str | None:
    """How ``stream`` was made of a clip that went well and has it, as text."""
    if not outcome.ok or outcome.value is None or stream not in outcome.value["fingerprints"]:
        return None
    return json.dumps(outcome.value["fingerprints"][stream], sort_keys=True)
