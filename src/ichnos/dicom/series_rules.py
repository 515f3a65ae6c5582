"""Which series of an exam is read, and why not the others: READ THIS, AND CHANGE IT, where a site's scans differ.

First LEAVE: what is no axial head-CT slice in HU is left, with the reason. Then PREFER: what remains is compared, and
the first preference in which two series differ decides. `SeriesRules` holds every word and number that the rules use;
give other ones to `read_exams(paths, rules=...)`, or as JSON to `ichnos inspect --rules FILE`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from ichnos.dicom.frames import IMAGES
from ichnos.dicom.series import Series, refused_by_all
from ichnos.dicom.shown import shown_modality
from ichnos.errors import UsageError

Score = tuple[float, ...]


@dataclass(frozen=True)
class SeriesRules:
    """The words and numbers of the rules. Words are compared in capitals; those of kernels and of contrast are regular
    expressions."""

    left_image_types: tuple[str, ...] = (
        *("LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCREEN SAVE", "DOSE_INFO", "DOSE", "REPORT"),
        *("PERFUSION", "RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX", "PERMEABILITY"),
        *("MIP", "MINIP", "MAX_IP", "MIN_IP", "PROJECTION IMAGE", "VRT", "SSD", "VOLUME RENDERING", "3D"),
        *("VMI", "MATERIAL", "IODINE", "VNC_SUBTRACTION", "SUBTRACTION"),
    )
    """Values of ImageType that no slice in HU has."""

    largest_tilt: float = 40.0
    """Degrees from the axial plane: gantries tilt up to 30, and a head lies a little turned besides."""

    sharp_kernels: tuple[str, ...] = (
        r"[BDHIJQTU][A-Z]*[5-9]\d",  # Siemens: H60s, Hr64, B70f, J70h; photon counting: Qr76, Hr72
        r".*(BONE|EDGE|LUNG|SHARP)|ULTRA(?!.*(SOFT|SMOOTH))",  # GE, and what others write in words
        r"FC(3\d|5\d|8\d)",  # Canon, Toshiba
        r"(Y[A-D]|[DEL])(?!\S)",  # Philips: codes of letters, which other makers' words may begin with
    )
    soft_kernels: tuple[str, ...] = (
        r"[BDHIJQTU][A-Z]*[1-4]\d",
        r".*(STAND|STD|STND|SOFT|SMOOTH|BRAIN|DETAIL|HEAD)",
        r"FC(0\d|1\d|2\d|4\d|6\d)",
        r"(U[A-C]|[ABC])(?!\S)",
    )
    """The beginning of ConvolutionKernel; sharp ones are looked for first. Others count as in between."""

    head_words: tuple[str, ...] = ("HEAD", "BRAIN", "SKULL", "CRAN", "NEURO", "CEREB", "KOPF", "SCHADEL", "CRANE")
    other_words: tuple[str, ...] = ("CHEST", "THOR", "ABD", "PELV", "SPINE", "NECK", "SINUS", "LUNG", "FACE", "ORBIT")
    """Looked for in BodyPartExamined and SeriesDescription. A series that names no region counts as a head: its pixels
    are judged in any case, and many a plain head is called AXIAL 5MM."""

    plain_words: tuple[str, ...] = (
        (
            r"\b(WITHOUT|W ?[/-] ?O(UT)?|WO|OHNE|SANS|SENZA|BEZ|ZONDER|UTEN|UTAN|UDEN)\b"
            r"([ /:.-]*(ANY|I ?[./]? ?V\.?|INTRAVENOUS|DI|DE|MEZZO|PRODUIT|MEDIO)(?!\w))*"
            r"([ /:.-]*([CK]ONTRAST\w*|CON|KM|MDC|INJECT\w*|C)\b)?"
        ),
        r"\b[CK]ONTRAST\w*[ :=-]*(NO|NONE|NIL|FREE|NEIN|NEE)\b",
        r"\bSIN CON\w*",
        r"\b(NON?|PRE|BEFORE|VOR|AVANT)[ -]?(IV )?([CK]ONTRAST\w*|CON\b|KM\b|ENHANCED|INJECT\w*)",
        r"\bN[CE]CT\b|\bNATIV|\bPLAIN\b|\bUNENHANCED\b",
        r"\bC-(?!\w)|(?<!\w)-C\b|\bC ?\(-\)",
    )
    contrast_words: tuple[str, ...] = (
        r"\bC ?\+|\+ ?C\b(?![ -]*(SP|COL|CERV))|\bC ?\(\+\)",  # not + C-SPINE, C-COLLAR
        r"\bCT[APV]\b|ANGIO|VENOGRA|PERFUSION",
        r"[CK]ONTRAST|\bKM\b|\bMDC\b|\bCECT\b|\bENHANCED\b|\bINJECT",
        r"\bW(ITH)? ?/? ?(IV|CON|C)\b(?![ -]*(SP|COL|CERV))",
        r"\bPOST\b(?=[^A-Z0-9]*($|\d+([.,]\d+)? ?MM|(IV|CON|CM|CE|C|GD|AX|AXIAL)\b))",  # not POST OP, POST FALL
        r"\bW(ITH)?\b[ /&+]*(AND)?[ /&+]*$",  # what W/WO leaves
    )
    """Looked for anywhere in SeriesDescription, where _ is a space; contrast in what the plain words leave."""

    thickness: tuple[float, float] = (2.5, 6.0)
    """mm: what networks for hemorrhage are trained on (RSNA 2019: mostly 5); thinner slices are noisier."""

    whole_brain: float = 100.0
    """mm of coverage from which more is no better."""

    order: tuple[str, ...] = (
        *("body part", "contrast", "kernel", "coverage", "completeness", "original", "thickness", "time", "slices"),
    )
    """The preferences, the weightiest first. What contrast adds cannot be told from blood, while the noise of a sharp
    kernel is less with every voxel that is looked at: so contrast comes before the kernel."""


DEFAULT_RULES = SeriesRules()


_WORDS = ("left_image_types", "head_words", "other_words")
"""The rules that are words, no patterns."""


def parse_rules(text: str) -> SeriesRules:
    """Rules from JSON: an object with any of SeriesRules' fields. Raises UsageError, naming what is wrong."""
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the rules are not JSON: {error}") from None
    known = {each.name: getattr(DEFAULT_RULES, each.name) for each in fields(SeriesRules)}
    if not isinstance(tree, dict) or not tree.keys() <= known.keys():
        raise UsageError(f"rules are an object with some of the fields {', '.join(known)}")
    changed: dict[str, object] = {}
    for name, value in tree.items():
        wanted = known[name]
        inner = type(wanted[0]) if isinstance(wanted, tuple) else type(wanted)
        values = value if isinstance(wanted, tuple) and isinstance(value, list) else [value]
        numeric = inner is float and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if isinstance(wanted, tuple) != isinstance(value, list) or not (
            numeric or all(isinstance(v, inner) for v in values)
        ):
            raise UsageError(f"the rule {name} wants a value such as {json.dumps(wanted)}, got {json.dumps(value)}")
        changed[name] = tuple(value) if isinstance(value, list) else value
        if name in _WORDS:
            changed[name] = tuple(word.upper() for word in value)
    rules = SeriesRules(**changed)  # pyright: ignore[reportArgumentType]
    _check(rules)
    return rules


