"""The learning rate of every step: a pure function of the step."""

import math
from typing import assert_never

from ichnos.recipe import ExamFit, Fit

_WARMUP_SHARE = 1 / 20
"""Of all steps, spent rising; the recipe's grammar promises it."""


def learning_rate(fit: Fit | ExamFit, step: int, total: int) -> float:
    """The rate of step `step` (from 0) of `total` in the whole run, as Fit.schedule says."""
    match fit.schedule:
        case "constant":
            return fit.learning_rate
        case "cosine":
            warmup = math.ceil(total * _WARMUP_SHARE)
            if step < warmup:
                return fit.learning_rate * (step + 1) / warmup
            turns = (step - warmup) * (fit.restarts + 1) / (total - warmup)
            return fit.learning_rate * (1 + math.cos(math.pi * (turns % 1))) / 2
        case _:
            assert_never(fit.schedule)
