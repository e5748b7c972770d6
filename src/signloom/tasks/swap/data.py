"""What a face swap learns from: faces of several people and of nobody, warped, lit and covered at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from signloom import media
from signloom.data.batch import Batch
from signloom.data.consent import consent_in
from signloom.data.corpus import ClipRef, Corpus
from signloom.errors import InputError
from signloom.runtime.workers import default_workers
from signloom.streams import streams_of
from signloom.streams.face_crop import blurred, face_and_mask
from signloom.streams.face_layout import (
    KEPT,
    N_FACE,
    SIDE,
    face_points,
    in_square,
    layout_of,
    standard_face,
)
from signloom.streams.standard_body import standard_body
from signloom.synthetic.body import hand_joints
from signloom.synthetic.faces import told_faces, told_points
from signloom.training.prefetch import Prefetch
from signloom.transforms.avatar_face import avatar_of
from signloom.transforms.face_cover import hand_pixels
from signloom.transforms.face_input import NOBODY, FaceInput

if TYPE_CHECKING:
    from signloom.tasks.swap.recipes import SwapRecipe

STREAMS = ("faces", "pose")


@dataclass(frozen=True)
class Faces:
    """Faces of one person: ``pictures_N`` uint8 (N, S, S, 3), ``seen_N`` uint8 (N, S, S), and what each does:
    ``told_NE`` five expressions and how far the head is turned. ``ids`` are the clips'."""

    pictures_N: np.ndarray
    seen_N: np.ndarray
    told_NE: np.ndarray
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures_N)


