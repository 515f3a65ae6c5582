"""What is doubtful of a series that is read all the same: sentences that stand beside every result."""

from collections.abc import Sequence

from ichnos.counting import counted
from ichnos.dicom.series import Series
from ichnos.dicom.series_rules import SeriesRules, is_as_good, is_sharp, why_left

COMPRESSED_WITH_LOSS = "its slices were compressed with loss"
"""Of an exam with at least one such slice; what is made of it must say so too."""


def doubts_of(series: Series, rules: SeriesRules, skipped: Sequence[str], *, values_inverted: bool) -> tuple[str, ...]:
    """The doubts that headers and reading leave; what the pixels leave is the business of ct.plausibility.

    series: with the slices that were read and no others. skipped: why its further slices could not be.
    """
    frames = series.frames
    missing = len(skipped) + len(series.faults)
    found = {
        f"{missing} of {len(frames) + missing} slices could not be read, and the gap that this leaves was not looked "
        f"at; the first because: {(*skipped, *series.faults, '')[0]}": missing > 0,
        f"{counted(series.duplicates, 'slice')} left out that lie where another does: the first acquired was kept": (
            series.duplicates > 0
        ),
        f"{counted(series.missing, 'gap')} between slices wider than their thickness (up to {_widest(series):.1f} mm): "
        "slices may be missing": series.missing > 0,
        "contrast was given: vessels look like blood": series.contrast,
        "it was made with a sharp kernel, for bone: noise may hide blood": is_sharp(series, rules),
        COMPRESSED_WITH_LOSS: any(frame.lossy for frame in frames),
        "its 12-bit values had lost their sign, which was mended": any(frame.rescale.wrapped for frame in frames),
        "it is MONOCHROME1, and its values were found to be inverted, which was mended": values_inverted,
        "it is MONOCHROME1: its values were read as they are, and are plausible so": not values_inverted
        and any(frame.inverted_display for frame in frames),
        "its slices have no SOPInstanceUID, so no DICOM object can refer to them": any(
            not frame.sop_instance for frame in frames
        ),
        "it is a reformatted or processed series, not the scanner's own": series.image_type[1:2] == ("SECONDARY",),
    }
    return tuple(sentence for sentence, applies in found.items() if applies)


def doubts_of_others(others: Sequence[Series], taken: Series, rules: SeriesRules) -> tuple[str, ...]:
    """The doubt that further series leave which could have been read and were not."""
    count = sum(is_as_good(series, taken, rules) for series in others if why_left(series, rules) is None)
    series = counted(count, "equally good series", "equally good series")
    doubt = f"{series} of this study not read: perhaps a scan of another time, so look there too"
    return (doubt,) if count else ()


def _widest(series: Series) -> float:
    return float(series.gaps.max()) if len(series.frames) > 1 else 0.0
