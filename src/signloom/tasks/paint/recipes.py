"""The recipes of generators by name: ours, and pix2pix with its published values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from signloom.training.schedule import Schedule
from signloom.transforms.generator_input import GeneratorAugment, GeneratorInput
from signloom.transforms.pose_map import palette


@dataclass(frozen=True)
class PaintLosses:
    """What a painted picture is asked for, each with its weight; 0 leaves it out.

    ``l1`` and ``ssim`` (1 - SSIM) compare pictures, ``edges`` their horizontal and vertical differences at two sizes,
    ``parts`` the l1 and edges of face and hands once more, cut out, and ``texture`` how much fine detail these hold,
    wherever exactly it lies: a blurred hand is as wrong as one that is too rough. ``grid`` keeps that detail from being
    a pattern that repeats with the squares a generator works on. ``warped`` asks the warped last picture to match by
    itself, so that flow is learnt from the first step. ``motion`` compares what changed since the frame before with
    what really changed. ``discriminator`` is the weight of the discriminator of whole pictures (which costs more than
    the generator itself), ``face_discriminator`` and ``hand_discriminator`` of those of cut-out faces and hands, each
    with ``features`` for matching its features (Wang et al. 2018, https://arxiv.org/abs/1711.11585); discriminators
    begin after ``discriminators_from`` of the run. ``bce`` makes them as in pix2pix (Isola et al. 2017,
    https://arxiv.org/abs/1611.07004) instead of with a hinge.
    """

    l1: float = 1.0
    ssim: float = 0.25
    edges: float = 0.5
    parts: float = 0.5
    texture: float = 1.0
    grid: float = 1.0
    warped: float = 0.1
    motion: float = 0.25
    discriminator: float = 0.0
    face_discriminator: float = 0.1
    hand_discriminator: float = 0.1
    features: float = 5.0
    discriminators_from: float = 0.15
    bce: bool = False

    @property
    def of_discriminators(self) -> dict[str, float]:
        """The weights of discriminators by what they look at."""
        return {"whole": self.discriminator, "face": self.face_discriminator, "hand": self.hand_discriminator}


USUAL = Schedule(
    steps=4000,
    min_steps=0,
    steps_per_class=0,
    batch_size=4,
    learning_rate=2e-3,
    discriminator_learning_rate=4e-4,
    betas=(0.9, 0.99),
    weight_decay=0.01,
    warmup_steps=100,
    label_smoothing=0.0,
    ema=0.998,
    history_steps=50,
)
"""So many steps, whatever the number of frames, unless ``minutes`` of wall-clock time are given."""


@dataclass(frozen=True)
class PaintRecipe:
    """What to train a generator as, and how. A variant is ``replace(recipe, …)``.

    A temporal generator paints a frame as the first of a clip in ``first_share`` of its batches; in the others it goes
    on from up to ``unroll`` frames that it painted itself.
    """

    name: str
    architecture: str = "generator"
    inputs: GeneratorInput = field(default_factory=GeneratorInput)
    augment: GeneratorAugment = field(default_factory=GeneratorAugment)
    losses: PaintLosses = field(default_factory=PaintLosses)
    schedule: Schedule = USUAL
    model: Mapping[str, Any] = field(default_factory=dict)
    first_share: float = 0.5
    unroll: int = 2

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)


def paint() -> PaintRecipe:
    """Paints a signer from poses at 256 px, picture by picture from the last one; real time on a CPU."""
    return PaintRecipe(name="paint")


def paint_frames() -> PaintRecipe:
    """The same without the last picture: each is painted from its pose alone. For comparison."""
    return replace(paint(), name="paint-frames", model={"temporal": False})


def pix2pix() -> PaintRecipe:
    """pix2pix (Isola 2017) from a stick figure in colours, as published: U-Net of 54 M, PatchGAN, BCE + 100 L1."""
    return PaintRecipe(
        name="pix2pix",
        architecture="pix2pix",
        model={"palette": tuple(map(tuple, palette().tolist()))},
        augment=GeneratorAugment(turn_deg=0, scale=0, shift=0, jitter=286 / 256 - 1),
        losses=PaintLosses(
            l1=100,
            ssim=0,
            edges=0,
            parts=0,
            texture=0,
            grid=0,
            warped=0,
            motion=0,
            discriminator=1,
            face_discriminator=0,
            hand_discriminator=0,
            features=0,
            discriminators_from=0,
            bce=True,
        ),
        schedule=replace(
            USUAL,
            steps=40_000,
            batch_size=1,
            learning_rate=2e-4,
            discriminator_learning_rate=2e-4,
            betas=(0.5, 0.999),
            weight_decay=0.0,
            warmup_steps=0,
            decay="constant",
            clip_norm=0.0,
            ema=0.0,
        ),
    )


def paint_512() -> PaintRecipe:
    """A finished generator of 256 px (--painter RUN) at 512 px: learns what bicubic enlargement lacks."""
    return PaintRecipe(
        name="paint-512",
        architecture="upscaled",
        inputs=GeneratorInput(size_px=512, pose_map_px=256),
        losses=PaintLosses(face_discriminator=0, hand_discriminator=0, motion=0, warped=0),
        schedule=replace(USUAL, steps=1500, batch_size=2, learning_rate=1e-3),
    )


RECIPES = {make().name: make for make in (paint, paint_frames, paint_512, pix2pix)}
