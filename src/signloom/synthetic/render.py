"""Draw the signer: a small software renderer of round cones and ellipsoids with shading, in numpy and OpenCV.

Each body part is a group of sphere-swept cones and ellipsoids that melt into each other by a smooth maximum of their
depth. Groups write depth, normals and colour into one buffer, which is lit in one pass, made finer than the frame and
averaged down. The joints that :mod:`signloom.synthetic.exact` reports are the very points the cones end in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from signloom.errors import InputError
from signloom.media import import_cv2
from signloom.synthetic.body import FACE_INDEX, OUTLINES, Signer, face_points, unit
from signloom.synthetic.motion import LEFT, RIGHT, Motion

FINE, COARSE = 3, 2
"""Each ``COARSE`` frame pixels are drawn as ``FINE`` and averaged, each way. Frame sizes are multiples of COARSE."""

_FAR = np.float32(-1e4)  # nothing there; a little more after smooth merging, so tests ask for _FAR / 2


# --- the scene --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """Camera, light and background of one clip.

    The camera stands ``distance_m`` in front of the signer's chest, ``shift_m`` beside it, looks at a point
    ``shift_m`` from the chest and is turned by ``roll_deg`` about its axis; ``height_m`` is how much of the signer's
    plane the frame shows from top to bottom.
    """

    distance_m: float = 1.9
    height_m: float = 1.02
    shift_m: tuple[float, float] = (0.0, 0.06)
    roll_deg: float = 0.0
    background: str = "plain"  # plain, gradient, clutter
    background_seed: int = 0
    wall: tuple[int, int, int] = (196, 192, 184)
    light: tuple[float, float, float] = (-0.45, -0.65, -0.75)  # from where it comes, as a direction
    light_strength: float = 0.55
    ambient: float = 0.48
    warmth: float = 0.0  # -1 bluish .. 1 yellowish
    noise: float = 0.8  # standard deviation in grey levels
    blur_px: float = 0.0


def make_scene(rng: np.random.Generator) -> Scene:
    """A scene drawn from ``rng``: camera, light and background within what a webcam at home gives."""

    def wall() -> tuple[int, int, int]:
        red, green, blue = (int(c) for c in rng.uniform(140, 225) + rng.uniform(-14, 14, 3))
        return red, green, blue

    return Scene(
        distance_m=rng.uniform(1.5, 2.3),
        height_m=rng.uniform(0.94, 1.10),
        shift_m=(rng.uniform(-0.05, 0.05), rng.uniform(0.04, 0.09)),
        roll_deg=rng.normal(0, 1.2),
        background=("plain", "gradient", "clutter")[int(rng.integers(3))],
        background_seed=int(rng.integers(2**31)),
        wall=wall(),
        light=(rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.45), -0.8),
        light_strength=rng.uniform(0.44, 0.60),
        ambient=rng.uniform(0.42, 0.52),
        warmth=rng.uniform(-0.6, 0.8),
        noise=rng.uniform(0.3, 1.5),
        blur_px=float(rng.choice([0.0, 0.0, 0.4, 0.6])),
    )


@dataclass(frozen=True)
class Camera:
    """A pinhole camera for one scene and frame size; pixel centres lie at +0.5."""

    scene: Scene
    width_px: int
    height_px: int

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.height_px / self.scene.height_m * self.scene.distance_m

    @property
    def scale(self) -> float:
        """Pixels per metre in the plane of the signer's chest."""
        return self.height_px / self.scene.height_m

    def _turn(self) -> np.ndarray:
        a = np.radians(self.scene.roll_deg)
        return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) in metres -> (..., 3) in pixels: x, y and nearness (0 in the chest's plane)."""
        depth = self.scene.distance_m + points[..., 2]
        xy = (points[..., :2] - np.array(self.scene.shift_m)) @ self._turn().T
        xy = xy * (self.focal_px / depth)[..., None] + np.array([self.width_px / 2, self.height_px / 2])
        return np.concatenate([xy, (-points[..., 2] * self.scale)[..., None]], -1)

    def magnification(self, points: np.ndarray) -> np.ndarray:
        """Pixels per metre (...) at world points (..., 3)."""
        return self.focal_px / (self.scene.distance_m + points[..., 2])

    def ball(self, point: np.ndarray) -> tuple[float, float, float, float]:
        """:meth:`project` of a single point, and pixels per metre there, as plain numbers (fast)."""
        x, y, z = (float(v) for v in point)
        a = math.radians(self.scene.roll_deg)
        cos, sin = math.cos(a), math.sin(a)
        x, y = x - self.scene.shift_m[0], y - self.scene.shift_m[1]
        near = self.focal_px / (self.scene.distance_m + z)
        u = (x * cos - y * sin) * near + self.width_px / 2
        return u, (x * sin + y * cos) * near + self.height_px / 2, -z * self.scale, near

    def affine_at(self, point: np.ndarray) -> np.ndarray:
        """The projection's derivative at one world point: (3, 3) from metres to (x, y, nearness) pixels."""
        depth = self.scene.distance_m + point[2]
        near = self.focal_px / depth
        jacobian = np.zeros((3, 3))
        jacobian[:2, :2] = self._turn() * near
        jacobian[:2, 2] = -(self._turn() @ (point[:2] - np.array(self.scene.shift_m))) * near / depth
        jacobian[2, 2] = -self.scale
        return jacobian


# --- shapes -----------------------------------------------------------------------------------------------------


class _Layer:
    """A window of the picture being drawn: nearness (h, w), normal and colour (3, h, w) per fine pixel.

    Shapes are merged smoothly: ``melt`` says over how many px of depth two of them flow into each other.
    """

    def __init__(self, x0: int, y0: int, x1: int, y1: int):
        self.x0, self.y0, self.x1, self.y1 = x0, y0, x1, y1
        h, w = max(y1 - y0, 0), max(x1 - x0, 0)
        self.near = np.full((h, w), _FAR, np.float32)
        self.normal = np.zeros((3, h, w), np.float32)
        self.colour = np.zeros((3, h, w), np.float32)
        self._x = np.arange(x0, x0 + w, dtype=np.float32)[None] + np.float32(0.5)
        self._y = np.arange(y0, y0 + h, dtype=np.float32)[:, None] + np.float32(0.5)

    def clear(self) -> None:
        """Forget everything drawn, keeping the memory."""
        self.near.fill(_FAR)
        self.normal.fill(0)
        self.colour.fill(0)

    def covered(self) -> np.ndarray:
        """Where there is anything, bool (h, w)."""
        return self.near > _FAR / 2

    def window(self, x0: float, y0: float, x1: float, y1: float):
        """The part of the layer that holds this box: slices and pixel-centre coordinates, or None."""
        i0, i1 = max(math.floor(x0), self.x0) - self.x0, min(math.ceil(x1) + 1, self.x1) - self.x0
        j0, j1 = max(math.floor(y0), self.y0) - self.y0, min(math.ceil(y1) + 1, self.y1) - self.y0
        if i0 >= i1 or j0 >= j1:
            return None
        return (slice(j0, j1), slice(i0, i1)), self._x[:, i0:i1], self._y[j0:j1]

    def merge(self, where, near, normal, colour, melt: float) -> None:
        """Add a shape: ``near`` (h, w) is _FAR where it does not cover."""
        old = self.near[where]
        planes = (slice(None), *where)
        if melt <= 0:
            take = near > old
            np.copyto(self.normal[planes], normal, where=take)
            np.copyto(self.colour[planes], colour, where=take)
            np.maximum(old, near, out=old)
            return
        share = near - old
        share *= np.float32(0.5 / melt)
        share += np.float32(0.5)
        _limit(share)
        old += share * (near - old) + np.float32(melt) * share * (1 - share)
        target = self.normal[planes]
        target += share * (normal - target)
        target = self.colour[planes]
        target += share * (colour - target)

    def cone(self, a, b, ra: float, rb: float, colour, melt: float = 0.0, paint=None) -> None:
        """A sphere of radius ``ra`` at ``a`` swept to one of ``rb`` at ``b``; points are (x, y, nearness), all px.

        The surface seen at a pixel is the nearest point of any of the spheres, which has a closed form. ``paint(t,
        normal)`` may give the colour instead, t (h, w) being the way along the cone.
        """
        ax, ay, az = (float(v) for v in a)
        ux, uy, uz = float(b[0]) - ax, float(b[1]) - ay, float(b[2]) - az
        r, dr = max(ra, rb), rb - ra
        found = self.window(min(ax, ax + ux) - r, min(ay, ay + uy) - r, max(ax, ax + ux) + r, max(ay, ay + uy) + r)
        if found is None:
            return
        where, x, y = found
        flat = ux * ux + uy * uy - dr * dr
        qx, qy = x - np.float32(ax), y - np.float32(ay)
        if flat < 1e-3 * r * r:
            # One end's disc hides the other's (the cone points at the camera): spheres at both ends and between.
            near = np.full((y.shape[0], x.shape[1]), _FAR, np.float32)
            t = np.zeros_like(near)
            for k in (0.0, 0.5, 1.0):
                gap = np.float32((ra + k * dr) ** 2) - (qx - np.float32(k * ux)) ** 2 - (qy - np.float32(k * uy)) ** 2
                here = np.where(gap > 0, np.float32(az + k * uz) + np.sqrt(np.maximum(gap, 0)), _FAR)
                np.copyto(t, np.float32(k), where=here > near)
                np.maximum(near, here, out=near)
            hit = near > _FAR
        else:
            along = qx * np.float32(ux / flat) + (qy * np.float32(uy / flat) + np.float32(ra * dr / flat))
            half = along * along
            half += np.float32(ra * ra / flat) - (qx * qx) * np.float32(1 / flat) - (qy * qy) * np.float32(1 / flat)
            hit = half > 0
            np.maximum(half, 0, out=half)
            np.sqrt(half, out=half)
            first, last = along - half, along + half  # the spheres that cover this pixel
            hit &= (last >= 0) & (first <= 1)
            t = along + half * np.float32(uz / np.sqrt(flat + uz * uz))
            np.maximum(t, np.maximum(first, 0), out=t)
            np.minimum(t, np.minimum(last, 1), out=t)
            _limit(t)
        radius = t * np.float32(dr) + np.float32(ra)
        normal = np.empty((3, *t.shape), np.float32)
        np.subtract(qx, t * np.float32(ux), out=normal[0])
        np.subtract(qy, t * np.float32(uy), out=normal[1])
        room = radius * radius - normal[0] * normal[0] - normal[1] * normal[1]
        np.sqrt(np.maximum(room, 0), out=normal[2])
        near = np.where(hit, t * np.float32(uz) + np.float32(az) + normal[2], _FAR)
        normal /= np.maximum(radius, np.float32(1e-3))
        self.merge(where, near, normal, _planes(colour) if paint is None else paint(t, normal), melt)

    def ellipsoid(self, centre, axes, colour, melt: float = 0.0) -> None:
        """An ellipsoid: ``centre`` (3,) and ``axes`` (3, 3), whose columns are the half axes, in px."""
        shape = axes @ axes.T
        rx, ry = np.sqrt(shape[0, 0]), np.sqrt(shape[1, 1])
        found = self.window(centre[0] - rx, centre[1] - ry, centre[0] + rx, centre[1] + ry)
        if found is None:
            return
        where, x, y = found
        q = np.linalg.inv(shape).astype(np.float32)
        dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
        b = q[0, 2] * dx + q[1, 2] * dy
        c = q[0, 0] * dx * dx + (q[1, 1] * dy * dy - 1) + dx * ((2 * q[0, 1]) * dy)
        room = b * b - q[2, 2] * c
        root = np.sqrt(np.maximum(room, 0))
        z = (root - b) / q[2, 2]
        near = np.where(room > 0, z + np.float32(centre[2]), _FAR)
        normal = np.empty((3, *near.shape), np.float32)
        np.add(q[0, 0] * dx + q[0, 1] * dy, q[0, 2] * z, out=normal[0])
        np.add(q[0, 1] * dx + q[1, 1] * dy, q[1, 2] * z, out=normal[1])
        normal[2] = root
        normal /= np.sqrt(np.maximum(np.einsum("chw,chw->hw", normal, normal), 1e-12))
        self.merge(where, near, normal, _planes(colour), melt)


def _limit(x: np.ndarray) -> np.ndarray:
    """Clip ``x`` to 0..1 in place; for small arrays far quicker than np.clip."""
    np.maximum(x, 0, out=x)
    return np.minimum(x, 1, out=x)


def _planes(colour: np.ndarray) -> np.ndarray:
    """A colour (3,) as planes (3, 1, 1)."""
    return np.asarray(colour, np.float32)[:, None, None]


def _onto(canvas: _Layer, layer: _Layer) -> None:
    """Put a finished group on the canvas, nearer surfaces winning."""
    j, i = slice(layer.y0 - canvas.y0, layer.y1 - canvas.y0), slice(layer.x0 - canvas.x0, layer.x1 - canvas.x0)
    old = canvas.near[j, i]
    take = (layer.near > old) & layer.covered()
    np.copyto(old, layer.near, where=take)
    np.copyto(canvas.normal[:, j, i], layer.normal, where=take)
    np.copyto(canvas.colour[:, j, i], layer.colour, where=take)


def _pixel_centres(layer: _Layer) -> tuple[np.ndarray, np.ndarray]:
    """The layer's pixel centres in the whole picture: y (h, w) and x (h, w)."""
    y, x = np.mgrid[layer.y0 : layer.y1, layer.x0 : layer.x1].astype(np.float32)
    return y + np.float32(0.5), x + np.float32(0.5)


def _cross(a, b) -> np.ndarray:
    """The cross product of two vectors (3,); for single vectors far quicker than np.cross."""
    (ax, ay, az), (bx, by, bz) = (float(v) for v in a), (float(v) for v in b)
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _along(normal: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The normals' (3, h, w) component along ``direction`` (3,)."""
    a, b, c = (np.float32(v) for v in direction)
    return normal[0] * a + normal[1] * b + normal[2] * c


# --- the head's shape -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ball:
    """An ellipsoid of the head: metres in the head's frame, of an average head."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    melt: float = 0.0


@dataclass(frozen=True)
class Ridge:
    """A round cone of the head."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    start_r: float
    end_r: float
    melt: float = 0.0


def head_shapes(signer: Signer) -> tuple[Ball | Ridge, ...]:
    """What the skin of the head is made of, in the order of merging."""
    jaw, nose = signer.jaw, signer.nose
    both = (-1, 1)
    return (
        Ball((0, -0.035, 0.012), (0.0735, 0.087, 0.092)),  # cranium
        Ball((0, 0.012, -0.010), (0.0675, 0.098, 0.074), 0.012),  # face
        Ball((0, 0.060, -0.022), (0.052 * jaw, 0.050, 0.055), 0.02),  # jaw
        Ball((0, 0.088, -0.048), (0.030 * jaw, 0.026, 0.030), 0.02),  # chin
        *(Ball((side * 0.036, 0.026, -0.050), (0.026, 0.030, 0.024), 0.015) for side in both),  # cheeks
        Ridge((-0.034, -0.027, -0.070), (0.034, -0.027, -0.070), 0.010, 0.010, 0.012),  # brow ridge
        Ridge((0, -0.010, -0.076), (0, 0.033, -0.092), 0.007, 0.0095 * nose, 0.010),  # bridge and tip of the nose
        *(Ball((side * 0.0125 * nose, 0.038, -0.083), (0.0075 * nose, 0.0075, 0.010), 0.006) for side in both),
        *(Ball((side * 0.031, -0.001, -0.064), (0.0145, 0.0125, 0.0135), 0.004) for side in both),  # eyes
        Ball((0, 0.0625, -0.074), (0.021, 0.0085, 0.010), 0.008),  # upper lip
        Ball((0, 0.0730, -0.073), (0.018, 0.0075, 0.0105), 0.008),  # lower lip
    )


@lru_cache(maxsize=8)
def head_relief(signer: Signer) -> np.ndarray:
    """How far the head reaches forward: float32 (300, 240) metres on a millimetre grid, x from -0.12, y from -0.15.

    Beyond the outline it is 0, the plane of the ears.
    """
    grain = 1000.0
    size = np.array([signer.head * signer.face_width, signer.head, signer.head])
    layer = _Layer(0, 0, 240, 300)
    origin = np.array([120.0, 150.0, 0.0])
    front = np.array([1, 1, -1]) * grain

    def at(place):
        return origin + np.array(place) * size * front

    for shape in head_shapes(signer):
        if isinstance(shape, Ball):
            layer.ellipsoid(
                at(shape.centre), np.diag(np.array(shape.radii) * size * front), (0, 0, 0), shape.melt * grain
            )
        else:
            r = shape.start_r * signer.head * grain, shape.end_r * signer.head * grain
            layer.cone(at(shape.start), at(shape.end), *r, (0, 0, 0), shape.melt * grain)
    return np.where(layer.covered(), layer.near / np.float32(grain), 0)


def face_surface(points: np.ndarray, signer: Signer) -> np.ndarray:
    """Points (..., 2) in the head's plane -> (..., 3) on the head's surface, in the head's frame, metres."""
    relief = head_relief(signer)
    # Contour points lie on the very edge, where the relief ends; a little further in it is known.
    u = points[..., 0] * 970.0 + 120.0 - 0.5
    v = points[..., 1] * 985.0 + 150.0 - 0.5
    i, j = np.clip(u.astype(int), 0, 238), np.clip(v.astype(int), 0, 298)
    a, b = u - i, v - j
    top = relief[j, i] * (1 - a) + relief[j, i + 1] * a
    bottom = relief[j + 1, i] * (1 - a) + relief[j + 1, i + 1] * a
    forward = top * (1 - b) + bottom * b
    return np.concatenate([points, -forward[..., None]], -1)


# --- the person -------------------------------------------------------------------------------------------------

_FINGER_RADII = np.array(
    [
        [0.0118, 0.0112, 0.0098, 0.0080],  # thumb: CMC is hidden in the palm, so MCP, IP, tip and a spare
        [0.0104, 0.0090, 0.0079, 0.0064],
        [0.0106, 0.0092, 0.0081, 0.0066],
        [0.0099, 0.0086, 0.0076, 0.0062],
        [0.0088, 0.0075, 0.0066, 0.0055],
    ]
)


class Person:
    """Draws one signer as one camera sees them."""

    def __init__(self, signer: Signer, camera: Camera):
        self.signer, self.camera = signer, camera
        self.skin = np.array(signer.skin, np.float32) / 255
        self.palm_skin = self.skin * 0.72 + np.array([0.93, 0.72, 0.62], np.float32) * 0.28
        self.nail = self.skin * 0.6 + np.array([0.98, 0.80, 0.76], np.float32) * 0.4
        self.cloth = np.array(signer.clothes, np.float32) / 255
        self.hair = np.array(signer.hair, np.float32) / 255
        self.face = _FaceTexture(signer, camera.scale)
        rng = np.random.default_rng([*signer.clothes, int(signer.girth * 1e6)])
        self.folds = 1 + np.float32(0.05) * _noise(rng, 128, (5, 11, 23))

    def draw(self, canvas: _Layer, motion: Motion, k: int) -> None:
        """Draw frame ``k`` of ``motion`` onto ``canvas``."""
        self._torso(canvas, motion, k)
        self._head(canvas, motion, k)
        for side in (RIGHT, LEFT):
            self._arm(canvas, motion, k, side)

    # -- placing shapes

    def _cone(self, layer, a, b, ra, rb, colour, melt=0.0, paint=None):
        """A cone between world points with radii in metres; ``melt`` in metres too."""
        p, q = self.camera.ball(a), self.camera.ball(b)
        layer.cone(p[:3], q[:3], ra * p[3], rb * q[3], colour, melt * self.camera.scale, paint)

    def _blob(self, layer, centre, half_axes, turn, colour, melt=0.0):
        """An ellipsoid at a world point: half axes in metres along the columns of ``turn``."""
        axes = self.camera.affine_at(centre) @ (turn * np.asarray(half_axes))
        layer.ellipsoid(self.camera.project(centre), axes, colour, melt * self.camera.scale)

    def _layer(self, canvas: _Layer, points: np.ndarray, margin_m: float) -> _Layer:
        p = self.camera.project(points)
        m = margin_m * self.camera.magnification(points).max()
        x0, y0 = np.floor(p[:, :2].min(0) - m).astype(int)
        x1, y1 = np.ceil(p[:, :2].max(0) + m).astype(int)
        x0, x1 = (int(np.clip(v, canvas.x0, canvas.x1)) for v in (x0, x1))
        y0, y1 = (int(np.clip(v, canvas.y0, canvas.y1)) for v in (y0, y1))
        return _Layer(x0, y0, x1, y1)

    # -- torso and neck

    def _torso(self, canvas, motion, k):
        s, chest = self.signer, motion.chest[k]
        z, g = s.scale, s.girth
        hips = motion.hips[k].mean(0)
        layer = canvas  # the first group drawn: nothing to keep apart from yet
        eye, cloth = np.eye(3), self.cloth
        waist = chest * 0.5 + hips * 0.5 + np.array([0, 0.09 * z, 0.02])
        self._blob(layer, hips + np.array([0, 0.12, 0.02]), (0.178 * g * z, 0.34, 0.125 * g), eye, cloth)
        self._blob(layer, waist, (0.150 * g * z, 0.36, 0.112 * g), eye, cloth, 0.04)
        self._blob(
            layer, chest + np.array([0, 0.15 * z, 0.02]), (0.168 * (g * z) ** 0.5, 0.20, 0.115 * g), eye, cloth, 0.04
        )
        for side, sign in ((RIGHT, -1), (LEFT, 1)):
            neck, tip = chest + np.array([sign * 0.035, -0.012, 0.02]), motion.shoulders[k, side]
            self._cone(layer, neck, tip + np.array([-sign * 0.006, 0.008, 0.004]), 0.050, 0.048 * g**0.5, cloth, 0.03)
            # The armhole: the torso swells towards the arm, which is drawn by itself, so that no seam shows.
            upper = tip + (motion.elbows[k, side] - tip) * 0.4
            self._cone(layer, tip, upper, 0.048 * g**0.5 * z, 0.045 * g**0.5 * z, cloth, 0.035)
        self._dress(layer, chest)
        top = motion.head[k] + motion.head_turn[k] @ np.array([0, 0.07, 0.02])
        self._cone(layer, chest + np.array([0, 0.03, 0.012]), top, 0.057 * z, 0.053 * z, self.skin * 0.96, 0.008)

    def _dress(self, layer: _Layer, chest: np.ndarray) -> None:
        """Give the torso in ``layer`` its cloth: folds, stripes, and skin above the neckline."""
        cv2 = import_cv2()

        s = self.signer
        origin, grain = self.camera.project(chest), self.camera.scale
        found = layer.window(origin[0] - 0.27 * grain, origin[1] - 0.15 * grain, origin[0] + 0.27 * grain, layer.y1)
        if found is None:
            return
        where, x, y = found
        colour = layer.colour[(slice(None), *where)]
        turn = np.radians(self.camera.scene.roll_deg)
        cos, sin = np.float32(np.cos(turn) / grain), np.float32(np.sin(turn) / grain)
        u, v = x - np.float32(origin[0]), y - np.float32(origin[1])
        across, down = u * cos + v * sin, v * cos - u * sin
        size = self.folds.shape[0]
        tiles = np.float32(size / 0.55)
        at_x, at_y = np.mod(across * tiles, np.float32(size)), np.mod(down * tiles, np.float32(size))
        shade = cv2.remap(self.folds, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        if s.stripes:
            shade = shade * (1 + np.float32(s.stripes) * np.clip(6 * np.sin(down * np.float32(114.0)), -1, 1))
        colour *= shade
        if s.hair_style != "scarf":
            top = slice(0, int(0.35 * grain))
            colour, across, down = colour[:, top], across[top], down[top]
            deep = np.float32(s.neckline + 0.03)
            line = deep * (1 - (across * np.float32(1 / 0.082)) ** 2) - down  # above 0: skin
            line = np.where(np.abs(across) < 0.095, line, np.float32(-1))
            np.copyto(colour, _planes(self.skin * 0.98), where=line > 0)
            colour *= np.where(np.abs(line + np.float32(0.004)) < 0.004, np.float32(0.84), np.float32(1))

    # -- head

    def _head(self, canvas, motion, k):
        cv2 = import_cv2()

        s, centre, turn = self.signer, motion.head[k], motion.head_turn[k]
        size = np.array([s.head * s.face_width, s.head, s.head])

        def at(place):
            return centre + turn @ (np.array(place) * size)

        def blob(x, y, z, rx, ry, rz, colour, melt=0.0):
            self._blob(layer, at((x, y, z)), np.array([rx, ry, rz]) * size, turn, colour, melt)

        def cone(a, b, ra, rb, colour, melt=0.0):
            self._cone(layer, at(a), at(b), ra * s.head, rb * s.head, colour, melt)

        low = 0.26 if s.hair_style in ("long", "scarf") else 0.13
        corners = [at((x, y, z)) for x in (-0.10, 0.10) for y in (-0.15, low) for z in (-0.1, 0.1)]
        layer = self._layer(canvas, np.stack(corners), 0.05 if s.hair_style in ("long", "scarf", "bun") else 0.01)
        if not layer.near.size:
            return
        for shape in head_shapes(s):
            if isinstance(shape, Ball):
                self._blob(layer, at(shape.centre), np.array(shape.radii) * size, turn, self.skin, shape.melt)
            else:
                self._cone(layer, at(shape.start), at(shape.end), shape.start_r, shape.end_r, self.skin, shape.melt)
        face = layer.covered()
        # Colour: every visible point goes back to the head's own frame and looks its colour up there.
        affine = self.camera.affine_at(centre) @ turn
        inverse = np.linalg.inv(affine).astype(np.float32)
        c = self.camera.project(centre).astype(np.float32)
        y, x = _pixel_centres(layer)
        dx, dy, dz = x - c[0], y - c[1], layer.near - c[2]
        head_x = inverse[0, 0] * dx + inverse[0, 1] * dy + inverse[0, 2] * dz
        head_y = inverse[1, 0] * dx + inverse[1, 1] * dy + inverse[1, 2] * dz
        texture = self.face.painted(face_points(motion.expression[k : k + 1], s)[0], motion.expression[k])
        u, v = self.face.pixels(head_x, head_y)
        sampled = cv2.remap(
            texture, u - np.float32(0.5), v - np.float32(0.5), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        np.copyto(layer.colour, np.moveaxis(sampled, -1, 0), where=face)
        for side in (-1, 1):
            blob(side * 0.0755, 0.008, 0.012, 0.0095, 0.030, 0.017, self.skin * 0.97, 0.003)
            blob(side * 0.0790, 0.006, 0.002, 0.0040, 0.018, 0.009, self.skin * 0.75, 0.002)
        self._hair(blob, cone)
        _onto(canvas, layer)

    def _hair(self, blob, cone):
        style, hair = self.signer.hair_style, self.hair
        if style == "bald":
            return
        if style == "scarf":
            hair = self.cloth * 0.8 + 0.12
            blob(0, -0.038, 0.020, 0.084, 0.096, 0.098, hair)
            for side in (-1, 1):
                cone((side * 0.068, -0.05, -0.004), (side * 0.060, 0.075, -0.022), 0.026, 0.026, hair, 0.012)
                cone((side * 0.052, 0.095, -0.012), (side * 0.085, 0.195, 0.000), 0.034, 0.040, hair, 0.03)
            cone((-0.045, 0.125, -0.028), (0.045, 0.125, -0.028), 0.026, 0.026, hair, 0.03)
            blob(0, 0.185, -0.020, 0.105, 0.070, 0.058, hair, 0.03)
            return
        blob(0, -0.044, 0.022, 0.0795, 0.0885, 0.0955, hair)
        blob(0, -0.090, -0.022, 0.062, 0.036, 0.056, hair * 1.05, 0.006)
        if style == "bun":
            blob(0, -0.150, 0.025, 0.042, 0.034, 0.040, hair, 0.004)
        if style in ("long", "bob"):
            end = 0.20 if style == "long" else 0.085
            for side in (-1, 1):
                cone((side * 0.066, -0.055, 0.000), (side * 0.077, 0.03, 0.010), 0.020, 0.024, hair, 0.015)
                cone((side * 0.077, 0.03, 0.010), (side * 0.086, end, 0.010), 0.024, 0.030, hair * 0.95, 0.012)
            cone((0, -0.02, 0.05), (0, end, 0.055), 0.075, 0.080, hair * 0.8)

    # -- arms and hands

    def _arm(self, canvas, motion, k, side):
        s = self.signer
        shoulder, elbow, joints = motion.shoulders[k, side], motion.elbows[k, side], motion.hands[k, side]
        wrist, palm = joints[0], motion.palms[k, side]
        layer = self._layer(canvas, np.concatenate([[shoulder, elbow], joints]), 0.065)
        if not layer.near.size:
            return
        total = s.upper_arm_m + s.forearm_m
        g, z = s.girth**0.5, s.scale
        cuff = s.sleeve * total

        def part(a, b, ra, rb, start, end, melt):
            """A piece of arm between two points that lie ``start`` and ``end`` metres along it."""
            if start >= cuff:
                self._cone(layer, a, b, ra, rb, self.skin, melt)
                return
            thick = 0.004 + 0.004 * (s.sleeve < 0.6)
            if end <= cuff:
                self._cone(layer, a, b, ra + thick, rb + thick, self.cloth, melt)
                return
            share = (cuff - start) / (end - start)
            middle, rm = a + (b - a) * share, ra + (rb - ra) * share
            self._cone(layer, middle, b, rm, rb, self.skin, melt)
            self._cone(layer, a, middle, ra + thick, rm + thick, self.cloth, 0.002)

        upper = shoulder + (elbow - shoulder) * 0.5
        lower = elbow + (wrist - elbow) * 0.28
        neck = elbow + (wrist - elbow) * 0.86
        u, f = s.upper_arm_m, s.forearm_m
        part(shoulder + np.array([0, 0.006, 0]), upper, 0.045 * g * z, 0.0425 * g * z, 0.0, u * 0.5, 0.01)
        part(upper, elbow, 0.0425 * g * z, 0.0345 * g * z, u * 0.5, u, 0.015)
        part(elbow, lower, 0.0345 * g * z, 0.0365 * g * z, u, u + f * 0.28, 0.02)
        part(lower, neck, 0.0365 * g * z, 0.0265 * z, u + f * 0.28, u + f * 0.86, 0.02)
        h = s.hand
        sideways = _cross(unit(wrist - neck), palm) * 0.0075 * h
        for sign in (-1, 1):
            self._cone(layer, neck + sign * sideways, wrist + sign * sideways, 0.022 * z, 0.0195 * h, self.skin, 0.006)
        self._hand(layer, joints, palm, side)
        _onto(canvas, layer)

    def _hand(self, layer, joints, palm, side):
        s = self.signer
        h, w = s.hand, s.hand * s.finger_width
        wrist = joints[0]
        fingers = unit(joints[9] - wrist)
        palm = unit(palm - fingers * (palm @ fingers))
        thumbwards = _cross(fingers, palm) * (1 if side == RIGHT else -1)
        view = np.array([1, 1, -1])  # world direction -> direction in the picture (x, y, towards us)
        facing = palm * view
        skin, palm_skin = _planes(self.skin), _planes(self.palm_skin)

        def flesh(_, normal):
            share = _limit(_along(normal, facing * 0.9) + np.float32(0.4))
            return skin + share * (palm_skin - skin)

        # palm: a bundle of metacarpals, the ball of the thumb and the heel of the hand
        for k, base in zip(range(4), (0.0125, 0.0045, -0.0045, -0.0125)):
            knuckle = joints[5 + 4 * k]
            start = wrist + thumbwards * base * h + fingers * 0.012 * h
            self._cone(layer, start, knuckle - palm * 0.001 * h, 0.0135 * h, 0.0112 * w, self.skin, 0.007 * h, flesh)
            if k:
                between = (knuckle + joints[1 + 4 * k]) / 2 - fingers * 0.004 * h
                self._cone(layer, start, between, 0.012 * h, 0.0095 * w, self.skin, 0.007 * h, flesh)
        self._cone(layer, joints[1] + palm * 0.002 * h, joints[2], 0.0165 * h, 0.0125 * w, self.skin, 0.008 * h, flesh)
        heel = wrist - thumbwards * 0.016 * h + fingers * 0.020 * h + palm * 0.004 * h
        self._cone(layer, heel, (heel + joints[17]) / 2, 0.0145 * h, 0.0125 * h, self.skin, 0.008 * h, flesh)
        web = joints[1] * 0.45 + joints[5] * 0.55
        self._cone(layer, joints[1], web, 0.012 * h, 0.0085 * h, self.skin, 0.010 * h, flesh)

        across = -0.85 * thumbwards + 0.12 * fingers + 0.5 * palm
        for finger in range(5):
            chain = joints[1 + 4 * finger : 5 + 4 * finger]
            radii = _FINGER_RADII[finger] * w
            first = 1 if finger == 0 else 0
            for j in range(first, 3):
                a, b = chain[j], chain[j + 1]
                bone = unit(b - a)
                if finger == 0:
                    back = -unit(across - bone * (across @ bone))
                else:
                    lateral = unit(thumbwards - bone * (thumbwards @ bone))
                    back = _cross(bone, lateral) * (1 if side == RIGHT else -1)
                ra, rb = (radii[j - first], radii[j - first + 1])
                paint = self._finger_paint(back * view, last=j == 2)
                self._cone(layer, a, b, ra, rb, self.skin, (0.004 if j == 0 else 0.0015) * h, paint)

    def _finger_paint(self, back: np.ndarray, last: bool):
        skin, palm_skin, nail_colour = _planes(self.skin), _planes(self.palm_skin), _planes(self.nail)

        def paint(t, normal):
            behind = _along(normal, back)
            colour = skin + _limit(np.float32(0.5) - behind) * (palm_skin - skin)
            # A fine line across the inside of each joint, wrinkled skin on its outside.
            crease = np.exp((t - np.float32(0.03)) ** 2 * np.float32(-250))
            colour *= 1 - crease * np.where(behind < 0.2, np.float32(0.32), np.float32(0.10))
            if last:
                nail = _limit((behind - np.float32(0.80)) * 12) * _limit((t - np.float32(0.42)) * 12)
                colour += nail * (nail_colour - colour)
            return colour

        return paint


class _FaceTexture:
    """The face's colours in the head's own plane, painted anew for each expression."""

    half_width_m, top_m, bottom_m = 0.098, -0.135, 0.135

    def __init__(self, signer: Signer, scale: float):
        self.signer = signer
        self.scale = float(np.clip(scale * 1.25, 300, 2500))  # texels per metre
        self.shape = (int((self.bottom_m - self.top_m) * self.scale), int(2 * self.half_width_m * self.scale))
        self.base = self._base()

    def pixels(self, x, y):
        """Texel coordinates (pixel centres at +0.5) of points in the head's plane, metres."""
        scale = np.float32(self.scale)
        return (x + np.float32(self.half_width_m)) * scale, (y - np.float32(self.top_m)) * scale

    def _base(self) -> np.ndarray:
        s = self.signer
        h, w = self.shape
        x = ((np.arange(w) + 0.5) / self.scale - self.half_width_m)[None] / (s.head * s.face_width)
        y = ((np.arange(h) + 0.5) / self.scale + self.top_m)[:, None] / s.head
        skin = np.array(s.skin, float) / 255
        tone = np.ones((h, w, 3)) * skin

        def spot(cx, cy, rx, ry, colour, strength):
            weight = strength * np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)
            tone[:] += weight[..., None] * (np.asarray(colour) - tone)

        shadow, blush = skin * np.array([0.62, 0.52, 0.48]), skin * np.array([1.05, 0.80, 0.76])
        for side in (-1, 1):
            spot(side * 0.036, 0.030, 0.020, 0.017, blush, 0.55)
            spot(side * 0.031, -0.010, 0.019, 0.008, shadow, 0.42)
            spot(side * 0.017, 0.000, 0.006, 0.012, shadow, 0.40)
            spot(side * 0.030, 0.012, 0.015, 0.004, shadow, 0.22)
            spot(side * 0.013, 0.022, 0.004, 0.020, shadow, 0.20)
            spot(side * 0.0075, 0.0445, 0.0042, 0.0026, shadow * 0.4, 0.95)
            spot(side * 0.017, 0.040, 0.003, 0.007, shadow, 0.5)
            spot(side * 0.026, 0.056, 0.004, 0.012, shadow, 0.22)
        spot(0, 0.047, 0.012, 0.0035, shadow, 0.55)
        spot(0, 0.0525, 0.003, 0.005, shadow, 0.25)
        spot(0, 0.083, 0.014, 0.0035, shadow, 0.40)
        spot(0, 0.020, 0.005, 0.022, skin * 1.10, 0.5)
        spot(0, -0.050, 0.035, 0.018, skin * 1.05, 0.5)
        if s.beard:
            hair = np.array(s.hair, float) / 255
            low = 1 / (1 + np.exp(-(y - 0.058) / 0.006))
            sides = 1 / (1 + np.exp(-(np.abs(x) - 0.056) / 0.003)) * (y > 0.0)
            moustache = np.exp(-((x / 0.024) ** 4) - ((y - 0.053) / 0.005) ** 2)
            area = np.clip(low + sides + moustache, 0, 1) * s.beard * 0.75
            tone += area[..., None] * (hair - tone)
        speckle = _noise(np.random.default_rng(len(s.name)), max(h, w), (16, 48))[:h, :w]
        return (np.clip(tone * (1 + 0.02 * speckle[..., None]), 0, 1) * 255).astype(np.uint8)

    def painted(self, points: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """The texture (h, w, 3) float32 0..1 with eyes, brows and mouth drawn at ``points`` (128, 2) metres."""
        cv2 = import_cv2()

        s = self.signer
        image = self.base.copy()
        skin = np.array(s.skin, float)

        def polygon(numbers):
            u, v = self.pixels(*points[[FACE_INDEX[n] for n in numbers]].T)
            return np.round(np.stack([u - 0.5, v - 0.5], -1) * 16).astype(np.int32)

        def fill(corners, colour):
            cv2.fillPoly(image, [corners], tuple(float(c) for c in colour), cv2.LINE_AA, 4)

        def line(corners, colour, width_m, closed=False):
            width = max(1, round(width_m * self.scale))
            cv2.polylines(image, [corners], closed, tuple(float(c) for c in colour), width, cv2.LINE_AA, 4)

        for side in ("left", "right"):
            eye = polygon(OUTLINES[f"{side}_eye"])
            fill(eye, (236, 230, 226))
            inner = points[[FACE_INDEX[n] for n in OUTLINES[f"{side}_eye"]]]
            mid = (inner[0] + inner[8]) / 2 - np.array([0, 0.0008])
            open_m = inner[:, 1].max() - inner[:, 1].min()
            if open_m > 0.004:
                u, v = self.pixels(*mid)
                centre = (int((u - 0.5) * 16), int((v - 0.5) * 16))
                mask = np.zeros(image.shape[:2], np.uint8)
                cv2.fillPoly(mask, [eye], 255, cv2.LINE_8, 4)
                iris = image.copy()
                for radius, colour in ((0.0062, [c * 0.55 for c in s.eyes]), (0.0054, s.eyes), (0.0026, (14, 12, 12))):
                    cv2.circle(
                        iris, centre, int(radius * self.scale * 16), tuple(float(c) for c in colour), -1, cv2.LINE_AA, 4
                    )
                glint = (centre[0] - int(0.0018 * self.scale * 16), centre[1] - int(0.002 * self.scale * 16))
                cv2.circle(iris, glint, int(0.0011 * self.scale * 16), (250.0, 250.0, 250.0), -1, cv2.LINE_AA, 4)
                np.copyto(image, iris, where=mask[..., None] > 0)
            line(np.concatenate([eye[8:], eye[:1]]), skin * 0.22, 0.0019)
            line(eye[:9], skin * 0.55, 0.0009)
            crease = np.concatenate([eye[8:], eye[:1]]) - np.array([0, int(0.0042 * self.scale * 16)], np.int32)
            line(crease, skin * 0.68, 0.0009)
            hair = np.array(s.hair, float) * 0.75 + skin * 0.12
            brow = polygon(OUTLINES[f"{side}_brow"]).astype(float)
            upper, lower = brow[:5], brow[5:][::-1]
            middle, half = (upper + lower) / 2, (upper - lower) * (0.31 * s.brows)
            fill(np.concatenate([middle + half, (middle - half)[::-1]]).astype(np.int32), hair)
        fill(polygon(OUTLINES["lips"]), s.lips)
        mouth = polygon(OUTLINES["mouth"])
        if expression[2] > 0.08:
            fill(mouth, (74, 30, 30))
            if expression[2] > 0.25:
                teeth = mouth.copy()
                teeth[6:15, 1] = np.minimum(teeth[6:15, 1], mouth[0, 1] + int(0.005 * self.scale * 16))
                fill(teeth, (226, 220, 210))
        line(np.concatenate([mouth[15:], mouth[:6]]), np.array(s.lips) * 0.45, 0.0012)
        if s.glasses:
            for side in ("left", "right"):
                eye = points[[FACE_INDEX[n] for n in OUTLINES[f"{side}_eye"]]].mean(0)
                u, v = self.pixels(*eye)
                size = (int(0.0235 * self.scale * 16), int(0.018 * self.scale * 16))
                centre = (int(u * 16), int((v + 0.002 * self.scale) * 16))
                cv2.ellipse(
                    image, centre, size, 0, 0, 360, (30.0, 28.0, 28.0), max(1, int(0.002 * self.scale)), cv2.LINE_AA, 4
                )
            a, b = self.pixels(np.array([-0.009, 0.009]), np.array([-0.004, -0.004]))
            line(np.round(np.stack([a, b], -1) * 16).astype(np.int32), (30, 28, 28), 0.002)
        return image.astype(np.float32) / np.float32(255)


def _noise(rng: np.random.Generator, size: int, cells: tuple[int, ...]) -> np.ndarray:
    """Smooth tileable noise (size, size) float32 of about unit deviation, a sum of octaves."""
    cv2 = import_cv2()

    total = np.zeros((size, size), np.float32)
    for k, n in enumerate(cells):
        grid = rng.standard_normal((n, n)).astype(np.float32)
        grid = np.pad(grid, 2, mode="wrap")
        big = cv2.resize(grid, None, fx=size / n, fy=size / n, interpolation=cv2.INTER_CUBIC)
        start = round(2 * size / n)
        total += big[start : start + size, start : start + size] / (1 + k)
    return total / max(float(total.std()), 1e-6)


# --- the picture ------------------------------------------------------------------------------------------------


def background(scene: Scene, camera: Camera) -> np.ndarray:
    """The wall behind the signer, float32 (H, W, 3), 0..1."""
    cv2 = import_cv2()

    rng = np.random.default_rng(scene.background_seed)
    h, w = camera.height_px, camera.width_px
    wall = np.array(scene.wall, np.float32) / 255
    image = np.ones((h, w, 3), np.float32) * wall
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / max(h, w)
    image *= (1 + 0.05 * _noise(rng, max(h, w), (3, 6))[:h, :w])[..., None]
    if scene.background == "gradient":
        other = wall * rng.uniform(0.55, 0.95) + rng.uniform(-0.06, 0.06, 3)
        angle = rng.uniform(0, 2 * np.pi)
        share = np.clip(0.5 + (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.4)) * 1.1, 0, 1)[..., None]
        image = image * (1 - share) + other.astype(np.float32) * share
    elif scene.background == "clutter":
        # A shelf, a picture, a plant-like blob: out of focus, so they are blurred below.
        for _ in range(int(rng.integers(6, 12))):
            cx, cy = rng.uniform(0, w), rng.uniform(0, h * 0.9)
            colour = tuple(
                float(c) for c in np.clip(wall * rng.uniform(0.3, 1.1) + rng.uniform(-0.10, 0.10, 3), 0.04, 0.97)
            )
            size = rng.uniform(0.06, 0.24, 2) * h
            if rng.random() < 0.7:
                a, b = (int(cx - size[0] / 2), int(cy - size[1])), (int(cx + size[0] / 2), int(cy + size[1] * 0.4))
                cv2.rectangle(image, a, b, colour, -1)
                cv2.rectangle(image, a, b, tuple(c * 0.7 for c in colour), max(1, h // 120))
            else:
                cv2.ellipse(
                    image, (int(cx), int(cy)), (int(size[0] / 2), int(size[1] / 2)), 0, 0, 360, colour, -1, cv2.LINE_AA
                )
        image = cv2.GaussianBlur(image, (0, 0), h / 100)
    vignette = 1.04 - 0.22 * ((x - 0.5 * w / max(h, w)) ** 2 + (y - 0.5 * h / max(h, w)) ** 2)
    return np.clip(image * vignette[..., None], 0, 1)


def render(
    motion: Motion,
    signer: Signer,
    scene: Scene,
    size_px: tuple[int, int],
    rng: np.random.Generator | None = None,
    dots: tuple[tuple[np.ndarray, float, tuple[int, int, int]], ...] = (),
) -> Iterator[np.ndarray]:
    """The frames of ``motion``, uint8 (H, W, 3) RGB, one by one; ``size_px`` is (width, height).

    ``rng`` draws the camera's noise (none without it). ``dots`` are (points (T, 3) in metres, radius in metres, colour)
    drawn as balls in front of everything, to see where a joint lies.
    """
    cv2 = import_cv2()

    width, height = size_px
    if width % COARSE or height % COARSE or min(size_px) < 64:
        raise InputError(f"frame size {width}x{height}: both sides must be even and at least 64 pixels")
    fine = Camera(scene, width * FINE // COARSE, height * FINE // COARSE)
    wall = background(scene, Camera(scene, width, height)) * np.float32(255)
    person = Person(signer, fine)
    light = _Light(scene, fine)
    grain = None
    if rng is not None:
        grain = rng.standard_normal((height + 16, width + 16, 3), dtype=np.float32) * np.float32(scene.noise)
    x0, y0, x1, y1 = _reach(motion, fine)
    cover = np.zeros((height, width), np.float32)
    canvas = _Layer(*(v * FINE // COARSE for v in (x0, y0, x1, y1)))
    for k in range(len(motion)):
        canvas.clear()
        person.draw(canvas, motion, k)
        for points, radius_m, rgb in dots:
            at = fine.project(points[k]) + np.array([0, 0, 10 * fine.scale])  # in front of everything
            radius = radius_m * float(fine.magnification(points[k]))
            canvas.cone(at, at, radius, radius, np.array(rgb) / 255)
        lit = cv2.resize(light.lit(canvas), (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        cover[y0:y1, x0:x1] = lit[..., 3]
        image = light.shadowed(wall, cover)
        inside = image[y0:y1, x0:x1]
        inside *= 1 - lit[..., 3:]
        inside += lit[..., :3] * np.float32(255)
        if scene.blur_px:
            image = cv2.GaussianBlur(image, (0, 0), scene.blur_px)
        if grain is not None and rng is not None:
            j, i = (int(v) for v in rng.integers(17, size=2))
            image += grain[j : j + height, i : i + width]
        image += np.float32(0.5)
        yield np.clip(image, 0, 255, out=image).astype(np.uint8)


def _reach(motion: Motion, fine: Camera) -> tuple[int, int, int, int]:
    """The box (x0, y0, x1, y1), in frame pixels, that the signer stays in throughout ``motion``."""
    points = [
        motion.head + np.array([0, -0.20, 0]),
        motion.head + np.array([0.14, 0, 0]),
        motion.head - np.array([0.14, 0, 0]),
    ]
    points += [a.reshape(-1, 3) for a in (motion.shoulders, motion.elbows, motion.hands, motion.hips)]
    p = fine.project(np.concatenate(points))[:, :2]
    margin = 0.09 * fine.scale
    size = np.array([fine.width_px, fine.height_px])
    low = np.clip(p.min(0) - margin, 0, size - FINE) // FINE * COARSE
    high = np.clip(p.max(0) + margin, FINE, size)
    x0, y0 = (int(v) for v in low)
    return x0, y0, int(-(-high[0] // FINE)) * COARSE, fine.height_px // FINE * COARSE


class _Light:
    """Lights a canvas: one lamp with soft edges, light from all around, darkening where surfaces meet."""

    def __init__(self, scene: Scene, camera: Camera):
        self.scene, self.camera = scene, camera
        lamp = np.array(scene.light) * np.array([1, 1, -1])  # picture directions: x, y, towards us
        self.lamp = (lamp / np.linalg.norm(lamp)).astype(np.float32)
        self.tint = np.array([1 + 0.05 * scene.warmth, 1.0, 1 - 0.08 * scene.warmth], np.float32)

    def lit(self, canvas: _Layer) -> np.ndarray:
        """The lit picture with its cover, float32 (h, w, 4): red, green, blue, and 1 where there is anything."""
        cv2 = import_cv2()

        scene, scale = self.scene, self.camera.scale
        cover = canvas.covered()
        normal = canvas.normal
        # How deep a point lies below its surroundings, at the scale of fingers and of limbs.
        floor = np.maximum(canvas.near, np.float32(-0.10 * scale))
        dark = self._sunken(floor, 0.006 * scale, 0.45)
        h, w = floor.shape
        small = cv2.resize(floor, (max(w // 4, 1), max(h // 4, 1)), interpolation=cv2.INTER_AREA)
        dark += cv2.resize(self._sunken(small, 0.03 * scale / 4, 0.35, 4), (w, h), interpolation=cv2.INTER_LINEAR)
        lamp = np.clip(
            _along(normal, self.lamp * (scene.light_strength / 1.25)) + np.float32(0.2 * scene.light_strength), 0, 1
        )
        lamp *= 1 - np.minimum(dark, np.float32(0.75))
        sky = normal[1] * np.float32(-0.14 * scene.ambient) + np.float32(0.86 * scene.ambient)
        sky *= 1 - np.minimum(dark * np.float32(0.8), np.float32(0.7))
        lamp += sky
        half = self.lamp + np.array([0, 0, 1], np.float32)
        gloss = np.maximum(_along(normal, half / np.linalg.norm(half)), 0)
        gloss *= gloss  # to the 24th power
        gloss *= gloss
        gloss *= gloss
        gloss *= gloss * gloss * np.float32(0.10)
        out = np.empty((*cover.shape, 4), np.float32)
        for c in range(3):
            plane = canvas.colour[c] * lamp
            plane *= self.tint[c]
            plane += gloss
            np.multiply(np.minimum(plane, 1), cover, out=out[..., c])
        out[..., 3] = cover
        return out

    @staticmethod
    def _sunken(floor: np.ndarray, size_px: float, strength: float, shrink: int = 1) -> np.ndarray:
        cv2 = import_cv2()

        size = int(size_px) * 2 + 1
        around = cv2.blur(floor, (size, size), borderType=cv2.BORDER_REPLICATE)
        around -= floor
        around *= np.float32(strength / (size_px * shrink))
        return np.clip(around, 0, np.float32(strength), out=around)

    def shadowed(self, wall: np.ndarray, cover: np.ndarray) -> np.ndarray:
        """The wall with the signer's soft shadow on it, a new array."""
        cv2 = import_cv2()

        h, w = wall.shape[:2]
        small = cv2.resize(cover, (w // 8, h // 8), interpolation=cv2.INTER_AREA)
        shift = np.array([[1, 0, -self.lamp[0] * h / 8 * 0.12], [0, 1, -self.lamp[1] * h / 8 * 0.08]], np.float32)
        small = cv2.warpAffine(small, shift, (w // 8, h // 8), borderMode=cv2.BORDER_REPLICATE)
        small = cv2.GaussianBlur(small, (0, 0), h / 8 * 0.035)
        shade = cv2.resize(1 - np.float32(0.28) * small, (w, h))
        return wall * shade[..., None]
