"""Prepared sets: sources of labelled slices, the set on disk, its splits and its caches."""
