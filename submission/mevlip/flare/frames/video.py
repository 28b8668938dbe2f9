"""Films: one frame of each second, as Fleming-VL takes them. PyAV decodes; pictures and sound stay in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING

import av
from av.logging import set_level

from mevlip.flare.frames.base import check_size
from mevlip.flare.pixels import ImageError

if TYPE_CHECKING:
    from PIL import Image

CODECS = (
    "av1", "ffv1", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v3", "prores", "rawvideo",
    "vp8", "vp9", "wmv2",
)  # fmt: skip
"""What may be decoded; FFmpeg's rarer decoders stay closed to foreign files."""
_DECODERS = (*CODECS, "libdav1d", "libvpx", "libvpx-vp9")

MAX_DECODED = 1 << 35
"""Most pixels of a film's frames together: nine minutes of 1920 x 1080 at 30 frames a second."""

_CLOSED = {"codec_whitelist": ",".join(_DECODERS), "protocol_whitelist": "none", "enable_drefs": "0"}
"""A film names no other file, and no address."""


def moments(count: int, seconds: float) -> tuple[int, ...]:
    """Indices of the frames that show a film: the middle of each of as many equal parts as it has whole seconds.

    Args:
        count: Number of its frames.
        seconds: How long it takes.
    """
    parts = min(max(int(seconds), 1), count)
    length = (count - 1) / parts
    return tuple(int(length / 2 + round(length * part)) for part in range(parts))


class Video:
    """An open film. It is decoded once to count its frames, because containers may say something else, and once more.

    Args:
        file: The open file.
        container: FFmpeg's name of its format.

    Raises:
        ImageError: It holds no film, one of another codec, or one that is too large.
    """

    def __init__(self, file: IO[bytes], container: str) -> None:
        set_level(None)  # its messages would go to stderr, with texts of the file
        self._file, self._container = file, container
        with self._opened() as opened:
            stream = opened.streams.video[0]
            rate = float(stream.average_rate or stream.guessed_rate or 0)
            frames = sum(1 for _ in self._decoded(opened))
        if not frames:
            raise ImageError("no frame of the film can be decoded")
        self._moments = moments(frames, frames / rate if rate > 0 else 0)

    @property
    def count(self) -> int:
        """Number of its seconds, at least one."""
        return len(self._moments)

    def pictures(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yields the frames in the middle of seconds."""
        wanted = [self._moments[index] for index in indices]
        with self._opened() as opened:
            for number, frame in enumerate(self._decoded(opened)):
                while wanted and wanted[0] == number:
                    wanted.pop(0)
                    yield frame.to_image()  # type: ignore[no-untyped-call]
                if not wanted:
                    return

    def _opened(self) -> av.container.InputContainer:
        self._file.seek(0)
        opened = av.open(self._file, "r", format=self._container, options=_CLOSED, metadata_errors="replace")
        codecs = [stream.name for stream in opened.streams.video]
        if codecs and codecs[0] in _DECODERS:
            return opened
        opened.close()
        raise ImageError(f"its film is coded as {codecs[0]}, which is not read" if codecs else "the file holds no film")

    def _decoded(self, opened: av.container.InputContainer) -> Iterator[av.VideoFrame]:
        """Its frames, as long as they are as large as the first and not too many."""
        size, left = (0, 0), MAX_DECODED
        for frame in opened.decode(video=0):
            size = (frame.width, frame.height) if left == MAX_DECODED else size
            check_size(frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise ImageError("its frames are not of one size")
            left -= frame.width * frame.height
            if left < 0:
                raise ImageError(f"its frames have more than the allowed {MAX_DECODED} pixels together")
            yield frame
