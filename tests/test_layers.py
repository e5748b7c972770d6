"""The layers of the house: imports go down only, and the front door is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from signloom.cli import main as cli

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "src" / "signloom"
LIGHT = ("signloom", "signloom.errors", "signloom.cli.options", "signloom.cli.say", "signloom.runtime.text")
VERB_FILES = [PACKAGE / "cli" / f"{verb}.py" for verb in cli.VERBS]


def test_imports_go_down_only():
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_verbs_need_one_layer_line_for_ever():
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c for c in contracts if c["type"] == "layers")["layers"]
    assert layers[0] == "signloom.cli"
    below = {name.strip() for line in layers for name in line.split("|")}
    rooms = {f"signloom.{p.name}" for p in PACKAGE.iterdir() if (p / "__init__.py").exists()} | {"signloom.errors"}
    assert below == rooms


def test_the_front_door_pulls_in_nothing_heavy():
    code = "import sys, signloom.cli.main; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "cv2", "av", "mediapipe", "numpy", "scipy", "rich", "pose_format"} & set(done.stdout.split())


def test_verbs_import_only_the_standard_library_and_errors_at_the_top():
    wrong = []
    for file in VERB_FILES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                if name not in LIGHT and name.split(".")[0] not in sys.stdlib_module_names:
                    wrong.append(f"{file.name}: {name}")
    assert not wrong, wrong


def test_every_verb_has_its_module_and_its_protocol():
    for file in VERB_FILES:
        functions = {n.name for n in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)}
        assert {"add_arguments", "run"} <= functions, file.name


def test_no_pickle_is_loaded_and_no_path_of_a_machine_is_written():
    wrong = []
    for file in sorted(PACKAGE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "torch.load(" in text and "weights_only=True" not in text:
            wrong.append(f"{file.name}: torch.load without weights_only=True")
        wrong += [f"{file.name}: {path}" for path in re.findall(r"/(?:work|home|root|Users)/\S*", text)]
    assert not wrong, wrong


def test_functions_are_short():
    """None over 80 lines where the trunk is."""
    long = []
    for room in ("training", "tasks", "pipelines", "streams", "cli"):
        for file in sorted((PACKAGE / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > 80:
                    long.append(f"{file.relative_to(PACKAGE)}: {node.name}")
    assert not long, long


def test_tasks_share_no_six_lines_of_logic():
    """What both tasks need stands once, below them."""
    shared = _windows(PACKAGE / "tasks" / "recognise") & _windows(PACKAGE / "tasks" / "paint")
    assert not shared, "\n---\n".join("\n".join(lines) for lines in sorted(shared))


def _windows(folder: Path, n: int = 6) -> set[tuple[str, ...]]:
    """Every run of ``n`` lines of code below ``folder``, without blank lines, comments, imports and lone brackets."""
    found: set[tuple[str, ...]] = set()
    for file in folder.rglob("*.py"):
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        kept = [x for x in lines if len(x) > 2 and not x.startswith(("#", "import ", "from ", '"""'))]
        found |= {tuple(kept[k : k + n]) for k in range(len(kept) - n + 1)}
    return found
