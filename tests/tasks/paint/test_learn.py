"""Lessons, losses and the background of a painter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from signloom.errors import InputError
from signloom.models import build
from signloom.tasks.paint.frames import PaintSet, background_of, usual_of
from signloom.tasks.paint.learn import (
    Critics,
    Lesson,
    PaintLosses,
    PaintSchedule,
    PaintTask,
    cut_parts,
    edge_loss,
    grid_loss,
    paint_lesson,
    picture_loss,
)
from signloom.tasks.paint.run import clips_of
from signloom.tasks.presets import paint
from signloom.transforms.geometry import warp_frames
from signloom.transforms.paint_input import PaintAugment, PaintInput
from signloom.transforms.pose_map import LIMBS

SIZE = 64


@pytest.fixture
def task(painting_corpus):
    train = painting_corpus.only("train")
    recipe = replace(paint(), inputs=PaintInput(size_px=SIZE), schedule=PaintSchedule(batch_size=3))
    return PaintTask(PaintSet(clips_of(train, recipe.inputs, train.signers)), recipe, temporal=True)


def same(a: Lesson, b: Lesson) -> bool:
    tensors = ("limbs", "pictures", "moved", "identity")
    return all(torch.equal(getattr(a, t), getattr(b, t)) for t in tensors) and a.boxes == b.boxes


def test_a_lesson_follows_from_seed_and_step_alone(task):
    backwards = [task.lesson(0, step) for step in (9, 4, 0)]
    forwards = [task.lesson(0, step) for step in (0, 4, 9)]
    assert all(same(a, b) for a, b in zip(backwards, reversed(forwards)))
    assert not same(task.lesson(1, 4), task.lesson(0, 4))


def test_every_frame_comes_up_once_an_epoch(task):
    n = len(task.train)
    seen = [task._frame(0, place) for place in range(2 * n)]
    assert sorted(seen[:n]) == sorted(seen[n:]) == list(range(n))
    assert seen[:n] != seen[n:]


def test_some_lessons_begin_a_clip_and_some_go_on(task):
    lengths = {task.lesson(0, step).limbs.shape[1] for step in range(30)}
    assert lengths == {1, 2, 3}
    task.temporal = False
    assert {task.lesson(0, step).limbs.shape[1] for step in range(10)} == {1}


def test_limbs_and_picture_are_moved_together(task):
    """In this corpus there is skin just where limbs are; so there must be after any turn, shift and growth."""
    for step in range(5):
        lesson = task.lesson(3, step)
        skin = lesson.pictures[:, -1, 0] - 120 / 255  # the wall is .47
        limbs = lesson.limbs[:, -1].amax(1)
        inner = (slice(None), slice(6, -6), slice(6, -6))  # what came in from outside repeats the edge
        assert skin[inner][limbs[inner] > 0.7].mean() > 0.15
        far = F.max_pool2d(limbs[:, None], 7, 1, 3)[:, 0] < 0.05
        assert skin[inner][far[inner]].abs().mean() < 0.02


def test_the_background_moves_as_the_picture_does(task):
    augment = PaintAugment(turn_deg=10, scale=0.2, shift=0.1)
    task.recipe = replace(task.recipe, augment=augment)
    plate = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    rng = np.random.default_rng(5)
    matrix = augment.matrix(rng, SIZE)
    from signloom.tasks.paint.learn import _grid_matrix

    moved = torch.from_numpy(_grid_matrix(matrix, SIZE))[None]
    grid = F.affine_grid(moved, [1, 3, SIZE, SIZE], align_corners=False)
    x = torch.from_numpy(plate).permute(2, 0, 1)[None].float()
    ours = F.grid_sample(x, grid, padding_mode="border", align_corners=False)[0].permute(1, 2, 0).numpy()
    theirs = warp_frames(plate[None], matrix, SIZE)[0]
    assert np.abs(ours - theirs).mean() < 3


def test_no_augmentation_changes_nothing(task):
    task.recipe = replace(task.recipe, augment=PaintAugment(0, 0, 0))
    lesson = task.lesson(0, 0)
    for row, place in enumerate(range(3)):
        n = task._frame(0, place)
        assert np.array_equal((lesson.pictures[row, -1] * 255).round().permute(1, 2, 0).numpy(), task.train.picture(n))


def test_gradient_reaches_every_parameter(task):
    model = build("painter", {"size_px": SIZE, "widths": [8, 8, 8, 8]})
    for step in range(30):
        lesson = task.lesson(0, step)
        if lesson.limbs.shape[1] > 1:
            break
    painted, before, bent = paint_lesson(model, lesson)
    picture_loss(PaintLosses(), lesson, painted, before, bent).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    assert not before.requires_grad  # what came before is not learnt through


def test_equal_pictures_cost_nothing(task):
    lesson = task.lesson(0, 0)
    real = lesson.pictures[:, -1]
    before = lesson.pictures[:, -2] if lesson.pictures.shape[1] > 1 else None
    assert float(picture_loss(PaintLosses(), lesson, real, before, real)) == pytest.approx(0, abs=1e-5)
    assert float(edge_loss(real, real)) == 0


def test_a_pattern_of_the_painters_squares_costs_more_than_noise_as_strong():
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


def test_critics_see_parts_and_a_batch_without_hands_is_no_trouble(task):
    from signloom.models.discriminators import PatchCritic, PatchCriticConfig

    lesson = replace(task.lesson(0, 0), boxes=[{}, {}, {}])
    critics = Critics({"hand": PatchCritic(PatchCriticConfig())}, PaintLosses())
    painted = torch.rand_like(lesson.pictures[:, -1]).requires_grad_()
    assert float(critics.own_loss(painted, lesson)) == 0
    assert float(critics.painters_loss(painted, lesson)) == 0


def test_the_background_is_found_behind_a_signer_who_moves():
    """A signer (dark) walks before a wall of two colours; wherever the wall shows at times, it is found."""
    wall = np.full((SIZE, SIZE, 3), 200, np.uint8)
    wall[:, : SIZE // 2] = (40, 160, 90)
    frames = []
    for x in (14, 14, 14, 50):
        picture, limbs = wall.copy(), np.zeros((SIZE, SIZE, 18), np.uint8)
        picture[20:, x - 4 : x + 4] = 10
        limbs[22:, x - 1 : x + 1, 3] = 255
        frames.append((picture, limbs))
    plate = background_of(frames).astype(int)
    assert np.abs(plate - wall)[:, 4:-4].max() <= 3  # a plain median would show the signer at 14


def test_a_background_that_never_shows_is_the_usual_picture():
    picture, limbs = np.full((SIZE, SIZE, 3), 77, np.uint8), np.full((SIZE, SIZE, 18), 255, np.uint8)
    assert (background_of([(picture, limbs)]) == 77).all()


@pytest.mark.parametrize("size", [30, 100, 32])
def test_a_size_the_painter_cannot_paint_is_refused(size):
    with pytest.raises(InputError, match="multiple of 32"):
        PaintInput(size_px=size)


def test_what_is_usual_are_the_clothes_without_the_arm_that_crosses_them():
    wall, shirt, arm, head = (np.full(3, v) for v in (20, 120, 220, 250))
    frames = []
    for x in (24, 44, 64):
        picture, limbs = np.tile(wall, (96, 96, 1)).astype(np.uint8), np.zeros((96, 96, len(LIMBS)), np.uint8)
        picture[40:, 20:80], picture[40:, x : x + 4], picture[8:16, 44:52] = shirt, arm, head
        limbs[40:, x : x + 4, LIMBS.index("left_forearm")] = limbs[8:16, 44:52, LIMBS.index("face")] = 255
        frames.append((picture, limbs))
    usual = usual_of(frames, np.tile(wall, (96, 96, 1)).astype(np.uint8))
    assert (usual[60:, 22:78] == shirt).all()
    assert (usual[:20] == wall).all()
