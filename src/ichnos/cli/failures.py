"""What a failure says to a person, and the exit code that it says to a machine."""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from ichnos.errors import FailedElsewhereError, IchnosError, UsageError

STOPPED = 130
"""The exit code of a command that Ctrl-C ended, as shells have it (128 + SIGINT)."""

_EXTRAS = {
    "[train]": (
        "PIL blosc2 filelock jinja2 kornia lightning_fabric matplotlib monai nibabel onnx onnxscript polars "
        "safetensors scipy skl2onnx sklearn tensorboard torch"
    ),
    "[timm]": "timm",
    "[cluster]": "ray",
    "[s3]": "fsspec s3fs",
    "[gs]": "gcsfs",
}
"""Which optional part of the installation brings which modules."""


class StoppedError(Exception):
    """Ctrl-C ended a command that does not go on; with what to do. (Typer hides a KeyboardInterrupt from `run`.)"""


@contextmanager
def stopped_with(word: str) -> Iterator[None]:
    """Where Ctrl-C ends the block, say this."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        raise StoppedError(word) from stopped


NOTHING_KEPT = "Nothing is kept of it: the same command begins again from its start."


def exit_code(error: BaseException) -> int:
    """Say on standard error what went wrong, and return 1 (failed), 2 (wrong use) or 130 (stopped by the user).

    What ichnos raises on purpose is one line; anything else is a fault of ours and keeps its traceback.
    """
    match error:
        case KeyboardInterrupt():
            from ichnos.processes import is_first_of_training  # takes time that no other command need wait for

            if is_first_of_training():
                print("Stopped. What was finished is kept: give the same command again to go on.", file=sys.stderr)
            return STOPPED
        case StoppedError():
            print(f"Stopped. {error}", file=sys.stderr)
            return STOPPED
        case FailedElsewhereError(told=True):
            return 1
        case IchnosError():
            print(f"ichnos: {error}", file=sys.stderr)
            return 2 if isinstance(error, UsageError) else 1
        case ModuleNotFoundError() if extra := _extra_of(error.name or ""):
            print(
                f"ichnos: this command needs {error.name}, which is not installed; install it with "
                f"pip install 'ichnos{extra}'",
                file=sys.stderr,
            )
            return 1
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            print("ichnos: no space is left where standard output or a file goes: make room there", file=sys.stderr)
            return 1
        case _:
            traceback.print_exception(error)
            print("ichnos: this is a fault of ichnos; please report it with the lines above.", file=sys.stderr)
            return 1


def _extra_of(module: str) -> str | None:
    root = module.partition(".")[0]
    return next((extra for extra, modules in _EXTRAS.items() if root in modules.split()), None)
