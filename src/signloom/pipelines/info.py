"""What a folder of signloom's holds, in a few values: a run, a fusion, a cross-validation, a corpus, shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signloom.data.failures import read_failures
from signloom.data.manifest import FILE_NAME, read_manifest
from signloom.data.rates import in_words, rates_of
from signloom.data.shards import has_shards, read_shards
from signloom.errors import CheckpointError, InputError
from signloom.runtime.atomic import read_json
from signloom.tasks import task_of_run, use_of
from signloom.tasks.recognise.fuse import FILE_NAME as FUSION_FILE
from signloom.tasks.recognise.fuse import crossval_runs, is_crossval, is_fusion
from signloom.training.checkpoint import checkpoint_folder, read_config
from signloom.training.run import RUN_FILE
from signloom.training.trainer import STATE_FILE


def describe(folder: Path) -> dict[str, Any]:
    """What ``folder`` is and holds, as plain JSON-able values with ``kind`` and ``folder``.

    Raises InputError for what is none of signloom's folders, CheckpointError for a broken checkpoint.
    """
    if not folder.exists():
        raise InputError(f"'{folder}' does not exist; give a run, a corpus or shards")
    if folder.name == FILE_NAME or (folder / FILE_NAME).exists():
        return _corpus(folder)
    if has_shards(folder):
        return _shards(folder)
    if is_fusion(folder):
        return _fusion(folder)
    if is_crossval(folder):
        return _crossval(folder)
    if (checkpoint_folder(folder) / "config.json").exists():
        return _run(folder)
    if (folder / STATE_FILE).exists():
        return {"kind": "unfinished run", "folder": str(folder), "next": "give its `signloom train` command again"}
    raise InputError(
        f"'{folder}' is no run, fusion, cross-validation, corpus or shards. Of videos: signloom doctor {folder}; an "
        "interrupted prepare or train leaves nothing to tell of until it is done: run the same command again"
    )


def _corpus(folder: Path) -> dict[str, Any]:
    corpus = read_manifest(folder)
    seconds = sum((r.n_frames or 0) / r.fps for r in corpus if r.fps)
    splits = Counter(r.split for r in corpus if r.split)
    return {
        "kind": "corpus",
        "folder": str(folder),
        "name": corpus.meta.get("name"),
        "clips": len(corpus),
        "labels": len(corpus.labels),
        "signers": len(corpus.signers),
        "minutes": round(seconds / 60, 1),
        "rates": in_words(rates_of(r.fps for r in corpus)),
        "streams": {s: _made(made) for s, made in corpus.meta.get("streams", {}).items()},
        "split": dict(splits) or None,
        "derived": sum(r.parent is not None for r in corpus),
        "licences": sorted({r.licence for r in corpus if r.licence}),
        "without_licence": sum(r.licence is None for r in corpus),
        "failed": len(read_failures(corpus.root)),
        "hash": corpus.corpus_hash(),
        "next": f"signloom train {folder} --out RUN",
    }


def _made(fingerprint: Mapping[str, Any]) -> str:
    """A stream's fingerprint in a few words."""
    known = ("method", "preset", "shorter_px", "size_px", "face", "units")
    details = [f"{k} {fingerprint[k]}" for k in known if fingerprint.get(k) is not None]
    return ", ".join([str(fingerprint.get("extractor", "?")), *details])


def _shards(folder: Path) -> dict[str, Any]:
    shards = read_shards(folder)
    return {
        "kind": "shards",
        "folder": str(folder),
        "name": shards.corpus.get("name"),
        "clips": {split: shards.n_clips(split) for split in shards.splits},
        "labels": len(shards.labels),
        "streams": {s: _made(made) for s, made in shards.streams.items()},
        "split": dict(shards.split),
        "mb": round(sum(s.bytes for rows in shards.splits.values() for s in rows) / 2**20, 1),
        "next": f"signloom train {folder} --out RUN",
    }


def _fusion(folder: Path) -> dict[str, Any]:
    config = read_json(folder / FUSION_FILE)
    members = {m["name"]: round(m["weight"], 3) for m in config["members"]}
    missing = [m["path"] for m in config["members"] if not (folder / m["path"]).exists()]
    return {
        "kind": "fusion",
        "folder": str(folder),
        "members": members,
        "rule": config["rule"],
        "temperature": round(config["temperature"], 3),
        "missing": missing,
        "measured": _measured(folder),
        "next": f"signloom predict {folder} CLIP",
    }


