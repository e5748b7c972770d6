"""The recipes of recognisers by name: ours, and the published ones with their published values."""

from __future__ import annotations

from dataclasses import replace

from signloom.tasks.recognise.recipe import LOSSES, Recipe
from signloom.tasks.recognise.sensor_recipes import SENSOR_RECIPES
from signloom.tasks.recognise.skeleton_recipes import SKELETON_RECIPES
from signloom.training.schedule import Schedule
from signloom.transforms.pose_input import PoseInput
from signloom.transforms.video_augment import VideoAugment
from signloom.transforms.video_input import VideoInput

# --- from poses ---------------------------------------------------------------------------------------------------


def pose() -> Recipe:
    """The default: four small transformers over body, hands and face that vote; for few clips and a CPU."""
    return Recipe(
        name="pose",
        architecture="pose_transformer",
        streams=("pose",),
        inputs=PoseInput(n_frames=32),
        schedule=Schedule(epochs=24),
    )


def pose_large() -> Recipe:
    """One wider network with finer time, for large vocabularies (hundreds of glosses) or a GPU."""
    return replace(
        pose(),
        name="pose-large",
        inputs=PoseInput(n_frames=64),
        model={"width": 256, "depth": 4, "heads": 8, "members": 1},
        schedule=Schedule(epochs=80, batch_size=64, learning_rate=1e-3),
    )


def pose_as_filmed() -> Recipe:
    """The default without handedness: clips stay as filmed and are never mirrored. For comparison."""
    return replace(
        pose(),
        name="pose-as-filmed",
        inputs=replace(pose().inputs, handedness="as-filmed"),
        augment=replace(pose().augment, mirror=0.0),
    )


# --- from video, ours ---------------------------------------------------------------------------------------------


def rgb() -> Recipe:
    """A light 3-D CNN on RGB frames; trains from nothing on a few hundred clips and runs live on a CPU."""
    return Recipe(
        name="rgb",
        architecture="light3d",
        streams=("frames",),
        inputs=VideoInput(n_frames=16, size_px=112, resize_px=116, per="second"),
        augment=VideoAugment(),
        schedule=Schedule(epochs=20, batch_size=16, learning_rate=3e-3, ema=0.99),
    )


def flow() -> Recipe:
    """The light 3-D CNN on optical flow, at half the side: flow is smooth, and knows no clothes and no light."""
    return replace(
        rgb(),
        name="flow",
        streams=("flow",),
        inputs=VideoInput(n_frames=16, size_px=56, resize_px=58, flow_limit_px=5.0, per="second"),
        model={"stem_size": 5, "stem_stride": 2, "differences": 0.0},
    )


def rgb_located() -> Recipe:
    """The light 3-D CNN on RGB, taught by the training clips' poses where the joints are; use needs no pose."""
    return replace(
        rgb(),
        name="rgb-located",
        loss="classify-and-locate",
        auxiliary_streams=("pose",),
        loss_weight=0.5,
    )


def rgb_hands() -> Recipe:
    """The light 3-D CNN on RGB with both hands cut out and enlarged by the pose; needs poses in use as well."""
    return replace(
        rgb_located(),
        name="rgb-hands",
        streams=("frames", "pose"),
        auxiliary_streams=(),
        inputs=VideoInput(n_frames=32, size_px=64, resize_px=66, hands_px=32, per="second"),
        schedule=replace(rgb().schedule, epochs=15),
    )


def mars() -> Recipe:
    """RGB that learns a flow network's features (MARS), so that use needs no flow; give the flow run as --teacher."""
    return replace(
        rgb(),
        name="mars",
        loss="distil",
        auxiliary_streams=("flow",),
        loss_weight=50.0,
    )


def distil() -> Recipe:
    """RGB that learns the features of any other run, of whatever it reads; give that run as --teacher."""
    return replace(mars(), name="distil", auxiliary_streams=(), loss_weight=10.0)


def depth() -> Recipe:
    """The light 3-D CNN on depth video, from nothing; clips stay as filmed, since to the left is not to the right."""
    return replace(
        rgb(),
        name="depth",
        streams=("depth",),
        inputs=VideoInput(n_frames=16, size_px=64, resize_px=68, handedness="as-filmed", per="second"),
        augment=VideoAugment(mirror=0.0),
        schedule=replace(rgb().schedule, epochs=40),
    )


def i3d() -> Recipe:
    """I3D on RGB at 112 px, trained from nothing or from --weights."""
    return Recipe(
        name="i3d",
        architecture="i3d",
        streams=("frames",),
        inputs=VideoInput(n_frames=16, size_px=112, resize_px=120, per="second"),
        augment=VideoAugment(),
        schedule=Schedule(epochs=40, batch_size=8, learning_rate=1e-3, ema=0.99),
    )


def i3d_flow() -> Recipe:
    """I3D on optical flow at 112 px, trained from nothing or from --weights."""
    inputs = replace(i3d().inputs, flow_limit_px=10.0)
    return replace(i3d(), name="i3d-flow", streams=("flow",), inputs=inputs)


