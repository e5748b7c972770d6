"""The report: one HTML page that holds everything it shows and asks nothing of any network.

Styles, script, drawings and footage are all inside the file; a content security policy forbids the rest. It is written
for two readers: one who wants to know in a sentence whether this works, and one who wants every number behind it.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from signloom.errors import InputError
from signloom.report.confusions import Pair, closest_calls, hardest_pairs
from signloom.report.figures import scale_line
from signloom.report.footage import MAX_CLIP_BYTES, SmallClip, small_copy, source_of
from signloom.report.look import SCRIPT, STYLE
from signloom.report.markup import name_of, text_of
from signloom.report.sections import (
    confidence_section,
    confusions_section,
    curve_section,
    failures_section,
    folds_section,
    fusion_section,
    making_section,
    provenance_section,
    scope,
    settings_section,
    signers_section,
    signs_section,
    streams_section,
)
from signloom.report.signals import signal_drawing
from signloom.report.words import (
    Results,
    count,
    cross_validation,
    entry_of,
    headline,
    headline_sentences,
    interval,
    n_classes,
    overlap_lines,
    percent,
    signer_names,
    split_phrase,
    warnings,
)
from signloom.runtime.atomic import atomic_write
from signloom.runtime.numbers import number_of

MAX_BYTES = 8_000_000
MAX_CLIPS = 24
ClipVideos = Callable[[Mapping[str, Any]], Any]
Section = tuple[str, str, str]  # anchor, heading, HTML

_SECURITY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def write_report(
    results: Results,
    out_html: str | Path,
    *,
    clip_videos: ClipVideos | None = None,
    embed_clips: bool = True,
    max_clips: int = MAX_CLIPS,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Write ``results`` (of an evaluation or a cross-validation) as one self-contained HTML page; returns its path.

    The hardest pairs of signs are shown with up to ``max_clips`` small copies of their footage, in so far as the page
    stays below ``max_bytes``; ``embed_clips=False`` leaves all footage out. A clip's footage is read from its
    ``video`` entry (with ``first_frame``, ``end_frame``, ``box_px``), or from what ``clip_videos(clip)`` returns: a
    path, or None; what its sensors measured is drawn from its ``sensor`` entry. Footage that is missing or broken
    leaves a remark in its place.

    The page names signers and clips as the results do; the corpus' place on disk and the clips' paths stay out of it.
    Raises InputError when even without footage the page would not fit into ``max_bytes``.
    """
    for rows in (2000, 300, 40):
        before, after = _sections(results, rows)
        size = _bytes(_assemble(results, [*before, *after]))
        if size <= max_bytes:
            break
    else:
        raise InputError(
            f"report '{out_html}': the page needs {size:,} bytes without any footage; max_bytes is {max_bytes:,}. "
            f"Allow at least {size:,}"
        )
    pairs = _pairs_section(results, clip_videos, max_clips if embed_clips else 0, max_bytes - size)
    page = _assemble(results, [*before, *pairs, *after])
    if _bytes(page) > max_bytes:  # even the captions were too much
        page = _assemble(results, [*before, *after])
    file = Path(out_html)
    with atomic_write(file) as tmp:
        tmp.write_text(page, encoding="utf-8", errors="replace")
    return file


def _sections(results: Results, rows: int) -> tuple[list[Section], list[Section]]:
    """What stands before and what after the clips."""
    before = [
        ("folds", "Fold by fold", folds_section(results)),
        ("curve", "How many clips are needed", curve_section(results)),
        ("fusion", "Fusion", fusion_section(results)),
        ("streams", "Stream by stream", streams_section(results)),
        ("signers", "Signer by signer", signers_section(results)),
        ("confusions", "What is taken for what", confusions_section(results, rows)),
    ]
    after = [
        ("signs", "Sign by sign", signs_section(results, rows)),
        ("confidence", "How far to trust its confidence", confidence_section(results)),
        ("failed", "Clips that could not be used", failures_section(results, rows)),
        ("settings", "Settings", settings_section(results)),
        ("data", "Where the data came from", provenance_section(results)),
        ("made", "How this was made", making_section(results)),
    ]
    return [s for s in before if s[2]], [s for s in after if s[2]]


def _assemble(results: Results, sections: Sequence[Section]) -> str:
    kind = "Cross-validation" if cross_validation(results) else "Evaluation"
    return whole_page(
        results,
        results.get("title") or "Evaluation",
        f"{kind} · {split_phrase(results)}",
        _summary(results),
        sections,
    )


def whole_page(results: Results, title: str, kicker: str, summary: str, sections: Sequence[Section]) -> str:
    """The page around ``summary`` (HTML) and ``sections``: head, links, footer, styles and script.

    Of ``results`` only ``signloom_version`` and ``created`` are read.
    """
    links = "".join(f'<li><a href="#{anchor}">{text_of(heading)}</a></li>' for anchor, heading, _ in sections)
    body = "".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-heading"><h2 id="{anchor}-heading">{text_of(heading)}</h2>'
        f"{html}</section>\n"
        for anchor, heading, html in sections
    )
    version = f" {results['signloom_version']}" if results.get("signloom_version") else ""
    date = f", {str(results['created'])[:10]}" if results.get("created") else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_SECURITY}">
