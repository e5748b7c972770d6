"""How well a signer is painted: every measure on whole frames, faces and hands, beside baselines.

Clips come as functions that give their frames, so that nothing is held but a frame of each at a time (for FID a few).
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import signloom
from signloom.data.consent import allows
from signloom.data.corpus import SplitManifest
from signloom.data.manifest import Manifest
from signloom.data.seen import Overlap, overlap, overlap_of
from signloom.data.splits import split_in_use
from signloom.errors import InputError
from signloom.runtime.progress import Progress
from signloom.tasks.paint.data import PoseMapClip, painting_clips
from signloom.training.checkpoint import Checkpoint, refuse_overlap, seen_by
from signloom.training.task import Evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from signloom.data.skeleton import Joints
    from signloom.metrics.fid import PictureSets
    from signloom.report.paint_page import PaintFootage, Still
    from signloom.tasks.paint.predict import GeneratorPredictor

Frames = Callable[[], Iterable[np.ndarray]]
Pairs = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
Distance = Callable[["Tensor", "Tensor"], "Tensor"]
Features = Callable[["Tensor"], "Tensor"]

MEAN, NEAREST, PREVIOUS = "mean frame", "nearest skeleton", "previous real frame"
N_BLOCKS = 10  # of a single clip's frames, to draw its interval from
_CELLS = 16  # a side: skeletons are compared blurred to so many


@dataclass(frozen=True)
class PaintedClip:
    """A held-out clip, painted and real. Functions give its frames from the first, in step, each time they are called.

    ``painted`` and ``real`` uint8 (S, S, 3), ``pose_maps`` uint8 (S, S, L). ``baselines`` are other ways to paint the
    same frames, by name, to be beaten. ``before`` is the real frame before the first, where there is one. ``wanted``
    are the joints it was painted from in pixels of the frames: with them poses are found in the painted and the real
    frames, and compared.
    """

    id: str
    fps: float
    painted: Frames
    real: Frames
    pose_maps: Frames
    baselines: Mapping[str, Frames] = field(default_factory=dict)
    before: np.ndarray | None = None
    wanted: Joints | None = None


def measure_clips(
    clips: Sequence[PaintedClip],
    train: Pairs | None = None,
    *,
    lpips: Distance | None = None,
    fid: Features | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Every measure of :mod:`signloom.metrics.pictures` on ``clips``, as plain JSON-able values.

    ``figures[who][area][measure]`` is ``{"value", "low", "high", "n"}``: ``who`` is "painted", "real" (what the real
    clip's own motion and hands measure), or a baseline; areas are "full", "face", "hands" (squares of a quarter of the
    side; both hands together), "motion" and "pose". Means are over all frames; ``gradient_ratio``, ``warp_ratio`` and
    ``flicker_ratio`` are sums of the painted over sums of the real. Baselines need what the generator learnt
    from: ``train`` gives (frame, pose map), and is called twice: "mean frame", and "nearest skeleton", the frame of the
    training clips whose pose map, blurred to 16×16 cells, is nearest. "previous real frame" is the test clip's own.
    Intervals are 95 % percentile bootstraps over clips, whose frames are not independent, and over ten blocks of frames
    where there is but one clip; both expanded, since they are few.
    ``lpips`` is a distance of pictures (B, 3, S, S) to measure besides; areas below its ``min_px``, if it has that, are
    left out. ``fid`` are features (B, D) of such pictures: with them whole painted frames have a FID to the real ones,
    as have the clips' own baselines and "nearest skeleton", without an interval; ``n`` frames, few of which bias it
    upwards. The two other baselines have none: they are a single picture, and the real frames themselves. Raises
    InputError for streams out of step.
    """
    if not clips:
        raise InputError("there is no clip to measure the generator on; the split's test part is empty")
    import torch

    from signloom.metrics.fid import PictureSets

    sums = _Sums()
    sets = PictureSets(fid) if fid is not None else None
    n_frames = {}
    with tempfile.TemporaryDirectory(prefix="signloom-paint-") as folder:
        baselines = _Baselines(clips, train, Path(folder)) if train is not None else None
        with Progress("measure", len(clips), quiet=quiet) as progress:
            for number, clip in enumerate(clips):
                with torch.no_grad():
                    n_frames[number] = _measure_clip(number, clip, baselines, sums, lpips, sets)
                progress.step(note=clip.id)
    figures = sums.figures(n_frames)
    for who, figure in sets.figures("real").items() if sets is not None else ():
        figures[who]["full"]["fid"] = figure
    return {
        "n_clips": len(clips),
        "n_frames": sum(n_frames.values()),
        "interval": "95 %, percentile bootstrap, expanded for few, over "
        + (f"{len(clips)} clips" if len(clips) > 1 else f"{N_BLOCKS} blocks of the clip's frames"),
        "figures": figures,
        "clips": [
            {"id": c.id, "n_frames": n_frames[k], "fps": c.fps, "figures": sums.figures({k: n_frames[k]})}
            for k, c in enumerate(clips)
        ],
    }


