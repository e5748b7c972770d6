"""Every exception signloom raises on purpose, in one place.

    SignloomError                    anything a user can act on; the command line prints it without a traceback
    ├── InputError (ValueError)      an argument, option, file name or table that cannot be used as given
    │   ├── MissingStreamError       a clip or corpus lacks a stream that a step or recipe needs
    │   ├── MissingExtraError        an optional dependency or system library is not installed
    │   └── NothingPreparedError     none of the clips can be used: ``failures`` says why, clip by clip
    ├── MediaError                   a media file that cannot be read: ``reason`` says which kind of broken
    ├── LeakError                    a split that lets training see what it will be tested on
    ├── CheckpointError              a checkpoint that cannot be loaded, or does not fit the corpus
    ├── DivergedError                training no longer gives gradients that are finite
    └── MachineError                 a full disk, a quota, a folder that may not be written: no clip is to blame

A message says what, where, got against wanted, and the next step. What is done all the same, and that a user may want
otherwise, is a SignloomWarning.
"""

from collections.abc import Mapping, Sequence
from typing import Any


class SignloomError(Exception):
    """Something a user can act on. ``exit_code`` is what the command line returns."""

    exit_code = 1


class SignloomWarning(UserWarning):
    """What was done with data that differ from what was expected. The command line prints it as a note."""


class InputError(SignloomError, ValueError):
    """An argument, option, file name or table that cannot be used as given."""

    exit_code = 2


class MissingStreamError(InputError):
    """A clip or corpus lacks a stream that a step or recipe needs."""


class MissingExtraError(InputError):
    """An optional dependency or system library is not installed; the message has the install line."""


class NothingPreparedError(InputError):
    """None of the clips could be prepared. ``failures`` has a row for each: ``id``, ``reason``, ``message``."""

    def __init__(self, message: str, failures: Sequence[Mapping[str, Any]] = ()):
        super().__init__(message)
        self.failures = tuple(failures)


class MediaError(SignloomError):
    """A media file cannot be read. ``reason`` is a short stable word (``truncated``, ``empty`` …)."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):
        # Worker processes send these through a pipe; the default would drop ``reason``.
        return (type(self), (self.args[0], self.reason))


class LeakError(SignloomError):
    """A split lets training see what it will be tested on."""


class CheckpointError(SignloomError):
    """A checkpoint cannot be loaded, or does not fit the corpus it is used on."""


class DivergedError(SignloomError):
    """Training no longer gives gradients that are finite."""


class MachineError(SignloomError):
    """The machine cannot go on: its disk is full or read-only, say. Ends a run whose items could each fail alone."""

    exit_code = 4