@dataclass
class SwapData:
    """The faces of every identity as batches. Implements :class:`signloom.training.task.TrainingData`.

    ``pair_of`` says, for each frame of each real person, which frame of nobody does the same (-1: none).
    ``shown`` are held-out faces to look at, by the person's name.
    """

    faces: Mapping[str, Faces]
    pair_of: Mapping[str, np.ndarray]
    recipe: SwapRecipe
    inputs: FaceInput
    shown: Mapping[str, Faces] = field(default_factory=dict)

    n_classes = 0
    labels: tuple[str, ...] = ()

    @property
    def n_train(self) -> int:
        """How many real frames there are."""
        return sum(len(f) for name, f in self.faces.items() if name != NOBODY)

    @property
    def n_val(self) -> int:
        return sum(len(f) for f in self.shown.values())

    @property
    def prefetch(self) -> Prefetch:
        import torch

        n = min(8, default_workers()) if torch.cuda.is_available() else 1
        return Prefetch(n, n)

    def steps_per_epoch(self) -> int:
        return max(1, self.n_train // self.recipe.schedule.batch_size)

    def batch(self, seed: int, step: int, rank: int = 0, n_processes: int = 1) -> tuple[Batch, float]:
        """This process's share of batch ``step``, and the weight of each of its faces.

        Input ``face`` (B, 3, S, S) from 0 to 1 is what comes in; target ``picture`` the same face as ``identity``
        int64 (B,) looks doing it, ``within`` (B, 1, S, S) where that is a face, ``seen`` (B, 1, S, S) where the one
        that came in is seen.
        """
        import torch

        n = self.recipe.schedule.batch_size
        share = range(n)[rank::n_processes]
        rows = [self._one(np.random.default_rng((seed, 2, step, k)), k) for k in (share or range(1))]
        ids, faces, pictures, within, seen, identity = zip(*rows)
        batch = Batch(
            ids,
            inputs={"face": _as_tensor(faces), "identity": torch.tensor(identity, dtype=torch.int64)},
            targets={"picture": _as_tensor(pictures), "within": _as_tensor(within), "seen": _as_tensor(seen)},
        )
        return batch, (n_processes / n if share else 0.0)

    def _one(self, rng: np.random.Generator, k: int) -> tuple[str, Any, Any, Any, Any, int]:
        names = list(self.inputs.identities)
        name = names[k % len(names)] if k < len(names) else names[int(rng.integers(len(names)))]
        own = self.faces[name]
        row = int(rng.integers(len(own)))
        becomes, target, other = name, own, row
        if name != NOBODY and NOBODY in self.faces and rng.random() < self.recipe.as_nobody:
            pair = int(self.pair_of[name][row])
            if pair < 0:  # of a frame that nobody does as well, take one that somebody does
                paired = np.flatnonzero(self.pair_of[name] >= 0)
                if len(paired):
                    row = int(paired[int(rng.integers(len(paired)))])
                    pair = int(self.pair_of[name][row])
            if pair >= 0:
                becomes, target, other = NOBODY, self.faces[NOBODY], pair
        augment, size = self.recipe.augment, self.inputs.size_px
        matrix = augment.similarity(rng, size)
        picture, within = _moved(target.pictures_N[other], matrix), _moved(target.seen_N[other], matrix)
        stacked = np.dstack([_moved(own.pictures_N[row], matrix), _moved(own.seen_N[row], matrix)])
        if rng.random() < augment.covered:
            stacked = _covered(stacked, rng)
        stacked = augment.bent(stacked, rng)
        face = augment.lit(stacked[..., :3], rng)
        return own.ids[row], face, picture, within[..., None], stacked[..., 3:], names.index(becomes)


def _moved(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    cv2 = media.import_cv2()
    size = picture.shape[1], picture.shape[0]
    border = cv2.BORDER_REPLICATE if picture.ndim == 3 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)


def _as_tensor(pictures_HWC: Sequence[np.ndarray]) -> Any:
    import torch

    return torch.from_numpy(np.stack(pictures_HWC)).permute(0, 3, 1, 2).float() / 255


def _covered(face_HW4: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The face (its fourth channel is where it is seen) with a drawn hand, or an arm, before a part of it."""
    cv2 = media.import_cv2()
    size = len(face_HW4)
    joints, _ = drawn_hand(rng, size)
    hand = hand_pixels([joints], (size, size))
    if rng.random() < 0.3:  # an arm goes on from the wrist
        root, knuckle = joints[0], joints[9]
        end = root + (root - knuckle) * 4
        thick = max(3, round(float(np.linalg.norm(joints[5] - joints[17])) * 0.8))
        cv2.line(hand, np.round(root).astype(int).tolist(), np.round(end).astype(int).tolist(), 255, thick)
    painted = painted_hand(face_HW4[..., :3], face_HW4[..., 3], hand, joints, rng)
    soft = cv2.GaussianBlur(hand, (0, 0), 0.6)[..., None] / 255.0
    out = face_HW4.copy()
    out[..., :3] = np.round(face_HW4[..., :3] * (1 - soft) + painted * soft)
    out[..., 3][hand > 0] = 0
    return out


def drawn_hand(rng: np.random.Generator, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The joints (21, 2) of a hand of a random shape somewhere about a face laid out in ``size_px``, and its nearness
    (21,)."""
    bends = np.concatenate([rng.uniform(0, 80, 1), rng.uniform(0, 80, 19)]) * (rng.random() < 0.7)
    joints = hand_joints(bends, 1.0)
    joints = joints - joints[9]
    a, b, c = rng.uniform(0, 2 * np.pi), rng.uniform(-0.9, 0.9), rng.uniform(0, 2 * np.pi)
    spin = _turn(2, a) @ _turn(0, b) @ _turn(1, c)
    placed = joints @ spin.T
    scale = size_px / SIDE / 0.091 * rng.uniform(0.8, 1.3)  # metres of an average head: the eyes are 91 mm apart
    middle = np.array([rng.uniform(0.12, 0.88), rng.uniform(0.2, 1.0)]) * size_px
    return placed[:, :2] * scale + middle, -placed[:, 2]


def _turn(axis: int, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    i, j = [k for k in range(3) if k != axis]
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def painted_hand(
    face_HWC: np.ndarray, seen_HW: np.ndarray, hand_HW: np.ndarray, joints: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A picture of skin, mostly of about the face's own colour, darker towards the hand's edge and between fingers."""
    cv2 = media.import_cv2()
    size = len(face_HWC)
    skin = face_HWC[seen_HW > 127]
    colour = np.median(skin, 0) if len(skin) else np.array([200, 160, 140])
    colour = colour * rng.normal(1.0, 0.12) + rng.normal(0, 8, 3)
    if rng.random() < 0.15:  # a sleeve, a glove, somebody else
        colour = rng.uniform(20, 235, 3)
    inner = cv2.distanceTransform((hand_HW > 0).astype(np.uint8), cv2.DIST_L2, 3)
    shade = 1 - 0.35 * np.exp(-inner / max(1.0, size * 0.012))
    line = np.linspace(-1, 1, size)
    ramp = 1 + rng.normal(0, 0.12) * line[None] + rng.normal(0, 0.12) * line[:, None]
    grain = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), 1.2) * 6
    fingers = np.zeros((size, size), np.float32)
    whole = np.round(np.clip(joints, -999, 999)).astype(int)
    for k in range(1, 21):
        if k % 4 != 1:
            cv2.line(fingers, whole[k - 1].tolist(), whole[k].tolist(), float(rng.uniform(-14, 14)), 2)
    detail = cv2.GaussianBlur(fingers, (0, 0), 1.0) + grain
    return np.clip(colour * (shade * ramp)[..., None] + detail[..., None], 0, 255)


# --- reading ------------------------------------------------------------------------------------------------------


def read_corpus(corpus: Corpus, recipe: SwapRecipe) -> SwapData:
    """The faces that ``recipe`` learns from. Raises InputError where there are none, or of nobody."""
    faces = faces_of_people(corpus, "train", recipe.inputs.size_px, recipe.most_frames)
    if not faces:
        raise InputError(
            f"the train split of '{corpus.root}' has no frame with a face to learn from; look at the sheet of "
            "`signloom faces`"
        )
    if NOBODY in faces:
        raise InputError(f"a signer is called '{NOBODY}', which is the name of the drawn face; rename them")
    pair_of: dict[str, np.ndarray] = {}
    if recipe.nobody_frames:
        faces, pair_of = _with_nobody(faces, recipe)
    if len(faces) < 2:
        raise InputError("a face swap takes two identities; there is one signer, and nobody_frames is 0")
    given = _consents(corpus, recipe)
    inputs = replace(recipe.inputs, identities=tuple(faces), consent={k: v for k, v in given.items() if k in faces})
    return SwapData(faces, pair_of, recipe, inputs, faces_of_people(corpus, "val", recipe.inputs.size_px, 64))


def _consents(corpus: Corpus, recipe: SwapRecipe) -> dict[str, str]:
    """Where it is on record that a signer agreed to being painted: in the corpus, or as the recipe tells."""
    manifest = getattr(corpus, "manifest", None)
    given: dict[str, str] = {}
    if manifest is not None:
        given = {s: "the corpus: synthesis yes" for s, said in consent_in(manifest).items() if said.get("synthesis")}
        for record in manifest:
            if record.consent and record.signer:
                given.setdefault(record.signer, record.consent)
    known = {clip.signer or "" for clip in corpus.clips("train")}
    for name, where in recipe.consent:
        if name not in known:
            raise InputError(f"--consent '{name}': there is no such signer; there is {', '.join(sorted(known))}")
        given[name] = where
    return given


def faces_of_people(corpus: Corpus, split: str, size_px: int, most: int) -> dict[str, Faces]:
    """The good faces of one split by person, ``size_px`` a side, at most ``most`` of each, spread over the clips."""
    by_name: dict[str, list[ClipRef]] = {}
    for clip in corpus.clips(split):
        by_name.setdefault(clip.signer or "", []).append(clip)
    streams = streams_of({s: corpus.fingerprint(s) for s in STREAMS})
    found = {}
    for name, clips in sorted(by_name.items()):
        good = [(clip, row) for clip in clips for row in kept_rows(clip)]
        if len(good) > most:
            good = [good[k] for k in np.linspace(0, len(good) - 1, most).round().astype(int)]
        if good and (own := _faces_of(good, streams, size_px)) is not None:
            found[name] = own
    return found


def kept_rows(clip: ClipRef) -> list[int]:
    """The frames of ``clip`` that are good to learn from; all of a clip whose record does not tell."""
    record = getattr(clip, "record", None)
    letters = record.extra.get("face_found") if record is not None else None
    if letters is None:
        return list(range(clip.n_frames))
    return [t for t, letter in enumerate(letters) if letter == KEPT]


def _faces_of(good: Sequence[tuple[ClipRef, int]], streams: Mapping[str, Any], size_px: int) -> Faces | None:
    """None where all of them are hidden."""
    cv2 = media.import_cv2()
    rows: dict[str, tuple[ClipRef, list[int]]] = {}
    for clip, row in good:
        rows.setdefault(clip.id, (clip, []))[1].append(row)
    pictures, seen, told, ids = [], [], [], []
    for clip, numbers in rows.values():
        figures = told_of(clip.read(streams["pose"]))
        for row, both in zip(numbers, clip.read(streams["faces"], numbers)):
            side = both.shape[0]
            if not both[:, side:].any():
                continue
            small = cv2.resize(both, (2 * size_px, size_px), interpolation=cv2.INTER_AREA)
            pictures.append(small[:, :size_px])
            seen.append(small[:, size_px:, 1])
            told.append(figures[min(row, len(figures) - 1)])
            ids.append(clip.id)
    if not pictures:
        return None
    sharp = np.flatnonzero(~blurred(pictures))
    return Faces(
        np.stack([pictures[k] for k in sharp]),
        np.stack([seen[k] for k in sharp]),
        np.stack([told[k] for k in sharp]),
        tuple(ids[k] for k in sharp),
    )


def told_of(joints: Any) -> np.ndarray:
    """What the face does in each frame: five expressions, and how far it is turned, (T, 6)."""
    points = face_points(joints)
    layout = layout_of(points)
    firsts = [None if p is None else p[:N_FACE] for p in points]
    figures = avatar_of(firsts, standard_body(), joints.fps).figures_TE
    return np.concatenate([figures, layout.turned_T[:, None]], 1)


# --- nobody -------------------------------------------------------------------------------------------------------


def _with_nobody(faces: Mapping[str, Faces], recipe: SwapRecipe) -> tuple[dict[str, Faces], dict[str, np.ndarray]]:
    """``faces`` and nobody's: frames that do what a frame of a real person does, and some that do what they like."""
    rng = np.random.default_rng(0)
    n_paired = round(0.75 * recipe.nobody_frames)
    every = [(name, row) for name, own in faces.items() for row in range(len(own))]
    chosen = [every[k] for k in np.unique(np.linspace(0, len(every) - 1, min(n_paired, len(every))).astype(int))]
    told = np.stack([faces[name].told_NE[row] for name, row in chosen])
    free = np.zeros((recipe.nobody_frames - len(chosen), 6))
    free[:, :5] = rng.beta(0.5, 1.0, (len(free), 5))
    free[:, 5] = rng.normal(0, 0.2, len(free))
    told = np.concatenate([told, free])
    degrees = np.stack([turned_deg(told[:, 5]), rng.normal(0, 3, len(told))], 1)
    degrees[: len(chosen), 1] = 0
    expression = np.clip(told[:, :5], -0.4, 1.3)
    pictures, seen = [], []
    made = list(told_faces(expression, degrees, rng))
    layout = layout_of([_joints_first(points) for _, points in made])
    for t, (frame, _) in enumerate(made):
        both = face_and_mask(frame, layout, t, (), recipe.inputs.size_px)
        pictures.append(both[:, : recipe.inputs.size_px])
        seen.append(both[:, recipe.inputs.size_px :, 1])
    nobody = Faces(np.stack(pictures), np.stack(seen), told, (NOBODY,) * len(told))
    pair_of = {name: np.full(len(own), -1) for name, own in faces.items()}
    for k, (name, row) in enumerate(chosen):
        pair_of[name][row] = k
    return {**faces, NOBODY: nobody}, pair_of


def _joints_first(points_P2: np.ndarray) -> np.ndarray:
    return np.concatenate([points_P2[list(standard_body().face_joints)], points_P2])


def turned_deg(turned_T: np.ndarray) -> np.ndarray:
    """By how many degrees nobody's head must turn aside to look as far turned as ``turned_T``."""
    degrees, turned = _turns()
    return np.interp(turned_T, turned, degrees)


@cache
def _turns() -> tuple[np.ndarray, np.ndarray]:
    degrees = np.linspace(-40, 40, 17)
    points = told_points(np.zeros((len(degrees), 5)), np.stack([degrees, np.zeros(len(degrees))], 1))
    turned = layout_of([_joints_first(p) for p in points]).turned_T
    order = np.argsort(turned)
    return degrees[order], turned[order]


@cache
def feature_weights(size_px: int, weight: float) -> np.ndarray:
    """How much each pixel of a laid-out face counts, (S, S): ``weight`` at eyes, brows and mouth, 1 elsewhere."""
    cv2 = media.import_cv2()
    face = in_square(standard_face(), size_px)
    mask = np.zeros((size_px, size_px), np.float32)
    for part in (slice(0, 10), slice(10, 13), slice(13, 16), slice(16, 20), slice(20, 24)):  # mouth, brows, eyes
        hull = cv2.convexHull(face[part].astype(np.float32))
        cv2.fillPoly(mask, [np.round(hull).astype(np.int32)], 1.0)
        cv2.polylines(mask, [np.round(hull).astype(np.int32)], True, 1.0, max(1, size_px // 24))
    return 1 + (weight - 1) * cv2.GaussianBlur(mask, (0, 0), size_px / 64)
