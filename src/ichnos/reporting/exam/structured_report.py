"""Findings as a Comprehensive 3D SR by TID 1500: preliminary, unverified, said by an algorithm."""

from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)

from ichnos.dicom import codes
from ichnos.dicom.identifiers import derived_uid
from ichnos.findings import ClassFinding
from ichnos.reporting.exam.codes import coded
from ichnos.reporting.exam.evidence import MANUFACTURER, UNNAMED, Evidence, equipment, finished, reference_of
from ichnos.reporting.exam.result import ExamResult
from ichnos.subtypes import Subtype

SERIES_NUMBER = 9901
"""Of our series of reports: far above those of scanners."""


def structured_report(result: ExamResult, evidence: Evidence) -> bytes:
    """The file of one report: a measurement group (TID 1501) for each class, whether it is present or absent.

    Its evidence lists every slice that was read, its groups refer to the key slices, and comments say what is doubtful.
    """
    classes = (result.findings.any, *result.findings.subtypes)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(result)),
        procedure_reported=coded(codes.CT_HEAD),
        imaging_measurements=[_group(each, result, evidence) for each in classes],
        title=coded(codes.MEASUREMENT_REPORT),
    )
    for text in _comments(result):
        content[0].ContentSequence.append(
            TextContentItem(name=coded(codes.COMMENT), value=text, relationship_type=RelationshipTypeValues.CONTAINS)
        )
    report = Comprehensive3DSR(
        evidence=list(evidence.slices),
        content=content[0],
        series_instance_uid=evidence.uid("sr series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=UNNAMED,
        instance_number=1,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="ichnos findings, preliminary, not for diagnosis",
        content_date=evidence.date,
        content_time=evidence.time,
        **equipment(result),
    )
    return finished(report, evidence)


def observer(result: ExamResult) -> ObserverContext:
    """The device that observed (TID 1002, 1004): one for each bundle and version of ichnos."""
    source = result.findings.source
    return ObserverContext(
        observer_type=coded(codes.DEVICE),
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=derived_uid("device", source.ichnos, source.bundle_digest),
            name="ichnos",
            manufacturer_name=MANUFACTURER,
            model_name=source.bundle,
            serial_number=source.bundle_digest,
        ),
    )


def _group(finding: ClassFinding, result: ExamResult, evidence: Evidence) -> MeasurementsAndQualitativeEvaluations:
    code = codes.FINDINGS[finding.subtype]
    keys = [] if finding.key_slice is None else [finding.key_slice]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=evidence.uid("tracking", finding.subtype), identifier=finding.subtype.display_name
        ),
        finding_type=coded(code.finding),
        finding_sites=None if code.site is None else [FindingSite(coded(code.site))],
        algorithm_id=_algorithm(finding, result),
        measurements=[
            Measurement(name=coded(codes.PROBABILITY), value=finding.probability, unit=coded(codes.NO_UNITS))
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(
                name=coded(codes.PRESENCE), value=coded(codes.PRESENT if finding.present else codes.ABSENT)
            )
        ],
        source_images=[SourceImageForMeasurementGroup(*reference_of(evidence, index)) for index in keys],
    )


def _algorithm(finding: ClassFinding, result: ExamResult) -> AlgorithmIdentification:
    source = result.findings.source
    where = "" if finding.subtype is Subtype.ANY else ", where any hemorrhage is present"
    return AlgorithmIdentification(
        name="ichnos",
        version=source.ichnos,
        parameters=[
            f"bundle: {source.bundle}",
            f"bundle digest: {source.bundle_digest}",
            f"present at a probability of {finding.threshold_balanced:.6f} or more (balanced){where}",
            f"high sensitivity at {finding.threshold_high_sensitivity:.6f} or more",
        ],
    )


def _comments(result: ExamResult) -> list[str]:
    findings = result.findings
    flag = "To be looked at first." if findings.urgent else "Not flagged as urgent."
    return [
        f"{findings.notice} Preliminary, not verified by a person. {flag}",
        *(f"Doubt: {d}" for d in findings.doubts),
    ]
