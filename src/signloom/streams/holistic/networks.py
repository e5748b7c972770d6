"""The networks of MediaPipe's that are run here: where their files are, that they are those, and running them.

The files are inside MediaPipe's wheel (Apache-2.0), and are read from there: from the installed package, or from where
``signloom models add`` put them. None is downloaded and none belongs to signloom. Every file is checked by its hash, so
that the same points come out wherever it was found.
"""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from signloom.errors import InputError, MissingExtraError
from signloom.runtime.atomic import atomic_write
from signloom.streams.holistic.pruning import pruned

WHEEL = "mediapipe==0.10.21"
DOWNLOAD = (
    f"pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 {WHEEL}, "
    "then: signloom models add mediapipe-0.10.21-*.whl"
)
"""What gets the networks on any machine and Python: nothing of the wheel is run."""
FOLDER_VARIABLE = "SIGNLOOM_MODELS"
"""The environment variable that names the folder of networks, where it is not the user's data folder."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class NetworkFile:
    """One network: its ``path`` in the wheel below ``mediapipe/modules``, and what must be in it.

    ``outputs`` are those that are used, by their number in the file, with their shapes; the others are not computed.
    """

    path: str
    sha256: str
    what: str
    input_shape: Shape
    outputs: Mapping[int, Shape]
    size: int

    @property
    def file_name(self) -> str:
        """The name of the file, as it is kept."""
        return Path(self.path).name


NETWORKS = {
    "body_detection": NetworkFile(
        "pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        "finds a person in a picture",
        (1, 224, 224, 3),
        {0: (1, 2254, 12), 1: (1, 2254, 1)},
        2_959_046,
    ),
    "body": NetworkFile(
        "pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        "33 points of the body",
        (1, 256, 256, 3),
        {0: (1, 195), 1: (1, 1), 3: (1, 64, 64, 39)},  # 2 is a mask of the person, 4 points in metres
        6_440_512,
    ),
    "hand_recrop": NetworkFile(
        "holistic_landmark/hand_recrop.tflite",
        "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
        "where a hand is, near where the body's wrist is",
        (1, 256, 256, 3),
        {0: (1, 1, 1, 4)},
        123_792,
    ),
    "hand": NetworkFile(
        "hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        "21 points of a hand, and which hand it is",
        (1, 224, 224, 3),
        {0: (1, 63), 1: (1, 1), 2: (1, 1)},  # 3 is points in metres
        5_478_917,
    ),
    "face_detection": NetworkFile(
        "face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        "finds a face near where the body's is",
        (1, 128, 128, 3),
        {0: (1, 896, 16), 1: (1, 896, 1)},
        229_714,
    ),
    "far_face_detection": NetworkFile(
        "face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        "finds faces in a whole picture, far ones too",
        (1, 192, 192, 3),
        {0: (1, 2304, 16), 1: (1, 2304, 1)},
        676_746,
    ),
    "face": NetworkFile(
        "face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "468 points of a face",
        (1, 192, 192, 3),
        {0: (1, 1, 1, 1404), 1: (1, 1, 1, 1)},
        1_242_398,
    ),
    "person_mask": NetworkFile(
        "selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "which pixels are a person",
        (1, 256, 256, 3),
        {0: (1, 256, 256, 1)},
        249_505,
    ),
}
"""Every network that something here runs, by what it is for."""

HOLISTIC = ("body_detection", "body", "hand_recrop", "hand", "face_detection", "face")
"""Those that the stream pose needs."""


def describe_networks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Of each network its ``file`` name, ``sha256`` and ``bytes``, as JSON."""
    return {
        name: {"file": NETWORKS[name].file_name, "sha256": NETWORKS[name].sha256, "bytes": NETWORKS[name].size}
        for name in names
    }


def models_hash(names: Iterable[str] = HOLISTIC) -> str:
    """An identity of networks, for fingerprints: the same wherever the files are, and without them."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{NETWORKS[name].path} {NETWORKS[name].sha256}\n".encode())
    return digest.hexdigest()[:16]


# --- where they are -------------------------------------------------------------------------------------------------


def user_folder() -> Path:
    """Where ``signloom models add`` keeps them: what SIGNLOOM_MODELS names, else in the user's data folder."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "signloom" / "models"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "signloom" / "models"


def installed_folder() -> Path | None:
    """Where an installed MediaPipe has them; it is not imported."""
    try:
        spec = find_spec("mediapipe")
    except (ImportError, ValueError):  # half removed
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "modules"


def places(name: str) -> Iterator[Path]:
    """The paths at which the network ``name`` is looked for, in this order."""
    network = NETWORKS[name]
    yield user_folder() / network.file_name
    if (installed := installed_folder()) is not None:
        yield installed / network.path


def find_network(name: str) -> tuple[Path, bytes]:
    """The file of a network, and its bytes, whole and as they must be.

    Raises InputError for a file that is another, and MissingExtraError where there is none; both have the command that
    mends it.
    """
    for path in places(name):
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InputError(f"network '{name}': '{path}' cannot be read: {error.strerror}") from error
        if (got := hashlib.sha256(data).hexdigest()) != NETWORKS[name].sha256:
            if path.is_relative_to(user_folder()):
                mend = f"delete it, and run: {DOWNLOAD}"
            else:
                mend = f"install that version (pip install '{WHEEL}'), or run: {DOWNLOAD}"
            raise InputError(
                f"network '{name}': '{path}' is damaged or of another version (sha256 {got[:12]}…, {len(data)} bytes; "
                f"expected {NETWORKS[name].sha256[:12]}…, {NETWORKS[name].size} bytes, of {WHEEL}); {mend}"
            )
        return path, data
    raise MissingExtraError(
        f"network '{name}' ({NETWORKS[name].file_name}: {NETWORKS[name].what}) is not on this machine. It is inside "
        f"MediaPipe's wheel, which need not be installed. Run: {DOWNLOAD}"
    )


