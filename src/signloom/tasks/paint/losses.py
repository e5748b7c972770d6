"""What is asked of a painted picture: to be like the real one, and to be taken for real by discriminators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from signloom.training.task import Step
from signloom.transforms.parts import Box

if TYPE_CHECKING:
    from torch import Tensor

    from signloom.data.batch import Batch
    from signloom.tasks.paint.recipes import PaintLosses

ALONE = Step(0, 0.0)
"""A step of a single process: every mean counts as it is."""


def paint_batch(model: Any, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The last picture of ``batch``, the one before it, and that warped to the last pose; None where there is none.

    Pictures are (B, 3, S, S). Those before the last are painted without gradient, each from the one before it.
    """
    import torch
    import torch.nn.functional as F

    pose_map_BTLHW, identity_B = batch.inputs["pose_map"], batch.inputs["identity"]
    if not hasattr(model, "plates"):
        return model(pose_map_BTLHW[:, -1], None, identity_B)[0], None, None
    plates = model.plates(identity_B)
    grid = F.affine_grid(batch.inputs["moved"], list(plates.shape), align_corners=False)
    plates = F.grid_sample(plates, grid, padding_mode="border", align_corners=False)
    state = None
    with torch.no_grad():
        for t in range(pose_map_BTLHW.shape[1] - 1):
            state, _ = model.paint(pose_map_BTLHW[:, t], state, plates, identity_B)
    picture, warped = model.paint(pose_map_BTLHW[:, -1], state, plates, identity_B)
    return picture, state, warped if state is not None else None


def picture_loss(
    losses: PaintLosses,
    batch: Batch,
    painted: Tensor,
    before: Tensor | None = None,
    warped: Tensor | None = None,
    step: Step = ALONE,
) -> Tensor:
    """What ``painted`` misses of the real picture, as ``losses`` weighs it; discriminators apart."""
    from signloom.metrics.pictures import ssim

    real = batch.targets["pictures"][:, -1]
    total = losses.l1 * (painted - real).abs().mean()
    if losses.ssim:
        total = total + losses.ssim * (1 - ssim(painted, real).mean())
    if losses.edges:
        total = total + losses.edges * edge_loss(painted, real)
    if losses.parts or losses.texture or losses.grid:
        for kind in ("face", "hand"):
            a, b = (cut_parts(x, batch.lists["boxes"], kind) for x in (painted, real))
            share = step.mean_over_all(len(a))
            if len(a):
                of_parts = losses.parts * ((a - b).abs().mean() + losses.edges * edge_loss(a, b))
                of_detail = losses.texture * texture_loss(a, b) + losses.grid * grid_loss(a, b)
                total = total + share * of_parts
                total = total + share * of_detail
    if losses.warped and warped is not None:
        total = total + losses.warped * (warped - real).abs().mean()
    if losses.motion and before is not None:
        changed, really = painted - before, real - batch.targets["pictures"][:, -2]
        total = total + losses.motion * (changed - really).abs().mean()
    return total


