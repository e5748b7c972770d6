"""Frames and flow of real footage: as many and as fast as filmed, and the hand that signs is the one that moves."""

from __future__ import annotations

import numpy as np
import pytest

from signloom import media
from signloom.data.manifest import manifest_of_files
from signloom.media.flow_files import read_flow, read_flow_codes
from signloom.pipelines.prepare import Preparation, prepare_corpus
from signloom.transforms.video_input import VideoInput, left_moves_more

SIGNS = ("G01", "G06", "G07")  # one hand signs
SIGNERS = {"user01": True, "user08": False}  # whether left-handed


@pytest.fixture(scope="module")
def prepared(real_data, tmp_path_factory):
    """Signer -> [(source file, prepared frames, prepared flow)] of three clips each, shorter side 128 px."""
    sources = [real_data / "mlr511_arsl" / signer / sign / "R01.mp4" for signer in SIGNERS for sign in SIGNS]
    preparation = Preparation(streams=("frames", "flow"), shorter_px=128)
    out = tmp_path_factory.mktemp("real corpus")
    corpus, outcomes = prepare_corpus(manifest_of_files(sources), out, preparation, workers=0, quiet=True)
    assert all(o.ok for o in outcomes), outcomes
    clips = [(s, out / r.streams["frames"], out / r.streams["flow"]) for s, r in zip(sources, corpus, strict=True)]
    return dict(zip(SIGNERS, (clips[:3], clips[3:])))


@pytest.mark.real
def test_frames_and_flow_are_as_many_and_as_fast_as_filmed(prepared):
    for source, frames, flow in prepared["user01"][:2] + prepared["user08"][:2]:
        filmed = media.read_video(source)
        assert filmed.frames_THWC.shape[1:3] == (270, 480)
        stored, codes = media.read_video(frames), read_flow(flow)
        n = len(filmed.frames_THWC)
        assert 25 <= n <= 75
        assert stored.frames_THWC.shape == (n, 128, 228, 3)
        assert codes.shape == (n, 128, 228, 2)
        assert stored.fps == pytest.approx(15)
        assert not codes[0].any()
        assert np.abs(codes).max() <= 20
        small = VideoInput(n_frames=8, size_px=64, resize_px=64)
        seen = small.frames(media.read_frames(frames, small.rows(n)))
        as_filmed = small.frames(filmed.frames_THWC[small.rows(n)])
        assert np.abs(seen - as_filmed).mean() < 0.04  # the same pictures, by 5 of 255


@pytest.mark.real
@pytest.mark.parametrize("signer", list(SIGNERS))
def test_the_hand_that_signs_moves_most(prepared, signer):
    left_handed = SIGNERS[signer]
    for _, _, flow in prepared[signer]:
        across = np.abs(read_flow(flow)).sum((0, 1, 3))
        half = len(across) // 2
        left, right = across[half:].sum(), across[:half].sum()  # of the signer, who faces the camera
        assert (left > 1.5 * right) if left_handed else (right > 1.5 * left)


@pytest.mark.real
@pytest.mark.parametrize("signer", list(SIGNERS))
def test_left_handed_signers_are_found_from_filmed_prepared_and_flow_alike(prepared, signer):
    for told in (
        [left_moves_more(media.read_video(source).frames_THWC) for source, _, _ in prepared[signer]],
        [left_moves_more(media.read_frames(frames)) for _, frames, _ in prepared[signer]],
        [left_moves_more(read_flow_codes(flow)) for _, _, flow in prepared[signer]],
    ):
        assert (sum(told) >= 2) is SIGNERS[signer], told
