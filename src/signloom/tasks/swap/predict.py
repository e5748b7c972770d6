"""A trained face swap, ready to use: faces in, another identity's faces out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom import media
from signloom.data.corpus import ClipRef
from signloom.errors import CheckpointError, InputError
from signloom.streams import streams_of
from signloom.streams.face_swap import LiveSwap, SwapAbout
from signloom.training.checkpoint import Checkpoint, checkpoint_hash, load_checkpoint
from signloom.training.task import Prediction
from signloom.transforms.face_input import NOBODY, FaceInput

if TYPE_CHECKING:
    from signloom.tasks.swap.data import SwapData

_AT_ONCE = 32


class FaceSwapper:
    """A trained face swap that paints ``target``. Implements :class:`signloom.training.task.Predictor`."""

    def __init__(self, checkpoint: Checkpoint, target: str = NOBODY, consent: str = ""):
        import torch

        if not isinstance(checkpoint.inputs, FaceInput):
            raise CheckpointError(
                f"the checkpoint is a '{checkpoint.architecture}', which swaps no faces. Give a run of "
                "signloom train --recipe swap"
            )
        self.checkpoint = checkpoint
        self.inputs: FaceInput = checkpoint.inputs
        self.size_px = self.inputs.size_px
        self.target = target
        self.consent = (self.inputs.consent.get(target, "") or consent) if target in self.inputs.people else ""
        # A model without the drawn face can be loaded and measured; it paints once a person is asked for.
        without = target == NOBODY and NOBODY not in self.inputs.identities
        self.shares = None if without else self.inputs.shares(target, consent)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = checkpoint.model.to(self.device, memory_format=torch.channels_last).eval()

    needs = ("faces",)

    @property
    def fps(self) -> float:
        """The usual rate of the clips it learnt from; 25 where that is not on record."""
        return self.checkpoint.fps

    def __call__(self, clip: ClipRef) -> Prediction:
        """Every face of ``clip`` as the target's, uint8 (T, S, S, 3)."""
        cv2 = media.import_cv2()
        stream = streams_of({"faces": self.checkpoint.streams["faces"]})["faces"]
        both = clip.read(stream)
        faces = np.stack(
            [cv2.resize(b[:, : b.shape[0]], (self.size_px, self.size_px), interpolation=cv2.INTER_AREA) for b in both]
        )
        parts = [self.paint(faces[k : k + _AT_ONCE])[0] for k in range(0, len(faces), _AT_ONCE)]
        about = {"generated": True, "target": self.target}
        return Prediction(0.0, len(faces) / clip.fps, pictures=np.concatenate(parts), about=about)

    def paint(self, faces_BHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Faces laid out as in training, uint8 (B, S, S, 3), as the target's, and where they are seen, float32
        (B, S, S) from 0 to 1."""
        import torch

        if self.shares is None:
            self.inputs.shares(self.target)  # raises
        x = torch.from_numpy(np.ascontiguousarray(faces_BHWC)).to(self.device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            picture, seen = self.model.blended(x, torch.from_numpy(self.shares))
        pictures = (picture.permute(0, 2, 3, 1) * 255).round().clamp(0, 255).byte().cpu().numpy()
        return pictures, seen[:, 0].float().cpu().numpy()

    def session(self, fps: float | None = None) -> SwapSession:
        """Swap the face in frames as they come, at ``fps``."""
        return SwapSession(self, fps or self.fps)


class SwapSession:
    """Whole frames as they come. Implements :class:`signloom.training.task.Session`."""

    def __init__(self, swapper: FaceSwapper, fps: float):
        self.swapper, self.fps = swapper, fps
        self._live = LiveSwap(swapper)

    def push(self, time_s: float, samples: Mapping[str, Any]) -> Sequence[Prediction]:
        """A ``"video"`` frame, uint8 (H, W, 3) RGB; gives it with the face swapped, uint8 (1, H, W, 3).

        Where no face can be swapped all heads are covered. Raises InputError for other samples.
        """
        if "video" not in samples:
            raise InputError(f"a face swap is pushed samples of 'video'; got {', '.join(samples) or 'nothing'}")
        frame, how = self._live.push(time_s, samples["video"])
        about = {"generated": True, "target": self.swapper.target, "head": how}
        return (Prediction(time_s, time_s + 1 / self.fps, pictures=frame[None], about=about),)

    def close(self) -> Sequence[Prediction]:
        self._live.close()
        return ()


@dataclass(frozen=True)
class SwapModel:
    """A run folder and whose faces it is to paint: what is handed to processes. Implements
    :class:`signloom.streams.face_swap.SwapSource`."""

    folder: str
    target: str = NOBODY
    consent: str = ""

    def painter(self) -> FaceSwapper:
        """The swap itself, loaded once a process. Raises InputError for a target without consent."""
        swapper = _loaded(self.folder, self.target, self.consent)
        swapper.inputs.shares(self.target, self.consent)
        return swapper

    def about(self) -> SwapAbout:
        """What may be told of it: the model's hash and the target; of a real one that they agreed, neither their name
        nor the words, in which that may stand."""
        return _about(self.folder, self.target, self.consent)


def _told_target(swapper: FaceSwapper) -> str:
    """A real person is not named in what is to be shared."""
    return "a person who agreed" if swapper.consent else swapper.target


@lru_cache(maxsize=2)
def _loaded(folder: str, target: str, consent: str) -> FaceSwapper:
    return FaceSwapper(load_checkpoint(folder), target, consent)


@lru_cache(maxsize=8)
def _about(folder: str, target: str, consent: str) -> dict[str, str]:
    swapper = _loaded(folder, target, consent)
    told = {"model": checkpoint_hash(swapper.checkpoint), "target": _told_target(swapper)}
    return {**told, **({"consent": "on record"} if swapper.consent else {})}


# --- something to look at -----------------------------------------------------------------------------------------

PREVIEW_ROWS = 3


def write_preview(checkpoint: Checkpoint, data: SwapData, folder: Path) -> None:
    """``preview.png``: some faces of every identity, held-out ones where there are any, and each as all identities'."""
    import torch

    model = checkpoint.model.eval()
    rows = []
    for name in data.inputs.identities:
        own = data.shown.get(name) or data.faces[name]
        for k in np.unique(np.linspace(0, len(own) - 1, PREVIEW_ROWS).astype(int)):
            face = torch.from_numpy(own.pictures_N[k]).permute(2, 0, 1)[None].float() / 255
            cells = [own.pictures_N[k]]
            with torch.inference_mode():
                for i in range(len(data.inputs.identities)):
                    shares = torch.zeros(len(data.inputs.identities))
                    shares[i] = 1
                    picture, seen = model.blended(face, shares)
                    cells.append((picture[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().cpu().numpy())
            cells.append(np.repeat((seen[0, 0].cpu().numpy() * 255).astype(np.uint8)[..., None], 3, 2))
            rows.append(np.concatenate(cells, 1))
    media.write_picture(folder / "preview.png", np.concatenate(rows))
