"""Processes that are measured: whole commands, and contenders that do their work once whenever they are asked.

A contender prints one line of JSON about itself when it is ready. For every line it then reads it does its work once
and answers with a line of JSON that has `seconds`. It ends when its standard input does.
"""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self, TypeVar

from ichnos.errors import BenchmarkError

_OURS = re.compile(r"^ichnos\.errors\.\w+: ")
"""What a traceback puts before an error that ichnos raises on purpose, whose message is enough."""

_LAUNCHER = Path(__file__).with_name("launch.py")

Tree = dict[str, Any]
W = TypeVar("W")


@dataclass(frozen=True)
class Taken:
    """What a whole process took. peak_mb: its largest resident memory, in 10⁶ bytes."""

    exit_code: int
    seconds: float
    cpu_seconds: float
    peak_mb: float


def run_command(command: Sequence[str], folder: Path) -> Taken:
    """Run a command to its end. Raises BenchmarkError where it fails; folder: for what it takes, written down."""
    with TemporaryFile() as errors:
        process = subprocess.run(  # noqa: S603 - our own interpreter and command
            _launched(command, folder / "command.json"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            check=False,
        )
        if process.returncode:
            raise BenchmarkError(f"a command that is measured failed: {_last_line(errors)}")
    return _taken(folder / "command.json")


class Contender:
    """A process that waits to be asked."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        """Begin it, and wait until it is ready. Raises BenchmarkError where it ends instead."""
        self.name = name
        self._taken = folder / f"{name}.json"
        self._errors = TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own or the user's scripts
            _launched(command, self._taken),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.about = self._answer()
        except BaseException:
            self._end()
            self._errors.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def once(self) -> Tree:
        """Let it do its work once; what it answers. Raises BenchmarkError where it ends instead, or is no contender."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: that it gives no answer says so
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        answer = self._answer()
        if not isinstance(answer.get("seconds"), int | float):
            raise BenchmarkError(f"{self.name} answers without `seconds`; see benchmarks/README.md")
        return answer

    def close(self) -> Taken | None:
        """End it; what it took as a whole process, None where it failed."""
        self._end()
        self._errors.close()
        return _taken(self._taken) if self._process.returncode == 0 else None

    def _answer(self) -> Tree:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer = json.loads(line)
            if not isinstance(answer, dict):
                raise TypeError
        except (ValueError, TypeError):
            self._end()
            said = f"it said {line.strip()[:100]!r}, which is no line of JSON" if line else _last_line(self._errors)
            raise BenchmarkError(f"{self.name} gave no answer: {said}") from None
        return answer

    def _end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._process.wait()


def answer_when_asked(
    work: Callable[..., W], what: Mapping[str, Callable[[W], Callable[[], Tree]]], words: Sequence[str]
) -> None:
    """Be a contender: `MODULE WORK.json WHAT` is ready when it has prepared, then works once for every line read."""
    once = what[words[2]](work(**json.loads(Path(words[1]).read_bytes())))
    _say({"ready": True})
    for _ in sys.stdin:
        _say(once())


def _say(tree: Tree) -> None:
    sys.stdout.write(json.dumps(tree) + "\n")
    sys.stdout.flush()


def _launched(command: Sequence[str], taken: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(_LAUNCHER), str(taken), *command]


def _taken(file: Path) -> Taken:
    return Taken(**json.loads(file.read_text(encoding="utf-8")))


def _last_line(errors: Any) -> str:
    errors.seek(0)
    lines = errors.read().decode("utf-8", errors="replace").strip().splitlines()
    return _OURS.sub("", lines[-1])[:200] if lines else "it said nothing"
