"""Fixtures of the media tests."""

from __future__ import annotations

import pytest

from signloom.errors import MediaError


@pytest.fixture
def reason_of():
    """``reason_of(function, *args, **kwargs)``: the reason of the MediaError that the call must raise."""

    def reason_of(function, *args, **kwargs) -> str:
        with pytest.raises(MediaError) as caught:
            function(*args, **kwargs)
        return caught.value.reason

    return reason_of
