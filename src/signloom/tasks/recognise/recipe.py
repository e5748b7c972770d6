"""What a recogniser's training is made of, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from signloom.training.schedule import Schedule
from signloom.transforms.pose_augment import PoseAugment
from signloom.transforms.pose_input import PoseInput

LOSSES = ("classify", "classify-frames", "classify-and-locate", "distil", "generate")


@dataclass(frozen=True)
class Recipe:
    """What to train and how: the streams it reads, what is done to them, the model, the loss and the schedule.

    ``streams`` are what the trained model needs in use, ``auxiliary_streams`` what only its training reads besides.
    ``loss`` is "classify"; for video also "classify-frames" (each frame and the clip are to name the sign),
    "classify-and-locate" (the network also learns where the joints are, ``loss_weight`` times that error) or "distil"
    (it also learns the features of a teacher, ``loss_weight`` times their squared error; the teacher reads the
    ``auxiliary_streams``, or any where there are none) or "generate" (a "feature_generator" learns to give a teacher's
    features and to name the sign by them alone). Without --teacher, one of the recipe ``teacher_recipe`` learns along:
    one step of its own for every four of the generator's.
    """

    name: str
    architecture: str
    streams: tuple[str, ...]
    loss: str = "classify"
    inputs: Any = field(default_factory=PoseInput)
    augment: Any = field(default_factory=PoseAugment)
    auxiliary_streams: tuple[str, ...] = ()
    loss_weight: float = 0.0
    teacher_recipe: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)
