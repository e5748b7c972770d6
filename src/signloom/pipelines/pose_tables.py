"""Poses of corpora and pose files, written for other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from signloom import media
from signloom.data.corpus import clips_of
from signloom.data.manifest import read_manifest
from signloom.data.pose_tables import FORMATS
from signloom.data.skeleton import Joints, joints_of
from signloom.errors import InputError, MediaError
from signloom.runtime.names import file_name
from signloom.streams import streams_of
from signloom.streams.pose_cleaning import clean_pose


@dataclass(frozen=True)
class Written:
    """One pose: where its files are, or why there is none."""

    id: str
    files: tuple[Path, ...] = ()
    error: str = ""


def write_pose_tables(sources: Sequence[Path], out: Path, formats: Sequence[str]) -> Iterator[Written]:
    """Write the poses of ``sources``, corpora or .pose files, below ``out``, as each of ``formats`` (:data:`FORMATS`).

    Files are named by the clip; of two poses of one name the second is an error and is not written. Poses of files are
    cleaned as ``prepare`` does. One bad pose costs none of the others.
    Raises InputError for a source that is neither.
    """
    written: dict[str, Path] = {}
    for source in sources:
        for name, read in _poses(source):
            if first := written.get(file_name(name)):
                error = f"'{first}' has a pose of that name as well, which is kept; give '{source}' another --out"
                yield Written(name, error=error)
                continue
            written[file_name(name)] = source
            try:
                joints = read()
                yield Written(name, tuple(FORMATS[f](out / f"{file_name(name)}.{f}", joints) for f in formats))
            except (MediaError, InputError) as error:
                yield Written(name, error=str(error))


def _poses(source: Path) -> Iterator[tuple[str, Callable[[], Joints]]]:
    if source.suffix == ".pose" and source.is_file():
        yield source.stem, lambda: joints_of(clean_pose(media.read_pose(source)).pose)
    elif (source / "manifest.jsonl").is_file():
        corpus = read_manifest(source)
        stream = streams_of({"pose": corpus.fingerprint("pose")})["pose"]
        for clip in clips_of(corpus, "writing poses"):
            yield clip.id, partial(clip.read, stream)
    else:
        raise InputError(
            f"'{source}' is neither a corpus nor a .pose file. Poses of videos: signloom prepare {source} --out corpus/"
        )
