"""Sensor files that lie beside a video and are called like it: ``take.mp4`` and ``take.csv`` or ``take_imu.mat``."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import replace

from signloom.data.manifest import Manifest
from signloom.media.limits import SENSOR_SUFFIXES
from signloom.media.sensor_files import looks_like_sensor
from signloom.sources.listing import list_media
from signloom.sources.sensors import STREAM
from signloom.sources.spelling import nfc

_WORD = re.compile(r"[_.-](?:imu|inertial|sensors?)$", re.IGNORECASE)
_OF_VIDEO = re.compile(r"[_.-](?:colou?r|rgb|video)$", re.IGNORECASE)


def with_sensors(manifest: Manifest) -> Manifest:
    """``manifest`` with the stream ``imu`` for each whole clip beside whose video or pose its sensor file lies.

    A file that is called exactly like the clip is one where its header says so; one that is called ``…_imu``,
    ``…_inertial`` or ``…_sensors`` is taken at its word. What was taken, and what could not be told, stands in the
    notes.
    """
    beside: dict[str, list[str]] = defaultdict(list)
    for path in list_media(manifest.root, SENSOR_SUFFIXES).files:
        beside[nfc(_WORD.sub("", os.path.splitext(path)[0]))].append(path)
    if not beside:
        return manifest
    records, taken, torn = [], [], []
    for record in manifest:
        main = record.streams.get("video") or record.streams.get("pose")
        if main is None or STREAM in record.streams or record.range != (0, None):
            records.append(record)
            continue
        stem = nfc(os.path.splitext(main)[0])
        found = [
            path
            for name in dict.fromkeys((stem, _OF_VIDEO.sub("", stem)))
            for path in beside.get(name, ())
            if _WORD.search(os.path.splitext(path)[0]) or looks_like_sensor(manifest.root / path)
        ]
        if len(found) == 1:
            taken.append(found[0])
            record = replace(record, streams={**record.streams, STREAM: found[0]})
        elif found:
            torn.append(f"'{found[0]}' and '{found[1]}'")
        records.append(record)
    notes = []
    if taken:
        notes.append(
            f"{len(taken)} of {len(records)} clips have a sensor file of the same name, taken as their stream "
            f"'{STREAM}', the first '{taken[0]}' (--option imu=no leaves them; imu.rate_hz=50 says their rate)"
        )
    if torn:
        notes.append(f"{len(torn)} clips have several sensor files of the same name, and none is taken: {torn[0]}")
    meta = {**manifest.meta, "notes": [*manifest.meta.get("notes", ()), *notes]} if notes else manifest.meta
    return Manifest(tuple(records), manifest.root, meta)