<meta name="generator" content="signloom{text_of(version)}">
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{text_of(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the results</a>
<header class="top">
<p class="kicker">{text_of(kicker)}</p>
<h1>{name_of(title)}</h1>
</header>
<main id="main">
<section class="first" aria-label="Summary">{summary}
<nav aria-label="On this page"><ul>{links}</ul></nav></section>
{body}</main>
<footer><p>Made by signloom{text_of(version + date)}. This file is complete in itself: it loads nothing and sends
nothing.</p></footer>
<script>{SCRIPT}</script>
</body>
</html>
"""


# Summary --------------------------------------------------------------------------------------------------------------


def _summary(results: Results) -> str:
    first = headline(results)
    chance = number_of((results.get("metrics") or {}).get("chance"))
    sentences = headline_sentences(results) or ["These results hold no accuracy."]
    said = "".join(f'<p class="plain">{text_of(sentence)}</p>' for sentence in sentences)
    said += "".join(f'<p class="quiet">{text_of(sentence)}</p>' for sentence in overlap_lines(results)[:1])
    keys = ["band: 95% interval"] if interval(first) else []
    keys += [f"tick: chance, {percent(chance)}"] if chance is not None else []
    figure = percent(first["value"])
    shown = f"{text_of(figure[:-1])}<small>%</small>" if figure.endswith("%") else text_of(figure)
    what = f"{first['what']}, on {split_phrase(results)}"
    what += f"; 95% interval {interval(first)}" if interval(first) else ""
    return (
        f'<div class="headline"><div><p class="big">{shown}</p><p class="big-what">{text_of(what)}</p>'
        f'{scale_line(first, chance)}<p class="key">{text_of(" · ".join(keys))}</p></div><div>{said}</div></div>'
        f"{_facts(results)}{_warnings(results)}"
    )


def _facts(results: Results) -> str:
    metrics, folds, k = results.get("metrics") or {}, cross_validation(results), n_classes(results)
    facts: list[tuple[str, str, str]] = []
    if folds:
        facts.append(("Hardest fold", percent(folds["worst"]["top1"]), str(folds["worst"]["held_out"])))
        if folds.get("seed_spread") is not None:
            facts.append(("Spread over seeds", f"±{percent(folds['seed_spread'])}", count(folds["n_seeds"], "seed")))
    for top in (5, 10):
        entry = entry_of(metrics.get(f"top{top}"))
        if entry["value"] is not None and top < k:  # with no more signs than guesses every clip is a hit
            facts.append((f"Top-{top}", percent(entry["value"]), interval(entry)))
    for name, key in (("Top-1 over signs", "top1_per_class"), ("Macro F1", "macro_f1")):
        entry = entry_of(metrics.get(key) or (folds or {}).get(key))
        if entry["value"] is not None:
            facts.append((name, percent(entry["value"]), interval(entry)))
    if metrics.get("ece") is not None:
        facts.append(("Calibration error", percent(metrics["ece"]), "0% is best"))
    if metrics.get("chance") is not None:
        majority = number_of(metrics.get("majority"))
        common = f"commonest sign: {percent(majority)}" if majority is not None else ""
        facts.append(("Guessing", percent(metrics["chance"]), common))
    measured = [
        count(n, name)
        for n, name in ((metrics.get("n_clips"), "clip"), (k, "sign"), (len(signer_names(results)), "signer"))
        if n
    ]
    if measured:
        facts.append(("Measured", measured[0], ", ".join(measured[1:])))
    cells = "".join(
        f"<div><dt>{text_of(name)}</dt><dd>{text_of(value)}<small>{text_of(note)}</small></dd></div>"
        for name, value, note in facts
    )
    return f'<dl class="facts">{cells}</dl>' if facts else ""


def _warnings(results: Results) -> str:
    items = "".join(f"<li>{text_of(warning)}</li>" for warning in warnings(results))
    return f'<ul class="warnings" aria-label="Before trusting these numbers">{items}</ul>' if items else ""


# Clips ----------------------------------------------------------------------------------------------------------------


def _pairs_section(results: Results, clip_videos: ClipVideos | None, max_clips: int, room: int) -> list[Section]:
    """The hardest pairs with as much of their footage as fits into ``room`` bytes; empty without clips to speak of."""
    clips = list(results.get("clips") or [])
    at_most = max(1, max_clips // 3) if max_clips > 0 else MAX_CLIPS // 3
    pairs = hardest_pairs(clips, at_most)
    calls = not pairs
    if calls:
        pairs = closest_calls(clips, min(4, at_most))
    if not pairs:
        return []
    if max_clips > 0:
        empty = "".join(_pair(pair, {}, calls) for pair in pairs)
        embedded = _embed(pairs, clip_videos, max_clips, room - 2 * _bytes(empty) - 4_000)
    else:
        embedded = None
    n_shown = sum(1 for small in (embedded or {}).values() if small.data)
    if calls:
        intro = "No clip was missed. These came closest to it, each beside recognised clips of the two signs."
    else:
        intro = "A missed clip, and beside it recognised clips of both signs, by the same signer where there are any."
    privacy, slow = "This report holds no footage.", ""
    if embedded is not None and any(c and c.get("sensor") for p in pairs for c in (p.missed, p.right, p.other)):
        privacy = "This report holds no footage, but what sensors on the signers measured."
    if n_shown:
        privacy = (
            f"This page holds footage of the people who signed ({count(n_shown, 'clip')}). Pass it on only as far as "
            "they agreed to; the same report can be made without footage."
        )
        slow = '<div class="controls" hidden><label><input type="checkbox" id="slow"> Play at half speed</label></div>'
    body = "".join(_pair(pair, embedded, calls) for pair in pairs)
    html = f'{scope(results)}<p>{intro}</p><p class="quiet">{privacy}</p>{slow}{body}'
    return [("pairs", "Closest calls" if calls else "The hardest pairs", html)]


def _embed(pairs: Sequence[Pair], clip_videos: ClipVideos | None, max_clips: int, room: int) -> dict[str, SmallClip]:
    """Small copies by clip id, until ``max_clips`` or ``room`` (bytes of the page) is used up."""
    slots = [clip for pair in pairs for clip in (pair.missed, pair.right, pair.other) if clip is not None]
    times = Counter(str(clip["id"]) for clip in slots)
    embedded: dict[str, SmallClip] = {}
    for clip in slots:
        key = str(clip["id"])
        if key in embedded:
            continue
        full = sum(times[k] for k, small in embedded.items() if small.data) + times[key] > max_clips
        fits = 0 if full else max(0, room) * 3 // 4 // times[key]  # base64 makes 4 bytes of 3
        embedded[key] = small_copy(clip, source_of(clip, clip_videos), max_bytes=min(MAX_CLIP_BYTES, fits))
        room -= times[key] * len(base64.b64encode(embedded[key].data or b""))
    return embedded


def _pair(pair: Pair, embedded: Mapping[str, SmallClip] | None, call: bool) -> str:
    signed, other = name_of(pair.signed), name_of(pair.taken_for)
    if call:
        (_, first), (_, second) = pair.missed["top"][:2]
        note, heading = f"{percent(first)} against {percent(second)}", f"{signed}, followed by {other}"
    else:
        note = count(pair.n, "clip") + (f"; the other way round {pair.n_back:,}" if pair.n_back else "")
        heading = f'{signed} <span class="arrow" role="img" aria-label="taken for">→</span> {other}'
    sure = f" ({percent(pair.missed['confidence'], 0)} sure)" if pair.missed.get("confidence") is not None else ""
    verdict = "recognised" if call else f"taken for {other}"
    figures = (
        _figure(pair.missed, f"<strong>{signed}</strong>, {verdict}{sure}", embedded, missed=not call)
        + _figure(pair.right, f"<strong>{signed}</strong>, recognised", embedded)
        + _figure(pair.other, f"<strong>{other}</strong>, recognised", embedded)
    )
    return (
        f'<div class="pair"><div class="pair-head"><h3>{heading}</h3><p class="quiet">{note}</p></div>'
        f'<div class="clips">{figures}</div></div>'
    )


def _figure(
    clip: Mapping[str, Any] | None, caption: str, embedded: Mapping[str, SmallClip] | None, missed: bool = False
) -> str:
    """One clip with its caption; without ``embedded`` the caption alone."""
    kind = ' class="missed"' if missed else ""
    if clip is None:
        caption = caption.replace(", recognised", "")
        return (
            f'<figure{kind}><div class="no-clip">No clip of this sign was recognised here.</div>'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    small = SmallClip() if embedded is None else embedded.get(str(clip["id"]), SmallClip(message="Left out."))
    drawing = "" if embedded is None else signal_drawing(clip)
    if small.data:
        about = f"{clip['label']}, signed by {clip.get('signer') or 'a signer'}, recognised as {clip['predicted']}"
        picture = (
            f'<video controls muted loop playsinline preload="metadata" aria-label="{text_of(about)}" '
            f'src="data:video/mp4;base64,{base64.b64encode(small.data).decode()}"></video>'
        )
    else:
        picture = f'<div class="no-clip">{text_of(small.message)}</div>' if small.message and not drawing else ""
    signer = f"{name_of(clip['signer'])} · " if clip.get("signer") is not None else ""
    cut = f" · the first {small.cut_to_s:g} s" if small.cut_to_s else ""
    return (
        f"<figure{kind}>{picture}{drawing}<figcaption>{caption}"
        f'<span class="quiet">{signer}{name_of(clip["id"])}{cut}</span></figcaption></figure>'
    )


def _bytes(html: str) -> int:
    return len(html.encode("utf-8", "replace"))
