"""Whether two faces are one person's, told by a network that knows neither: dlib's, with weights from the user's file.

The npm package ``@vladmandic/face-api`` (MIT) carries them: ``face_recognition_model.bin``, and beside it a manifest
with names, shapes and, where they are stored as bytes, scales. Nothing in either is run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom.data.skeleton import FACE_JOINTS
from signloom.data.weights import load_part
from signloom.errors import CheckpointError
from signloom.media import import_cv2
from signloom.models.face_resnet import SAME_PERSON, SIZE_PX, FaceResNet

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SAME_PERSON", "FaceVerifier", "face_chip", "load_face_verifier"]

_EYE_TO_MOUTH, _ACROSS, _DOWN = 0.45, 0.5, 0.43  # of the square's side
_MOST_BYTES = 64 * 2**20
_DTYPES: Mapping[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}
_NAMES = {name.removeprefix("face_"): k for k, name in enumerate(FACE_JOINTS)}
_EYES = {
    side: [_NAMES[f"{side}_eye_{part}"] for part in ("outer", "inner", "top", "bottom")] for side in ("left", "right")
}
_MOUTH = [k for name, k in _NAMES.items() if "mouth" in name or "lip" in name]


class FaceVerifier:
    """Gives 128 numbers for a face; nearer than :data:`SAME_PERSON` is one person's."""

    def __init__(self, network: FaceResNet):
        self.network = network.eval()

    def describe(self, chips_BHWC: np.ndarray) -> np.ndarray:
        """Faces cut out by :func:`face_chip`, uint8 (B, 150, 150, 3) RGB → (B, 128)."""
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(chips_BHWC)).permute(0, 3, 1, 2).float()
            return self.network(x).numpy()


def face_chip(frame_HWC: np.ndarray, points_P2: np.ndarray) -> np.ndarray:
    """The face whose 27 joints, in pixels, come first in ``points_P2``, upright: uint8 (150, 150, 3)."""
    cv2 = import_cv2()
    left, right = (points_P2[_EYES[side]].mean(0) for side in ("left", "right"))
    mouth = points_P2[_MOUTH].mean(0)
    across = left - right
    angle = float(np.arctan2(across[1], across[0]))
    size = (np.linalg.norm(mouth - left) + np.linalg.norm(mouth - right)) / 2 / _EYE_TO_MOUTH
    scale = SIZE_PX / max(float(size), 1e-6)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[c, s], [-s, c]])
    shift = np.array([_ACROSS, _DOWN]) * SIZE_PX - turn @ ((left + right + mouth) / 3)
    matrix = np.column_stack([turn, shift + turn @ [0.5, 0.5] - 0.5])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(frame_HWC, matrix, (SIZE_PX, SIZE_PX), flags=how, borderMode=cv2.BORDER_REPLICATE)


def load_face_verifier(file: str | os.PathLike[str]) -> FaceVerifier:
    """dlib's network from face-api's ``face_recognition_model.bin``, its manifest, or the folder that holds both.

    Raises CheckpointError for what is not there, is not whole, or is another network's.
    """
    return FaceVerifier(load_part(FaceResNet(), _renamed(_read(Path(file))), f"'{file}'"))


def _read(path: Path) -> dict[str, np.ndarray]:
    manifest = _manifest_of(path)
    try:
        groups = json.loads(manifest.read_text(encoding="utf-8"))
        paths = [str(name) for group in groups for name in group["paths"]]
        rows = [row for group in groups for row in group["weights"]]
        if any("/" in name or "\\" in name or name.startswith(".") for name in paths):
            raise ValueError("it names files elsewhere")
        files = [manifest.parent / name for name in paths]
        if sum(f.stat().st_size for f in files) > _MOST_BYTES:
            raise ValueError("its files are too large")
        data = b"".join(f.read_bytes() for f in files)
        return _arrays(rows, data)
    except OSError as error:
        raise CheckpointError(f"weights of '{manifest}' cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"'{manifest}' is no manifest of face-api's weights, or not whole: {error}") from error


def _manifest_of(path: Path) -> Path:
    name = "face_recognition_model-weights_manifest.json"
    found = path / name if path.is_dir() else path if path.suffix == ".json" else path.with_name(name)
    if not found.is_file():
        raise CheckpointError(
            f"there is no '{found}'; expected '{name}' with 'face_recognition_model.bin' beside it, from the npm "
            "package @vladmandic/face-api"
        )
    return found


def _arrays(rows: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    found, at = {}, 0
    for row in rows:
        shape = tuple(int(n) for n in row["shape"])
        stored = row.get("quantization") or {}
        kind = _DTYPES[stored.get("dtype", row["dtype"])]
        n = int(np.prod(shape, dtype=np.int64))
        if n < 0 or at + n * kind.itemsize > len(data):
            raise ValueError(f"'{row['name']}' goes beyond the end of the weights")
        values = np.frombuffer(data, kind, n, at).astype(np.float32)
        at += n * kind.itemsize
        if stored:
            values = values * np.float32(stored["scale"]) + np.float32(stored["min"])
        found[str(row["name"])] = values.reshape(shape)
    if at != len(data):
        raise ValueError(f"the weights have {len(data)} bytes, and {at} are told of")
    return found


def _renamed(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """By our names, and as PyTorch orders the axes of convolutions."""
    import torch

    found = {}
    for name, array in arrays.items():
        ours = name.replace("/", ".").replace("conv.filters", "conv.weight").replace("scale.", "")
        found[ours] = torch.from_numpy(np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array))
    return found
