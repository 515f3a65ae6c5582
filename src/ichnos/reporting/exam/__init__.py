"""What is written of one exam beside findings.json: DICOM objects and a page. No torch, no matplotlib."""

from ichnos.reporting.exam.result import ExamResult, Format
from ichnos.reporting.exam.write import Written, is_output, outputs_in, take_away, write_outputs

__all__ = ["ExamResult", "Format", "Written", "is_output", "outputs_in", "take_away", "write_outputs"]
