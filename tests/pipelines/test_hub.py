"""Models that are shared: what is pushed tells nothing it should not, and what is pulled is what was pushed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from signloom.cli.main import main
from signloom.errors import InputError, SignloomError
from signloom.pipelines.hub import LISTING, pull, push

V1 = Path(__file__).resolve().parents[1] / "fixtures" / "v1"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A recogniser that was measured on held-out clips."""
    folder = shutil.copytree(V1 / "trained" / "pose", tmp_path_factory.mktemp("hub") / "pose")
    corpus = V1 / "corpus"
    assert main(["evaluate", str(folder), str(corpus), "--out", str(folder), "--no-clips"]) == 0
    return folder


def test_what_is_pushed_is_pulled(run, tmp_path, capsys):
    words = ["push", str(run), str(tmp_path / "shared"), "--licence", "CC-BY-4.0", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["files"]) == {"README.md", "config.json", "model.safetensors", "results.json", LISTING}
    again = push(run, str(tmp_path / "shared"), licence="CC-BY-4.0")
    assert again.identity == told["identity"]  # the same model gives the same bytes
    assert main(["pull", str(tmp_path / "shared"), "--out", str(tmp_path / "a"), "--expect", told["identity"]]) == 0
    clip = sorted((V1 / "corpus" / "pose").iterdir())[0]
    capsys.readouterr()
    answers = []
    for model in (run, tmp_path / "a"):
        assert main(["predict", str(model), str(clip), "--json", "--workers", "0"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]


def test_the_card_tells_what_is_on_record(run, tmp_path):
    push(run, str(tmp_path / "signs"), licence="CC-BY-4.0")
    card = (tmp_path / "signs" / "README.md").read_text(encoding="utf-8")
    _, head, body = card.split("---\n", 2)
    about = yaml.safe_load(head)
    assert about["license"] == "cc-by-4.0"  # as hubs write it
    assert {"signloom", "sign-language", "recognise"} <= set(about["tags"])
    (entry,) = about["model-index"]
    (result,) = entry["results"]
    assert result["dataset"]["split"] == "test"
    figures = json.loads((tmp_path / "signs" / "results.json").read_text())["evaluations"][0]["metrics"]
    values = {m["name"]: m["value"] for m in result["metrics"]}
    assert values["top-1 accuracy"] == pytest.approx(figures["top1"]["value"], abs=1e-4)
    for word in (
        "## Data",
        "## Extractor",
        "mediapipe-holistic",
        "## Intended use",
        "## Limits",
        "held out",
        "Licence",
    ):
        assert word.lower() in body.lower(), word


def test_names_and_places_stay_at_home(run, tmp_path):
    push(run, str(tmp_path / "a"))
    shared = "".join(f.read_text(encoding="utf-8") for f in (tmp_path / "a").iterdir() if f.suffix in (".json", ".md"))
    assert "signer03" not in shared  # who was held out
    assert "/corpora/v1" not in shared
    assert str(V1) not in shared
    push(V1 / "crossval" / "signer02" / "seed0", str(tmp_path / "fold"))
    assert "signer02" not in (tmp_path / "fold" / "config.json").read_text(encoding="utf-8")
    push(run, str(tmp_path / "b"), names=True)
    assert "signer03" in (tmp_path / "b" / "config.json").read_text(encoding="utf-8")


def test_a_generator_has_a_card_of_its_own(tmp_path):
    push(V1 / "trained" / "paint", str(tmp_path / "me"))
    card = (tmp_path / "me" / "README.md").read_text(encoding="utf-8")
    assert "likeness" in card
    assert "image-to-image" in card
    pull(str(tmp_path / "me"), tmp_path / "back")


def change(file, content):
    file.write_bytes(content)


DAMAGES = {
    "another byte": lambda p: change(p / "model.safetensors", (p / "model.safetensors").read_bytes()[:-1] + b"\x7f"),
    "cut off": lambda p: change(p / "model.safetensors", (p / "model.safetensors").read_bytes()[:-9]),
    "another config": lambda p: change(p / "config.json", (p / "config.json").read_bytes().replace(b"BALU", b"CORO")),
    "a file less": lambda p: (p / "config.json").unlink(),
    "a link": lambda p: ((p / "config.json").rename(p / "c"), (p / "config.json").symlink_to(p / "c")),
    "no list": lambda p: (p / LISTING).unlink(),
    "half a list": lambda p: change(p / LISTING, (p / LISTING).read_bytes()[:50]),
    "another format": lambda p: change(p / LISTING, (p / LISTING).read_bytes().replace(b'"format": 1', b'"format": 9')),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_changed_is_refused_and_leaves_nothing(damage, run, tmp_path):
    push(run, str(tmp_path / "shared"))
    DAMAGES[damage](tmp_path / "shared")
    with pytest.raises(SignloomError):
        pull(str(tmp_path / "shared"), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shared"]


@pytest.mark.parametrize("name", ["../evil.json", "model.pkl", "run.py", "/etc/passwd", "sub/config.json", "a.pt", ""])
def test_a_list_with_other_files_is_refused(name, run, tmp_path):
    push(run, str(tmp_path / "shared"))
    file = tmp_path / "shared" / LISTING
    about = json.loads(file.read_text())
    about["files"][name] = about["files"]["config.json"]
    file.write_text(json.dumps(about))
    with pytest.raises(InputError, match="tensors and JSON alone"):
        pull(str(tmp_path / "shared"), tmp_path / "out")


def test_another_identity_is_refused(run, tmp_path):
    push(run, str(tmp_path / "shared"))
    with pytest.raises(SignloomError, match="not the model that was expected"):
        pull(str(tmp_path / "shared"), tmp_path / "out", expect="0" * 64)
    assert not (tmp_path / "out").exists()


def test_folders_of_others_are_left_alone(run, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert main(["push", str(run), str(tmp_path / "mine")]) == 2
    assert main(["pull", str(run), "--out", str(tmp_path / "mine")]) == 2
    assert [f.name for f in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert main(["push", str(V1 / "trained" / "fused"), str(tmp_path / "x")]) == 2
    assert "one by one" in capsys.readouterr().err


# --- the hub, as far as its library's boundary ----------------------------------------------------------------------


class FakeApi:
    """What a hub keeps, in a folder."""

    root: Path
    fail: Exception | None = None
    asked: list[tuple] = []  # noqa: RUF012

    def __init__(self, **_):
        pass

    def create_repo(self, name, *, repo_type, private, exist_ok):
        assert (repo_type, exist_ok) == ("model", True)
        self.asked.append(("create", name, private))
        if self.fail:
            raise self.fail

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)

    def list_repo_files(self, name, revision=None):
        return [str(f.relative_to(self.root / name)) for f in (self.root / name).rglob("*") if f.is_file()]

    def hf_hub_download(self, name, file, *, revision=None, local_dir):
        self.asked.append(("download", file))
        return shutil.copyfile(self.root / name / file, Path(local_dir) / file)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    module = ModuleType("huggingface_hub")
    module.HfApi = type("HfApi", (FakeApi,), {"root": tmp_path / "hub", "asked": []})
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module.HfApi


def test_the_hub_gets_and_gives_the_same(run, hub, tmp_path):
    done = push(run, "hf:anna/signs")
    assert hub.asked[0] == ("create", "anna/signs", True)  # private until somebody says else
    (hub.root / "anna/signs/pytorch_model.bin").write_bytes(b"a pickle")
    (hub.root / "anna/signs/run.py").write_text("print()")
    got = pull("hf:anna/signs", tmp_path / "got", expect=done.identity)
    assert got.identity == done.identity
    assert {file for what, file, *_ in hub.asked if what == "download"} == {*done.files}
    assert not (tmp_path / "got" / "pytorch_model.bin").exists()


def test_a_hub_that_says_no_is_told(run, hub, monkeypatch):
    class HfHubHTTPError(Exception):
        __module__ = "huggingface_hub.errors"

    hub.fail = HfHubHTTPError("401 Client Error\nmore")
    with pytest.raises(SignloomError, match=r"401 Client Error.*logged in"):
        push(run, "hf:anna/signs")
    hub.fail = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError):
        push(run, "hf:anna/signs")


@pytest.mark.parametrize("name", ["hf:", "hf:anna", "hf:anna/../x", "hf:/x", "hf:anna/b/c", "hf:an na/x"])
def test_names_of_no_repository(run, name):
    with pytest.raises(InputError, match="hf:OWNER/NAME"):
        push(run, name)


def test_without_the_library_the_line_that_installs_it_is_told(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'signloom\[hub\]'"):
        push(run, "hf:anna/signs")
