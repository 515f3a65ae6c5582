"""Sources of labelled slices, one file each: rsna, ct_ich, cq500, folder, phantom."""

from ichnos.data.sources.base import ExamReference, Lazily, Scan, Source

__all__ = ["ExamReference", "Lazily", "Scan", "Source"]
