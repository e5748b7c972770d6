"""WLASL, word-level American Sign Language (Li et al., 2020): the gloss list and the ``nslt_*.json`` subsets.

Frame ranges. ``frame_start`` counts from 1 (a 0 is taken for 1), ``frame_end`` is the last frame included, −1 (or 0)
the end; both at the list's ``fps``, which is 25 throughout, **in the video as downloaded**, which may have another rate
today. So frames a to b are the time from (a − 1) / fps to b / fps, and ``prepare`` cuts the frames of that time out of
the file that is there. ``nslt_*.json`` hold ranges of the same list and no rate; they are taken at 25 too. ``rate``
says otherwise: a number, or ``file`` for frames of the file as it is. The corpus's own preparation cuts YouTube videos
to that range, writes each instance as ``videos/<video_id>.mp4`` and copies clips from other sites whole, and its
training code never applies the range to such a file. So a file named by its video id holds exactly the instance, and
applying the range again would throw most of it away; a file named by its YouTube id is a whole video, and the range
must be applied. ``already_cut`` ``auto`` decides by that name; ``yes`` and ``no`` say it for all. Boxes are (xmin,
ymin, xmax, ymax) in pixels of the video's own size; leave them out (``boxes=no``) for copies that were resized.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError
from signloom.runtime.text import lines_of
from signloom.sources.listing import Wanted, as_bool, present
from signloom.sources.ranges import fps_of
from signloom.sources.tables import read_text
from signloom.sources.wlasl_lists import instances_of_glosses, instances_of_subset
from signloom.sources.wlasl_videos import Videos, stem_of

PUBLISHED = {
    "nslt_100": {"train": 1442, "val": 338, "test": 258},
    "nslt_300": {"train": 3549, "val": 901, "test": 668},
}


def read_wlasl(
    root: str | Path,
    *,
    json_file: str | Path | None = None,
    classes: str | Path | None = None,
    already_cut: str | bool = "auto",
    boxes: bool | str = True,
    rate: float | str | None = None,
    glosses: int | str | None = None,
    spelling: str = "any",
    keep_missing: bool | str = False,
) -> Manifest:
    """One record per instance whose video is somewhere below ``root``.

    ``root`` is the folder of the videos, or the JSON file beside them. ``json_file`` is ``WLASL_v0.3.json`` or an
    ``nslt_*.json`` (found in ``root`` unless given); ``classes`` is ``wlasl_class_list.txt`` (number, tab, gloss) for
    the latter, whose labels are otherwise the class numbers. ``glosses`` keeps the first so many glosses (100 →
    WLASL100). ``already_cut`` (auto, yes, no), ``boxes`` and ``rate``: see the module. Ranges that are applied become
    seconds (``rate=file``: frames). All stay in ``extra["source_frames"]``, 0-based and half-open, with their rate in
    ``extra["source_fps"]``, for the leak auditor. ``source`` is the YouTube video an instance comes from. Files may be
    named as downloaders do (``Title [ID].mp4``), and ids in the list may have lost their leading zeros, unless
    ``spelling=exact``.

    Raises InputError naming the file and the entry that is wrong, and when no listed video is there.
    """
    root = Path(root)
    if root.is_file():
        json_file, root = json_file or root, root.parent
    if spelling not in ("any", "exact"):
        raise InputError(f"option 'spelling' is '{spelling}'; wanted any or exact")
    file, notes = _list_file(root, json_file)
    cut = None if already_cut == "auto" else as_bool(already_cut, "already_cut")
    with_boxes = as_bool(boxes, "boxes")
    fixed_rate = None if rate in (None, "file") else fps_of(str(rate), "option 'rate'")
    entries = _entries(root, file, classes, glosses)
    videos = Videos(root, {e["video_id"] for e in entries}, numbers=spelling == "any")
    wanted = []
    for entry in entries:
        by_id, by_site = videos.by_id(entry["video_id"]), videos.by_site(entry["youtube"])
        if by_id:
            entry["video_id"] = stem_of(by_id[0])
        is_cut = cut if cut is not None else bool(by_id) or not by_site
        places = (by_id or by_site) if is_cut else (by_site or by_id)
        record = _record(entry, is_cut, with_boxes, None if rate == "file" else fixed_rate or entry["fps"])
        wanted.append(Wanted(record, tuple(places) or (f"videos/{entry['video_id']}.mp4",)))
    records, meta = present(
        wanted, root, keep_missing=as_bool(keep_missing, "keep_missing"), what=f"'{file}'", listing=videos.listing
    )
    notes += [*videos.notes(), *_range_notes(entries, records, rate)]
    meta = {"name": file.stem, "source": "wlasl", "list": file.name, **meta}
    if notes:
        meta["notes"] = notes
    return Manifest(records, root, meta)


def lists_in(root: Path) -> tuple[list[Path], list[Path]]:
    """The whole lists and the subsets that lie in ``root`` or a folder in it."""
    whole, subsets = ([*root.glob(name), *root.glob(f"*/{name}")] for name in ("WLASL*.json", "nslt_*.json"))
    return sorted(whole), sorted(subsets)


def _list_file(root: Path, json_file: str | Path | None) -> tuple[Path, list[str]]:
    """The list to read: the one given, the one whole list, or the one subset; and a note on those beside it."""
    if json_file is not None:
        beside = root / json_file
        return (beside if beside.is_file() else Path(json_file)), []
    whole, subsets = lists_in(root)
    if len(whole) == 1 or (not whole and len(subsets) == 1):
        chosen, *others = [*whole, *subsets]
        if not others:
            return chosen, []
        names = ", ".join(str(f.relative_to(root)) for f in others)
        note = (
            f"the list is '{chosen.name}', which holds all; subsets of it are there too ({names}): read one with "
            f"--option json_file={others[0].relative_to(root)}"
        )
        return chosen, [note]
    have = f"found {[str(f.relative_to(root)) for f in whole or subsets]}" if whole or subsets else "found none"
    raise InputError(f"'{root}': wanted one WLASL_v*.json or nslt_*.json, {have}; say which: --option json_file=FILE")


def _entries(root: Path, file: Path, classes: str | Path | None, glosses: int | str | None) -> list[dict[str, Any]]:
    """What the list says of each instance, of the first so many ``glosses``."""
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, InputError) else InputError(f"'{file}' is not JSON: {error}") from error
    if isinstance(content, list):
        entries = list(instances_of_glosses(file, content))
    elif isinstance(content, dict):
        entries = list(instances_of_subset(file, content, _class_names(root, file, classes)))
    else:
        raise InputError(f"'{file}': wanted a list of glosses or a table of videos, got {type(content).__name__}")
    if not entries:
        raise InputError(f"'{file}' lists no video")
    if glosses is None:
        return entries
    if not str(glosses).isdecimal() or int(glosses) < 1:
        raise InputError(f"option 'glosses' is '{glosses}'; wanted how many of the first glosses, e.g. 100")
    order = list(dict.fromkeys(e["class"] for e in entries))
    if isinstance(content, dict):
        order.sort()
    keep = set(order[: int(glosses)])
    return [e for e in entries if e["class"] in keep]


def _range_notes(
    entries: Sequence[Mapping[str, Any]], records: Sequence[Record], rate: float | str | None
) -> list[str]:
    """What became of the frame ranges."""
    notes = []
    zeros = sum(e["from_zero"] for e in entries)
    if zeros:
        notes.append(f"{zeros} frame ranges start at 0, though the list counts from 1: taken as from the first frame")
    applied = [r for r in records if r.timed or r.first_frame or r.end_frame is not None]
    untouched = sum(r.extra.get("source_frames", [0])[0] > 0 for r in records) - sum(
        r.extra.get("source_frames", [0])[0] > 0 for r in applied
    )
    if untouched:
        notes.append(
            f"{untouched} instances have a frame range that was not applied, because their file is named by its video "
            "id and so holds the instance alone; say already_cut=no if your files are whole videos"
        )
    if applied and rate == "file":
        notes.append(f"{len(applied)} frame ranges are taken as frames of the files, at whatever rate those have")
    elif applied:
        rates = {f"{float(r.extra['source_fps']):g}" for r in applied} if rate is None else {f"{float(rate):g}"}
        whose = "" if rate is not None else " (the list's rate)" if entries[0]["has_fps"] else " (the list states none)"
        notes.append(
            f"{len(applied)} frame ranges are counted at {', '.join(sorted(rates))} frames/s{whose} and cut by time "
            "from videos of any rate; --option rate=file takes them as frames of the file"
        )
    return notes


def _record(entry: Mapping[str, Any], is_cut: bool, with_boxes: bool, rate: float | None) -> Record:
    """``rate``: that at which the range is counted; None: the file's."""
    first, end = entry["range"]
    record = Record(
        id=clip_id([entry["video_id"]]),
        label=entry["label"],
        signer=entry["signer"],
        source=entry["source"],
        split=entry["split"],
        box_px=entry["box"] if with_boxes else None,
        extra=entry["extra"],
    )
    if (first, end) == (0, None):
        return record
    record = replace(record, extra={**entry["extra"], "source_frames": [first, end], "source_fps": entry["fps"]})
    if is_cut:
        return record
    if rate is None:
        return replace(record, first_frame=first, end_frame=end)
    return replace(record, start_s=first / rate if first else None, end_s=None if end is None else end / rate)


def _class_names(root: Path, file: Path, classes: str | Path | None) -> dict[int, str]:
    candidates = [Path(classes)] if classes else [d / "wlasl_class_list.txt" for d in (file.parent, root)]
    path = next((c for c in candidates if c.is_file()), None)
    if path is None:
        if classes:
            raise InputError(f"class list '{classes}' does not exist; wanted lines 'number<tab>gloss'")
        return {}
    names = {}
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        if line.strip():
            cells = line.strip().split(None, 1)
            if len(cells) != 2 or not cells[0].isdecimal():
                raise InputError(f"'{path}' line {number} is '{line}'; wanted 'number<tab>gloss'")
            names[int(cells[0])] = cells[1]
    return names
