"""The other end of decoder.py: a process that takes compressed files over a socket and gives their pixels back."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
import warnings
from io import BytesIO
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset

from ichnos.dicom.decode import PixelLayout, decompressed_cells
from ichnos.errors import DicomError

_MOST_MEMORY = 6 << 30
"""Bytes of address space: a header that promises 60,000 × 60,000 pixels must not take the machine down."""

_DAMAGE = re.compile(rb"Corrupt JPEG data: (?![12] extraneous)|Premature end of JPEG")
"""What libjpeg says where it goes on with pixels that it makes up. One or two bytes too many are a writer's padding."""

_LONGEST_SECONDS = 10
"""Of one frame: more than any parent waits (decoder.SECONDS_A_FILE)."""

_PIXEL_TAGS = [0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011]
_PIXEL_TAGS += [0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x7FE00001, 0x7FE00002, 0x7FE00010]


def serve(descriptor: int) -> None:
    """Answer requests until the other end closes: a JSON line of lengths, then the file's bytes, both ways.

    Nothing of a file is trusted: memory is limited, and the parent kills this process when it takes too long.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C
    _limit_memory()
    warnings.simplefilter("ignore")  # the parent judges the result
    said = _own_standard_error()
    held: FileDataset | None = None
    with socket.socket(fileno=descriptor) as line, contextlib.suppress(EOFError, ConnectionError):
        line.sendall(b"!")
        while True:
            request = json.loads(_received(line, int.from_bytes(_received(line, 4), "little")))
            data = _received(line, request["bytes"])
            reply: dict[str, object]
            pixels = b""
            _taken(said)  # what was said of a file that was refused is not of this one
            _end_after(_LONGEST_SECONDS)
            try:
                if not request["held"]:
                    held = None  # where the new file cannot be opened, none is held
                    held = _opened(data)
                cells = _decoded(held, request["frame"])
                if _DAMAGE.search(_taken(said)):
                    raise DicomError("its pixels are damaged: a decoder would make up the rest; copy the file again")
                pixels = np.ascontiguousarray(cells).tobytes()
                reply = {"dtype": cells.dtype.str, "bytes": len(pixels)}
            except DicomError as error:
                reply = {"error": str(error), "bytes": 0}
            finally:
                _end_after(0)
            text = json.dumps(reply).encode()
            line.sendall(len(text).to_bytes(4, "little") + text + pixels)


def _opened(data: bytes) -> FileDataset:
    try:
        return dcmread(BytesIO(data), specific_tags=_PIXEL_TAGS, force=True)  # pyright: ignore[reportArgumentType]
    except Exception as error:  # pydicom meets damaged files with whatever it trips over; here is the border
        raise DicomError("it is damaged: its DICOM elements cannot be parsed; copy the file again") from error


def _decoded(dataset: FileDataset | None, frame: int | None) -> NDArray[np.integer]:
    if dataset is None:
        raise DicomError("its pixels were not sent")  # cannot happen: the parent sends a file before its frames
    try:
        return decompressed_cells(dataset, PixelLayout.of(dataset), frame)
    except MemoryError:
        raise DicomError("its pixels ask for more memory than any CT slice needs; copy the file again") from None


def _own_standard_error() -> int:
    """A file in memory in place of standard error, which is where libjpeg says what it found damaged."""
    if sys.platform == "linux":
        said = os.memfd_create("said")
    else:
        with TemporaryFile() as file:
            said = os.dup(file.fileno())
    os.dup2(said, 2)
    return said


def _taken(said: int) -> bytes:
    """What was written there since the last call, or the beginning of it."""
    text = os.pread(said, 1 << 16, 0)
    os.ftruncate(said, 0)
    os.lseek(said, 0, os.SEEK_SET)
    return text


def _received(line: socket.socket, size: int) -> bytes:
    parts = bytearray(size)
    view = memoryview(parts)
    while view:
        count = line.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(parts)


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_after(seconds: int) -> None:
    """A decoder that hangs never looks at its socket: where the parent that would kill it has gone, the alarm does, as
    nothing of ours catches it. 0: no more. (prctl's signal at the parent's death comes when a thread of it ends.)"""
    if sys.platform != "win32":
        signal.alarm(seconds)
