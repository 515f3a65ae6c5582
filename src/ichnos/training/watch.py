"""What the first process of a training does where one that it began is gone, and what these do where it is."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from threading import Thread
from typing import NoReturn

PATIENCE = 60.0
"""Seconds for this process to notice by itself, to say so and to end: at the next step, or when it has written or
reckoned what it is at. Devices that wait for each other within a step may never notice."""

BETWEEN = 1.0
"""Seconds between two looks."""


def watch(others: Sequence[subprocess.Popen[bytes]], patience: float = PATIENCE) -> None:
    """From another thread: where any of `others` fails and this process goes on for `patience` seconds, end all."""
    Thread(target=_watch, args=(list(others), patience), daemon=True, name="watch-of-processes").start()


@cache
def watch_first(patience: float = PATIENCE) -> None:
    """From another thread of a process that another one began: where that is gone and this goes on, end this. Once a
    process, however many trainings it takes part in."""
    Thread(target=_watch_first, args=(os.getppid(), patience), daemon=True, name="watch-of-first-process").start()


def _watch_first(first: int, patience: float) -> None:
    while os.getppid() == first:
        time.sleep(BETWEEN)
    time.sleep(patience)
    _end(patience)


def _watch(others: list[subprocess.Popen[bytes]], patience: float) -> None:
    while not any(codes := [each.poll() for each in others]):
        if None not in codes:
            return
        time.sleep(BETWEEN)
    time.sleep(patience)
    for each in others:
        each.kill()
    _end(patience)


def _end(patience: float) -> NoReturn:
    sys.stderr.write(
        "ichnos: another process of this training is gone, killed or with its machine (see what it said last), and "
        f"this one still waited for it after {patience:.0f} s; the run goes on from its last save with the same "
        "command\n"
    )
    sys.stderr.flush()
    os._exit(1)  # what waits for another device hears no signal
