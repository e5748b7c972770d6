"""A recogniser for other runtimes: its network, how a clip becomes its input, and its output an answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signloom.data.corpus import ClipList, HeldClip
from signloom.errors import InputError
from signloom.streams.estimator import FACES
from signloom.streams.holistic.networks import HOLISTIC, describe_networks
from signloom.streams.pose import PoseStream
from signloom.streams.sample import pose_samples
from signloom.tasks.recognise.data import Clips
from signloom.tasks.recognise.predict import POSE_CROPS, Recogniser
from signloom.tasks.recognise.prototypes import FEW
from signloom.training.checkpoint import Checkpoint
from signloom.training.export import Exported
from signloom.training.task import NONE_OF_THESE
from signloom.transforms.pose_augment import crop_instants
from signloom.transforms.pose_described import described
from signloom.transforms.video_input import TIME_CROPS as VIDEO_CROPS


def export_recogniser(checkpoint: Checkpoint) -> Exported:
    """``checkpoint``'s network as :class:`~signloom.training.export.Exported`.

    Inputs are what the network reads of one clip, all float32: of a pose model ``pose`` (1, T, J, 2) in body units and
    ``present`` (1, T, J), 1 or 0; of a video model the stream's name, (1, C, T, H, W); of others what their input makes
    of their streams. Outputs: ``logits`` (1, K) of the clip as it is; of a pose model also ``votes`` (1, K), the log of
    the mean probability over the parts of the clip that vote in use; ``features`` (1, F) where the network tells them.
    """
    model = checkpoint.model.to("cpu").eval()
    recogniser = Recogniser(checkpoint)
    recogniser.model, recogniser.device = model, "cpu"
    of_poses = model.takes == "pose"
    module = _Voting(model, checkpoint.inputs.n_frames) if of_poses else _Plain(model, _example(checkpoint, 0))
    examples = [_floats(_example(checkpoint, seed)) for seed in (0, 1)]
    if of_poses:
        examples = [{name: value for name, value in example.items() if name != "mask"} for example in examples]
    outputs = ("logits", *(["votes"] if of_poses else []), *(["features"] if hasattr(model, "features") else []))
    exported = Exported(
        module.eval(),
        examples,
        outputs,
        about=_about(checkpoint, recogniser),
        prototypes=dict(checkpoint.prototypes),
        clips=lambda corpus, split: _clips(recogniser, corpus, split, list(examples[0])),
        answer="votes" if of_poses else "logits",
    )
    sample = _sample(recogniser, exported) if of_poses else []
    signing = [{"pose": clip["pose"], "present": clip["present"]} for clip in sample]
    return replace(exported, examples=[*examples, *signing], sample=sample)


# --- the graph ------------------------------------------------------------------------------------------------------


class _Voting(nn.Module):
    """A pose model whose answer is that of use: several parts of the clip vote, in one batch."""

    before: Tensor
    after: Tensor
    share: Tensor
    first: Tensor

    def __init__(self, model: Any, n_frames: int):
        super().__init__()
        self.model = model
        # Worked out here, so that no runtime rounds an instant to another frame's side.
        where_VT = torch.stack([crop_instants(n_frames, *crop) for crop in POSE_CROPS])
        before_VT = where_VT.floor().long()
        share_VT = where_VT - before_VT
        self.register_buffer("before", before_VT.flatten())
        self.register_buffer("after", (before_VT + 1).clamp(max=n_frames - 1).flatten())
        self.register_buffer("share", share_VT[:, :, None, None])
        self.register_buffer("first", (share_VT < 0.5)[:, :, None])

    def forward(self, pose: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        here = present > 0.5
        some = here.any(-1)
        mask = torch.cat([torch.logical_or(some[:, :1], ~some.any(-1, keepdim=True)), some[:, 1:]], 1)
        n, shape = len(POSE_CROPS), pose.shape[1:]
        x0, x1 = (pose[0].index_select(0, rows).view(n, *shape) for rows in (self.before, self.after))
        h0, h1 = (present[0].index_select(0, rows).view(n, *shape[:-1]) > 0.5 for rows in (self.before, self.after))
        nearer = torch.where(self.first[..., None], x0, x1)
        x = torch.where((h0 & h1)[..., None], x0 * (1 - self.share) + x1 * self.share, nearer)
        h = torch.logical_or(self.first & h0, ~self.first & h1)  # ONNX Runtime chooses between numbers alone
        features = self.model.features(x * h[..., None], h, mask.expand(n, -1))
        logits = self.model.told(features)
        votes = logits.log_softmax(-1).logsumexp(0, keepdim=True) - math.log(n)
        return logits[:1], votes, features[:1]


class _Plain(nn.Module):
    """A model as it is; what it takes as true or false comes as 1 or 0."""

    def __init__(self, model: Any, example: Mapping[str, np.ndarray]):
        super().__init__()
        self.model = model
        self.flags = [value.dtype == np.bool_ for value in example.values()]

    def forward(self, *given: Tensor) -> Any:
        tensors = [value > 0.5 if flag else value for value, flag in zip(given, self.flags)]
        if not hasattr(self.model, "features"):
            return self.model(*tensors)
        if self.model.takes == "video":
            return self.model(*tensors, with_features=True)
        return self.model(*tensors), self.model.features(*tensors)


def _example(checkpoint: Checkpoint, seed: int) -> dict[str, np.ndarray]:
    """Random values of all that the network reads, by name and in its order."""
    rng = np.random.default_rng(seed)
    model, inputs = checkpoint.model, checkpoint.inputs
    stream = next(iter(checkpoint.streams))
    if model.takes == "video":
        size, wide = inputs.size_px, inputs.size_px + inputs.hands_px
        channels = getattr(model.config, "channels", None) or dict(model.config.base_model).get("channels", 3)
        return {stream: rng.uniform(-1, 1, (1, channels, inputs.n_frames, size, wide)).astype(np.float32)}
    parts = inputs.parts if model.takes == "joined" else (inputs,)
    shapes = {name: told for part in parts for name, told in part.shapes().items()}
    if model.takes == "pose":
        shapes["mask"] = ((inputs.n_frames,), np.bool_)
    shapes |= {name: ((), np.bool_) for name in model.reads if name.startswith("has_")}
    if missing := [name for name in model.reads if name not in shapes]:
        raise InputError(
            f"a '{checkpoint.architecture}' reads '{missing[0]}', which export does not know; use signloom predict"
        )
    values = {}
    for name in model.reads:
        shape, dtype = shapes[name]
        random = rng.random((1, *shape)) > 0.1 if dtype is np.bool_ else rng.normal(0, 1, (1, *shape))
        whole = name.endswith("mask") or name.startswith("has_")
        values[name] = np.ones((1, *shape), bool) if whole else random.astype(dtype)
    return values


def _floats(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}


def _clips(recogniser: Recogniser, corpus: Any, split: str, names: Sequence[str]) -> Iterator[tuple[dict, int]]:
    """What the network is given of each clip of ``split`` whose label it knows, one clip each, and which that is."""
    checkpoint = recogniser.checkpoint
    for stream in checkpoint.streams:
        checkpoint.check_stream(stream, corpus.fingerprint(stream), str(corpus.root))
    known = {label: k for k, label in enumerate(checkpoint.labels)}
    for clip in corpus.clips(split):
        if clip.label in known:
            seen = Clips(ClipList((clip,)), checkpoint.inputs, recogniser.needs, recogniser.read).batch([0]).inputs
            yield _floats({name: seen[name].numpy() for name in names}), known[clip.label]


# --- in words and numbers -------------------------------------------------------------------------------------------


def _about(checkpoint: Checkpoint, recogniser: Recogniser) -> dict[str, Any]:
    takes = checkpoint.model.takes
    preprocessing: dict[str, Any] = {"kind": takes, "input": asdict(checkpoint.inputs)}
    if takes == "pose":
        pose = _pose_stream(recogniser)
        preprocessing |= described(checkpoint.inputs, FACES[pose.face], pose.ghosts, pose.extractor == "holistic")
        preprocessing["time_crops"] = [list(crop) for crop in POSE_CROPS]
    elif takes == "video":
        preprocessing["time_crops"] = [list(crop) for crop in VIDEO_CROPS] if checkpoint.inputs.time_votes else []
    streams = {name: dict(made) for name, made in checkpoint.streams.items()}
    return {
        "task": checkpoint.task,
        "architecture": checkpoint.architecture,
        "parameters": sum(p.numel() for p in checkpoint.model.parameters()),
        "labels": list(checkpoint.labels),
        "taught": list(checkpoint.taught),
        "temperature": checkpoint.temperature,
        "fps": checkpoint.fps,
        "rates": checkpoint.rates,
        "preprocessing": preprocessing,
        "unknown": _unknown(recogniser),
        "estimator": streams.get("pose", {}),
        "streams": streams,
        "networks": describe_networks(HOLISTIC if "pose" in streams else ()),
    }


def _pose_stream(recogniser: Recogniser) -> PoseStream:
    stream = recogniser.streams["pose"]
    assert isinstance(stream, PoseStream)
    return stream


def _unknown(recogniser: Recogniser) -> dict[str, Any] | None:
    """What makes unknown scores, and answers about signs that were taught."""
    open_set = recogniser.open_set
    if open_set is None:
        return None
    return {
        **open_set.as_json(),
        "n_trained": open_set.n_trained,
        "few": FEW,
        "none_of_these": NONE_OF_THESE,
        "what": "In float64. logits = votes (or logits, of a network that has none) / temperature. place = (features "
        "/ |features| - centre_F) · basis_FE. Of each sign k, with n = count_K[k] clips: m = n · spread_E / (n · "
        "spread_E + 1) · means_KE[k]; v = 1 + spread_E / (max(1, n - few) · spread_E + 1); log_p[k] = -½ Σ_E ((place "
        "- m)² / v + log v). Of an unknown sign: log_u = -½ Σ_E (place² / (1 + spread_E) + log(1 + spread_E)). The "
        "first n_trained signs are labels, those behind them taught. Where some are taught: q = log_softmax([max of "
        "log_p over labels, log_p of each taught sign …] / heat); logits become [log_softmax(logits) + q[0], q[1] "
        "…]. strangeness: with figure prototypes log_u - max(log_p) over all signs; with figure entropy that of "
        "softmax(logits) in nats. unknown = 1 / (1 + exp(-(strangeness - threshold) · slope)); above none_of_these "
        "the clip is none of the signs. figure null: there is no unknown score. To teach a sign: append the mean of "
        "its clips' places to means_KE and their number to count_K. To teach it more clips: mean += Σ(place - mean) "
        "/ new count.",
    }


# --- made-up clips --------------------------------------------------------------------------------------------------


def _sample(recogniser: Recogniser, exported: Exported) -> list[dict[str, Any]]:
    """Clips of the procedural signer, from the points in each frame to the answer, as Python finds them."""
    made = []
    for joints, told in pose_samples(_pose_stream(recogniser)):
        clips = ClipList((HeldClip(told["name"], {"pose": joints}, told["fps"]),))
        seen = Clips(clips, recogniser.checkpoint.inputs, recogniser.needs, recogniser.read).batch([0]).inputs
        values = _floats({name: seen[name].numpy() for name in exported.examples[0]})
        answers = recogniser.answers(clips)
        answer = {
            "answer": answers.logits_NK[0].astype(np.float32),
            "unknown": None if answers.unknown_N is None else float(answers.unknown_N[0]),
        }
        made.append(told | values | exported.run(values) | answer)
    return made