def _crossval(folder: Path) -> dict[str, Any]:
    runs = crossval_runs(folder)
    file = folder / "evaluation.json"
    figures = read_json(file)["cross_validation"] if file.exists() else None
    return {
        "kind": "cross-validation",
        "folder": str(folder),
        "folds": len({fold for fold, _ in runs}),
        "seeds": sorted({seed for _, seed in runs}),
        "runs": len(runs),
        "measured": figures and {"top1": figures["top1"]},
        "next": None if figures else "give its `signloom crossval` command again to finish it",
    }


def _run(folder: Path) -> dict[str, Any]:
    """Raises CheckpointError where one of the run's small files is not what signloom writes."""
    try:
        return _about_run(folder)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"'{folder}': config.json, run.json or an evaluation is broken: {what}") from error


def _about_run(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    task = task_of_run(folder)
    corpus, split = config["corpus"], config["split"]
    finished = read_json(folder / RUN_FILE) if (folder / RUN_FILE).exists() else {}
    about = {
        "kind": "run" if finished else "unfinished run" if (folder / STATE_FILE).exists() else "checkpoint",
        "folder": str(folder),
        "task": task,
        "recipe": config["recipe"].get("name"),
        "architecture": config["architecture"],
        "parameters": config["parameters"],
        "labels": len(config["labels"]) or None,
        "taught": {label: row["clips"] for label, row in (config.get("taught") or {}).items()},
        "none_of_these": _tells_unknown(config) if config["labels"] else None,
        "signers": list(config["inputs"].get("identities") or config["inputs"].get("signers", ())),
        "needs": {s: _made(made) for s, made in config["streams"].items()},
        "trained_on": {k: corpus.get(k) for k in ("name", "n_clips", "n_signers", "licences") if k in corpus},
        "rates": in_words(corpus.get("rates", {})),
        "split": {k: split.get(k) for k in ("scheme", "detail", "train", "val") if k in split},
        "validation": {k: v for k, v in config["metrics"].items() if k not in ("score", "epoch", "steps")},
        "steps": finished.get("steps", config["metrics"].get("steps")),
        "seconds": finished.get("seconds"),
        "measured": _measured(folder),
        "signloom": config["signloom"],
    }
    unfinished = about["kind"] == "unfinished run"
    return {
        **about,
        "next": "give its `signloom train` command again to finish it" if unfinished else use_of(task, folder),
    }


def _tells_unknown(config: Mapping[str, Any]) -> str:
    """What of a clip is looked at to say that it is none of the signs."""
    figure = (config.get("open_set") or {}).get("figure")
    return f"told, by {figure}" if figure else "not told"


def _measured(folder: Path) -> dict[str, Any] | None:
    """The head figures of the evaluations that lie in the folder (or beside it, where `recognise` writes them)."""
    found: dict[str, Any] = {}
    for place in (folder, folder.parent if folder.name == "model" else folder):
        for file in sorted(place.glob("evaluation-*.json")):
            results = read_json(file)
            on = file.stem.removeprefix("evaluation-")
            if "metrics" in results:
                found[on] = {"top1": results["metrics"]["top1"], "n_clips": results["metrics"].get("n_clips")}
            elif results.get("kind") == "segments":
                found[on] = {name: row["learnt"]["f1"] for name, row in results["figures"].items()}
            elif "figures" in results:
                full = results["figures"].get("painted", {}).get("full", {})
                found[on] = {k: full[k] for k in ("psnr", "ssim") if k in full}
    return found or None


WORDS = {
    "n_clips": "clips",
    "n_signers": "signers",
    "trained_on": "trained on",
    "without_licence": "without licence",
    "mb": "MB",
    "none_of_these": "none of these",
    "rates": "frames/s",
}


def lines_of(about: Mapping[str, Any]) -> list[str]:
    """``about`` as lines of text: the head, then one a value that is there."""
    lines = [f"{about['folder']}: {about['kind']}"]
    for key, value in about.items():
        if key in ("folder", "kind") or value in (None, [], {}, ""):
            continue
        lines.append(f"  {WORDS.get(key, key):<16}{_said(value)}")
    return lines


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        if set(value) >= {"value", "low", "high"}:
            interval = "" if value["low"] is None else f" [{value['low']:.3f}, {value['high']:.3f}]"
            return f"{value['value']:.3f}{interval}"
        shown = {WORDS.get(k, k): v for k, v in value.items() if v not in (None, [], {}, "")}
        return "; ".join(f"{k} {_said(v)}" for k, v in shown.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
