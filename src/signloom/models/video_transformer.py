"""A video transformer: VideoMAE's encoder from the ``transformers`` library, built from a configuration alone.

Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training",
NeurIPS 2022, https://arxiv.org/abs/2203.12602. Needs the extra ``transformers``; nothing is ever downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class VideoTransformerConfig:
    """Shape of a :class:`VideoTransformer`; the defaults are VideoMAE-Base's.

    A clip has exactly ``n_frames`` frames of ``size_px`` squared; each token sees ``tubelet`` frames of ``patch_px``
    squared. ``mean`` and ``std`` (of pictures in [0, 1], one value a channel) are what pretrained weights expect to be
    taken off; None where the network is trained from scratch.
    For few clips and a CPU: ``size_px=112, width=192, depth=6, heads=3``.
    """

    n_classes: int
    channels: int = 3
    size_px: int = 224
    n_frames: int = 16
    patch_px: int = 16
    tubelet: int = 2
    width: int = 768
    depth: int = 12
    heads: int = 12
    feed_width: int = 0  # 0: four times the width
    dropout: float = 0.0
    head_dropout: float = 0.5
    qkv_bias: bool = True
    norm_eps: float = 1e-12
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for whole, part in (("size_px", "patch_px"), ("n_frames", "tubelet"), ("width", "heads")):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(
                    f"VideoTransformerConfig: {whole} {getattr(self, whole)} is not a multiple of {part} "
                    f"{getattr(self, part)}"
                )


class VideoTransformer(nn.Module):
    """Clips (B, C, T, H, W), float in [-1, 1], of the configured length and size -> class logits (B, K)."""

    takes: ClassVar[str] = "video"
    head_names: ClassVar[tuple[str, ...]] = ("norm", "head")

    def __init__(self, config: VideoTransformerConfig):
        super().__init__()
        self.config = c = config
        library = _transformers()
        self.encoder = library.VideoMAEModel(
            library.VideoMAEConfig(
                image_size=c.size_px,
                patch_size=c.patch_px,
                num_channels=c.channels,
                num_frames=c.n_frames,
                tubelet_size=c.tubelet,
                hidden_size=c.width,
                num_hidden_layers=c.depth,
                num_attention_heads=c.heads,
                intermediate_size=c.feed_width or 4 * c.width,
                hidden_dropout_prob=c.dropout,
                attention_probs_dropout_prob=c.dropout,
                layer_norm_eps=c.norm_eps,
                qkv_bias=c.qkv_bias,
                use_mean_pooling=True,
            )
        )
        self.norm = nn.LayerNorm(c.width, eps=1e-5)
        self.dropout = nn.Dropout(c.head_dropout)
        self.head = nn.Linear(c.width, c.n_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x_BCTHW: Tensor, *, with_features: bool = False) -> Any:
        """Logits (B, K); with ``with_features`` a pair: the logits and what :meth:`features` gives.

        Raises ValueError for clips of another shape than the configured one.
        """
        features_BF = self.features(x_BCTHW)
        logits = self.head(self.dropout(features_BF))
        return (logits, features_BF) if with_features else logits

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The tokens' mean, normalised, (B, width)."""
        c = self.config
        wanted = (c.channels, c.n_frames, c.size_px, c.size_px)
        if tuple(x_BCTHW.shape[1:]) != wanted:
            raise ValueError(f"the video transformer takes clips of (C, T, H, W) {wanted}; got {(*x_BCTHW.shape[1:],)}")
        if c.mean is not None and c.std is not None:
            mean, std = (x_BCTHW.new_tensor(v)[:, None, None, None] for v in (c.mean, c.std))
            x_BCTHW = ((x_BCTHW + 1) / 2 - mean) / std
        return self.norm(self.encoder(x_BCTHW.transpose(1, 2)).last_hidden_state.mean(1))


def config_of(library_config: Any, n_classes: int, **more: Any) -> VideoTransformerConfig:
    """The configuration of a ``VideoMAEConfig``, with another number of classes and ``more`` fields."""
    c = library_config
    return VideoTransformerConfig(
        n_classes=n_classes,
        channels=c.num_channels,
        size_px=c.image_size,
        n_frames=c.num_frames,
        patch_px=c.patch_size,
        tubelet=c.tubelet_size,
        width=c.hidden_size,
        depth=c.num_hidden_layers,
        heads=c.num_attention_heads,
        feed_width=c.intermediate_size,
        qkv_bias=c.qv_bias if hasattr(c, "qv_bias") else c.qkv_bias,
        norm_eps=c.layer_norm_eps,
        **more,
    )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "the video transformer needs the library 'transformers', which is not installed. "
            "Run: pip install 'signloom[transformers]'"
        ) from error
    return transformers
