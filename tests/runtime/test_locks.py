"""One process a folder: a second one is refused, and the lock does not outlive its holder, however that ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from signloom.errors import InputError
from signloom.runtime.locks import folder_lock

HOLD = """
import sys, time
from pathlib import Path
from signloom.runtime.locks import folder_lock

with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path, holder):
    run = tmp_path / "run"
    with pytest.raises(InputError, match=f"'{run}' is being written by another signloom process.*another --out"):
        folder_lock(run).__enter__()
    with folder_lock(tmp_path / "other"):  # folders are locked one by one
        pass
    holder.kill()  # without any chance to let go
    holder.wait()
    with folder_lock(run):
        assert list(run.iterdir()) == []  # nothing is left in the folder for it


def test_it_is_free_after_an_error_and_held_once_at_a_time(tmp_path):
    with pytest.raises(ZeroDivisionError), folder_lock(tmp_path / "new" / "run"):
        _ = 1 / 0
    with folder_lock(tmp_path / "new" / "run"), pytest.raises(InputError):
        folder_lock(tmp_path / "new" / "run").__enter__()
