"""Networks that a user brings for other estimators: kept in a folder of their own, and told by their content.

They are kept where ``signloom models add`` keeps MediaPipe's. A stream names one by its hash, so that a corpus says
what made its poses and another machine knows what it lacks.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from signloom.errors import InputError, MissingExtraError
from signloom.runtime.atomic import atomic_write
from signloom.runtime.hashing import file_sha256
from signloom.runtime.names import file_name
from signloom.streams.holistic.networks import user_folder

N_WHOLE_BODY = 133
KINDS = {
    "whole-body": "133 points of a person (RTMW, DWPose), .onnx",
    "detector": "boxes of persons (YOLOX), .onnx",
    "landmarker": "MediaPipe Tasks' HolisticLandmarker, .task",
}
"""What a network may be, by the name in that of its file."""
SUFFIXES = (".onnx", ".task")
_HASH = 16


@dataclass(frozen=True)
class Kept:
    """A network that is there: its kind (of :data:`KINDS`), the first 16 digits of its sha256, its file."""

    kind: str
    sha: str
    path: Path


def folder() -> Path:
    """Where they are."""
    return user_folder() / "others"


def add_network(source: Path) -> tuple[Kept, bool]:
    """Take ``source`` in; what it is, and whether it was there already.

    Raises InputError for a file that is none of :data:`KINDS`, with what it holds, and MissingExtraError where what
    reads it is not installed.
    """
    if not source.is_file():
        raise InputError(f"no file '{source}'; expected {' or '.join(SUFFIXES)}")
    kind = _kind_of(source)
    sha = file_sha256(source)[:_HASH]
    kept = Kept(kind, sha, folder() / f"{kind}-{sha}-{file_name(source.stem)}{source.suffix}")
    there = next((old for old in kept_networks(kind) if old.sha == sha), None)
    if there is not None:
        return there, True
    with atomic_write(kept.path) as tmp:
        tmp.write_bytes(source.read_bytes())
    return kept, False


def kept_networks(kind: str) -> list[Kept]:
    """Those of ``kind`` that are there, by name of file."""
    found = []
    for path in sorted(folder().glob(f"{kind}-*")):
        sha = path.name.removeprefix(f"{kind}-").split("-")[0]
        if path.suffix in SUFFIXES and len(sha) == _HASH:
            found.append(Kept(kind, sha, path))
    return found


def kept_network(kind: str, sha: str = "") -> Kept:
    """The network of ``kind`` whose hash begins with ``sha``; with "" the only one.

    Raises InputError where there is none or several would do, or where its file has been changed.
    """
    there = kept_networks(kind)
    fit = [kept for kept in there if kept.sha.startswith(sha)] if sha else there
    if len(fit) != 1:
        have = ", ".join(f"{kept.sha} ({kept.path.name})" for kept in there) or "none"
        wanted = f"with hash {sha}" if sha else "and it is not said which"
        raise InputError(
            f"needs a network of the kind {kind} ({KINDS[kind]}) {wanted}; there: {have}. Take one in by: signloom "
            "models add FILE; choose one of several by: --set pose.network=HASH (pose.detector=HASH for boxes)"
        )
    if file_sha256(fit[0].path)[:_HASH] != fit[0].sha:
        raise InputError(
            f"'{fit[0].path}' was changed since it was taken in; delete it and run: signloom models add FILE"
        )
    return fit[0]


def _kind_of(source: Path) -> str:
    if source.suffix == ".task":
        return _check_task(source)
    if source.suffix != ".onnx":
        raise InputError(f"'{source}': expected {' or '.join(SUFFIXES)}")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"networks in .onnx files need onnxruntime ({error}). Run: pip install onnxruntime"
        ) from error
    try:
        session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen kinds, none of them public
        raise InputError(f"'{source}' is no network that onnxruntime can run: {str(error)[:200]}") from error
    inputs, outputs = [part.shape for part in session.get_inputs()], [part.shape for part in session.get_outputs()]
    picture = len(inputs) == 1 and len(inputs[0]) == 4 and inputs[0][1] == 3
    sized = picture and all(isinstance(n, int) for n in inputs[0][2:])
    if sized and len(outputs) == 2 and all(len(s) == 3 and s[1] == N_WHOLE_BODY for s in outputs):
        return "whole-body"
    if sized and outputs and len(outputs[0]) == 3 and (outputs[0][-1] == 5 or _is_yolox(outputs[0], inputs[0])):
        return "detector"
    raise InputError(
        f"'{source}' takes {inputs} and gives {outputs}; expected a picture (N, 3, height, width) of fixed size, and "
        f"two outputs (N, {N_WHOLE_BODY}, …) of a whole-body network (RTMW, DWPose) or boxes (N, boxes, 5 or more) of "
        "a detector (YOLOX)"
    )


def _is_yolox(output: list[object], picture: list[int]) -> bool:
    cells = sum((picture[2] // stride) * (picture[3] // stride) for stride in (8, 16, 32))
    return isinstance(output[-1], int) and output[-1] > 5 and output[1] == cells


def _check_task(source: Path) -> str:
    try:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"'{source}' is no .task file, or is damaged ({error})") from error
    if "pose_landmarks_detector.tflite" not in names or "hand_landmarks_detector.tflite" not in names:
        raise InputError(
            f"'{source}' holds {', '.join(names[:8]) or 'nothing'}; expected a HolisticLandmarker's networks"
        )
    return "landmarker"
