"""Rows of the one table of codes as highdicom takes them."""

from highdicom.sr import CodedConcept

from ichnos.dicom.codes import Concept


def coded(concept: Concept) -> CodedConcept:
    """A coded concept for highdicom."""
    return CodedConcept(value=concept.value, scheme_designator=concept.scheme, meaning=concept.meaning)
