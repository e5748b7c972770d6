"""A model on disk: a folder with ``model.safetensors`` and ``config.json``, all that use needs, and never a pickle.

``trained_on.json`` beside them holds, in hashes, which clips it learnt from (:mod:`signloom.data.seen`), and
``prototypes.safetensors`` where signs lie in the space of its features, for recognisers that tell.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import signloom
from signloom.data.corpus import split_hash_of
from signloom.data.manifest import Manifest
from signloom.data.rates import usual_rate
from signloom.data.seen import Overlap, Seen, read_seen, refuse_seen, seen_of_names, seen_of_split, write_seen
from signloom.data.splits import read_split
from signloom.data.stream import fingerprint_diff
from signloom.errors import CheckpointError, LeakError
from signloom.media import DEFAULT_FPS
from signloom.models import ARCHITECTURES, OLD_ARCHITECTURES, build, renamed
from signloom.runtime.atomic import atomic_write, write_json
from signloom.transforms import inputs_of

FORMAT = "signloom-checkpoint"
FORMAT_VERSION = 1
PROTOTYPES_FILE = "prototypes.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with everything needed to use it.

    ``task`` names what was learnt (:data:`signloom.tasks.TASKS`). ``model`` is in eval mode. ``labels`` name the K
    logits; a generator has none. ``inputs`` is what is done to a clip before the model sees it. ``streams`` holds the
    fingerprint of each stream it was trained on. Probabilities are ``softmax(logits / temperature)``, the temperature
    coming from validation. ``seen`` are the clips it learnt from, where it was just trained; of one that was loaded
    from ``folder`` they are read when :func:`seen_by` is asked for them.

    ``open_set`` says when a clip is of none of the signs; empty where that was not found out. ``prototypes`` are the
    arrays of the space of features in which it is asked, ``taught`` the signs that were added there since training, by
    label, with what is on record of them (:mod:`signloom.tasks.recognise.open_set`). ``thresholds`` say from where on a
    figure of the model's counts, of tasks that have such, by name.
    """

    task: str
    architecture: str
    model: Any
    labels: tuple[str, ...]
    inputs: Any
    streams: Mapping[str, Mapping[str, Any]]
    temperature: float = 1.0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    corpus: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    open_set: Mapping[str, Any] = field(default_factory=dict)
    prototypes: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    taught: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    seen: Seen | None = field(default=None, repr=False, compare=False)
    folder: Path | None = field(default=None, repr=False, compare=False)

    @property
    def known(self) -> tuple[str, ...]:
        """All it can answer: ``labels``, which its network tells apart, and behind them those that it was taught."""
        return (*self.labels, *self.taught)

    @property
    def rates(self) -> dict[str, int]:
        """How many of the clips it was trained on have which frame rate; empty where that is not on record."""
        return dict(self.corpus.get("rates", {}))

    @property
    def fps(self) -> float:
        """The usual rate of the clips it was trained on; 25 where that is not on record."""
        return usual_rate(self.rates) or DEFAULT_FPS

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "signloom": signloom.__version__,
            "task": self.task,
            "architecture": self.architecture,
            "model": asdict(self.model.config),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "labels": list(self.labels),
            "inputs": asdict(self.inputs),
            "streams": {name: dict(value) for name, value in self.streams.items()},
            "temperature": self.temperature,
            "recipe": dict(self.recipe),
            "corpus": dict(self.corpus),
            "split": dict(self.split),
            "metrics": dict(self.metrics),
            "open_set": dict(self.open_set),
            "prototypes": _hash_of(self.prototypes) if self.prototypes else None,
            "taught": {label: dict(about) for label, about in self.taught.items()},
            **({"thresholds": dict(self.thresholds)} if self.thresholds else {}),
        }

    def check_stream(self, stream: str, fingerprint: Mapping[str, Any], where: str) -> None:
        """Raise CheckpointError when ``stream`` was made otherwise than in training, naming every difference."""
        differences = fingerprint_diff(self.streams[stream], fingerprint)
        if differences:
            raise CheckpointError(
                f"the model was trained on another '{stream}' than {where} holds: {'; '.join(differences)}. "
                f"Prepare the corpus again with the signloom that made the model, or train on this corpus: "
                f"signloom train {where}"
            )


