"""From the HU of one exam to its findings, by one bundle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos import __version__
from ichnos.ct.exams import Exam
from ichnos.errors import BundleError, InputError
from ichnos.findings import ClassFinding, ExamFindings, SliceFinding, Source
from ichnos.inference.bundle import Bundle
from ichnos.inference.engine import Engine
from ichnos.inference.given import GivenSlices, checked_slices
from ichnos.readout import NEVER_FIRES
from ichnos.subtypes import Subtype

_Slices = NDArray[np.int16] | Sequence[NDArray[np.int16]]
_Offsets = Sequence[float] | NDArray[np.floating]

_DECIMALS = 6
"""Of probabilities in findings: below that machines differ."""


@dataclass(frozen=True, eq=False)
class ExamReading:
    """Findings, and what lies behind them."""

    findings: ExamFindings
    probabilities: NDArray[np.float64]
    """(n, reported classes), calibrated; columns in the order of `reported`."""
    reported: tuple[Subtype, ...]
    maps: NDArray[np.float32] | None
    """(n, outputs, h, w) Grad-CAM, ≥ 0, over the whole (padded, square) slice; outputs in the order of `outputs`. None
    where the bundle's network has no class maps."""
    outputs: tuple[Subtype, ...]
    features: NDArray[np.float32]
    """(n, features)."""


class ExamClassifier:
    """An open bundle that classifies exams."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Raises BundleError where the bundle's network cannot be opened, or has never seen a normal slice."""
        refuse_positives_only(bundle)
        self.bundle = bundle
        self._engine = Engine(bundle, threads)

    def classify(
        self,
        exam: Exam | _Slices,
        offsets: _Offsets | None = None,
        *,
        pixel_spacing: tuple[float, float] | None = None,
        name: str | None = None,
        doubts: Sequence[str] = (),
    ) -> ExamFindings:
        """What an exam holds: one that ichnos.read_exam returned, or HU of your own. See `read`."""
        return self.read(exam, offsets, pixel_spacing=pixel_spacing, name=name, doubts=doubts).findings

    def read(
        self,
        exam: Exam | _Slices,
        offsets: _Offsets | None = None,
        *,
        pixel_spacing: tuple[float, float] | None = None,
        name: str | None = None,
        doubts: Sequence[str] = (),
    ) -> ExamReading:
        """What an exam holds, with class maps and features.

        exam: an Exam as ichnos.read_exam returns it, which was judged to be a head when it was read; or its slices from
        foot to head, int16 Hounsfield units of one matrix, rows from anterior to posterior, which are judged here.
        offsets: of such slices, mm along the slice normal, growing. pixel_spacing: mm between their rows, mm between
        their columns. Where either is not given the usual is taken, and the findings say so among their doubts.
        name: what the findings call the exam: never a patient's name or identifier. doubts: written beside the result,
        after the exam's own.
        Raises InputError where there are no slices, what is given are no HU or not in order, or it is no head CT.
        """
        given = self._given(exam, offsets, pixel_spacing)
        output = self._engine.run(given.hu, given.offsets)
        readout = self.bundle.manifest.readout
        probabilities = readout.slice_probabilities(readout.smoothed(output.logits, given.offsets))
        whole = readout.exam_probabilities(probabilities, given.offsets)
        keys = probabilities.argmax(axis=0)  # before rounding, in which sure slices fall together
        findings = self._findings(
            probabilities.round(_DECIMALS), whole.round(_DECIMALS), keys, given.offsets, name, (*given.doubts, *doubts)
        )
        return ExamReading(findings, probabilities, readout.reported, output.maps, readout.classes, output.features)

    def _given(
        self, exam: Exam | _Slices, offsets: _Offsets | None, pixel_spacing: tuple[float, float] | None
    ) -> GivenSlices:
        """HU, offsets and doubts, whichever way the exam was given."""
        if not isinstance(exam, Exam):
            return checked_slices(exam, offsets, pixel_spacing, self.bundle.manifest.recipe.widest.neighbour_spacing)
        if offsets is not None or pixel_spacing is not None:
            raise InputError("an Exam knows where its slices lie; give no offsets and no pixel spacing with it")
        return GivenSlices(exam.hu, exam.offsets, exam.doubts)

    def _findings(
        self,
        slices: NDArray[np.float64],
        exam: NDArray[np.float64],
        keys: NDArray[np.intp],
        offsets: NDArray[np.float64],
        name: str | None,
        doubts: Sequence[str],
    ) -> ExamFindings:
        readout, manifest = self.bundle.manifest.readout, self.bundle.manifest
        calls = readout.exam_calls(exam)
        present = dict(zip(readout.reported, calls["balanced"].tolist(), strict=True))
        found = [
            self._class(c, present=present[c], slices=slices[:, k], key=int(keys[k]), exam=float(exam[k]))
            for k, c in enumerate(readout.reported)
        ]
        return ExamFindings(
            source=Source(
                ichnos=__version__,
                bundle=manifest.title,
                bundle_digest=self.bundle.digest,
                population=manifest.population,
                calibrated=readout.calibrated,
                demonstration=manifest.demonstration,
            ),
            exam=name,
            urgent=bool(calls["high_sensitivity"][-1]) or present[Subtype.ANY],
            any=found[-1],
            subtypes=tuple(found[:-1]),
            slices=tuple(
                SliceFinding(
                    index=i,
                    offset_mm=round(float(offsets[i]), 3),
                    probabilities=dict(zip(readout.reported, row.tolist(), strict=True)),
                )
                for i, row in enumerate(slices)
            ),
            doubts=(*doubts, *self._own_doubts()),
        )

    def _own_doubts(self) -> list[str]:
        """Of the bundle, whatever the exam."""
        manifest = self.bundle.manifest
        own = [f"a demonstration: {manifest.demonstration}"] if manifest.demonstration else []
        if not manifest.readout.calibrated:
            own.append("the bundle is not calibrated: probabilities and thresholds are raw")
        notes = manifest.fitted_on.report.get("notes", ()) if manifest.fitted_on else ()
        return [*own, *(note for note in notes if note.startswith(NEVER_FIRES))]

    def _class(
        self, subtype: Subtype, *, present: bool, slices: NDArray[np.float64], key: int, exam: float
    ) -> ClassFinding:
        readout = self.bundle.manifest.readout
        called = slices >= readout.slices[subtype].balanced.threshold
        called[key] = True
        return ClassFinding(
            subtype=subtype,
            present=present,
            probability=exam,
            threshold_balanced=readout.exams[subtype].balanced.threshold,
            threshold_high_sensitivity=readout.exams[subtype].high_sensitivity.threshold,
            slices=tuple(np.flatnonzero(called).tolist()) if present else (),
            key_slice=key if present else None,
        )


def refuse_positives_only(bundle: Bundle) -> None:
    """Raise BundleError for a network that has never seen a slice without hemorrhage."""
    if bundle.manifest.recipe.population.slices == "positives":
        raise BundleError(
            f"{bundle.manifest.title} was trained on slices with hemorrhage only: it has never seen a normal slice and "
            "would find a hemorrhage in everyone. Use a bundle of a recipe with population.slices=all, or make its run "
            "the second stage of a cascade, behind one that names `any` on all slices: "
            "`ichnos export GATE_RUN SUBTYPE_RUN --out FILE`"
        )
