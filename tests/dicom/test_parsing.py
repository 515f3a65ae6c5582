"""What parsing changes of the whole process is changed back, whichever thread is done first."""

import logging
import threading
import warnings

from ichnos.dicom.parsing import quiet_pydicom


def test_threads_leave_pydicoms_warnings_as_they_were() -> None:
    """The first is within when the second comes, and leaves before it: undone out of turn, pydicom would stay mute."""
    filters, mute = [*warnings.filters], logging.getLogger("pydicom").disabled
    within, leave = threading.Event(), threading.Event()

    def first() -> None:
        with quiet_pydicom():
            within.set()
            leave.wait(5)

    def second() -> None:
        within.wait(5)
        threading.Timer(0.1, leave.set).start()
        with quiet_pydicom():
            one.join(5)  # where the second may come in at once, the first leaves before it

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    two.start()
    two.join(10)
    assert not two.is_alive()
    assert warnings.filters == filters
    assert logging.getLogger("pydicom").disabled == mute
