"""WLASL, word-level American Sign Language (Li et al., 2020): the gloss list and the ``nslt_*.json`` subsets.

Frame ranges. ``frame_start`` counts from 1, ``frame_end`` is the last frame included, −1 (or 0) the end; both at 25
frames/s **in the video as downloaded**. The corpus's own preparation cuts YouTube videos to that range, writes each
instance as ``videos/<video_id>.mp4`` and copies clips from other sites whole, and its training code never applies the
range to such a file. So a file named by its video id holds exactly the instance, and applying the range again would
throw most of it away; a file named by its YouTube id is a whole video, and the range must be applied. ``already_cut``
``auto`` decides by that name; ``yes`` and ``no`` say it for all. Boxes are (xmin, ymin, xmax, ymax) in pixels of the
video's own size; leave them out (``boxes=no``) for copies that were resized.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from signloom.data.manifest import Manifest, Record, clip_id
from signloom.errors import InputError
from signloom.sources.listing import VIDEO_SUFFIXES, Wanted, as_bool, list_media, present, split_name
from signloom.sources.tables import read_text

RANGE_FPS = 25.0
PUBLISHED = {
    "nslt_100": {"train": 1442, "val": 338, "test": 258},
    "nslt_300": {"train": 3549, "val": 901, "test": 668},
}
_YOUTUBE = re.compile(r"(?:youtube\.com/(?:watch\?(?:.*&)?v=|embed/|v/)|youtu\.be/)([\w-]{11})")


def read_wlasl(
    root: str | Path,
    *,
    json_file: str | Path | None = None,
    classes: str | Path | None = None,
    already_cut: str | bool = "auto",
    boxes: bool | str = True,
    glosses: int | str | None = None,
    keep_missing: bool | str = False,
) -> Manifest:
    """One record per instance whose video is somewhere below ``root``.

    ``root`` is the folder of the videos, or the JSON file beside them. ``json_file`` is ``WLASL_v0.3.json`` or an
    ``nslt_*.json`` (found in ``root`` unless given); ``classes`` is ``wlasl_class_list.txt`` (number, tab, gloss) for
    the latter, whose labels are otherwise the class numbers. ``glosses`` keeps the first so many glosses (100 →
    WLASL100). ``already_cut`` (auto, yes, no) and ``boxes``: see the module. Ranges that are applied become 0-based and
    half-open, with ``fps`` 25 in the record, since they were counted at that rate; those that are not stay in
    ``extra["source_frames"]``, for the leak auditor. ``source`` is the YouTube video an instance comes from.

    Raises InputError naming the file and the entry that is wrong, and when no listed video is there.
    """
    root = Path(root)
    if root.is_file():
        json_file, root = json_file or root, root.parent
    file = Path(json_file) if json_file is not None else _find_json(root)
    cut = None if already_cut == "auto" else as_bool(already_cut, "already_cut")
    with_boxes = as_bool(boxes, "boxes")
    try:
        content = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise InputError(f"'{file}' is not JSON: {error}") from error
    if isinstance(content, list):
        entries = list(_from_glosses(file, content))
    elif isinstance(content, dict):
        entries = list(_from_nslt(file, content, _class_names(root, file, classes)))
    else:
        raise InputError(f"'{file}': wanted a list of glosses or a table of videos, got {type(content).__name__}")
    if glosses is not None:
        order = list(dict.fromkeys(e["class"] for e in entries))
        if isinstance(content, dict):
            order.sort()
        keep = set(order[: int(glosses)])
        entries = [e for e in entries if e["class"] in keep]
    here: dict[str, list[str]] = {}
    for path in list_media(root, VIDEO_SUFFIXES).files:
        here.setdefault(os.path.splitext(os.path.basename(path))[0], []).append(path)
    wanted = []
    for entry in entries:
        by_id = here.get(entry["video_id"], [])
        by_site = here.get(entry["youtube"], []) if entry["youtube"] else []
        is_cut = cut if cut is not None else bool(by_id) or not by_site
        places = (by_id or by_site) if is_cut else (by_site or by_id)
        record = _record(entry, is_cut, with_boxes)
        wanted.append(Wanted(record, tuple(places) or (f"videos/{entry['video_id']}.mp4",)))
    listing = [p for paths in here.values() for p in paths]
    records, meta = present(
        wanted, root, keep_missing=as_bool(keep_missing, "keep_missing"), what=f"'{file}'", listing=listing
    )
    notes = []
    untouched = sum(r.extra.get("source_frames", [0])[0] > 0 for r in records)
    if untouched:
        notes.append(
            f"{untouched} instances have a frame range that was not applied, because their file is named by its video "
            "id and so holds the instance alone; say already_cut=no if your files are whole videos"
        )
    if any(r.first_frame or r.end_frame for r in records):
        notes.append(
            f"frame ranges were counted at {RANGE_FPS:g} frames/s; `signloom doctor` names videos at other rates"
        )
    meta = {"name": file.stem, "source": "wlasl", "list": file.name, **meta}
    if notes:
        meta["notes"] = notes
    return Manifest(records, root, meta)


def _record(entry: Mapping[str, Any], is_cut: bool, with_boxes: bool) -> Record:
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
    if not is_cut:
        return replace(record, first_frame=first, end_frame=end, fps=RANGE_FPS if (first, end) != (0, None) else None)
    if (first, end) != (0, None):
        return replace(record, extra={**entry["extra"], "source_frames": [first, end]})
    return record


def _range(start: int, last: int, where: str) -> tuple[int, int | None]:
    """1-based inclusive to 0-based half-open."""
    if start < 1 or (last > 0 and last < start):
        raise InputError(
            f"{where}: frame_start {start}, frame_end {last}; wanted 1 ≤ start ≤ end, or end −1 for the last"
        )
    return start - 1, None if last <= 0 else last


def _from_glosses(file: Path, content: list[Any]) -> Iterator[dict[str, Any]]:
    for g, group in enumerate(content):
        try:
            gloss, instances = str(group["gloss"]), group["instances"]
        except (TypeError, KeyError) as error:
            raise InputError(f"'{file}' entry {g}: wanted {{gloss, instances}}, missing {error}") from error
        for i, item in enumerate(instances):
            where = f"'{file}' gloss '{gloss}' instance {i}"
            try:
                video_id = str(item["video_id"])
                found = _YOUTUBE.search(str(item.get("url", "")))
                box = item.get("bbox")
                yield {
                    "video_id": video_id,
                    "class": g,
                    "label": gloss,
                    "signer": _text(item.get("signer_id")),
                    "split": split_name(str(item["split"]), where),
                    "youtube": found.group(1) if found else None,
                    "source": found.group(1) if found else None,
                    "range": _range(int(item.get("frame_start", 1)), int(item.get("frame_end", -1)), where),
                    "box": _box(box, where) if box is not None else None,
                    "extra": {k: item[k] for k in ("variation_id", "instance_id", "source", "url") if k in item},
                }
            except (TypeError, KeyError) as error:
                raise InputError(f"{where}: missing {error}") from error
            except ValueError as error:
                raise error if isinstance(error, InputError) else InputError(f"{where}: {error}") from error


def _from_nslt(file: Path, content: dict[str, Any], names: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    for video_id, item in content.items():
        where = f"'{file}' video '{video_id}'"
        try:
            number, start, last = (int(v) for v in item["action"])
            split = split_name(str(item["subset"]), where)
        except (TypeError, KeyError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{where}: wanted {{subset, action: [class, start, end]}}, got {item}") from error
        if names and number not in names:
            raise InputError(f"{where}: class {number} is not in the class list")
        yield {
            "video_id": video_id,
            "class": number,
            "label": names[number] if names else f"{number:04d}",
            "signer": None,
            "split": split,
            "youtube": None,
            "source": None,
            "range": _range(start, last, where),
            "box": None,
            "extra": {"class": number},
        }


def _box(box: Any, where: str) -> tuple[float, float, float, float]:
    if len(box) != 4 or not (box[0] < box[2] and box[1] < box[3]):
        raise InputError(f"{where}: bbox {box}; wanted [xmin, ymin, xmax, ymax]")
    x0, y0, x1, y1 = (float(v) for v in box)
    return x0, y0, x1, y1


def _text(value: Any) -> str | None:
    return None if value is None or str(value) in ("", "-1") else str(value)


def _find_json(root: Path) -> Path:
    found = sorted([*root.glob("WLASL*.json"), *root.glob("nslt_*.json"), *root.glob("*/WLASL*.json")])
    if len(found) != 1:
        have = f"found {[str(f.relative_to(root)) for f in found]}" if found else "found none"
        raise InputError(f"'{root}': wanted one WLASL_v*.json or nslt_*.json, {have}; give json_file=FILE")
    return found[0]


def _class_names(root: Path, file: Path, classes: str | Path | None) -> dict[int, str]:
    candidates = [Path(classes)] if classes else [d / "wlasl_class_list.txt" for d in (file.parent, root)]
    path = next((c for c in candidates if c.is_file()), None)
    if path is None:
        if classes:
            raise InputError(f"class list '{classes}' does not exist; wanted lines 'number<tab>gloss'")
        return {}
    names = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            cells = line.strip().split(None, 1)
            if len(cells) != 2 or not cells[0].isdigit():
                raise InputError(f"'{path}' line {number} is '{line}'; wanted 'number<tab>gloss'")
            names[int(cells[0])] = cells[1]
    return names
