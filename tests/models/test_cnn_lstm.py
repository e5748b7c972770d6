"""The frame network and the LSTM: published sizes, and what each way of pooling sees."""

from __future__ import annotations

import pytest
import torch

from signloom.models.cnn_lstm import CnnLstm, CnnLstmConfig, FrameNetwork

PLACES = CnnLstmConfig(
    5, frame_width=0.5, stages=3, stem_size=7, stem_stride=4, differences=1.0, grid=4, features=24, hidden=16, layers=1
)


def test_the_frame_network_is_as_large_as_mobilenet_v2():
    network = FrameNetwork(CnnLstmConfig(1000))
    assert sum(p.numel() for p in network.parameters()) == 3_504_872 - 1281 * 1000  # without its 1000 classes
    assert network.n_features == 1280


def test_the_published_lstm_has_two_layers_of_1024():
    model = CnnLstm(CnnLstmConfig(10))
    assert model.lstm.hidden_size == 1024
    assert model.lstm.num_layers == 2
    assert model.head.in_features == 1024


def test_the_last_word_is_that_after_the_last_frame():
    torch.manual_seed(0)
    model = CnnLstm(CnnLstmConfig(5, frame_width=0.25, hidden=16, layers=1)).eval()
    x = torch.rand(2, 3, 9, 33, 35)
    with torch.inference_mode():
        over_time = model.frame_logits(x)
        assert over_time.shape == (2, 9, 5)
        torch.testing.assert_close(model(x), over_time[:, -1])
        # What came later was not known: the LSTM looks back only.
        torch.testing.assert_close(model.frame_logits(x[:, :, :4]), over_time[:, :4], atol=1e-5, rtol=1e-5)


def test_the_baseline_has_no_lstm():
    model = CnnLstm(CnnLstmConfig(5, frame_width=0.25, pool="frame-average"))
    assert model.lstm is None
    assert not [name for name in model.state_dict() if "lstm" in name]
    with pytest.raises(ValueError, match="expected 'last', 'mean' or 'frame-average'"):
        CnnLstmConfig(5, pool="average")


def test_with_differences_alone_a_still_picture_says_nothing():
    torch.manual_seed(0)
    network = FrameNetwork(PLACES).eval()
    a, b = torch.rand(2, 1, 3, 1, 64, 64).expand(2, 1, 3, 5, 64, 64) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(network(a), network(b))
        changes = a.clone()
        changes[:, :, 3] = b[:, :, 3]
        apart = (network(changes) - network(a)).abs().amax((0, 2))
    assert (apart[:3] < 1e-6).all()
    assert (apart[3:] > 1e-3).all()  # it came, and it went


def test_the_grid_keeps_what_is_left_apart_from_what_is_right():
    torch.manual_seed(0)
    grid = FrameNetwork(PLACES).places[0]
    there = torch.zeros(2, 16, 4, 4)
    there[0, :, 1, 0] = there[1, :, 1, 3] = 1.0
    torch.testing.assert_close(grid(there), there)  # at 64 px: a cell of the grid for each place on the map
    features = FrameNetwork(PLACES).places(there)
    assert (features[0] - features[1]).norm() > 0.5 * features.norm()


def test_stages_are_one_to_seven():
    with pytest.raises(ValueError, match="expected 1 to 7"):
        CnnLstmConfig(5, stages=8)


def test_training_in_bfloat16_gives_nearly_the_same_gradients():
    torch.manual_seed(0)
    model = CnnLstm(CnnLstmConfig(5, frame_width=0.25, hidden=16, layers=1, dropout=0.0, pool="mean"))
    model.eval()  # batch norm of so few random pictures would make much of any rounding
    x = torch.rand(2, 3, 6, 64, 64) * 2 - 1
    gradients = []
    for fast in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            loss = model(x).float().logsumexp(1).sum()
        loss.backward()
        gradients.append(model.head.weight.grad.clone())
    assert torch.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), dim=0) > 0.95