def _measure_clip(
    number: int,
    clip: PaintedClip,
    baselines: _Baselines | None,
    sums: _Sums,
    lpips: Distance | None,
    sets: PictureSets | None,
) -> int:
    """Add what every frame of ``clip`` measures to ``sums``; returns how many there are."""
    from signloom.metrics.pictures import Motion

    motion, before, row = Motion(), clip.before, -1
    own = {name: iter(frames()) for name, frames in clip.baselines.items()}
    for row, (painted, real, pose_map) in enumerate(_in_step(clip)):
        pictures = {"painted": painted}
        pictures |= {name: next(frames) for name, frames in own.items()}
        if baselines is not None:
            pictures |= {MEAN: baselines.mean_HWC, NEAREST: baselines.nearest(number, row)}
        if before is not None:
            pictures[PREVIOUS] = before
        if sets is not None:
            for who in pictures.keys() - {MEAN, PREVIOUS}:
                sets.push(who, pictures[who])
            sets.push("real", real)
        _measure_frame((number, row), pictures, real, pose_map, sums, lpips)
        moved = motion.push(painted, real) or {}
        for name in ("warp_error", "flicker") if moved else ():
            ours, true = moved[name], moved[f"{name}_real"]
            if np.isfinite(ours):
                sums.add("painted", "motion", name, number, row, ours)
                sums.add("real", "motion", name, number, row, true)
                sums.add("painted", "motion", f"{name.removesuffix('_error')}_ratio", number, row, ours, true)
        before = real
    if row < 0:
        raise InputError(f"clip '{clip.id}' has no frames")
    _measure_hands(number, clip, row + 1, sums)
    return row + 1


def _measure_frame(
    place: tuple[int, int],
    pictures: Mapping[str, np.ndarray],
    real: np.ndarray,
    pose_map: np.ndarray,
    sums: _Sums,
    lpips: Distance | None,
) -> None:
    """Compare ``pictures``, by who made them, with the real one: whole, and where face and hands are."""
    import torch

    from signloom.metrics.pictures import cut_out, gradient_energy, lattice_energy, ms_ssim, psnr, ssim
    from signloom.transforms.parts import part_boxes

    x = torch.from_numpy(np.stack([*pictures.values(), real])).permute(0, 3, 1, 2).float() / 255
    areas = {"full": [(0, 0, real.shape[1], real.shape[0])]}
    for name, box in part_boxes(pose_map).items():
        areas.setdefault("face" if name == "face" else "hands", []).append(box)
    for area, box in ((area, box) for area, boxes in areas.items() for box in boxes):
        cut = cut_out(x, box)
        ours, true = cut[:-1], cut[-1:].expand_as(cut[:-1])
        measured = {"psnr": psnr(ours, true), "ssim": ssim(ours, true), "ms_ssim": ms_ssim(ours, true)}
        if lpips is not None and min(cut.shape[2:]) >= getattr(lpips, "min_px", 1):
            measured["lpips"] = lpips(ours, true)
        for name, values in measured.items():
            for who, value in zip(pictures, values.tolist()):
                sums.add(who, area, name, *place, value)
        *energies, real_energy = gradient_energy(cut).tolist()
        for who, energy in zip(pictures, energies):
            sums.add(who, area, "gradient_ratio", *place, energy, real_energy)
        for who, *energies in zip([*pictures, "real"], *(e.tolist() for e in lattice_energy(cut))):
            sums.add(who, area, "lattice", *place, *energies)


