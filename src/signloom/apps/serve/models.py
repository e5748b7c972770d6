"""The models that are served: their names, what is told of them, and the files that a page loads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import signloom
from signloom.errors import CheckpointError, InputError, SignloomError
from signloom.runtime.atomic import read_json
from signloom.runtime.hashing import fingerprint_hash
from signloom.runtime.names import file_name
from signloom.training.checkpoint import checkpoint_folder, read_config, weights_file

FUSION = "fusion.json"


@dataclass(frozen=True)
class Served:
    """A model: ``run`` is what answers here (None: a web export alone), ``web`` the folder that a page loads (None: it
    cannot be run in a page). ``about`` is what the list of models tells."""

    name: str
    run: Path | None
    web: Path | None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        """Whether it names signs of clips that are sent."""
        return self.run is not None and self.about.get("task") == "recognise"

    @property
    def files(self) -> frozenset[str]:
        """The names of the files that a page may load."""
        if self.web is None:
            return frozenset()
        return frozenset({"model.json", *json.loads((self.web / "model.json").read_text(encoding="utf-8"))["sha256"]})


def cache_folder() -> Path:
    """Where exports for pages are kept: below the user's cache folder."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "signloom" / "web"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signloom" / "web"


def open_models(
    folders: Sequence[Path], cache: Path, *, web: bool = True, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Served]:
    """The models in ``folders`` (runs, checkpoints, fusions, web exports) by name, in their order.

    Runs are exported for pages into ``cache``, once; ``tell`` is told what cannot be, and why. With ``web`` false none
    is. Raises CheckpointError or InputError for what is no model.
    """
    found: dict[str, Served] = {}
    for folder in folders:
        name = _name_of(folder, found)
        found[name] = _opened(folder, name, cache, web, tell)
    return found


def _name_of(folder: Path, taken: Mapping[str, Any]) -> str:
    path = folder.resolve()
    while path.name in ("model", "checkpoint") and path.parent != path:
        path = path.parent
    name = first = file_name(path.name or "model")
    number = 2
    while name in taken:
        name, number = f"{first}-{number}", number + 1
    return name


def _opened(folder: Path, name: str, cache: Path, web: bool, tell: Callable[[str], None]) -> Served:
    if (folder / "model.json").is_file():
        about = _read_export(folder)
        return Served(name, None, folder, _told(name, about, web=True, api=False))
    if (folder / FUSION).is_file():
        members = [read_config(folder / m["path"]) for m in read_json(folder / FUSION)["members"]]
        about = {"task": "recognise", "labels": sorted({label for config in members for label in config["labels"]})}
        tell(f"{name}: a fusion is not exported, so a page cannot run it; it answers here")
        return Served(name, folder, None, _told(name, about, web=False, api=True))
    config = read_config(folder)
    about = {"task": config.get("task") or ("recognise" if config["labels"] else "paint"), "labels": config["labels"]}
    about["labels"] = [*about["labels"], *(config.get("taught") or {})]
    exported = _exported(folder, name, cache, tell) if web else None
    api = about["task"] == "recognise"
    return Served(name, folder, exported, _told(name, about, web=exported is not None, api=api))


def _told(name: str, about: Mapping[str, Any], *, web: bool, api: bool) -> dict[str, Any]:
    return {"name": name, "task": about["task"], "labels": len(about.get("labels", ())), "web": web, "api": api}


def _read_export(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if not isinstance(about["sha256"], dict) or not about["files"]["graph"] or about["task"] is None:
            raise ValueError("it lists no files")
        missing = [name for name in about["sha256"] if "/" in name or not (folder / name).is_file()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{folder}' is no web export: {error}; make one: signloom export RUN --to web") from error
    if missing:
        raise InputError(f"'{folder}' lacks '{missing[0]}'; make it again: signloom export RUN --to web")
    return about


def _exported(folder: Path, name: str, cache: Path, tell: Callable[[str], None]) -> Path | None:
    """The folder of ``folder``'s web export in ``cache``; made where it is not there. None where it cannot be."""
    config = checkpoint_folder(folder) / "config.json"
    stamps = [(f.stat().st_mtime_ns, f.stat().st_size) for f in (config, weights_file(folder))]
    key = fingerprint_hash(str(folder.resolve()), stamps, signloom.__version__, config.read_text(encoding="utf-8"))
    out = cache / file_name(f"{name}-{key}") / name  # an export is called after its folder, and the page says its name
    if (out / "model.json").is_file():
        try:
            _read_export(out)
            return out
        except InputError:
            pass  # it is made again
    tell(f"{name}: written for pages, once …")
    from signloom.tasks import task_named
    from signloom.training.checkpoint import load_checkpoint
    from signloom.training.export import write_export

    try:
        checkpoint = load_checkpoint(folder)
        write_export(task_named(checkpoint.task).export(checkpoint), "web", out)
    except CheckpointError:
        raise
    except SignloomError as error:
        tell(f"{name}: a page cannot run it: {error}")
        return None
    return out
