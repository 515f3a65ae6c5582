"""What of a file's codes may be shown: known words and forms of them alone, as free text there may name a patient."""

import re
from collections.abc import Collection

OTHER = "other"
"""Shown of any other value."""

MODALITIES = frozenset(
    (
        *("CR", "CT", "DX", "ECG", "ES", "IO", "IVUS", "KO", "MG", "MR", "NM", "OCT", "OP", "OT", "PR", "PT", "PX"),
        *("REG", "RF", "RG", "RTDOSE", "RTPLAN", "RTSTRUCT", "SC", "SEG", "SM", "SR", "US", "XA"),
    )
)
"""PS3.3 C.7.3.1.1.1."""

PHOTOMETRIC = frozenset(
    (
        *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL", "YBR_FULL_422"),
        *("YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"),
    )
)
"""PS3.3 C.7.6.3.1.2."""

UNITS = frozenset(("OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"))
"""Of RescaleType, PS3.3 C.11.1.1.2."""

IMAGE_TYPES = frozenset(
    (
        *("ORIGINAL", "DERIVED", "MIXED", "PRIMARY", "SECONDARY"),
        *("AXIAL", "LOCALIZER", "VOLUME", "ANGIO", "CARDIAC", "CARDIAC_GATED", "PERFUSION", "STATIC", "DYNAMIC"),
        *("NONE", "ADDITION", "DIVISION", "MASKED", "MAXIMUM", "MEAN", "MINIMUM", "MULTIPLICATION", "RESAMPLED"),
        *("STD_DEVIATION", "SUBTRACTION", "ENERGY_PROP_WT", "FILTERED", "MEDIAN", "QUANTITY"),
        *("ADD", "AVERAGE", "HELICAL", "HELIX", "MPR", "CPR", "REFORMATTED", "PARALLEL", "RADIAL", "CSA MPR", "NORM"),
        *(f"CT_SOM{n} {kind}" for n in (4, 5, 7, 8) for kind in ("SEQ", "SPI", "TOP", "MPR", "PROT", "DUAL")),
    )
)
"""Of CT slices (PS3.3 C.8.2.1.1.1, C.8.15.2.1, C.8.16.1), and what makers add."""

_KERNEL_CODE = re.compile(r"[A-Z]{1,2}\d\d[A-Z]{0,2}")
"""H31S, HR64, QR40, FC26: a letter or two, a number of two digits, perhaps one or two more."""

_KERNEL_WORDS = frozenset(
    (
        *("STANDARD", "STAND", "STND", "STD", "SOFT", "SMOOTH", "BRAIN", "DETAIL", "HEAD", "BODY", "BONE", "BONEPLUS"),
        *("EDGE", "LUNG", "ULTRA", "SHARP", "PLUS", "CHST", "DEFAULT", "MEDIUM", "NORMAL", "VERY", "EXTRA", "HIGH"),
        *("VSOFT", "VSHARP", "LITE", "EXT", "UA", "UB", "UC", "YA", "YB", "YC", "YD", "EB", "EC", "IMR"),
    )
)


def shown_code(value: str, known: Collection[str]) -> str:
    """A value that may be shown: itself where it is one of `known` or empty, else "other"."""
    return value if value in known or not value else OTHER


def shown_modality(modality: str) -> str:
    """A modality that may be shown: itself where it is one, "another" where it is anything else."""
    return modality if modality in MODALITIES or not modality else "another"


def shown_kernel(kernel: str) -> str:
    """A ConvolutionKernel in capitals that may be shown: its first value where that is a code of letters and a number,
    or made of known words and single letters (BONE+, H_SOFT_B); "" stays, anything else is "other"."""
    first = kernel.split("\\")[0].strip()
    words = re.split(r"[ _+-]+", first)
    known = all(len(word) < 2 or word in _KERNEL_WORDS or _KERNEL_CODE.fullmatch(word) for word in words)
    return first if known else OTHER
