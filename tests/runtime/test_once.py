"""What several processes need and one does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from signloom.runtime.once import clear, once


def test_one_makes_it_and_the_others_read_it(tmp_path):
    made = []

    def make():
        sleep(0.05)
        made.append(1)
        return {"stamps": [1, 2]}

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: once(tmp_path, "a", make), range(8)))
    assert found == [{"stamps": [1, 2]}] * 8
    assert made == [1]
    clear(tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_that_was_made_is_kept_too(tmp_path):
    assert once(tmp_path, "a", lambda: None) is None
    assert once(tmp_path, "a", lambda: 1) is None


def test_what_failed_is_tried_again(tmp_path):
    with pytest.raises(ZeroDivisionError):
        once(tmp_path, "a", lambda: 1 / 0)
    assert once(tmp_path, "a", lambda: 7) == 7


def test_without_a_folder_each_makes_its_own(tmp_path):
    assert once(None, "a", lambda: 1) == 1
    assert once(tmp_path / "elsewhere", "a", lambda: 2) == 2
