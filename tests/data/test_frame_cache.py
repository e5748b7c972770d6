"""Decoded frames in memory: what fits stays, and how much may be taken is shared by all processes of a machine."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from signloom.data import frame_cache
from signloom.data.corpus import HeldClip
from signloom.data.frame_cache import MOST_BYTES, FrameCache, default_cache, free_bytes
from signloom.data.reader import Reader

GIB = 2**30


def test_first_come_first_kept_until_it_is_full():
    cache = FrameCache(250)
    a, b, c, d = (np.zeros(100, np.uint8) for _ in range(4))
    cache.put("a", a)
    cache.put("a", c)  # known already: neither replaced nor counted twice
    cache.put("b", b)
    assert not cache.full
    cache.put("c", c)
    assert cache.full
    assert cache.get("a") is a
    assert cache.get("b") is b
    assert cache.get("c") is None
    assert FrameCache(0).full
    cache.put("d", d[:10])
    assert cache.get("d") is not None  # what is small enough still finds room


def test_a_full_cache_reads_wanted_rows_alone():
    asked = []

    class Watched(HeldClip):
        def key(self, stream):
            return self.id, stream

        def read(self, stream, rows=None):
            asked.append((self.id, None if rows is None else list(rows)))
            return super().read(stream, rows)

    clips = [Watched(i, {"frames": np.full((4, 10), k, np.uint8)}) for k, i in enumerate("abc")]
    read = Reader({"frames": SimpleNamespace(name="frames")}, FrameCache(80))
    for _ in range(2):
        for k, clip in enumerate(clips):
            assert read(clip, "frames", np.array([1, 3])).tolist() == [[k] * 10] * 2
    assert read(clips[0], "frames").shape == (4, 10)
    assert asked == [("a", None), ("b", None), ("c", None), ("c", [1, 3])]


# --- how much may be taken --------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """``machine(available, limit, used, inactive)``: a machine, and a container on it where there is a limit."""

    def make(available, limit=None, used=0, inactive=None, stat="inactive_file"):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))
        files = []
        if limit is not None:
            (tmp_path / "max").write_text(f"{limit}\n")
            (tmp_path / "used").write_text(f"{used}\n")
            files = [(tmp_path / "max", tmp_path / "used")]
        if inactive is not None:
            (tmp_path / "memory.stat").write_text(f"anon 5\n{stat} {inactive}\n")
        monkeypatch.setattr(frame_cache, "_cgroup_files", lambda: files)

    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return make


def test_half_of_what_the_machine_has_free(machine):
    machine(10 * GIB)
    assert free_bytes() == 10 * GIB
    assert default_cache()._left == 5 * GIB
    machine(1000 * GIB)
    assert default_cache()._left == MOST_BYTES


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [
        (4 * GIB, GIB, 3 * GIB),
        (4 * GIB, 5 * GIB, 0),
        (40 * GIB, 0, 10 * GIB),  # more than there is
        ("max", 0, 10 * GIB),
        (2**63 - 4096, 0, 10 * GIB),  # how version 1 says that there is none
        ("nonsense", 0, 10 * GIB),
    ],
)
def test_a_containers_limit_counts_where_it_is_lower(machine, limit, used, free):
    machine(10 * GIB, limit, used)
    assert free_bytes() == free
    assert default_cache()._left == free // 2
    assert default_cache().full is (free == 0)


@pytest.mark.parametrize("stat", ["inactive_file", "total_inactive_file"])
def test_what_a_container_remembers_of_files_counts_as_free(machine, stat):
    """After an epoch of reading video, that is most of what it seems to use."""
    machine(10 * GIB, 4 * GIB, 4 * GIB, inactive=3 * GIB, stat=stat)
    assert free_bytes() == 3 * GIB


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, 1),
        ({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "16"}, 4),  # of each machine the processes that run there
        ({"WORLD_SIZE": "2"}, 2),
        ({"LOCAL_WORLD_SIZE": "1"}, 1),
    ],
)
def test_the_processes_of_a_machine_share(machine, monkeypatch, environment, share):
    machine(8 * GIB)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_cache()._left == 4 * GIB // share


@pytest.mark.parametrize("version", [1, 2])
def test_the_lowest_limit_of_nested_groups_counts(monkeypatch, tmp_path, version):
    """A job in a pod in a slice: each may have a limit of its own, and the process sees the path to its group."""
    top = tmp_path / ("memory" if version == 1 else "")
    limit, used = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    )
    for place, most, taken in (("", 2**63 - 4096, 9), ("pod", 6 * GIB, 4 * GIB), ("pod/job", 5 * GIB, GIB)):
        (top / place).mkdir(parents=True, exist_ok=True)
        (top / place / limit).write_text(f"{most}\n")
        (top / place / used).write_text(f"{taken}\n")
    own = tmp_path / "cgroup"
    own.write_text("5:cpu,memory:/pod/job\n1:name=systemd:/\n" if version == 1 else "0::/pod/job\n")
    find = frame_cache._cgroup_files
    files = find(tmp_path, own)
    assert [f.parent.name for f, _ in files[:2]] == ["job", "pod"]
    monkeypatch.setattr(frame_cache, "_cgroup_files", lambda: files)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100 * GIB))
    assert free_bytes() == 2 * GIB  # of the pod, which others in it use too
    # Inside a container the group's own files stand at the top, under a name that is not to be seen there.
    for path in ("/docker/0123", "/../elsewhere"):
        own.write_text(f"5:memory:{path}\n0::{path}\n")
        assert find(tmp_path, own) == [(top / limit, top / used)]
    assert find(tmp_path, tmp_path / "none") == [(top / limit, top / used)]


def test_this_machine_says_something():
    assert 0 < free_bytes() <= psutil.virtual_memory().total
