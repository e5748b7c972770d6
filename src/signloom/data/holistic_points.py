"""The points that MediaPipe's Holistic networks give, and the lines between them, as pose files have had them so far.

Numbers are MediaPipe's own. They stand here so that a pose can be written and drawn where MediaPipe is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pose_format.pose_header import PoseHeaderComponent

N_FACE = 468
N_POINTS = 33 + N_FACE + 21 + 21
"""Of one frame: body, face, left hand, right hand, in this order."""

Line = tuple[int, int]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(text: str) -> tuple[Line, ...]:
    return tuple((int(a), int(b)) for a, _, b in (line.partition("-") for line in text.split()))


BODY_POINTS = _words(
    """
    NOSE LEFT_EYE_INNER LEFT_EYE LEFT_EYE_OUTER RIGHT_EYE_INNER RIGHT_EYE RIGHT_EYE_OUTER LEFT_EAR RIGHT_EAR
    MOUTH_LEFT MOUTH_RIGHT LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW LEFT_WRIST RIGHT_WRIST LEFT_PINKY
    RIGHT_PINKY LEFT_INDEX RIGHT_INDEX LEFT_THUMB RIGHT_THUMB LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE LEFT_ANKLE
    RIGHT_ANKLE LEFT_HEEL RIGHT_HEEL LEFT_FOOT_INDEX RIGHT_FOOT_INDEX
    """
)
BODY_LINES = _lines(
    """
    15-21 16-20 18-20 3-7 14-16 23-25 28-30 11-23 27-31 6-8 15-17 24-26 16-22 4-5 5-6 29-31 12-24 23-24 0-1 9-10 1-2
    0-4 11-13 30-32 28-32 15-19 16-18 25-27 26-28 12-14 17-19 2-3 11-12 27-29 13-15
    """
)
HAND_POINTS = _words(
    """
    WRIST THUMB_CMC THUMB_MCP THUMB_IP THUMB_TIP INDEX_FINGER_MCP INDEX_FINGER_PIP INDEX_FINGER_DIP
    INDEX_FINGER_TIP MIDDLE_FINGER_MCP MIDDLE_FINGER_PIP MIDDLE_FINGER_DIP MIDDLE_FINGER_TIP RING_FINGER_MCP
    RING_FINGER_PIP RING_FINGER_DIP RING_FINGER_TIP PINKY_MCP PINKY_PIP PINKY_DIP PINKY_TIP
    """
)
HAND_LINES = _lines(
    """
    3-4 0-5 17-18 0-17 13-14 13-17 18-19 5-6 5-9 14-15 0-1 9-10 1-2 9-13 10-11 19-20 6-7 15-16 2-3 11-12 7-8
    """
)
FACE_LINES = _lines(
    """
    105-63 88-95 21-162 185-40 158-157 95-78 65-55 291-375 107-65 378-379 466-263 285-336 293-276 10-109 0-37 107-55
    296-336 402-317 63-70 127-234 54-21 282-293 145-144 160-159 311-310 381-382 52-63 7-33 105-52 375-321 314-17
    146-61 405-321 409-291 78-191 246-161 295-282 136-150 37-0 336-296 293-334 154-153 52-105 249-390 276-300 13-312
    39-40 63-105 283-293 321-405 93-132 173-133 46-70 109-67 66-105 181-91 185-61 153-145 361-323 53-63 267-0
    454-356 334-296 285-295 263-249 52-65 191-80 296-282 270-409 17-314 63-52 80-81 81-82 384-385 314-405 55-65
    409-270 336-285 66-52 269-267 107-66 150-149 388-466 283-282 398-384 297-338 385-386 386-387 55-107 308-324
    377-400 53-52 66-107 84-17 374-380 17-84 105-66 163-7 373-374 159-158 295-296 380-381 397-288 161-160 282-283
    149-176 356-389 332-297 282-296 87-178 172-136 323-454 415-308 293-282 176-148 52-53 284-332 300-276 52-66 63-53
    155-154 70-46 295-285 91-146 405-314 375-291 282-295 82-13 276-293 162-127 317-14 103-54 321-375 46-63 382-362
    296-295 14-87 181-84 91-181 400-378 133-155 53-46 66-65 365-397 148-152 310-415 269-270 0-267 387-388 152-377
    61-185 293-283 65-52 390-373 144-163 234-93 132-58 300-293 146-91 65-107 70-63 288-361 318-402 33-246 267-269
    157-173 39-37 362-398 58-172 178-88 270-269 37-39 67-103 63-46 40-39 334-293 324-318 276-283 282-334 283-276
    379-365 312-311 336-295 291-409 46-53 65-66 296-334 293-300 389-251 84-181 295-336 338-10 61-146 334-282 251-284
    40-185
    """
)
"""The lines of the face's mesh between points of its contours (lips, eyes, brows, oval)."""
CONTOUR_POINTS = tuple(sorted({point for line in FACE_LINES for point in line}))
"""Those 128 points, of the 468."""
_HAND_COLOURS = (
    *((232, 232, 232), (192, 0, 0), (227, 35, 35), (262, 70, 70), (297, 105, 105), (0, 0, 192), (35, 35, 227)),
    *((70, 70, 262), (105, 105, 297), (0, 192, 0), (35, 227, 35), (70, 262, 70), (105, 297, 105), (0, 192, 192)),
    *((35, 227, 227), (70, 262, 262), (105, 297, 297), (255, 128, 0), (255, 178, 102), (255, 153, 51), (255, 128, 0)),
)


def components(face_points: tuple[int, ...]) -> list[PoseHeaderComponent]:
    """The parts of a pose of these points, with those of the face that are kept, as a pose file names them."""
    from pose_format.pose_header import PoseHeaderComponent

    place = {point: k for k, point in enumerate(face_points)}
    face_lines = [(place[a], place[b]) for a, b in FACE_LINES]
    parts = (
        ("POSE_LANDMARKS", BODY_POINTS, BODY_LINES, [(255, 0, 0)]),
        ("FACE_LANDMARKS", tuple(map(str, face_points)), face_lines, [(128, 0, 0)]),
        ("LEFT_HAND_LANDMARKS", HAND_POINTS, HAND_LINES, list(_HAND_COLOURS)),
        ("RIGHT_HAND_LANDMARKS", HAND_POINTS, HAND_LINES, list(_HAND_COLOURS)),
    )
    return [
        PoseHeaderComponent(name, list(points), list(lines), colours, "XYZC") for name, points, lines, colours in parts
    ]