def cnn_lstm() -> Recipe:
    """MobileNet-style features of each frame, which know what moves and where, then an LSTM; trains on a CPU."""
    return replace(
        rgb(),
        name="cnn-lstm",
        architecture="cnn_lstm",
        inputs=VideoInput(n_frames=16, size_px=80, resize_px=84, per="second"),
        model={
            "stages": 3,
            "stem_size": 7,
            "stem_stride": 4,
            "differences": 1.0,
            "grid": 5,
            "hidden": 256,
            "layers": 1,
            "dropout": 0.3,
            "pool": "mean",
        },
        schedule=replace(rgb().schedule, learning_rate=1e-3, ema=0.98),
    )


def cnn_average() -> Recipe:
    """The same frame features averaged over time: what the LSTM must beat."""
    return replace(cnn_lstm(), name="cnn-average", model={**cnn_lstm().model, "pool": "frame-average"})


def video_transformer() -> Recipe:
    """A video transformer (VideoMAE's) from the transformers library; needs that extra, and many clips or weights."""
    return Recipe(
        name="video-transformer",
        architecture="video_transformer",
        streams=("frames",),
        inputs=VideoInput(n_frames=16, size_px=112, resize_px=120, per="second"),
        augment=VideoAugment(),
        model={"width": 192, "depth": 6, "heads": 3},
        schedule=Schedule(epochs=60, batch_size=16, learning_rate=5e-4),
    )


# --- as published -------------------------------------------------------------------------------------------------

AS_FILMED = VideoAugment(
    mirror=0.0,
    rotate_deg=0.0,
    scale=0.0,
    aspect=0.0,
    shear=0.0,
    shift=0.0,
    speed=0.0,
    trim=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    tint=0.0,
    gamma=0.0,
    noise=0.0,
    grey=0.0,
    erase=0.0,
)
CROP_ONLY = replace(AS_FILMED, shift=16 / 224 / 2)  # a random 224 px square of a picture 240 px high


def two_phase() -> Recipe:
    """I3D fine-tuned in two phases: the head alone (3 epochs, 1e-3), then everything (17 epochs, 1e-4), batch 4."""
    return Recipe(
        name="two-phase",
        architecture="i3d",
        streams=("frames",),
        inputs=VideoInput(n_frames=24, size_px=224, resize_px=240, handedness="as-filmed", time_votes=False),
        augment=CROP_ONLY,
        model={"dropout": 0.5},
        schedule=Schedule(
            epochs=20,
            min_steps=0,
            steps_per_class=0,
            batch_size=4,
            learning_rate=1e-4,
            weight_decay=0.0,
            warmup=0.0,
            label_smoothing=0.0,
            ema=0.0,
            optimizer="adam",
            decay="constant",
            head_epochs=3,
            head_learning_rate=1e-3,
        ),
    )


def chalearn() -> Recipe:
    """The ChaLearn recogniser: 40 frames spread over the clip, 240 → 224 px, I3D in two phases."""
    return replace(two_phase(), name="chalearn", inputs=replace(two_phase().inputs, n_frames=40))


def chalearn_flow() -> Recipe:
    """The ChaLearn recogniser on TV-L1 flow cut at 20 px (prepare with --flow tvl1-fast)."""
    return replace(chalearn(), name="chalearn-flow", streams=("flow",))


def cnn_lstm_published() -> Recipe:
    """CNN+LSTM of the published size: all of MobileNetV2, averaged over the picture, and an LSTM of 1024 × 2."""
    return replace(
        cnn_lstm(),
        name="cnn-lstm-published",
        inputs=VideoInput(n_frames=16, size_px=112, resize_px=116),
        model={},
    )


def wlasl() -> Recipe:
    """I3D as for WLASL: 64 frames in a row, half the loss from each frame and half from the clip; Adam 1e-4."""
    base = two_phase()
    return replace(
        base,
        name="wlasl",
        loss="classify-frames",
        inputs=VideoInput(
            n_frames=64, size_px=224, resize_px=256, sampling="window", handedness="as-filmed", time_votes=False
        ),
        augment=replace(AS_FILMED, shift=32 / 224 / 2, mirror=0.5),
        model={"dropout": 0.5, "pool": "max"},
        schedule=replace(base.schedule, epochs=200, batch_size=6, weight_decay=1e-7, head_epochs=0),
    )


def tal_ia() -> Recipe:
    """I3D as for CALSE-100 (TAL-IA): 64 frames from a random start, Adam 1e-3, batch 10, 60 epochs."""
    base = wlasl()
    return replace(
        base,
        name="tal-ia",
        augment=CROP_ONLY,
        inputs=replace(base.inputs, resize_px=240),
        schedule=replace(base.schedule, epochs=60, batch_size=10, learning_rate=1e-3, weight_decay=0.0),
    )


RECIPES = (
    {
        make().name: make
        for make in (
            pose,
            pose_large,
            pose_as_filmed,
            rgb,
            rgb_located,
            rgb_hands,
            flow,
            mars,
            distil,
            depth,
            i3d,
            i3d_flow,
            cnn_lstm,
            cnn_average,
            video_transformer,
            two_phase,
            chalearn,
            chalearn_flow,
            cnn_lstm_published,
            wlasl,
            tal_ia,
        )
    }
    | SENSOR_RECIPES
    | SKELETON_RECIPES
)

__all__ = ["LOSSES", "RECIPES", "Recipe"]
