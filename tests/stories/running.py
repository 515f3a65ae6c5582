"""Run the command in this process, as the console script does: exit code, standard output, standard error."""

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest.mock import patch

from ichnos.cli.main import run


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    exit_code: int
    stdout: str
    stderr: str


def ichnos(*words: str) -> Ran:
    """Run `ichnos words...`."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["ichnos", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())
