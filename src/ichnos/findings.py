"""What is said of one exam: the versioned form of findings.json, valid after construction."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ichnos.subtypes import CLASSES, Subtype

FINDINGS_VERSION = 1
"""Of the form. Raised when a field changes its meaning or goes; a field more does not raise it."""

NOTICE = "Research use only. Not a medical device."

Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """Frozen, and an unknown field is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )


class Source(_Part):
    """Which software and which bundle said it."""

    ichnos: str
    """The version of ichnos."""
    bundle: str
    """The bundle's title."""
    bundle_digest: str
    """64 hex digits that name the bundle's content."""
    population: str
    """Whom the bundle was made on, in a sentence."""
    calibrated: bool
    """Whether probabilities and thresholds were fitted on patients that the model had not seen."""
    demonstration: str | None = None
    """Why the bundle is a demonstration and no more, where it is one: every form of the findings says so."""


class SliceFinding(_Part):
    """One slice that was read."""

    index: Annotated[int, Field(ge=0)]
    """From 0, the slice nearest the feet."""
    offset_mm: float
    """Position along the slice normal in mm, growing from foot to head."""
    probabilities: Mapping[Subtype, Probability]
    """Calibrated, for each reported class."""


class ClassFinding(_Part):
    """What is said of one class."""

    subtype: Subtype
    """One of the five subtypes, or any."""
    present: bool
    """Whether the exam is called positive: `any` at the balanced point of its probability in the exam, a subtype at its
    own where `any` is present too."""
    probability: Probability
    """Of the exam, calibrated."""
    threshold_balanced: Probability
    threshold_high_sensitivity: Probability
    slices: tuple[Annotated[int, Field(ge=0)], ...]
    """Indices of the slices at or above the balanced point of a slice's probability, which is another than the exam's,
    ascending; where the class is present at least the key slice, else empty."""
    key_slice: Annotated[int, Field(ge=0)] | None
    """Index of the slice with the highest probability; None where the class is not present."""

    @model_validator(mode="after")
    def _slices_fit(self) -> Self:
        if self.present != (self.key_slice is not None) or self.present != bool(self.slices):
            raise ValueError(f"{self.subtype}: a class that is present has slices and a key slice, another has none")
        if self.key_slice is not None and self.key_slice not in self.slices:
            raise ValueError(f"{self.subtype}: the key slice {self.key_slice} is not among its slices")
        if list(self.slices) != sorted(set(self.slices)):
            raise ValueError(f"{self.subtype}: slices must be ascending, none twice")
        return self


class ExamFindings(_Part):
    """What one exam holds, by one bundle: findings.json."""

    form: Literal["ichnos-findings"] = "ichnos-findings"
    version: Literal[1] = FINDINGS_VERSION
    notice: str = NOTICE
    source: Source
    exam: str | None = None
    """What the caller calls the exam. ichnos itself never puts a patient's name or identifier here."""
    urgent: bool
    """Whether to look at the exam first: any hemorrhage at the high-sensitivity point, or a class present."""
    any: ClassFinding
    subtypes: tuple[ClassFinding, ...]
    """Those that the bundle names, in the order of the alphabet."""
    slices: tuple[SliceFinding, ...]
    """Every slice that was read, from foot to head."""
    doubts: tuple[str, ...] = ()
    """What makes the result less sure than it looks, a sentence each."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        named = [each.subtype for each in self.subtypes]
        if self.any.subtype is not Subtype.ANY or named != [c for c in CLASSES[:-1] if c in named] or not named:
            raise ValueError("findings name `any`, then subtypes in their order, each once")
        reported = {*named, Subtype.ANY}
        if any(self.any.probability < each.probability for each in self.subtypes):
            raise ValueError("any hemorrhage cannot be less probable than one of its subtypes")
        if any(each.present for each in self.subtypes) and not self.any.present:
            raise ValueError("a subtype is present, so any hemorrhage is")
        if self.any.present and not self.urgent:
            raise ValueError("an exam with a hemorrhage present is urgent")
        if not self.slices or [s.index for s in self.slices] != list(range(len(self.slices))):
            raise ValueError("slices are numbered from 0, at least one")
        for each in self.slices:
            if set(each.probabilities) != reported:
                raise ValueError(f"slice {each.index} must have a probability for each reported class")
            if each.probabilities[Subtype.ANY] < max(each.probabilities.values()):
                raise ValueError(f"slice {each.index}: any hemorrhage is less probable than one of its subtypes")
        if any(max(each.slices, default=0) >= len(self.slices) for each in (self.any, *self.subtypes)):
            raise ValueError("a finding names a slice that was not read")
        return self

    @property
    def present(self) -> tuple[Subtype, ...]:
        """The subtypes that are called."""
        return tuple(each.subtype for each in self.subtypes if each.present)

    @property
    def notices(self) -> str:
        """The notice, and where the bundle is a demonstration that: what every form of the findings must say."""
        why = self.source.demonstration
        return f"{self.notice} A demonstration: {why}." if why else self.notice

    def __getitem__(self, subtype: Subtype) -> ClassFinding:
        """findings[Subtype.EPIDURAL]. Raises KeyError where the bundle does not name it."""
        for each in (self.any, *self.subtypes):
            if each.subtype is subtype:
                return each
        raise KeyError(subtype)

    def to_json(self) -> str:
        """The text of findings.json."""
        return self.model_dump_json(indent=2) + "\n"
