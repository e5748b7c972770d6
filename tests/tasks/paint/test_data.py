"""Batches of a signer's frames, and what the frames tell: the background, the appearance template."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from signloom.data.corpus import SplitManifest
from signloom.errors import InputError
from signloom.tasks.paint.data import PoseMapClip, grid_matrix, painting_clips, read_corpus
from signloom.tasks.paint.plates import background_of, template_of
from signloom.tasks.paint.recipes import paint
from signloom.transforms.generator_input import GeneratorAugment, GeneratorInput
from signloom.transforms.geometry import warp_frames
from signloom.transforms.pose_map import CHANNELS

SIZE = 64


def recipe(**changes):
    ours = paint()
    schedule = replace(ours.schedule, batch_size=3)
    return replace(ours, inputs=GeneratorInput(size_px=SIZE), schedule=schedule, **changes)


@pytest.fixture
def data(painting_corpus):
    return read_corpus(SplitManifest(painting_corpus), recipe())


def same(a, b) -> bool:
    parts = ((x.inputs | x.targets) for x in (a, b))
    first, second = parts
    return (
        first.keys() == second.keys()
        and all(torch.equal(first[name], second[name]) for name in first)
        and (a.ids, a.lists) == (b.ids, b.lists)
    )


def test_a_batch_follows_from_seed_and_step_alone(data):
    backwards = [data.batch(0, step)[0] for step in (9, 4, 0)]
    forwards = [data.batch(0, step)[0] for step in (0, 4, 9)]
    assert all(same(a, b) for a, b in zip(backwards, reversed(forwards)))
    assert not same(data.batch(1, 4)[0], data.batch(0, 4)[0])


def test_threads_do_not_disturb_each_other(data):
    """Steps on both sides of an epoch's end, side by side: each has the frames it has alone."""
    steps = [k % 14 for k in range(60)]
    alone = {step: data.batch(0, step)[0] for step in set(steps)}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda step: data.batch(0, step)[0], steps))
    assert all(same(batch, alone[step]) for step, batch in zip(steps, together))


def test_processes_share_a_batch_clip_by_clip(data):
    whole, weight = data.batch(0, 5)
    assert weight * len(whole) == 1
    for n in (2, 3):
        shares = [data.batch(0, 5, rank, n) for rank in range(n)]
        for rank, (share, of_clip) in enumerate(shares):
            assert same(share, whole.select(range(rank, 3, n)))
            assert of_clip == n / 3
        assert sum(len(share) * of_clip for share, of_clip in shares) / n == pytest.approx(1)


def test_a_spare_process_sees_the_first_clip_and_counts_nothing(data):
    whole, _ = data.batch(0, 5)
    spare, weight = data.batch(0, 5, 3, 4)
    assert weight == 0
    assert same(replace(spare, lists={}), replace(whole.select([0]), lists={}))
    assert spare.lists == {"boxes": [{}]}  # no hand of it is counted among those of all processes


def test_every_frame_comes_up_once_an_epoch(data):
    n = data.n_train
    seen = [data.frame(0, place) for place in range(2 * n)]
    assert sorted(seen[:n]) == sorted(seen[n:]) == list(range(n))
    assert seen[:n] != seen[n:]


def test_some_batches_begin_a_clip_and_some_go_on(data, painting_corpus):
    lengths = {data.batch(0, step)[0].inputs["pose_map"].shape[1] for step in range(30)}
    assert lengths == {1, 2, 3}
    by_frames = read_corpus(SplitManifest(painting_corpus), recipe(model={"temporal": False}))
    assert {by_frames.batch(0, step)[0].inputs["pose_map"].shape[1] for step in range(10)} == {1}


def test_pose_map_and_picture_are_moved_together(data):
    """In this corpus there is skin just where limbs are; so there must be after any turn, shift and growth."""
    for step in range(5):
        batch, _ = data.batch(3, step)
        skin = batch.targets["pictures"][:, -1, 0] - 120 / 255  # the wall is .47
        limbs = batch.inputs["pose_map"][:, -1].amax(1)
        inner = (slice(None), slice(6, -6), slice(6, -6))  # what came in from outside repeats the edge
        assert skin[inner][limbs[inner] > 0.7].mean() > 0.15
        far = F.max_pool2d(limbs[:, None], 7, 1, 3)[:, 0] < 0.05
        assert skin[inner][far[inner]].abs().mean() < 0.02


