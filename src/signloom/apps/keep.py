"""What a live recogniser saw, kept as a corpus: a video a recording, and a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data.manifest import FILE_NAME, Manifest, Record, read_manifest, write_manifest
from signloom.errors import InputError
from signloom.media import DEFAULT_FPS, content_hash, write_video
from signloom.runtime.atomic import remove_unfinished

_SOURCE = "live"
_MOST_FPS = 240.0


@dataclass
class Keeper:
    """Recordings below ``folder``: ``clips/0001.mp4`` …, each in the manifest as soon as it is written.

    ``label`` and ``signer`` are what the person says of them; what the recogniser answered is kept in ``extra``.
    Raises InputError for a folder that holds another corpus.
    """

    folder: Path
    label: str | None = None
    signer: str | None = None
    licence: str | None = None
    consent: str | None = None

    def __post_init__(self) -> None:
        self._records: list[Record] = []
        self._meta: dict[str, Any] = {"name": self.folder.resolve().name, "source": _SOURCE}
        if (self.folder / FILE_NAME).exists():
            corpus = read_manifest(self.folder)
            if corpus.meta.get("source") != _SOURCE:
                raise InputError(f"--record '{self.folder}' holds a corpus that `live` did not make; choose another")
            self._records, self._meta = list(corpus), dict(corpus.meta)  # who withdrew, say, stays on record
        elif self.folder.exists() and any(self.folder.iterdir()):
            remove_unfinished(self.folder)
            if any(p.name != "clips" for p in self.folder.iterdir()):
                raise InputError(f"--record '{self.folder}' holds something else; choose a new folder")

    def __len__(self) -> int:
        return len(self._records)

    def add(self, frames: Sequence[tuple[float, np.ndarray]], answer: dict[str, Any]) -> Path:
        """Keep a recording, (seconds, uint8 (H, W, 3) RGB) each, at the rate at which its frames came on average."""
        times_s = [time_s for time_s, _ in frames]
        long_s = times_s[-1] - times_s[0]
        fps = min((len(times_s) - 1) / long_s, _MOST_FPS) if long_s > 0 else DEFAULT_FPS
        number = 1 + max((int(r.id) for r in self._records if r.id.isdecimal()), default=0)
        file = self.folder / "clips" / f"{number:04}.mp4"
        write_video(file, (frame for _, frame in frames), fps)
        self._records.append(
            Record(
                f"{number:04}",
                self.label,
                self.signer,
                streams={"video": f"clips/{file.name}"},
                n_frames=len(frames),
                fps=fps,
                content=content_hash(file),
                licence=self.licence,
                consent=self.consent,
                extra={"answer": answer},
            )
        )
        write_manifest(Manifest(tuple(self._records), self.folder, self._meta), self.folder)
        return file