# --- getting them ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """What :func:`add_networks` did: which networks it ``kept``, and which were ``there`` already."""

    kept: tuple[str, ...]
    there: tuple[str, ...]


def add_networks(source: Path, folder: Path | None = None) -> Added:
    """Take the networks out of ``source``, a wheel of MediaPipe's, a .tflite file or a folder, into ``folder``.

    They are told by their content, whatever they are called. A file that is none of them is passed over; one that has
    the name of one and another content, or that cannot be run, is not taken. Raises InputError for that, and where
    there is none at all.
    """
    folder = folder or user_folder()
    by_hash = {network.sha256: name for name, network in NETWORKS.items()}
    by_name = {network.file_name: name for name, network in NETWORKS.items()}
    kept, there, others = [], [], []
    for where, read in _contents(source):
        data = read()
        name = by_hash.get(hashlib.sha256(data).hexdigest())
        if name is None:
            if (like := by_name.get(Path(where).name)) is not None:
                others.append(f"{where} ({len(data)} bytes; expected {NETWORKS[like].size} of {WHEEL})")
            continue
        if name in kept or name in there:
            continue
        _check_shapes(name, data, where)
        file = folder / NETWORKS[name].file_name
        if file.is_file() and file.read_bytes() == data:
            there.append(name)
            continue
        with atomic_write(file) as tmp:
            tmp.write_bytes(data)
        kept.append(name)
    if not kept and not there:
        found = f"; it has other versions: {', '.join(others[:3])}" if others else ""
        raise InputError(f"'{source}' has none of MediaPipe's networks{found}. Run: {DOWNLOAD}")
    return Added(tuple(kept), tuple(there))


def _contents(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The .tflite files in ``source``: where each is, and what reads it."""
    largest = 4 * max(network.size for network in NETWORKS.values())
    if source.is_dir():
        for path in sorted(source.rglob("*.tflite")):
            if path.is_file() and path.stat().st_size <= largest:
                yield str(path), path.read_bytes
        for wheel in sorted(source.glob("mediapipe-*.whl")):
            yield from _contents(wheel)
    elif source.suffix == ".tflite" and source.is_file():
        yield str(source), source.read_bytes
    elif source.is_file():
        with _damage_told(source):
            archive = zipfile.ZipFile(source)
        with archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".tflite") and entry.file_size <= largest:
                    yield f"{source}/{entry.filename}", partial(_unpacked, archive, entry, source)
    else:
        raise InputError(f"no file or folder '{source}'; expected a wheel of MediaPipe's, or what is in one")


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, source: Path) -> bytes:
    with _damage_told(source):
        return archive.read(entry)


@contextmanager
def _damage_told(source: Path) -> Iterator[None]:
    """Raise InputError for what zipfile raises of a damaged wheel: also NotImplementedError, of a compression that it
    does not know, and RuntimeError, of an encrypted file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"'{source}' is no wheel, or is damaged ({error}); get it again: {DOWNLOAD}") from error


def _check_shapes(name: str, data: bytes, where: str) -> None:
    try:
        Network(name, data)
    except InputError as error:
        raise InputError(f"'{where}': {error}") from error


# --- running them ---------------------------------------------------------------------------------------------------


class Network:
    """A network ready to run, on one thread: the same input gives the same output."""

    def __init__(self, name: str, data: bytes):
        wanted = NETWORKS[name]
        runtime = _runtime()
        try:
            with _hushed():
                self._data = pruned(data, list(wanted.outputs))
                self._interpreter = runtime(model_content=self._data, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"network '{name}' cannot be run: {error}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        got = [_shape(part) for part in (*inputs, *outputs)]
        if got != (shapes := [wanted.input_shape, *wanted.outputs.values()]):
            raise InputError(f"network '{name}' has shapes {got}, expected {shapes}")
        self.size_px = wanted.input_shape[1]
        self._input = self._interpreter.tensor(inputs[0]["index"])
        self._outputs = [self._interpreter.tensor(part["index"]) for part in outputs]

    def __call__(self, picture: np.ndarray, scale: float = 1 / 255, offset: float = 0.0) -> list[np.ndarray]:
        """What the network says of ``picture``, uint8 (size_px, size_px, 3): its outputs, float32, without the batch.

        It sees ``picture × scale + offset``.
        """
        seen = self._input()[0]
        np.multiply(picture, np.float32(scale), out=seen, dtype=np.float32)
        if offset:
            seen += np.float32(offset)
        del seen  # the interpreter refuses to run while its memory is looked at
        self._interpreter.invoke()
        return [output()[0].copy() for output in self._outputs]


def open_network(name: str) -> Network:
    """The network ``name`` of :data:`NETWORKS`. Raises InputError or MissingExtraError as :func:`find_network`."""
    return Network(name, find_network(name)[1])


def _shape(part: Mapping[str, Any]) -> Shape:
    return tuple(int(n) for n in part["shape"])


def _runtime() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingExtraError(f"poses need LiteRT ({error}). Run: pip install 'ai-edge-litert>=2.1'") from error
    return Interpreter


@contextmanager
def _hushed() -> Iterator[None]:
    """What native code says on stderr goes nowhere: LiteRT announces its kernels there, across the progress bar."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def networks_there(names: Iterable[str] = NETWORKS) -> dict[str, Path | InputError]:
    """Where each network is, or what is wrong with it."""
    found: dict[str, Path | InputError] = {}
    for name in names:
        try:
            found[name] = find_network(name)[0]
        except InputError as error:
            found[name] = error
    return found
