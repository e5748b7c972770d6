"""LPIPS: how far apart the features of two pictures are in a network that was trained to recognise things."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Convolutions of torchvision's `features`: place, channels, kernel, stride, padding.
_ALEX = ((0, 64, 11, 4, 2), (3, 192, 5, 1, 2), (6, 384, 3, 1, 1), (8, 256, 3, 1, 1), (10, 256, 3, 1, 1))
_VGG_CHANNELS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 17: 512, 19: 512, 21: 512, 24: 512}
_VGG = tuple((place, channels, 3, 1, 1) for place, channels in (_VGG_CHANNELS | {26: 512, 28: 512}).items())
# Also: the kernel of the pooling (stride 2) before a place, and the places whose features are compared.
_NETWORKS = {
    "alex": (_ALEX, {3: 3, 6: 3}, (0, 3, 6, 8, 10)),
    "vgg": (_VGG, {5: 2, 10: 2, 17: 2, 24: 2}, (2, 7, 14, 21, 28)),
}


class Lpips(nn.Module):
    """Version 0.1 of Zhang et al. 2018 (https://arxiv.org/abs/1801.03924) on AlexNet ("alex") or VGG-16 ("vgg").

    Parameters have the published names: ``features.0.weight`` as in torchvision, ``lin0.model.1.weight``. ``min_px`` is
    the least side of a picture.
    """

    min_px = 32

    def __init__(self, network: str):
        super().__init__()
        convolutions, self._pools, self._compared = _NETWORKS[network]
        self.features = nn.ModuleDict()
        before, channels_of = 3, {}
        for place, channels, kernel, stride, padding in convolutions:
            self.features[str(place)] = nn.Conv2d(before, channels, kernel, stride, padding)
            channels_of[place] = before = channels
        for n, place in enumerate(self._compared):
            # In the published layer a dropout comes first, hence the "1".
            weigh = nn.Conv2d(channels_of[place], 1, 1, bias=False)
            setattr(self, f"lin{n}", nn.ModuleDict({"model": nn.ModuleDict({"1": weigh})}))

    def forward(self, painted_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
        """How far apart the pictures are, (B,); (B, 3, H, W) from 0 to 1, of 32 pixels or more."""
        x = torch.cat([painted_BCHW, real_BCHW]) * 2 - 1
        mean, spread = x.new_tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]]).view(2, 3, 1, 1)
        x = (x - mean) / spread
        total = painted_BCHW.new_zeros(len(painted_BCHW))
        for name, convolution in self.features.items():
            place = int(name)
            if place in self._pools:
                x = F.max_pool2d(x, self._pools[place], 2)
            x = convolution(x).relu()
            if place in self._compared:
                a, b = (x / (x.square().sum(1, True).sqrt() + 1e-10)).chunk(2)
                weigh = getattr(self, f"lin{self._compared.index(place)}")["model"]["1"]
                total = total + weigh((a - b).square()).mean((1, 2, 3))
        return total
