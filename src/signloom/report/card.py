"""A model card: what a model is, what it was made of, how good it is and what it must not be used for, as markdown.

The head of it is the YAML that model hubs read, with the figures in their ``model-index``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from signloom.report.words import count, overlap_lines, split_phrase
from signloom.runtime.text import json_line, plain

METRICS = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "top1_per_class": "top-1 per class",
    "macro_f1": "macro F1",
}
"""The figures of an evaluation that a card gives, with what they are called."""


def model_card(
    config: Mapping[str, Any], results: Sequence[Mapping[str, Any]], *, name: str, licence: str | None
) -> str:
    """The text of ``README.md`` for the checkpoint of ``config``, with what ``results`` (evaluations) found."""
    paints = _task(config) == "paint"
    parts = [_head(config, results, name, licence), f"# {plain(name)}", _what(config, paints)]
    parts += ["## Results", _results(config, results)]
    parts += ["## Data", _data(config, licence)]
    parts += ["## Extractor", _extractor(config)]
    parts += ["## Use", _use(paints)]
    parts += ["## Intended use", _PAINT_USE if paints else _USE]
    parts += ["## Limits", _limits(config, results, paints)]
    return "\n\n".join(parts) + "\n"


def _task(config: Mapping[str, Any]) -> str:
    return str(config.get("task") or ("recognise" if config.get("labels") else "paint"))


def _head(config: Mapping[str, Any], results: Sequence[Mapping[str, Any]], name: str, licence: str | None) -> str:
    """YAML; every text in it as JSON writes it, which YAML reads."""
    paints = _task(config) == "paint"
    kind = "image-to-image" if paints else "video-classification"
    lines = ["---", "library_name: signloom", f"pipeline_tag: {kind}"]
    lines += [f"license: {json_line(licence.lower())}" if licence else "license: unknown"]
    lines += ["tags:", *(f"- {tag}" for tag in ("signloom", "sign-language", _task(config)))]
    shown = [(r, m) for r in results if (m := _figures(r))]
    if shown:
        lines += ["model-index:", f"- name: {json_line(name)}", "  results:"]
    for result, figures in shown:
        data = str((result.get("corpus") or {}).get("name") or "unknown")
        split = str((result.get("split") or {}).get("name") or "unknown")
        lines += [f"  - task:\n      type: {kind}", "    dataset:", f"      name: {json_line(data)}"]
        lines += [f"      type: {json_line(data)}", f"      split: {json_line(split)}", "    metrics:"]
        for key, value in figures.items():
            lines += [f"    - type: {'accuracy' if key.startswith('top') else 'f1'}"]
            lines += [f"      name: {METRICS[key]}", f"      value: {value['value']:.4f}"]
    return "\n".join([*lines, "---"])


def _figures(results: Mapping[str, Any]) -> dict[str, Any]:
    metrics = results.get("metrics") or {}
    return {key: metrics[key] for key in METRICS if isinstance(metrics.get(key), Mapping)}


def _what(config: Mapping[str, Any], paints: bool) -> str:
    recipe = str((config.get("recipe") or {}).get("name") or config["architecture"])
    size = f"{config.get('parameters', 0):,} parameters, recipe `{plain(recipe)}`, signloom {config.get('signloom')}"
    if paints:
        signers = (config.get("inputs") or {}).get("signers") or []
        return f"A generator: it paints {count(len(signers), 'signer')} from poses. {size}."
    labels = [plain(str(label)) for label in config["labels"]]
    some = ", ".join(labels[:40]) + (f" … ({len(labels) - 40} more)" if len(labels) > 40 else "")
    taught = [plain(str(label)) for label in config.get("taught") or {}]
    later = f" Taught since, from a few clips each: {', '.join(taught)}." if taught else ""
    return f"A recogniser of isolated signs, one a clip: {count(len(labels), 'sign')}. {size}.\n\nSigns: {some}.{later}"


def _results(config: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        told = ", ".join(f"{plain(str(k))} {v:.3f}" for k, v in (config.get("metrics") or {}).items() if _is_number(v))
        note = f" While it was trained, validation gave: {told}. The checkpoint was chosen by these." if told else ""
        return f"Not measured on clips that were held out.{note}"
    rows = []
    for result in results:
        data = plain(str((result.get("corpus") or {}).get("name")))
        rows.append(f"{data}: {split_phrase(result)}")
        figures = _figures(result)
        if figures:
            clips = (result.get("overlap") or {}).get("n_clips") or len(result.get("clips") or ())
            rows += [f"\n| on {count(clips, 'clip')} | | 95 % interval |", "|---|---|---|"]
            rows += [f"| {METRICS[key]} | {v['value']:.3f} | {_interval(v)} |" for key, v in figures.items()]
            rows.append("")
        rows += [f"- {line}" for line in overlap_lines(result)]
        if signers := result.get("per_signer"):
            worst = min((row["top1"]["value"] for row in signers if row.get("top1")), default=None)
            if worst is not None:
                rows.append(f"- {count(len(signers), 'signer')} measured; the worst has top-1 {worst:.3f}.")
    return "\n".join(rows)


def _interval(value: Mapping[str, Any]) -> str:
    low, high = value.get("low"), value.get("high")
    return f"{low:.3f} – {high:.3f}" if _is_number(low) and _is_number(high) else "–"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _data(config: Mapping[str, Any], licence: str | None) -> str:
    corpus, split = config.get("corpus") or {}, config.get("split") or {}
    lines = [
        f"- Corpus: {plain(str(corpus.get('name', 'unknown')))}, {count(corpus.get('n_clips') or 0, 'clip')} of "
        f"{count(corpus.get('n_signers') or 0, 'signer')}; hash `{corpus.get('hash', 'unknown')}`.",
        f"- Licences of its clips: {', '.join(map(plain, corpus.get('licences') or [])) or 'not on record'}.",
        f"- Split: {plain(str(split.get('scheme', 'unknown')))}"
        + (f", {plain(str(split['detail']))}" if split.get("detail") else "")
        + f"; trained on {split.get('train', '?')} clips, chosen by {split.get('val', '?')}.",
        f"- Licence of this model: {licence or 'not given; ask whoever gave it to you'}.",
    ]
    return "\n".join(lines)


def _extractor(config: Mapping[str, Any]) -> str:
    rows = []
    for stream, made in (config.get("streams") or {}).items():
        details = {k: v for k, v in made.items() if not isinstance(v, (dict, list)) and k != "extractor"}
        told = ", ".join(f"{k} {plain(str(v))}" for k, v in details.items())
        rows.append(
            f"- `{plain(stream)}`: {plain(str(made.get('extractor', 'unknown')))}" + (f" ({told})" if told else "")
        )
    return "\n".join(rows) or "None on record."


def _use(paints: bool) -> str:
    verb = "generate FOLDER hello.pose --out hello.mp4" if paints else "predict FOLDER clip.mp4"
    return f"```sh\nsignloom pull SOURCE --out FOLDER   # checked by hash; tensors only, no code\nsignloom {verb}\n```"


_USE = (
    "Naming single signs of the list above, of one person who faces the camera, as a help for people: search, "
    "practice, annotation that somebody checks. Not for decisions about people, nor for identifying who signs, nor for "
    "watching people who do not know of it."
)
_PAINT_USE = (
    "Pictures of the signers it learnt from, with their consent to that. What it makes says that it is generated; "
    "leave that in. Not for passing as somebody, nor for saying in somebody's likeness what they did not agree to say."
)


def _limits(config: Mapping[str, Any], results: Sequence[Mapping[str, Any]], paints: bool) -> str:
    lines = []
    if paints:
        lines.append("- It knows one room, one framing and the clothes of its training; far other poses look wrong.")
        lines.append("- Its weights hold a likeness and a background.")
    else:
        signers = (config.get("corpus") or {}).get("n_signers") or 0
        lines.append("- Single signs: signing that flows is not recognised, and nothing is translated.")
        people = count(signers, "signer")
        lines.append(f"- It learnt from a corpus of {people}: other people, rooms and cameras may do worse.")
        if (config.get("open_set") or {}).get("figure"):
            lines.append("- It says when a clip is none of its signs; it is not always right about that.")
        else:
            lines.append("- It cannot tell that a clip is none of its signs: it gives every clip one of them.")
    if not results:
        lines.append("- How good it is on people it has not seen, nobody has measured.")
    lines.append("- What is on record tells nothing of age, skin, clothes or disability of the people in the data.")
    return "\n".join(lines)
