"""A made-up cohort of brains with lesions, to try everything on without any patient's data."""

from halfmask.data.phantom.anatomy import VIEW
from halfmask.data.phantom.cohort import LABELS, Phantom, draw, make_phantoms
from halfmask.data.phantom.scanner import CHANNELS, SCANNERS

__all__ = ["CHANNELS", "LABELS", "SCANNERS", "VIEW", "Phantom", "draw", "make_phantoms"]
