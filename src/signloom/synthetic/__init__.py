"""The procedural signer: labelled video, exact pose and motion sensors of invented signs, without any real footage.

>>> from signloom.synthetic import LEXICON, Settings, Take, make_signer
>>> frames = Take(LEXICON[0], make_signer(0), 0, Settings()).frames()            # doctest: +SKIP
"""

from __future__ import annotations

from signloom.synthetic.body import Signer, make_signer
from signloom.synthetic.corpus import Settings, Take
from signloom.synthetic.lexicon import LEXICON, Sign
from signloom.synthetic.motion import Motion, perform
from signloom.synthetic.render import Camera, Scene, make_scene, render

__all__ = [
    "LEXICON",
    "Camera",
    "Motion",
    "Scene",
    "Settings",
    "Sign",
    "Signer",
    "Take",
    "make_scene",
    "make_signer",
    "perform",
    "render",
]