def edge_loss(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """How much the differences of neighbouring pixels differ, at full and at half size (mean absolute)."""
    import torch.nn.functional as F

    total = painted_BCHW.new_zeros(())
    for k in range(2):
        a, b = (F.avg_pool2d(x, 2) if k else x for x in (painted_BCHW, real_BCHW))
        for axis in (-1, -2):
            total = total + (a.diff(dim=axis) - b.diff(dim=axis)).abs().mean()
    return total


def texture_loss(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """How much the strength of edges differs, square by square of 8 pixels (mean absolute of root mean squares)."""
    import torch.nn.functional as F

    def strength(x: Tensor) -> Tensor:
        across, down = x.diff(dim=-1)[..., :-1, :], x.diff(dim=-2)[..., :, :-1]
        return (F.avg_pool2d((across.square() + down.square()).mean(1, keepdim=True), 8, 4) + 1e-6).sqrt()

    return (strength(painted_BCHW) - strength(real_BCHW)).abs().mean()


def grid_loss(painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
    """How much of the error repeats every 4 pixels, the squares that generators work on (mean absolute).

    Brightness errors are averaged over the same place in 4 × 4 neighbouring squares; what these 16 means differ by is a
    lattice. Errors that do not repeat average out. Sides must be multiples of 4 from 16 pixels on.
    """
    import torch.nn.functional as F

    error = (painted_BCHW - real_BCHW).mean(1, keepdim=True)
    repeated = F.avg_pool2d(F.pixel_unshuffle(error, 4), 4, 2)
    return (repeated - repeated.mean(1, keepdim=True)).abs().mean()


def cut_parts(x_BCHW: Tensor, boxes: Sequence[Mapping[str, Box]], kind: str) -> Tensor:
    """The squares around the parts whose names begin with ``kind`` ("face", "hand"), (N, C, side, side); N may be 0."""
    import torch

    side = x_BCHW.shape[-1] // 4
    found = [  # unbound first, so that a gradient fills one picture and not the batch
        x_CHW[:, y0:y1, x0:x1]
        for x_CHW, of_frame in zip(x_BCHW.unbind(), boxes)
        for name, (x0, y0, x1, y1) in of_frame.items()
        if name.startswith(kind)
    ]
    return torch.stack(found) if found else x_BCHW.new_zeros((0, x_BCHW.shape[1], side, side))


# --- discriminators -----------------------------------------------------------------------------------------------


def build_discriminators(losses: PaintLosses, architecture: str, config: Any) -> dict[str, Any]:
    """The discriminators that ``losses`` asks for, by what they look at; ``config`` is the generator's."""
    from signloom.models.discriminators import PatchDiscriminator, PatchDiscriminatorConfig
    from signloom.models.pix2pix import PatchGAN, Pix2PixConfig

    if architecture == "pix2pix":
        return {"whole": PatchGAN(Pix2PixConfig(**asdict(config)))} if losses.discriminator else {}
    wanted = [part for part, weight in losses.of_discriminators.items() if weight]
    return {part: PatchDiscriminator(PatchDiscriminatorConfig()) for part in wanted}


@dataclass(frozen=True)
class Discriminators:
    """The discriminators of a run by what they look at: "whole", "face", "hand". Each sees picture and pose map."""

    heads: Mapping[str, Any]
    losses: PaintLosses

    def own_loss(self, painted: Tensor, batch: Batch, step: Step = ALONE) -> Tensor:
        """What the discriminators are to minimise: to tell real from ``painted``."""
        import torch.nn.functional as F

        total = painted.new_zeros(())
        for name, head in self.heads.items():
            real, fake = (self._seen(name, x, batch) for x in (batch.targets["pictures"][:, -1], painted.detach()))
            share = self._share(name, len(real), step)
            if share is None:
                continue
            says_real, says_fake = head(real).float(), head(fake).float()
            if not len(real):
                continue
            if self.losses.bce:
                total = total + share * (0.5 * (F.softplus(-says_real).mean() + F.softplus(says_fake).mean()))
            else:
                total = total + share * F.relu(1 - says_real).mean() + share * F.relu(1 + says_fake).mean()
        return total

    def generators_loss(self, painted: Tensor, batch: Batch, step: Step = ALONE) -> Tensor:
        """What the generator is to minimise: to be taken for real, and to look alike on the discriminators' inside.

        Its gradient reaches the generator alone.
        """
        import torch

        total = painted.new_zeros(())
        for name, head in self.heads.items():
            fake = self._seen(name, painted, batch)
            share = self._share(name, len(fake), step)
            if share is None:
                continue
            head.requires_grad_(False)
            says, inside = head(fake, with_features=True)
            head.requires_grad_(True)
            wanted: list[Tensor] = []
            if self.losses.features:
                with torch.no_grad():
                    _, wanted = head(self._seen(name, batch.targets["pictures"][:, -1], batch), with_features=True)
            if len(fake):
                total = total + share * self.losses.of_discriminators[name] * self._missed(says, inside, wanted)
        return total

    def _missed(self, says: Tensor, inside: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        import torch.nn.functional as F

        says = says.float()
        value = F.softplus(-says).mean() if self.losses.bce else -says.mean()
        if wanted:
            matched = [(a.float() - b.float()).abs().mean() for a, b in zip(inside, wanted)]
            value = value + self.losses.features * sum(matched) / len(matched)
        return value

    def _seen(self, head: str, picture: Tensor, batch: Batch) -> Tensor:
        """What discriminator ``head`` is shown of ``picture``, (N, 3 + L, H, W)."""
        import torch

        pose_map = batch.inputs["pose_map"][:, -1]
        if pose_map.shape[-1] != picture.shape[-1]:
            pose_map = torch.nn.functional.interpolate(pose_map, size=picture.shape[-2:], mode="bilinear")
        if head != "whole":  # cut before they are joined: whole ones are 20 times as large
            picture, pose_map = (cut_parts(x, batch.lists["boxes"], head) for x in (picture, pose_map))
        return torch.cat([picture, pose_map], 1)

    @staticmethod
    def _share(head: str, n: int, step: Step) -> float | None:
        """How much the mean over ``n`` pictures counts; None where no process has any, as far as this one can tell.

        A discriminator's norm goes on a step each time it looks. So that it stays the same everywhere, it looks at no
        picture where other processes may have some.
        """
        if head == "whole":
            return 1.0
        share = step.mean_over_all(n)
        return None if not n and share else share
