"""Painting a signer: whole runs of training and use, from a corpus of a signer's pictures and how the signer stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import signloom
from signloom import media
from signloom.data.leaks import refuse_leaks
from signloom.data.manifest import Manifest, Record
from signloom.data.skeleton import Joints, joints_of
from signloom.errors import CheckpointError, InputError, LeakError
from signloom.models import build
from signloom.runtime.atomic import write_json
from signloom.runtime.hashing import fingerprint_hash
from signloom.streams.signer_crop import SignerCrop, shoulders_in_limbs
from signloom.tasks.paint.frames import PaintSet, background_of, usual_of
from signloom.tasks.paint.learn import PaintLosses, PaintRecipe, PaintTask, fit_painter
from signloom.tasks.recognise.run import RUN_FILE, describe_corpus, is_finished, split_hash_of
from signloom.tasks.recognise.video_set import Memory, default_memory
from signloom.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, weights_file
from signloom.transforms.paint_input import PaintInput
from signloom.transforms.pose_map import draw_limbs, face_lines, limbs_of_picture, stick_figure, warp_limbs
from signloom.transforms.retarget import common_proportions

if TYPE_CHECKING:
    from signloom.tasks.paint.evaluate import Distance, Features

# --- reading ------------------------------------------------------------------------------------------------------

BACKGROUND_FRAMES = 100


@dataclass
class CorpusClip:
    """A clip of a painting corpus. Implements :class:`signloom.tasks.paint.frames.PaintClip`.

    The limbs are drawn from its stream ``pose``, or read off its stream ``skeleton``.
    """

    record: Record
    root: Path
    size_px: int
    limbs_px: int
    stored_px: int
    identity: int = 0
    memory: Memory = field(default_factory=default_memory)

    def __post_init__(self):
        if not self.record.n_frames:
            raise InputError(f"clip '{self.id}' has no n_frames in the manifest; prepare the corpus again")
        drawn = "pose" in self.record.streams and "crop" in self.record.extra
        if not drawn and "skeleton" not in self.record.streams:
            have = ", ".join(sorted(self.record.streams)) or "none"
            raise InputError(
                f"clip '{self.id}': a painter needs stream 'pose' with its crop, or 'skeleton'; it has {have}. "
                "Run: signloom prepare … --streams pose signer"
            )

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def fps(self) -> float:
        return self.record.fps or 25.0

    def __len__(self) -> int:
        return int(self.record.n_frames or 0)

    def pictures(self, rows: Sequence[int]) -> np.ndarray:
        path = self.record.path("signer", self.root, "a painter")
        frames = media.read_frames(path, [self.record.first_frame + int(r) for r in rows])
        return resized(frames, self.size_px)

    def limbs(self, row: int, matrix: np.ndarray | None = None) -> np.ndarray:
        if "skeleton" in self.record.streams:
            limbs = self._read_limbs(row)
            return limbs if matrix is None else warp_limbs(limbs, matrix)
        joints, lines = self._pose
        onto = self._onto(self.limbs_px) if matrix is None else matrix @ self._onto(self.limbs_px)
        here = self.record.first_frame + row
        return draw_limbs(joints, here, onto, self.limbs_px, lines[here])

    def before(self) -> np.ndarray | None:
        """The picture before the clip's first in its recording; None where there is none."""
        if not self.record.first_frame:
            return None
        path = self.record.path("signer", self.root, "a painter")
        return resized(media.read_frames(path, [self.record.first_frame - 1]), self.size_px)[0]

    def joints(self) -> Joints | None:
        """The clip's joints in pixels of its pictures; None where it has stick figures only."""
        if "skeleton" in self.record.streams:
            return None
        joints, _ = self._pose
        onto = self._onto(self.size_px)
        rows = slice(self.record.first_frame, self.record.first_frame + len(self))
        return Joints(
            (joints.xy_TJC[rows] @ onto[:2, :2].T + onto[:2, 2]).astype(np.float32),
            joints.present_TJ[rows],
            joints.fps,
            None if joints.confidence_TJ is None else joints.confidence_TJ[rows],
        )

    def _onto(self, size_px: int) -> np.ndarray:
        """From pixels of the pose to those of the signer's square at ``size_px``, 3×3."""
        shrink = size_px / self.stored_px
        return np.diag([shrink, shrink, 1.0]) @ np.array(self.record.extra["crop"], np.float64)

    @cached_property
    def _pose(self) -> tuple[Joints, np.ndarray]:
        pose = media.read_pose(self.record.path("pose", self.root, "a painter"))
        return joints_of(pose), face_lines(pose)

    def _read_limbs(self, row: int) -> np.ndarray:
        key = (self.id, row, self.limbs_px)
        held = self.memory.get(key)
        if held is None:
            path = self.record.path("skeleton", self.root, "a painter")
            picture = media.read_frames(path, [self.record.first_frame + row])[0]
            held = limbs_of_picture(picture, self.limbs_px)
            if not self.memory.full:
                self.memory.put(key, held)
        return held


