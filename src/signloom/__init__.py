"""signloom: from footage of people signing to working software.

The public surface is small: the verbs of the command line (``signloom --help``) and, for programs,

>>> from signloom.data.manifest import read_manifest
>>> from signloom.training.checkpoint import load_checkpoint

Importing ``signloom`` loads nothing heavy; torch, PyAV and MediaPipe are imported by what needs them.
"""

__version__ = "0.1.0"
