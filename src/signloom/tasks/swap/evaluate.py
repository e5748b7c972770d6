"""How well a face swap paints people it knows, on frames that it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

import signloom
from signloom.data.corpus import SplitManifest
from signloom.data.manifest import Manifest
from signloom.data.seen import overlap
from signloom.data.splits import split_in_use
from signloom.errors import InputError
from signloom.tasks.swap.data import Faces, faces_of_people
from signloom.training.checkpoint import refuse_overlap, seen_by
from signloom.training.task import Evaluation

if TYPE_CHECKING:
    from signloom.tasks.swap.predict import FaceSwapper

MOST_FRAMES = 200
SHOWN = ("on", "n_frames", "figures")


def evaluate_run(
    predictor: FaceSwapper, corpus: Any, split: str, *, about: Mapping[str, Any] | None = None, **_: Any
) -> Evaluation:
    """Known people's faces of one split painted as their own: PSNR and SSIM inside of the face, beside a picture that
    does not move, the mean of the measured frames; and how much of where the face is seen is told (intersection over
    union). Raises InputError where no known person is there, LeakError for a split that training saw otherwise."""
    corpus = SplitManifest(corpus) if isinstance(corpus, Manifest) else corpus
    checkpoint = predictor.checkpoint
    for stream in checkpoint.streams:
        checkpoint.check_stream(stream, corpus.fingerprint(stream), str(corpus.root))
    people = faces_of_people(corpus, split, predictor.size_px, MOST_FRAMES)
    people = {name: own for name, own in people.items() if name in predictor.inputs.identities}
    if not people:
        known = ", ".join(predictor.inputs.people)
        raise InputError(f"the {split} split has no frame to measure of {known}, whom the model knows; use --on")
    seen = None
    if (manifest := getattr(corpus, "manifest", None)) is not None:
        measured = {i for own in people.values() for i in own.ids}
        records = [r for r in manifest if r.split == split and r.id in measured]
        seen = overlap(seen_by(checkpoint, manifest), manifest, records)
        refuse_overlap(seen, split, checkpoint, manifest, "the face swap")
    figures = {name: _measured(predictor, name, own) for name, own in people.items()}
    results = {
        "kind": "swap-evaluation",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "signloom_version": signloom.__version__,
        "on": split,
        "n_frames": sum(len(own) for own in people.values()),
        "figures": figures,
        "split": {"name": split, **(split_in_use(manifest) if manifest is not None else {}), **(about or {})},
        "overlap": seen.as_dict() if seen is not None else None,
        "corpus": corpus.about(),
        "recipe": dict(checkpoint.recipe),
    }
    lines = [
        f"{name}: SSIM {f['ssim']:.3f} inside of the face (a still picture: {f['still_ssim']:.3f}), PSNR "
        f"{f['psnr']:.1f} dB ({f['still_psnr']:.1f}), where it is seen: IoU {f['seen_iou']:.3f} ({f['frames']} frames "
        f"of the {split} split)"
        for name, f in figures.items()
    ]
    return Evaluation(results, lines, SHOWN)


def _measured(predictor: FaceSwapper, name: str, own: Faces) -> dict[str, float]:
    import torch

    from signloom.metrics.pictures import psnr, ssim

    as_own = replace_target(predictor, name)
    painted, seen = zip(*(as_own.paint(own.pictures_N[k : k + 16]) for k in range(0, len(own), 16)))
    within = (own.seen_N > 127)[..., None]
    grey = np.uint8(128)
    real = np.where(within, own.pictures_N, grey)
    still = np.where(within, own.pictures_N.mean(0).round().astype(np.uint8), grey)
    ours = np.where(within, np.concatenate(painted), grey)
    a, b, c = (torch.from_numpy(p).permute(0, 3, 1, 2).float() / 255 for p in (ours, still, real))
    told, true = np.concatenate(seen) > 0.5, within[..., 0]
    return {
        "frames": len(own),
        "ssim": float(ssim(a, c).mean()),
        "still_ssim": float(ssim(b, c).mean()),
        "psnr": float(psnr(a, c).mean()),
        "still_psnr": float(psnr(b, c).mean()),
        "seen_iou": float((told & true).sum() / max(int((told | true).sum()), 1)),
    }


def replace_target(predictor: FaceSwapper, name: str) -> FaceSwapper:
    """The same swap painting ``name``: to measure, not to show, so that no consent is asked for."""
    from copy import copy

    other = copy(predictor)
    other.target = name
    other.shares = np.array([n == name for n in predictor.inputs.identities], float)
    return other