def _measure_hands(number: int, clip: PaintedClip, n_frames: int, sums: _Sums) -> None:
    """Find poses in the painted and the real frames, and compare hands with those that were to be painted."""
    from signloom.metrics.pictures import hand_hits, redetected

    if clip.wanted is None:
        return
    for who, frames in (("painted", clip.painted), ("real", clip.real)):
        for name, (hits, of) in hand_hits(redetected(frames(), clip.fps), clip.wanted).items():
            for t in range(n_frames):
                sums.add(who, "pose", name, number, t, float(hits[t]), float(of[t]))


def _in_step(clip: PaintedClip) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    row, rows = 0, zip(clip.painted(), clip.real(), clip.pose_maps(), strict=True)
    while True:
        try:
            painted, real, pose_map = next(rows)
        except StopIteration:
            return
        except ValueError as error:
            if "zip()" not in str(error):
                raise
            raise InputError(
                f"clip '{clip.id}': painted frames, real frames and pose maps are not equally many: one ends after "
                f"{row}"
            ) from error
        if painted.shape != real.shape or pose_map.shape[:2] != real.shape[:2]:
            raise InputError(
                f"clip '{clip.id}', frame {row}: painted {painted.shape}, real {real.shape} and pose map "
                f"{pose_map.shape} must be of one size"
            )
        yield painted, real, pose_map
        row += 1


