"""Sound inputs of every kind, each a small corpus of known content; one file or table of it is then changed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mutation.coded import coded_frame, encode

N_FRAMES = 24
N_PICTURES = 12
LABELS = ("hello", "thanks", "please")
SMALL = ("--streams", "frames", "--shorter-px", "64")
TABLE = ("file", "label", "signer", "split")


@dataclass(frozen=True)
class Base:
    """A corpus in a folder ``in``: ``build(in)`` makes it, ``target`` is what is changed there.

    ``commands`` are run beside it, each signloom's words; ``kind`` says how it is changed and judged.
    """

    name: str
    kind: str
    weight: int
    target: str
    build: Callable[[Path], None]
    commands: tuple[tuple[str, ...], ...]
    about: dict[str, Any]


VIDEOS: dict[str, tuple[str, dict[str, Any]]] = {
    "mp4": ("libx264", {"options": {"bf": "2"}, "container_options": {"movflags": "+faststart"}}),
    "late.mp4": ("libx264", {"options": {"bf": "0"}}),
    "parts.mp4": ("libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "uneven.mp4": ("libx264", {"pts": [40 * n + 9 * (n % 3) for n in range(N_FRAMES)]}),
    "turned.mp4": ("libx264", {"turned": True}),
    "mov": ("mpeg4", {}),
    "mkv": ("libx264", {}),
    "ffv1.mkv": ("ffv1", {}),
    "webm": ("libvpx-vp9", {"options": {"cpu-used": "8", "deadline": "realtime"}}),
    "vp8.webm": ("libvpx", {"options": {"cpu-used": "8", "deadline": "realtime"}}),
    "avi": ("mpeg4", {}),
    "mjpeg.avi": ("mjpeg", {"pix_fmt": "yuvj420p"}),
    "ts": ("libx264", {}),
    "mpg": ("mpeg2video", {}),
    "gif": ("gif", {"pix_fmt": "rgb8"}),
    "flv": ("flv", {}),
    "wmv": ("wmv2", {}),
}
"""Name (its end is the suffix) → codec and how it is written."""


def bases(store: Path) -> list[Base]:
    """All there are. What is expensive is made once, below ``store``."""
    made = [_video(store, name) for name in VIDEOS]
    made += [_pictures(store, suffix) for suffix in ("png", "jpg")]
    made += [_poses(store)]
    made += [_table(store, name) for name in ("csv", "tsv", "bare.csv", "cuts.csv")]
    made += [_wlasl(store), _manifest(store), _split(store), _flow(store), _run(store)]
    return made


# --- videos and pictures ------------------------------------------------------------------------------------------


def _video(store: Path, name: str) -> Base:
    suffix = name.rpartition(".")[2]

    def build(folder: Path) -> None:
        for clip, label in enumerate(LABELS, start=1):
            copy(coded_video(store, name, clip), folder / label / f"clip.{suffix}")

    commands = (
        ("doctor", "in", "--full", "--json", "--workers", "0", "--timeout-s", "60"),
        ("prepare", "in", "--out", "out", *SMALL, "--json", "--workers", "0", "--timeout-s", "60"),
    )
    return Base(f"video {name}", "video", 20, f"{LABELS[0]}/clip.{suffix}", build, commands, {"suffix": suffix})


def coded_video(store: Path, name: str, clip: int, n: int = N_FRAMES) -> Path:
    """A video whose frames say that they are 0 … n − 1 of ``clip``; made once."""
    path = store / f"{n}-{clip}.{name}"
    if not path.exists():
        codec, how = VIDEOS[name]
        encode(path, [coded_frame(clip, number) for number in range(n)], codec, **how)
    return path


def _pictures(store: Path, suffix: str) -> Base:
    from signloom.media import import_cv2

    def build(folder: Path) -> None:
        rows = [("file", "label")]
        for clip, label in enumerate(LABELS, start=1):
            for number in range(N_PICTURES):
                path = store / f"picture-{clip}-{number}.{suffix}"
                if not path.exists():
                    import_cv2().imwrite(str(path), coded_frame(clip, number)[..., ::-1])
                copy(path, folder / f"take{clip}" / f"{number + 1}.{suffix}")
            rows.append((f"take{clip}", label))
        (folder / "clips.csv").write_text(as_csv(rows), encoding="utf-8")

    commands = (
        ("doctor", "in/clips.csv", "--full", "--json", "--workers", "0", "--timeout-s", "60"),
        ("prepare", "in/clips.csv", "--out", "out", *SMALL, "--json", "--workers", "0", "--timeout-s", "60"),
    )
    return Base(f"pictures {suffix}", "pictures", 40, "take1", build, commands, {"suffix": suffix})


# --- poses, and tables of them ------------------------------------------------------------------------------------


@cache
def _takes(n: int) -> list[Any]:
    from signloom.synthetic.corpus import Settings, make_takes

    return make_takes(3, 4, -(-n // 12), 1, Settings(size_px=(320, 240), fps=12))[:n]


def pose_file(store: Path, number: int) -> Path:
    """The exact pose of another moment each, about 8 frames; made once."""
    from signloom import media

    path = store / f"pose-{number}.pose"
    if not path.exists():
        pose = _takes(12)[number].pose()
        pose.body = pose.body.select_frames(list(range(min(8, len(pose.body.data)))))
        pose.body.data[0, 0, 0, 2] = number  # so that no two files are equal
        media.write_pose(path, pose)
    return path


def _poses(store: Path) -> Base:
    def build(folder: Path) -> None:
        for number, label in enumerate(LABELS):
            copy(pose_file(store, number), folder / label / "clip.pose")

    commands = (
        ("doctor", "in", "--full", "--json", "--workers", "0"),
        ("prepare", "in", "--out", "out", "--json", "--workers", "0"),
    )
    return Base("pose", "pose", 110, f"{LABELS[0]}/clip.pose", build, commands, {"suffix": "pose"})


def table_rows(cuts: bool) -> list[list[str]]:
    """Header and twelve rows: what each ``.pose`` file is."""
    rows = [[*TABLE, *(("first_frame", "end_frame") if cuts else ())]]
    for k in range(12):
        row = [f"clips/c{k:02d}.pose", LABELS[k % 3], f"s{k // 3}", ("train", "train", "val", "test")[k // 3]]
        rows.append([*row, *((str(k % 3), str(k % 3 + 4)) if cuts else ())])
    return rows


def _table(store: Path, name: str) -> Base:
    about = {
        "delimiter": "\t" if name == "tsv" else ",",
        "header": not name.startswith("bare"),
        "columns": 6 if name.startswith("cuts") else 2 if name.startswith("bare") else 4,
    }
    file = f"in/clips.{name.rpartition('.')[2]}"

    def build(folder: Path) -> None:
        for k in range(12):
            copy(pose_file(store, k), folder / "clips" / f"c{k:02d}.pose")
        rows = table_rows(about["columns"] == 6)[0 if about["header"] else 1 :]
        text = as_csv([row[: about["columns"]] for row in rows], about["delimiter"])
        (folder / file.removeprefix("in/")).write_text(text, encoding="utf-8")

    commands = (
        ("doctor", file, "--json", "--workers", "0"),
        ("prepare", file, "--out", "out", "--json", "--workers", "0"),
    )
    return Base(f"table {name}", "table", 40, file.removeprefix("in/"), build, commands, about)


def _wlasl(store: Path) -> Base:
    def build(folder: Path) -> None:
        content = []
        for clip in range(1, 7):
            video = coded_video(store, "late.mp4", clip, 8)
            copy(video, folder / "videos" / f"{10_000 + clip}.mp4")
        for g, gloss in enumerate(LABELS):
            instances = [
                {
                    "video_id": str(10_000 + clip),
                    "frame_start": 1,
                    "frame_end": -1,
                    "split": ("train", "val")[clip % 2],
                    "signer_id": clip,
                    "instance_id": clip,
                    "url": f"https://example.org/{clip}",
                    "bbox": [0, 0, 192, 128],
                }
                for clip in (2 * g + 1, 2 * g + 2)
            ]
            content.append({"gloss": gloss, "instances": instances})
        (folder / "WLASL_v0.3.json").write_text(json.dumps(content, indent=1), encoding="utf-8")

    commands = (
        ("doctor", "in", "--json", "--workers", "0"),
        ("prepare", "in", "--out", "out", *SMALL, "--json", "--workers", "0"),
    )
    return Base("list wlasl", "wlasl", 60, "WLASL_v0.3.json", build, commands, {})


# --- what signloom itself wrote -----------------------------------------------------------------------------------


def _corpus(store: Path) -> Path:
    """A prepared corpus of twelve poses with frames beside three of them; made once."""
    from signloom.pipelines.prepare import Preparation, prepare_corpus
    from signloom.sources import read_source

    folder = store / "corpus"
    if not (folder / "manifest.jsonl").exists():
        source = store / "corpus-source"
        for k in range(12):
            copy(pose_file(store, k), source / f"s{k // 3}" / LABELS[k % 3] / f"t{k}.pose")
        manifest = read_source(source, pattern="{signer}/{label}/{take}.pose")
        prepare_corpus(manifest, folder, Preparation(), workers=0, quiet=True)
        (folder / "journal.jsonl").unlink()
    return folder


def _manifest(store: Path) -> Base:
    def build(folder: Path) -> None:
        shutil.copytree(_corpus(store), folder, dirs_exist_ok=True)

    commands = (
        ("doctor", "in", "--json", "--workers", "0"),
        ("prepare", "in", "--out", "out", "--json", "--workers", "0"),
    )
    return Base("manifest", "manifest", 80, "manifest.jsonl", build, commands, {})


def _split(store: Path) -> Base:
    def build(folder: Path) -> None:
        from signloom.data.manifest import read_manifest
        from signloom.data.splits import apply_split, folds, split_of, write_split

        shutil.copytree(_corpus(store), folder / "corpus", dirs_exist_ok=True)
        corpus = read_manifest(folder / "corpus")
        first = folds(corpus, "signer", seed=0, val=0.2)[0]
        assert apply_split(corpus, split_of(first.manifest))
        write_split(split_of(first.manifest), folder / "split.json")

    commands = (("split", "in/corpus", "--check", "in/split.json", "--json"),)
    return Base("split file", "split", 40, "split.json", build, commands, {})


def _flow(store: Path) -> Base:
    def build(folder: Path) -> None:
        from signloom.media import write_flow

        path = store / "flow.mp4"
        if not path.exists():
            rng = np.random.default_rng(0)
            write_flow(path, rng.normal(0, 3, (10, 32, 48, 2)).astype(np.float32), 25, 20.0)
        copy(path, folder / "flow.mp4")

    return Base("flow", "flow", 40, "flow.mp4", build, (("read-flow", "in/flow.mp4"),), {"suffix": "mp4"})


def _run(store: Path) -> Base:
    def build(folder: Path) -> None:
        from signloom.cli.main import main

        run = store / "run"
        if not (run / "run.json").exists():
            words = ("train", _corpus(store), "--out", run, "--epochs", 1, "--batch-size", 4, "--split", "random")
            assert main([str(word) for word in words]) == 0
            shutil.rmtree(run / "log")
        shutil.copytree(run, folder / "run", dirs_exist_ok=True)
        copy(pose_file(store, 0), folder / "clip.pose")

    commands = (("info", "in/run", "--json"), ("predict", "in/run", "in/clip.pose", "--json"))
    return Base("run", "run", 40, "run/checkpoint/config.json", build, commands, {})


def as_csv(rows: Any, delimiter: str = ",", **how: Any) -> str:
    """The text of a table."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n", **how).writerows(rows)
    return out.getvalue()


def copy(source: Path, to: Path) -> None:
    """A copy with the folders that it needs."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
