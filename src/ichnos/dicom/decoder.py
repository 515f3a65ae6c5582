"""Compressed pixels decoded in a process of its own: the decoders are C code, and damaged data hangs or crashes it."""

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ichnos.dicom.decode import PixelLayout
from ichnos.dicom.finding import FoundFile
from ichnos.errors import CrashError, DicomError, HangError

SECONDS_A_FILE = 4.5
"""A 512×512 slice takes 5 to 40 ms in any syntax: what takes this long hangs. No file may take 5 seconds (issue 3), and
the rest is for reading it and for ending the process."""

_SECONDS_TO_START = 60.0
"""A new process imports numpy and pydicom: half a second, far more on a machine that is out of memory."""

_BEGIN = "import sys; sys.path[:] = sys.argv[2:]; from ichnos.dicom.decoding import serve; serve(int(sys.argv[1]))"


@dataclass(frozen=True)
class FileInMemory:
    """A file's bytes, where they are read already."""

    data: bytes = field(repr=False)

    def read(self) -> bytes:
        """All of them."""
        return self.data

    def read_part(self, offset: int, length: int) -> bytes:
        """At most `length` of them from `offset`."""
        return self.data[offset : offset + length]

    def modified(self) -> int:
        """Bytes stay as they are."""
        return 0


class Decodes(Protocol):
    """What gives compressed pixels back."""

    def decode(self, file: FoundFile | FileInMemory, frame: int | None, layout: PixelLayout) -> NDArray[np.integer]:
        """The cells of one slice, shape (rows, columns). DicomError where they cannot be had, HangError in time,
        CrashError where the decoder crashes on them."""
        ...


class Decoder:
    """A process that decodes, begun when it is first needed, ended and begun anew where it hangs or crashes.

    limit: seconds a file. Calls from several threads wait for each other.
    """

    def __init__(self, limit: float = SECONDS_A_FILE) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._held: FoundFile | FileInMemory | None = None
        """The multi-frame file that the process holds, so that it is sent once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def decode(self, file: FoundFile | FileInMemory, frame: int | None, layout: PixelLayout) -> NDArray[np.integer]:
        """See Decodes."""
        with self._lock:
            try:
                return self._asked(file, frame, layout, self._limit)
            except _GoneError as gone:  # it crashed on this file, or something else ended it: a second time tells
                with contextlib.suppress(_GoneError):
                    return self._asked(file, frame, layout, max(self._limit - gone.after, 0.001))
        raise CrashError("its pixels are damaged: decoding them crashed; copy the file again")

    def _asked(
        self, file: FoundFile | FileInMemory, frame: int | None, layout: PixelLayout, seconds: float
    ) -> NDArray[np.integer]:
        line = self._connected()
        begun = time.monotonic()
        try:
            held = self.holds(file) and frame is not None
            data = b"" if held else file.read()
            self._held = None
            begun = time.monotonic()
            deadline = begun + seconds
            line.settimeout(seconds)
            line.sendall(_packed({"bytes": len(data), "held": held, "frame": frame}) + data)
            reply, pixels = self._answer(line, deadline)
        except TimeoutError:
            self._end()
            raise HangError(
                f"its pixels could not be decoded in {self._limit:g} seconds, so they are damaged; copy it again"
            ) from None
        except (OSError, EOFError, ValueError) as error:
            self._end()
            raise _GoneError(time.monotonic() - begun) from error
        if "error" in reply:  # it may hold nothing now, so a further frame sends the file again
            raise DicomError(str(reply["error"]))
        self._held = file
        return _cells(reply, pixels, layout)

    def holds(self, file: FoundFile | FileInMemory) -> bool:
        """Whether the process has this file, so that a further frame of it need not be sent again.

        One found anew under the same name and of the same size may be another by now.
        """
        return self._held is file

    def close(self) -> None:
        """End the process. The next call begins another."""
        with self._lock:
            self._end()

    def _connected(self) -> socket.socket:
        if self._line is not None and self._process is not None and self._process.poll() is None:
            return self._line
        self._end()
        try:
            return self._begun()
        except (OSError, EOFError) as error:  # no room for another process, or none in time
            self._end()
            raise HangError(
                "its pixels were not decoded: the process for that could not be begun, so the machine is overloaded or "
                "out of memory; try again"
            ) from error

    def _begun(self) -> socket.socket:
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
                [sys.executable, "-P", "-c", _BEGIN, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders write what they think of damaged data there
                env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            )
        _received(self._line, 1, time.monotonic() + _SECONDS_TO_START)
        return self._line

    def _answer(self, line: socket.socket, deadline: float) -> tuple[dict[str, object], bytes]:
        size = int.from_bytes(_received(line, 4, deadline), "little")
        reply = json.loads(_received(line, size, deadline))
        return reply, _received(line, int(reply["bytes"]), deadline)

    def _end(self) -> None:
        self._held = None
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class _GoneError(Exception):
    """The process ended before it answered, `after` so many seconds."""

    def __init__(self, after: float) -> None:
        super().__init__(after)
        self.after = after


class Decoders:
    """Decoders, as many as threads have ever asked at once: threads do not wait for each other.

    One that is idle is taken before another is begun, and of those first one that holds the file that is asked for.
    """

    def __init__(self) -> None:
        self._idle: list[Decoder] = []
        self._lock = threading.Lock()

    def decode(self, file: FoundFile | FileInMemory, frame: int | None, layout: PixelLayout) -> NDArray[np.integer]:
        """See Decodes."""
        decoder = self._take(file)
        try:
            return decoder.decode(file, frame, layout)
        finally:
            self._idle.append(decoder)

    def _take(self, file: FoundFile | FileInMemory) -> Decoder:
        with self._lock:
            holds = (k for k, each in enumerate(self._idle) if each.holds(file))
            return self._idle.pop(next(holds, -1)) if self._idle else Decoder()

    def close(self) -> None:
        """End the processes of all that are idle."""
        while self._idle:
            self._idle.pop().close()


@lru_cache(maxsize=1)
def shared_decoder() -> Decoders:
    """The decoders of this process; they end with it."""
    decoders = Decoders()
    atexit.register(decoders.close)
    return decoders


def _packed(request: dict[str, object]) -> bytes:
    text = json.dumps(request).encode()
    return len(text).to_bytes(4, "little") + text


def _received(line: socket.socket, size: int, deadline: float) -> bytes:
    parts = bytearray(size)
    view = memoryview(parts)
    while view:
        line.settimeout(max(deadline - time.monotonic(), 0.001))
        count = line.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(parts)


def _cells(reply: dict[str, object], pixels: bytes, layout: PixelLayout) -> NDArray[np.integer]:
    cell = np.dtype(str(reply["dtype"]))
    if cell.itemsize * 8 != layout.bits_allocated or len(pixels) != layout.byte_count:
        raise DicomError("its pixels decode to another size than its header says; copy the file again")
    return np.frombuffer(pixels, cell).reshape(layout.rows, layout.columns)
