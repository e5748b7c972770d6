"""Pretrained networks that other libraries keep in a folder of their own, from a local folder only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from signloom.errors import CheckpointError, MissingExtraError
from signloom.runtime.text import plain


def load_pretrained(folder: str | os.PathLike[str], n_classes: int, *, head: str = "drop", **config: Any) -> Any:
    """A :class:`~signloom.models.video_transformer.VideoTransformer` with the VideoMAE weights of a local folder.

    ``folder`` holds ``config.json`` and ``model.safetensors`` as the ``transformers`` library saves them, of a
    pretrained or a fine-tuned network; a ``preprocessor_config.json`` gives the colours' mean and spread.
    ``head="keep"`` keeps the fine-tuned classifier, which must have ``n_classes``. ``config`` sets further fields
    (``head_dropout``). Nothing is downloaded.

    Raises CheckpointError where the folder or a tensor is missing; MissingExtraError without ``transformers``.
    """
    import json

    folder = Path(folder)
    lacking = [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]
    if lacking:
        raise CheckpointError(
            f"'{folder}' has no {' and no '.join(lacking)}; expected a folder with a VideoMAE network as the "
            "transformers library saves it (config.json, model.safetensors)"
        )
    try:
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification
    except ImportError as error:
        raise MissingExtraError(
            "the video transformer needs the library 'transformers'. Run: pip install 'signloom[transformers]'"
        ) from error
    from signloom.models.video_transformer import VideoTransformer, config_of

    try:
        described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = described.get("model_type")
        if kind != "videomae":
            raise CheckpointError(f"'{folder}/config.json' is of model_type {kind!r}; expected 'videomae'")
        # Averaging tokens is what the network here does, whether or not the file says so.
        settings = VideoMAEConfig.from_pretrained(folder, local_files_only=True, use_mean_pooling=True)
        if head == "keep" and settings.num_labels != n_classes:
            raise CheckpointError(
                f"'{folder}' names {settings.num_labels} classes, the model {n_classes}. "
                'To begin with a fresh head, load with head="drop"'
            )
        if (folder / "preprocessor_config.json").is_file():
            colours = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
            if "image_mean" in colours:
                config = {"mean": tuple(colours["image_mean"]), "std": tuple(colours["image_std"]), **config}
        loaded: Any = VideoMAEForVideoClassification.from_pretrained(
            folder, config=settings, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        library, found = loaded
    except (OSError, RuntimeError, ValueError, AttributeError, KeyError) as error:
        raise CheckpointError(
            f"'{folder}' cannot be loaded: {type(error).__name__}: {plain(str(error))[:200]}. Expected what the "
            "transformers library saves: model.save_pretrained(folder)"
        ) from error
    fresh = ("classifier.", "fc_norm.") if head == "drop" else ()
    wrong = [f"missing {name}" for name in sorted(found["missing_keys"]) if not name.startswith(fresh)]
    wrong += [f"misshapen {name}" for name in sorted(str(m) for m in found["mismatched_keys"])]
    if wrong:
        raise CheckpointError(f"'{folder}' does not fit its config.json:\n  " + "\n  ".join(wrong))
    model = VideoTransformer(config_of(settings, n_classes, **config))
    model.encoder.load_state_dict(library.videomae.state_dict())
    model.norm.load_state_dict(library.fc_norm.state_dict())
    if head == "keep":
        model.head.load_state_dict(library.classifier.state_dict())
    return model