def _check(rules: SeriesRules) -> None:
    unknown = [name for name in rules.order if name not in PREFER]
    if unknown:
        raise UsageError(f"there is no preference {unknown[0]!r}; there are {', '.join(PREFER)}")
    if not (rules.whole_brain > 0 and rules.largest_tilt >= 0):
        raise UsageError("the rule whole_brain wants mm above 0, and largest_tilt degrees from 0 on")
    if len(rules.thickness) != 2:
        raise UsageError(f"the rule thickness wants two numbers in mm, got {len(rules.thickness)}")
    for pattern in (*rules.sharp_kernels, *rules.soft_kernels, *rules.plain_words, *rules.contrast_words):
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"the pattern {pattern!r} is no regular expression: {error}") from None


def why_left(series: Series, rules: SeriesRules = DEFAULT_RULES) -> str | None:
    """Why a series is not one to read, None where it may be."""
    for rule in LEAVE:
        reason = rule(series, rules)
        if reason is not None:
            return reason
    return None


def _no_ct(series: Series, _rules: SeriesRules) -> str | None:
    if series.modality == "CT":
        return None
    ours = {"SR": "a report", "KO": "a selection of key images", "SC": "a capture", "OT": "a capture", "PR": "a view"}
    what = ours.get(series.modality)
    if what:
        return f"{what} (modality {series.modality}), perhaps an earlier result, no scan"
    return f"its modality is {shown_modality(series.modality) or 'not given'}, not CT"


def _no_slices(series: Series, _rules: SeriesRules) -> str | None:
    kind = series.sop_class
    if kind in ("", *IMAGES):
        return None
    name = kind.name if kind.is_valid and not kind.is_private and kind.name != str(kind) else "object of another kind"
    return f"it is a {name}, perhaps an earlier result, no CT slices"


def _another_image_type(series: Series, rules: SeriesRules) -> str | None:
    found = next((word for word in series.image_type if word in rules.left_image_types), None)
    return f"its ImageType says {found}" if found else None


def _faulty(series: Series, _rules: SeriesRules) -> str | None:
    return refused_by_all(series) if series.faults and not series.frames else None


def _empty(series: Series, _rules: SeriesRules) -> str | None:
    return None if series.frames else "it holds no slices"


def _not_axial(series: Series, rules: SeriesRules) -> str | None:
    if series.tilt <= rules.largest_tilt:
        return None
    return f"its slices are not axial: they lie at {series.tilt:.0f}° to the axial plane"


LEAVE: tuple[Callable[[Series, SeriesRules], str | None], ...] = (
    _no_ct,
    _no_slices,
    _another_image_type,
    _faulty,
    _empty,
    _not_axial,
)
"""In this order; the first reason found is the one recorded."""


