"""Tensors to tensors: plain ``torch.nn`` modules, one architecture per file, importing nothing of signloom."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

ARCHITECTURES = {
    # name in a checkpoint: (module, model class, config class)
    "cnn_lstm": ("signloom.models.cnn_lstm", "CnnLstm", "CnnLstmConfig"),
    "i3d": ("signloom.models.i3d", "I3D", "I3DConfig"),
    "light3d": ("signloom.models.light3d", "Light3D", "Light3DConfig"),
    "painter": ("signloom.models.generator", "Painter", "PainterConfig"),
    "pix2pix": ("signloom.models.pix2pix", "Pix2Pix", "Pix2PixConfig"),
    "pose_transformer": ("signloom.models.pose_transformer", "PoseTransformer", "PoseTransformerConfig"),
    "upscaled": ("signloom.models.upscaled", "Upscaled", "UpscaledConfig"),
    "video_transformer": ("signloom.models.video_transformer", "VideoTransformer", "VideoTransformerConfig"),
}


def build(architecture: str, config: Mapping[str, Any]) -> Any:
    """An untrained model of ``architecture`` with the given config fields (lists become tuples, as JSON has none)."""
    module_name, model_name, config_name = ARCHITECTURES[architecture]
    module = import_module(module_name)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    return getattr(module, model_name)(getattr(module, config_name)(**values))
