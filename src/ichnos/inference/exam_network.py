"""A bundle's network of exams on ONNX Runtime: what the slices' network said of one exam, anew."""

from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ichnos.errors import BundleError, InferenceError, InputError


class SliceAnswers(NamedTuple):
    """What the slices' network says of an exam's n slices, from foot to head. All float32."""

    logits: NDArray[np.float32]
    """(n, outputs); of an ensemble with networks of exams each member's, side by side."""
    features: NDArray[np.float32]
    """(n, features)."""
    maps: NDArray[np.float32] | None
    """(n, outputs, h, w)."""


class ExamEngine:
    """An open network of exams. Threads may share it.

    Input: float32 `features` (n, F), `logits` (n, outputs; of an ensemble see SliceAnswers), `offsets` (n,), mm above
    the lowest slice, and where the recipe's head looks at them `maps` (n, outputs, h, w). Output: float32 `answers`
    (n, outputs), logits too. n is 1 or more.
    """

    def __init__(self, session: ort.InferenceSession, inputs: tuple[str, ...], outputs: int) -> None:
        """inputs: that the recipe's head takes. Raises BundleError where the network has another interface."""
        self._session, self._inputs, self._outputs = session, inputs, outputs
        given = {each.name: (each.type, len(each.shape)) for each in session.get_inputs()}
        ranks = {"features": 2, "logits": 2, "offsets": 1, "maps": 4}
        wanted = {name: ("tensor(float)", ranks[name]) for name in inputs}
        if given != wanted or "answers" not in {each.name for each in session.get_outputs()}:
            said = ", ".join(f"`{name}`" for name in inputs)
            raise BundleError(
                f"the bundle's network of exams must take {said} as float32 and give `answers`; it does not"
            )

    def run(self, said: SliceAnswers, offsets: NDArray[np.floating]) -> NDArray[np.float32]:
        """offsets: (n,) mm along the slice normal, from foot to head. Logits (n, outputs).

        Raises InputError where offsets are no places of the slices, BundleError where the network answers with no
        numbers.
        """
        places = np.asarray(offsets, dtype=np.float64)
        if places.shape != (len(said.logits),) or not np.isfinite(places).all():
            raise InputError(
                f"{len(said.logits)} slices need as many offsets in mm, finite numbers, got shape {places.shape}"
            )
        given = {
            "features": said.features,
            "logits": said.logits,
            "offsets": (places - places.min()).astype(np.float32),
            "maps": said.maps,
        }
        try:
            (logits,) = self._session.run(["answers"], {name: given[name] for name in self._inputs})
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            line = str(error).strip().splitlines()[0][:200]
            raise InferenceError(f"ONNX Runtime cannot run the bundle's network of exams: {line}") from error
        answer = np.asarray(logits, dtype=np.float32)
        if answer.shape != (len(places), self._outputs) or not np.isfinite(answer).all():
            raise InferenceError(
                "the bundle's network of exams gives no finite numbers for its classes: it is damaged or not ours"
            )
        return answer
