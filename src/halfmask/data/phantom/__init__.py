"""A made-up cohort of brains with lesions, to try everything on without any patient's data."""

from halfmask.data.phantom.cohort import LABELS, Phantom, draw, make_phantoms
from halfmask.data.phantom.heads import Head, draw_head, make_heads
from halfmask.data.phantom.healthy import VIEW
from halfmask.data.phantom.scanner import CHANNELS, SCANNERS

__all__ = [
    "CHANNELS",
    "LABELS",
    "SCANNERS",
    "VIEW",
    "Head",
    "Phantom",
    "draw",
    "draw_head",
    "make_heads",
    "make_phantoms",
]
