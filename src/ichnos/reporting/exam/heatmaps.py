"""Heatmaps as DICOM: pictures that any viewer shows, and the maps themselves as numbers in the patient's space."""

import numpy as np
from highdicom import (
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
    VOILUTFunctionValues,
    VOILUTTransformation,
)
from highdicom.pm import DerivedPixelContrastValues, ImageFlavorValues, ParametricMap, RealWorldValueMapping
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

from ichnos.dicom import codes
from ichnos.findings import ClassFinding
from ichnos.reporting.exam.codes import coded
from ichnos.reporting.exam.evidence import UNNAMED, Evidence, equipment, finished, reference_of, thickness
from ichnos.reporting.exam.heat import class_map, labelled, overlaid
from ichnos.reporting.exam.result import ExamResult

PICTURES_SERIES_NUMBER, MAPS_SERIES_NUMBER = 9903, 9904

NOT_FOR_DIAGNOSIS = "NOT FOR DIAGNOSIS"
_A_DEMONSTRATION = " demonstration"


def picture(finding: ClassFinding, number: int, result: ExamResult, evidence: Evidence) -> bytes:
    """The key slice of a class that is present, its map over it, as the file of a Secondary Capture image in RGB."""
    index = finding.key_slice
    assert index is not None
    name = finding.subtype.display_name
    rgb = labelled(
        overlaid(result, finding.subtype, index),
        f"{name} {finding.probability:.2f}, slice {index + 1} of {len(result.exam)}",
        f"ichnos{_A_DEMONSTRATION if result.findings.source.demonstration else ''}, {NOT_FOR_DIAGNOSIS}",
    )
    image = SCImage(
        pixel_array=rgb,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        pixel_spacing=result.exam.pixel_spacing,
        study_instance_uid=evidence.slices[0].StudyInstanceUID,
        series_instance_uid=evidence.uid("heatmap series"),
        series_number=PICTURES_SERIES_NUMBER,
        sop_instance_uid=UNNAMED,
        instance_number=number,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=_series_description("heatmaps", result),
        content_date=evidence.date,
        content_time=evidence.time,
        **equipment(result),
    )
    image.ConversionType = "WSD"  # made on a workstation (PS3.3 C.8.6.1), where highdicom says digital interface
    image.BurnedInAnnotation = "NO"  # words, but none that name the patient (PS3.3 C.7.6.1)
    image.DerivationDescription = f"Grad-CAM of {name.lower()} over the brain window; {NOT_FOR_DIAGNOSIS.lower()}"
    image.ImageComments = result.findings.notices
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = reference_of(evidence, index)
    image.SourceImageSequence = DicomSequence([source])
    return finished(image, evidence)


def parametric_map(finding: ClassFinding, number: int, result: ExamResult, evidence: Evidence) -> bytes:
    """A class's maps in the slices where it is called, as the file of a Parametric Map of float32, a frame a slice."""
    exam = result.exam
    values = np.stack([class_map(result, finding.subtype, index) for index in finding.slices])
    name = finding.subtype.display_name
    made = ParametricMap(
        source_images=[evidence.slices[index] for index in finding.slices],
        pixel_array=np.ascontiguousarray(values, dtype=np.float32),
        series_instance_uid=evidence.uid("map series"),
        series_number=MAPS_SERIES_NUMBER,
        sop_instance_uid=UNNAMED,
        instance_number=number,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(finding, values)],
        voi_lut_transformations=[
            VOILUTTransformation(*_window(values), voi_lut_function=VOILUTFunctionValues.LINEAR_EXACT)
        ],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label=finding.subtype.abbreviation.upper(),
        content_description=f"Grad-CAM of {name.lower()}",
        image_flavor=ImageFlavorValues.VOLUME,
        derived_pixel_contrast=DerivedPixelContrastValues.NONE,
        content_qualification="RESEARCH",
        pixel_measures=PixelMeasuresSequence(exam.pixel_spacing, thickness(exam)),
        plane_orientation=PlaneOrientationSequence("PATIENT", exam.orientation),
        plane_positions=[
            PlanePositionSequence("PATIENT", [round(v, 6) for v in exam.positions[k].tolist()]) for k in finding.slices
        ],
        series_description=_series_description("class maps", result),
        content_date=evidence.date,
        content_time=evidence.time,
        **equipment(result),
    )
    _name_dimensions(made, evidence.uid("map dimensions", finding.subtype))
    _say_of_frames(made, f"Grad-CAM of {name.lower()}; {NOT_FOR_DIAGNOSIS.lower()}. {result.findings.notices}")
    return finished(made, evidence)


def _series_description(what: str, result: ExamResult) -> str:
    """At most 64 characters (PS3.5 6.2, VR LO): the whole sentence stands in comments and derivations."""
    said = _A_DEMONSTRATION if result.findings.source.demonstration else ""
    return f"ichnos{said} {what}, {NOT_FOR_DIAGNOSIS.lower()}"


def _mapping(finding: ClassFinding, values: NDArray[np.float32]) -> RealWorldValueMapping:
    return RealWorldValueMapping(
        lut_label=finding.subtype.abbreviation.upper(),
        lut_explanation=f"Grad-CAM of {finding.subtype.display_name.lower()}, the network's own scale",
        unit=coded(codes.NO_UNITS),
        value_range=(0.0, float(values.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=coded(codes.GRAD_CAM),
    )


def _window(values: NDArray[np.float32]) -> tuple[float, float]:
    """Centre and width from 0 to the largest value, in six digits: what a decimal string holds.

    Exact ones (PS3.3 C.11.2.1.3.2): a width below 1 is none of LINEAR (PS3.3 C.11.2.1.2.1). Never 0, which is none.
    """
    highest = float(f"{max(float(values.max()), 1e-6):.6g}")
    return float(f"{highest / 2:.6g}"), highest


def _name_dimensions(made: Dataset, uid: str) -> None:
    """highdicom draws the dimensions' UID at random."""
    for item in made.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = uid
    for item in made.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid


def _say_of_frames(made: Dataset, text: str) -> None:
    """What was derived (PS3.3 C.7.6.16.2.6), and nothing of where.

    highdicom says that frames lie in their source's pixels; ours are upright, which the source need not be.
    """
    for frame in made.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            derivation.DerivationDescription = text
            for source in derivation.SourceImageSequence:
                del source.SpatialLocationsPreserved
