"""Signs with their times in a recording: as ELAN's ``.eaf``, WebVTT, CSV and JSON, and read again from ``.eaf``.

Times are whole milliseconds, as ELAN keeps them, so that nothing is lost on the way there and back.
EAF 3.0: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree

from signloom.errors import InputError
from signloom.runtime.atomic import atomic_write
from signloom.runtime.text import json_line

SIGNS_TIER = "signs"
FORMATS = ("eaf", "vtt", "csv", "json")
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".mpg": "video/mpeg"}


@dataclass(frozen=True)
class Annotation:
    """A sign from ``start_ms`` to ``end_ms`` of a recording. ``confidence`` and ``unknown`` are a recogniser's, from 0
    to 1, and None of what a person wrote."""

    start_ms: int
    end_ms: int
    label: str
    tier: str = SIGNS_TIER
    confidence: float | None = None
    unknown: float | None = None


def write_annotations(
    file: Path, annotations: Sequence[Annotation], media_file: Path | None = None, *, made: datetime | None = None
) -> Path:
    """Write ``annotations`` as the ending of ``file`` says (:data:`FORMATS`), whole or not at all.

    ``media_file`` is the recording, which an ``.eaf`` names; ``made`` its date. Raises InputError for another ending.
    """
    kind = file.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise InputError(f"'{file}': got the ending '{file.suffix}', expected one of .{', .'.join(FORMATS)}")
    ordered = sorted(annotations, key=lambda a: (a.start_ms, a.end_ms))
    if kind == "eaf":
        text = _eaf(ordered, media_file, file, made or datetime.now(UTC))
    else:
        text = {"vtt": _vtt, "csv": _csv, "json": _json}[kind](ordered)
    with atomic_write(file) as tmp:
        tmp.write_bytes(text.encode("utf-8", "surrogateescape" if kind != "eaf" else "strict"))
    return file


def read_eaf(file: Path) -> tuple[list[Annotation], list[str]]:
    """The annotations with times in an ``.eaf`` of any version, in order, and the media files that it names.

    Annotations that only refer to others have no times of their own, and take theirs. Raises InputError for what is no
    ``.eaf``, and for an annotation that names a time slot without a time.
    """
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise InputError(f"'{file}' is no ELAN file: {error}") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(f"'{file}' is no ELAN file: its first element is '{root.tag}', expected ANNOTATION_DOCUMENT")
    factor = {"milliseconds": 1.0, "NTSC-frames": 1001 / 30, "PAL-frames": 40.0}
    header = root.find("HEADER")
    units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if units not in factor:
        raise InputError(f"'{file}': times are in '{units}', expected one of {', '.join(factor)}")
    slots = {s.get("TIME_SLOT_ID"): s.get("TIME_VALUE") for s in root.iter("TIME_SLOT")}
    times: dict[str | None, tuple[int, int]] = {}
    found = []
    waiting = []
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID") or ""
        for element in tier.iter("ALIGNABLE_ANNOTATION"):
            ends = [slots.get(element.get(f"TIME_SLOT_REF{k}")) for k in (1, 2)]
            if None in ends:
                continue  # subdivided evenly: ELAN itself keeps no time of it
            start_ms, end_ms = (round(float(end or 0) * factor[units]) for end in ends)
            times[element.get("ANNOTATION_ID")] = start_ms, end_ms
            found.append(Annotation(start_ms, end_ms, _value(element), name))
        waiting += [(name, element) for element in tier.iter("REF_ANNOTATION")]
    for name, element in waiting:
        if (of := times.get(element.get("ANNOTATION_REF"))) is not None:
            times[element.get("ANNOTATION_ID")] = of
            found.append(Annotation(*of, _value(element), name))
    media = [
        d.get("RELATIVE_MEDIA_URL") or d.get("MEDIA_URL") or "" for d in (header if header is not None else ())
        if d.tag == "MEDIA_DESCRIPTOR"
    ]  # fmt: skip
    absolute = [d.get("MEDIA_URL") or "" for d in (header if header is not None else ()) if d.tag == "MEDIA_DESCRIPTOR"]
    urls = [unquote(urlparse(url).path) if "://" in url else unquote(url) for url in (*media, *absolute) if url]
    return sorted(found, key=lambda a: (a.start_ms, a.end_ms, a.tier)), list(dict.fromkeys(urls))


def _value(element: ElementTree.Element) -> str:
    return (element.findtext("ANNOTATION_VALUE") or "").strip()


def _eaf(annotations: Sequence[Annotation], media_file: Path | None, file: Path, made: datetime) -> str:
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "signloom",
            "DATE": made.isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _XSI,
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ElementTree.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if media_file is not None:
        where = {
            "MEDIA_URL": media_file.resolve().as_uri(),
            "MIME_TYPE": _MIME.get(media_file.suffix.lower(), "unknown"),
        }
        if media_file.resolve().is_relative_to(file.resolve().parent):
            relative = media_file.resolve().relative_to(file.resolve().parent)
            where["RELATIVE_MEDIA_URL"] = "./" + relative.as_posix()
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", where)
    last = ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(len(annotations))
    order = ElementTree.SubElement(document, "TIME_ORDER")
    # Two of its own for each annotation, as ELAN makes them: moving one must not move its neighbour.
    ends = sorted((ms, end, k) for k, a in enumerate(annotations) for end, ms in enumerate((a.start_ms, a.end_ms)))
    slot = {(k, end): f"ts{n}" for n, (_, end, k) in enumerate(ends, start=1)}
    for ms, end, k in ends:
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot[k, end], "TIME_VALUE": str(ms)})
    number = 0
    for name in dict.fromkeys([SIGNS_TIER, *(a.tier for a in annotations)]):
        tier = ElementTree.SubElement(document, "TIER", {"LINGUISTIC_TYPE_REF": "sign", "TIER_ID": _xml(name)})
        for k, a in ((k, a) for k, a in enumerate(annotations) if a.tier == name):
            number += 1
            where = {"TIME_SLOT_REF1": slot[k, 0], "TIME_SLOT_REF2": slot[k, 1]}
            held = ElementTree.SubElement(tier, "ANNOTATION")
            held = ElementTree.SubElement(held, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}", **where})
            ElementTree.SubElement(held, "ANNOTATION_VALUE").text = _xml(a.label)
    kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "sign", "TIME_ALIGNABLE": "true"}
    ElementTree.SubElement(document, "LINGUISTIC_TYPE", kind)
    ElementTree.indent(document)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(document, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """``text`` without what XML cannot hold, each as a question mark."""
    return _NOT_IN_XML.sub("?", text)


def _vtt(annotations: Sequence[Annotation]) -> str:
    def clock(ms: int) -> str:
        return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"

    cues = ["WEBVTT\n"]
    for a in annotations:
        text = re.sub(r"\s+", " ", a.label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{clock(a.start_ms)} --> {clock(a.end_ms)}\n{text}\n")
    return "\n".join(cues)


def _csv(annotations: Sequence[Annotation]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["start_s", "end_s", "label", "tier", "confidence", "unknown"])
    for a in annotations:
        numbers = ["" if v is None else f"{v:.4f}" for v in (a.confidence, a.unknown)]
        table.writerow([f"{a.start_ms / 1000:.3f}", f"{a.end_ms / 1000:.3f}", a.label, a.tier, *numbers])
    return text.getvalue()


def _json(annotations: Sequence[Annotation]) -> str:
    rows = [
        {
            "start_s": a.start_ms / 1000,
            "end_s": a.end_ms / 1000,
            "label": a.label,
            "tier": a.tier,
            "confidence": a.confidence,
            "unknown": a.unknown,
        }
        for a in annotations
    ]
    return json_line(rows, indent=1) + "\n"
