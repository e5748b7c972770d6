"""The video transformer: what it refuses, and what it says where its library is missing."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch

from signloom.models.video_transformer import VideoTransformer, VideoTransformerConfig

SMALL = {"n_classes": 3, "size_px": 16, "n_frames": 4, "patch_px": 8, "width": 16, "depth": 1, "heads": 2}


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'signloom\[transformers\]'"):
        VideoTransformer(VideoTransformerConfig(**SMALL))


def test_a_shape_that_cannot_be_cut_into_patches_is_refused():
    for field, value in (("size_px", 20), ("n_frames", 5), ("heads", 3)):
        with pytest.raises(ValueError, match="is not a multiple of"):
            VideoTransformerConfig(**{**SMALL, field: value})


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="pip install 'signloom[transformers]'")
def test_a_clip_of_another_shape_is_refused():
    model = VideoTransformer(VideoTransformerConfig(**SMALL)).eval()
    assert model(torch.rand(1, 3, 4, 16, 16)).shape == (1, 3)
    for shape in ((1, 2, 4, 16, 16), (1, 3, 6, 16, 16), (1, 3, 4, 16, 24)):
        with pytest.raises(ValueError, match=r"takes clips of \(C, T, H, W\) \(3, 4, 16, 16\)"):
            model(torch.rand(*shape))
