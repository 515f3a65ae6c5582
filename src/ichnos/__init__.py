"""ichnos finds and names intracranial hemorrhage on head CT. Research use, not a medical device."""

__version__ = "0.1.0"
