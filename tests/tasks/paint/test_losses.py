"""What is asked of a painted picture."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from signloom.data.corpus import SplitManifest
from signloom.models import build
from signloom.models.discriminators import PatchDiscriminator, PatchDiscriminatorConfig
from signloom.tasks.paint.data import read_corpus
from signloom.tasks.paint.losses import Discriminators, cut_parts, edge_loss, grid_loss, paint_batch, picture_loss
from signloom.tasks.paint.recipes import PaintLosses, paint
from signloom.training.task import Step
from signloom.transforms.generator_input import GeneratorInput

SIZE = 64


@pytest.fixture(scope="module")
def data(painting_corpus):
    ours = paint()
    recipe = replace(ours, inputs=GeneratorInput(size_px=SIZE), schedule=replace(ours.schedule, batch_size=3))
    return read_corpus(SplitManifest(painting_corpus), recipe)


def longer(data):
    """A batch that goes on from earlier frames."""
    return next(b for b, _ in (data.batch(0, step) for step in range(30)) if b.inputs["pose_map"].shape[1] > 1)


def test_gradient_reaches_every_parameter(data):
    model = build("generator", {"size_px": SIZE, "widths": [8, 8, 8, 8]})
    batch = longer(data)
    painted, before, warped = paint_batch(model, batch)
    picture_loss(PaintLosses(), batch, painted, before, warped).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    assert not before.requires_grad  # what came before is not learnt through


def test_equal_pictures_cost_nothing(data):
    for batch in (data.batch(0, 0)[0], longer(data)):
        pictures = batch.targets["pictures"]
        real, before = pictures[:, -1], pictures[:, -2] if pictures.shape[1] > 1 else None
        assert float(picture_loss(PaintLosses(), batch, real, before, real)) == pytest.approx(0, abs=1e-5)
        assert float(edge_loss(real, real)) == 0


def test_a_pattern_of_the_generators_squares_costs_more_than_noise_as_strong():
    real = torch.full((1, 3, 32, 32), 0.5)
    pattern = 0.1 * torch.randn(1, 1, 4, 4).expand(1, 3, 4, 4)
    lattice = real + pattern.tile(1, 1, 8, 8)
    noise = real + 0.1 * torch.randn(1, 1, 32, 32).expand(1, 3, 32, 32)
    assert float(grid_loss(lattice, real)) == pytest.approx(float((pattern - pattern.mean()).abs().mean()), rel=1e-4)
    assert float(grid_loss(noise, real)) < 0.5 * float(grid_loss(lattice, real))
    assert float(grid_loss(real + 0.2, real)) == pytest.approx(0, abs=1e-6)  # one brightness is no pattern


def test_edges_tell_a_blurred_picture_from_a_darker_one():
    real = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = F.avg_pool2d(F.pad(real, (1, 1, 1, 1), mode="reflect"), 3, 1)
    darker = real - (blurred - real).abs().mean()
    assert edge_loss(blurred, real) > 10 * edge_loss(darker, real)


def test_parts_are_cut_by_their_names():
    x = torch.arange(2 * 1 * 16 * 16).view(2, 1, 16, 16)
    boxes = [{"face": (0, 0, 4, 4), "hand_1": (4, 8, 8, 12)}, {"hand_1": (0, 0, 4, 4), "hand_2": (12, 12, 16, 16)}]
    assert cut_parts(x, boxes, "face").shape == (1, 1, 4, 4)
    hands = cut_parts(x, boxes, "hand")
    assert torch.equal(hands[0], x[0, :, 8:12, 4:8])
    assert hands.shape == (3, 1, 4, 4)
    assert cut_parts(x, [{}, {}], "hand").shape == (0, 1, 4, 4)


def test_discriminators_see_parts_and_a_batch_without_hands_is_no_trouble(data):
    batch = replace(data.batch(0, 0)[0], lists={"boxes": [{}, {}, {}]})
    judges = Discriminators({"hand": PatchDiscriminator(PatchDiscriminatorConfig())}, PaintLosses())
    painted = torch.rand_like(batch.targets["pictures"][:, -1]).requires_grad_()
    assert float(judges.own_loss(painted, batch)) == 0
    assert float(judges.generators_loss(painted, batch)) == 0


def shared(counted: dict[str, list[int]], everywhere: int, processes: int, weight: float) -> Step:
    """The step of one of several processes that have found ``everywhere`` parts together."""

    def mean_over_all(n: int) -> float:
        counted["asked"].append(n)
        return n * processes / everywhere / weight

    return Step(0, 0.0, mean_over_all)


def test_shares_of_a_batch_cost_together_what_the_whole_costs(data):
    """Two processes with two and one of three clips, whose means over hands are of different numbers of them."""
    torch.manual_seed(0)
    whole, _ = data.batch(0, 0)
    whole = replace(whole, lists={"boxes": [{"hand_1": (0, 0, 16, 16)}, {"hand_1": (8, 8, 24, 24)}, {}]})
    painted = torch.rand_like(whole.targets["pictures"][:, -1])
    losses = PaintLosses()
    judges = Discriminators({"hand": PatchDiscriminator(PatchDiscriminatorConfig()).eval()}, losses)

    def cost(batch, picture, step=None):
        step = step or Step(0, 0.0)
        told = judges.own_loss(picture, batch, step), judges.generators_loss(picture, batch, step)
        return torch.stack([picture_loss(losses, batch, picture, step=step), *told])

    total, asked = torch.zeros(3), []
    for rank in range(2):
        rows = list(range(rank, 3, 2))
        counted = {"asked": []}
        weight = len(rows) * 2 / 3
        # No process has a face: the mean over faces is of nothing, and hands are two in all.
        total = total + cost(whole.select(rows), painted[rows], shared(counted, 2, 2, weight)) * weight / 2
        asked.append(counted["asked"])
    assert torch.allclose(total, cost(whole, painted), rtol=1e-5)
    assert [len(a) for a in asked] == [4, 4]  # of faces and hands, and by each discriminator's loss: on all alike
    assert asked[1] == [1, 1, 0, 1]


def test_a_discriminators_norm_goes_on_where_only_other_processes_found_a_part(data):
    torch.manual_seed(0)
    batch = replace(data.batch(0, 0)[0], lists={"boxes": [{}, {}, {}]})
    head = PatchDiscriminator(PatchDiscriminatorConfig()).train()
    judges = Discriminators({"hand": head}, PaintLosses())
    before = {k: v.clone() for k, v in head.state_dict().items()}
    painted = torch.rand_like(batch.targets["pictures"][:, -1]).requires_grad_()
    assert float(judges.own_loss(painted, batch, Step(0, 0.0, lambda n: 0.0))) == 0
    changed = {k for k, v in head.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all(k.endswith(("_u", "_v")) for k in changed)
