"""Fixtures every test may use."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def _find_real_data() -> Path | None:
    named = os.environ.get("SIGNLOOM_REAL_DATA")
    candidates = [Path(named)] if named else [REPOSITORY.parent / "shared" / "data"]
    return next((c for c in candidates if (c / "README.md").exists()), None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real footage; the test is skipped, with a loud warning, where it is not there."""
    folder = _find_real_data()
    if folder is None:
        message = "REAL FOOTAGE NOT FOUND: set SIGNLOOM_REAL_DATA to its folder; tests marked 'real' did not run"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    return folder


def _load(name: str):
    """A module of the test suite by its path below tests/: with ``--import-mode=importlib`` none can import another."""
    path = REPOSITORY / "tests" / name
    spec = importlib.util.spec_from_file_location(f"signloom_tests_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up here
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def media():
    """tests/data/make_broken.py: ``encode_clip`` (any codec, tag and timing), ``moving_square`` and more."""
    return _load("data/make_broken.py")


@pytest.fixture(scope="session")
def broken_inputs(media, tmp_path_factory):
    """More than fifty odd and broken files in one folder, each with what reading it must give. Do not change them."""
    return media.make_broken_inputs(tmp_path_factory.mktemp("broken inputs"))
