"""Files that do not exist or may not be read are named as such; the hash is that of the content alone."""

from __future__ import annotations

import os

from signloom import media
from signloom.errors import MediaError


def test_permissions_are_named(tmp_path, media_maker, reason_of):
    """As a user who may not read the file, whoever runs the tests."""
    path = media_maker.encode_clip(tmp_path / "a.mp4", media_maker.moving_square(2))
    path.chmod(0)
    if os.geteuid() != 0:
        assert reason_of(media.probe, path) == "permission"
        assert reason_of(media.content_hash, path) == "permission"
        return
    child = os.fork()
    if child == 0:  # no test framework may run in here
        code = 1
        try:
            os.setuid(65534)
            media.probe(path)
        except MediaError as error:
            code = 0 if error.reason == "permission" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_names_that_cannot_be(tmp_path, reason_of):
    for name in ("x" * 5000, "a\0b", "", "no/such/folder.mp4", str(tmp_path / "a.txt" / "b.mp4")):
        assert reason_of(media.probe, name) == "missing"
        assert reason_of(media.content_hash, name) == "missing"


def test_content_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"signs" * 1_000_000)
    (tmp_path / "b").write_bytes(b"signs" * 1_000_000)
    (tmp_path / "c").write_bytes(b"signs" * 999_999 + b"sigms")
    a, b, c = (media.content_hash(tmp_path / name) for name in "abc")
    assert a == b != c
    assert len(a) == 32
    import hashlib

    assert a == hashlib.blake2b(b"signs" * 1_000_000, digest_size=16).hexdigest()