class _Sums:
    """For each measure what every frame adds to the upper and the lower sum of a quotient."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], list[tuple[int, int, float, float]]] = defaultdict(list)

    def add(self, who: str, area: str, name: str, clip: int, row: int, above: float, below: float = 1.0) -> None:
        self._rows[who, area, name].append((clip, row, above, below))

    def figures(self, n_frames: dict[int, int]) -> dict[str, Any]:
        """The quotients, with intervals over the clips numbered in ``n_frames``, or over blocks of the only one."""
        found: dict[str, Any] = {}
        place = {clip: k for k, clip in enumerate(n_frames)}
        for (who, area, name), rows in self._rows.items():
            of_clips = [r for r in rows if r[0] in place]
            if not of_clips:
                continue
            clip_N, row_N, above_N, below_N = (np.array(column) for column in zip(*of_clips))
            if len(n_frames) > 1:
                unit_N, n_units = np.array([place[c] for c in clip_N]), len(n_frames)
            else:
                n_units = min(N_BLOCKS, next(iter(n_frames.values())))
                unit_N = row_N * n_units // next(iter(n_frames.values()))
            above_U, below_U = (np.bincount(unit_N, v, n_units) for v in (above_N, below_N))
            found.setdefault(who, {}).setdefault(area, {})[name] = _quotient(above_U, below_U) | {"n": len(of_clips)}
        return found


def _quotient(above_U: np.ndarray, below_U: np.ndarray) -> dict[str, float | None]:
    from signloom.metrics.intervals import bootstrap_weights, percentile_interval

    if not below_U.sum() > 0:
        return {"value": None, "low": None, "high": None}
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = [(w @ above_U) / (w @ below_U) for w in bootstrap_weights(len(above_U))]
    low, high = percentile_interval(np.concatenate(drawn), n_groups=n) if (n := len(above_U)) > 1 else (None, None)
    return {"value": float(above_U.sum() / below_U.sum()), "low": low, "high": high}


class _Baselines:
    """What is had without painting: the training clips' mean frame, and for each test frame the nearest skeleton's."""

    def __init__(self, clips: Sequence[PaintedClip], train: Pairs, folder: Path):
        poses = [[_pose(pose_map) for pose_map in clip.pose_maps()] for clip in clips]
        if not any(poses):
            raise InputError("there is no test frame to measure the generator on")
        self._first = np.cumsum([0, *map(len, poses)])
        wanted_ND = np.array([pose for of_clip in poses for pose in of_clip])
        least_N, which_N = np.full(len(wanted_ND), np.inf), np.zeros(len(wanted_ND), int)
        total, n = np.zeros(()), 0
        shape: tuple[int, ...] = ()
        for n, (frame, pose_map) in enumerate(train(), 1):
            shape = frame.shape
            total = total + frame
            off_N = np.square(wanted_ND - _pose(pose_map)).sum(1)
            nearer = off_N < least_N
            least_N[nearer], which_N[nearer] = off_N[nearer], n - 1
        if not n:
            raise InputError("there is no training frame to make the baselines from")
        self.mean_HWC = (total / n).round().astype(np.uint8)
        needed, self._row_N = np.unique(which_N, return_inverse=True)
        row_of = {number: row for row, number in enumerate(needed.tolist())}
        self._frames = np.memmap(folder / "nearest", np.uint8, "w+", shape=(len(needed), *shape))
        for number, (frame, _) in enumerate(train()):
            if number in row_of:
                self._frames[row_of[number]] = frame

    def nearest(self, clip: int, row: int) -> np.ndarray:
        return np.asarray(self._frames[self._row_N[self._first[clip] + row]])


def _pose(pose_map_HWL: np.ndarray) -> np.ndarray:
    """A pose map blurred to 16×16 cells, float32 (16 · 16 · L,): what skeletons are compared by."""
    from signloom.media import import_cv2

    cv2 = import_cv2()
    # OpenCV averages at most four channels at a time.
    groups = [np.ascontiguousarray(pose_map_HWL[..., k : k + 3]) for k in range(0, pose_map_HWL.shape[-1], 3)]
    return np.concatenate(
        [cv2.resize(g, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).ravel() for g in groups]
    ).astype(np.float32)


# --- a run --------------------------------------------------------------------------------------------------------


SHOWN = ("figures", "n_clips", "n_frames", "interval", "on", "split", "overlap", "model")


def evaluate_run(
    generator: GeneratorPredictor,
    corpus: Any,
    split: str,
    *,
    about: Mapping[str, Any] | None = None,
    lpips: Distance | None = None,
    fid: Features | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Measure ``generator`` on the clips of one split of ``corpus`` beside baselines, which the train split gives.

    Poses are found again in painted and real frames where the corpus has poses to compare them with. ``lpips`` and
    ``fid`` as for :func:`measure_clips`; ``about`` is said of the split beside what the run says of its own.
    """
    from signloom.report.text import generator_lines

    corpus = SplitManifest(corpus) if isinstance(corpus, Manifest) else corpus
    checkpoint = generator.checkpoint
    for stream in checkpoint.streams:
        checkpoint.check_stream(stream, corpus.fingerprint(stream), str(corpus.root))
    clips = painting_clips(corpus, split, generator.inputs, generator.signers)
    seen = _overlap(checkpoint, corpus, split, {clip.id for clip in clips})
    measured = [painted_clip(generator, c) for c in clips]
    shown = _shown(measured, clips, corpus)
    train = painting_clips(corpus, "train", generator.inputs, generator.signers)
    found = measure_clips(measured, (lambda: _pairs(train)) if train else None, lpips=lpips, fid=fid, quiet=quiet)
    model = {
        "architecture": checkpoint.architecture,
        "recipe": checkpoint.recipe.get("name"),
        "parameters": sum(p.numel() for p in generator.model.parameters()),
        "size_px": generator.size_px,
    }
    results = {
        "kind": "paint-evaluation",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "signloom_version": signloom.__version__,
        **found,
        "on": split,
        "model": model,
        "split": {"name": split, **_split_of(corpus), **(about or {})},
        "overlap": seen.as_dict(),
        "corpus": corpus.about(),
        "recipe": dict(checkpoint.recipe),
    }

    def page(file: Path, embed_clips: bool) -> Path:
        said = {"recipe": model["recipe"], "steps": checkpoint.metrics.get("steps"), "split": split, **model}
        return write_page(results, shown, file, PageSettings(embed_clips=embed_clips, about=said))

    return Evaluation(results, generator_lines(results), SHOWN, page)


def _shown(measured: Sequence[PaintedClip], clips: Sequence[PoseMapClip], corpus: Any) -> list[PaintedClip]:
    """Those of the clips that are ``measured`` whose signers let them be shown."""
    manifest = getattr(corpus, "manifest", None)
    return [
        one for one, clip in zip(measured, clips) if manifest is None or allows(manifest, clip.clip.signer, "display")
    ]


