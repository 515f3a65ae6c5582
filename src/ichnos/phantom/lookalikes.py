"""Bright things that are no blood: calcified choroid plexus, pineal gland and falx."""

import numpy as np

from ichnos.phantom.brain import Brain
from ichnos.phantom.fields import cover, ellipsoid, paint
from ichnos.phantom.patient import Patient

CALCIUM_HU = 130.0
"""A calcified choroid plexus or pineal gland (above 100 HU, so denser than any clot, but thin slices of it are not)."""


def paint_calcifications(patient: Patient, brain: Brain) -> None:
    """Paint a patient's calcifications into the brain's HU."""
    edge = brain.plane.edge
    side, y, z = brain.side, brain.y, brain.z
    if float(z.max()) < -20.0 or float(z.min()) > 70.0:
        return
    if patient.choroid_calcified:
        plexus = ellipsoid(side, y, z, (24.0, 40.0, 8.0), (2.6, 4.2, 5.0))
        paint(brain.hu, cover(plexus, edge), CALCIUM_HU)
    if patient.pineal_calcified:
        pineal = ellipsoid(side, y, z, (0.0, 26.0, 1.0), (2.4, 2.8, 3.0))
        paint(brain.hu, cover(pineal, edge), CALCIUM_HU)
    if patient.falx_calcified:
        plaque = np.minimum(1.6 - side, ellipsoid(side * 0.0, y, z, (0.0, -48.0, 38.0), (1.0, 16.0, 11.0)) * 11.0)
        paint(brain.hu, cover(plaque, edge), CALCIUM_HU + 60.0)
