from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from signloom.errors import InputError, MediaError
from signloom.runtime.workers import Job, _ctrl_c_held, _Worker, map_clips


def work(what, folder=None):
    if what == "hang":
        time.sleep(60)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "raise":
        raise ValueError("odd clip")
    if what == "broken":
        raise MediaError("no frames at all", reason="no-frames")
    if folder is not None:
        (folder / f"{what}-{time.monotonic_ns()}").touch()
    return {"did": what}


def tasks(*names, folder=None, stamp=""):
    return [Job(str(n), (n, folder), stamp=stamp) for n in names]


def test_one_bad_clip_never_ends_a_run_and_each_is_named_with_its_reason():
    outcomes = map_clips(work, tasks("a", "hang", "die", "raise", "broken", "b"), workers=2, timeout_s=3, quiet=True)
    assert [o.id for o in outcomes] == ["a", "hang", "die", "raise", "broken", "b"]
    assert [o.reason for o in outcomes] == [None, "timeout", "crashed", "error", "no-frames", None]
    assert "signal 9" in outcomes[2].message
    assert "odd clip" in outcomes[3].message
    assert outcomes[5].value == {"did": "b"}


def test_ctrl_c_finds_no_worker_that_cannot_ignore_it_yet():
    """One that is still importing would print a traceback into the middle of the message."""
    show = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with _ctrl_c_held():
        begun = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert begun.stdout == "True\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_what_is_done_is_not_done_again_but_failures_and_changes_are(tmp_path):
    journal, folder = tmp_path / "journal.jsonl", tmp_path / "runs"
    folder.mkdir()
    first = map_clips(work, tasks("a", "raise", folder=folder), workers=1, journal=journal, quiet=True)
    assert [o.reused for o in first] == [False, False]
    again = map_clips(work, tasks("a", "raise", folder=folder), workers=1, journal=journal, quiet=True)
    assert [(o.reused, o.reason) for o in again] == [(True, None), (False, "error")]
    assert again[0].value == first[0].value
    assert len(list(folder.iterdir())) == 1
    map_clips(work, tasks("a", folder=folder, stamp="changed"), workers=1, journal=journal, quiet=True)
    assert len(list(folder.iterdir())) == 2


def test_a_journal_torn_in_mid_write_is_mended(tmp_path):
    journal = tmp_path / "journal.jsonl"
    map_clips(work, tasks("a", "b"), workers=0, journal=journal, quiet=True)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-7])
    outcomes = map_clips(work, tasks("a", "b"), workers=0, journal=journal, quiet=True)
    assert [o.reused for o in outcomes] == [True, False]
    assert sorted(json.loads(line)["id"] for line in journal.read_text().splitlines()) == ["a", "b"]


def test_two_runs_into_one_folder_are_refused(tmp_path):
    import fcntl

    with open(tmp_path / "journal.jsonl", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another signloom process"):
            map_clips(work, tasks("a"), workers=0, journal=tmp_path / "journal.jsonl", quiet=True)


def test_ids_must_be_unique():
    with pytest.raises(InputError, match="more than once"):
        map_clips(work, tasks("a", "a"), workers=0, quiet=True)


def test_ray_gives_the_same_outcomes(tmp_path):
    ray = pytest.importorskip("ray", reason="the extra signloom[ray] is not installed")
    names = ["a", "raise", "broken", "b"]
    here = map_clips(work, tasks(*names), workers=1, quiet=True)
    try:
        there = map_clips(work, tasks(*names), ray_address="local", quiet=True)
    finally:
        ray.shutdown()
    assert there == here


def test_a_worker_that_died_between_two_clips_fails_the_next_and_ends_nothing():
    """Its broken pipe was taken for that of `signloom … | head`: exit code 0, and the rest was never done."""
    worker = _Worker(multiprocessing.get_context("spawn"), work, 0)
    try:
        worker.process.kill()
        worker.process.join()
        worker.give(tasks("a")[0], timeout_s=60)
        outcome = worker.take()
    finally:
        worker.stop()
    assert (outcome.id, outcome.reason) == ("a", "crashed")
    assert "signal 9" in outcome.message


def slow_and_noted(what, folder):
    import ray

    (folder / f"begun-{what}").write_text(ray.get_runtime_context().get_node_id())
    time.sleep(4)  # longer than a worker outlives its machine
    (folder / f"{what}.txt").write_text(f"made of {what}")
    return {"did": what}


@pytest.mark.slow
def test_a_machine_of_a_ray_cluster_that_dies_loses_nothing(tmp_path):
    """Two nodes with object stores of their own; one is killed while it works, and its clips are done on the other."""
    ray = pytest.importorskip("ray", reason="the extra signloom[ray] is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1, resources={f"node{n}": 1}) for n in range(2)]
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        jobs = [Job(str(n), (str(n), tmp_path)) for n in range(6)]
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(map_clips, slow_and_noted, jobs, ray_address=cluster.address, quiet=True, timeout_s=60)
            while not any(p.read_text() == nodes[0].node_id for p in tmp_path.glob("begun-*")) and not run.done():
                time.sleep(0.05)
            cluster.remove_node(nodes[0], allow_graceful=False)
            outcomes = run.result(timeout=120)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert [o.message for o in outcomes if not o.ok] == []
    assert {p.name: p.read_text() for p in tmp_path.glob("*.txt")} == {f"{n}.txt": f"made of {n}" for n in range(6)}
