"""The sheet of a generator: what it measures beside baselines, and the painted clips to look at.

One HTML page that holds everything it shows, as :mod:`signloom.report.page`.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from signloom.media import import_cv2, write_video
from signloom.report.footage import MAX_FPS, MAX_SECONDS
from signloom.report.markup import Column, Number, flat, folded, key_values, name_of, table, text_of
from signloom.report.page import MAX_BYTES, Section, whole_page
from signloom.report.words import Results, count, overlap_lines
from signloom.runtime.atomic import atomic_write
from signloom.runtime.numbers import number_of

PANEL_PX = 256  # a picture's side in the clips
PART_PX = 96  # a face's or hand's side among the stills
_CRF = 24

# Name, decimals, unit, and what is best, by measure.
_MEASURES = {
    "psnr": ("PSNR", 2, " dB", "higher is better"),
    "ssim": ("SSIM", 3, "", "1 is best"),
    "ms_ssim": ("Multi-scale SSIM", 3, "", "1 is best"),
    "gradient_ratio": ("Sharpness", 2, " ×", "gradient energy of the real frames; 1 is as sharp"),
    "lattice": (
        "Lattice",
        3,
        "",
        "share of fine detail that repeats every 4 pixels; best is what the real frames have",
    ),
    "lpips": ("LPIPS", 3, "", "0 is best"),
    "fid": ("FID", 1, "", "0 is best; of the number of frames below it, and too high where they are few"),
    "warp_error": ("Warp error", 4, "", "what optical flow does not explain, mean absolute"),
    "flicker": ("Flicker", 4, "", "change of fine detail from frame to frame, mean absolute"),
    "hand_rate": ("Hands found", 3, "", "share of the hands wanted"),
    "pck_05": ("Hand keypoints within .05", 3, "", "shoulder widths; share of those wanted"),
    "pck_10": ("Hand keypoints within .1", 3, "", "shoulder widths; share of those wanted"),
    "pck_20": ("Hand keypoints within .2", 3, "", "shoulder widths; share of those wanted"),
}
_AREAS = {"full": "Whole frame", "face": "Face", "hands": "Hands"}
_OWN_STYLE = """<style>
.big.painted { font-size: clamp(2.6rem, 2rem + 3vw, 4rem); white-space: nowrap; }
.side-by-side { margin: 1.6rem 0 0; } .side-by-side video { display: block; width: 100%; max-width: 48rem;
  background: #0e1013; border-radius: 6px; }
.stills { display: grid;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.4rem; margin: 1.2rem 0 0; }
.still { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; overflow: hidden; }
.still img { display: block; width: 100%; } .still .cuts { display: grid; gap: 2px; margin-top: 2px;
  grid-template-columns: repeat(auto-fit, minmax(5.5rem, 1fr)); }
</style>"""


@dataclass(frozen=True)
class Still:
    """One frame to look at: pose (as a stick figure), painted, real, and its ``parts`` as (painted, real); all RGB."""

    title: str
    pose: np.ndarray
    painted: np.ndarray
    real: np.ndarray
    parts: Sequence[tuple[np.ndarray, np.ndarray]] = ()


@dataclass(frozen=True)
class PaintFootage:
    """A clip to look at: ``rows`` gives (pose, painted, real) frame by frame, uint8 (S, S, 3) RGB."""

    id: str
    fps: float
    rows: Callable[[], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]]
    stills: Sequence[Still] = field(default_factory=list)


def write_paint_page(
    results: Results,
    out_html: str | Path,
    footage: Sequence[PaintFootage] = (),
    *,
    embed_clips: bool = True,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Write what ``measure_clips`` found, and ``footage``, as one self-contained HTML page; returns its path.

    Each clip plays pose, painted and real frames side by side, its first ten seconds, as far as the page stays below
    ``max_bytes``; those that do not fit leave a remark. ``embed_clips=False`` leaves out all pictures of people.
    ``results`` may also hold ``title``, ``about`` (plain values), ``signloom_version`` and ``created``.
    """
    sections: list[Section] = [
        ("pictures", "Frame by frame", _pictures(results)),
        ("motion", "From frame to frame", _motion(results)),
        ("hands", "As a pose", _pose(results)),
        ("clips", "Clip by clip", _clips(results)),
    ]
    about = key_values(flat(results.get("about") or {}), "What it was painted with")
    last: list[Section] = [("about", "How this was made", about + _notes(results))]
    first: list[Section] = []
    if embed_clips and footage:
        room = max_bytes - len(_page(results, [*sections, *last]).encode())
        first = [("footage", "Painted and real", _footage(footage, room))]
    file = Path(out_html)
    with atomic_write(file) as tmp:
        page = _page(results, [s for s in (*first, *sections, *last) if s[2]])
        tmp.write_text(page, encoding="utf-8", errors="replace")
    return file


def _page(results: Results, sections: Sequence[Section]) -> str:
    seen = results.get("overlap") or {}
    new = seen.get("known") in ("all", "partly") and not (seen["trained_on"] or seen["validated_on"] or seen["derived"])
    kicker = f"Generator · {count(results['n_clips'], 'clip')}, {count(results['n_frames'], 'frame')}"
    kicker += " held out" if new else ""
    return whole_page(results, results.get("title") or "Painted signer", kicker, _summary(results), sections)


# --- figures ------------------------------------------------------------------------------------------------------


def _figure(results: Mapping[str, Any], who: str, area: str, name: str) -> Mapping[str, Any]:
    return results["figures"].get(who, {}).get(area, {}).get(name) or {}


def _number(entry: Mapping[str, Any], name: str) -> Number:
    _, digits, _, _ = _MEASURES[name]
    value = number_of(entry)
    if value is None:
        return Number("–", None)
    low, high = entry.get("low"), entry.get("high")
    note = f"{low:.{digits}f}–{high:.{digits}f}" if low is not None and high is not None else ""
    if name == "fid":
        note = count(entry["n"], "frame")
    return Number(f"{value:.{digits}f}", value, note)


def _baselines(results: Results) -> list[str]:
    return [who for who in results["figures"] if who not in ("painted", "real")]


def _summary(results: Results) -> str:
    shown = _number(_figure(results, "painted", "full", "psnr"), "psnr")
    sentences = []
    for name in ("psnr", "ssim"):
        label, digits, unit, _ = _MEASURES[name]
        ours = number_of(_figure(results, "painted", "full", name))
        others = {who: number_of(_figure(results, who, "full", name)) for who in _baselines(results)}
        known = {who: value for who, value in others.items() if value is not None}
        if ours is None or not known:
            continue
        best = max(known, key=lambda who: known[who])
        verdict = "above" if ours > known[best] else "not above"
        sentences.append(
            f"{label} is {ours:.{digits}f}{unit}, {verdict} the best of what is had without painting: the {best}, "
            f"{known[best]:.{digits}f}{unit}."
        )
    sharp = [
        f"{text} {value:.2f}"
        for area, text in _AREAS.items()
        if (value := number_of(_figure(results, "painted", area, "gradient_ratio"))) is not None
    ]
    if sharp:
        sentences.append(f"Gradient energy as a multiple of the real frames': {', '.join(sharp).lower()}.")
    said = "".join(f'<p class="plain">{text_of(sentence)}</p>' for sentence in sentences)
    what = "PSNR on whole frames" + (f"; 95% interval {shown.note}" if shown.note else "")
    return (
        f'{_OWN_STYLE}<div class="headline"><div>'
        f'<p class="big painted">{text_of(shown.text)}<small>&nbsp;dB</small></p>'
        f'<p class="big-what">{text_of(what)}</p></div><div>{said}</div></div>'
        f"{_learnt_from(results)}"
        '<ul class="warnings"><li>The painted pictures and clips on this page are generated: no camera saw '
        "them.</li></ul>"
    )


def _learnt_from(results: Results) -> str:
    return "".join(f'<p class="quiet">{text_of(sentence)}</p>' for sentence in overlap_lines(results))


def _pictures(results: Results) -> str:
    people = ["painted", *_baselines(results), "real"]
    taken = {a: [n for n in _MEASURES if any(_figure(results, who, a, n) for who in people)] for a in _AREAS}
    html = ""
    for area, heading in _AREAS.items():
        if not results["figures"]["painted"].get(area):
            continue
        rows: list[list[str | Number]] = [
            [name_of(who), *(_number(_figure(results, who, area, n), n) for n in taken[area])]
            for who in people
            if area in results["figures"].get(who, {})
        ]
        columns = [Column(""), *(Column(_MEASURES[n][0] + _MEASURES[n][2], number=True) for n in taken[area])]
        html += f"<h3>{heading}</h3>" + table(columns, rows)
    notes = "; ".join(f"{_MEASURES[n][0]}: {_MEASURES[n][3]}" for n in taken["full"])
    parts = "Face and hands are squares of a quarter of the frame's side, found from the pose."
    return f'<p class="scope">{text_of(notes)}. {parts} Small figures: 95% intervals.</p>{html}'


def _motion(results: Results) -> str:
    rows: list[list[str | Number]] = []
    for name, ratio in (("warp_error", "warp_ratio"), ("flicker", "flicker_ratio")):
        ours, own = (_figure(results, who, "motion", name) for who in ("painted", "real"))
        if not ours:
            continue
        times = number_of(_figure(results, "painted", "motion", ratio))
        label, _, _, note = _MEASURES[name]
        rows.append(
            [
                f"{label}<br><small>{note}</small>",
                _number(ours, name),
                _number(own, name),
                Number("–" if times is None else f"{times:.2f}", times),
            ]
        )
    if not rows:
        return ""
    columns = [Column(""), *(Column(c, number=True) for c in ("Painted", "Real clip's own", "Painted / real"))]
    about = "A picture that stands still has neither: both say something only beside the real clip's own."
    return f'<p class="scope">{about}</p>{table(columns, rows, narrow=True)}'


def _pose(results: Results) -> str:
    rows: list[list[str | Number]] = []
    for name in ("hand_rate", "pck_05", "pck_10", "pck_20"):
        ours, own = (_figure(results, who, "pose", name) for who in ("painted", "real"))
        a, b = number_of(ours), number_of(own)
        if a is None or b is None:
            continue
        label, _, _, note = _MEASURES[name]
        times = a / b if b else None
        share = Number("–" if times is None else f"{times:.2f}", times)
        rows.append([f"{label}<br><small>{note}</small>", _number(ours, name), _number(own, name), share])
    if not rows:
        return ""
    columns = [Column(""), *(Column(c, number=True) for c in ("In painted frames", "In real frames", "Painted / real"))]
    about = "Keypoints found anew in the painted frames and in the real ones, against the pose that was to be painted."
    return f'<p class="scope">{about}</p>{table(columns, rows, narrow=True)}'


def _clips(results: Results) -> str:
    if len(results["clips"]) < 2:
        return ""
    wanted = [("full", "psnr"), ("full", "ssim"), ("face", "ssim"), ("hands", "ssim"), ("hands", "gradient_ratio")]
    columns = [
        Column("Clip"),
        Column("Frames", number=True),
        *(Column(f"{_MEASURES[n][0]}, {_AREAS[a].lower()}", number=True) for a, n in wanted),
    ]
    rows: list[list[str | Number]] = []
    for clip in results["clips"]:
        cells = [_number({"value": number_of(_figure(clip, "painted", a, n))}, n) for a, n in wanted]
        rows.append([name_of(clip["id"]), Number(f"{clip['n_frames']:,}", clip["n_frames"]), *cells])
    return folded("All clips", table(columns, rows, sortable=True), is_open=len(rows) <= 20)


def _notes(results: Results) -> str:
    return f'<p class="quiet after">Intervals: {text_of(results["interval"])}. Means are over all frames.</p>'


# --- footage ------------------------------------------------------------------------------------------------------


def _footage(footage: Sequence[PaintFootage], room: int) -> str:
    html = (
        '<p class="scope">Left: the pose. Middle: painted from it, never filmed. Right: what was filmed. '
        "Below, faces and hands enlarged: painted, then real.</p>"
        '<p class="quiet">This page holds footage of a person, and pictures made in their likeness. Pass it on only as '
        "far as they agreed to; the same page can be made without.</p>"
    )
    room -= len(html)
    for clip in footage:
        stills = "".join(map(_still, clip.stills))
        if len(stills) > room:
            stills = '<p class="quiet">Stills left out: the page has reached its size limit.</p>'
        room -= len(stills)
        video = _video(clip, room)
        room -= len(video)
        html += f'<div class="side-by-side"><h3>{name_of(clip.id)}</h3>{video}<div class="stills">{stills}</div></div>'
    return html


def _video(clip: PaintFootage, room: int) -> str:
    step = max(1, round(clip.fps / MAX_FPS))
    fps = clip.fps / step

    def rows() -> Iterator[np.ndarray]:
        for row in islice(clip.rows(), 0, max(1, int(MAX_SECONDS * clip.fps)), step):
            yield np.concatenate([_square(picture, PANEL_PX) for picture in row], 1)

    with tempfile.TemporaryDirectory(prefix="signloom-paint-page-") as folder:
        file = Path(folder) / "clip.mp4"
        write_video(file, rows(), fps, crf=_CRF, keyframe_every=50, metadata={"comment": "generated by signloom"})
        data = base64.b64encode(file.read_bytes()).decode()
    if len(data) > room:
        return '<p class="quiet">The clip is left out: the page has reached its size limit.</p>'
    about = f"{clip.id}: pose, painted and real side by side"
    return (
        f'<video controls muted loop playsinline preload="metadata" aria-label="{text_of(about)}" '
        f'src="data:video/mp4;base64,{data}"></video>'
    )


def _still(still: Still) -> str:
    whole = np.concatenate([_square(p, PANEL_PX) for p in (still.pose, still.painted, still.real)], 1)
    cuts = "".join(
        _picture(np.concatenate([_square(p, PART_PX * 2) for p in pair], 1), f"{still.title}, a part: painted, real")
        for pair in still.parts
    )
    return (
        f'<figure class="still">{_picture(whole, f"{still.title}: pose, painted, real")}<div class="cuts">{cuts}</div>'
        f"<figcaption>{text_of(still.title)}</figcaption></figure>"
    )


def _picture(picture_HWC: np.ndarray, about: str) -> str:
    done, data = import_cv2().imencode(".webp", picture_HWC[..., ::-1], [import_cv2().IMWRITE_WEBP_QUALITY, 90])
    assert done
    return f'<img alt="{text_of(about)}" src="data:image/webp;base64,{base64.b64encode(data.tobytes()).decode()}">'


def _square(picture_HWC: np.ndarray, side_px: int) -> np.ndarray:
    cv2 = import_cv2()
    how = cv2.INTER_AREA if len(picture_HWC) > side_px else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(picture_HWC), (side_px, side_px), interpolation=how)
