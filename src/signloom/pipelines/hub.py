"""Models to share: a folder as model hubs lay it out, with a card and hashes, pushed and pulled.

``signloom.json`` lists every file with its hash, and is written last. What is pulled is only what it lists, tensors and
JSON; everything is checked before it gets its name, and no file of another kind is ever taken.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import signloom
from signloom.errors import InputError, MissingExtraError, SignloomError
from signloom.report.card import model_card
from signloom.runtime.atomic import atomic_write, read_json, write_json
from signloom.runtime.names import file_name
from signloom.tasks.recognise.fuse import is_fusion
from signloom.training.checkpoint import checkpoint_folder, load_checkpoint, read_config, run_folder
from signloom.transforms.face_input import NOBODY

LISTING = "signloom.json"
FORMAT = 1
HUB = "hf:"
"""What stands before OWNER/NAME of a repository on the Hugging Face hub."""
WEIGHTS = ("model.safetensors", "prototypes.safetensors")
TAKEN = re.compile(r"README\.md|config\.json|trained_on\.json|results\.json|(model|prototypes)\.safetensors")
"""The files that are pushed and pulled: no name leads out of a folder, and none is code or a pickle."""
MOST_BYTES = 16 << 30


@dataclass(frozen=True)
class Shared:
    """What was pushed or pulled: ``place``, its ``files`` with their sizes; ``identity`` is the hash of their list."""

    place: str
    files: Mapping[str, int]
    identity: str


def push(
    run: Path,
    to: str,
    *,
    name: str | None = None,
    licence: str | None = None,
    names: bool = False,
    private: bool = True,
    message: str = "signloom push",
) -> Shared:
    """Write the model of ``run`` with its card to ``to``: a folder, or ``hf:OWNER/NAME``.

    The place of the corpus on this machine is left out, and so are, without ``names``, the signers who were held out.
    Raises InputError for a fusion and for a folder that holds something else.
    """
    if is_fusion(run):
        raise InputError(f"'{run}' is a fusion; push the runs it is made of, one by one")
    with tempfile.TemporaryDirectory(prefix="signloom-push-") as scratch:
        folder = Path(scratch)
        called = name or (to.removeprefix(HUB).rpartition("/")[2] if to.startswith(HUB) else Path(to).name)
        identity = _lay_out(run, folder, called, licence, names)
        if to.startswith(HUB):
            _upload(folder, _repository(to), private, message)
        else:
            _into(folder, Path(to))
        return Shared(to, {f.name: f.stat().st_size for f in sorted(folder.iterdir())}, identity)


def pull(source: str, out: Path, *, revision: str | None = None, expect: str | None = None) -> Shared:
    """Fetch a model that :func:`push` wrote from ``source`` (a folder, or ``hf:OWNER/NAME``) into the new folder
    ``out``, where it is a checkpoint.

    ``expect`` is the identity that it must have, as push told it; ``revision`` is one of the hub's. Raises InputError
    for what is no such model, SignloomError where a file is not what the list says. ``out`` is then not written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out '{out}' is there already; give another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-pull-", dir=out.parent) as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        with _fetched(source, revision) as place:
            listed, identity = _listed(place, source)
            if expect is not None and expect != identity:
                raise SignloomError(f"'{source}' is {identity}, not the model that was expected, {expect}; ask for it")
            for file, told in listed.items():
                _take(place / file, folder / file, told, source)
            shutil.copyfile(place / LISTING, folder / LISTING)
        load_checkpoint(folder)
        if out.exists():
            out.rmdir()
        folder.rename(out)
    return Shared(source, {file: told["bytes"] for file, told in listed.items()}, identity)


# --- laid out -------------------------------------------------------------------------------------------------------


def _lay_out(run: Path, folder: Path, name: str, licence: str | None, names: bool) -> str:
    checkpoint = checkpoint_folder(run)
    load_checkpoint(checkpoint)  # what cannot be loaded is not shared
    config = _without_places(read_config(checkpoint), names)
    results = [_without_clips(r, names) for r in _results(run)]
    for file in (*WEIGHTS, "trained_on.json"):
        if (checkpoint / file).is_file():
            shutil.copyfile(checkpoint / file, folder / file)
    write_json(folder / "config.json", config)
    if results:
        write_json(folder / "results.json", {"evaluations": results})
    card = model_card(config, results, name=name, licence=licence)
    (folder / "README.md").write_text(card, encoding="utf-8")
    files = {f.name: {"sha256": _sha256(f), "bytes": f.stat().st_size} for f in sorted(folder.iterdir())}
    about = {"format": FORMAT, "signloom": signloom.__version__, "name": name, "licence": licence, "files": files}
    write_json(folder / LISTING, about)
    return _sha256(folder / LISTING)


