"""Tensors to tensors: plain ``torch.nn`` modules, one architecture per file, importing nothing of signloom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

ARCHITECTURES = {
    # name in a checkpoint: (module, model class, config class)
    "cnn_lstm": ("signloom.models.cnn_lstm", "CnnLstm", "CnnLstmConfig"),
    "face_swap": ("signloom.models.face_swap", "FaceSwap", "FaceSwapConfig"),
    "feature_generator": ("signloom.models.feature_generator", "FeatureGenerator", "FeatureGeneratorConfig"),
    "generator": ("signloom.models.generator", "Generator", "GeneratorConfig"),
    "i3d": ("signloom.models.i3d", "I3D", "I3DConfig"),
    "inception_time": ("signloom.models.inception_time", "InceptionTime", "InceptionTimeConfig"),
    "joined": ("signloom.models.joined", "JoinedNet", "JoinedConfig"),
    "kernel_ridge": ("signloom.models.kernel_ridge", "KernelRidge", "KernelRidgeConfig"),
    "light3d": ("signloom.models.light3d", "Light3D", "Light3DConfig"),
    "pix2pix": ("signloom.models.pix2pix", "Pix2Pix", "Pix2PixConfig"),
    "pose_transformer": ("signloom.models.pose_transformer", "PoseTransformer", "PoseTransformerConfig"),
    "segment_net": ("signloom.models.segment_net", "SegmentNet", "SegmentNetConfig"),
    "sensor_net": ("signloom.models.sensor_net", "SensorNet", "SensorNetConfig"),
    "skeleton_net": ("signloom.models.skeleton_net", "SkeletonNet", "SkeletonNetConfig"),
    "upscaled": ("signloom.models.upscaled", "Upscaled", "UpscaledConfig"),
    "video_transformer": ("signloom.models.video_transformer", "VideoTransformer", "VideoTransformerConfig"),
}


def build(architecture: str, config: Mapping[str, Any]) -> Any:
    """An untrained model of ``architecture`` with the given config fields (lists become tuples, as JSON has none)."""
    module_name, model_name, config_name = ARCHITECTURES[architecture]
    module = import_module(module_name)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    made = getattr(module, config_name)(**values)
    for f in fields(made):
        value, kinds = getattr(made, f.name), _KINDS.get(str(f.type))
        if kinds is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise TypeError(f"{f.name} is {value!r}, expected {f.type}")
    return getattr(module, model_name)(made)


_KINDS: Mapping[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}
"""What a field of a config with that annotation may hold; others are the model's to check."""


# What checkpoints of signloom 0.1 call things: architectures, fields of their configs, and parts of their weights.
OLD_ARCHITECTURES = {"painter": "generator"}
OLD_FIELDS = {"n_limbs": "n_channels", "usual": "template", "painter": "generator"}
OLD_PARTS = {"usual": "template", "usual_stem": "template_stem", "painter": "generator"}


def renamed(architecture: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any], Callable[[str], str]]:
    """Architecture and config fields by today's names, and a function that gives a tensor's name of today."""

    def of_today(values: Mapping[str, Any]) -> dict[str, Any]:
        return {OLD_FIELDS.get(k, k): v for k, v in values.items()}

    settings = of_today(config)
    if isinstance(inner := settings.get("generator"), (list, tuple)):  # an enlarged one holds the config of the small
        settings["generator"] = tuple(of_today(dict(inner)).items())

    def tensor(name: str) -> str:
        return ".".join(OLD_PARTS.get(part, part) for part in name.split("."))

    return OLD_ARCHITECTURES.get(architecture, architecture), settings, tensor
