"""The errors that ichnos raises on purpose.

IchnosError                  anything below; the command line prints its message and exits 1
├── UsageError               the request itself is wrong (exit 2)
│   └── RecipeError          a recipe or an override does not fit the grammar
├── MissingExtraError        an optional dependency is not installed
├── InputError               what was given cannot be read or does not make sense
│   ├── DicomError           one DICOM file cannot be turned into a CT slice
│   │   ├── HangError        its compressed pixels could not be decoded in time
│   │   └── CrashError       decoding them ended the process that does it, twice
│   ├── FittedTogetherError  what a run was fitted on is of several sets, and one of them has not all
│   ├── ExamError            slices or a volume do not make a head CT that can be read
│   ├── SourceError          a folder, zip or table of labels is not what its source needs
│   └── SetError             a prepared set, its splits or a cache is absent, damaged or of another version
├── StorageError             a storage that a URL names cannot be reached, or answers with an error
├── WeightsError             initial weights or a checkpoint are absent, damaged or do not fit
├── BundleError              a bundle is absent, damaged, changed, newer, or not fit for what is asked of it
├── TrainingError            training cannot go on (loss not finite, no slices left)
├── FailedElsewhereError     another process of the same training failed
├── WorkerError              a process that shared the work was killed
├── ClusterError             a cluster does not answer, or its machines cannot do the work
├── BenchmarkError           a process that is measured failed
└── OutputError              a result cannot be written (disk full, no permission, already there)

Messages say what was found, what was wanted and what to do. They never hold a patient's name, an identifier or a UID.
"""

import logging
import traceback

_LOGGER = logging.getLogger(__name__)


class IchnosError(Exception):
    """The root of all errors that ichnos raises on purpose."""


class UsageError(IchnosError):
    """The request itself is wrong."""


class RecipeError(UsageError):
    """A recipe or an override does not fit the grammar."""


class MissingExtraError(IchnosError):
    """An optional dependency is not installed."""


class InputError(IchnosError):
    """What was given cannot be read or does not make sense."""


class FittedTogetherError(InputError):
    """What a run was fitted on is of several sets, and one of them has not all."""


class DicomError(InputError):
    """One DICOM file cannot be turned into a CT slice."""


class HangError(DicomError):
    """The compressed pixels of a DICOM file could not be decoded in time, or what decodes did not begin."""


class CrashError(DicomError):
    """Decoding the compressed pixels of a DICOM file ended the process that does it, twice."""


class ExamError(InputError):
    """Slices or a volume do not make a head CT that can be read."""


class SourceError(InputError):
    """A folder, zip or table of labels is not what its source needs."""


class SetError(InputError):
    """A prepared set, its splits or a cache is absent, damaged or of another version."""


class StorageError(IchnosError):
    """A storage that a URL names cannot be reached, or answers with an error."""


class WeightsError(IchnosError):
    """Initial weights or a checkpoint are absent, damaged or do not fit."""


class BundleError(IchnosError):
    """A bundle is absent, damaged, changed, newer, or not fit for what is asked of it."""


class InferenceError(BundleError):
    """A bundle's network gives no answer, or none in numbers, for what it was just given."""


class TrainingError(IchnosError):
    """Training cannot go on."""


class FailedElsewhereError(IchnosError):
    """Another process of the same training failed. told: whether that one says so, and this one need not."""

    def __init__(self, message: str, *, told: bool) -> None:
        super().__init__(message)
        self.told = told


class WorkerError(IchnosError):
    """A process that shared the work was killed."""


class ClusterError(IchnosError):
    """A cluster does not answer, or its machines cannot do the work."""


class BenchmarkError(IchnosError):
    """A process that is measured failed."""


class OutputError(IchnosError):
    """A result cannot be written."""


def fault_of(error: Exception) -> str:
    """What is said of an error: ours as it is; one that nobody foresaw by its kind and place, never by its text.

    That may name a patient, so it is logged at the debug level only, with the whole traceback.
    """
    if isinstance(error, IchnosError):
        return str(error)
    _LOGGER.debug("an error that nobody foresaw", exc_info=error)
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
    return f"a fault of ichnos ({type(error).__name__} at {where}); please report it"
