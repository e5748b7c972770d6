"""A fault of the machine ends a run with its own words and exit code; it is never counted as a clip's."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from signloom import media
from signloom.errors import InputError, MachineError
from signloom.runtime.atomic import atomic_write
from signloom.runtime.machine import FAULTS
from signloom.runtime.workers import Job, map_clips

RNG = np.random.default_rng(0)
FULL = "the disk is full|ulimit -f"


def _by_torch(file):
    with atomic_write(file) as tmp:
        torch.save({"a": torch.zeros(100_000)}, tmp)


def _by_safetensors(file):
    with atomic_write(file) as tmp:
        save_file({"a": torch.zeros(100_000)}, tmp)


def _by_numpy(file):
    with atomic_write(file) as tmp:
        np.savez(tmp, a=np.zeros(100_000))


WRITERS = {
    "video.mp4": lambda file: media.write_video(file, RNG.integers(0, 255, (20, 128, 128, 3), np.uint8), 10),
    "picture.png": lambda file: media.write_picture(file, RNG.integers(0, 255, (300, 300, 3), np.uint8)),
    "state.pt": _by_torch,
    "weights.safetensors": _by_safetensors,
    "scores.npz": _by_numpy,
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_whatever_the_writer_made_of_it_and_nothing_is_left(name, tiny_disk):
    disk = tiny_disk(1 << 16)
    with pytest.raises(MachineError, match=f"'.*{name}' cannot be written.*({FULL}).*free in.*same command again"):
        WRITERS[name](disk.folder / name)
    assert os.listdir(disk.folder) == []
    disk.grow()
    WRITERS[name](disk.folder / name)
    assert os.listdir(disk.folder) == [name]


def test_a_writer_that_fails_for_another_reason_is_not_taken_for_a_full_disk(tmp_path):
    def fail(error):
        with atomic_write(tmp_path / "x.bin"):
            raise error

    for error in (RuntimeError("odd"), OSError(errno.EIO, "input", "elsewhere"), ValueError("no")):
        with pytest.raises(type(error), match=str(error).replace("[", r"\[")):
            fail(error)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", FAULTS)
def test_every_fault_of_the_machine_is_one_for_a_writer(number, tmp_path):
    with pytest.raises(MachineError, match="cannot be written"), atomic_write(tmp_path / "x.bin"):
        raise OSError(number, os.strerror(number))


def test_a_folder_that_may_not_be_written_or_cannot_be_one_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a file stands where a folder"):
        atomic_write(tmp_path / "file" / "below.json").__enter__()
    with pytest.raises(InputError, match="a folder stands where a file"):
        atomic_write(tmp_path).__enter__()
    with pytest.raises(InputError, match="name is too long"):
        atomic_write(tmp_path / ("x" * 300) / "y").__enter__()

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / ".tmp-x"))

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(MachineError, match="may not be written"):
        atomic_write(tmp_path / "x.json").__enter__()


# --- over a corpus ---


def fill(name, folder, n_bytes):
    with atomic_write(folder / f"{name}.bin") as tmp:
        tmp.write_bytes(bytes(n_bytes))
    return {"file": f"{name}.bin"}


def refuse(name, number):
    raise OSError(number, os.strerror(number), f"/somewhere/{name}")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_fills_ends_the_run_and_the_same_command_goes_on(workers, tiny_disk):
    disk = tiny_disk(150_000)
    sizes = [40_000, 40_000, 200_000, 10, 10]  # the small ones would still fit
    tasks = [Job(str(k), (str(k), disk.folder, n)) for k, n in enumerate(sizes)]
    journal = disk.folder / "journal.jsonl"
    with pytest.raises(MachineError, match=FULL):
        map_clips(fill, tasks, workers=workers, journal=journal, quiet=True)
    left = set(os.listdir(disk.folder))
    assert "2.bin" not in left
    assert not [name for name in left if name.startswith(".tmp")]
    disk.grow()
    outcomes = map_clips(fill, tasks, workers=workers, journal=journal, quiet=True)
    assert all(o.ok for o in outcomes)
    if workers == 0:
        assert [o.reused for o in outcomes] == [True, True, False, False, False]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("number", FAULTS)
def test_none_of_them_counts_as_a_bad_clip(workers, number):
    with pytest.raises(MachineError, match="/somewhere/a"):
        map_clips(refuse, [Job("a", ("a", number))], workers=workers, quiet=True)


def test_an_input_that_cannot_be_read_stays_that_clips_fault():
    outcomes = map_clips(refuse, [Job("a", ("a", errno.EIO)), Job("b", ("b", errno.EACCES))], workers=0, quiet=True)
    assert [o.reason for o in outcomes] == ["error", "error"]


def test_a_journal_that_no_longer_fits_ends_the_run_and_its_torn_row_is_mended(tiny_disk):
    disk = tiny_disk(1 << 16)
    journal = disk.folder / "journal.jsonl"
    tasks = [Job(f"{k}", (k,)) for k in range(40)]
    with pytest.raises(MachineError, match=FULL):
        map_clips(long_row, tasks, workers=0, journal=journal, quiet=True)
    disk.grow()
    outcomes = map_clips(long_row, tasks, workers=0, journal=journal, quiet=True)
    assert 0 < sum(o.reused for o in outcomes) < 40


def long_row(number):
    return {"number": number, "text": "x" * 3000}


def test_a_folder_removed_meanwhile_ends_the_run(tmp_path):
    import shutil

    folder = tmp_path / "out"
    tasks = [Job("a", (folder,)), Job("b", (folder,))]
    with pytest.raises(MachineError, match="removed while it was written"):
        map_clips(shutil.rmtree, tasks, workers=0, journal=folder / "journal.jsonl", quiet=True)
