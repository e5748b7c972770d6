"""Recordings with annotations of ELAN: each annotation of a tier is a clip. So corrections come back as a corpus."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from signloom.data.annotations import SIGNS_TIER, Annotation, read_eaf
from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError
from signloom.sources.listing import VIDEO_SUFFIXES, as_bool, list_media, unique_ids


def read_elan(
    root: str | Path,
    *,
    tier: str | None = None,
    signer: str | None = None,
    licence: str | None = None,
    recordings: bool | str = False,
) -> Manifest:
    """One record per annotation in the ``.eaf`` files below ``root``, or in that one file.

    ``tier`` is the tier of glosses: that called ``signs``, as ``annotate`` writes it, or the only one there is. The
    recording is the first media file that the ``.eaf`` names and that is there, else a video of its own name beside it.
    Annotations without a text are left out. With ``recordings`` there is one record per recording instead, without a
    label, whose ``extra["signs"]`` holds [start_s, end_s, label] of each annotation: what a segmenter learns from.
    Raises InputError where a recording or the tier is not found.
    """
    whole = as_bool(recordings, "recordings")
    root = Path(root)
    folder = root if root.is_dir() else root.parent
    names = list_media(root, {".eaf"}).files if root.is_dir() else [root.name]
    if not names:
        raise InputError(f"there is no .eaf file below '{root}'")
    records, empty = [], 0
    for name in names:
        file = folder / name
        annotations, media = read_eaf(file)
        video = _recording(file, media)
        chosen = _tier(annotations, tier, file)
        stem = PurePosixPath(name).with_suffix("").parts
        signs: list[list[Any]] = []
        for number, a in enumerate((a for a in annotations if a.tier == chosen), start=1):
            if not a.label or a.end_ms <= a.start_ms:
                empty += 1
                continue
            if whole:
                signs.append([a.start_ms / 1000, a.end_ms / 1000, a.label])
                continue
            records.append(
                Record(
                    clip_id([*stem, f"{number:04}"]),
                    a.label,
                    signer,
                    source=str(PurePosixPath(name).with_suffix("")),
                    streams={"video": str(video.resolve())},
                    start_s=a.start_ms / 1000,
                    end_s=a.end_ms / 1000,
                    licence=licence,
                )
            )
        if signs:
            streams = {"video": str(video.resolve())}
            at = str(PurePosixPath(name).with_suffix(""))
            extra = {"signs": signs}
            records.append(
                Record(clip_id(stem), None, signer, source=at, streams=streams, licence=licence, extra=extra)
            )
    if not records:
        raise InputError(f"no annotation with a text in the .eaf files of '{root}'")
    notes = [f"{empty} annotations without a text, or without a length, were left out"] if empty else []
    return Manifest(unique_ids(records), folder, {"name": root.stem, "source": "elan", "notes": notes})


def _tier(annotations: list[Annotation], tier: str | None, file: Path) -> str:
    there = list(dict.fromkeys(a.tier for a in annotations))
    if tier is not None:
        if tier not in there:
            raise InputError(f"'{file}' has no tier '{tier}'; it has {', '.join(there) or 'none'}")
        return tier
    if SIGNS_TIER in there or len(there) <= 1:
        return SIGNS_TIER if SIGNS_TIER in there else "".join(there)
    raise InputError(
        f"'{file}' has several tiers ({', '.join(there)}); say which holds the glosses: --option tier=NAME"
    )


def _recording(file: Path, media: list[str]) -> Path:
    beside = [str(file.with_suffix(suffix)) for suffix in sorted(VIDEO_SUFFIXES)]
    for name in (*media, *(Path(m).name for m in media), *beside):
        if (video := file.parent / name).is_file():
            return video
    raise InputError(
        f"'{file}': its recording is not found ({', '.join(media) or 'it names none'}); put it beside the .eaf file"
    )
