"""A process that waits for one that is gone."""

import subprocess
import sys

WAITS = """
import subprocess, sys, threading
from ichnos.training.watch import watch

others = [subprocess.Popen([sys.executable, "-c", code]) for code in {codes}]
watch(others, patience=1)
{then}
"""
FOREVER = "import time; time.sleep(1000)"


def ended(codes: list[str], then: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", WAITS.format(codes=codes, then=then)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)  # its pipes close where all have ended


def test_whoever_waits_for_one_that_failed_is_ended_and_says_why():
    done = ended([FOREVER, "raise SystemExit(3)"], "threading.Event().wait()")
    assert done.returncode == 1, "and not by a signal, which says nothing"
    assert "another process of this training is gone" in done.stderr
    assert "still waited for it after 1 s" in done.stderr


def test_whoever_notices_by_itself_ends_as_it_likes():
    done = ended(["raise SystemExit(3)"], "others[0].wait(); sys.exit(7)")
    assert (done.returncode, done.stderr) == (7, "")


def test_where_all_end_well_nothing_is_watched_any_more():
    then = "[each.wait() for each in others]; [each.join(20) for each in threading.enumerate()[1:]]; print('on')"
    done = ended(["pass", "pass"], then)
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")


BEGUN = """
import threading
from ichnos.training.watch import watch_first

watch_first(patience=1)
print("begun", flush=True)
threading.Event().wait()
"""


def test_whoever_waits_for_the_first_that_is_gone_is_ended_and_says_why():
    """GPUs that wait for each other within a step hear nothing of a closed connection."""
    first = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BEGUN!r}])"
    words = [sys.executable, "-c", first]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.kill()
        _, said = process.communicate(timeout=60)  # its pipes close where the other has ended too
    assert "another process of this training is gone" in said