def test_the_background_moves_as_the_picture_does():
    augment = GeneratorAugment(turn_deg=10, scale=0.2, shift=0.1)
    plate = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    matrix = augment.matrix(np.random.default_rng(5), SIZE)
    moved = torch.from_numpy(grid_matrix(matrix, SIZE))[None]
    grid = F.affine_grid(moved, [1, 3, SIZE, SIZE], align_corners=False)
    x = torch.from_numpy(plate).permute(2, 0, 1)[None].float()
    ours = F.grid_sample(x, grid, padding_mode="border", align_corners=False)[0].permute(1, 2, 0).numpy()
    theirs = warp_frames(plate[None], matrix, SIZE)[0]
    assert np.abs(ours - theirs).mean() < 3


def test_no_augmentation_changes_nothing(painting_corpus):
    data = read_corpus(SplitManifest(painting_corpus), recipe(augment=GeneratorAugment(0, 0, 0)))
    pictures = data.batch(0, 0)[0].targets["pictures"]
    for row, place in enumerate(range(3)):
        picture = data.picture(data.frame(0, place))
        assert np.array_equal((pictures[row, -1] * 255).round().permute(1, 2, 0).numpy(), picture)


def test_pictures_are_the_same_whether_held_or_read(data, painting_corpus):
    held = data.clips[0]
    (fresh, *_) = painting_clips(SplitManifest(painting_corpus), "train", GeneratorInput(size_px=SIZE), ("one",))
    first = held.pictures([2, 0, 2])
    assert np.array_equal(first, held.pictures([2, 0, 2]))
    assert np.array_equal(first, fresh.pictures([0, 1, 2])[[2, 0, 2]])


def test_a_clip_without_frames_on_record_is_refused(data):
    clip = data.clips[0]
    with pytest.raises(InputError, match="no n_frames in the manifest"):
        PoseMapClip(replace(clip.clip, record=replace(clip.clip.record, n_frames=None)), clip.streams, SIZE)


def test_the_picture_before_a_clip_is_read_where_its_recording_has_one(data):
    clip = data.clips[0]
    assert clip.before() is None
    later = replace(clip.clip.record, first_frame=3, n_frames=4)
    inside = PoseMapClip(replace(clip.clip, record=later, whole=frozenset({"signer", "skeleton"})), clip.streams, SIZE)
    assert np.array_equal(inside.before(), clip.pictures([2])[0])
    assert np.array_equal(inside.pictures([1])[0], clip.pictures([4])[0])
    assert np.array_equal(inside.pose_map(1), clip.pose_map(4))


def test_a_corpus_without_a_clip_to_train_on_is_refused(painting_corpus):
    with pytest.raises(InputError, match="no clip to learn painting from"):
        read_corpus(SplitManifest(painting_corpus.only("test")), recipe())


# --- plates -------------------------------------------------------------------------------------------------------


def test_the_background_is_found_behind_a_signer_who_moves():
    """A signer (dark) walks before a wall of two colours; wherever the wall shows at times, it is found."""
    wall = np.full((SIZE, SIZE, 3), 200, np.uint8)
    wall[:, : SIZE // 2] = (40, 160, 90)
    frames = []
    for x in (14, 14, 14, 50):
        picture, pose_map = wall.copy(), np.zeros((SIZE, SIZE, 18), np.uint8)
        picture[20:, x - 4 : x + 4] = 10
        pose_map[22:, x - 1 : x + 1, 3] = 255
        frames.append((picture, pose_map))
    plate = background_of(frames).astype(int)
    assert np.abs(plate - wall)[:, 4:-4].max() <= 3  # a plain median would show the signer at 14


def test_a_background_that_never_shows_is_the_usual_picture():
    picture, pose_map = np.full((SIZE, SIZE, 3), 77, np.uint8), np.full((SIZE, SIZE, 18), 255, np.uint8)
    assert (background_of([(picture, pose_map)]) == 77).all()


@pytest.mark.parametrize("size", [30, 100, 32])
def test_a_size_the_generator_cannot_paint_is_refused(size):
    with pytest.raises(InputError, match="multiple of 32"):
        GeneratorInput(size_px=size)


def test_the_template_is_the_clothes_without_the_arm_that_crosses_them():
    wall, shirt, arm, head = (np.full(3, v) for v in (20, 120, 220, 250))
    frames = []
    for x in (24, 44, 64):
        picture, pose_map = np.tile(wall, (96, 96, 1)).astype(np.uint8), np.zeros((96, 96, len(CHANNELS)), np.uint8)
        picture[40:, 20:80], picture[40:, x : x + 4], picture[8:16, 44:52] = shirt, arm, head
        pose_map[40:, x : x + 4, CHANNELS.index("left_forearm")] = 255
        pose_map[8:16, 44:52, CHANNELS.index("face")] = 255
        frames.append((picture, pose_map))
    template = template_of(frames, np.tile(wall, (96, 96, 1)).astype(np.uint8))
    assert (template[60:, 22:78] == shirt).all()
    assert (template[:20] == wall).all()