def _split_of(corpus: Any) -> dict[str, Any]:
    manifest = getattr(corpus, "manifest", None)
    return split_in_use(manifest) if manifest is not None else dict(getattr(corpus, "split", {}))


def _overlap(checkpoint: Checkpoint, corpus: Any, split: str, measured: set[str]) -> Overlap:
    """How much of the clips that are ``measured`` the generator learnt from. Raises LeakError where that belies the
    split."""
    manifest = getattr(corpus, "manifest", None)
    if manifest is None:
        return overlap_of(None, sorted(measured), [], ())
    records = [r for r in manifest if r.split == split and r.id in measured]
    found = overlap(seen_by(checkpoint, manifest), manifest, records)
    refuse_overlap(found, split, checkpoint, manifest, "the generator")
    return found


def painted_clip(generator: GeneratorPredictor, clip: PoseMapClip) -> PaintedClip:
    """``clip`` as ``generator`` paints it, beside what is real; an enlarged one beside plain enlargement, too."""
    rows = range(len(clip))
    shown = replace(clip, pose_map_px=clip.size_px)  # parts are found, and shown, at the size of the pictures

    def pose_maps() -> Iterator[np.ndarray]:
        return (clip.pose_map(t) for t in rows)

    own: dict[str, Frames] = {}
    if generator.checkpoint.architecture == "upscaled":
        own["bicubic enlargement"] = lambda: generator.enlarged(pose_maps(), clip.identity)
    return PaintedClip(
        clip.id,
        clip.fps,
        painted=lambda: generator.paint(pose_maps(), clip.identity),
        real=lambda: (clip.pictures([t])[0] for t in rows),
        pose_maps=lambda: (shown.pose_map(t) for t in rows),
        baselines=own,
        before=clip.before(),
        wanted=clip.joints(),
    )


def _pairs(clips: Sequence[PoseMapClip]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for clip in clips:
        for t in range(len(clip)):
            yield clip.pictures([t])[0], clip.pose_map(t)


# --- the page -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PageSettings:
    """What the page shows beside the figures."""

    title: str = "Painted signer"
    n_clips: int = 4
    n_stills: int = 4
    embed_clips: bool = True
    about: dict[str, Any] = field(default_factory=dict)


def write_page(
    results: dict[str, Any], clips: Sequence[PaintedClip], out_html: Path, settings: PageSettings = PageSettings()
) -> Path:
    """The results of :func:`measure_clips` as one HTML page with stills and playable clips of ``clips``.

    Paints the shown clips once more. ``settings.about`` (plain values, no paths) says what was painted with.
    """
    from signloom.report.paint_page import write_paint_page

    footage = [_footage(clip, settings) for clip in clips[: settings.n_clips]]
    return write_paint_page(
        {**results, "title": settings.title, "about": settings.about},
        out_html,
        footage,
        embed_clips=settings.embed_clips,
    )


def _footage(clip: PaintedClip, settings: PageSettings) -> PaintFootage:
    from signloom.report.paint_page import PaintFootage
    from signloom.transforms.pose_map import stick_figure

    def rows() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for painted, real, pose_map in _in_step(clip):
            yield stick_figure(pose_map), painted, real

    n = sum(1 for _ in clip.pose_maps())
    shown = {round((k + 0.5) * n / settings.n_stills - 0.5) for k in range(settings.n_stills)}
    stills = [_still(t, *row) for t, row in enumerate(_in_step(clip)) if t in shown]
    return PaintFootage(clip.id, clip.fps, rows, stills)


def _still(t: int, painted: np.ndarray, real: np.ndarray, pose_map: np.ndarray) -> Still:
    from signloom.report.paint_page import Still
    from signloom.transforms.parts import part_boxes
    from signloom.transforms.pose_map import stick_figure

    parts = [(painted[y0:y1, x0:x1], real[y0:y1, x0:x1]) for x0, y0, x1, y1 in part_boxes(pose_map).values()]
    return Still(f"frame {t}", stick_figure(pose_map), painted, real, parts)