def _without_places(config: dict[str, Any], names: bool) -> dict[str, Any]:
    """``config`` without the corpus's place on this machine and, unless ``names``, without signers' names."""
    corpus = {key: value for key, value in (config.get("corpus") or {}).items() if key != "root"}
    split = dict(config.get("split") or {})
    if not names:
        if isinstance(detail := split.get("detail"), str) and detail.startswith("held out: "):
            split["detail"] = f"held out: {len(detail.split(', '))} of the signers or recordings"
        for named in ("held_out", "fold"):  # a fold is called after whom it leaves out
            split.pop(named, None)
        config = _without_people(config)
    return {**config, "corpus": corpus, "split": split}


def _without_people(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` of a face swap with numbers for the names of people; who agreed is still told from who did not."""
    inputs, recipe = dict(config.get("inputs") or {}), dict(config.get("recipe") or {})
    if "identities" not in inputs:
        return config
    people = [name for name in inputs["identities"] if name != NOBODY]
    called = {NOBODY: NOBODY, **{name: f"person {number}" for number, name in enumerate(people, start=1)}}
    inputs["identities"] = [called[name] for name in inputs["identities"]]
    given = inputs.get("consent") or {}
    inputs["consent"] = {called[name]: "on record" for name, where in given.items() if name in called and where}
    return {**config, "inputs": inputs, "recipe": {**recipe, "consent": []}}


def _results(run: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(run_folder(run).glob("evaluation-*.json")):
        results = read_json(file)
        if results.get("kind") == "evaluation":
            yield results


def _without_clips(results: Mapping[str, Any], names: bool) -> dict[str, Any]:
    """The figures of an evaluation, without what was said of single clips and, unless ``names``, of signers by name."""
    kept = ("kind", "title", "created", "signloom_version", "split", "metrics", "interval", "unknown", "open_set")
    shared = {key: results[key] for key in kept if key in results}
    corpus = results.get("corpus") or {}
    shared["corpus"] = {k: corpus[k] for k in ("name", "hash", "n_clips", "n_signers", "licences") if k in corpus}
    shared["clips"] = [None] * len(results.get("clips") or ())
    overlap = dict(results.get("overlap") or {})
    signers = [dict(row) for row in results.get("per_signer") or ()]
    if not names:
        overlap.update({key: [] for key in ("signers", "examples") if key in overlap})
        signers = [{**row, "signer": f"signer {number}"} for number, row in enumerate(signers, start=1)]
        shared["split"] = {k: v for k, v in shared.get("split", {}).items() if k in ("name", "scheme", "hash")}
    return {**shared, "overlap": overlap or None, "per_signer": signers}


# --- folders --------------------------------------------------------------------------------------------------------


def _into(folder: Path, place: Path) -> None:
    """Make ``place`` hold what ``folder`` does: its list last, and nothing of a model that was there before."""
    if place.exists() and any(place.iterdir()) and not (place / LISTING).is_file():
        raise InputError(f"'{place}' holds something else than a model that was pushed; give an empty folder")
    place.mkdir(parents=True, exist_ok=True)
    (place / LISTING).unlink(missing_ok=True)
    for old in place.iterdir():
        if TAKEN.fullmatch(old.name) and not (folder / old.name).exists():
            old.unlink()
    for file in sorted(folder.iterdir(), key=lambda file: (file.name == LISTING, file.name)):
        _copy(file, place / file.name)


def _copy(file: Path, place: Path) -> None:
    with atomic_write(place) as tmp:
        shutil.copyfile(file, tmp)


@contextmanager
def _fetched(source: str, revision: str | None) -> Iterator[Path]:
    if not source.startswith(HUB):
        if revision is not None:
            raise InputError("--revision is one of the hub's; leave it out for a folder")
        if not Path(source).is_dir():
            raise InputError(f"'{source}' is no folder; give one that push wrote, or hf:OWNER/NAME")
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="signloom-pull-") as scratch:
        _download(_repository(source), Path(scratch), revision)
        yield Path(scratch)


def _listed(place: Path, source: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The files that are to be taken, and the hash of their list."""
    file = place / LISTING
    if not file.is_file() or file.is_symlink() or file.stat().st_size > 1 << 20:
        raise InputError(f"'{source}' has no {LISTING}: it was not pushed by signloom, or not whole; push it again")
    about = read_json(file)
    files = about.get("files")
    if about.get("format") != FORMAT or not isinstance(files, dict):
        raise InputError(f"'{source}': its {LISTING} is of format {about.get('format')!r}, expected {FORMAT}")
    for name, told in files.items():
        sound = (
            isinstance(told, dict)
            and isinstance(told.get("bytes"), int)
            and 0 <= told["bytes"] <= MOST_BYTES
            and re.fullmatch("[0-9a-f]{64}", str(told.get("sha256")))
        )
        if not TAKEN.fullmatch(name) or not sound:
            raise InputError(
                f"'{source}' lists {json.dumps(name)[:80]}, which no model has; expected tensors and JSON alone"
            )
    if missing := {"config.json", "model.safetensors"} - files.keys():
        raise InputError(f"'{source}' lists no {min(missing)}; push it again")
    return files, _sha256(file)


def _take(file: Path, place: Path, told: Mapping[str, Any], source: str) -> None:
    """Copy ``file``, and check that it is what the list says."""
    if not file.is_file() or file.is_symlink():
        raise SignloomError(f"'{source}' lacks {file.name}, which it lists; push it again, whole")
    if (size := file.stat().st_size) != told["bytes"]:
        raise SignloomError(f"'{source}': {file.name} has {size} bytes, its list says {told['bytes']}; push it again")
    shutil.copyfile(file, place)
    if (got := _sha256(place)) != told["sha256"]:
        raise SignloomError(
            f"'{source}': {file.name} is not what its list says (sha256 {got[:12]}…, expected {told['sha256'][:12]}…); "
            "it was changed or damaged: push it again"
        )


def _sha256(file: Path) -> str:
    with open(file, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


# --- the hub --------------------------------------------------------------------------------------------------------


def _repository(place: str) -> str:
    name = place.removeprefix(HUB)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name) or ".." in name:
        raise InputError(f"'{place}': expected hf:OWNER/NAME")
    return name


def _api() -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingExtraError(f"the hub needs huggingface-hub ({error}). Run: pip install 'signloom[hub]'") from error
    return HfApi(library_name="signloom", library_version=signloom.__version__)


def _upload(folder: Path, repository: str, private: bool, message: str) -> None:
    with _hub_told(repository):
        api = _api()
        api.create_repo(repository, repo_type="model", private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=str(folder), commit_message=message)


def _download(repository: str, folder: Path, revision: str | None) -> None:
    with _hub_told(repository):
        api = _api()
        there = set(api.list_repo_files(repository, revision=revision))
        for name in sorted(there):
            if name == LISTING or (TAKEN.fullmatch(name) and PurePosixPath(name).name == name):
                got = api.hf_hub_download(repository, name, revision=revision, local_dir=str(folder))
                if Path(got).resolve() != (folder / name).resolve():
                    shutil.copyfile(got, folder / file_name(name))


_HUB_PARTS = ("huggingface_hub", "httpx", "httpx2", "requests", "urllib3")
"""Whose errors tell of the hub, or of the way to it."""


@contextmanager
def _hub_told(repository: str) -> Iterator[None]:
    """Raise SignloomError for what the hub, or the way to it, says no to."""
    try:
        yield
    except SignloomError:
        raise
    except Exception as error:
        of_hub = type(error).__module__.partition(".")[0] in _HUB_PARTS
        if not (of_hub or isinstance(error, (ConnectionError, TimeoutError))):
            raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SignloomError(
            f"the hub did not do that for '{repository}': {type(error).__name__}: {first[:300]}. Is there a network, "
            "is the name right, and are you logged in (hf auth login)?"
        ) from error
