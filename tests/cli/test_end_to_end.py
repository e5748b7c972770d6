"""From footage to a recogniser in one command, and its answers, through the programs as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from signloom.synthetic.corpus import Settings, film, make_takes


def run(*arguments) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "signloom", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_from_a_folder_of_videos_to_an_answer(tmp_path):
    takes = make_takes(2, 3, 1, 1, Settings(size_px=(320, 240), fps=6))
    assert all(o.ok for o in film(takes, tmp_path / "footage", workers=0, quiet=True))
    videos, out = tmp_path / "footage" / "videos", tmp_path / "mine"
    (videos / "signer01" / "BALU" / "cut.mp4").write_bytes(next(videos.rglob("*.mp4")).read_bytes()[:-100])

    command = ("recognise", videos, "--pattern", "{signer}/{label}/{take}.mp4", "--out", out, "--epochs", 1, "--json")
    code, text, err = run(*command)
    assert code == 3, err  # done, but one clip failed, and it is named
    assert "cut.mp4" in err
    assert "truncated" in err
    summary = json.loads(text)  # nothing but JSON on stdout
    assert summary["split"]["scheme"] == "signer-disjoint"
    assert summary["metrics"]["n_clips"] == 2
    assert summary["model"] == str(out / "model")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "data:video/mp4" in page  # the clips play in the page itself

    clip = videos / "signer02" / takes[0].sign.name / "take01.mp4"
    code, text, err = run("predict", out / "model", clip, "--json")
    assert code == 0, err
    answer = json.loads(text)
    assert answer["file"] == str(clip)
    assert answer["label"] in {t.sign.name for t in takes}
    assert answer["confidence"] == answer["top"][0][1] >= answer["top"][1][1]

    model = (out / "model" / "checkpoint" / "model.safetensors").stat().st_mtime_ns
    code, text, _ = run(*command)  # again: everything is there already
    assert code == 3
    assert json.loads(text)["metrics"] == summary["metrics"]
    assert (out / "model" / "checkpoint" / "model.safetensors").stat().st_mtime_ns == model