def save_checkpoint(checkpoint: Checkpoint, folder: str | os.PathLike[str]) -> Path:
    """Write ``checkpoint`` into ``folder``; the config comes last, so that its existence means it is whole."""
    from safetensors.numpy import save_file as save_arrays
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoint.prototypes:
        with atomic_write(folder / PROTOTYPES_FILE) as tmp:
            save_arrays(dict(checkpoint.prototypes), tmp)
    tensors = {k: v.detach().cpu().contiguous() for k, v in checkpoint.model.state_dict().items()}
    with atomic_write(folder / "model.safetensors") as tmp:
        save_file(tensors, tmp, metadata={"format": "pt"})
    if (seen := checkpoint.seen or (read_seen(checkpoint.folder) if checkpoint.folder else None)) is not None:
        write_seen(seen, folder)
    write_json(folder / "config.json", checkpoint.config())
    return folder


def _hash_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Identifies arrays by their names, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read_prototypes(folder: Path, expected: str | None) -> dict[str, np.ndarray]:
    """The arrays that the config in ``folder`` tells of. Raises CheckpointError where they are not those."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if expected is None:
        return {}
    file = folder / PROTOTYPES_FILE
    try:
        arrays = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"'{file}' cannot be read: {error}. Copy the checkpoint again, whole") from error
    if _hash_of(arrays) != expected:
        raise CheckpointError(f"'{file}' is not what its config.json tells of; copy the checkpoint again, whole")
    return arrays


def seen_by(checkpoint: Checkpoint, manifest: Manifest | None = None) -> Seen | None:
    """The clips that a model learnt from; None where that is on record nowhere.

    It is kept in the checkpoint's folder. Runs of earlier versions have none: there it is what trains and validates in
    ``manifest``, where that is the very split that the run was trained on, or what the run's ``split.json`` names.
    """
    if checkpoint.seen is not None:
        return checkpoint.seen
    if checkpoint.folder is not None and (seen := read_seen(checkpoint.folder)) is not None:
        return seen
    own = checkpoint.split.get("hash")
    if manifest is not None and own and own == split_hash_of(manifest):
        return seen_of_split(manifest)
    if checkpoint.folder is not None and (file := run_folder(checkpoint.folder) / "split.json").exists():
        return seen_of_names(read_split(file), manifest)
    return None


def refuse_overlap(
    found: Overlap, split: str, checkpoint: Checkpoint, manifest: Manifest, who: str = "the model"
) -> None:
    """Raise LeakError where clips are called ``split``'s though ``checkpoint`` has learnt from them.

    Where it is not on record what it learnt from, the corpus that it was trained on is refused as a whole.
    """
    refuse_seen(found, split, who=who, corpus=str(manifest.root))
    if split != "train" and not found.seen and manifest.has_hash(checkpoint.corpus.get("hash")):
        raise LeakError(
            f"{who} was trained on clips of this corpus, '{manifest.root}', and it is not on record on which: they may "
            f"be among the {len(found.measured)} that would be measured as '{split}'. Give --split the split.json of "
            "its run folder, or say that training clips may be among them: --on train"
        )


def checkpoint_folder(folder: str | os.PathLike[str]) -> Path:
    """``folder`` itself, or the ``checkpoint`` folder inside a training run's."""
    path = Path(folder)
    if not (path / "config.json").exists() and (path / "checkpoint" / "config.json").exists():
        return path / "checkpoint"
    return path


def run_folder(folder: str | os.PathLike[str]) -> Path:
    """The run folder that ``folder`` is, or whose ``checkpoint`` it is; a checkpoint elsewhere stands for itself."""
    path = Path(folder)
    return path.parent if path.name == "checkpoint" else path