def with_contrast_said(series: Series, rules: SeriesRules = DEFAULT_RULES) -> Series:
    """The same, with contrast too where no agent is named and the description says that it was given."""
    return replace(series, contrast=series.contrast or _said_of_contrast(series, rules) is True)


def rank(series: Series, rules: SeriesRules = DEFAULT_RULES) -> Score:
    """Its scores in the order of the preferences: of two series the one with the greater rank is read."""
    return tuple(PREFER[name][0](series, rules) for name in rules.order)


def why_less(series: Series, taken: Series, rules: SeriesRules = DEFAULT_RULES) -> str:
    """Why `series` was left for `taken`, which is no less good by the rules."""
    for name in rules.order:
        score, reason = PREFER[name]
        if score(series, rules) != score(taken, rules):
            return f"{reason} than series {taken.number}"
    return f"as good as series {taken.number}, which comes first"


def is_as_good(series: Series, taken: Series, rules: SeriesRules = DEFAULT_RULES) -> bool:
    """Whether a series that was left may be another scan, as good as the one taken but for its time and the number of
    its slices. What was acquired in the same minute is the same scan, reconstructed again."""
    begun = _begun(series)
    if begun is not None and begun == _begun(taken):
        return False
    alike = [name for name in rules.order if name not in ("time", "slices")]
    return all(PREFER[name][0](series, rules) == PREFER[name][0](taken, rules) for name in alike)


def is_sharp(series: Series, rules: SeriesRules = DEFAULT_RULES) -> bool:
    """Whether its kernel is one for bone."""
    return _kernel(series, rules) < 1


def _kernel(series: Series, rules: SeriesRules) -> float:
    """2 soft, 1 unknown, 0 sharp; where the kernel says nothing, the description may."""
    first = series.kernel.split("\\")[0].strip()
    if any(re.match(pattern, first) for pattern in rules.sharp_kernels):
        return 0
    if any(re.match(pattern, first) for pattern in rules.soft_kernels):
        return 2
    words = series.description.upper()
    return 0 if "BONE" in words or "KNOCHEN" in words else 1


def _body_part(series: Series, rules: SeriesRules) -> float:
    """1 a head, or no region is named; 0 other regions alone are."""
    words = f"{series.body_part} {series.description.upper()}"
    if any(word in words for word in rules.head_words):
        return 1
    return 0 if any(word in words for word in rules.other_words) else 1


def _contrast(series: Series, rules: SeriesRules) -> float:
    """2 none, 1 an agent is named, but the description says none, 0 contrast."""
    said = _said_of_contrast(series, rules)
    if not series.contrast and said is not True:
        return 2
    return 1 if said is False else 0


def _said_of_contrast(series: Series, rules: SeriesRules) -> bool | None:
    """Whether the description says that contrast was given; None where it says nothing of it."""
    words = re.sub(r"[_\s]+", " ", series.description.upper())
    rest = words
    for pattern in rules.plain_words:
        rest = re.sub(pattern, " ", rest)
    if any(re.search(pattern, rest) for pattern in rules.contrast_words):
        return True
    return False if rest != words else None


def _coverage(series: Series, rules: SeriesRules) -> float:
    return min(series.coverage // (rules.whole_brain / 5), 5)


def _completeness(series: Series, _rules: SeriesRules) -> float:
    return -float(series.missing + len(series.faults))


def _original(series: Series, _rules: SeriesRules) -> float:
    secondary = series.image_type[1:2] == ("SECONDARY",)
    return -float(series.image_type[:1] == ("DERIVED",)) - float(secondary)


def _thickness(series: Series, rules: SeriesRules) -> float:
    thickness, (low, high) = series.thickness or 0.0, rules.thickness
    return -round(max(low - thickness, thickness - high, 0.0), 1)


def _time(series: Series, _rules: SeriesRules) -> float:
    """The latest shows how the patient is now, and a repeat is made where the first went wrong."""
    return _begun(series) or 0.0


def _begun(series: Series) -> float | None:
    """When its first slice was acquired, in seconds from 1970 to the minute."""
    return min((frame.acquired_at for frame in series.frames if frame.acquired_at is not None), default=None)


def _slices(series: Series, _rules: SeriesRules) -> float:
    return float(len(series.frames))


PREFER: dict[str, tuple[Callable[[Series, SeriesRules], float], str]] = {
    "body part": (_body_part, "less clearly a head"),
    "kernel": (_kernel, "a sharper kernel"),
    "contrast": (_contrast, "with contrast, other"),
    "coverage": (_coverage, "covers less"),
    "completeness": (_completeness, "more slices missing"),
    "original": (_original, "more derived"),
    "thickness": (_thickness, "a less usual slice thickness"),
    "time": (_time, "less recent"),
    "slices": (_slices, "fewer slices"),
}
"""Name → score (more is better), and what is said of the series that has less of it."""
