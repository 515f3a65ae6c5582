"""Sources of labelled slices, one file each: rsna, ct_ich, folder, phantom."""

from ichnos.data.sources.base import ExamReference, Scan, Source

__all__ = ["ExamReference", "Scan", "Source"]
