"""The key slices as a Key Object Selection, so that a viewer can jump to them."""

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument

from ichnos.dicom import codes
from ichnos.reporting.exam.codes import coded
from ichnos.reporting.exam.evidence import UNNAMED, Evidence, equipment, finished
from ichnos.reporting.exam.result import ExamResult
from ichnos.reporting.exam.structured_report import observer

SERIES_NUMBER = 9902


def key_objects(result: ExamResult, evidence: Evidence) -> bytes:
    """The file of one selection (TID 2010) of the key slice of each class that is present; there must be one."""
    slices = [evidence.slices[index] for index in result.key_slices]
    named = ", ".join(f"{each.subtype.display_name} {each.probability:.2f}" for each in result.present)
    content = KeyObjectSelection(
        document_title=coded(codes.OF_INTEREST),
        referenced_objects=slices,
        observer_device_context=observer(result),
        description=f"Called by ichnos: {named}. Preliminary, not verified by a person. {result.findings.notices}",
    )
    document = KeyObjectSelectionDocument(
        evidence=slices,
        content=content,
        series_instance_uid=evidence.uid("key-objects series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=UNNAMED,
        instance_number=1,
        series_description="ichnos key slices, preliminary",
        content_date=evidence.date,
        content_time=evidence.time,
        **equipment(result),
    )
    return finished(document, evidence)
