"""``python -m halfmask``."""

from halfmask.cli import main

main()
