"""Run a command and write down what it took: `python launch.py FILE COMMAND...`. Standard library alone.

A small process of its own, since Linux counts to a child's peak memory what the process that began it held at that
moment: behind a parent that holds torch every command would look large.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Where it is set a clone's modules are compiled at every start; an installation has them compiled."""


def main() -> int:
    """Give the command our standard input and output, wait for it, and exit as it did."""
    file, *command = sys.argv[1:]
    as_installed = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
    begun = time.perf_counter()
    signal.signal(signal.SIGINT, lambda *_: None)  # the command hears Ctrl-C itself: what it writes ends before us
    with subprocess.Popen(command, env=as_installed) as process:  # noqa: S603 - what the benchmark measures
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    taken = {
        "exit_code": process.returncode,
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6,
    }
    Path(file).write_text(json.dumps(taken), encoding="utf-8")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