def weights_file(folder: str | os.PathLike[str]) -> Path:
    """The file of weights of a checkpoint, or of the checkpoint inside a run folder."""
    return checkpoint_folder(folder) / "model.safetensors"


def checkpoint_hash(checkpoint: Checkpoint) -> str:
    """Identifies a checkpoint that was loaded, by its weights and its config (labels, temperature, preparation)."""
    assert checkpoint.folder is not None, "it was not loaded from a folder"
    digest = hashlib.blake2b(digest_size=16)
    for name in ("model.safetensors", "config.json"):
        with open(checkpoint.folder / name, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The config of a checkpoint, or of the one inside a run folder. Raises CheckpointError naming what is wrong."""
    path = checkpoint_folder(folder)
    if not (path / "config.json").exists():
        raise CheckpointError(
            f"no checkpoint at '{folder}': it has no config.json. Expected the folder that `signloom train --out …` "
            "wrote; an interrupted run may have none yet (run the same command again to go on)"
        )
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        if config.get("format") != FORMAT or config.get("version") != FORMAT_VERSION:
            raise CheckpointError(
                f"'{path}/config.json' is {config.get('format')!r} version {config.get('version')!r}; this signloom "
                f"reads '{FORMAT}' version {FORMAT_VERSION}"
            )
        if OLD_ARCHITECTURES.get(config["architecture"], config["architecture"]) not in ARCHITECTURES:
            raise CheckpointError(
                f"'{path}' holds a '{config['architecture']}'; this signloom knows {sorted(ARCHITECTURES)}"
            )
    except (KeyError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"'{path}/config.json' is broken: {type(error).__name__}: {error}") from error
    return config


def _check_labels(labels: Any, config: Any) -> None:
    """Raise ValueError where a config names other labels than its network tells apart."""
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels are {labels!r:.60}, expected a list of names")
    n_classes = getattr(config, "n_classes", len(labels))
    if len(labels) != n_classes:
        raise ValueError(f"{len(labels)} labels for a network of {n_classes} classes")


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Load a checkpoint folder, or the ``checkpoint`` folder inside a training run's.

    Raises CheckpointError naming the file and what is wrong with it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path, config = checkpoint_folder(folder), read_config(folder)
    try:
        architecture, settings, names = renamed(config["architecture"], config["model"])
        model = build(architecture, settings)
        tensors = {names(k): v for k, v in load_file(path / "model.safetensors").items()}
        inputs = inputs_of(model.takes, config["inputs"])
        _check_labels(config["labels"], model.config)
        task = config.get("task") or ("recognise" if config["labels"] else "paint")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"'{path}/config.json' is broken: {type(error).__name__}: {error}") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"'{path}/model.safetensors' cannot be read: {error}") from error
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    got = {k: tuple(v.shape) for k, v in tensors.items()}
    if expected != got:
        names_of_both = sorted(expected.keys() | got.keys())
        wrong = [
            f"{k}: got {got.get(k)}, expected {expected.get(k)}" for k in names_of_both if expected.get(k) != got.get(k)
        ]
        raise CheckpointError(f"'{path}/model.safetensors' does not fit its config: {'; '.join(wrong[:10])}")
    model.load_state_dict(tensors)
    model.eval()
    return Checkpoint(
        task=task,
        architecture=architecture,
        model=model,
        labels=tuple(config["labels"]),
        inputs=inputs,
        streams=config["streams"],
        temperature=config["temperature"],
        recipe=config["recipe"],
        corpus=config["corpus"],
        split=config["split"],
        metrics=config["metrics"],
        open_set=config.get("open_set") or {},  # earlier checkpoints have none of these
        prototypes=_read_prototypes(path, config.get("prototypes")),
        taught=config.get("taught") or {},
        thresholds=config.get("thresholds") or {},
        folder=path,
    )
