"""One process a folder: a second one is refused, and the lock does not outlive its holder, however that ends."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time

import pytest

from signloom.errors import InputError
from signloom.runtime.atomic import remove_unfinished
from signloom.runtime.locks import LOCK_FILE, folder_lock
from signloom.runtime.workers import Job, map_clips

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


# --- disks that lock in their own way, unfinished files of others, a clock that jumps ---


def _flock_of(monkeypatch, refuses):
    """A disk on which ``refuses(handle)`` names the errors that ``flock`` gives; elsewhere it holds."""
    held = set()

    def flock(handle, how):
        info = os.fstat(handle)
        if (number := refuses(info)) is not None:
            raise OSError(number, os.strerror(number))
        if info.st_ino in held:
            raise BlockingIOError(errno.EWOULDBLOCK, "held")
        held.add(info.st_ino)

    monkeypatch.setattr("fcntl.flock", flock)


def test_a_network_disk_that_locks_only_files_opened_for_writing_is_locked_by_a_file(tmp_path, monkeypatch):
    _flock_of(monkeypatch, lambda info: errno.EBADF if stat.S_ISDIR(info.st_mode) else None)
    with folder_lock(tmp_path):
        assert [p.name for p in tmp_path.iterdir()] == [LOCK_FILE]
        with pytest.raises(InputError, match="another signloom process"):
            folder_lock(tmp_path).__enter__()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks_is_no_obstacle_but_said(number, tmp_path, monkeypatch, capsys):
    _flock_of(monkeypatch, lambda info: number)
    with folder_lock(tmp_path):
        pass
    assert "has no locks; see that no other signloom process" in capsys.readouterr().err


def test_a_file_in_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(InputError, match="a file stands where a folder is wanted"):
        folder_lock(tmp_path / "run").__enter__()


WRITE = """
import sys, time
from pathlib import Path
from signloom.runtime.atomic import atomic_write

with atomic_write(Path(sys.argv[1]) / "run" / "evaluation.json") as tmp:
    print(tmp.name, flush=True)
    sys.stdin.readline()
    tmp.write_text("whole")
"""


def test_what_another_process_is_writing_is_not_swept_away_and_what_a_dead_one_left_is(tmp_path):
    """A training that starts used to delete the file that an evaluation was writing into its folder."""
    run = [sys.executable, "-c", WRITE, str(tmp_path)]
    living, dead = (subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2))
    names = [process.stdout.readline().strip() for process in (living, dead)]
    dead.kill()
    dead.wait()
    mine = tmp_path / "run" / ".tmp-notes.txt"
    mine.touch()  # looks like one, and has no such name as unfinished files have
    assert all((tmp_path / "run" / name).exists() for name in names)
    remove_unfinished(tmp_path)
    assert [(tmp_path / "run" / name).exists() for name in names] == [True, False]
    living.communicate("\n")
    assert living.returncode == 0
    assert (tmp_path / "run" / "evaluation.json").read_text() == "whole"
    assert mine.exists()


def test_a_clock_that_jumps_decides_nothing(tmp_path, monkeypatch):
    """Which files are stale, what is done and what is held follow from no time of day."""
    journal = tmp_path / "journal.jsonl"
    map_clips(str_of, [Job("a", ("a",))], workers=0, journal=journal, quiet=True)
    (tmp_path / ".tmp-abcdefgh.mp4").touch()
    for year in (-1e9, 1e9):
        now = time.time()
        monkeypatch.setattr("time.time", lambda now=now, year=year: now + year)
        os.utime(journal, (now - year, now - year))
        outcomes = map_clips(str_of, [Job("a", ("a",)), Job("b", ("b",))], workers=0, journal=journal, quiet=True)
        assert [o.value for o in outcomes] == [{"is": "a"}, {"is": "b"}]
        assert outcomes[0].reused
        assert not (tmp_path / ".tmp-abcdefgh.mp4").exists()


def str_of(value):
    return {"is": value}