def resized(frames_THWC: np.ndarray, size_px: int) -> np.ndarray:
    """Square frames at another size: averaged where they shrink, interpolated where they grow."""
    if frames_THWC.shape[1] == size_px:
        return frames_THWC
    cv2 = media.import_cv2()
    how = cv2.INTER_AREA if frames_THWC.shape[1] > size_px else cv2.INTER_CUBIC
    return np.stack([cv2.resize(f, (size_px, size_px), interpolation=how) for f in frames_THWC])


def clips_of(
    manifest: Manifest, inputs: PaintInput, signers: Sequence[str], memory: Memory | None = None
) -> list[CorpusClip]:
    """The clips of ``manifest`` at the sizes of ``inputs``, each with its signer's place among ``signers``."""
    stored_px = int(manifest.fingerprint("signer")["size_px"])
    memory = memory or default_memory()
    place = {signer: k for k, signer in enumerate(signers)}
    if strangers := sorted({r.signer or "" for r in manifest} - place.keys()):
        raise InputError(f"signer '{strangers[0]}' of '{manifest.root}' is none of the painter's: {', '.join(signers)}")
    sizes = (inputs.size_px, inputs.limbs_px or inputs.size_px, stored_px)
    return [CorpusClip(r, manifest.root, *sizes, place[r.signer or ""], memory) for r in manifest]


def how_standing(manifest: Manifest) -> str:
    """The stream that says how the signer stands: "skeleton" where the corpus has it, else "pose"."""
    return "skeleton" if any("skeleton" in r.streams for r in manifest) else "pose"


# --- training -----------------------------------------------------------------------------------------------------


