"""The faces of a corpus, cut out and laid out to learn a swap from, and a sheet of what was found and what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from signloom import media
from signloom.data.manifest import Manifest, Record
from signloom.errors import InputError
from signloom.runtime.progress import Progress
from signloom.streams import streams_of
from signloom.streams.face_crop import BLURRED, blurred
from signloom.streams.face_layout import KEPT, NO_FACE, REASONS

SHEET = "faces.png"
WORDS = {**REASONS, BLURRED: "blurred"}
_CELL_PX, _COLUMNS, _TITLE_PX = 72, 14, 18
_MOST_CLIPS = 400  # of a signer's clips at most so many are looked at for the sheet


def faces_found(corpus: Manifest) -> dict[str, dict[str, int]]:
    """How many frames of each signer were kept, and rejected for which reason (a letter of :data:`WORDS`). What is
    blurred only :func:`write_faces_sheet` tells, which looks at the pictures."""
    found: dict[str, Counter[str]] = {}
    for record in corpus:
        letters = record.extra.get("face_found")
        if letters is not None:
            found.setdefault(record.signer or "", Counter()).update(letters)
    return {signer: dict(count.most_common()) for signer, count in sorted(found.items())}


def write_faces_sheet(corpus: Manifest, folder: Path, *, quiet: bool = False) -> tuple[Path, dict[str, int]]:
    """Write ``faces.png``: for each signer a row of faces that were kept, spread over the clips, and a row for each
    reason for which some were not. Returns the file, and how many kept faces of each signer are blurred.

    Raises InputError where the corpus has no stream ``faces``.
    """
    cv2 = media.import_cv2()
    if "faces" not in corpus.meta.get("streams", {}):
        raise InputError(f"'{corpus.root}' has no stream 'faces'. Run: signloom faces … --out {corpus.root}")
    stream = streams_of({s: corpus.fingerprint(s) for s in ("faces", "pose")})["faces"]
    by_signer: dict[str, list[Record]] = {}
    for record in corpus:
        if "faces" in record.streams and record.extra.get("face_found"):
            by_signer.setdefault(record.signer or "", []).append(record)
    rows: list[np.ndarray] = []
    unclear: dict[str, int] = {}
    with Progress("sheet", len(by_signer), quiet=quiet) as progress:
        for signer, records in sorted(by_signer.items()):
            spread = np.unique(np.linspace(0, len(records) - 1, min(_MOST_CLIPS, len(records))).astype(int))
            shown, unclear[signer] = _shown([records[k] for k in spread], corpus.root, stream)
            for letter, faces in shown.items():
                total = sum(r.extra["face_found"].count(letter) for r in records) if letter != BLURRED else len(faces)
                title = np.full((_TITLE_PX, _CELL_PX * _COLUMNS, 3), 255, np.uint8)
                text = f"{signer or 'no name'}: {WORDS[letter]} ({total} frames)"
                plain = text.encode("ascii", "replace").decode()
                cv2.putText(title, plain, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
                line = np.full((_CELL_PX, _CELL_PX * _COLUMNS, 3), 235, np.uint8)
                some = np.unique(np.linspace(0, len(faces) - 1, min(_COLUMNS, len(faces))).astype(int))
                for column, k in enumerate(some):
                    line[:, column * _CELL_PX : (column + 1) * _CELL_PX] = faces[k]
                rows += [title, line]
            progress.step()
    if not rows:
        raise InputError(f"no clip of '{corpus.root}' has a face to show; look at its failures.jsonl")
    media.write_picture(folder / SHEET, np.concatenate(rows))
    return folder / SHEET, unclear


def _shown(records: list[Record], root: Path, stream: Any) -> tuple[Mapping[str, list[np.ndarray]], int]:
    """Small faces of each letter, some of each clip, with what is not seen of them dimmed; and how many are blurred."""
    cv2 = media.import_cv2()
    found: dict[str, list[np.ndarray]] = {}
    kept: list[np.ndarray] = []
    for record in records:
        letters = record.extra["face_found"]
        for letter in dict.fromkeys(letters):
            if letter == NO_FACE:
                continue
            numbers = [t for t, own in enumerate(letters) if own == letter]
            few = [numbers[k] for k in np.unique(np.linspace(0, len(numbers) - 1, min(6, len(numbers))).astype(int))]
            for both in stream.read(root / record.streams["faces"], few):
                side = both.shape[0]
                face, seen = both[:, :side], both[:, side:, :1] / 255
                dimmed = (face * (0.35 + 0.65 * seen)).astype(np.uint8)
                small = cv2.resize(dimmed, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_AREA)
                found.setdefault(letter, []).append(small)
                if letter == KEPT:
                    kept.append(face)
    unclear = blurred(kept)
    if unclear.any():
        found[BLURRED] = [f for f, b in zip(found[KEPT], unclear) if b]
        found[KEPT] = [f for f, b in zip(found[KEPT], unclear) if not b]
    return {letter: found[letter] for letter in WORDS if found.get(letter)}, int(unclear.sum())
