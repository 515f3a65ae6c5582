"""A synthetic head-CT cohort: anatomy, lesions and scanner, as HU and masks."""