def train_painter(
    manifest: Manifest,
    recipe: PaintRecipe,
    out: Path,
    *,
    seed: int = 0,
    split: Mapping[str, Any] | None = None,
    painter: Path | None = None,
    look_every: int | None = None,
    quiet: bool = False,
) -> Checkpoint:
    """Train ``recipe`` on the train split of ``manifest`` and write its checkpoint into ``out``.

    After a minute, then every five or every ``look_every`` steps, ``out`` holds a usable checkpoint, ``look.png``
    (pose, painted, real) and ``look.mp4``, of validation clips where there are any. Only clips of the splits train and
    val are opened. A finished run is loaded again instead of repeated; a killed one goes on where it was. ``painter``
    is the run whose painter a recipe that enlarges one begins with; LeakError when it was trained on another split.
    """
    import torch

    enlarges = recipe.architecture == "upscaled"
    if enlarges == (painter is None):
        raise InputError(
            f"recipe '{recipe.name}' enlarges a finished painter: give its run folder as --painter"
            if enlarges
            else f"--painter: recipe '{recipe.name}' begins with no other painter (paint-512 does); leave it out"
        )
    refuse_leaks(manifest)
    train = manifest.only("train")
    signers = tuple(sorted({r.signer or "" for r in train}))
    stream = how_standing(train)
    fingerprints = {s: dict(manifest.fingerprint(s)) for s in ("signer", stream)}
    begins_with = [media.content_hash(weights_file(painter))] if painter is not None else []
    run_hash = fingerprint_hash(recipe.as_dict(), manifest.corpus_hash(), split_hash_of(manifest), seed, *begins_with)
    folder, finished = out / "checkpoint", out / RUN_FILE
    if is_finished(out, run_hash):
        return load_checkpoint(folder)
    size = recipe.inputs.size_px
    memory = default_memory()
    clips = clips_of(train, recipe.inputs, signers, memory)
    val = manifest.where(lambda r: r.split == "val" and (r.signer or "") in signers)
    shown = clips_of(val, recipe.inputs, signers, memory)
    frames = PaintSet(clips, memory)
    torch.manual_seed(seed)
    if painter is not None:
        small = _painter_to_enlarge(painter, manifest, recipe, signers)
        config = {**recipe.model, "painter": tuple(asdict(small.model.config).items())}
        model = build(recipe.architecture, config)
        model.painter.load_state_dict(small.model.state_dict())
    else:
        config = {**recipe.model, "size_px": size, "n_identities": len(signers)}
        model = build(recipe.architecture, config)
    if painter is None and hasattr(model, "background"):

        def as_plate(picture: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(picture).permute(2, 0, 1).float() / 255

        with torch.no_grad():
            for k in range(len(signers)):
                rows = np.flatnonzero(frames.identity_N == k)
                some = rows[np.linspace(0, len(rows) - 1, min(len(rows), BACKGROUND_FRAMES)).astype(int)]
                pairs = [(frames.picture(int(n)), frames.limbs(int(n))) for n in some]
                background = background_of(pairs)
                model.background[k] = as_plate(background)
                if model.config.usual:
                    model.usual[k] = as_plate(usual_of(pairs, background))
    task = PaintTask(frames, recipe, temporal=bool(getattr(model.config, "temporal", False)))
    inputs = replace(
        recipe.inputs,
        crop=fingerprints["signer"].get("crop") or _own_square(clips),
        signers=signers,
        limb_levels=_limb_levels(clips),
        proportions=tuple(_proportions([c for c in clips if c.identity == k]) for k in range(len(signers))),
    )
    kept: dict[str, Any] = {
        "streams": fingerprints,
        "recipe": {**recipe.as_dict(), "seed": seed},
        "corpus": describe_corpus(manifest),
        "split": {
            **(split or {"scheme": "given"}),
            "train": len(train),
            "val": len(shown),
            "hash": split_hash_of(manifest),
        },
    }

    def checkpoint(weights: Mapping[str, Any], metrics: Mapping[str, Any]) -> Checkpoint:
        final = build(recipe.architecture, config)
        final.load_state_dict(weights)
        return Checkpoint(recipe.architecture, final.eval(), (), inputs, metrics=metrics, **kept)

    def look(weights: Mapping[str, Any], step: int) -> None:
        now = checkpoint(weights, {"steps": step})
        save_checkpoint(now, folder)
        write_look(now, shown or clips, out)

    result = fit_painter(
        model,
        build_critics(recipe.losses, recipe.architecture, config),
        task,
        out,
        seed=seed,
        run_hash=run_hash,
        quiet=quiet,
        on_look=look,
        look_every=look_every,
    )
    look(result.weights, result.steps)
    write_json(out / "history.json", result.history)
    spent = {"steps": result.steps, "seconds": round(result.seconds, 1), "skipped_steps": result.skipped}
    write_json(finished, {"run_hash": run_hash, "seed": seed, **spent})
    (out / "state.pt").unlink(missing_ok=True)
    return load_checkpoint(folder)


def _painter_to_enlarge(folder: Path, manifest: Manifest, recipe: PaintRecipe, signers: Sequence[str]) -> Checkpoint:
    """The painter of a run, for one of twice its size. It must not have learnt from clips this run is not to know."""
    known = load_checkpoint(folder)
    if known.architecture != "painter":
        raise InputError(f"--painter '{folder}' is a '{known.architecture}'; expected a run of --recipe paint")
    if 2 * known.inputs.size_px != recipe.inputs.size_px or known.inputs.size_px != recipe.inputs.limbs_px:
        raise InputError(
            f"--painter '{folder}' paints {known.inputs.size_px} px; recipe '{recipe.name}' doubles "
            f"{recipe.inputs.size_px // 2} px. Set inputs.size_px and inputs.limbs_px to go with it"
        )
    if known.inputs.signers != tuple(signers):
        raise InputError(f"--painter '{folder}' paints {known.inputs.signers}, the corpus has {tuple(signers)}")
    if known.split.get("hash") != split_hash_of(manifest):
        raise LeakError(
            f"--painter '{folder}' was trained on another split than this run's: it may know its test clips. Train "
            "both on the same split (--split RUN/split.json)"
        )
    return known


def build_critics(losses: PaintLosses, architecture: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """The critics that ``losses`` asks for, by what they look at."""
    from signloom.models.discriminators import PatchCritic, PatchCriticConfig
    from signloom.models.pix2pix import PatchGAN, Pix2PixConfig

    if architecture == "pix2pix":
        return {"whole": PatchGAN(Pix2PixConfig(**model))} if losses.critic else {}
    wanted = {"whole": losses.critic, "face": losses.face_critic, "hand": losses.hand_critic}
    return {part: PatchCritic(PatchCriticConfig()) for part, weight in wanted.items() if weight}


def _own_square(clips: Sequence[CorpusClip]) -> dict[str, Any] | None:
    """Where the signer stands in pictures that came cut, as settings of SignerCrop: so poses can be brought there.

    Read off the stick figures of some frames; None where their shoulders are not seen.
    """
    every = [(c, row) for c in clips for row in range(len(c))]
    some = [every[k] for k in np.linspace(0, len(every) - 1, min(len(every), BACKGROUND_FRAMES)).astype(int)]
    seen = [s for c, row in some if (s := shoulders_in_limbs(c.limbs(row))) is not None]
    if not seen:
        return None
    left, right = (np.array(side) for side in zip(*seen))
    size = clips[0].limbs_px
    width = float(np.percentile(np.linalg.norm(left - right, axis=1), 90))
    across, height = (np.median(left + right, axis=0) / 2 / size).round(3).tolist()
    return asdict(SignerCrop(size, round(size / width, 3), height, across=across))


def _limb_levels(clips: Sequence[CorpusClip]) -> tuple[int, ...]:
    every = [(c, row) for c in clips for row in range(len(c))]
    some = [every[k] for k in np.linspace(0, len(every) - 1, min(len(every), 2 * BACKGROUND_FRAMES)).astype(int)]
    brightest = np.array([c.limbs(row).max((0, 1)) for c, row in some])
    return tuple(int(np.percentile(b[b > 0], 90)) if b.any() else 0 for b in brightest.T)


def _proportions(clips: Sequence[CorpusClip]) -> dict[str, Any] | None:
    """The signer's build, from the poses of all ``clips``; None where the corpus has stick figures only."""
    with_pose = [c for c in clips if "pose" in c.record.streams]
    if not with_pose:
        return None
    poses = [joints_of(media.read_pose(c.record.path("pose", c.root, "a painter"))) for c in with_pose]
    return asdict(common_proportions(poses))


LOOK_ROWS, LOOK_FRAMES = 6, 75


def write_look(checkpoint: Checkpoint, clips: Sequence[CorpusClip], out: Path) -> None:
    """``look.png``: frames of ``clips`` as pose, painted and real; ``look.mp4``: the start of the first clip so."""
    painter = Painter(checkpoint)

    def figure(limbs: np.ndarray) -> np.ndarray:
        return resized(stick_figure(limbs)[None], painter.size_px)[0]

    every = [(c, row) for c in clips for row in range(len(c))]
    some = [every[k] for k in np.linspace(0, len(every) - 1, min(LOOK_ROWS, len(every))).astype(int)]
    rows = []
    for clip, row in some:
        limbs = clip.limbs(row)
        painted = next(painter.paint([limbs], clip.identity))
        rows.append(np.concatenate([figure(limbs), painted, clip.pictures([row])[0]], 1))
    media.write_picture(out / "look.png", np.concatenate(rows))
    first = clips[0]
    numbers = range(min(LOOK_FRAMES, len(first)))
    made = painter.paint((first.limbs(n) for n in numbers), first.identity)
    beside = (
        np.concatenate([figure(first.limbs(n)), frame, first.pictures([n])[0]], 1) for n, frame in zip(numbers, made)
    )
    media.write_video(out / "look.mp4", beside, first.fps, metadata=GENERATED)


# --- use ----------------------------------------------------------------------------------------------------------

GENERATED = {
    "comment": "Generated video: painted from poses by signloom. It shows no recording of a person.",
    "signloom_generated": "true",
}
"""Metadata of every video that holds painted frames."""


class Painter:
    """A trained painter, ready to use: frame by frame, in order.

    ``size_px`` is the side of its pictures, ``limbs_px`` that of the limbs it is given.
    """

    def __init__(self, checkpoint: Checkpoint):
        import torch

        if not isinstance(checkpoint.inputs, PaintInput):
            raise CheckpointError(
                f"the checkpoint is a '{checkpoint.architecture}', which paints nothing. Give a run of "
                "signloom train --recipe paint"
            )
        self.checkpoint = checkpoint
        self.inputs: PaintInput = checkpoint.inputs
        self.size_px = self.inputs.size_px
        self.limbs_px = self.inputs.limbs_px or self.size_px
        self.signers = self.inputs.signers
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = checkpoint.model.to(self.device, memory_format=torch.channels_last).eval()

    def paint(self, limbs: Iterable[np.ndarray], identity: int = 0) -> Iterator[np.ndarray]:
        """Each of ``limbs``, uint8 (s, s, L), as a picture, uint8 (S, S, 3) RGB; they are one clip, in order."""
        for picture, _ in self._run(limbs, identity):
            yield _as_frame(picture)

    def enlarged(self, limbs: Iterable[np.ndarray], identity: int = 0) -> Iterator[np.ndarray]:
        """The same by plain bicubic enlargement, of a painter that learnt to do it better."""
        from signloom.models.upscaled import enlarged

        for _, small in self._run(limbs, identity):
            yield _as_frame(enlarged(small))

    def _run(self, limbs: Iterable[np.ndarray], identity: int) -> Iterator[tuple[Any, Any]]:
        import torch

        who = torch.tensor([identity], device=self.device)
        state = None
        for frame in limbs:
            if self.inputs.limb_levels:
                frame = np.minimum(frame, np.array(self.inputs.limb_levels, np.uint8))
            x = torch.from_numpy(frame).to(self.device).permute(2, 0, 1)[None].float() / 255
            with torch.inference_mode():  # not around the yield: it would hold in the caller's code, too
                picture, state = self.model(x, state, who)
            yield picture, state


def _as_frame(picture_B3HW: Any) -> np.ndarray:
    return (picture_B3HW[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().cpu().numpy()


def load_painter(folder: Path) -> Painter:
    """The painter of a run folder or checkpoint. Raises CheckpointError for what is none."""
    return Painter(load_checkpoint(folder))


# --- measuring ----------------------------------------------------------------------------------------------------


def is_painter(folder: Path) -> bool:
    """Whether ``folder`` is a run or checkpoint of a painter."""
    for file in (folder / "config.json", folder / "checkpoint" / "config.json"):
        if file.exists():
            return json.loads(file.read_text(encoding="utf-8")).get("architecture") in (
                "painter",
                "pix2pix",
                "upscaled",
            )
    return False


def evaluate_run(
    painter: Painter,
    manifest: Manifest,
    on: str,
    out: Path | None = None,
    *,
    embed_clips: bool = True,
    lpips: Distance | None = None,
    fid: Features | None = None,
) -> dict[str, Any]:
    """Measure ``painter`` on the clips of one split beside what it must beat, and write its page into ``out``.

    What it must beat is made of the train split. Poses are found again in painted and real frames where the corpus has
    poses to compare them with. ``lpips`` and ``fid`` as for :func:`signloom.tasks.paint.evaluate.evaluate_painter`.
    """
    from signloom.tasks.paint.evaluate import PageSettings, PaintedClip, evaluate_painter, write_painter_page

    for stream in painter.checkpoint.streams:
        painter.checkpoint.check_stream(stream, manifest.fingerprint(stream), str(manifest.root))
    known = manifest.where(lambda r: (r.signer or "") in painter.signers)
    clips = clips_of(known.only(on), painter.inputs, painter.signers)
    train = clips_of(known.where(lambda r: r.split == "train"), painter.inputs, painter.signers)

    def painted(clip: CorpusClip) -> PaintedClip:
        rows = range(len(clip))
        shown = replace(clip, limbs_px=clip.size_px)  # parts are found, and shown, at the size of the pictures
        rivals = {}
        if painter.checkpoint.architecture == "upscaled":
            rivals["bicubic enlargement"] = lambda: painter.enlarged((clip.limbs(t) for t in rows), clip.identity)
        return PaintedClip(
            clip.id,
            clip.fps,
            painted=lambda: painter.paint((clip.limbs(t) for t in rows), clip.identity),
            real=lambda: (clip.pictures([t])[0] for t in rows),
            limbs=lambda: (shown.limbs(t) for t in rows),
            rivals=rivals,
            before=clip.before(),
            wanted=clip.joints(),
        )

    measured = [painted(c) for c in clips]
    results = {
        "kind": "paint-evaluation",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "signloom_version": signloom.__version__,
        **evaluate_painter(measured, (lambda: _pairs(train)) if train else None, lpips=lpips, fid=fid),
        "on": on,
        "model": {
            "architecture": painter.checkpoint.architecture,
            "recipe": painter.checkpoint.recipe.get("name"),
            "parameters": sum(p.numel() for p in painter.model.parameters()),
            "size_px": painter.size_px,
        },
        "split": dict(painter.checkpoint.split),
        "corpus": describe_corpus(manifest),
        "recipe": dict(painter.checkpoint.recipe),
    }
    if out is not None:
        write_json(out / f"evaluation-{on}.json", results)
        about = {"recipe": results["model"]["recipe"], "steps": painter.checkpoint.metrics.get("steps"), "split": on}
        settings = PageSettings(embed_clips=embed_clips, about={**about, **results["model"]})
        write_painter_page(results, measured, out / "report.html", settings)
    return results


def _pairs(clips: Sequence[CorpusClip]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for clip in clips:
        for t in range(len(clip)):
            yield clip.pictures([t])[0], clip.limbs(t)
