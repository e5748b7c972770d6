"""The only code that opens media: video, depth, pictures, ``.pose`` files and flow, read exactly and safely.

*Exactly*: every frame once, in presentation order, in the colours and the orientation that were recorded, with the
time at which it was shown. *Safely*: only regular local files, only formats on a list, never a file that another file
names; caps on bytes, picture size, frames and time; and one exception, :class:`~signloom.errors.MediaError`, whose
``reason`` is one of :data:`REASONS`. A clip that ends before its container says so is ``truncated``: half a sign never
passes for a sign. Decisions are explained in docs/decisions/0002-reading-video.md.
"""

from signloom.media.depth_files import depth_rate, read_depth
from signloom.media.flow_files import open_flow_writer, probe_flow, read_flow, read_flow_codes, write_flow
from signloom.media.images import read_picture, write_picture
from signloom.media.limits import DEFAULT_FPS, PLAUSIBLE_FPS, REASONS, Limits
from signloom.media.local_files import HeldFile, content_hash, list_pictures
from signloom.media.pixels import import_cv2, resize_shorter_side
from signloom.media.pose_files import probe_pose, read_pose, write_pose
from signloom.media.read import (
    Video,
    VideoInfo,
    constant_rate,
    iter_frames,
    probe,
    read_frames,
    read_planes,
    read_video,
)
from signloom.media.times import cut_at, frame_times, frames_between
from signloom.media.write import exact_rate, open_lossless_writer, open_video_writer, write_video

__all__ = [
    "DEFAULT_FPS",
    "PLAUSIBLE_FPS",
    "REASONS",
    "HeldFile",
    "Limits",
    "Video",
    "VideoInfo",
    "constant_rate",
    "content_hash",
    "cut_at",
    "depth_rate",
    "exact_rate",
    "frame_times",
    "frames_between",
    "import_cv2",
    "iter_frames",
    "list_pictures",
    "open_flow_writer",
    "open_lossless_writer",
    "open_video_writer",
    "probe",
    "probe_flow",
    "probe_pose",
    "read_depth",
    "read_flow",
    "read_flow_codes",
    "read_frames",
    "read_picture",
    "read_planes",
    "read_pose",
    "read_video",
    "resize_shorter_side",
    "write_flow",
    "write_picture",
    "write_pose",
    "write_video",
]
